/* mat_impl.h - private to tensor/: the kernels behind mat.h, one table per instruction set. */
#ifndef RAD_TENSOR_MAT_IMPL_H
#define RAD_TENSOR_MAT_IMPL_H

#include "tensor/tensor.h"

/* y[m][n] = x[m][k] w[n][k]^T + bias[n]: what one call of a kernel does. Byte strides for w, floats
 * for the others. */
struct rad_strip {
    int32_t m, n, k;
    const float *x;
    size_t ldx;
    const uint8_t *w;
    size_t w_bytes;
    const float *bias; /* NULL: none */
    float *y;
    size_t ldy;
    const uint8_t *next; /* what the same thread reads next, NULL: not known */
    size_t next_bytes;
    bool far; /* weights are more than the near caches hold: memory sets the pace */
};

/* out[m][d] = scale[m] out + p[m][n] v[n][d] */
struct rad_mix {
    int32_t m, n, d;
    const float *p;
    size_t ldp;
    const float *v;
    size_t ldv;
    float *out;
    size_t ldo;
    const float *scale; /* 0: out is not read */
};

struct rad_mat_kernels {
    const char *name;
    void (*mix)(const struct rad_mix *x);
    void (*mul[RAD_N_MAT_TYPE])(const struct rad_strip *s);
    void (*row[RAD_N_MAT_TYPE])(size_t k, const uint8_t *row, float *out);
};

/* isa_bf16.c: bfloat16 weights with x rounded to bfloat16, at most 128 rows; only if has. */
bool rad_bf16_has(void);
void rad_bf16_mul(const struct rad_strip *s);

/* mat_amx.c: the same on AMX tiles, any number of rows; worth it from RAD_AMX_ROWS on. */
enum { RAD_AMX_ROWS = 16 };
void rad_amx_mul(const struct rad_strip *s);
/* Its loop around a product: C = A B^T (+ C) with mm as rad_amx_gemm takes it, and its scratch. */
void rad_amx_mul_by(const struct rad_strip *s,
                    void (*product)(const struct rad_mm *mm, uint16_t *scratch));

bool rad_cpu_has_f16c(void);

/* The fastest build for this CPU (a constant table). */
const struct rad_mat_kernels *rad_mat_kernels(void);

#endif
