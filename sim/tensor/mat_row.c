/* mat_row.c - see mat_row.h. */
#include "tensor/tensor.h"

#include <string.h>

enum { QUANT = 32 }; /* weights of a block of the quantised types */

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

void rad_mat_row(const struct rad_mat *w, int32_t row, int32_t first, int32_t n, float *to)
{
    const size_t at = (size_t)row * (size_t)w->n_in + (size_t)first;
    const size_t bytes = at / formats[w->type].weights * formats[w->type].bytes;
    formats[w->type].to_f32((const unsigned char *)w->data + bytes, (size_t)n, to);
}
