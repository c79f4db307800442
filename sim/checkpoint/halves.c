/* halves.c - float from and to the 16-bit formats, and from blocks of GGUF files. */
#include "checkpoint/safetensors.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read as they lie");

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float f32_from_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu;
    if (exponent == 31) /* infinities and NaNs */
        return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0)
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    const float subnormal = (float)fraction * 0x1p-24f; /* exact */
    return sign != 0 ? -subnormal : subnormal;
}

/* BF16 is the upper half of a float. */
static float f32_from_bf16(uint16_t h)
{
    return from_bits((uint32_t)h << 16);
}

uint16_t rad_bf16_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* rounding could carry a NaN over to infinity */
        return (uint16_t)(bits >> 16 | 0x40u);
    bits += 0x7fffu + (bits >> 16 & 1u);
    return (uint16_t)(bits >> 16);
}

static void widen(float *dst, const struct rad_tensor *t, float (*convert)(uint16_t))
{
    const unsigned char *src = t->data;
    for (int64_t i = 0; i < t->n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, sizeof h); /* tensors may lie at odd addresses */
        dst[i] = convert(h);
    }
}

/* Blocks of 32 values: a float16 scale, then int8 or nibbles; tensor/mat.h has the layouts. */
static void unpack_q8_0(float *dst, const struct rad_tensor *t)
{
    const unsigned char *b = t->data;
    for (int64_t i = 0; i < t->n / 32; i++, b += 34) {
        const float scale = f32_from_f16((uint16_t)(b[0] | b[1] << 8));
        for (int j = 0; j < 32; j++)
            dst[32 * i + j] = scale * (float)(b[2 + j] < 128 ? b[2 + j] : b[2 + j] - 256);
    }
}

static void unpack_q4_0(float *dst, const struct rad_tensor *t)
{
    const unsigned char *b = t->data;
    for (int64_t i = 0; i < t->n / 32; i++, b += 18) {
        const float scale = f32_from_f16((uint16_t)(b[0] | b[1] << 8));
        for (int j = 0; j < 16; j++) {
            dst[32 * i + j] = scale * (float)((b[2 + j] & 15) - 8);
            dst[32 * i + 16 + j] = scale * (float)((b[2 + j] >> 4) - 8);
        }
    }
}

static void unpack_q6_k(float *dst, const struct rad_tensor *t)
{
    const unsigned char *b = t->data;
    for (int64_t i = 0; i < t->n / 256; i++, b += 210) {
        const float scale = f32_from_f16((uint16_t)(b[208] | b[209] << 8));
        for (int j = 0; j < 256; j++) {
            const int half = j / 128, p = j % 128 / 32, l = j % 32;
            const int low = b[64 * half + 32 * (p % 2) + l] >> p / 2 * 4 & 15;
            const int high = b[128 + 32 * half + l] >> 2 * p & 3;
            const int part = b[192 + j / 16] < 128 ? b[192 + j / 16] : b[192 + j / 16] - 256;
            dst[256 * i + j] = scale * (float)part * (float)((low | high << 4) - 32);
        }
    }
}

enum rad_status rad_tensor_to_f32(float *dst, const struct rad_tensor *tensor, struct rad_err *err)
{
    if (tensor->n == 0)
        return RAD_OK;
    if (tensor->dtype == RAD_F32)
        memcpy(dst, tensor->data, tensor->bytes);
    else if (tensor->dtype == RAD_F16)
        widen(dst, tensor, f32_from_f16);
    else if (tensor->dtype == RAD_BF16)
        widen(dst, tensor, f32_from_bf16);
    else if (tensor->block == RAD_BLOCK_Q8_0)
        unpack_q8_0(dst, tensor);
    else if (tensor->block == RAD_BLOCK_Q4_0)
        unpack_q4_0(dst, tensor);
    else if (tensor->block == RAD_BLOCK_Q6_K)
        unpack_q6_k(dst, tensor);
    else
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "tensor '%s': expected F32, F16 or BF16 but found %s", tensor->name,
                        tensor->dtype_name);
    return RAD_OK;
}
