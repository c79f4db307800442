/* rope.c - positions: RoPE with scaling, ALiBi slopes.
 *
 * RoPE (Su et al., arXiv 2104.09864): pair i turns by pos f_i, f_i = theta^(-2i/d_head).
 * linear: f_i / factor (Chen et al., arXiv 2306.15595).
 * llama3 (Dubey et al., arXiv 2407.21783, and the published model code): with wavelength
 * w = 2 pi / f_i and o the original context,
 *   w < o / high: f_i;   w > o / low: f_i / factor;
 *   else with s = (o / w - low) / (high - low): (1 - s) f_i / factor + s f_i
 * ALiBi (Press et al., arXiv 2108.12409): of n = 2^k heads, head j >= 1 has slope 2^(-8 j / n);
 * otherwise those of the power of two below n, then every other slope of the one above. */
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>

static double scaled(const struct rad_rope_scaling *r, double f)
{
    static const double two_pi = 6.283185307179586;
    if (r->kind == RAD_ROPE_PLAIN)
        return f;
    if (r->kind == RAD_ROPE_LINEAR)
        return f / r->factor;
    const double wave = two_pi / f, original = r->original_ctx;
    if (wave < original / r->high_freq_factor)
        return f;
    if (wave > original / r->low_freq_factor)
        return f / r->factor;
    const double s = (original / wave - r->low_freq_factor) /
                     (r->high_freq_factor - r->low_freq_factor);
    return (1.0 - s) * f / r->factor + s * f;
}

void rad_rope_turn(const struct rad_model_config *c, double *turn)
{
    for (int32_t i = 0; i < c->card.d_head / 2; i++)
        turn[i] = scaled(&c->rope, pow(c->rope_theta, -2.0 * i / c->card.d_head));
}

enum rad_status rad_rope_reach(rad_engine *e, int32_t n, struct rad_err *err)
{
    const int32_t d = e->model->config.card.d_head, n_ctx = e->model->config.card.n_ctx;
    if (e->model->turn == NULL || n <= e->n_cs)
        return RAD_OK;
    const int32_t doubled = 2 * e->n_cs < n_ctx ? 2 * e->n_cs : n_ctx;
    const int32_t cap = n > doubled ? n : doubled;
    float *cs = realloc(e->cs, (size_t)cap * (size_t)d * sizeof *cs);
    if (cs == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d positions", cap);
    e->cs = cs;
    for (int32_t p = e->n_cs; p < cap; p++)
        for (int32_t i = 0; i < d / 2; i++) {
            float *row = cs + (size_t)p * (size_t)d;
            row[i] = (float)cos(p * e->model->turn[i]);
            row[d / 2 + i] = (float)sin(p * e->model->turn[i]);
        }
    e->n_cs = cap;
    return RAD_OK;
}

void rad_alibi_slopes(int32_t n_head, float *slope)
{
    int32_t power = 1;
    while (2 * power <= n_head)
        power *= 2;
    for (int32_t j = 0; j < power; j++)
        slope[j] = (float)pow(2.0, -8.0 * (j + 1) / power);
    for (int32_t j = power; j < n_head; j++)
        slope[j] = (float)pow(2.0, -4.0 * (2 * (j - power) + 1) / power);
}
