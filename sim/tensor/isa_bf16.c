/* isa_bf16.c - products of bfloat16 by AVX512-BF16: pairs of k, twice the rate of float32 on Zen 4.
 *
 * The tiles of mat_body.h with x rounded to bfloat16 in blocks of k; weights are used as they lie.
 */
#include "tensor/mat_impl.h"

#if defined(__AVX512BF16__)

#include "tensor/vec.h"

enum { TILE_M = 4, TILE_R = 6, KC = 1536, MOST_M = 128, PAIR = 2 * VW };

bool rad_bf16_has(void)
{
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static void round_row(const float *x, int32_t k, uint16_t *out)
{
    for (int32_t p = 0; p < k; p += VW) {
        const __mmask16 mask = (__mmask16)(k - p >= VW ? 0xffffu : (1u << (k - p)) - 1u);
        const __m256i h = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + p));
        _mm256_mask_storeu_epi16(out + p, mask, h);
    }
}

INLINE __m512bh load_pairs(const void *p, int32_t left)
{
    if (left >= PAIR)
        return (__m512bh)_mm512_loadu_si512(p);
    return (__m512bh)_mm512_maskz_loadu_epi16((__mmask32)((1u << left) - 1), p);
}

/* One step: 32 values of k, or the `left` last ones. */
INLINE void step(const uint16_t *const x[TILE_M], const uint8_t *const w[TILE_R], size_t p,
                 int32_t left, __m512 acc[TILE_R][TILE_M])
{
    __m512bh row[TILE_M];
#pragma GCC unroll 4
    for (int i = 0; i < TILE_M; i++)
        row[i] = load_pairs(x[i] + p, left);
#pragma GCC unroll 6
    for (int r = 0; r < TILE_R; r++) {
        const __m512bh v = load_pairs(w[r] + 2 * p, left);
#pragma GCC unroll 4
        for (int i = 0; i < TILE_M; i++)
            acc[r][i] = _mm512_dpbf16_ps(acc[r][i], v, row[i]);
    }
}

static void tile(const uint16_t *const x[TILE_M], const uint8_t *const w[TILE_R], int32_t k,
                 v4 sum[TILE_R])
{
    __m512 acc[TILE_R][TILE_M];
#pragma GCC unroll 6
    for (int r = 0; r < TILE_R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < TILE_M; i++)
            acc[r][i] = _mm512_setzero_ps();
    int32_t p = 0;
    for (; p + PAIR <= k; p += PAIR)
        step(x, w, (size_t)p, PAIR, acc);
    if (p < k)
        step(x, w, (size_t)p, k - p, acc);
#pragma GCC unroll 6
    for (int r = 0; r < TILE_R; r++)
        sum[r] = v_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static void put(const struct rad_strip *s, int32_t i, int32_t j, bool first, const v4 *sum)
{
    for (int32_t q = 0; q < least(TILE_M, s->m - i); q++) {
        float *y = s->y + (size_t)(i + q) * s->ldy + j;
        for (int32_t r = 0; r < least(TILE_R, s->n - j); r++)
            y[r] = sum[r][q] + (!first ? y[r] : s->bias != NULL ? s->bias[j + r] : 0.0f);
    }
}

void rad_bf16_mul(const struct rad_strip *s)
{
    uint16_t x[MOST_M][KC];
    for (int32_t k0 = 0; k0 < s->k; k0 += KC) {
        const int32_t k = least(KC, s->k - k0);
        for (int32_t i = 0; i < s->m; i++)
            round_row(s->x + (size_t)i * s->ldx + k0, k, x[i]);
        for (int32_t j = 0; j < s->n; j += TILE_R) {
            const uint8_t *w[TILE_R];
            for (int32_t r = 0; r < TILE_R; r++)
                w[r] = s->w + (size_t)least(j + r, s->n - 1) * s->w_bytes + 2 * (size_t)k0;
            for (int32_t i = 0; i < s->m; i += TILE_M) {
                const uint16_t *row[TILE_M];
                v4 sum[TILE_R];
                for (int32_t q = 0; q < TILE_M; q++)
                    row[q] = x[least(i + q, s->m - 1)];
                tile(row, w, k, sum);
                put(s, i, j, k0 == 0, sum);
            }
        }
    }
}

#else

bool rad_bf16_has(void)
{
    return false;
}

void rad_bf16_mul(const struct rad_strip *s)
{
    (void)s;
}

#endif
