/* visit.c - rows that meet at a layer: attention over the KV cache, then the MLP. */
#include "infer/visit.h"

#include <math.h>
#include <string.h>

/* ---- what a sublayer adds ------------------------------------------------------------------ */

struct settling {
    struct work *w;
    enum sublayer s;
    int32_t first;
};

static void settle_rows(void *ctx, int32_t first, int32_t n)
{
    const struct settling *t = ctx;
    struct work *w = t->w;
    const struct rad_policy *p = w->e->opt.route.policy;
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)w->e->model->config.card.d_model;
    for (int32_t i = t->first + first; i < t->first + first + n; i++) {
        const float *x = w->x + (size_t)i * d, *f = w->f + (size_t)i * d;
        const float a = k->dot(d, x, x), b = k->dot(d, f, f), c = k->dot(d, x, f);
        struct rad_hop_stat *st = &w->st[i];
        if (t->s == ATTENTION)
            st->a_attn = a, st->b_attn = b, st->c_attn = c;
        else
            st->a_mlp = a, st->b_mlp = b, st->c_mlp = c;
        w->drop[t->s][i] = p->keep != NULL && !p->keep(w->e->opt.route.params, a, b, c);
    }
}

void rad_work_settle(struct work *w, enum sublayer s, int32_t first, int32_t n)
{
    const struct rad_engine_options *opt = &w->e->opt;
    struct settling t = {w, s, first};
    if (opt->stats || opt->route.policy->keep != NULL)
        rad_rows(w->e->gemm, n, w->e->model->config.card.d_model, settle_rows, &t);
    const struct omit *omit = &w->e->omit;
    if (omit->layer == w->visit->layer && omit->mlp == (s == MLP))
        memset(w->drop[s] + first, true, (size_t)n * sizeof *w->drop[s]);
}

struct adding {
    const struct work *w;
    const bool *drop;
    const struct norm *post, *next;
};

static void add_rows(void *ctx, int32_t first, int32_t n)
{
    const struct adding *t = ctx;
    const struct work *w = t->w;
    const rad_model *m = w->e->model;
    const size_t d = (size_t)m->config.card.d_model;
    float *const x = w->x + (size_t)first * d, *const stat = w->stat + 2 * (size_t)first;
    for (int32_t i = 0; i < n; i++) {
        const size_t at = (size_t)i * d;
        if (t->drop[first + i])
            continue;
        rad_kernels()->add(d, w->f + (size_t)first * d + at, x + at);
        if (t->post != NULL)
            rad_model_norm(m, t->post, 1, x + at, x + at, stat);
    }
    if (t->next != NULL)
        rad_model_norm(m, t->next, n, x, w->y + (size_t)first * d, stat);
}

void rad_work_add(struct work *w, enum sublayer s, const struct norm *next)
{
    const struct rad_card *c = &w->e->model->config.card;
    const struct norm *own = s == ATTENTION ? &w->weights->norm1 : &w->weights->norm2;
    struct adding t = {w, w->drop[s], c->post_norm ? own : NULL, c->post_norm ? NULL : next};
    rad_rows(w->e->gemm, w->visit->n, c->d_model, add_rows, &t);
    for (int32_t i = 0; i < w->visit->n; i++)
        if (!w->drop[s][i])
            w->rec[i].flags |= s == ATTENTION ? RAD_HOP_ATTN : RAD_HOP_MLP;
}

/* ---- MLP ----------------------------------------------------------------------------------- */

static void gate_rows(void *ctx, int32_t first, int32_t n)
{
    const struct work *w = ctx;
    const size_t ffn = (size_t)w->e->model->config.card.ffn, at = (size_t)first * ffn;
    rad_kernels()->swiglu((size_t)n, ffn, w->wide + 2 * at, w->act + at);
}

static enum rad_status mlp(struct work *w, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const struct rad_card *c = &e->model->config.card;
    const struct layer_weights *lw = w->weights;
    const float *x = c->post_norm ? w->x : w->y;
    rad_map_fn *const map = rad_model_activation(e->model);
    w->act = visit_factors(e, v->n, &lw->down.w);
    VISIT_NEED(w->act);
    if (map != NULL) {
        const struct rad_mat_job job = {&lw->up.w, lw->up.b, w->act, c->ffn, map};
        rad_mat_mul_many(e->gemm, v->n, x, &job, 1);
    } else {
        const int32_t width = 2 * c->ffn;
        w->wide = visit_floats(e, v->n, width);
        VISIT_NEED(w->wide);
        const struct rad_mat_job job[2] = {{&lw->up.w, lw->up.b, w->wide + c->ffn, width, NULL},
                                           {&lw->gate.w, lw->gate.b, w->wide, width, NULL}};
        rad_mat_mul_many(e->gemm, v->n, x, job, 2);
        rad_rows(e->gemm, v->n, 4 * width, gate_rows, w); /* a few operations per float */
    }
    rad_mat_mul(e->gemm, v->n, w->act, &lw->down.w, lw->down.b, w->f);
    rad_work_settle(w, MLP, 0, v->n);
    rad_work_add(w, MLP, NULL);
    return RAD_OK;
}

/* ---- visits -------------------------------------------------------------------------------- */

/* The rows' states: where they are if the rows are in turn and nobody needs the old ones. */
static bool take_states(struct work *w)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const size_t d = (size_t)e->model->config.card.d_model;
    w->in_place = !e->opt.stats && v->idx[v->n - 1] - v->idx[0] == v->n - 1;
    w->x = w->in_place ? e->h + (size_t)v->idx[0] * d : visit_floats(e, v->n, (int32_t)d);
    for (int32_t i = 0; i < v->n && !w->in_place && w->x != NULL; i++)
        memcpy(w->x + (size_t)i * d, e->h + (size_t)v->idx[i] * d, d * sizeof *w->x);
    return w->x != NULL;
}

enum rad_status rad_work_open(rad_engine *e, const struct visit *v, struct work *w,
                              struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    const size_t n = (size_t)v->n;
    const struct layer_weights *lw = &e->model->layer[v->layer];
    *w = (struct work){.e = e,
                       .visit = v,
                       .weights = lw,
                       .y = visit_factors(e, v->n, &lw->q.w),
                       .q = visit_floats(e, v->n, dq),
                       .k = visit_floats(e, v->n, dkv),
                       .v = visit_floats(e, v->n, dkv),
                       .att = visit_factors(e, v->n, &lw->o.w),
                       .f = visit_floats(e, v->n, c->d_model),
                       .stat = visit_floats(e, v->n, 2)};
    w->pos = rad_arena_get(e->arena, n * sizeof *w->pos);
    w->entry = rad_arena_get(e->arena, n * sizeof *w->entry);
    w->rec = rad_arena_zero(e->arena, n * sizeof *w->rec);
    w->st = rad_arena_get(e->arena, n * sizeof *w->st);
    w->drop[0] = rad_arena_zero(e->arena, n * sizeof *w->drop[0]);
    w->drop[1] = rad_arena_zero(e->arena, n * sizeof *w->drop[1]);
    VISIT_NEED(take_states(w) && w->y && w->q && w->k && w->v && w->att && w->f && w->stat &&
                       w->pos && w->entry && w->rec && w->st && w->drop[0] && w->drop[1]
                   ? w->x
                   : NULL);
    for (int32_t i = 0; i < v->n; i++) {
        w->pos[i] = e->pos[v->idx[i]];
        w->rec[i].layer = (uint16_t)v->layer;
        w->st[i] = (struct rad_hop_stat){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    }
    return RAD_OK;
}

/* Paths of the rows, and their new states. */
static enum rad_status leave(const struct work *w, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const size_t d = (size_t)e->model->config.card.d_model;
    for (int32_t i = 0; i < v->n; i++) {
        const int32_t row = v->idx[i];
        float *h = e->h + (size_t)row * d;
        const float *x = w->x + (size_t)i * d;
        struct path *path = &e->path[row];
        e->last[row] = v->layer;
        RAD_TRY(rad_path_add(e, row, w->rec[i], &w->st[i], err));
        if (path->cos != NULL)
            path->cos[path->n - 1] = rad_state_cosine(d, h, x);
        if (!w->in_place)
            memcpy(h, x, d * sizeof *h);
    }
    return RAD_OK;
}

enum rad_status rad_visit_run(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    struct work w;
    RAD_TRY(rad_work_open(e, v, &w, err));
    RAD_TRY(rad_work_attention(&w, err));
    RAD_TRY(mlp(&w, err));
    RAD_TRY(leave(&w, err));
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
