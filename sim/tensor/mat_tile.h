/* mat_tile.h - part of mat_body.h: the products of a few rows of x with a few rows of weights. */
#ifndef RAD_TENSOR_MAT_TILE_H
#define RAD_TENSOR_MAT_TILE_H

#include "tensor/mat_take.h"

#if VW == 16
enum { FEW_R = 4, TILE_R = 6 }; /* 4 x 6 sums in 32 registers */
#else
enum { FEW_R = 2, TILE_R = 3 }; /* 4 x 3 sums in 16 */
#endif
enum { TILE_M = 4, TILE_R_MAX = 8, KC = 1024, ONE_KC = 4096 };

struct tile {
    const float *x[TILE_M];
    const uint8_t *w[TILE_R_MAX];
    const uint8_t *fetch, *fetch_end; /* what to call into the second cache in advance */
    bool far;                         /* multiply as memory gives weights */
    int32_t lines, pair_lines;        /* how many cache lines of it per step, two steps of k */
};

/* Bytes of k values, k a multiple of 256. */
INLINE size_t bytes_of(enum rad_mat_type type, size_t k)
{
    static const uint16_t per_256[RAD_N_MAT_TYPE] = {1024, 512, 512, 272, 144, Q6_BYTES};
    return k / SUPER * per_256[type];
}

/* Whole blocks: products without the scale are summed up first, then scaled once. Returns k. */
INLINE size_t multiply_blocks(enum rad_mat_type type, int M, int R, const struct tile *t, size_t k,
                              vf acc[TILE_R_MAX][TILE_M])
{
    const size_t bytes = type == RAD_MAT_Q8_0 ? Q8_BYTES : Q4_BYTES;
    const uint8_t *fetch = t->fetch;
    for (size_t p = 0, at = 0; p < k; p += QUANT, at += bytes) {
        for (int32_t i = 0; i < t->lines * PARTS; i++, fetch += LINE)
            __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            vf w[PARTS];
            const vf scale = v_f16_all(t->w[r] + at);
            take_block(type, t->w[r] + at, w);
#pragma GCC unroll 4
            for (int i = 0; i < M; i++) {
                vf part = w[0] * v_load(t->x[i] + p);
#pragma GCC unroll 8
                for (int q = 1; q < PARTS; q++)
                    part += w[q] * v_load(t->x[i] + p + (size_t)q * VW);
                acc[r][i] += scale * part;
            }
        }
    }
    return k;
}

/* Pairs of bfloat16 as words: a shift gives the second half, a mask the first. x comes split
 * likewise (split_x). Returns how many values were done. */
INLINE size_t multiply_pairs(int M, int R, const struct tile *t, size_t k,
                             vf acc[TILE_R_MAX][TILE_M])
{
    const uint8_t *fetch = t->fetch;
    size_t p = 0;
    for (; p + 2 * VW <= k; p += 2 * VW) {
        for (int32_t i = 0; i < 2 * t->lines; i++, fetch += LINE)
            __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vi w = (vi)v_load(t->w[r] + 2 * p);
            const vf even = (vf)(w << 16), odd = (vf)(w & -65536);
#pragma GCC unroll 4
            for (int i = 0; i < M; i++) {
                acc[r][i] += even * v_load(t->x[i] + p);
                acc[r][i] += odd * v_load(t->x[i] + p + VW);
            }
        }
    }
    return p;
}

/* Weights in float32 that come from memory, for 3 or 4 rows of x: slower on weights in a cache (40
 * against 57 GB/s), but a loop that is faster than memory gets less of it (Zen 4: 23 against 30
 * GB/s; it then waits for lines that are on their way, and calls fewer in advance). */
INLINE size_t multiply_far(int M, int R, const struct tile *t, size_t k, vf acc[TILE_R_MAX][TILE_M])
{
    const uint8_t *fetch = t->fetch;
    size_t p = 0;
    for (; p + VW <= k; p += VW) {
        for (int32_t i = 0; i < t->lines; i++, fetch += LINE)
            __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vf w = v_load(t->w[r] + 4 * p);
#pragma GCC unroll 4
            for (int i = 0; i < M; i++)
                acc[r][i] = v_add_product(acc[r][i], w, t->x[i] + p);
        }
    }
    return p;
}

/* sum[r] = the products of tile row r with M rows of x, over k values. */
INLINE void multiply(enum rad_mat_type type, int M, int R, const struct tile *t, size_t k, v4 *sum)
{
    vf acc[TILE_R_MAX][TILE_M] = {{{0}}};
    const uint8_t *fetch = t->fetch;
    size_t p = 0;
    if (type == RAD_MAT_Q8_0 || type == RAD_MAT_Q4_0)
        p = multiply_blocks(type, M, R, t, k, acc);
    if (type == RAD_MAT_BF16)
        p = multiply_pairs(M, R, t, k, acc);
    if (type == RAD_MAT_F32 && t->far)
        p = multiply_far(M, R, t, k, acc);
    for (; p + VW <= k; p += VW) {
        vf x[TILE_M];
        for (int32_t i = 0; i < t->lines; i++, fetch += LINE)
            __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 4
        for (int i = 0; i < M; i++)
            x[i] = v_load(t->x[i] + p);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vf w = take(type, t->w[r], p);
#pragma GCC unroll 4
            for (int i = 0; i < M; i++)
                acc[r][i] += w * x[i];
        }
    }
    if (p < k)
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vf w = take_first(type, t->w[r], p, k - p);
#pragma GCC unroll 4
            for (int i = 0; i < M; i++)
                acc[r][i] += w * v_load_first(t->x[i] + p, k - p);
        }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
        if (M > 1)
            sum[r] = v_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
        else if (r % 4 == 0) {
            const v4 four = v_sum4(acc[r][0], acc[r + 1][0], acc[(r + 2) % TILE_R_MAX][0],
                                   acc[(r + 3) % TILE_R_MAX][0]);
            for (int q = 0; q < 4 && r + q < R; q++)
                sum[r + q] = (v4){four[q]};
        }
}

INLINE void multiply_any(enum rad_mat_type type, int m, int R, const struct tile *t, size_t k,
                         v4 *sum)
{
    if (R > TILE_R) { /* only for one or two rows */
        if (m == 1)
            multiply(type, 1, R, t, k, sum);
        else
            multiply(type, 2, R, t, k, sum);
        return;
    }
    switch (m) {
    case 1:
        multiply(type, 1, R, t, k, sum);
        break;
    case 2:
        multiply(type, 2, R, t, k, sum);
        break;
    case 3:
        multiply(type, 3, R, t, k, sum);
        break;
    default:
        multiply(type, 4, R, t, k, sum);
    }
}

/* ---- whole tiles --------------------------------------------------------------------------- */

/* VW values from p on: rows w[TILE_R] of weights with TILE_M rows of x. */
INLINE void add_products(const float *const w[TILE_R], const float *x, size_t ldx, size_t p,
                         vf acc[TILE_R_MAX][TILE_M])
{
    vf v[TILE_M];
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_M; i++)
        v[i] = v_load(x + i * ldx + p);
#pragma GCC unroll 8
    for (int r = 0; r < TILE_R; r++) {
        const vf one = v_load(w[r] + p);
#pragma GCC unroll 4
        for (int i = 0; i < TILE_M; i++)
            acc[r][i] += one * v[i];
    }
}

/* y[i][r] = what the vectors acc[r][i] add up to + base[i][r], four of them at a time. */
INLINE void put_tile(vf acc[TILE_R_MAX][TILE_M], float *y, size_t ldy, const float *base,
                     size_t ldb)
{
#if VW == 16
    enum { PAIR = 4 };
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_M; i++)
        v4_store(y + i * ldy,
                 v_sum4(acc[0][i], acc[1][i], acc[2][i], acc[3][i]) + v4_load(base + i * ldb));
#else
    enum { PAIR = 0 };
    const v4 last = v_sum4(acc[2][0], acc[2][1], acc[2][2], acc[2][3]);
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_M; i++)
        y[i * ldy + 2] = last[i] + base[i * ldb + 2];
#endif
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_M; i += 2) {
        const v4 s = v_sum4(acc[PAIR][i], acc[PAIR + 1][i], acc[PAIR][i + 1], acc[PAIR + 1][i + 1]);
        v2_store(y + i * ldy + PAIR, (v2){s[0], s[1]} + v2_load(base + i * ldb + PAIR));
        v2_store(y + (i + 1) * ldy + PAIR, (v2){s[2], s[3]} + v2_load(base + (i + 1) * ldb + PAIR));
    }
}

#endif
