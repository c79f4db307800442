/* mat.c - products with matrices in the format of their file.
 *
 * A few rows of the matrix are converted to float32 at a time, as many as stay in the cache while
 * all rows of x meet them. Rows in float32 that are aligned are used where they are. */
#include "tensor/tensor.h"

enum { SCRATCH = 16384 }; /* floats converted at a time */

static void add_bias(int32_t m, int32_t n, const float *bias, float *y)
{
    if (bias == NULL)
        return;
    for (int32_t i = 0; i < m; i++)
        rad_kernels()->add((size_t)n, bias, y + (size_t)i * (size_t)n);
}

static bool is_float(const struct rad_mat *w)
{
    return w->type == RAD_MAT_F32 && (uintptr_t)w->data % sizeof(float) == 0;
}

/* Rows out..out+n of W, in pieces of the reduction that fit into the scratch. */
static void mul_rows(rad_gemm *g, int32_t m, const float *x, const struct rad_mat *w, int32_t out,
                     int32_t n, float *y)
{
    _Alignas(64) float scratch[SCRATCH];
    const int32_t piece = w->n_in < SCRATCH ? w->n_in : SCRATCH;
    for (int32_t at = 0; at < w->n_in; at += piece) {
        const int32_t k = w->n_in - at < piece ? w->n_in - at : piece;
        for (int32_t r = 0; r < n; r++)
            rad_mat_row(w, out + r, at, k, scratch + (size_t)r * (size_t)k);
        rad_gemm_run(g, &(struct rad_mm){.m = m,
                                         .n = n,
                                         .k = k,
                                         .a = x + at,
                                         .lda = w->n_in,
                                         .b = scratch,
                                         .ldb = k,
                                         .tb = true,
                                         .c = y + out,
                                         .ldc = w->n_out,
                                         .add = at > 0});
    }
}

void rad_mat_mul(rad_gemm *g, int32_t m, const float *x, const struct rad_mat *w, const float *bias,
                 float *y)
{
    if (is_float(w)) {
        rad_linear(g, m, w->n_in, w->n_out, x, (const float *)w->data, y);
    } else {
        const int32_t fit = w->n_in < SCRATCH ? SCRATCH / w->n_in : 1;
        for (int32_t out = 0; out < w->n_out; out += fit)
            mul_rows(g, m, x, w, out, w->n_out - out < fit ? w->n_out - out : fit, y);
    }
    add_bias(m, w->n_out, bias, y);
}
