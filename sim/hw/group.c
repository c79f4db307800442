/* group.c - measured rows of one kind as columns, and which of them are held out together. */
#include "hw/group.h"

#include "hw/residual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rad_group_key rad_group_key_of(const struct rad_measured *m)
{
    if (m->link.bytes > 0.0)
        return (struct rad_group_key){m->link.kind, "any", m->software, RAD_F32, 0.0};
    return (struct rad_group_key){rad_work_class(&m->op), rad_fit_format(&m->op), m->software,
                                  m->op.dtype, m->op.kind == RAD_OP_ATTEND ? m->op.head_dim : 0.0};
}

static bool same(const struct rad_group_key *a, const struct rad_group_key *b)
{
    return strcmp(a->op, b->op) == 0 && strcmp(a->format, b->format) == 0 &&
           strcmp(a->software, b->software) == 0 && !(fabs(a->head_dim - b->head_dim) > 0.0);
}

void rad_group_free(struct rad_group_rows *g)
{
    free(g->work);
    free(g->x);
    free(g->log_s);
    free(g->fold);
    free(g->shape);
    free(g->row);
    free(g->model);
}

static enum rad_status alloc_rows(struct rad_group_rows *g, size_t n, struct rad_err *err)
{
    *g = (struct rad_group_rows){.work = malloc(n * sizeof *g->work),
                                 .x = malloc(n * sizeof *g->x),
                                 .log_s = malloc(5 * n * sizeof *g->log_s),
                                 .fold = calloc(n, sizeof *g->fold),
                                 .shape = malloc(n * sizeof *g->shape),
                                 .row = malloc(n * sizeof *g->row),
                                 .model = malloc(n * sizeof *g->model)};
    if (!g->work || !g->x || !g->log_s || !g->fold || !g->shape || !g->row || !g->model)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", n);
    g->weight = g->log_s + n;
    g->joules = g->weight + n;
    g->held_out = g->joules + n;
    g->held_joules = g->held_out + n;
    return RAD_OK;
}

static void add_row(struct rad_group_rows *g, const struct rad_group_key *key,
                    const struct rad_law *law, const struct rad_measured *m)
{
    const size_t i = g->n++;
    const bool is_link = m->link.bytes > 0.0;
    g->work[i] = is_link ? (struct rad_work){.bytes = m->link.bytes, .ranks = m->link.ranks}
                         : rad_work_of(&m->op);
    law->place(&g->work[i], g->x[i]);
    g->log_s[i] = log(m->latency_s);
    g->weight[i] = m->op.kind == RAD_OP_ATTEND && m->latency_s < 20e-6 ? 0.2 : 1.0;
    g->joules[i] = m->energy_j;
    g->shape[i] = rad_residual_shape(key->op, &g->work[i]); /* held out together */
    g->row[i] = m->row;
    g->model[i] = m->model;
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
            g->model[n] = g->model[i];
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

/* Hold out the model with the largest operation, if there are others. */
static void hold_model(struct rad_group_rows *g)
{
    double most = 0.0;
    for (size_t i = 0; i < g->n; i++) {
        const double size = g->work[i].n * fmax(1.0, g->work[i].k);
        if (g->model[i] != NULL && size > most) {
            most = size;
            g->held_model = g->model[i];
        }
    }
    size_t others = 0;
    for (size_t i = 0; i < g->n; i++) {
        const bool held = g->model[i] != NULL && strcmp(g->model[i], g->held_model) == 0;
        g->fold[i] = held ? 0 : RAD_REFIT_FOLDS;
        others += g->model[i] != NULL && !held;
    }
    if (others == 0)
        g->held_model = NULL;
}

enum rad_status rad_group_gather(struct rad_group_rows *g, const struct rad_group_key *key,
                                 const struct rad_law *law, const struct rad_measured *rows,
                                 size_t n, char *done, const struct rad_calibration *options,
                                 struct rad_err *err)
{
    RAD_TRY(alloc_rows(g, n, err));
    for (size_t i = 0; i < n; i++) {
        const struct rad_group_key k = rad_group_key_of(&rows[i]);
        if (done[i] || !same(&k, key))
            continue;
        done[i] = 1;
        add_row(g, key, law, &rows[i]);
    }
    RAD_TRY(thin(g, options->points, err));
    if (options->held_out == RAD_HELD_OUT_SHAPES)
        return deal_folds(g, err);
    hold_model(g);
    return RAD_OK;
}
