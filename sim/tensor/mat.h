/* mat.h - weight matrices in the format of their file, and y = x W^T + b.
 *
 * Included by tensor.h; do not include it alone. A matrix borrows its bytes, usually from a mapped
 * file, and is never converted as a whole. */
#ifndef RAD_TENSOR_MAT_H
#define RAD_TENSOR_MAT_H

#include <stdint.h>

/* Q8_0: blocks of 32 weights, an F16 scale d and 32 signed bytes q: w = d q.
 * Q4_0: blocks of 32 weights, an F16 scale d and 16 bytes: byte j holds weight j in its low and
 * weight j + 16 in its high half: w = d (half - 8). Both as in GGUF files; n_in is a multiple of
 * 32. */
enum rad_mat_type { RAD_MAT_F32, RAD_MAT_F16, RAD_MAT_BF16, RAD_MAT_Q8_0, RAD_MAT_Q4_0 };

/* [n_out][n_in] row major, little endian, unaligned allowed. */
struct rad_mat {
    enum rad_mat_type type;
    int32_t n_out, n_in;
    const void *data;   /* borrowed */
    const void *packed; /* NULL, or a repacking private to the engine */
};

/* y[m][n_out] = x[m][n_in] W^T (+ bias[n_out]; NULL: none) */
void rad_mat_mul(rad_gemm *g, int32_t m, const float *x, const struct rad_mat *w, const float *bias,
                 float *y);

/* Row i as float32: out[n_in]. */
void rad_mat_row(const struct rad_mat *w, int32_t i, float *out);

#endif
