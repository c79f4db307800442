/* vec.h - private to tensor/: vectors of floats as wide as the instruction set that the including
 * file is compiled for, by the compiler's vector extensions. VW: floats per vector. */
#ifndef RAD_TENSOR_VEC_H
#define RAD_TENSOR_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VW 16
#elif defined(__AVX2__)
#define VW 8
#else
#define VW 4
#endif

enum { LINE = 64 }; /* bytes of a cache line */

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VW)));
typedef float vf_any __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VW)));
typedef uint16_t vh __attribute__((vector_size(2 * VW))); /* bfloat16, float16 bits */
typedef int8_t vb __attribute__((vector_size(VW)));
typedef float v4 __attribute__((vector_size(16)));
typedef float v2 __attribute__((vector_size(8)));

INLINE vf v_load(const void *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Call what comes some lines after p into the second cache. What the CPU itself calls in advance of
 * a stream is less than memory can give to one core (Zen 4: 27 GB/s of bfloat16 weights instead of
 * 31, 28 of float32 instead of 32); further ahead it is less again. */
INLINE void v_call_ahead(const void *p)
{
    __builtin_prefetch((const void *)((uintptr_t)p + 8 * LINE), 0, 2);
}

INLINE void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE v4 v4_load(const float *p)
{
    v4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v4_store(float *p, v4 v)
{
    memcpy(p, &v, sizeof v);
}

INLINE v2 v2_load(const float *p)
{
    v2 v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v2_store(float *p, v2 v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf v_set(float x)
{
    return x - (vf){0};
}

/* The first n < VW floats, zeros behind them. */
INLINE vf v_load_first(const void *p, size_t n)
{
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v = {0};
    memcpy(&v, p, n * sizeof(float));
    return v;
#endif
}

INLINE void v_store_first(float *p, vf v, size_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    memcpy(p, &v, n * sizeof(float));
#endif
}

/* Of 2 VW floats those at even places, then those at odd ones. */
INLINE void v_split(const float *p, float *to)
{
#if defined(__AVX512F__)
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512 a = v_load(p), b = v_load(p + VW);
    v_store(to, _mm512_permutex2var_ps(a, even, b));
    v_store(to + VW, _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b));
#else
    for (int i = 0; i < VW; i++) {
        to[i] = p[2 * i];
        to[VW + i] = p[2 * i + 1];
    }
#endif
}

/* acc + w x, x as an operand in memory: loaded again each time, whatever the compiler thinks. */
INLINE vf v_add_product(vf acc, vf w, const float *x)
{
#if defined(__AVX512F__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(w), "m"(*(const vf_any *)(const void *)x));
    return acc;
#else
    return acc + w * v_load(x);
#endif
}

INLINE vf v_bf16(const void *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
    const vi w = __builtin_convertvector(h, vi) << 16;
    return (vf)w;
}

/* IEEE 754 binary16 to binary32; subnormals by a subtraction that is exact. */
INLINE vf v_f16(const void *p)
{
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    vh h;
    memcpy(&h, p, sizeof h);
    const vi w = __builtin_convertvector(h, vi), magnitude = (w & 0x7fff) << 13;
    const vi special = (vi)(magnitude >= 0x0f800000), tiny = (vi)(magnitude < 0x00800000);
    const vi normal = magnitude + (112 << 23);
    const vf small = (vf)(magnitude + (113 << 23)) - (vf)(((vi){0} + (113 << 23)));
    const vi value = (special & (magnitude + (224 << 23))) | (tiny & (vi)small) |
                     (~special & ~tiny & normal);
    return (vf)(value | (w & 0x8000) << 16);
#endif
}

/* One float16 in all places. */
INLINE vf v_f16_all(const void *p)
{
    uint16_t one;
    memcpy(&one, p, sizeof one);
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)one));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_set1_epi16((short)one));
#else
    const uint16_t all[VW] = {one, one, one, one};
    return v_f16(all);
#endif
}

/* VW bytes as signed 32-bit numbers. */
INLINE vi v_bytes(const void *p)
{
#if defined(__AVX512F__)
    return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128(p));
#elif defined(__AVX2__)
    return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64(p));
#else
    vb b;
    memcpy(&b, p, sizeof b);
    return (vi){b[0], b[1], b[2], b[3]};
#endif
}

INLINE vf v_int8(const void *p)
{
    return __builtin_convertvector(v_bytes(p), vf);
}

/* Low or high halves of bytes, less 8. */
INLINE vf v_nibble(const void *p, bool high)
{
    const vi w = v_bytes(p);
    return __builtin_convertvector(((high ? w >> 4 : w) & 15) - 8, vf);
}

#if defined(__AVX512F__)
INLINE __m512 pair_add(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
}
#endif

/* The same; low may keep the high halves where only the low four bits of an index count. */
INLINE vf v_nibble_low(vi w)
{
#if defined(__AVX512F__)
    const __m512 value = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_permutexvar_ps((__m512i)w, value);
#else
    return __builtin_convertvector((w & 15) - 8, vf);
#endif
}

/* The sums of four vectors. */
INLINE v4 v_sum4(vf a, vf b, vf c, vf d)
{
#if defined(__AVX512F__)
    const __m512 ab = pair_add(a, b), cd = pair_add(c, d);
    const __m512 s =
        _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
#elif defined(__AVX2__)
    const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
#else
    return (v4){a[0] + a[1] + (a[2] + a[3]), b[0] + b[1] + (b[2] + b[3]),
                c[0] + c[1] + (c[2] + c[3]), d[0] + d[1] + (d[2] + d[3])};
#endif
}

#if defined(__AVX512F__)
/* Half a vector from each. */
INLINE vf v_load_two(const float *a, const float *b)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)), _mm256_loadu_ps(b), 1);
}

INLINE vf v_set_two(float a, float b)
{
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(a), 0xff00, _mm_set_ss(b));
}

/* out[8] = the sums of the first and second half of a, of b, of c, of d. */
INLINE void v_sum_halves(vf a, vf b, vf c, vf d, float *out)
{
    const __m512 ab = pair_add(a, b), cd = pair_add(c, d);
    const __m512 s =
        _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 l = _mm512_castps512_ps256(s), h = _mm512_extractf32x8_ps(s, 1);
    const __m128 first = _mm_add_ps(_mm256_castps256_ps128(l), _mm256_extractf128_ps(l, 1));
    const __m128 second = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    v4_store(out, _mm_unpacklo_ps(first, second));
    v4_store(out + 4, _mm_unpackhi_ps(first, second));
}
#endif

#endif
