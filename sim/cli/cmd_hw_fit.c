/* cmd_hw_fit.c - `radial hw calibrate HW --measured F.csv`: a profile fitted to measured kernels.
 */
#include "cli/cmd_hw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WARNINGS = 10 };

struct job {
    const struct hw_options *o;
    struct ops_row *rows;
    struct rad_measured *measured;
    const char *name; /* of the profile */
    size_t n, n_bad, n_refused, n_hot, n_other;
    rad_out *out;
};

static void put_report(void *ctx, const struct rad_fit_report *r)
{
    struct job *job = ctx;
    rad_out *out = job->out;
    rad_out_begin_row(out);
    rad_out_text(out, "op", r->op);
    rad_out_text(out, "dtype", r->format);
    rad_out_text(out, "software", r->software);
    rad_out_int(out, "head_dim", (int64_t)r->head_dim);
    rad_out_int(out, "rows", (int64_t)r->rows);
    rad_out_real(out, "median_ape", r->median_ape);
    rad_out_real(out, "mape", r->mape);
    rad_out_real(out, "p90_ape", r->p90_ape);
    rad_out_real(out, "bias", r->bias);
    rad_out_real(out, "coverage", r->coverage);
    rad_out_real(out, "ratio_coverage", r->ratio_coverage);
    rad_out_real(out, "energy_median_ape", r->energy_median_ape);
    rad_out_text(out, "params", r->params);
    rad_out_end_row(out);
}

static void bad_row(void *ctx, size_t row, double ratio)
{
    struct job *job = ctx;
    if (job->n_bad++ < MOST_WARNINGS)
        rad_cli_warn("hw calibrate", "%s: row %zu: measured %.3g times what the fit says",
                     job->o->measured, row, ratio);
}

/* Whether row i is of the part: of no part, of one that no profile has, or of this one. */
static enum rad_status is_of(const struct job *job, struct ops_table *t, size_t i, bool *yes,
                             struct rad_err *err)
{
    const char *profile = "";
    bool known = false;
    RAD_TRY(ops_hardware(t, i, &profile, &known, err));
    *yes = !known || strcmp(profile, job->name) == 0;
    return RAD_OK;
}

/* Row i, if it can be fitted; a row that cannot be read is named. */
static enum rad_status take(struct job *job, struct ops_table *t, size_t i, struct rad_err *err)
{
    struct ops_row *row = &job->rows[job->n];
    struct rad_err why;
    bool mine = false;
    RAD_TRY(is_of(job, t, i, &mine, err));
    if (!mine) {
        job->n_other++;
        return RAD_OK;
    }
    enum rad_status status = ops_row(t, i, row, &why);
    if (status == RAD_OK && !(row->m.latency_s > 0.0))
        status = rad_fail(&why, RAD_E_RANGE, "column latency_us: expected a positive number");
    if (status != RAD_OK && job->n_refused++ < MOST_WARNINGS)
        rad_cli_warn("hw calibrate", "%s: row %zu: %s; left out", t->path, i + 1, why.msg);
    job->n_hot += status == RAD_OK && row->hot;
    if (status != RAD_OK || row->hot)
        return RAD_OK;
    job->measured[job->n] = ops_row_measured(row);
    if (job->o->software != NULL)
        job->measured[job->n].software = job->o->software;
    job->n++;
    return RAD_OK;
}

static enum rad_status read_rows(struct job *job, struct ops_table *t, struct rad_err *err)
{
    job->rows = calloc(t->csv.n_row + 1, sizeof *job->rows);
    job->measured = calloc(t->csv.n_row + 1, sizeof *job->measured);
    if (job->rows == NULL || job->measured == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", t->csv.n_row);
    for (size_t i = 0; i < t->csv.n_row; i++)
        RAD_TRY(take(job, t, i, err));
    if (job->n_refused > MOST_WARNINGS)
        rad_cli_warn("hw calibrate", "%s: %zu rows were left out in all", t->path, job->n_refused);
    if (job->n_hot > 0)
        rad_cli_warn("hw calibrate", "%s: %zu rows with weights hot in L2 were left out", t->path,
                     job->n_hot);
    if (job->n_other > 0)
        rad_cli_warn("hw calibrate", "%s: %zu rows of other hardware were left out", t->path,
                     job->n_other);
    return RAD_OK;
}

static enum rad_status fit(struct job *job, const rad_hw *hw, struct rad_err *err)
{
    struct rad_buf yaml = {0};
    const struct rad_calibration options = {
        .data = job->o->data ? job->o->data : job->o->measured,
        .points = job->o->points,
        .report = put_report,
        .bad_row = bad_row,
        .ctx = job,
    };
    rad_hw *check = NULL;
    enum rad_status status = rad_hw_calibrate(hw, job->measured, job->n, &options, &yaml, err);
    if (status == RAD_OK) /* nothing is written that would not be read */
        status = rad_hw_parse(&check, yaml.data, yaml.len, job->o->out_path, err);
    rad_hw_close(check);
    if (status == RAD_OK)
        status = rad_cli_write(job->o->out_path, yaml.data, yaml.len, err);
    rad_buf_free(&yaml);
    if (job->n_bad > MOST_WARNINGS)
        rad_cli_warn("hw calibrate", "%s: %zu rows are far from the fit in all", job->o->measured,
                     job->n_bad);
    return status;
}

/* ---- class fits ---------------------------------------------------------------------------- */

enum { MAX_DONOR = 64 };

/* Open the profiles of a list of names between commas. */
static enum rad_status open_list(const char *names, rad_hw *hw[MAX_DONOR], size_t *n,
                                 struct rad_err *err)
{
    for (const char *at = names; *at != '\0';) {
        char name[RAD_HW_NAME];
        const size_t len = strcspn(at, ",");
        if (len == 0 || len >= sizeof name || *n == MAX_DONOR)
            return rad_fail(err, RAD_E_RANGE, "--like: expected names between commas");
        memcpy(name, at, len);
        name[len] = '\0';
        RAD_TRY(rad_hw_open(&hw[*n], name, err));
        ++*n;
        at += len + (at[len] == ',');
    }
    return RAD_OK;
}

int hw_calibrate_like(const struct hw_options *o)
{
    struct rad_buf yaml = {0};
    struct rad_err err;
    rad_hw *donor[MAX_DONOR] = {NULL}, *hw = NULL, *check = NULL;
    size_t n = 0;
    enum rad_status status = rad_hw_open(&hw, o->sub.arg[0], &err);
    if (status == RAD_OK)
        status = open_list(o->like, donor, &n, &err);
    if (status == RAD_OK)
        status = rad_hw_pool(hw, (const rad_hw *const *)donor, n, false, &yaml, &err);
    if (status == RAD_OK)
        status = rad_hw_parse(&check, yaml.data, yaml.len, o->out_path, &err);
    if (status == RAD_OK)
        status = rad_cli_write(o->out_path, yaml.data, yaml.len, &err);
    for (size_t i = 0; i < n; i++)
        rad_hw_close(donor[i]);
    rad_hw_close(check);
    rad_hw_close(hw);
    rad_buf_free(&yaml);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw calibrate", &err);
}

int hw_calibrate_measured(const struct hw_options *o)
{
    struct job job = {.o = o};
    struct ops_table t = {.path = o->measured};
    struct rad_err err;
    rad_hw *hw = NULL;
    enum rad_status status = rad_hw_open(&hw, o->sub.arg[0], &err);
    if (status == RAD_OK)
        status = ops_open(&t, o->measured, &err);
    job.name = hw ? rad_hw_name(hw) : "";
    if (status == RAD_OK)
        status = read_rows(&job, &t, &err);
    (void)rad_out_open(&job.out, o->sub.common.format, stdout);
    if (status == RAD_OK)
        status = fit(&job, hw, &err);
    const enum rad_status printed = rad_out_close(job.out, false, status == RAD_OK ? &err : NULL);
    status = status == RAD_OK ? printed : status;
    free(job.measured);
    free(job.rows);
    ops_close(&t);
    rad_hw_close(hw);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw calibrate", &err);
}
