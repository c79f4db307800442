/* dtype.c - number formats and their names. */
#include "base/near.h"
#include "spec/spec.h"

#include <math.h>
#include <string.h>

static const char *const names[RAD_N_DTYPE] = {
    [RAD_F32] = "fp32", [RAD_TF32] = "tf32", [RAD_F16] = "fp16",  [RAD_BF16] = "bf16",
    [RAD_FP8] = "fp8",  [RAD_INT8] = "int8", [RAD_INT4] = "int4",
};

static const double bytes[RAD_N_DTYPE] = {
    [RAD_F32] = 4.0, [RAD_TF32] = 4.0, [RAD_F16] = 2.0,  [RAD_BF16] = 2.0,
    [RAD_FP8] = 1.0, [RAD_INT8] = 1.0, [RAD_INT4] = 0.5,
};

const char *rad_dtype_name(enum rad_dtype dtype)
{
    return (unsigned)dtype < RAD_N_DTYPE ? names[dtype] : "unknown";
}

double rad_dtype_bytes(enum rad_dtype dtype)
{
    return (unsigned)dtype < RAD_N_DTYPE ? bytes[dtype] : 0.0;
}

/* Weight-only formats. */
static const struct {
    const char *name;
    double share;
} narrow[] = {{"w8a16", 0.5}, {"w4a16", 0.25}};
enum { N_NARROW = sizeof narrow / sizeof narrow[0] };

static enum rad_status unknown(const char *name, const char *const *of, size_t n, const char *list,
                               struct rad_err *err)
{
    const char *near = rad_nearest(name, of, n);
    return rad_fail(err, RAD_E_PARSE, "expected a number format (%s) but found '%.32s'%s%s%s", list,
                    name, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

enum rad_status rad_dtype_parse(const char *name, enum rad_dtype *out, struct rad_err *err)
{
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum rad_dtype)i;
            return RAD_OK;
        }
    }
    return unknown(name, names, RAD_N_DTYPE, "fp32 tf32 fp16 bf16 fp8 int8 int4", err);
}

enum rad_status rad_dtype_parse_weights(const char *name, enum rad_dtype *out, double *weight_share,
                                        struct rad_err *err)
{
    const char *all[RAD_N_DTYPE + N_NARROW];
    struct rad_err ignored;
    *weight_share = 1.0;
    if (rad_dtype_parse(name, out, &ignored) == RAD_OK)
        return RAD_OK;
    memcpy(all, names, sizeof names);
    for (size_t i = 0; i < N_NARROW; i++) {
        if (strcmp(narrow[i].name, name) == 0) {
            *out = RAD_F16;
            *weight_share = narrow[i].share;
            return RAD_OK;
        }
        all[RAD_N_DTYPE + i] = narrow[i].name;
    }
    return unknown(name, all, RAD_N_DTYPE + N_NARROW,
                   "fp32 tf32 fp16 bf16 fp8 int8 int4 w8a16 w4a16", err);
}

const char *rad_dtype_weights_name(enum rad_dtype dtype, double weight_share)
{
    for (size_t i = 0; i < N_NARROW; i++)
        if (dtype == RAD_F16 && fabs(weight_share - narrow[i].share) < 0.01)
            return narrow[i].name;
    return rad_dtype_name(dtype);
}
