/* calibrate.c - measured rows into the fits of a profile. */
#include "base/stat.h"
#include "hw/hw_profile.h"
#include "hw/refit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What makes rows one group. */
struct key {
    const char *op, *format, *software;
    enum rad_dtype dtype;
    double head_dim;
};

static struct key key_of(const struct rad_measured *m)
{
    if (m->link.bytes > 0.0)
        return (struct key){m->link.kind, "any", m->software, RAD_F32, 0.0};
    return (struct key){rad_work_class(&m->op), rad_fit_format(&m->op), m->software, m->op.dtype,
                        m->op.kind == RAD_OP_ATTEND ? m->op.head_dim : 0.0};
}

static bool same(const struct key *a, const struct key *b)
{
    return strcmp(a->op, b->op) == 0 && strcmp(a->format, b->format) == 0 &&
           strcmp(a->software, b->software) == 0 && !(fabs(a->head_dim - b->head_dim) > 0.0);
}

/* ---- groups ----------------------------------------------------------------------------- */

static void free_rows(struct rad_group_rows *g)
{
    free(g->work);
    free(g->x);
    free(g->log_s);
    free(g->fold);
    free(g->shape);
    free(g->row);
}

static enum rad_status alloc_rows(struct rad_group_rows *g, size_t n, struct rad_err *err)
{
    *g = (struct rad_group_rows){.work = malloc(n * sizeof *g->work),
                                 .x = malloc(n * sizeof *g->x),
                                 .log_s = malloc(4 * n * sizeof *g->log_s),
                                 .fold = calloc(n, sizeof *g->fold),
                                 .shape = malloc(n * sizeof *g->shape),
                                 .row = malloc(n * sizeof *g->row)};
    if (!g->work || !g->x || !g->log_s || !g->fold || !g->shape || !g->row)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", n);
    g->weight = g->log_s + n;
    g->joules = g->weight + n;
    g->held_out = g->joules + n;
    return RAD_OK;
}

/* The shape by which a row is held out, scattered: two that share it are held out together. */
static uint64_t shape_of(const struct key *key, const struct rad_work *w)
{
    double shape = w->n;
    if (strcmp(key->op, "gemm") == 0)
        shape = w->n * 1048573.0 + w->k;
    else if (w->heads > 0.0)
        shape = w->heads * 4099.0 + w->kv_heads;
    else if (w->bytes > 0.0)
        shape = w->bytes;
    uint64_t bits;
    memcpy(&bits, &shape, sizeof bits);
    bits ^= bits >> 33;
    bits *= 0xff51afd7ed558ccdULL; /* murmur3's finaliser: neighbours fall apart */
    bits ^= bits >> 29;
    bits *= 0xc4ceb9fe1a85ec53ULL;
    return bits ^ (bits >> 32);
}

static void add_row(struct rad_group_rows *g, const struct key *key, const struct rad_law *law,
                    const struct rad_measured *m)
{
    const size_t i = g->n++;
    const bool is_link = m->link.bytes > 0.0;
    g->work[i] = is_link ? (struct rad_work){.bytes = m->link.bytes, .ranks = m->link.ranks}
                         : rad_work_of(&m->op);
    law->place(&g->work[i], g->x[i]);
    g->log_s[i] = log(m->latency_s);
    g->weight[i] = m->op.kind == RAD_OP_ATTEND && m->latency_s < 20e-6 ? 0.2 : 1.0;
    g->joules[i] = m->energy_j;
    g->shape[i] = shape_of(key, &g->work[i]);
    g->row[i] = m->row;
}

/* Keep `points` of the rows, evenly spaced in the order of their time. */
struct timed {
    double log_s;
    size_t at;
};

static int by_time(const void *a, const void *b)
{
    const struct timed *x = a, *y = b;
    if (x->log_s < y->log_s || x->log_s > y->log_s)
        return x->log_s < y->log_s ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static enum rad_status thin(struct rad_group_rows *g, size_t points, struct rad_err *err)
{
    if (points == 0 || points >= g->n)
        return RAD_OK;
    struct timed *order = malloc(g->n * sizeof *order);
    char *keep = calloc(g->n, 1);
    if (order != NULL && keep != NULL) {
        size_t n = 0;
        for (size_t i = 0; i < g->n; i++)
            order[i] = (struct timed){g->log_s[i], i};
        qsort(order, g->n, sizeof *order, by_time);
        for (size_t j = 0; j < points; j++)
            keep[order[(size_t)(((double)j + 0.5) * (double)g->n / (double)points)].at] = 1;
        for (size_t i = 0; i < g->n; i++) {
            if (!keep[i])
                continue;
            g->work[n] = g->work[i];
            memcpy(g->x[n], g->x[i], sizeof g->x[n]);
            g->log_s[n] = g->log_s[i];
            g->weight[n] = g->weight[i];
            g->joules[n] = g->joules[i];
            g->shape[n] = g->shape[i];
            g->row[n++] = g->row[i];
        }
        g->n = n;
    }
    const bool ok = order != NULL && keep != NULL;
    free(keep);
    free(order);
    return ok ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", g->n);
}

static int by_shape(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Shapes go round the folds in their scattered order, so that all folds have as many. */
static enum rad_status deal_folds(struct rad_group_rows *g, struct rad_err *err)
{
    uint64_t *shapes = malloc(g->n * sizeof *shapes + 1);
    size_t n = 0;
    if (shapes == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", g->n);
    memcpy(shapes, g->shape, g->n * sizeof *shapes);
    qsort(shapes, g->n, sizeof *shapes, by_shape);
    for (size_t i = 0; i < g->n; i++)
        if (n == 0 || shapes[i] != shapes[n - 1])
            shapes[n++] = shapes[i];
    for (size_t i = 0; i < g->n; i++) {
        const uint64_t *at = bsearch(&g->shape[i], shapes, n, sizeof *shapes, by_shape);
        g->fold[i] = (int)((at - shapes) % RAD_REFIT_FOLDS);
    }
    free(shapes);
    return RAD_OK;
}

/* ---- errors ----------------------------------------------------------------------------- */

/* Share of the rows of folds 3 and 4 within the 80 % interval of folds 0 to 2. */
static double coverage(const struct rad_group_rows *g, double *scratch)
{
    size_t n = 0, in = 0, of = 0;
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

/* Errors over rows of full weight (of all, if none has it). */
static void sum_errors(const struct rad_group_rows *g, struct rad_fit *fit,
                       struct rad_fit_report *out, double *scratch)
{
    double *r = scratch, *ape = scratch + g->n;
    size_t n = 0;
    bool any = false;
    for (size_t i = 0; i < g->n; i++)
        any = any || g->weight[i] > 0.5;
    for (size_t i = 0; i < g->n; i++)
        if (!any || g->weight[i] > 0.5)
            r[n++] = g->log_s[i] - g->held_out[i];
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
    out->rows = g->n;
}

static double energy_error(const struct rad_group_rows *g, const struct rad_fit *fit,
                           double *scratch)
{
    size_t n = 0;
    if (!(fit->power.cap_w > 0.0))
        return (double)NAN;
    for (size_t i = 0; i < g->n; i++) {
        if (!(g->joules[i] > 0.0) || g->log_s[i] < log(100e-6))
            continue;
        const double time_s = exp(g->held_out[i]);
        const double joules = rad_power_w(&fit->power, &g->work[i], time_s) * time_s;
        scratch[n++] = fabs(joules / g->joules[i] - 1.0);
    }
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
    struct rad_fit_report out = {
        .op = fit->op, .format = fit->format, .software = fit->software, .head_dim = fit->head_dim};
    struct rad_buf params = {0};
    sum_errors(r->rows, fit, &out, scratch);
    out.energy_median_ape = energy_error(r->rows, fit, scratch);
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

static enum rad_status gather(const struct job *job, const struct key *key, char *done,
                              const struct rad_law *law, struct rad_group_rows *g,
                              struct rad_err *err)
{
    RAD_TRY(alloc_rows(g, job->n, err));
    for (size_t i = 0; i < job->n; i++) {
        const struct key k = key_of(&job->m[i]);
        if (done[i] || !same(&k, key))
            continue;
        done[i] = 1;
        add_row(g, key, law, &job->m[i]);
    }
    RAD_TRY(thin(g, job->o->points, err));
    return deal_folds(g, err);
}

static enum rad_status fit_group(struct job *job, const struct key *key, char *done,
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
    enum rad_status status = gather(job, key, done, fit.law, &g, err);
    double *scratch = status == RAD_OK ? malloc(2 * g.n * sizeof *scratch + 1) : NULL;
    const struct rad_fit *from = job->o->fresh ? NULL
                                               : rad_fit_find(job->hw->fits, job->hw->n_fit, &like);
    struct rad_refit r = {&chip, &g, from, {0}};
    if (status == RAD_OK && scratch == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", g.n);
    if (status == RAD_OK)
        status = rad_refit_group(&r, &fit, err);
    if (status == RAD_OK)
        status = report(&r, &fit, job->o, scratch, err);
    if (status == RAD_OK) {
        job->fits[job->n_fit++] = fit;
    } else {
        free(fit.surface.log_ratio);
    }
    free(scratch);
    free_rows(&g);
    return status;
}

static bool replaced(const struct job *job, size_t n_new, const struct rad_fit *old)
{
    for (size_t i = 0; i < n_new; i++) {
        const struct rad_fit *f = &job->fits[i];
        if (strcmp(f->op, old->op) == 0 && strcmp(f->format, old->format) == 0 &&
            strcmp(f->software, old->software) == 0 && !(fabs(f->head_dim - old->head_dim) > 0.0))
            return true;
    }
    return false;
}

/* The profile without its fits, then new fits, then the old ones that are not replaced. */
static enum rad_status write_profile(const struct job *job, struct rad_buf *yaml,
                                     struct rad_err *err)
{
    const char *text = job->hw->text, *fits = strstr(text, "\nfits:");
    const size_t len = fits ? (size_t)(fits - text) + 1 : strlen(text);
    rad_buf_append(yaml, text, len);
    rad_buf_add(yaml, len > 0 && text[len - 1] != '\n' ? "\nfits:\n" : "fits:\n");
    for (size_t i = 0; i < job->n_fit; i++)
        rad_fit_write(yaml, &job->fits[i]);
    for (size_t i = 0; i < job->hw->n_fit; i++)
        if (!replaced(job, job->n_fit, &job->hw->fits[i]))
            rad_fit_write(yaml, &job->hw->fits[i]);
    return yaml->failed ? rad_fail(err, RAD_E_NOMEM, "out of memory for the profile") : RAD_OK;
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
        const struct key key = key_of(&rows[i]);
        status = job.n_fit < RAD_FIT_MAX
                     ? fit_group(&job, &key, done, err)
                     : rad_fail(err, RAD_E_RANGE, "expected at most %d kinds of rows", RAD_FIT_MAX);
    }
    if (status == RAD_OK)
        status = write_profile(&job, yaml, err);
    free(done);
    rad_fits_free(job.fits, job.n_fit);
    return status;
}
