/* calibrate.c - measured rows into the fits of a profile. */
#include "base/stat.h"
#include "hw/group.h"
#include "hw/hw_profile.h"
#include "hw/residual.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ----------------------------------------------------------------------------- */

/* Share of the rows of folds 3 and 4 within the 80 % interval of folds 0 to 2. */
static double coverage(const struct rad_group_rows *g, double *scratch)
{
    size_t n = 0, in = 0, of = 0;
    if (g->held_model != NULL)
        return (double)NAN;
    for (size_t i = 0; i < g->n; i++)
        if (g->fold[i] < 3 && g->weight[i] > 0.5)
            scratch[n++] = g->log_s[i] - g->held_out[i];
    rad_sort_doubles(scratch, n);
    const double lo = rad_quantile(scratch, n, 0.1), hi = rad_quantile(scratch, n, 0.9);
    for (size_t i = 0; i < g->n; i++) {
        if (g->fold[i] < 3 || !(g->weight[i] > 0.5))
            continue;
        const double r = g->log_s[i] - g->held_out[i];
        of++;
        in += r >= lo && r <= hi;
    }
    return of > 0 && n > 0 ? (double)in / (double)of : (double)NAN;
}

/* Errors over held-out rows of full weight (of all, if none has it). */
static void sum_errors(const struct rad_group_rows *g, struct rad_fit *fit,
                       struct rad_fit_report *out, double *scratch)
{
    double *r = scratch, *ape = scratch + g->n;
    size_t n = 0;
    bool any = false;
    for (size_t i = 0; i < g->n; i++)
        any = any || g->weight[i] > 0.5;
    for (size_t i = 0; i < g->n; i++) {
        out->rows += g->fold[i] < RAD_REFIT_FOLDS;
        if (g->fold[i] < RAD_REFIT_FOLDS && (!any || g->weight[i] > 0.5))
            r[n++] = g->log_s[i] - g->held_out[i];
    }
    for (size_t i = 0; i < n; i++)
        ape[i] = fabs(expm1(-r[i]));
    out->mape = rad_mean(ape, n);
    rad_sort_doubles(r, n);
    rad_sort_doubles(ape, n);
    out->median_ape = rad_quantile(ape, n, 0.5);
    out->p90_ape = rad_quantile(ape, n, 0.9);
    out->bias = expm1(-rad_quantile(r, n, 0.5));
    /* few rows: the ends are not seen, so the interval is drawn wider */
    const double wide = 1.0 + 10.0 / (double)(n + 1);
    fit->lo_ratio = fmax(0.02, fmin(1.0, exp(wide * rad_quantile(r, n, 0.1))));
    fit->hi_ratio = fmin(50.0, fmax(1.0, exp(wide * rad_quantile(r, n, 0.9))));
    out->coverage = coverage(g, scratch);
    fit->ape_frac = out->median_ape;
    fit->rows = (double)g->n;
}

static double energy_error(const struct rad_group_rows *g, double *scratch)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (g->held_joules[i] > 0.0 && g->log_s[i] >= log(100e-6) && g->fold[i] < RAD_REFIT_FOLDS)
            scratch[n++] = fabs(g->held_joules[i] / g->joules[i] - 1.0);
    }
    if (n == 0)
        return (double)NAN;
    rad_sort_doubles(scratch, n);
    return rad_quantile(scratch, n, 0.5);
}

static void name_bad_rows(const struct rad_group_rows *g, const struct rad_fit *fit,
                          const struct rad_calibration *o)
{
    const double far = fmax(log(2.0), 4.0 * fmax(log(fit->hi_ratio), -log(fit->lo_ratio)));
    if (o->bad_row == NULL)
        return;
    for (size_t i = 0; i < g->n; i++) {
        const double r = g->log_s[i] - g->held_out[i];
        if (fabs(r) > far)
            o->bad_row(o->ctx, g->row[i], exp(r));
    }
}

static enum rad_status report(const struct rad_refit *r, struct rad_fit *fit,
                              const struct rad_calibration *o, double *scratch, struct rad_err *err)
{
    struct rad_fit_report out = {.op = fit->op,
                                 .format = fit->format,
                                 .software = fit->software,
                                 .head_dim = fit->head_dim,
                                 .model = r->rows->held_model};
    struct rad_buf params = {0};
    sum_errors(r->rows, fit, &out, scratch);
    RAD_TRY(rad_residual_shares(r->rows, fit, &out.ratio_coverage, err));
    out.energy_median_ape = energy_error(r->rows, scratch);
    name_bad_rows(r->rows, fit, o);
    if (o->report == NULL)
        return RAD_OK;
    for (int j = 0; j < fit->law->n_param; j++)
        rad_buf_printf(&params, "%s%s %.4g (%.2g %%)", j > 0 ? ", " : "", fit->law->params[j].key,
                       fit->p[j], 100.0 * r->param_sd[j]);
    out.params = params.data;
    const bool ok = !params.failed;
    if (ok)
        o->report(o->ctx, &out);
    rad_buf_free(&params);
    return ok ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "out of memory for the report");
}

/* ---- calibration ------------------------------------------------------------------------ */

struct job {
    const rad_hw *hw;
    const struct rad_measured *m;
    size_t n;
    const struct rad_calibration *o;
    struct rad_fit *fits; /* new ones, then what is kept of the profile */
    size_t n_fit;
};

static enum rad_status fit_group(struct job *job, const struct rad_group_key *key, char *done,
                                 struct rad_err *err)
{
    struct rad_fit fit = {.law = rad_law_of_class(key->op), .head_dim = key->head_dim};
    struct rad_group_rows g = {0};
    struct rad_chip chip = {0};
    const struct rad_fit_key like = {key->op, key->format, key->software, key->head_dim};
    if (fit.law == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "no law costs operations of kind '%.32s'", key->op);
    snprintf(fit.op, sizeof fit.op, "%s", key->op);
    snprintf(fit.format, sizeof fit.format, "%s", key->format);
    snprintf(fit.software, sizeof fit.software, "%s", key->software);
    snprintf(fit.data, sizeof fit.data, "%s", job->o->data);
    job->hw->model->chip(job->hw->params, key->dtype, &chip);
    enum rad_status status = rad_group_gather(&g, key, fit.law, job->m, job->n, done, job->o, err);
    double *scratch = status == RAD_OK ? malloc(2 * g.n * sizeof *scratch + 1) : NULL;
    const struct rad_fit *from = job->o->fresh ? NULL
                                               : rad_fit_find(job->hw->fits, job->hw->n_fit, &like);
    struct rad_refit r = {.chip = &chip, .rows = &g, .from = from, .dtype = key->dtype};
    for (size_t i = 0; i < job->hw->n_fit && r.prior == NULL; i++)
        if (rad_refit_is_prior(&job->hw->fits[i], &fit))
            r.prior = &job->hw->fits[i];
    if (status == RAD_OK && scratch == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", g.n);
    const bool any = job->o->held_out == RAD_HELD_OUT_SHAPES || g.held_model != NULL;
    if (status == RAD_OK && any)
        status = rad_refit_group(&r, &fit, err);
    if (status == RAD_OK && any)
        status = report(&r, &fit, job->o, scratch, err);
    if (status == RAD_OK && any)
        job->fits[job->n_fit++] = fit;
    else
        rad_fit_clear(&fit);
    free(scratch);
    rad_group_free(&g);
    return status;
}

enum rad_status rad_hw_calibrate(const rad_hw *hw, const struct rad_measured *rows, size_t n,
                                 const struct rad_calibration *options, struct rad_buf *yaml,
                                 struct rad_err *err)
{
    if (hw->model->chip == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "profile '%s': model '%s' takes no fits", hw->name,
                        hw->model->name);
    if (n < 8)
        return rad_fail(err, RAD_E_RANGE, "expected at least 8 measured rows but found %zu", n);
    struct job job = {hw, rows, n, options, calloc(RAD_FIT_MAX, sizeof *job.fits), 0};
    char *done = calloc(n, 1);
    enum rad_status status =
        job.fits && done ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", n);
    for (size_t i = 0; status == RAD_OK && i < n; i++) {
        if (done[i])
            continue;
        const struct rad_group_key key = rad_group_key_of(&rows[i]);
        status = job.n_fit < RAD_FIT_MAX
                     ? fit_group(&job, &key, done, err)
                     : rad_fail(err, RAD_E_RANGE, "expected at most %d kinds of rows", RAD_FIT_MAX);
    }
    if (status == RAD_OK)
        status = rad_fits_text(yaml, hw->text, (struct rad_fit_list){job.fits, job.n_fit},
                               (struct rad_fit_list){hw->fits, hw->n_fit}, err);
    free(done);
    rad_fits_free(job.fits, job.n_fit);
    return status;
}
