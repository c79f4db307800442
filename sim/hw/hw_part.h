/* hw_part.h - pieces shared by the hardware models. Private to hw/. */
#ifndef RAD_HW_PART_H
#define RAD_HW_PART_H

#include "hw/hw.h"

#include <math.h>

/* One value per number format; 0: the machine has none. */
struct rad_per_dtype {
    double of[RAD_N_DTYPE];
};

/* The table rows of a struct rad_per_dtype: keys prefix.fp32 ... prefix.int4, default 0. */
#define RAD_PART_DTYPE_ROW(prefix, at, i, name, dim, lo, hi, doc)                                  \
    {                                                                                              \
        prefix "." name, (at) + (i) * sizeof(double), dim, lo, hi, 0, doc " in " name              \
    }
#define RAD_PART_PER_DTYPE(prefix, at, dim, lo, hi, doc)                                           \
    RAD_PART_DTYPE_ROW(prefix, at, RAD_F32, "fp32", dim, lo, hi, doc),                             \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_TF32, "tf32", dim, lo, hi, doc),                        \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_F16, "fp16", dim, lo, hi, doc),                         \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_BF16, "bf16", dim, lo, hi, doc),                        \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_FP8, "fp8", dim, lo, hi, doc),                          \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_INT8, "int8", dim, lo, hi, doc),                        \
        RAD_PART_DTYPE_ROW(prefix, at, RAD_INT4, "int4", dim, lo, hi, doc)

/* One value per vector operation, in the order of enum rad_op_kind from RAD_OP_NORM. Sampling goes
 * at the rate of softmax, over the bytes and passes of its own. */
enum { RAD_N_VECTOR = RAD_OP_SAMPLE - RAD_OP_NORM };
struct rad_per_vector {
    double of[RAD_N_VECTOR];
};
static inline int rad_part_vector(enum rad_op_kind kind)
{
    return (kind == RAD_OP_SAMPLE ? (int)RAD_OP_SOFTMAX : (int)kind) - RAD_OP_NORM;
}
#define RAD_PART_VECTOR_ROW(prefix, at, kind, name, dim, lo, hi, def, doc)                         \
    {                                                                                              \
        prefix "." name, (at) + (kind - RAD_OP_NORM) * sizeof(double), dim, lo, hi, def,           \
            doc " of " name                                                                        \
    }
#define RAD_PART_PER_VECTOR(prefix, at, dim, lo, hi, def, doc)                                     \
    RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_NORM, "norm", dim, lo, hi, def, doc),                   \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_ACT, "act", dim, lo, hi, def, doc),                 \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_ADD, "add", dim, lo, hi, def, doc),                 \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_ROPE, "rope", dim, lo, hi, def, doc),               \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_GATHER, "gather", dim, lo, hi, def, doc),           \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_EMBED, "embed", dim, lo, hi, def, doc),             \
        RAD_PART_VECTOR_ROW(prefix, at, RAD_OP_SOFTMAX, "softmax", dim, lo, hi, def, doc)

/* Limits of the parameters that several models share. */
#define RAD_PART_PEAK(at)                                                                          \
    RAD_PART_PER_DTYPE("peak", at, RAD_DIM_FLOP_PER_S, 1e6, 1e18, "dense matrix peak")
#define RAD_PART_FLOP_ENERGY(at)                                                                   \
    RAD_PART_PER_DTYPE("flop_energy", at, RAD_DIM_J_PER_FLOP, 0, 1e-9, "dynamic energy per FLOP")

/* Values per number format under the key they have in profiles. */
struct rad_part_set {
    const char *key;
    const struct rad_per_dtype *values;
};

/* The rates have at least one format, and others[n] have values for the same formats exactly. */
enum rad_status rad_part_check_sets(struct rad_part_set rates, const struct rad_part_set *others,
                                    size_t n, struct rad_err *err);

/* ceil(a / b) of positive whole numbers, as a double. */
static inline double rad_part_folds(int64_t a, int64_t b)
{
    return (double)((a + b - 1) / b);
}

static inline double rad_part_bytes(const struct rad_op *op)
{
    return op->weight_bytes + op->act_bytes + op->kv_bytes;
}

/* (a^p + b^p)^(1/p) of times: never less than the larger, at most their sum. p >= 1. */
static inline double rad_part_soft_max(double a, double b, double p)
{
    const double hi = fmax(a, b), lo = fmin(a, b);
    if (!(lo > 0.0))
        return hi;
    return fmax(hi, hi * pow(1.0 + pow(lo / hi, p), 1.0 / p));
}

#endif
