/* hw_residual.c - see hw_residual.h. */
#include "hw/hw_profile.h"
#include "hw/residual.h"

#include <math.h>
#include <string.h>

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Where no fit says: half of what a closed form errs by is the same for all shapes of a kind. Of
 * fits without shares in the profile: what fits with them have, as a rule. Assumptions both. */
static const double closed_form[RAD_N_RESIDUAL] = {0.5, 0.1, 0.2, 0.2};
static const double class_fit[RAD_N_RESIDUAL] = {0.6, 0.1, 0.1, 0.2};
static const double own_fit[RAD_N_RESIDUAL] = {0.0, 0.15, 0.15, 0.7};

static void fit_shares(const struct rad_fit *fit, double out[RAD_N_RESIDUAL])
{
    const double *rule = fit == NULL ? closed_form : fit->rows > 0.0 ? own_fit : class_fit;
    memcpy(out, rule, RAD_N_RESIDUAL * sizeof *out);
    if (fit == NULL || fit->common_frac < 0.0)
        return;
    out[RAD_RESIDUAL_FIT] = fit->common_frac;
    out[RAD_RESIDUAL_SHAPE] = fit->shape_frac;
    out[RAD_RESIDUAL_NEAR] = fit->near_frac;
    out[RAD_RESIDUAL_OWN] = fmax(0.0, 1.0 - fit->common_frac - fit->shape_frac - fit->near_frac);
}

void rad_hw_residual(const rad_hw *hw, const struct rad_op *op, const struct rad_prediction *p,
                     struct rad_residual *out)
{
    const struct rad_fit *fit = p->fit;
    const char *class_name = rad_work_class(op);
    const struct rad_law *law = rad_law_of_class(class_name);
    const struct rad_work work = rad_work_of(op);
    double x[RAD_LAW_N_AXIS] = {0};
    const uint64_t id = fit ? (uint64_t)(fit - hw->fits) + 64
                            : (uint64_t)op->kind * RAD_N_DTYPE + op->dtype + 4096;
    out->sd = log(p->hi_s / p->lo_s) / (2.0 * RAD_RESIDUAL_Z80);
    fit_shares(fit, out->share_frac);
    law->place(&work, x);
    const uint64_t seed = rad_scatter(id + 1);
    const uint64_t shape = rad_residual_shape(class_name, &work) ^ seed;
    out->key[RAD_RESIDUAL_FIT] = seed | 1;
    out->key[RAD_RESIDUAL_SHAPE] = shape | 1;
    out->key[RAD_RESIDUAL_NEAR] = rad_residual_near(shape, x, law->n_axis) | 1;
    const uint64_t own = rad_scatter(shape + (uint64_t)op->n_keys) ^ bits_of(op->act_bytes);
    out->key[RAD_RESIDUAL_OWN] =
        rad_scatter(own + bits_of(op->weight_bytes) * 3 + bits_of(op->kv_bytes)) | 1;
}

void rad_hw_residual_overhead(const rad_hw *hw, int which, struct rad_residual *out)
{
    *out = (struct rad_residual){.sd = log1p(rad_hw_error_frac(hw)) / RAD_RESIDUAL_Z80,
                                 .share_frac = {1, 0, 0, 0}};
    for (int i = 0; i < RAD_N_RESIDUAL; i++)
        out->key[i] = rad_scatter((uint64_t)which + 8192) | 1;
}

double rad_residual_pair_sd(const struct rad_residual *a, const struct rad_residual *b)
{
    double sum = 0.0;
    for (int i = 0; i < RAD_N_RESIDUAL; i++) {
        const double x = a->sd * sqrt(a->share_frac[i]), y = b->sd * sqrt(b->share_frac[i]);
        sum += a->key[i] == b->key[i] ? (x - y) * (x - y) : x * x + y * y;
    }
    return sqrt(sum);
}

/* ---- sums ------------------------------------------------------------------------------- */

void rad_residual_clear(struct rad_residual_sum *s)
{
    memset(s->cell, 0, s->size * sizeof *s->cell);
    s->used = 0;
    s->alone[0] = s->alone[1] = 0.0;
}

static void add_part(struct rad_residual_sum *s, uint64_t key, int side, double seconds)
{
    size_t i = (size_t)(key >> 8) & (s->size - 1);
    while (s->cell[i].key != 0 && s->cell[i].key != key)
        i = (i + 1) & (s->size - 1);
    if (s->cell[i].key == 0) {
        if (s->used + 1 >= s->size - s->size / 4) {
            s->alone[side] += seconds * seconds;
            return;
        }
        s->cell[i].key = key;
        s->used++;
    }
    s->cell[i].sum[side] += seconds;
}

void rad_residual_add(struct rad_residual_sum *s, const struct rad_residual *r, int side,
                      double seconds)
{
    for (int i = 0; i < RAD_N_RESIDUAL; i++)
        if (r->share_frac[i] > 0.0)
            add_part(s, r->key[i], side, seconds * r->sd * sqrt(r->share_frac[i]));
}

double rad_residual_ratio_sd(const struct rad_residual_sum *s, const double total_s[2])
{
    double sum = s->alone[0] / (total_s[0] * total_s[0]) + s->alone[1] / (total_s[1] * total_s[1]);
    for (size_t i = 0; i < s->size; i++) {
        const double v = s->cell[i].sum[0] / total_s[0] - s->cell[i].sum[1] / total_s[1];
        sum += v * v;
    }
    return sqrt(sum);
}
