/* dtype.c - number formats and their names. */
#include "base/near.h"
#include "spec/spec.h"

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

enum rad_status rad_dtype_parse(const char *name, enum rad_dtype *out, struct rad_err *err)
{
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum rad_dtype)i;
            return RAD_OK;
        }
    }
    const char *near = rad_nearest(name, names, RAD_N_DTYPE);
    return rad_fail(
        err, RAD_E_PARSE,
        "expected a number format (fp32 tf32 fp16 bf16 fp8 int8 int4) but found '%.32s'%s%s%s",
        name, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}
