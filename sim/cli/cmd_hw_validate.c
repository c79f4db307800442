/* cmd_hw_validate.c - `radial hw validate`: errors of a profile on measured rows. */
#include "cli/cmd_hw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GROUP = 128 };

/* Rows of one operation, number format and software. */
struct group {
    char op[32], dtype[16], software[OPS_SOFTWARE];
    double *log_ratio; /* ln(predicted / measured) */
    size_t n, cap, covered, n_energy;
    double *energy_ape;
};

struct groups {
    struct group of[MAX_GROUP];
    size_t n;
};

static struct group *group_of(struct groups *g, const struct ops_table *t, size_t i,
                              const char *software)
{
    const char *op = csv_cell(&t->csv, i, (size_t)csv_find(&t->csv, "op"));
    const char *dtype = csv_cell(&t->csv, i, (size_t)csv_find(&t->csv, "dtype"));
    for (size_t j = 0; j < g->n; j++)
        if (strcmp(g->of[j].op, op) == 0 && strcmp(g->of[j].dtype, dtype) == 0 &&
            strcmp(g->of[j].software, software) == 0)
            return &g->of[j];
    if (g->n == MAX_GROUP)
        return NULL;
    struct group *made = &g->of[g->n++];
    snprintf(made->op, sizeof made->op, "%.31s", op);
    snprintf(made->dtype, sizeof made->dtype, "%.15s", dtype);
    snprintf(made->software, sizeof made->software, "%s", software);
    return made;
}

static enum rad_status add(struct group *g, const struct ops_row *row,
                           const struct rad_prediction *p, struct rad_err *err)
{
    if (g->n == g->cap) {
        const size_t cap = g->cap > 0 ? 2 * g->cap : 256;
        double *ratio = realloc(g->log_ratio, cap * sizeof *ratio);
        g->log_ratio = ratio ? ratio : g->log_ratio;
        double *ape = realloc(g->energy_ape, cap * sizeof *ape);
        g->energy_ape = ape ? ape : g->energy_ape;
        if (ratio == NULL || ape == NULL)
            return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", cap);
        g->cap = cap;
    }
    const double joules = p->cost.dynamic_j + p->cost.memory_j + p->cost.static_j;
    g->log_ratio[g->n++] = log(p->cost.time_s / row->m.latency_s);
    g->covered += row->m.latency_s >= p->lo_s && row->m.latency_s <= p->hi_s;
    if (row->m.energy_j > 0.0 && row->m.latency_s >= 100e-6)
        g->energy_ape[g->n_energy++] = fabs(joules / row->m.energy_j - 1.0);
    return RAD_OK;
}

static void put(rad_out *out, const struct hw_options *o, struct group *g)
{
    rad_sort_doubles(g->log_ratio, g->n);
    const double bias = expm1(rad_quantile(g->log_ratio, g->n, 0.5));
    for (size_t i = 0; i < g->n; i++)
        g->log_ratio[i] = fabs(expm1(g->log_ratio[i]));
    rad_sort_doubles(g->log_ratio, g->n);
    rad_sort_doubles(g->energy_ape, g->n_energy);
    rad_out_begin_row(out);
    rad_out_text(out, "hw", o->sub.arg[0]);
    rad_out_text(out, "op", g->op);
    rad_out_text(out, "dtype", g->dtype);
    rad_out_text(out, "software", g->software);
    rad_out_int(out, "rows", (int64_t)g->n);
    rad_out_real(out, "median_ape", rad_quantile(g->log_ratio, g->n, 0.5));
    rad_out_real(out, "mape", rad_mean(g->log_ratio, g->n));
    rad_out_real(out, "p90_ape", rad_quantile(g->log_ratio, g->n, 0.9));
    rad_out_real(out, "bias", bias);
    rad_out_real(out, "coverage", (double)g->covered / (double)g->n);
    rad_out_real(out, "energy_median_ape", rad_quantile(g->energy_ape, g->n_energy, 0.5));
    rad_out_end_row(out);
}

static enum rad_status gather(const struct hw_options *o, const rad_hw *hw,
                              const struct ops_table *t, struct groups *groups, struct rad_err *err)
{
    size_t left_out = 0;
    for (size_t i = 0; i < t->csv.n_row; i++) {
        struct ops_row row;
        struct rad_prediction p;
        struct rad_err why;
        if (ops_row(t, i, &row, &why) != RAD_OK || !(row.m.latency_s > 0.0) || row.hot ||
            hw_predict_row(hw, &row, o->software, &p, &why) != RAD_OK) {
            left_out++;
            continue;
        }
        struct group *g = group_of(groups, t, i, row.software);
        if (g == NULL)
            return rad_fail(err, RAD_E_RANGE, "%s: expected at most %d kinds of rows", t->path,
                            MAX_GROUP);
        RAD_TRY(add(g, &row, &p, err));
    }
    if (left_out > 0)
        rad_cli_warn("hw validate",
                     "%s: %zu of %zu rows left out: not measured, hot in L2, or of "
                     "operations that the profile cannot cost",
                     t->path, left_out, t->csv.n_row);
    return RAD_OK;
}

int hw_validate(const void *options)
{
    const struct hw_options *o = options;
    struct groups *groups = calloc(1, sizeof *groups);
    struct ops_table t = {.path = o->measured};
    struct rad_err err;
    rad_hw *hw = NULL;
    rad_out *out = NULL;
    enum rad_status status = groups ? rad_hw_open(&hw, o->sub.arg[0], &err)
                                    : rad_fail(&err, RAD_E_NOMEM, "out of memory");
    if (status == RAD_OK)
        status = ops_open(&t, o->measured, &err);
    if (status == RAD_OK)
        status = gather(o, hw, &t, groups, &err);
    if (status == RAD_OK) {
        (void)rad_out_open(&out, o->sub.common.format, stdout);
        for (size_t i = 0; i < groups->n; i++)
            put(out, o, &groups->of[i]);
        status = rad_out_close(out, false);
        if (status != RAD_OK)
            (void)rad_fail(&err, status, "cannot write the result");
    }
    for (size_t i = 0; groups != NULL && i < groups->n; i++) {
        free(groups->of[i].log_ratio);
        free(groups->of[i].energy_ape);
    }
    free(groups);
    ops_close(&t);
    rad_hw_close(hw);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw validate", &err);
}
