/* fit.c - choosing and evaluating fits: no allocation, no files. */
#include "hw/fit.h"

#include <math.h>
#include <string.h>

size_t rad_surface_cells(const struct rad_surface *s)
{
    size_t n = s->n_axis > 0 ? 1 : 0;
    for (int i = 0; i < s->n_axis; i++)
        n *= (size_t)s->n_knot[i];
    return n;
}

/* The interval of knots[n] that holds x and the share of its upper end. */
static int interval(const double *knots, int n, double x, double *share)
{
    int i = 0;
    while (i + 2 < n && x >= knots[i + 1])
        i++;
    *share = n > 1 ? (x - knots[i]) / (knots[i + 1] - knots[i]) : 0.0;
    *share = fmin(1.0, fmax(0.0, *share));
    return i;
}

bool rad_surface_corners(const struct rad_surface *s, const double x[RAD_LAW_N_AXIS],
                         int cell[RAD_SURFACE_CORNERS], double share[RAD_SURFACE_CORNERS])
{
    bool outside = false;
    int n = 1;
    cell[0] = 0;
    share[0] = 1.0;
    for (int a = 0; a < s->n_axis; a++) {
        const double at = log2(fmax(x[a], 1e-9));
        const int last = s->n_knot[a] - 1;
        double up = 0.0;
        const int i = interval(s->knot[a], s->n_knot[a], at, &up);
        outside = outside || at < s->knot[a][0] - 1e-6 || at > s->knot[a][last] + 1e-6;
        for (int c = 0; c < n; c++) {
            cell[n + c] = cell[c] * s->n_knot[a] + (i < last ? i + 1 : i);
            share[n + c] = share[c] * up;
            cell[c] = cell[c] * s->n_knot[a] + i;
            share[c] *= 1.0 - up;
        }
        n *= 2;
    }
    for (; n < RAD_SURFACE_CORNERS; n++)
        cell[n] = 0, share[n] = 0.0;
    return outside;
}

double rad_surface_value(const struct rad_surface *s, const double x[RAD_LAW_N_AXIS], bool *outside)
{
    double share[RAD_SURFACE_CORNERS], sum = 0.0;
    int cell[RAD_SURFACE_CORNERS];
    *outside = rad_surface_corners(s, x, cell, share);
    for (int c = 0; s->log_ratio != NULL && c < 1 << s->n_axis; c++)
        sum += share[c] * (double)s->log_ratio[cell[c]];
    return sum;
}

void rad_fit_time(const struct rad_fit *fit, const struct rad_chip *chip,
                  const struct rad_work *work, struct rad_law_time *out, bool *extrapolated)
{
    fit->law->time(fit->p, chip, work, out);
    *extrapolated = false;
    if (fit->surface.n_axis == 0)
        return;
    double x[RAD_LAW_N_AXIS];
    fit->law->place(work, x);
    const double log_ratio = rad_surface_value(&fit->surface, x, extrapolated);
    if (fit->surface.log_ratio == NULL)
        return;
    const double ratio = exp(log_ratio);
    out->time_s *= ratio;
    out->compute_s *= ratio;
    out->memory_s *= ratio;
    out->overhead_s *= ratio;
}

double rad_power_w(const struct rad_power *power, const struct rad_work *work, double time_s)
{
    const double bytes = work->weight_bytes + work->act_bytes + work->kv_bytes;
    const double moving_j = work->flop * power->flop_j + bytes * power->byte_j;
    const double asked = power->idle_w + moving_j / (time_s + power->settle_s);
    const double r = asked < power->cap_w ? asked / power->cap_w : power->cap_w / asked;
    double r24 = r * r * r;
    for (int i = 0; i < 3; i++)
        r24 *= r24;
    return fmin(asked, power->cap_w) /
           sqrt(sqrt(sqrt(cbrt(1.0 + r24)))); /* smooth minimum, p = 24 */
}

double rad_fit_power_w(const struct rad_fit *fit, const struct rad_work *work, double time_s)
{
    const double law_w = rad_power_w(&fit->power, work, time_s);
    if (fit->power_surface.log_ratio == NULL)
        return law_w;
    double x[RAD_LAW_N_AXIS];
    bool outside;
    fit->law->power_place(work, x);
    return law_w * exp(rad_surface_value(&fit->power_surface, x, &outside));
}

const char *rad_fit_format(const struct rad_op *op)
{
    if (op->dtype == RAD_TF32 && op->kind != RAD_OP_GEMM && op->kind != RAD_OP_ATTEND)
        return rad_dtype_name(RAD_F32); /* a way of multiplying: the rest is fp32 */
    const char *name = rad_dtype_name(op->dtype);
    if (op->kind != RAD_OP_GEMM || !(op->weight_bytes > 0.0))
        return name;
    const double share = op->weight_bytes / (rad_op_weights(op) * rad_dtype_bytes(op->dtype));
    return share < 0.3 ? "w4a16" : share < 0.6 ? "w8a16" : name;
}

static bool is_half(const char *format)
{
    return strcmp(format, "fp16") == 0 || strcmp(format, "bf16") == 0;
}

bool rad_fit_same_format(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || (is_half(a) && is_half(b));
}

/* How many words of `words` are in text, less a thousandth for each that is not. */
static double words_in(const char *words, const char *text)
{
    double n = 0.0;
    for (const char *at = words; *at != '\0';) {
        char word[48];
        const size_t len = strcspn(at, " ");
        memcpy(word, at, len < sizeof word ? len : 0);
        word[len < sizeof word ? len : 0] = '\0';
        if (len > 0)
            n += strstr(text, word) != NULL ? 1.0 : -0.001;
        at += len + (at[len] == ' ');
    }
    return n;
}

const struct rad_fit *rad_fit_find(const struct rad_fit *fits, size_t n,
                                   const struct rad_fit_key *key)
{
    const struct rad_fit *best = NULL;
    double best_score = -1.0;
    for (size_t i = 0; i < n; i++) {
        const struct rad_fit *f = &fits[i];
        const bool exact = strcmp(f->format, key->format) == 0;
        if (strcmp(f->op, key->op) != 0 || !rad_fit_same_format(f->format, key->format))
            continue;
        const bool like = strncmp(f->data, "like", 4) == 0;
        double score = key->software ? 100.0 * words_in(f->software, key->software) + exact : 0.0;
        if (key->software != NULL) /* its own, of a part like it, or of a class */
            score += f->rows > 0.0 ? 2.0 : like ? 0.5 : 0.0;
        if (f->head_dim > 0.0 && key->head_dim > 0.0)
            score += 90.0 / (1.0 + fabs(log2(f->head_dim / key->head_dim)));
        if (score > best_score) {
            best = f;
            best_score = score;
        }
    }
    return best;
}
