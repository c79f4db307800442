/* attention.c - a visit's queries, keys and values, and its attention over the KV cache. */
#include "infer/visit.h"

#include <string.h>

/* ---- Q, K, V ------------------------------------------------------------------------------- */

struct placing {
    const struct work *w;
    const float *by_head; /* [n][head][q | k | v]; NULL: q, k and v are apart */
    bool with_q;
};

/* Take one row apart that has q, k and v by head. */
static void part_row(const struct rad_card *c, const float *from, float *q, float *k, float *v)
{
    const size_t dh = (size_t)c->d_head;
    for (int32_t h = 0; h < c->n_head; h++, from += 3 * dh, q += dh, k += dh, v += dh) {
        memcpy(q, from, dh * sizeof *q);
        memcpy(k, from + dh, dh * sizeof *k);
        memcpy(v, from + 2 * dh, dh * sizeof *v);
    }
}

/* Rotations, and K and V into the cache. */
static void place_rows(void *ctx, int32_t first, int32_t n)
{
    const struct placing *t = ctx;
    const struct work *w = t->w;
    const rad_model *m = w->e->model;
    const struct rad_card *c = &m->config.card;
    const int32_t dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    const size_t uq = (size_t)dq, u = (size_t)dkv, dh = (size_t)c->d_head;
    for (int32_t i = first; i < first + n; i++) {
        float *q = w->q + (size_t)i * uq, *k = w->k + (size_t)i * u, *v = w->v + (size_t)i * u;
        if (t->by_head != NULL)
            part_row(c, t->by_head + (size_t)i * 3 * uq, q, k, v);
        if (m->turn != NULL && t->with_q)
            m->rope(1, w->pos + i, c->n_head, c->d_head, dq, w->e->cs, q);
        if (m->turn != NULL)
            m->rope(1, w->pos + i, c->n_kv, c->d_head, dkv, w->e->cs, k);
        for (int32_t h = 0; h < c->n_kv; h++, k += dh, v += dh) {
            memcpy(rad_cache_k(kv_of(w, i), c, h, w->entry[i]), k, dh * sizeof *k);
            memcpy(rad_cache_v(kv_of(w, i), c, h, w->entry[i]), v, dh * sizeof *v);
        }
    }
}

struct norming {
    const struct work *w;
    const struct norm *norm;
};

static void norm_rows(void *ctx, int32_t first, int32_t n)
{
    const struct norming *t = ctx;
    const struct work *w = t->w;
    const size_t at = (size_t)first * (size_t)w->e->model->config.card.d_model;
    rad_model_norm(w->e->model, t->norm, n, w->x + at, w->y + at, w->stat + 2 * (size_t)first);
}

enum rad_status rad_work_keys(struct work *w, bool with_q, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const struct rad_card *c = &e->model->config.card;
    const struct layer_weights *lw = w->weights;
    struct placing t = {.w = w, .with_q = with_q};
    if (!c->post_norm)
        rad_rows(e->gemm, v->n, c->d_model, norm_rows, &(struct norming){w, &lw->norm1});
    const float *x = c->post_norm ? w->x : w->y;
    for (int32_t i = 0; i < v->n; i++) {
        w->entry[i] = rad_cache_append(kv_of(w, i), c, w->pos[i], v->time);
        if (w->entry[i] < 0)
            VISIT_NEED(NULL);
    }
    if (e->model->qkv == RAD_QKV_BY_HEAD) {
        float *all = visit_floats(e, v->n, lw->q.w.n_out);
        VISIT_NEED(all);
        rad_mat_mul(e->gemm, v->n, x, &lw->q.w, lw->q.b, all);
        t.by_head = all;
    } else {
        const struct rad_mat_job job[3] = {{.w = &lw->k.w, .bias = lw->k.b, .y = w->k},
                                           {.w = &lw->v.w, .bias = lw->v.b, .y = w->v},
                                           {.w = &lw->q.w, .bias = lw->q.b, .y = w->q}};
        rad_mat_mul_many(e->gemm, v->n, x, job, with_q ? 3 : 2);
    }
    rad_rows(e->gemm, v->n, 16 * c->n_kv * c->d_head, place_rows, &t); /* to cold memory */
    return RAD_OK;
}

/* ---- which keys ---------------------------------------------------------------------------- */

/* How many of n positions in ascending order are at most `limit`. */
static int32_t up_to(const int32_t *pos, int32_t n, int32_t limit)
{
    int32_t lo = 0, hi = n;
    while (lo < hi) {
        const int32_t middle = lo + (hi - lo) / 2;
        if (pos[middle] <= limit)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* The keys that rows up to last_pos may see, in position order: the entries as they lie, or a list
 * of them. */
static enum rad_status list_keys(const struct work *w, const struct kv_layer *kv, int32_t last_pos,
                                 struct rad_attend *a, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const struct rad_card *c = &e->model->config.card;
    a->k = kv->kv, a->v = rad_cache_v(kv, c, 0, 0);
    a->ldkv = a->d_head, a->ldh = 2 * KV_CHUNK * (size_t)a->d_head;
    a->chunk = KV_CHUNK, a->ldchunk = (size_t)c->n_kv * a->ldh;
    a->k_pos = kv->pos;
    if (e->by_layer && kv->in_order) {
        a->n_k = up_to(kv->pos, kv->n, last_pos);
        return RAD_OK;
    }
    int32_t *entry = rad_arena_get(e->arena, ((size_t)last_pos + 1) * sizeof *entry);
    int32_t *pos = rad_arena_get(e->arena, ((size_t)last_pos + 1) * sizeof *pos);
    VISIT_NEED(entry ? pos : NULL);
    a->n_k = rad_cache_list(kv, v->time, last_pos, entry);
    for (int32_t j = 0; j < a->n_k; j++)
        pos[j] = kv->pos[entry[j]];
    a->row = entry, a->k_pos = pos;
    return RAD_OK;
}

/* Which of its keys each query sees: those up to its position, of these the last `window`; or all
 * of them. */
static enum rad_status look(const struct work *w, int32_t first, struct rad_attend *a,
                            struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const struct rad_model_config *c = &e->model->config;
    int32_t *see = rad_arena_get(e->arena, 2 * (size_t)a->n_q * sizeof *see);
    VISIT_NEED(see);
    int32_t *skip = see + a->n_q;
    for (int32_t i = 0; i < a->n_q; i++) {
        const int32_t pos = w->pos[first + i];
        see[i] = c->all_see_all ? a->n_k : up_to(a->k_pos, a->n_k, pos);
        skip[i] = c->window > 0 ? up_to(a->k_pos, a->n_k, pos - c->window) : 0;
        w->rec[first + i].n_keys = (uint32_t)(see[i] - skip[i]);
    }
    a->n_see = see;
    a->n_skip = c->window > 0 ? skip : NULL;
    a->q_pos = w->pos + first;
    a->slope = e->model->slope;
    return RAD_OK;
}

/* Rows first..first+n, all of one slot. */
static enum rad_status attend_of(const struct work *w, int32_t first, int32_t n,
                                 struct rad_attend *a, struct rad_err *err)
{
    const rad_engine *e = w->e;
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head;
    const int32_t last = e->model->config.all_see_all ? e->n_row - 1 : w->pos[first + n - 1];
    *a = (struct rad_attend){.n_q = n,
                             .n_head = c->n_head,
                             .n_kv = c->n_kv,
                             .d_head = c->d_head,
                             .q = w->q + (size_t)first * (size_t)dq,
                             .ldq = dq,
                             .out = w->att + (size_t)first * (size_t)dq,
                             .ldo = dq};
    RAD_TRY(list_keys(w, kv_of(w, first), last, a, err));
    return look(w, first, a, err);
}

/* ---- attention ----------------------------------------------------------------------------- */

/* A policy that may discard makes each row depend on the choices before it: one row at a time. What
 * is discarded leaves the cache. */
static enum rad_status attend_in_turn(struct work *w, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct rad_card *c = &e->model->config.card;
    const struct linear *o = &w->weights->o;
    const size_t dq = (size_t)(c->n_head * c->d_head), d = (size_t)c->d_model;
    for (int32_t i = 0; i < w->visit->n; i++) {
        const struct rad_arena_mark mark = rad_arena_mark(e->arena);
        struct rad_attend a;
        RAD_TRY(attend_of(w, i, 1, &a, err));
        rad_attend_many(e->gemm, &a, 1);
        rad_arena_reset(e->arena, mark);
        rad_mat_mul(e->gemm, 1, w->att + (size_t)i * dq, &o->w, o->b, w->f + (size_t)i * d);
        rad_work_settle(w, ATTENTION, i, 1);
        if (w->drop[ATTENTION][i])
            rad_cache_drop(kv_of(w, i), w->pos[i]);
    }
    return RAD_OK;
}

/* Rows of one slot are in turn: all slots at once. */
static enum rad_status attend_groups(struct work *w, struct rad_err *err)
{
    rad_engine *e = w->e;
    const struct visit *v = w->visit;
    const struct linear *o = &w->weights->o;
    struct rad_attend *a = rad_arena_get(e->arena, (size_t)v->n * sizeof *a);
    int32_t n_group = 0;
    VISIT_NEED(a);
    for (int32_t i = 0, n; i < v->n; i += n) {
        for (n = 1; i + n < v->n && kv_of(w, i + n) == kv_of(w, i);)
            n++;
        RAD_TRY(attend_of(w, i, n, &a[n_group++], err));
    }
    rad_attend_many(e->gemm, a, n_group);
    rad_mat_mul(e->gemm, v->n, w->att, &o->w, o->b, w->f);
    rad_work_settle(w, ATTENTION, 0, v->n);
    return RAD_OK;
}

enum rad_status rad_work_attention(struct work *w, struct rad_err *err)
{
    const rad_engine *e = w->e;
    const bool in_turn = e->opt.route.policy->keep != NULL && !e->model->config.all_see_all;
    RAD_TRY(rad_work_keys(w, true, err));
    RAD_TRY(in_turn ? attend_in_turn(w, err) : attend_groups(w, err));
    for (int32_t i = 0; i < w->visit->n; i++) {
        if (!w->drop[ATTENTION][i])
            continue;
        w->rec[i].n_keys = 0;
        if (!in_turn)
            rad_cache_drop(kv_of(w, i), w->pos[i]);
    }
    rad_work_add(w, ATTENTION, &w->weights->norm2);
    return RAD_OK;
}
