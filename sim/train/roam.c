/* roam.c - tokens hop until all have left; who decides is a callback. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

/* Tokens that stay, in ascending order. */
static int32_t survivors(const struct hop_step *st, int32_t *idx)
{
    int32_t n = 0;
    for (int32_t r = 0; r < st->n; r++)
        if (st->dest[r] != RAD_EXIT)
            idx[n++] = st->idx[r];
    return n;
}

enum rad_status rad_shard_roam(struct shard *s, const struct roam *r, struct rad_err *err)
{
    const int32_t max_hops = s->net->card.max_hops;
    RAD_TRY(rad_shard_begin(s, err));
    int32_t *alive = rad_arena_get(s->arena, (size_t)s->n_tok * sizeof *alive);
    if (alive == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for %d tokens", s->n_tok);
    for (int32_t i = 0; i < s->n_tok; i++)
        alive[i] = i;
    int32_t n = s->n_tok;
    for (int32_t hop = 0; n > 0; hop++) {
        struct hop_step *st = rad_shard_step(s, alive, n);
        if (st == NULL)
            return rad_fail(err, RAD_E_NOMEM, "train: out of memory for %d tokens", s->n_tok);
        if (hop == max_hops)
            for (int32_t i = 0; i < n; i++)
                st->dest[i] = RAD_EXIT;
        else
            RAD_TRY(r->decide(r->ctx, s, st, hop, err));
        const int32_t left = survivors(st, alive);
        if (left < n && st->p == NULL)
            RAD_TRY(rad_step_head(s, st, r->target, err));
        RAD_TRY(rad_shard_hop(s, st, err));
        n = left;
    }
    return RAD_OK;
}

static int32_t best_score(const float *score, int32_t n_layer, float bonus)
{
    int32_t best = 0;
    for (int32_t l = 1; l < n_layer; l++)
        if (score[l] > score[best])
            best = l;
    return score[n_layer] - bonus > score[best] ? RAD_EXIT : best;
}

static enum rad_status decide_router(struct shard *s, struct hop_step *st, int32_t hop,
                                     struct rad_err *err)
{
    const int32_t n_layer = s->net->card.n_layer;
    RAD_TRY(rad_step_router(s, st, hop, err));
    for (int32_t r = 0; r < st->n; r++)
        st->dest[r] =
            best_score(st->score + (size_t)r * (size_t)(n_layer + 1), n_layer,
                       rad_router_bonus((double)s->price[st->idx[r] / s->ctx], hop, n_layer));
    return RAD_OK;
}

static enum rad_status decide_policy(const struct trainer *t, struct shard *s, struct hop_step *st,
                                     int32_t hop, struct rad_err *err)
{
    int64_t *seq = rad_arena_get(s->arena, (size_t)(st->n + 1) * sizeof *seq);
    int32_t *pos = rad_arena_get(s->arena, (size_t)(st->n + 1) * sizeof *pos);
    if (seq == NULL || pos == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for %d tokens", s->n_tok);
    for (int32_t r = 0; r < st->n; r++) {
        seq[r] = s->seq_id + st->idx[r] / s->ctx;
        pos[r] = s->pos[st->idx[r]];
    }
    const struct rad_hop h = {.n_tok = st->n,
                              .n_layer = s->net->card.n_layer,
                              .hop = hop,
                              .max_hops = s->net->card.max_hops,
                              .phase = RAD_ROUTE_EVAL,
                              .last = st->last,
                              .seq = seq,
                              .pos = pos};
    RAD_TRY(t->route.policy->decide(t->route.params, &h, st->dest, err));
    for (int32_t r = 0; r < st->n; r++) /* forward-only: hop and layer move together */
        st->dest[r] = st->dest[r] > hop ? RAD_WAIT : st->dest[r];
    return RAD_OK;
}

enum rad_status rad_decide_greedy(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                                  struct rad_err *err)
{
    const struct trainer *t = ctx;
    const bool own = s->net == &t->net; /* the teacher is dense */
    if (own && t->has_router)
        return decide_router(s, st, hop, err);
    if (own && t->has_policy)
        return decide_policy(t, s, st, hop, err);
    for (int32_t r = 0; r < st->n; r++)
        st->dest[r] = hop < s->net->card.n_layer ? hop : RAD_EXIT;
    return RAD_OK;
}

/* ---- validation ------------------------------------------------------------------------- */

struct val_job {
    struct trainer *t;
    double price;
    int64_t stride;
};

static enum rad_status val_window(const struct val_job *job, struct worker *w, int64_t window,
                                  bool *found)
{
    struct trainer *t = job->t;
    const int32_t ctx = t->net.card.n_ctx;
    const float price = (float)job->price;
    int32_t *token = rad_arena_zero(w->arena, (size_t)ctx * sizeof *token);
    if (token == NULL)
        return rad_fail(&w->err, RAD_E_NOMEM, "train: out of memory in validation");
    const int32_t n = rad_corpus_val_window(&t->corpus, ctx, window, token);
    *found = n > 0;
    if (n < 2)
        return RAD_OK;
    struct shard s = {.net = &t->net, .gemm = w->gemm, .arena = w->arena, .n_seq = 1, .n_tok = n};
    s.ctx = ctx, s.token = token, s.price = &price, s.seq_id = window;
    const struct roam roam = {.decide = rad_decide_greedy, .ctx = t};
    RAD_TRY(rad_shard_roam(&s, &roam, &w->err));
    const size_t v = (size_t)t->net.card.vocab;
    for (int32_t h = 0; h < s.n_step; h++) {
        const struct hop_step *st = &s.step[h];
        for (int32_t r = 0; r < st->n; r++) {
            const int32_t i = st->idx[r];
            if (i + 1 < n && st->dest[r] == RAD_EXIT) {
                w->loss -= (double)logf(st->p[(size_t)r * v + (size_t)token[i + 1]]);
                w->n_loss++;
            }
            w->depth += st->dest[r] >= 0 ? 1.0 : 0.0;
        }
    }
    w->router_loss += n; /* tokens whose depth was counted */
    return RAD_OK;
}

static void val_task(void *ctx, int task, int thread)
{
    (void)thread;
    const struct val_job *job = ctx;
    struct worker *w = &job->t->worker[task];
    w->loss = w->depth = w->router_loss = 0.0;
    w->n_loss = 0;
    w->status = RAD_OK;
    bool found = true;
    for (int64_t i = task; found && w->status == RAD_OK; i += job->t->spec->shards) {
        const struct rad_arena_mark mark = rad_arena_mark(w->arena);
        w->status = val_window(job, w, i * job->stride, &found);
        rad_arena_reset(w->arena, mark);
    }
}

enum rad_status rad_trainer_validate(struct trainer *t, double price, int64_t stride,
                                     struct val_result *out, struct rad_err *err)
{
    struct val_job job = {t, price, stride};
    double tokens = 0.0;
    *out = (struct val_result){0};
    rad_pool_run(t->pool, t->spec->shards, val_task, &job);
    for (int32_t i = 0; i < t->spec->shards; i++) {
        const struct worker *w = &t->worker[i];
        if (w->status != RAD_OK)
            return rad_fail(err, w->status, "%s", w->err.msg);
        out->nll += w->loss;
        out->depth += w->depth;
        out->n += w->n_loss;
        tokens += w->router_loss;
    }
    out->nll = out->n > 0 ? out->nll / (double)out->n : (double)NAN;
    out->depth = tokens > 0 ? out->depth / tokens : (double)NAN;
    return RAD_OK;
}
