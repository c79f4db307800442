/* forward.c - the recorded forward pass of a shard: visits, head and router. */
#include "train/net.h"

#include <string.h>

#define NEED(s, p)                                                                                 \
    do {                                                                                           \
        if ((p) == NULL)                                                                           \
            return rad_fail(err, RAD_E_NOMEM, "train: out of memory for %d tokens", (s)->n_tok);   \
    } while (0)

static float *floats(struct shard *s, size_t rows, size_t cols)
{
    return rad_arena_get(s->arena, rows * cols * sizeof(float));
}

static void norm(const struct net *net, size_t at, int32_t n, const float *x, float *y, float *stat)
{
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)net->card.d_model;
    const float *w = net->w + at;
    if (net->card.norm == RAD_NORM_LAYER)
        k->layernorm((size_t)n, d, net->eps, x, w, w + d, y, stat);
    else
        k->rmsnorm((size_t)n, d, net->eps, x, w, y, stat);
}

enum rad_status rad_shard_begin(struct shard *s, struct rad_err *err)
{
    const struct rad_card *c = &s->net->card;
    const size_t n = (size_t)s->n_tok, d = (size_t)c->d_model;
    s->h = floats(s, n, d);
    s->last = rad_arena_get(s->arena, n * sizeof *s->last);
    s->pos = rad_arena_get(s->arena, n * sizeof *s->pos);
    s->cache = rad_arena_get(s->arena, n * (size_t)c->n_layer * sizeof *s->cache);
    s->cap_visit = c->max_hops * c->n_layer + 1; /* an empty visit is written, then dropped */
    s->visit = rad_arena_get(s->arena, (size_t)s->cap_visit * sizeof *s->visit);
    s->step = rad_arena_get(s->arena, (size_t)(c->max_hops + 1) * sizeof *s->step);
    NEED(s, s->h && s->last && s->pos && s->cache && s->visit && s->step ? s : NULL);
    s->n_visit = s->n_step = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(s->h + i * d, s->net->w + s->net->embed + (size_t)s->token[i] * d, d * sizeof *s->h);
        s->last[i] = -1;
        s->pos[i] = (int32_t)i % s->ctx;
    }
    for (size_t i = 0; i < n * (size_t)c->n_layer; i++)
        s->cache[i] = (struct key_ref){-1, 0};
    return RAD_OK;
}

static void gather(float *out, const float *h, const int32_t *idx, int32_t n, size_t d)
{
    for (int32_t r = 0; r < n; r++)
        memcpy(out + (size_t)r * d, h + (size_t)idx[r] * d, d * sizeof *out);
}

struct hop_step *rad_shard_step(struct shard *s, const int32_t *idx, int32_t n)
{
    const size_t d = (size_t)s->net->card.d_model, un = (size_t)n;
    struct hop_step *st = &s->step[s->n_step];
    *st = (struct hop_step){.n = n};
    st->idx = rad_arena_get(s->arena, (un + 1) * sizeof *st->idx);
    st->dest = rad_arena_get(s->arena, (un + 1) * sizeof *st->dest);
    st->last = rad_arena_get(s->arena, (un + 1) * sizeof *st->last);
    st->x = floats(s, un + 1, d);
    if (st->idx == NULL || st->dest == NULL || st->last == NULL || st->x == NULL)
        return NULL;
    memcpy(st->idx, idx, un * sizeof *idx);
    for (size_t r = 0; r < un; r++)
        st->last[r] = s->last[idx[r]];
    gather(st->x, s->h, idx, n, d);
    s->n_step++;
    return st;
}

enum rad_status rad_step_head(struct shard *s, struct hop_step *st, const float *target,
                              struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_kernels *k = rad_kernels();
    const size_t n = (size_t)st->n, d = (size_t)net->card.d_model, v = (size_t)net->card.vocab;
    st->y = floats(s, n + 1, d);
    st->stat = floats(s, n + 1, 2);
    st->p = floats(s, n + 1, v);
    st->loss = floats(s, n + 1, 1);
    NEED(s, st->y && st->stat && st->p && st->loss ? s : NULL);
    norm(net, net->norm_f, st->n, st->x, st->y, st->stat);
    rad_linear(s->gemm, st->n, net->card.d_model, net->card.vocab, st->y, net->w + net->head,
               st->p);
    for (size_t r = 0; r < n; r++) {
        float *row = st->p + r * v;
        const float hit = target ? k->dot(v, target + (size_t)st->idx[r] * v, row) : 0.0f;
        st->loss[r] = k->softmax_lse(v, row, row) - hit;
    }
    return RAD_OK;
}

enum rad_status rad_step_router(struct shard *s, struct hop_step *st, int32_t hop,
                                struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_kernels *k = rad_kernels();
    const int32_t d = net->card.d_model, r = net->card.router_hidden, out = net->card.n_layer + 1;
    const size_t n = (size_t)st->n, ur = (size_t)r;
    const float *w = net->w;
    st->rn = floats(s, n + 1, (size_t)d);
    st->ru = floats(s, n + 1, ur);
    st->score = floats(s, n + 1, (size_t)out);
    float *u = floats(s, n + 1, ur), *stat = floats(s, n + 1, 1);
    NEED(s, st->rn && st->ru && st->score && u && stat ? s : NULL);
    k->rmsnorm(n, (size_t)d, net->eps, st->x, NULL, st->rn, stat);
    rad_linear(s->gemm, st->n, d, r, st->rn, w + net->router.w1, st->ru);
    for (size_t i = 0; i < n; i++) {
        float *row = st->ru + i * ur;
        k->add(ur, w + net->router.b1, row);
        k->add(ur, w + net->router.hop + (size_t)hop * ur, row);
        k->add(ur, w + net->router.last + (size_t)(st->last[i] + 1) * ur, row);
        k->axpy(ur, rad_router_feature((double)s->price[st->idx[i] / s->ctx]),
                w + net->router.price, row);
    }
    k->gelu(n * ur, st->ru, u);
    rad_linear(s->gemm, st->n, r, out, u, w + net->router.w2, st->score);
    for (size_t i = 0; i < n; i++)
        k->add((size_t)out, w + net->router.b2, st->score + i * (size_t)out);
    return RAD_OK;
}

/* ---- one visit -------------------------------------------------------------------------- */

static const float *key_row(const struct shard *s, struct key_ref ref)
{
    const struct rad_card *c = &s->net->card;
    const size_t dq = (size_t)(c->n_head * c->d_head), dkv = (size_t)(c->n_kv * c->d_head);
    return s->visit[ref.visit].qkv + (size_t)ref.row * (dq + 2 * dkv) + dq;
}

/* The keys of one sequence at this layer in position order, own rows included, and how many of
 * them each query sees. Keys that are exactly the visit's own rows need no list. */
static enum rad_status list_keys(struct shard *s, struct visit *v, int32_t seq, struct rad_err *err)
{
    struct visit_seq *q = &v->seq[seq];
    const struct key_ref *cache = s->cache + (size_t)v->layer * (size_t)s->n_tok;
    q->n_see = rad_arena_get(s->arena, (size_t)(q->n_q + 1) * sizeof *q->n_see);
    q->key = rad_arena_get(s->arena, (size_t)(s->ctx + 1) * sizeof *q->key);
    NEED(s, q->n_see && q->key ? s : NULL);
    const int32_t self = (int32_t)(v - s->visit), base = seq * s->ctx;
    int32_t r = 0;
    bool own = true;
    for (int32_t j = 0; j < s->ctx && r < q->n_q; j++) {
        if (cache[base + j].visit < 0)
            continue;
        own = own && cache[base + j].visit == self;
        q->key[q->n_k++] = cache[base + j];
        if (v->idx[q->row + r] == base + j)
            q->n_see[r++] = q->n_k;
    }
    if (own)
        q->key = NULL;
    return RAD_OK;
}

/* K and V of listed keys side by side: [n_k][2 dkv]. */
static float *collect_keys(struct shard *s, const struct visit_seq *q)
{
    const size_t w = 2 * (size_t)(s->net->card.n_kv * s->net->card.d_head);
    float *kv = floats(s, (size_t)q->n_k, w);
    if (kv != NULL)
        for (int32_t j = 0; j < q->n_k; j++)
            memcpy(kv + (size_t)j * w, key_row(s, q->key[j]), w * sizeof *kv);
    return kv;
}

enum rad_status rad_visit_attend(struct shard *s, const struct visit *v, const struct visit_seq *q,
                                 struct rad_attend *a, struct rad_err *err)
{
    const struct rad_card *c = &s->net->card;
    const int32_t dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head, w = dq + 2 * dkv;
    const float *rows = v->qkv + (size_t)q->row * (size_t)w;
    *a = (struct rad_attend){.n_q = q->n_q, .n_k = q->n_k, .n_head = c->n_head, .n_kv = c->n_kv};
    a->d_head = c->d_head;
    a->q = rows, a->ldq = w;
    a->k = rows + dq, a->v = rows + dq + dkv, a->ldkv = w;
    if (q->key != NULL) {
        a->k = collect_keys(s, q);
        NEED(s, a->k);
        a->v = a->k + dkv, a->ldkv = 2 * dkv;
    }
    a->n_see = q->n_see;
    a->p = q->p;
    a->out = v->att + (size_t)q->row * (size_t)dq, a->ldo = dq;
    return RAD_OK;
}

static enum rad_status attention(struct shard *s, struct visit *v, struct rad_err *err)
{
    const struct rad_card *c = &s->net->card;
    for (int32_t q = 0; q < s->n_seq; q++) {
        struct visit_seq *vs = &v->seq[q];
        if (vs->n_q == 0)
            continue;
        RAD_TRY(list_keys(s, v, q, err));
        vs->p = floats(s, (size_t)c->n_head * (size_t)vs->n_q, (size_t)vs->n_k);
        NEED(s, vs->p);
        const struct rad_arena_mark mark = rad_arena_mark(s->arena);
        struct rad_attend a;
        RAD_TRY(rad_visit_attend(s, v, vs, &a, err));
        rad_attend(s->gemm, &a);
        rad_arena_reset(s->arena, mark);
    }
    return RAD_OK;
}

static enum rad_status visit_buffers(struct shard *s, struct visit *v, struct rad_err *err)
{
    const struct rad_card *c = &s->net->card;
    const size_t n = (size_t)v->n, d = (size_t)c->d_model, ffn = (size_t)c->ffn;
    const size_t dq = (size_t)(c->n_head * c->d_head), dkv = (size_t)(c->n_kv * c->d_head);
    float *stats = floats(s, n, 4);
    v->x = floats(s, n, d), v->n1 = floats(s, n, d), v->qkv = floats(s, n, dq + 2 * dkv);
    v->att = floats(s, n, dq), v->x1 = floats(s, n, d), v->n2 = floats(s, n, d);
    v->up = floats(s, n, (c->act == RAD_ACT_SWIGLU ? 2 : 1) * ffn), v->act = floats(s, n, ffn);
    NEED(s, stats && v->x && v->n1 && v->qkv && v->att && v->x1 && v->n2 && v->up && v->act ? s
                                                                                            : NULL);
    v->stat1 = stats, v->stat2 = stats + 2 * n;
    return RAD_OK;
}

static enum rad_status run_visit(struct shard *s, struct visit *v, struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_card *c = &net->card;
    const struct rad_kernels *k = rad_kernels();
    const struct layer_at *at = &net->layer[v->layer];
    const int32_t d = c->d_model, dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    const int32_t w = dq + 2 * dkv, n = v->n;
    const size_t nd = (size_t)n * (size_t)d;
    RAD_TRY(visit_buffers(s, v, err));
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    int32_t *pos = rad_arena_get(s->arena, (size_t)n * sizeof *pos);
    NEED(s, pos);
    for (int32_t r = 0; r < n; r++)
        pos[r] = s->pos[v->idx[r]];
    gather(v->x, s->h, v->idx, n, (size_t)d);
    norm(net, at->norm1, n, v->x, v->n1, v->stat1);
    rad_linear(s->gemm, n, d, w, v->n1, net->w + at->qkv, v->qkv);
    k->rope((size_t)n, pos, c->n_head + c->n_kv, c->d_head, w, net->cs, v->qkv);
    rad_arena_reset(s->arena, mark);
    RAD_TRY(attention(s, v, err));
    rad_linear(s->gemm, n, dq, d, v->att, net->w + at->o, v->x1);
    k->add(nd, v->x, v->x1);
    norm(net, at->norm2, n, v->x1, v->n2, v->stat2);
    if (c->act == RAD_ACT_SWIGLU) {
        rad_linear(s->gemm, n, d, 2 * c->ffn, v->n2, net->w + at->up, v->up);
        k->swiglu((size_t)n, (size_t)c->ffn, v->up, v->act);
    } else {
        rad_linear(s->gemm, n, d, c->ffn, v->n2, net->w + at->up, v->up);
        k->gelu((size_t)n * (size_t)c->ffn, v->up, v->act);
    }
    const struct rad_arena_mark out_mark = rad_arena_mark(s->arena);
    float *out = floats(s, (size_t)n, (size_t)d);
    NEED(s, out);
    rad_linear(s->gemm, n, c->ffn, d, v->act, net->w + at->down, out);
    k->add(nd, v->x1, out);
    for (int32_t r = 0; r < n; r++)
        memcpy(s->h + (size_t)v->idx[r] * (size_t)d, out + (size_t)r * (size_t)d,
               (size_t)d * sizeof *out);
    rad_arena_reset(s->arena, out_mark);
    return RAD_OK;
}

/* Collect the rows that go to one layer; marks them in its cache. */
static enum rad_status make_visit(struct shard *s, const struct hop_step *st, int32_t layer,
                                  struct rad_err *err)
{
    struct visit *v = &s->visit[s->n_visit];
    *v = (struct visit){.layer = layer, .hop = s->n_step - 1};
    v->idx = rad_arena_get(s->arena, (size_t)(st->n + 1) * sizeof *v->idx);
    v->seq = rad_arena_zero(s->arena, (size_t)s->n_seq * sizeof *v->seq);
    NEED(s, v->idx && v->seq ? s : NULL);
    for (int32_t r = 0; r < st->n; r++) {
        if (st->dest[r] != layer)
            continue;
        const int32_t i = st->idx[r];
        struct visit_seq *q = &v->seq[i / s->ctx];
        if (q->n_q++ == 0)
            q->row = v->n;
        s->cache[(size_t)layer * (size_t)s->n_tok + (size_t)i] = (struct key_ref){s->n_visit, v->n};
        v->idx[v->n++] = i;
        s->last[i] = layer;
    }
    if (v->n > 0)
        s->n_visit++;
    return RAD_OK;
}

enum rad_status rad_shard_hop(struct shard *s, struct hop_step *st, struct rad_err *err)
{
    st->first_visit = s->n_visit;
    for (int32_t l = 0; l < s->net->card.n_layer; l++) {
        const int32_t before = s->n_visit;
        RAD_TRY(make_visit(s, st, l, err));
        if (s->n_visit > before)
            RAD_TRY(run_visit(s, &s->visit[before], err));
    }
    st->n_visit = s->n_visit - st->first_visit;
    return RAD_OK;
}
