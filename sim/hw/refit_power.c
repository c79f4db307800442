/* refit_power.c - board power of one group of rows: the law of five values, then its surface. */
#include "hw/least.h"
#include "hw/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that count have taken at least WHOLE_S; those of LEAST_S help the surface at its edge. */
#define WHOLE_S 100e-6
#define LEAST_S 60e-6
#define EDGE_WEIGHT 0.3

/* Powers have two modes (docs/hardware-fits.md), so that means lie between them where no row does:
 * the limit of full weight is low, and what is fitted is nearly the median. */
#define POWER_HUBER 0.5

enum { MIN_ROWS = 30, MIN_SURFACE_ROWS = 300 };

struct power_rows {
    const struct rad_refit *r;
    const struct rad_group_rows *g;
    const size_t *index;
    size_t n;
};

static double power_residual(const void *ctx, const double *p, size_t i)
{
    const struct power_rows *rows = ctx;
    const size_t row = rows->index[i];
    const struct rad_power power = {p[0], p[1], p[2], p[3], p[4]};
    const double time_s = exp(rows->g->log_s[row]);
    return log(rad_power_w(&power, &rows->g->work[row], time_s) * time_s / rows->g->joules[row]);
}

static enum rad_status fit_values(const struct power_rows *rows, const double *weight,
                                  struct rad_power *out, struct rad_err *err)
{
    double p[RAD_LAW_N_PARAM] = {150, 6e-13, 5e-11, 600, 3e-5}, most = 0.0;
    for (size_t i = 0; i < rows->n; i++) {
        const size_t row = rows->index[i];
        most = fmax(most, rows->g->joules[row] / exp(rows->g->log_s[row]));
    }
    p[3] = most;
    const struct rad_least l = {.n_row = rows->n,
                                .n_param = 5,
                                .rounds = 4,
                                .huber = POWER_HUBER,
                                .min = {1, 1e-15, 1e-13, 10, 1e-9},
                                .max = {1e4, 1e-10, 1e-8, 1e5, 0.01},
                                .start = {150, 6e-13, 5e-11, most, 3e-5},
                                .sd = {1, 1, 1, 1, 2},
                                .weight = weight,
                                .residual = power_residual,
                                .ctx = rows};
    RAD_TRY(rad_least_fit(&l, p, NULL, err));
    *out = (struct rad_power){p[0], p[1], p[2], p[3], p[4]};
    return RAD_OK;
}

/* What the surface is to make up for: energies as they come out of predicted times. */
static enum rad_status fit_surface(const struct power_rows *rows, const double *weight,
                                   const struct rad_surface *like, struct rad_fit *fit,
                                   struct rad_err *err)
{
    const struct rad_law *law = fit->law;
    double(*x)[RAD_LAW_N_AXIS] = calloc(rows->n, sizeof *x);
    double *r = malloc(rows->n * sizeof *r);
    enum rad_status status = RAD_OK;
    if (x == NULL || r == NULL) {
        status = rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu powers", rows->n);
    } else {
        const struct rad_surface_rows of = {rows->n, (const double(*)[RAD_LAW_N_AXIS])x, r, weight,
                                            POWER_HUBER};
        for (size_t i = 0; i < rows->n; i++) {
            const size_t row = rows->index[i];
            const struct rad_work *work = &rows->g->work[row];
            const double time_s = exp(rows->g->log_s[row] - rad_refit_error(rows->r, fit, row));
            law->power_place(work, x[i]);
            r[i] = log(rows->g->joules[row] / (rad_power_w(&fit->power, work, time_s) * time_s));
        }
        if (like != NULL)
            fit->power_surface = *like;
        else
            rad_surface_knots(
                &fit->power_surface,
                (struct rad_surface_axes){law->power_axes, law->n_power_axis, false, NULL}, &of);
        fit->power_surface.log_ratio = NULL;
        if (fit->power_surface.n_axis > 0)
            status = rad_surface_fit(&fit->power_surface, &of, law->power_hold, err);
    }
    free(r);
    free(x);
    return status;
}

/* Rows of index[n] that have an energy and took long enough, and their weights. */
static void pick(const struct rad_refit *r, const size_t *index, size_t n, size_t *picked,
                 double *weight, struct power_rows *out)
{
    const struct rad_group_rows *g = r->rows;
    *out = (struct power_rows){r, g, picked, 0};
    for (size_t i = 0; i < n; i++) {
        const size_t row = index[i];
        if (!(g->joules[row] > 0.0) || g->log_s[row] < log(LEAST_S))
            continue;
        weight[out->n] = g->log_s[row] < log(WHOLE_S) ? EDGE_WEIGHT : 1.0;
        picked[out->n++] = row;
    }
}

enum rad_status rad_refit_power(const struct rad_refit *r, const size_t *index, size_t n,
                                const struct rad_surface *like, struct rad_fit *fit,
                                struct rad_err *err)
{
    size_t *picked = malloc(n * sizeof *picked + 1);
    double *weight = malloc(n * sizeof *weight + 1);
    struct power_rows rows;
    enum rad_status status = RAD_OK;
    fit->power = (struct rad_power){0};
    fit->power_surface = (struct rad_surface){0};
    if (picked == NULL || weight == NULL) {
        status = rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu powers", n);
    } else {
        pick(r, index, n, picked, weight, &rows);
        if (rows.n >= MIN_ROWS)
            status = fit_values(&rows, weight, &fit->power, err);
        const bool surface = fit->law->n_power_axis > 0 &&
                             (like != NULL ? like->n_axis > 0 : rows.n >= MIN_SURFACE_ROWS);
        if (status == RAD_OK && rows.n >= MIN_ROWS && surface)
            status = fit_surface(&rows, weight, like, fit, err);
    }
    free(weight);
    free(picked);
    return status;
}
