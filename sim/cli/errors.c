/* errors.c - see errors.h. */
#include "cli/errors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error_group *group_of(struct error_groups *g, const struct ops_table *t, size_t i,
                                    const struct ops_row *row)
{
    const char *op = csv_cell(&t->csv, i, (size_t)csv_find(&t->csv, "op"));
    const char *dtype = csv_cell(&t->csv, i, (size_t)csv_find(&t->csv, "dtype"));
    const double head_dim = row->m.link.bytes > 0.0 ? 0.0 : row->m.op.head_dim;
    for (size_t j = 0; j < g->n; j++)
        if (strcmp(g->of[j].op, op) == 0 && strcmp(g->of[j].dtype, dtype) == 0 &&
            strcmp(g->of[j].software, row->software) == 0 &&
            !(fabs(g->of[j].head_dim - head_dim) > 0.0))
            return &g->of[j];
    if (g->n == ERRORS_MAX_GROUP)
        return NULL;
    struct error_group *made = &g->of[g->n++];
    snprintf(made->op, sizeof made->op, "%.31s", op);
    snprintf(made->dtype, sizeof made->dtype, "%.15s", dtype);
    snprintf(made->software, sizeof made->software, "%s", row->software);
    made->head_dim = head_dim;
    return made;
}

static enum rad_status grow(struct error_group *g, struct rad_err *err)
{
    if (g->n < g->cap)
        return RAD_OK;
    const size_t cap = g->cap > 0 ? 2 * g->cap : 256;
    double *ratio = realloc(g->log_ratio, cap * sizeof *ratio);
    g->log_ratio = ratio ? ratio : g->log_ratio;
    double *ape = realloc(g->energy_ape, cap * sizeof *ape);
    g->energy_ape = ape ? ape : g->energy_ape;
    struct rad_residual *residual = realloc(g->residual, cap * sizeof *residual);
    g->residual = residual ? residual : g->residual;
    if (ratio == NULL || ape == NULL || residual == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", cap);
    g->cap = cap;
    return RAD_OK;
}

enum rad_status errors_add(struct error_groups *groups, const struct ops_table *t, size_t i,
                           const struct ops_row *row, const struct rad_prediction *p,
                           struct rad_err *err)
{
    struct error_group *g = group_of(groups, t, i, row);
    if (g == NULL)
        return rad_fail(err, RAD_E_RANGE, "%s: expected at most %d kinds of rows", t->path,
                        ERRORS_MAX_GROUP);
    RAD_TRY(grow(g, err));
    const double joules = p->cost.dynamic_j + p->cost.memory_j + p->cost.static_j;
    g->residual[g->n] = (struct rad_residual){.sd = 0.0};
    if (!(row->m.link.bytes > 0.0))
        rad_hw_residual(groups->hw, &row->m.op, p, &g->residual[g->n]);
    g->log_ratio[g->n++] = log(p->cost.time_s / row->m.latency_s);
    g->covered += row->m.latency_s >= p->lo_s && row->m.latency_s <= p->hi_s;
    if (row->m.energy_j > 0.0 && row->m.latency_s >= 100e-6)
        g->energy_ape[g->n_energy++] = fabs(joules / row->m.energy_j - 1.0);
    return RAD_OK;
}

void errors_free(struct error_groups *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->of[i].log_ratio);
        free(g->of[i].energy_ape);
        free(g->of[i].residual);
    }
    g->n = 0;
}

static double ratio_coverage(const struct error_group *g)
{
    size_t in = 0, of = 0;
    for (size_t i = 0; i < g->n; i++)
        for (int far = 0; far < 2; far++) {
            const size_t j = (i + (far ? g->n / 2 : 1)) % g->n;
            if (i == j || !(g->residual[i].sd > 0.0))
                continue;
            const double sd = rad_residual_pair_sd(&g->residual[i], &g->residual[j]);
            of++;
            in += fabs(g->log_ratio[i] - g->log_ratio[j]) <= RAD_RESIDUAL_Z80 * sd;
        }
    return of > 0 ? (double)in / (double)of : (double)NAN;
}

struct rad_fit_report errors_report(struct error_group *g)
{
    struct rad_fit_report r = {.op = g->op,
                               .format = g->dtype,
                               .software = g->software,
                               .head_dim = g->head_dim,
                               .rows = g->n,
                               .coverage = (double)g->covered / (double)g->n};
    r.ratio_coverage = ratio_coverage(g);
    rad_sort_doubles(g->log_ratio, g->n);
    r.bias = expm1(rad_quantile(g->log_ratio, g->n, 0.5));
    for (size_t i = 0; i < g->n; i++)
        g->log_ratio[i] = fabs(expm1(g->log_ratio[i]));
    rad_sort_doubles(g->log_ratio, g->n);
    rad_sort_doubles(g->energy_ape, g->n_energy);
    r.median_ape = rad_quantile(g->log_ratio, g->n, 0.5);
    r.mape = rad_mean(g->log_ratio, g->n);
    r.p90_ape = rad_quantile(g->log_ratio, g->n, 0.9);
    r.energy_median_ape = rad_quantile(g->energy_ape, g->n_energy, 0.5);
    return r;
}
