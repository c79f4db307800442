/* isa_bf16.c - products of bfloat16 by AVX512-BF16: pairs of k, twice the rate of float32 on Zen 4.
 *
 * The tiles of mat_body.h with x rounded to bfloat16 in blocks of k; weights are used as they lie.
 */
#include "tensor/mat_impl.h"

#if defined(__AVX512BF16__)

#include "tensor/mat_tile.h"

enum { BF16_KC = 768, MOST_M = 128, PAIR = 2 * VW };

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

/* One step: 32 values of k, or the `left` last ones, of TILE_M rows x (BF16_KC apart). */
INLINE void step(const uint16_t *x, const uint8_t *const w[TILE_R], size_t p, int32_t left,
                 vf acc[TILE_R_MAX][TILE_M])
{
    __m512bh row[TILE_M];
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_M; i++)
        row[i] = load_pairs(x + i * BF16_KC + p, left);
#pragma GCC unroll 8
    for (int r = 0; r < TILE_R; r++) {
        const __m512bh v = load_pairs(w[r] + 2 * p, left);
#pragma GCC unroll 4
        for (int i = 0; i < TILE_M; i++)
            acc[r][i] = (vf)_mm512_dpbf16_ps((__m512)acc[r][i], v, row[i]);
    }
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Part of a strip: rows w of weights from row j on, with all rows of x, rounded; and what to call
 * into the second cache meanwhile. */
struct part {
    const uint16_t *x;
    const uint8_t *w[TILE_R];
    int32_t j, k0, k;
    const uint8_t *fetch, *fetch_end;
    int32_t lines; /* per step */
};

/* A tile of fewer columns or rows than it has room for. */
static void put_some(const struct rad_strip *s, const struct part *t, int32_t i,
                     vf acc[TILE_R_MAX][TILE_M])
{
    static const float nothing[TILE_R];
    const float *bias = s->bias != NULL ? s->bias + t->j : nothing;
    const int32_t n = least(TILE_R, s->n - t->j);
    float sum[TILE_M][TILE_R];
    put_tile(acc, sum[0], TILE_R, nothing, 0);
    for (int32_t q = 0; q < least(TILE_M, s->m - i); q++) {
        float *y = s->y + (size_t)(i + q) * s->ldy + t->j;
        for (int32_t r = 0; r < n; r++)
            y[r] = sum[q][r] + (t->k0 > 0 ? y[r] : bias[r]);
    }
}

static void put_whole(const struct rad_strip *s, const struct part *t, int32_t i,
                      vf acc[TILE_R_MAX][TILE_M])
{
    static const float nothing[TILE_R];
    float *y = s->y + (size_t)i * s->ldy + t->j;
    if (t->k0 > 0)
        put_tile(acc, y, s->ldy, y, s->ldy);
    else
        put_tile(acc, y, s->ldy, s->bias != NULL ? s->bias + t->j : nothing, 0);
}

static __attribute__((noinline)) void multiply_part(const struct rad_strip *s, struct part *t)
{
    const uint8_t *w[TILE_R];
    memcpy(w, t->w, sizeof w);
    for (int32_t i = 0; i < s->m; i += TILE_M) {
        const uint16_t *x = t->x + (size_t)i * BF16_KC;
        const int32_t k = t->k, lines = t->fetch < t->fetch_end ? t->lines : 0;
        const uint8_t *fetch = t->fetch;
        vf acc[TILE_R_MAX][TILE_M] = {{{0}}};
        int32_t p = 0;
        for (; p + PAIR <= k; p += PAIR) {
            for (int32_t q = 0; q < lines; q++, fetch += LINE)
                __builtin_prefetch(fetch, 0, 2);
            step(x, w, (size_t)p, PAIR, acc);
        }
        if (p < k)
            step(x, w, (size_t)p, k - p, acc);
        t->fetch = fetch;
        if (i + TILE_M <= s->m && t->j + TILE_R <= s->n)
            put_whole(s, t, i, acc);
        else
            put_some(s, t, i, acc);
    }
}

void rad_bf16_mul(const struct rad_strip *s)
{
    uint16_t x[MOST_M][BF16_KC];
    const int32_t tiles = (s->n + TILE_R - 1) / TILE_R * ((s->m + TILE_M - 1) / TILE_M);
    const size_t steps = (size_t)tiles * (size_t)(s->k / PAIR) + 1;
    struct part t = {.x = x[0],
                     .fetch = s->next,
                     .fetch_end = s->next + s->next_bytes,
                     .lines = (int32_t)((s->next_bytes / LINE + steps - 1) / steps)};
    for (; t.k0 < s->k; t.k0 += BF16_KC) {
        t.k = least(BF16_KC, s->k - t.k0);
        for (int32_t i = 0; i < s->m; i++)
            round_row(s->x + (size_t)i * s->ldx + t.k0, t.k, x[i]);
        for (int32_t i = s->m; i % TILE_M != 0; i++) /* repeated, not stored */
            memcpy(x[i], x[s->m - 1], (size_t)t.k * sizeof x[0][0]);
        for (t.j = 0; t.j < s->n; t.j += TILE_R) {
            for (int32_t r = 0; r < TILE_R; r++)
                t.w[r] = s->w + (size_t)least(t.j + r, s->n - 1) * s->w_bytes + 2 * (size_t)t.k0;
            multiply_part(s, &t);
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
