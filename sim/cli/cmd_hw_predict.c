/* cmd_hw_predict.c - `radial hw predict`: every row of a CSV of operations, costed. */
#include "cli/cmd_hw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rented by the hour, and owned: capital of the time and electricity of the energy. */
static void put_usd(rad_out *out, const rad_hw *hw, const struct rad_cost *c)
{
    const double time_s = c ? c->time_s : (double)NAN;
    const double energy_j = c ? c->dynamic_j + c->memory_j + c->static_j : (double)NAN;
    rad_out_real(out, "pred_usd", time_s / 3600.0 * rad_hw_usd_per_hour(hw));
    rad_out_real(out, "pred_owned_usd",
                 time_s / 3600.0 * rad_hw_owned_usd_per_hour(hw) +
                     energy_j * rad_hw_usd_per_joule(hw));
}

struct predicted {
    const rad_hw *hw;
    const struct rad_op *op;
    const struct rad_prediction *p; /* NULL: it cannot be costed */
};

/* Time over that of another operation. Transfers have no ratios. */
static void put_ratio(rad_out *out, const struct predicted *a, const struct predicted *b)
{
    double ratio = (double)NAN, wide = (double)NAN;
    if (a->p != NULL && b->p != NULL && a->op->m > 0 && b->op->m > 0) {
        struct rad_residual x, y;
        rad_hw_residual(a->hw, a->op, a->p, &x);
        rad_hw_residual(b->hw, b->op, b->p, &y);
        ratio = a->p->cost.time_s / b->p->cost.time_s;
        wide = exp(RAD_RESIDUAL_Z80 * rad_residual_pair_sd(&x, &y));
    }
    rad_out_real(out, "pred_ratio", ratio);
    rad_out_real(out, "ratio_lo", ratio / wide);
    rad_out_real(out, "ratio_hi", ratio * wide);
}

/* Columns of a prediction; the last three with --against. */
static const char *const ours[] = {"pred_latency_s", "pred_energy_j", "lo_s",     "hi_s",
                                   "extrapolated",   "bound",         "pred_usd", "pred_owned_usd",
                                   "pred_ratio",     "ratio_lo",      "ratio_hi"};
enum { N_OURS = sizeof ours / sizeof ours[0], N_RATIO = 3 };

/* Of an earlier prediction, which this one replaces. */
static bool is_ours(const char *column)
{
    for (size_t i = 0; i < N_OURS; i++)
        if (strcmp(column, ours[i]) == 0)
            return true;
    return false;
}

/* A table without rows has its header all the same. */
static void put_header(rad_out *out, const struct ops_table *t, bool ratios)
{
    for (size_t i = 0; i < t->csv.n_column; i++)
        if (!is_ours(csv_header(&t->csv, i)))
            rad_out_column(out, csv_header(&t->csv, i));
    for (size_t i = 0; i < N_OURS - (ratios ? 0 : N_RATIO); i++)
        rad_out_column(out, ours[i]);
}

static void put_row(rad_out *out, const struct ops_table *t, size_t row, struct predicted what,
                    const struct predicted *against)
{
    const struct rad_prediction *p = what.p;
    const struct rad_cost *c = p ? &p->cost : NULL;
    rad_out_begin_row(out);
    for (size_t i = 0; i < t->csv.n_column; i++)
        if (!is_ours(csv_header(&t->csv, i)))
            rad_out_text(out, csv_header(&t->csv, i), csv_cell(&t->csv, row, i));
    rad_out_real(out, "pred_latency_s", c ? c->time_s : (double)NAN);
    rad_out_real(out, "pred_energy_j", c ? c->dynamic_j + c->memory_j + c->static_j : (double)NAN);
    rad_out_real(out, "lo_s", p ? p->lo_s : (double)NAN);
    rad_out_real(out, "hi_s", p ? p->hi_s : (double)NAN);
    if (p != NULL)
        rad_out_int(out, "extrapolated", p->extrapolated);
    else
        rad_out_null(out, "extrapolated");
    rad_out_text(out, "bound", c ? rad_bound_name(c->bound) : NULL);
    put_usd(out, what.hw, c);
    if (against != NULL)
        put_ratio(out, &what, against);
    rad_out_end_row(out);
}

enum rad_status hw_predict_row(const rad_hw *hw, const struct ops_row *row,
                               const struct rad_hw_ask *ask, struct rad_prediction *out,
                               struct rad_err *err)
{
    struct rad_hw_ask words = *ask;
    words.software = ask->software != NULL ? ask->software : row->software;
    return row->m.link.bytes > 0.0 ? rad_hw_predict_link(hw, &row->m.link, words.software, out, err)
                                   : rad_hw_predict_as(hw, &row->m.op, &words, out, err);
}

/* Row i; false after a warning that says why there is no prediction. */
static bool predict_row(const struct ops_table *t, size_t i, const struct hw_options *o,
                        const rad_hw *hw, struct ops_row *row, struct rad_prediction *p)
{
    struct rad_err err;
    enum rad_status status = ops_row(t, i, row, &err);
    if (status == RAD_OK)
        status = hw_predict_row(hw, row, &(struct rad_hw_ask){o->software, o->rate}, p, &err);
    if (status != RAD_OK)
        rad_cli_warn("hw predict", "%s: row %zu: %s", t->path, i + 1, err.msg);
    return status == RAD_OK;
}

static void predict_rows(const struct ops_table *t, const struct hw_options *o, const rad_hw *hw,
                         rad_out *out)
{
    struct ops_row row, base_row;
    struct rad_prediction p, base_p;
    struct predicted base = {hw, &base_row.m.op, NULL};
    put_header(out, t, o->against > 0);
    if (o->against > 0 && predict_row(t, o->against - 1, o, hw, &base_row, &base_p))
        base.p = &base_p;
    for (size_t i = 0; i < t->csv.n_row; i++) {
        const bool done = predict_row(t, i, o, hw, &row, &p);
        put_row(out, t, i, (struct predicted){hw, &row.m.op, done ? &p : NULL},
                o->against > 0 ? &base : NULL);
    }
}

/* The table as CSV in a file, whole or not at all. */
static enum rad_status write_csv(const struct ops_table *t, const struct hw_options *o,
                                 const rad_hw *hw, struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    rad_out *out;
    FILE *memory = open_memstream(&text, &len);
    if (memory == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    (void)rad_out_open(&out, RAD_FORMAT_CSV, memory);
    predict_rows(t, o, hw, out);
    enum rad_status status = rad_out_close(out, false, err);
    if (fclose(memory) != 0 && status == RAD_OK)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    if (status == RAD_OK)
        status = rad_cli_write(o->out_path, text, len, err);
    free(text);
    return status;
}

static enum rad_status predict(const struct hw_options *o, struct ops_table *t, const rad_hw *hw,
                               struct rad_err *err)
{
    RAD_TRY(ops_open(t, o->ops, err));
    if (o->against > t->csv.n_row)
        return rad_fail(err, RAD_E_RANGE, "%s: --against: expected at most row %zu but found %zu",
                        o->ops, t->csv.n_row, o->against);
    if (o->out_path != NULL)
        return write_csv(t, o, hw, err);
    rad_out *out;
    (void)rad_out_open(&out, o->sub.common.format, stdout);
    predict_rows(t, o, hw, out);
    return rad_out_close(out, false, err);
}

int hw_predict(const void *options)
{
    const struct hw_options *o = options;
    struct rad_err err;
    struct ops_table t = {.path = o->ops};
    rad_hw *hw = NULL;
    enum rad_status status = rad_hw_open(&hw, o->sub.arg[0], &err);
    if (status == RAD_OK)
        status = predict(o, &t, hw, &err);
    ops_close(&t);
    rad_hw_close(hw);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw predict", &err);
}
