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
    float *x, *y, *qkv, *att, *f, *stat;
    int32_t *pos;
    struct rad_hop_rec *rec;
    struct rad_hop_stat *st;
    bool *drop; /* [n] attention output discarded by the policy */
};

static float *floats(rad_engine *e, int32_t rows, int32_t cols)
{
    return rad_arena_get(e->arena, (size_t)rows * (size_t)cols * sizeof(float));
}

void rad_model_norm(const rad_model *m, const float *w, const float *b, int32_t n, const float *x,
                    float *y, float *stat)
{
    const size_t d = (size_t)m->config.card.d_model;
    if (m->config.card.norm == RAD_NORM_LAYER)
        rad_kernels()->layernorm((size_t)n, d, m->config.rms_eps, x, w, b, y, stat);
    else
        rad_kernels()->rmsnorm((size_t)n, d, m->config.rms_eps, x, w, y, stat);
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
    const int32_t dq = c->n_head * c->d_head, width = dq + 2 * c->n_kv * c->d_head;
    struct rad_attend a = {.n_q = n, .n_head = c->n_head, .n_kv = c->n_kv, .d_head = c->d_head};
    a.q = w->qkv + (size_t)first * (size_t)width, a.ldq = width;
    a.out = w->att + (size_t)first * (size_t)dq, a.ldo = dq;
    return a;
}

/* Rows first..first+n of one slot, all at once: the keys of the last row, a prefix for each. */
static enum rad_status attend_rows(rad_engine *e, const struct visit *v, const struct work *w,
                                   const int32_t range[2], struct rad_err *err)
{
    const int32_t first = range[0], n = range[1];
    struct kv_layer *kv = &e->slot[e->row[v->idx[first]].slot].layer[v->layer];
    const int32_t last_pos = w->pos[first + n - 1];
    int32_t *entry = rad_arena_get(e->arena, ((size_t)last_pos + 2) * sizeof *entry);
    int32_t *see = rad_arena_get(e->arena, (size_t)n * sizeof *see);
    NEED(entry && see ? entry : NULL);
    struct rad_attend a = attend_of(e, w, first, n);
    a.n_k = rad_cache_list(kv, v->time, last_pos, entry);
    for (int32_t i = 0, j = 0; i < n; i++) {
        while (j < a.n_k && kv->pos[entry[j]] <= w->pos[first + i])
            j++;
        see[i] = j;
        w->rec[first + i].n_keys = (uint32_t)j;
    }
    a.n_see = see;
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

/* The policy looks at a row's attention output; false: it is discarded and so is the cache entry.
 */
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
        rad_linear(e->gemm, 1, dq, c->d_model, w->att + (size_t)i * (size_t)dq,
                   e->model->layer[v->layer].o, w->f + (size_t)i * (size_t)c->d_model);
        (void)settle_attention(e, v, w, i);
    }
    return RAD_OK;
}

static enum rad_status attend_groups(rad_engine *e, const struct visit *v, struct work *w,
                                     struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    for (int32_t i = 0; i < v->n;) {
        int32_t n = 1;
        while (i + n < v->n && e->row[v->idx[i + n]].slot == e->row[v->idx[i]].slot)
            n++;
        const struct rad_arena_mark mark = rad_arena_mark(e->arena);
        RAD_TRY(attend_rows(e, v, w, (const int32_t[2]){i, n}, err));
        rad_arena_reset(e->arena, mark);
        i += n;
    }
    rad_linear(e->gemm, v->n, c->n_head * c->d_head, c->d_model, w->att,
               e->model->layer[v->layer].o, w->f);
    if (e->opt.stats)
        for (int32_t i = 0; i < v->n; i++)
            (void)settle_attention(e, v, w, i);
    return RAD_OK;
}

/* K and V of all rows go into the cache before any row attends. */
static enum rad_status write_keys(rad_engine *e, const struct visit *v, const struct work *w,
                                  struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head, width = dq + 2 * dkv;
    for (int32_t i = 0; i < v->n; i++) {
        struct kv_layer *kv = &e->slot[e->row[v->idx[i]].slot].layer[v->layer];
        float *to = rad_cache_append(kv, 2 * dkv, w->pos[i], v->time);
        NEED(to);
        memcpy(to, w->qkv + (size_t)i * (size_t)width + dq, 2 * (size_t)dkv * sizeof *to);
    }
    return RAD_OK;
}

static enum rad_status attention(rad_engine *e, const struct visit *v, struct work *w,
                                 struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const struct layer_weights *lw = &m->layer[v->layer];
    const int32_t width = (c->n_head + 2 * c->n_kv) * c->d_head;
    rad_model_norm(m, lw->norm1, lw->norm1_b, v->n, w->x, w->y, w->stat);
    rad_linear(e->gemm, v->n, c->d_model, width, w->y, lw->qkv, w->qkv);
    rad_kernels()->rope((size_t)v->n, w->pos, c->n_head + c->n_kv, c->d_head, width, m->cs, w->qkv);
    RAD_TRY(write_keys(e, v, w, err));
    RAD_TRY(e->opt.route.policy->keep != NULL ? attend_in_turn(e, v, w, err)
                                              : attend_groups(e, v, w, err));
    for (int32_t i = 0; i < v->n; i++) {
        if (w->drop[i]) {
            w->rec[i].n_keys = 0;
            continue;
        }
        w->rec[i].flags |= RAD_HOP_ATTN;
        rad_kernels()->add((size_t)c->d_model, w->f + (size_t)i * (size_t)c->d_model,
                           w->x + (size_t)i * (size_t)c->d_model);
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
    const int32_t wide = c->act == RAD_ACT_SWIGLU ? 2 * c->ffn : c->ffn;
    float *up = floats(e, v->n, wide), *act = floats(e, v->n, c->ffn);
    NEED(up && act ? up : NULL);
    rad_model_norm(m, lw->norm2, lw->norm2_b, v->n, w->x, w->y, w->stat);
    rad_linear(e->gemm, v->n, c->d_model, wide, w->y, lw->up, up);
    if (c->act == RAD_ACT_SWIGLU)
        rad_kernels()->swiglu((size_t)v->n, (size_t)c->ffn, up, act);
    else
        rad_kernels()->gelu((size_t)v->n * (size_t)c->ffn, up, act);
    rad_linear(e->gemm, v->n, c->ffn, c->d_model, act, lw->down, w->f);
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
        rad_kernels()->add((size_t)c->d_model, w->f + (size_t)i * (size_t)c->d_model,
                           w->x + (size_t)i * (size_t)c->d_model);
    }
    return RAD_OK;
}

/* ---- visits -------------------------------------------------------------------------------- */

static enum rad_status open_work(rad_engine *e, const struct visit *v, struct work *w,
                                 struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const int32_t dq = c->n_head * c->d_head, width = dq + 2 * c->n_kv * c->d_head;
    const size_t n = (size_t)v->n;
    *w = (struct work){.x = floats(e, v->n, c->d_model),
                       .y = floats(e, v->n, c->d_model),
                       .qkv = floats(e, v->n, width),
                       .att = floats(e, v->n, dq),
                       .f = floats(e, v->n, c->d_model),
                       .stat = floats(e, v->n, 2)};
    w->pos = rad_arena_get(e->arena, n * sizeof *w->pos);
    w->rec = rad_arena_zero(e->arena, n * sizeof *w->rec);
    w->st = rad_arena_get(e->arena, n * sizeof *w->st);
    w->drop = rad_arena_zero(e->arena, n * sizeof *w->drop);
    NEED(w->x && w->y && w->qkv && w->att && w->f && w->stat && w->pos && w->rec && w->st && w->drop
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
        memcpy(e->h + (size_t)v->idx[i] * d, w.x + (size_t)i * d, d * sizeof *w.x);
        e->last[v->idx[i]] = v->layer;
        RAD_TRY(rad_path_add(e, v->idx[i], w.rec[i], &w.st[i], err));
    }
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* ---- skipped layers: KV project and copy --------------------------------------------------- */

static enum rad_status project(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const struct layer_weights *lw = &m->layer[v->layer];
    const int32_t dq = c->n_head * c->d_head, width = 2 * c->n_kv * c->d_head;
    struct work w;
    RAD_TRY(open_work(e, v, &w, err));
    rad_model_norm(m, lw->norm1, lw->norm1_b, v->n, w.x, w.y, w.stat);
    rad_linear(e->gemm, v->n, c->d_model, width, w.y, lw->qkv + (size_t)dq * (size_t)c->d_model,
               w.qkv);
    rad_kernels()->rope((size_t)v->n, w.pos, c->n_kv, c->d_head, width, m->cs, w.qkv);
    for (int32_t i = 0; i < v->n; i++) {
        struct kv_layer *kv = &e->slot[e->row[v->idx[i]].slot].layer[v->layer];
        float *to = rad_cache_append(kv, width, w.pos[i], v->time);
        NEED(to);
        memcpy(to, w.qkv + (size_t)i * (size_t)width, (size_t)width * sizeof *to);
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
