/* mat_mix.h - part of mat_body.h: sums of rows, as attention weighs values. */
#ifndef RAD_TENSOR_MAT_MIX_H
#define RAD_TENSOR_MAT_MIX_H

#include "tensor/mat_impl.h"
#include "tensor/vec.h"

/* M rows from i, C vectors from column c, the last one of `last` floats. */
INLINE void mix_tile(int M, int C, const struct rad_mix *x, const int32_t at[2], size_t last)
{
    const int32_t i = at[0], c = at[1];
    const bool whole = last == VW;
    vf acc[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < M; r++)
#pragma GCC unroll 4
        for (int q = 0; q < C; q++) {
            const float *out = x->out + (size_t)(i + r) * x->ldo + c + q * VW;
            const float scale = x->scale[i + r];
            acc[r][q] = scale == 0.0f
                            ? (vf){0}
                            : v_set(scale) * (whole ? v_load(out) : v_load_first(out, last));
        }
    for (int32_t k = 0; k < x->n; k++) {
        const float *v = x->v + (size_t)k * x->ldv + c;
        vf w[4];
#pragma GCC unroll 4
        for (int q = 0; q < C; q++) {
            if (M == 1) /* one query: values come from memory */
                v_call_ahead(v + q * VW);
            w[q] = whole ? v_load(v + q * VW) : v_load_first(v, last);
        }
#pragma GCC unroll 4
        for (int r = 0; r < M; r++)
#pragma GCC unroll 4
            for (int q = 0; q < C; q++)
                acc[r][q] += v_set(x->p[(size_t)(i + r) * x->ldp + (size_t)k]) * w[q];
    }
#pragma GCC unroll 4
    for (int r = 0; r < M; r++)
#pragma GCC unroll 4
        for (int q = 0; q < C; q++) {
            float *out = x->out + (size_t)(i + r) * x->ldo + c + q * VW;
            if (whole)
                v_store(out, acc[r][q]);
            else
                v_store_first(out, acc[r][q], last);
        }
}

INLINE void mix_rows(int M, const struct rad_mix *x, int32_t i)
{
    int32_t c = 0;
    for (; c + 4 * VW <= x->d; c += 4 * VW)
        mix_tile(M, 4, x, (const int32_t[2]){i, c}, VW);
    for (; c + VW <= x->d; c += VW)
        mix_tile(M, 1, x, (const int32_t[2]){i, c}, VW);
    if (c < x->d)
        mix_tile(M, 1, x, (const int32_t[2]){i, c}, (size_t)(x->d - c));
}

#if VW == 16
/* One row of weights, and values of half a vector: two of them at a time. */
INLINE void mix_halves(const struct rad_mix *x)
{
    enum { HALF = VW / 2 };
    const vf scale = v_set(x->scale[0]);
    const vf old = x->scale[0] == 0.0f ? (vf){0} : scale * v_load_first(x->out, HALF);
    vf acc[4] = {{0}};
    float sum[VW];
    int32_t k = 0;
    for (; k + 8 <= x->n; k += 8)
#pragma GCC unroll 4
        for (int32_t q = 0; q < 4; q++) {
            const float *v = x->v + (size_t)(k + 2 * q) * x->ldv, *p = x->p + k + 2 * q;
            acc[q] += v_set_two(p[0], p[1]) * v_load_two(v, v + x->ldv);
        }
    for (; k < x->n; k++)
        acc[k % 4] += v_set(x->p[k]) * v_load_first(x->v + (size_t)k * x->ldv, HALF);
    v_store(sum, (acc[0] + acc[1]) + (acc[2] + acc[3]));
    v_store_first(x->out, old + v_load_first(sum, HALF) + v_load_first(sum + HALF, HALF), HALF);
}
#endif

static void mix(const struct rad_mix *x)
{
    int32_t i = 0;
#if VW == 16
    if (x->m == 1 && x->d == VW / 2) {
        mix_halves(x);
        return;
    }
#endif
    for (; i + 4 <= x->m; i += 4)
        mix_rows(4, x, i);
    for (; i < x->m; i++)
        mix_rows(1, x, i);
}

#endif
