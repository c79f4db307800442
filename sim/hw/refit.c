/* refit.c - a law and its surface on one group of rows, and again without each fold. */
#include "hw/refit.h"

#include "hw/least.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A smaller part of the rows: those that the law, or a fold's surface, is fitted on. */
struct part {
    const struct rad_refit *r;
    const struct rad_fit *fit;
    const size_t *index; /* [n] rows */
};

static double law_log(const struct rad_fit *fit, const struct rad_chip *chip,
                      const struct rad_work *work)
{
    struct rad_law_time t;
    bool outside;
    rad_fit_time(fit, chip, work, &t, &outside);
    return log(t.time_s);
}

double rad_refit_error(const struct rad_refit *r, const struct rad_fit *fit, size_t i)
{
    return r->rows->log_s[i] - law_log(fit, r->chip, &r->rows->work[i]);
}

static double residual(const void *ctx, const double *p, size_t i)
{
    const struct part *part = ctx;
    const size_t row = part->index[i];
    struct rad_fit fit = *part->fit; /* with the surface that it starts from, if any */
    memcpy(fit.p, p, sizeof fit.p);
    return -rad_refit_error(part->r, &fit, row);
}

/* Fit the parameters of fit->law on rows index[n], thinned evenly. */
static enum rad_status fit_law(struct rad_refit *r, struct rad_fit *fit, const size_t *index,
                               size_t n, int rounds, struct rad_err *err)
{
    const size_t step = (n + RAD_REFIT_LAW_ROWS - 1) / RAD_REFIT_LAW_ROWS;
    size_t *thin = malloc(n * sizeof *thin + 1);
    double *weight = malloc(n * sizeof *weight + 1);
    struct rad_least l = {
        .n_param = fit->law->n_param, .rounds = rounds, .huber = RAD_HUBER, .residual = residual};
    enum rad_status status = RAD_E_NOMEM;
    if (thin != NULL && weight != NULL) {
        for (size_t i = 0; i < n; i += step, l.n_row++) {
            thin[l.n_row] = index[i];
            weight[l.n_row] = r->rows->weight[index[i]];
        }
        for (int j = 0; j < l.n_param; j++) {
            const struct rad_law_param *p = &fit->law->params[j];
            l.min[j] = p->min;
            l.max[j] = p->max;
            l.start[j] = r->from ? r->from->p[j] : p->start;
            l.sd[j] = r->from ? fmin(p->sd, 0.5) : p->sd;
        }
        const struct part part = {r, fit, thin};
        l.weight = weight;
        l.ctx = &part;
        double p[RAD_LAW_N_PARAM];
        memcpy(p, fit->p, sizeof p);
        status = rad_least_fit(&l, p, r->param_sd, err);
        memcpy(fit->p, p, sizeof p);
    } else {
        (void)rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu rows", n);
    }
    free(weight);
    free(thin);
    return status;
}

static int by_bits(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { ROWS_A_SHAPE = 8 };

#define PRIOR_RIDGE 0.3 /* of what is left of a prior: chosen with its share */

/* Whether the rows are of many shapes, each with many rows: then coordinates are finer. */
static enum rad_status find_fine(struct rad_refit *r, const struct rad_law *law,
                                 struct rad_err *err)
{
    const size_t n = r->rows->n;
    uint64_t *shapes = malloc(n * sizeof *shapes + 1);
    size_t count = 0;
    if (shapes == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu rows", n);
    memcpy(shapes, r->rows->shape, n * sizeof *shapes);
    qsort(shapes, n, sizeof *shapes, by_bits);
    for (size_t i = 0; i < n; i++)
        count += i == 0 || shapes[i] != shapes[i - 1];
    free(shapes);
    r->fine = law->fine_shapes > 0 && count >= law->fine_shapes && n >= ROWS_A_SHAPE * count;
    return RAD_OK;
}

/* Penalised least squares of `rows`, whose r is ln(measured / law), with the knots of fit->surface.
 * With a prior, of what is left of it. */
static enum rad_status solve_surface(const struct rad_refit *r, struct rad_fit *fit,
                                     const struct rad_surface_rows *rows, double *left,
                                     struct rad_err *err)
{
    const struct rad_law *law = fit->law;
    struct rad_surface likely = fit->surface;
    if (fit->surface.n_axis == 0)
        return RAD_OK;
    if (r->prior == NULL || r->fine)
        return rad_surface_fit(&fit->surface, rows, r->fine ? law->fine_hold : law->hold, err);
    RAD_TRY(rad_refit_prior(r, fit, &likely, err));
    for (size_t i = 0; i < rows->n; i++) {
        bool outside;
        left[i] -= rad_surface_value(&likely, rows->x[i], &outside);
    }
    const struct rad_law_hold hold = {law->hold.smooth, PRIOR_RIDGE};
    const enum rad_status status = rad_surface_fit(&fit->surface, rows, hold, err);
    for (size_t c = 0; status == RAD_OK && c < rad_surface_cells(&likely); c++)
        fit->surface.log_ratio[c] += likely.log_ratio[c];
    free(likely.log_ratio);
    return status;
}

/* The surface on rows index[n] under the fitted law, with the knots of `like` (or new ones). */
static enum rad_status fit_surface(const struct rad_refit *r, struct rad_fit *fit,
                                   const struct rad_surface *like, const size_t *index, size_t n,
                                   struct rad_err *err)
{
    double(*x)[RAD_LAW_N_AXIS] = malloc(n * sizeof *x + 1);
    double *memory = malloc(2 * n * sizeof *memory + 1);
    enum rad_status status = RAD_OK;
    if (x == NULL || memory == NULL) {
        status = rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu rows", n);
    } else {
        const struct rad_law *law = fit->law;
        const struct rad_surface_rows rows = {n, (const double(*)[RAD_LAW_N_AXIS])x, memory,
                                              memory + n, RAD_HUBER};
        const struct rad_surface_axes axes = {r->fine ? law->fine_axes : law->axes, law->n_axis,
                                              law->steps,
                                              r->prior && !r->fine ? &r->prior->surface : NULL};
        fit->surface = (struct rad_surface){0};
        for (size_t i = 0; i < n; i++) {
            memcpy(x[i], r->rows->x[index[i]], sizeof x[i]);
            memory[i] = rad_refit_error(r, fit, index[i]);
            memory[n + i] = r->rows->weight[index[i]];
        }
        if (like != NULL)
            fit->surface = *like;
        else
            rad_surface_knots(&fit->surface, axes, &rows);
        fit->surface.log_ratio = NULL;
        status = solve_surface(r, fit, &rows, memory, err);
    }
    free(memory);
    free(x);
    return status;
}

/* Too few rows for a surface: it stays that of `from`, but for a shift. */
static bool keeps_surface(const struct rad_refit *r)
{
    return r->rows->n < (r->from != NULL ? 60 : 24);
}

/* Add s, a function of the first coordinate, to the cells of a surface. */
static void add_shift(struct rad_surface *to, const struct rad_surface *s)
{
    const size_t cells = rad_surface_cells(to), rest = cells / (size_t)to->n_knot[0];
    for (size_t c = 0; c < cells; c++) {
        const double x[RAD_LAW_N_AXIS] = {exp2(to->knot[0][c / rest])};
        double share[RAD_SURFACE_CORNERS];
        int cell[RAD_SURFACE_CORNERS];
        (void)rad_surface_corners(s, x, cell, share);
        to->log_ratio[c] += (float)(share[0] * (double)s->log_ratio[cell[0]] +
                                    share[1] * (double)s->log_ratio[cell[1]]);
    }
}

/* What is left on rows index[n] along the first coordinate, as if nothing were seen in as many
 * rows as a knot weighs, into the surface that is kept. */
static enum rad_status shift_surface(const struct rad_refit *r, struct rad_fit *fit,
                                     const size_t *index, size_t n, struct rad_err *err)
{
    enum { MAX_ROWS = 64, ROWS_A_KNOT = 4 };
    double x[MAX_ROWS][RAD_LAW_N_AXIS], error[MAX_ROWS], weight[MAX_ROWS];
    struct rad_surface s = {.n_axis = 1, .n_knot = {(int)(n / ROWS_A_KNOT)}};
    double lo = (double)INFINITY, hi = 0.0;
    if (n > MAX_ROWS || s.n_knot[0] < 2 || fit->surface.log_ratio == NULL)
        return RAD_OK;
    for (size_t i = 0; i < n; i++) {
        memcpy(x[i], r->rows->x[index[i]], sizeof x[i]);
        error[i] = rad_refit_error(r, fit, index[i]);
        weight[i] = r->rows->weight[index[i]];
        lo = fmin(lo, log2(x[i][0]));
        hi = fmax(hi, log2(x[i][0]));
    }
    if (!(hi > lo + 1.0))
        return RAD_OK;
    for (int i = 0; i < s.n_knot[0]; i++)
        s.knot[0][i] = lo + (hi - lo) * i / (s.n_knot[0] - 1);
    const struct rad_surface_rows rows = {n, (const double(*)[RAD_LAW_N_AXIS])x, error, weight,
                                          RAD_HUBER};
    RAD_TRY(rad_surface_fit(&s, &rows, (struct rad_law_hold){0.03, 0.3}, err));
    add_shift(&fit->surface, &s);
    free(s.log_ratio);
    return RAD_OK;
}

/* The fit's time and energy of row i. */
static void predict(const struct rad_refit *r, const struct rad_fit *fit, size_t i)
{
    const struct rad_group_rows *g = r->rows;
    const double log_s = g->log_s[i] - rad_refit_error(r, fit, i), time_s = exp(log_s);
    const bool powered = g->joules[i] > 0.0 && fit->power.cap_w > 0.0;
    g->held_out[i] = log_s;
    g->held_joules[i] = powered ? rad_fit_power_w(fit, &g->work[i], time_s) * time_s : 0.0;
}

/* Without one fold: predictions of its rows into held_out. */
static enum rad_status leave_out(struct rad_refit *r, const struct rad_fit *whole, int fold,
                                 size_t *index, struct rad_err *err)
{
    const struct rad_group_rows *g = r->rows;
    struct rad_fit fit = *whole;
    double sd[RAD_LAW_N_PARAM];
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->fold[i] != fold)
            index[n++] = i;
    if (n == g->n || n == 0)
        return RAD_OK;
    const bool keep = keeps_surface(r);
    /* where steps are is for the rows to say that are left */
    const struct rad_surface *like = fit.law->steps ? NULL : &whole->surface;
    fit.surface = (struct rad_surface){0};
    fit.power_surface = (struct rad_surface){0};
    if (keep && r->from != NULL)
        RAD_TRY(rad_surface_copy(&fit.surface, &r->from->surface, err));
    memcpy(sd, r->param_sd, sizeof sd); /* of the whole fit: not of this one */
    enum rad_status status = fit_law(r, &fit, index, n, 2, err);
    memcpy(r->param_sd, sd, sizeof sd);
    if (status == RAD_OK)
        status = keep ? shift_surface(r, &fit, index, n, err)
                      : fit_surface(r, &fit, like, index, n, err);
    if (status == RAD_OK)
        status = rad_refit_power(r, index, n, &whole->power_surface, &fit, err);
    for (size_t i = 0; status == RAD_OK && i < g->n; i++)
        if (g->fold[i] == fold)
            predict(r, &fit, i);
    rad_fit_clear(&fit);
    return status;
}

enum rad_status rad_refit_group(struct rad_refit *r, struct rad_fit *fit, struct rad_err *err)
{
    const struct rad_group_rows *g = r->rows;
    size_t *index = malloc(g->n * sizeof *index + 1);
    if (index == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu rows", g->n);
    for (size_t i = 0; i < g->n; i++)
        index[i] = i;
    for (int j = 0; j < fit->law->n_param; j++)
        fit->p[j] = r->from ? r->from->p[j] : fit->law->params[j].start;
    enum rad_status status = find_fine(r, fit->law, err);
    if (status == RAD_OK && r->from != NULL && keeps_surface(r))
        status = rad_surface_copy(&fit->surface, &r->from->surface, err);
    if (status == RAD_OK)
        status = fit_law(r, fit, index, g->n, 5, err);
    if (status == RAD_OK)
        status = keeps_surface(r) ? shift_surface(r, fit, index, g->n, err)
                                  : fit_surface(r, fit, NULL, index, g->n, err);
    if (status == RAD_OK)
        status = rad_refit_power(r, index, g->n, NULL, fit, err);
    for (size_t i = 0; i < g->n; i++)
        predict(r, fit, i);
    for (int fold = 0; status == RAD_OK && fold < RAD_REFIT_FOLDS; fold++)
        status = leave_out(r, fit, fold, index, err);
    free(index);
    return status;
}
