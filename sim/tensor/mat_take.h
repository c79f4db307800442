/* mat_take.h - part of mat_body.h: weights as they are stored, widened to vectors of float32. */
#ifndef RAD_TENSOR_MAT_TAKE_H
#define RAD_TENSOR_MAT_TAKE_H

#include "tensor/mat_impl.h"
#include "tensor/vec.h"

enum { QUANT = 32, Q8_BYTES = 34, Q4_BYTES = 18, SUPER = 256, Q6_BYTES = 210 };

/* Values at..at+VW of a block of 256, at a multiple of VW. */
INLINE vf take_q6(const uint8_t *block, size_t at)
{
    const size_t half = at / 128, p = at % 128 / 32, l = at % 32;
    const vi low = v_bytes(block + 64 * half + 32 * (p % 2) + l) >> (int)(p / 2 * 4) & 15;
    const vi high = v_bytes(block + 128 + 32 * half + l) >> (int)(2 * p) & 3;
    const vf q = __builtin_convertvector((low | high << 4) - 32, vf);
    return v_f16_all(block + 208) * (float)(int8_t)block[192 + at / 16] * q;
}

/* Values k..k+VW of a row; k is a multiple of VW. */
INLINE vf take(enum rad_mat_type type, const uint8_t *row, size_t k)
{
    switch (type) {
    case RAD_MAT_F16:
        return v_f16(row + 2 * k);
    case RAD_MAT_BF16:
        return v_bf16(row + 2 * k);
    case RAD_MAT_Q8_0: {
        const uint8_t *block = row + k / QUANT * Q8_BYTES;
        return v_f16_all(block) * v_int8(block + 2 + k % QUANT);
    }
    case RAD_MAT_Q4_0: {
        const uint8_t *block = row + k / QUANT * Q4_BYTES;
        return v_f16_all(block) * v_nibble(block + 2 + k % 16, k % QUANT >= 16);
    }
    case RAD_MAT_Q6_K:
        return take_q6(row + k / SUPER * Q6_BYTES, k % SUPER);
    default:
        return v_load(row + 4 * k);
    }
}

/* The last n < VW values of a row, zeros behind them. */
INLINE vf take_first(enum rad_mat_type type, const uint8_t *row, size_t k, size_t n)
{
    uint8_t copy[2 * VW] = {0};
    if (type >= RAD_MAT_Q8_0) /* rows are whole blocks */
        return (vf){0};
    if (type == RAD_MAT_F32)
        return v_load_first(row + 4 * k, n);
    memcpy(copy, row + 2 * k, 2 * n);
    return take(type, copy, 0);
}

INLINE void widen(enum rad_mat_type type, size_t n, const uint8_t *row, size_t k, float *out)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        v_store(out + i, take(type, row, k + i));
    if (i < n) {
        v_store_first(out + i, take_first(type, row, k + i, n - i), n - i);
    }
}

/* All QUANT values of a block without its scale. */
enum { PARTS = QUANT / VW };
INLINE void take_block(enum rad_mat_type type, const uint8_t *block, vf out[PARTS])
{
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; i++)
        if (type == RAD_MAT_Q8_0) {
            out[i] = v_int8(block + 2 + i * VW);
        } else {
            const vi w = v_bytes(block + 2 + i * VW % 16);
            out[i] = v_nibble_low(i * VW >= 16 ? w >> 4 : w);
        }
}

#endif
