/* mat_body.h - products of rows with rows of weights, compiled once per instruction set.
 *
 * Both operands are contiguous in k, so a tile of M x R dot products needs no repacking: M rows of
 * x and R rows of w are loaded once for M R multiplications, and the vectors are summed up at the
 * end. Up to 4 rows of x read the weights as they are stored: that is bound by memory, so that 4
 * rows cost what 1 costs. For more, R rows of w are widened to float32 once, in blocks of k that
 * stay in the first cache, and pass by all rows of x. Rows that a tile has too many of repeat the
 * last one and are not stored. */
#include "tensor/mat_mix.h"
#include "tensor/mat_tile.h"

#define MAT_CAT_(a, b) a##b
#define MAT_CAT(a, b) MAT_CAT_(a, b)

/* Store m x n sums at row i, column j of the strip; first: nothing is there yet. */
INLINE void put(const struct rad_strip *s, const int32_t at[2], const int32_t size[2], bool first,
                const v4 *sum)
{
    for (int32_t i = 0; i < size[0]; i++) {
        float *y = s->y + (size_t)(at[0] + i) * s->ldy + at[1];
        for (int32_t r = 0; r < size[1]; r++)
            y[r] = sum[r][i] + (!first ? y[r] : s->bias != NULL ? s->bias[at[1] + r] : 0.0f);
    }
}

INLINE int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* ---- strips -------------------------------------------------------------------------------- */

/* Reading several rows at once gets half of the bandwidth on some CPUs (measured on Zen 4: 16
 * against 30 GB/s), so the next strip is called into the second cache in the order of memory while
 * this one is multiplied, spread evenly over the steps of all its tiles. */
INLINE struct tile start_fetch(const struct rad_strip *s, int32_t R)
{
    const size_t n_tile = (size_t)((s->n + R - 1) / R) * (size_t)((s->m + TILE_M - 1) / TILE_M);
    const size_t n_step = n_tile * (size_t)(s->k / VW) + 1;
    const size_t lines = s->next_bytes / LINE;
    return (struct tile){.fetch = s->next,
                         .lines = (int32_t)((lines + n_step - 1) / n_step),
                         .pair_lines = (int32_t)((2 * lines + n_step - 1) / n_step),
                         .fetch_end = s->next + s->next_bytes,
                         .far = s->far};
}

/* Rows of x from value k0 on. */
struct rows {
    const float *x;
    size_t ld;
    int32_t k0, k;
};

INLINE struct rows rows_at(const struct rad_strip *s, int32_t k0, int32_t most)
{
    return (struct rows){s->x + k0, s->ldx, k0, least(most, s->k - k0)};
}

/* One tile; m x R of it are stored, the rest repeats. */
INLINE void run_tile(enum rad_mat_type type, int R, const struct rad_strip *s, struct tile *t,
                     const struct rows *x, const int32_t at[2])
{
    const int32_t i = at[0], j = at[1], m = least(TILE_M, s->m - i);
    v4 sum[TILE_R_MAX];
    for (int32_t r = 0; r < m; r++)
        t->x[r] = x->x + (size_t)(i + r) * x->ld;
    if (t->fetch >= t->fetch_end)
        t->lines = 0;
    multiply_any(type, m, R, t, (size_t)x->k, sum);
    t->fetch += (size_t)t->lines * (size_t)(x->k / VW) * LINE;
    put(s, at, (const int32_t[2]){m, least(R, s->n - j)}, x->k0 == 0, sum);
}

/* Of every 2 VW values first those at even places, then those at odd ones. */
INLINE void split_x(int32_t m, struct rows *x, float *to, int32_t ld)
{
    for (int32_t i = 0; i < m; i++) {
        const float *row = x->x + (size_t)i * x->ld;
        int32_t p = 0;
        for (; p + 2 * VW <= x->k; p += 2 * VW)
            v_split(row + p, to + i * ld + p);
        memcpy(to + i * ld + p, row + p, (size_t)(x->k - p) * sizeof *row);
    }
    x->x = to, x->ld = (size_t)ld;
}

INLINE void few_rows(enum rad_mat_type type, int R, const struct rad_strip *s)
{
    float apart[TILE_M][KC];
    struct tile t = start_fetch(s, R);
    for (int32_t k0 = 0; k0 < s->k; k0 += KC) {
        struct rows x = rows_at(s, k0, KC);
        if (type == RAD_MAT_BF16)
            split_x(s->m, &x, apart[0], KC);
        for (int32_t j = 0; j < s->n; j += R) {
            for (int32_t r = 0; r < R; r++)
                t.w[r] = s->w + (size_t)least(j + r, s->n - 1) * s->w_bytes +
                         bytes_of(type, (size_t)k0);
            run_tile(type, R, s, &t, &x, (const int32_t[2]){0, j});
        }
    }
}

/* ---- one row of x -------------------------------------------------------------------------- */

/* p of the values of a row that one step of four sums takes. */
INLINE void add_step(enum rad_mat_type type, const uint8_t *w, const float *x, vf part[4])
{
    const size_t size = type == RAD_MAT_F32 ? 4 : 2;
#pragma GCC unroll 4
    for (size_t at = 0; at < 4 * VW * size; at += LINE)
        v_call_ahead(w + at);
    if (type == RAD_MAT_BF16) {
#pragma GCC unroll 2
        for (int u = 0; u < 4; u += 2) { /* x is split */
            const vi pairs = (vi)v_load(w + 2 * u * VW);
            part[u] += (vf)(pairs << 16) * v_load(x + u * VW);
            part[u + 1] += (vf)(pairs & -65536) * v_load(x + (u + 1) * VW);
        }
        return;
    }
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++)
        part[u] += take(type, w, (size_t)u * VW) * v_load(x + u * VW);
}

/* VW partial sums of the products of k values. What is left of whole pairs is not split. */
INLINE vf multiply_row(enum rad_mat_type type, const uint8_t *w, const float *x, size_t k)
{
    const size_t size = type == RAD_MAT_F32 ? 4 : 2;
    vf part[4] = {{0}};
    size_t p = 0;
    for (; p + 4 * VW <= k; p += 4 * VW)
        add_step(type, w + size * p, x + p, part);
    if (type == RAD_MAT_BF16 && p + 2 * VW <= k) {
        const vi pairs = (vi)v_load(w + 2 * p);
        part[0] += (vf)(pairs << 16) * v_load(x + p);
        part[1] += (vf)(pairs & -65536) * v_load(x + p + VW);
        p += 2 * VW;
    }
    for (; p + VW <= k; p += VW)
        part[0] += take(type, w, p) * v_load(x + p);
    if (p < k)
        part[1] += take_first(type, w, p, k - p) * v_load_first(x + p, k - p);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

/* Rows of weights one after the other: one stream, which the CPU itself calls in advance (measured
 * on Zen 4: 0.85 of the bandwidth of mere reading, with several rows at once 0.80). */
INLINE void rows_in_turn(enum rad_mat_type type, const struct rad_strip *s)
{
    float apart[ONE_KC];
    for (int32_t k0 = 0; k0 < s->k; k0 += ONE_KC) { /* whole rows, but for very long ones */
        struct rows x = rows_at(s, k0, ONE_KC);
        if (type == RAD_MAT_BF16)
            split_x(1, &x, apart, ONE_KC);
        for (int32_t j = 0; j < s->n; j += 4) {
            const int32_t n = least(4, s->n - j);
            const uint8_t *w = s->w + (size_t)j * s->w_bytes + bytes_of(type, (size_t)k0);
            vf total[4] = {{0}};
            for (int32_t r = 0; r < n; r++)
                total[r] = multiply_row(type, w + (size_t)r * s->w_bytes, x.x, (size_t)x.k);
            const v4 four = v_sum4(total[0], total[1], total[2], total[3]);
            const v4 sum[4] = {{four[0]}, {four[1]}, {four[2]}, {four[3]}};
            put(s, (const int32_t[2]){0, j}, (const int32_t[2]){1, n}, k0 == 0, sum);
        }
    }
}

#if VW == 16
/* One row of x and rows of weights of half a vector: two rows at a time, as the keys of narrow
 * heads. */
INLINE void half_rows(const struct rad_strip *s)
{
    enum { HALF = VW / 2, ROWS = 8 };
    const size_t ld = s->w_bytes / sizeof(float);
    const float *w = (const float *)(const void *)s->w;
    const vf x = v_load_two(s->x, s->x);
    int32_t j = 0;
    for (; j + ROWS <= s->n; j += ROWS, w += ROWS * ld)
        v_sum_halves(v_load_two(w, w + ld) * x, v_load_two(w + 2 * ld, w + 3 * ld) * x,
                     v_load_two(w + 4 * ld, w + 5 * ld) * x, v_load_two(w + 6 * ld, w + 7 * ld) * x,
                     s->y + j);
    for (; j < s->n; j++, w += ld) {
        float sum[ROWS];
        v_sum_halves(v_load_first(w, HALF) * x, (vf){0}, (vf){0}, (vf){0}, sum);
        s->y[j] = sum[0];
    }
}
#endif

/* All whole tiles of TILE_R rows of weights in float32, with the registers to themselves; returns
 * how many rows of x were done. Called in advance is a little every two steps: in larger portions
 * memory gives less (16 rows on Zen 4: 89 instead of 98 GFLOP/s), and a loop in every step takes
 * longer than what it calls. */
static __attribute__((noinline)) int32_t whole_tiles(const struct rad_strip *s, struct tile *t,
                                                     const struct rows *x, int32_t j)
{
    static const float nothing[TILE_R];
    const size_t ld = x->ld, k = (size_t)x->k, ldb = x->k0 > 0 ? s->ldy : 0;
    const float *base = x->k0 > 0 ? s->y + j : s->bias != NULL ? s->bias + j : nothing;
    const float *w[TILE_R];
    int32_t i = 0;
#pragma GCC unroll 8
    for (int r = 0; r < TILE_R; r++)
        w[r] = (const float *)(const void *)t->w[r];
    for (; i + TILE_M <= s->m; i += TILE_M) {
        const float *row = x->x + (size_t)i * ld;
        const int32_t lines = t->fetch < t->fetch_end ? t->pair_lines : 0;
        const uint8_t *fetch = t->fetch;
        vf acc[TILE_R_MAX][TILE_M] = {{{0}}};
        for (size_t p0 = 0; p0 < k; p0 += 2 * VW) {
            const size_t p1 = p0 + 2 * VW < k ? p0 + 2 * VW : k;
            for (int32_t q = 0; q < lines; q++, fetch += LINE)
                __builtin_prefetch(fetch, 0, 2);
            for (size_t p = p0; p < p1; p += VW)
                add_products(w, row, ld, p, acc);
        }
        t->fetch = fetch;
        put_tile(acc, s->y + (size_t)i * s->ldy + j, s->ldy, base + (size_t)i * ldb, ldb);
    }
    return i;
}

INLINE void many_rows(enum rad_mat_type type, const struct rad_strip *s)
{
    float wide[TILE_R_MAX][KC];
    struct tile t = start_fetch(s, TILE_R);
    for (int32_t k0 = 0; k0 < s->k; k0 += KC) {
        const struct rows x = rows_at(s, k0, KC);
        for (int32_t j = 0; j < s->n; j += TILE_R) {
            for (int32_t r = 0; r < TILE_R; r++) {
                const uint8_t *row = s->w + (size_t)least(j + r, s->n - 1) * s->w_bytes;
                t.w[r] = type == RAD_MAT_F32 ? row + 4 * (size_t)k0 : (const uint8_t *)wide[r];
                if (type != RAD_MAT_F32)
                    widen(type, (size_t)x.k, row, (size_t)k0, wide[r]);
            }
            int32_t i = 0;
            if (x.k % VW == 0 && j + TILE_R <= s->n && !(s->far && s->m <= 3 * TILE_M))
                i = whole_tiles(s, &t, &x, j);
            for (; i < s->m; i += TILE_M) {
                t.far = s->far && i == 0 && s->m <= 3 * TILE_M && type == RAD_MAT_F32;
                run_tile(RAD_MAT_F32, TILE_R, s, &t, &x, (const int32_t[2]){i, j});
            }
        }
    }
}

INLINE void strip(enum rad_mat_type type, const struct rad_strip *s)
{
    const bool blocks = type >= RAD_MAT_Q8_0;
#if VW == 16
    if (type == RAD_MAT_F32 && s->m == 1 && s->k == VW / 2 && s->w_bytes % 4 == 0 && !s->bias) {
        half_rows(s);
        return;
    }
#endif
    if (s->m == 1 && !blocks)
        rows_in_turn(type, s);
    else if (s->m <= 2)
        few_rows(type, 2 * FEW_R, s);
    else if (s->m <= TILE_M && type == RAD_MAT_F32 && s->far)
        few_rows(type, TILE_R, s);
    else if (s->m <= TILE_M)
        few_rows(type, FEW_R, s);
    else
        many_rows(type, s);
}

/* ---- the table ----------------------------------------------------------------------------- */

#define MAT_KERNEL(name, type)                                                                     \
    static void mul_##name(const struct rad_strip *s)                                              \
    {                                                                                              \
        strip(type, s);                                                                            \
    }                                                                                              \
    static void row_##name(size_t k, const uint8_t *row, float *out)                               \
    {                                                                                              \
        widen(type, k, row, 0, out);                                                               \
    }
MAT_KERNEL(f32, RAD_MAT_F32)
MAT_KERNEL(f16, RAD_MAT_F16)
MAT_KERNEL(bf16, RAD_MAT_BF16)
MAT_KERNEL(q8_0, RAD_MAT_Q8_0)
MAT_KERNEL(q4_0, RAD_MAT_Q4_0)
MAT_KERNEL(q6_k, RAD_MAT_Q6_K)

const struct rad_mat_kernels MAT_CAT(rad_mat_kernels_, ISA);
const struct rad_mat_kernels MAT_CAT(rad_mat_kernels_, ISA) = {
    .name = ISA_NAME,
    .mix = mix,
    .mul = {mul_f32, mul_f16, mul_bf16, mul_q8_0, mul_q4_0, mul_q6_k},
    .row = {row_f32, row_f16, row_bf16, row_q8_0, row_q4_0, row_q6_k},
};
