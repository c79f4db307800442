/* visit.c - rows that meet at a layer: attention over the KV cache, MLP, and skipped layers. */
#include "infer/engine.h"

#include <math.h>
#include <string.h>

#define NEED(p)                                                                                    \
    do {                                                                                           \
        if ((p) == NULL)                                                                           \
            return rad_fail(err, RAD_E_NOMEM, "engine: out of memory at layer %d", v->layer);      \
    } while (0)

struct work { /* of one visit */
    float *x, *y, *q, *k, *v, *att, *f, *stat;
    int32_t *pos;
    struct rad_hop_rec *rec;
    struct rad_hop_stat *st;
    bool *drop; /* [n] attention output discarded by the policy */
};

static float *floats(rad_engine *e, int32_t rows, int32_t cols)
{
    return rad_arena_get(e->arena, (size_t)rows * (size_t)cols * sizeof(float));
}

static bool keeps(const rad_engine *e, float a, float b, float c)
{
    const struct rad_policy *p = e->opt.route.policy;
    return p->keep == NULL || p->keep(e->opt.route.params, a, b, c);
}

/* ---- attention --------------------------------------------------------------------------- */

/* Point a at the keys that entry[] lists: in place if they are consecutive, else collected. */
static bool point_at_keys(rad_engine *e, const struct kv_layer *kv, const int32_t *entry,
                          struct rad_attend *a)
{
    const int32_t dkv = a->n_kv * a->d_head;
    const size_t w = 2 * (size_t)dkv;
    bool run = true;
    for (int32_t j = 1; j < a->n_k && run; j++)
        run = entry[j] == entry[0] + j;
    const float *k = kv->kv + (size_t)entry[0] * w;
    if (!run) {
        float *copy = floats(e, a->n_k, (int32_t)w);
        if (copy == NULL)
            return false;
        for (int32_t j = 0; j < a->n_k; j++)
            memcpy(copy + (size_t)j * w, kv->kv + (size_t)entry[j] * w, w * sizeof *copy);
        k = copy;
    }
    a->k = k;
    a->v = k + dkv;
    a->ldkv = (int32_t)w;
    return true;
}

static struct rad_attend attend_of(const rad_engine *e, const struct work *w, int32_t first,
                                   int32_t n)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head;
    struct rad_attend a = {.n_q = n, .n_head = c->n_head, .n_kv = c->n_kv, .d_head = c->d_head};
    a.q = w->q + (size_t)first * (size_t)dq, a.ldq = dq;
    a.out = w->att + (size_t)first * (size_t)dq, a.ldo = dq;
    return a;
}

/* Which of the keys each query sees: those up to its position, of these the last `window`; or all
 * of them. `see` holds 2 n: ends, then starts. */
static void visible(const rad_engine *e, const struct kv_layer *kv, const int32_t *entry,
                    const int32_t *pos, struct rad_attend *a, int32_t *see)
{
    const struct rad_model_config *c = &e->model->config;
    int32_t *skip = see + a->n_q;
    for (int32_t i = 0, end = 0, start = 0; i < a->n_q; i++) {
        while (end < a->n_k && (c->all_see_all || kv->pos[entry[end]] <= pos[i]))
            end++;
        while (c->window > 0 && kv->pos[entry[start]] <= pos[i] - c->window)
            start++;
        see[i] = end;
        skip[i] = start;
    }
    a->n_see = see;
    a->n_skip = c->window > 0 ? skip : NULL;
}

/* Rows first..first+n of one slot, all at once: the keys of the last row, a prefix for each. */
static enum rad_status attend_rows(rad_engine *e, const struct visit *v, const struct work *w,
                                   const int32_t range[2], struct rad_err *err)
{
    const int32_t first = range[0], n = range[1], *pos = w->pos + first;
    struct kv_layer *kv = &e->slot[e->row[v->idx[first]].slot].layer[v->layer];
    const int32_t last_pos = e->model->config.all_see_all ? e->n_row - 1 : pos[n - 1];
    int32_t *entry = rad_arena_get(e->arena, 2 * ((size_t)last_pos + 2) * sizeof *entry);
    int32_t *see = rad_arena_get(e->arena, 2 * (size_t)n * sizeof *see);
    NEED(entry && see ? entry : NULL);
    struct rad_attend a = attend_of(e, w, first, n);
    a.n_k = rad_cache_list(kv, v->time, last_pos, entry);
    visible(e, kv, entry, pos, &a, see);
    for (int32_t i = 0; i < n; i++)
        w->rec[first + i].n_keys = (uint32_t)(see[i] - see[n + i]);
    if (e->model->slope != NULL) {
        int32_t *k_pos = entry + last_pos + 2;
        for (int32_t j = 0; j < a.n_k; j++)
            k_pos[j] = kv->pos[entry[j]];
        a.slope = e->model->slope, a.q_pos = pos, a.k_pos = k_pos;
    }
    a.p = floats(e, a.n_head * n, a.n_k);
    NEED(a.p);
    if (!point_at_keys(e, kv, entry, &a))
        NEED(NULL);
    rad_attend(e->gemm, &a);
    return RAD_OK;
}

/* |x|^2, |f|^2, x.f of row i. */
static void norms(const rad_engine *e, const float *x, const float *f, int32_t i, float out[3])
{
    const size_t d = (size_t)e->model->config.card.d_model;
    const struct rad_kernels *k = rad_kernels();
    x += (size_t)i * d;
    f += (size_t)i * d;
    out[0] = k->dot(d, x, x);
    out[1] = k->dot(d, f, f);
    out[2] = k->dot(d, x, f);
}

/* The policy looks at a row's attention output; false: discarded, and so is the cache entry. */
static bool settle_attention(rad_engine *e, const struct visit *v, struct work *w, int32_t i)
{
    float s[3];
    norms(e, w->x, w->f, i, s);
    w->st[i].a_attn = s[0], w->st[i].b_attn = s[1], w->st[i].c_attn = s[2];
    if (keeps(e, s[0], s[1], s[2]))
        return true;
    rad_cache_drop(&e->slot[e->row[v->idx[i]].slot].layer[v->layer], w->pos[i]);
    w->drop[i] = true;
    return false;
}

/* A policy that may discard makes each row depend on the choices before it: one row at a time. */
static enum rad_status attend_in_turn(rad_engine *e, const struct visit *v, struct work *w,
                                      struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head;
    for (int32_t i = 0; i < v->n; i++) {
        const struct rad_arena_mark mark = rad_arena_mark(e->arena);
        RAD_TRY(attend_rows(e, v, w, (const int32_t[2]){i, 1}, err));
        rad_arena_reset(e->arena, mark);
        const struct linear *o = &e->model->layer[v->layer].o;
        rad_mat_mul(e->gemm, 1, w->att + (size_t)i * (size_t)dq, &o->w, o->b,
                    w->f + (size_t)i * (size_t)c->d_model);
        (void)settle_attention(e, v, w, i);
    }
    return RAD_OK;
}

static enum rad_status attend_groups(rad_engine *e, const struct visit *v, struct work *w,
                                     struct rad_err *err)
{
    const struct linear *o = &e->model->layer[v->layer].o;
    for (int32_t i = 0; i < v->n;) {
        int32_t n = 1;
        while (i + n < v->n && e->row[v->idx[i + n]].slot == e->row[v->idx[i]].slot)
            n++;
        const struct rad_arena_mark mark = rad_arena_mark(e->arena);
        RAD_TRY(attend_rows(e, v, w, (const int32_t[2]){i, n}, err));
        rad_arena_reset(e->arena, mark);
        i += n;
    }
    rad_mat_mul(e->gemm, v->n, w->att, &o->w, o->b, w->f);
    if (e->opt.stats || e->opt.route.policy->keep != NULL)
        for (int32_t i = 0; i < v->n; i++)
            (void)settle_attention(e, v, w, i);
    return RAD_OK;
}

/* K and V of all rows go into the cache before any row attends. */
static enum rad_status write_keys(rad_engine *e, const struct visit *v, const struct work *w,
                                  struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dkv = c->n_kv * c->d_head;
    const size_t u = (size_t)dkv;
    for (int32_t i = 0; i < v->n; i++) {
        struct kv_layer *kv = &e->slot[e->row[v->idx[i]].slot].layer[v->layer];
        float *to = rad_cache_append(kv, 2 * dkv, w->pos[i], v->time);
        NEED(to);
        memcpy(to, w->k + (size_t)i * u, u * sizeof *to);
        memcpy(to + u, w->v + (size_t)i * u, u * sizeof *to);
    }
    return RAD_OK;
}

/* Q, K and V that lie by head: one product, then each to its place. */
static enum rad_status by_head(rad_engine *e, const struct visit *v, const struct linear *qkv,
                               const float *x, struct work *w, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const size_t dh = (size_t)c->d_head, heads = (size_t)c->n_head;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    float *all = floats(e, v->n, qkv->w.n_out);
    NEED(all);
    rad_mat_mul(e->gemm, v->n, x, &qkv->w, qkv->b, all);
    for (size_t at = 0; at < (size_t)v->n * heads; at++) {
        memcpy(w->q + at * dh, all + 3 * at * dh, dh * sizeof *all);
        memcpy(w->k + at * dh, all + (3 * at + 1) * dh, dh * sizeof *all);
        memcpy(w->v + at * dh, all + (3 * at + 2) * dh, dh * sizeof *all);
    }
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* Q (unless only the cache is filled), K and V of the rows, rotated if the model rotates. */
static enum rad_status project_qkv(rad_engine *e, const struct visit *v, struct work *w,
                                   bool with_q, struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const struct layer_weights *lw = &m->layer[v->layer];
    const float *x = c->post_norm ? w->x : w->y;
    if (!c->post_norm)
        rad_model_norm(m, &lw->norm1, v->n, w->x, w->y, w->stat);
    if (m->qkv == RAD_QKV_BY_HEAD)
        return by_head(e, v, &lw->q, x, w, err);
    if (with_q)
        rad_mat_mul(e->gemm, v->n, x, &lw->q.w, lw->q.b, w->q);
    rad_mat_mul(e->gemm, v->n, x, &lw->k.w, lw->k.b, w->k);
    rad_mat_mul(e->gemm, v->n, x, &lw->v.w, lw->v.b, w->v);
    if (m->turn == NULL)
        return RAD_OK;
    const size_t n = (size_t)v->n;
    if (with_q)
        m->rope(n, w->pos, c->n_head, c->d_head, c->n_head * c->d_head, e->cs, w->q);
    m->rope(n, w->pos, c->n_kv, c->d_head, c->n_kv * c->d_head, e->cs, w->k);
    return RAD_OK;
}

/* x += f, then the norm of post-norm layers; nothing where the policy discarded f. */
static void add_up(const rad_engine *e, const struct norm *post, struct work *w, int32_t i)
{
    const size_t d = (size_t)e->model->config.card.d_model, at = (size_t)i * d;
    rad_kernels()->add(d, w->f + at, w->x + at);
    if (e->model->config.card.post_norm)
        rad_model_norm(e->model, post, 1, w->x + at, w->x + at, w->stat);
}

static enum rad_status attention(rad_engine *e, const struct visit *v, struct work *w,
                                 struct rad_err *err)
{
    const bool in_turn = e->opt.route.policy->keep != NULL && !e->model->config.all_see_all;
    RAD_TRY(project_qkv(e, v, w, true, err));
    RAD_TRY(write_keys(e, v, w, err));
    RAD_TRY(in_turn ? attend_in_turn(e, v, w, err) : attend_groups(e, v, w, err));
    for (int32_t i = 0; i < v->n; i++) {
        if (w->drop[i]) {
            w->rec[i].n_keys = 0;
            continue;
        }
        w->rec[i].flags |= RAD_HOP_ATTN;
        add_up(e, &e->model->layer[v->layer].norm1, w, i);
    }
    return RAD_OK;
}

/* ---- MLP ----------------------------------------------------------------------------------- */

static enum rad_status mlp(rad_engine *e, const struct visit *v, struct work *w,
                           struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const struct layer_weights *lw = &m->layer[v->layer];
    const size_t n = (size_t)v->n * (size_t)c->ffn;
    const bool gated = c->act == RAD_ACT_SWIGLU;
    float *up = floats(e, gated ? 2 * v->n : v->n, c->ffn), *act = floats(e, v->n, c->ffn);
    const float *x = c->post_norm ? w->x : w->y;
    NEED(up && act ? up : NULL);
    if (!c->post_norm)
        rad_model_norm(m, &lw->norm2, v->n, w->x, w->y, w->stat);
    if (gated)
        rad_mat_mul(e->gemm, v->n, x, &lw->gate.w, lw->gate.b, up);
    rad_mat_mul(e->gemm, v->n, x, &lw->up.w, lw->up.b, gated ? up + n : up);
    rad_model_activate(m, n, up, act);
    rad_mat_mul(e->gemm, v->n, act, &lw->down.w, lw->down.b, w->f);
    const bool look = e->opt.stats || e->opt.route.policy->keep != NULL;
    for (int32_t i = 0; i < v->n; i++) {
        float s[3] = {0};
        if (look) {
            norms(e, w->x, w->f, i, s);
            w->st[i].a_mlp = s[0], w->st[i].b_mlp = s[1], w->st[i].c_mlp = s[2];
        }
        if (look && !keeps(e, s[0], s[1], s[2]))
            continue;
        w->rec[i].flags |= RAD_HOP_MLP;
        add_up(e, &lw->norm2, w, i);
    }
    return RAD_OK;
}

/* ---- visits -------------------------------------------------------------------------------- */

static enum rad_status open_work(rad_engine *e, const struct visit *v, struct work *w,
                                 struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    const size_t n = (size_t)v->n;
    *w = (struct work){.x = floats(e, v->n, c->d_model),
                       .y = floats(e, v->n, c->d_model),
                       .q = floats(e, v->n, dq),
                       .k = floats(e, v->n, dkv),
                       .v = floats(e, v->n, dkv),
                       .att = floats(e, v->n, dq),
                       .f = floats(e, v->n, c->d_model),
                       .stat = floats(e, v->n, 2)};
    w->pos = rad_arena_get(e->arena, n * sizeof *w->pos);
    w->rec = rad_arena_zero(e->arena, n * sizeof *w->rec);
    w->st = rad_arena_get(e->arena, n * sizeof *w->st);
    w->drop = rad_arena_zero(e->arena, n * sizeof *w->drop);
    NEED(w->x && w->y && w->q && w->k && w->v && w->att && w->f && w->stat && w->pos && w->rec &&
                 w->st && w->drop
             ? w->x
             : NULL);
    for (int32_t i = 0; i < v->n; i++) {
        const size_t d = (size_t)c->d_model;
        memcpy(w->x + (size_t)i * d, e->h + (size_t)v->idx[i] * d, d * sizeof *w->x);
        w->pos[i] = e->pos[v->idx[i]];
        w->rec[i].layer = (uint16_t)v->layer;
        w->st[i] = (struct rad_hop_stat){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    }
    return RAD_OK;
}

enum rad_status rad_visit_run(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const size_t d = (size_t)e->model->config.card.d_model;
    struct work w;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    RAD_TRY(open_work(e, v, &w, err));
    RAD_TRY(attention(e, v, &w, err));
    RAD_TRY(mlp(e, v, &w, err));
    for (int32_t i = 0; i < v->n; i++) {
        float *h = e->h + (size_t)v->idx[i] * d;
        const float *x = w.x + (size_t)i * d;
        struct path *path = &e->path[v->idx[i]];
        e->last[v->idx[i]] = v->layer;
        RAD_TRY(rad_path_add(e, v->idx[i], w.rec[i], &w.st[i], err));
        if (path->cos != NULL)
            path->cos[path->n - 1] = rad_state_cosine(d, h, x);
        memcpy(h, x, d * sizeof *h);
    }
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* ---- skipped layers: KV project and copy --------------------------------------------------- */

static enum rad_status project(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    struct work w;
    RAD_TRY(open_work(e, v, &w, err));
    RAD_TRY(project_qkv(e, v, &w, false, err));
    RAD_TRY(write_keys(e, v, &w, err));
    for (int32_t i = 0; i < v->n; i++) {
        const struct rad_hop_rec rec = {(uint16_t)v->layer, RAD_HOP_PROJECT, 0};
        RAD_TRY(rad_path_add(e, v->idx[i], rec, NULL, err));
    }
    return RAD_OK;
}

/* The nearest executed lower layer is the row's last one: paths are forward-only here. */
static enum rad_status copy(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t width = 2 * c->n_kv * c->d_head;
    for (int32_t i = 0; i < v->n; i++) {
        const int32_t row = v->idx[i], from = e->last[row];
        struct kv_layer *layer = e->slot[e->row[row].slot].layer;
        if (from < 0 || layer[from].latest[e->pos[row]] < 0)
            continue; /* nothing below was executed: a hole */
        float *to = rad_cache_append(&layer[v->layer], width, e->pos[row], v->time);
        NEED(to);
        const int32_t entry = layer[from].latest[e->pos[row]];
        memcpy(to, layer[from].kv + (size_t)entry * (size_t)width, (size_t)width * sizeof *to);
        const struct rad_hop_rec rec = {(uint16_t)v->layer, RAD_HOP_COPY, 0};
        RAD_TRY(rad_path_add(e, row, rec, NULL, err));
    }
    return RAD_OK;
}

enum rad_status rad_visit_fill(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    RAD_TRY(e->opt.kv == RAD_KV_PROJECT ? project(e, v, err) : copy(e, v, err));
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
