/* mat.c - products with matrices in the format of their file.
 *
 * A few rows of the matrix are converted to float32 at a time, as many as stay in the cache while
 * all rows of x meet them. Rows in float32 that are aligned are used where they are. */
#include "tensor/tensor.h"

#include <string.h>

enum { QUANT = 32, SCRATCH = 16384 }; /* weights of a block; floats converted at a time */

static float half_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t bits = (uint32_t)(h & 0x7fffu) << 13;
    const uint32_t exponent = bits & 0x0f800000u;
    float f;
    bits += 112u << 23; /* the bias: 127 - 15 */
    if (exponent == 0x0f800000u)
        bits += 112u << 23; /* infinity and NaN */
    if (exponent == 0) {    /* subnormal: let the subtraction renormalise */
        const uint32_t one = 113u << 23, up = bits + (1u << 23);
        float base, value;
        memcpy(&base, &one, sizeof base);
        memcpy(&value, &up, sizeof value);
        value -= base;
        memcpy(&bits, &value, sizeof bits);
    }
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t u16_at(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void from_f32(const unsigned char *from, size_t n, float *to)
{
    memcpy(to, from, n * sizeof *to);
}

static void from_f16(const unsigned char *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = half_to_f32(u16_at(from + 2 * i));
}

static void from_bf16(const unsigned char *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)u16_at(from + 2 * i) << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

static void from_q8(const unsigned char *from, size_t n, float *to)
{
    for (size_t b = 0; b < n / QUANT; b++, from += 2 + QUANT, to += QUANT) {
        const float d = half_to_f32(u16_at(from));
        for (size_t i = 0; i < QUANT; i++)
            to[i] = d * (float)(int8_t)from[2 + i];
    }
}

static void from_q4(const unsigned char *from, size_t n, float *to)
{
    for (size_t b = 0; b < n / QUANT; b++, from += 2 + QUANT / 2, to += QUANT) {
        const float d = half_to_f32(u16_at(from));
        for (size_t i = 0; i < QUANT / 2; i++) {
            to[i] = d * (float)((int)(from[2 + i] & 15) - 8);
            to[i + QUANT / 2] = d * (float)((int)(from[2 + i] >> 4) - 8);
        }
    }
}

/* One row per type: the bytes of so many weights, and how they become floats. */
static const struct {
    size_t weights, bytes;
    void (*to_f32)(const unsigned char *from, size_t n, float *to);
} formats[] = {
    [RAD_MAT_F32] = {1, 4, from_f32},
    [RAD_MAT_F16] = {1, 2, from_f16},
    [RAD_MAT_BF16] = {1, 2, from_bf16},
    [RAD_MAT_Q8_0] = {QUANT, 2 + QUANT, from_q8},
    [RAD_MAT_Q4_0] = {QUANT, 2 + QUANT / 2, from_q4},
};

/* to[n] = columns first..first+n of a row. */
static void columns(const struct rad_mat *w, int32_t row, int32_t first, int32_t n, float *to)
{
    const size_t at = (size_t)row * (size_t)w->n_in + (size_t)first;
    const size_t bytes = at / formats[w->type].weights * formats[w->type].bytes;
    formats[w->type].to_f32((const unsigned char *)w->data + bytes, (size_t)n, to);
}

void rad_mat_row(const struct rad_mat *w, int32_t i, float *out)
{
    columns(w, i, 0, w->n_in, out);
}

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
            columns(w, out + r, at, k, scratch + (size_t)r * (size_t)k);
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
