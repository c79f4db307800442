/* backward.c - gradients of what forward.c recorded, in reverse order of hops. */
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

/* dx += gradient through the norm at `at` */
static void norm_back(const struct net *net, size_t at, int32_t n, const float *x,
                      const float *stat, const float *dy, float *dx, float *grad)
{
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)net->card.d_model;
    if (net->card.norm == RAD_NORM_LAYER)
        k->layernorm_back((size_t)n, d, x, net->w + at, stat, dy, dx, grad + at);
    else
        k->rmsnorm_back((size_t)n, d, x, net->w + at, stat, dy, dx, grad + at);
}

/* g [n][d]: gradient of the MLP's output in, of its input (residual included) out. */
static enum rad_status mlp_back(struct shard *s, const struct visit *v, float *g, float *grad,
                                struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_card *c = &net->card;
    const struct rad_kernels *k = rad_kernels();
    const struct layer_at *at = &net->layer[v->layer];
    const int32_t d = c->d_model, n = v->n;
    const int32_t wide = (c->act == RAD_ACT_SWIGLU ? 2 : 1) * c->ffn;
    float *dact = floats(s, (size_t)n, (size_t)c->ffn);
    float *dup = c->act == RAD_ACT_SWIGLU ? floats(s, (size_t)n, (size_t)wide) : dact;
    float *dn = floats(s, (size_t)n, (size_t)d);
    NEED(s, dact && dup && dn ? s : NULL);
    rad_linear_grad(s->gemm, n, c->ffn, d, v->act, g, grad + at->down);
    rad_linear_back(s->gemm, n, c->ffn, d, g, net->w + at->down, dact);
    if (c->act == RAD_ACT_SWIGLU)
        k->swiglu_back((size_t)n, (size_t)c->ffn, v->up, dact, dup);
    else
        k->gelu_back((size_t)n * (size_t)c->ffn, v->up, dup);
    rad_linear_grad(s->gemm, n, d, wide, v->n2, dup, grad + at->up);
    rad_linear_back(s->gemm, n, d, wide, dup, net->w + at->up, dn);
    norm_back(net, at->norm2, n, v->x1, v->stat2, dn, g, grad);
    return RAD_OK;
}

/* Spread the gradients of listed keys to the visits that wrote them. */
static void scatter_keys(struct shard *s, const struct visit_seq *q, const float *dkv, size_t w)
{
    for (int32_t j = 0; j < q->n_k; j++)
        rad_kernels()->add(w, dkv + (size_t)j * w,
                           s->visit[q->key[j].visit].dkv + (size_t)q->key[j].row * w);
}

/* dqkv [n][dq + 2 dkv]: fills the query part; keys and values go to the visits' dkv. */
static enum rad_status attention_back(struct shard *s, const struct visit *v, const float *datt,
                                      float *dqkv, struct rad_err *err)
{
    const struct rad_card *c = &s->net->card;
    const size_t dq = (size_t)(c->n_head * c->d_head), dkv = (size_t)(c->n_kv * c->d_head);
    for (int32_t i = 0; i < s->n_seq; i++) {
        const struct visit_seq *q = &v->seq[i];
        if (q->n_q == 0)
            continue;
        const struct rad_arena_mark mark = rad_arena_mark(s->arena);
        struct rad_attend a;
        RAD_TRY(rad_visit_attend(s, v, q, &a, err));
        float *dp = floats(s, (size_t)q->n_q, (size_t)q->n_k);
        /* keys keep the row pitch of a.k: [K | V] rows, or whole qkv rows if they are our own */
        float *dkey = rad_arena_zero(s->arena, (size_t)q->n_k * (size_t)a.ldkv * sizeof *dkey);
        NEED(s, dp && dkey ? s : NULL);
        struct rad_attend_grad g = {.dout = datt + (size_t)q->row * dq, .dp = dp};
        g.dq = dqkv + (size_t)q->row * (dq + 2 * dkv);
        g.dk = dkey, g.dv = dkey + dkv;
        rad_attend_back(s->gemm, &a, &g);
        if (q->key != NULL)
            scatter_keys(s, q, dkey, 2 * dkv);
        else
            for (int32_t j = 0; j < q->n_k; j++)
                rad_kernels()->add(2 * dkv, dkey + (size_t)j * (size_t)a.ldkv,
                                   v->dkv + (size_t)(q->row + j) * 2 * dkv);
        rad_arena_reset(s->arena, mark);
    }
    return RAD_OK;
}

static enum rad_status visit_back(struct shard *s, const struct visit *v, float *dh, float *grad,
                                  struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_card *c = &net->card;
    const struct rad_kernels *k = rad_kernels();
    const struct layer_at *at = &net->layer[v->layer];
    const int32_t n = v->n, d = c->d_model, dq = c->n_head * c->d_head;
    const int32_t dkv = c->n_kv * c->d_head, w = dq + 2 * dkv;
    const size_t un = (size_t)n, ud = (size_t)d;
    float *g = floats(s, un, ud), *datt = floats(s, un, (size_t)dq), *dn = floats(s, un, ud);
    float *dqkv = floats(s, un, (size_t)w);
    int32_t *pos = rad_arena_get(s->arena, un * sizeof *pos);
    NEED(s, g && datt && dn && dqkv && pos ? s : NULL);
    for (int32_t r = 0; r < n; r++) {
        memcpy(g + (size_t)r * ud, dh + (size_t)v->idx[r] * ud, ud * sizeof *g);
        pos[r] = s->pos[v->idx[r]];
    }
    RAD_TRY(mlp_back(s, v, g, grad, err));
    rad_linear_grad(s->gemm, n, dq, d, v->att, g, grad + at->o);
    rad_linear_back(s->gemm, n, dq, d, g, net->w + at->o, datt);
    RAD_TRY(attention_back(s, v, datt, dqkv, err));
    for (int32_t r = 0; r < n; r++)
        memcpy(dqkv + (size_t)r * (size_t)w + dq, v->dkv + (size_t)r * 2 * (size_t)dkv,
               2 * (size_t)dkv * sizeof *dqkv);
    k->rope_back(un, pos, c->n_head + c->n_kv, c->d_head, w, net->cs, dqkv);
    rad_linear_grad(s->gemm, n, d, w, v->n1, dqkv, grad + at->qkv);
    rad_linear_back(s->gemm, n, d, w, dqkv, net->w + at->qkv, dn);
    norm_back(net, at->norm1, n, v->x, v->stat1, dn, g, grad);
    for (int32_t r = 0; r < n; r++)
        memcpy(dh + (size_t)v->idx[r] * ud, g + (size_t)r * ud, ud * sizeof *g);
    return RAD_OK;
}

enum rad_status rad_shard_hop_back(struct shard *s, const struct hop_step *st, float *dh,
                                   float *grad, struct rad_err *err)
{
    for (int32_t i = st->n_visit - 1; i >= 0; i--) {
        const struct rad_arena_mark mark = rad_arena_mark(s->arena);
        RAD_TRY(visit_back(s, &s->visit[st->first_visit + i], dh, grad, err));
        rad_arena_reset(s->arena, mark);
    }
    return RAD_OK;
}

enum rad_status rad_step_head_back(struct shard *s, const struct hop_step *st, const float *target,
                                   const float *weight, float *dh, float *grad, struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_kernels *k = rad_kernels();
    const size_t n = (size_t)st->n, d = (size_t)net->card.d_model, v = (size_t)net->card.vocab;
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    float *dz = floats(s, n, v), *dy = floats(s, n, d);
    float *dx = rad_arena_zero(s->arena, n * d * sizeof *dx);
    NEED(s, dz && dy && dx ? s : NULL);
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < v; j++)
            dz[r * v + j] = weight[r] * (st->p[r * v + j] - target[(size_t)st->idx[r] * v + j]);
    rad_linear_grad(s->gemm, st->n, net->card.d_model, net->card.vocab, st->y, dz,
                    grad + net->head);
    rad_linear_back(s->gemm, st->n, net->card.d_model, net->card.vocab, dz, net->w + net->head, dy);
    norm_back(net, net->norm_f, st->n, st->x, st->stat, dy, dx, grad);
    for (size_t r = 0; r < n; r++)
        k->add(d, dx + r * d, dh + (size_t)st->idx[r] * d);
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
}

double rad_step_align_back(const struct shard *s, const struct hop_step *st,
                           const float *const *goal, double weight, float *dh)
{
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)s->net->card.d_model;
    double loss = 0.0;
    for (int32_t r = 0; r < st->n; r++) {
        if (goal[r] == NULL)
            continue;
        const float *x = st->x + (size_t)r * d;
        float *g = dh + (size_t)st->idx[r] * d;
        const double unit = weight / (k->sumsq(d, goal[r]) + 1e-6);
        for (size_t j = 0; j < d; j++) {
            const double miss = (double)x[j] - (double)goal[r][j];
            loss += unit * miss * miss;
            g[j] += (float)(2.0 * unit * miss);
        }
    }
    return loss;
}

enum rad_status rad_step_router_back(struct shard *s, const struct hop_step *st, int32_t hop,
                                     const float *price, const float *dscore, float *grad,
                                     struct rad_err *err)
{
    const struct net *net = s->net;
    const struct rad_kernels *k = rad_kernels();
    const struct router_at *at = &net->router;
    const int32_t r = net->card.router_hidden, out = net->card.n_layer + 1;
    const size_t n = (size_t)st->n, ur = (size_t)r;
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    float *u = floats(s, n, ur), *du = floats(s, n, ur);
    NEED(s, u && du ? s : NULL);
    k->gelu(n * ur, st->ru, u);
    rad_linear_grad(s->gemm, st->n, r, out, u, dscore, grad + at->w2);
    rad_linear_back(s->gemm, st->n, r, out, dscore, net->w + at->w2, du);
    k->gelu_back(n * ur, st->ru, du);
    rad_linear_grad(s->gemm, st->n, net->card.d_model, r, st->rn, du, grad + at->w1);
    for (size_t i = 0; i < n; i++) {
        k->add((size_t)out, dscore + i * (size_t)out, grad + at->b2);
        k->add(ur, du + i * ur, grad + at->b1);
        k->add(ur, du + i * ur, grad + at->hop + (size_t)hop * ur);
        k->add(ur, du + i * ur, grad + at->last + (size_t)(st->last[i] + 1) * ur);
        k->axpy(ur, rad_router_feature((double)price[st->idx[i] / s->ctx]), du + i * ur,
                grad + at->price);
    }
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
}

void rad_shard_embed_back(struct shard *s, const float *dh, float *grad)
{
    const size_t d = (size_t)s->net->card.d_model;
    for (int32_t i = 0; i < s->n_tok; i++)
        rad_kernels()->add(d, dh + (size_t)i * d, grad + s->net->embed + (size_t)s->token[i] * d);
}
