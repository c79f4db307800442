/* step.c - one optimiser step: targets, routing with exploration, losses, AdamW.
 *
 * The router is trained as a value estimator (docs/training.md). Its score of layer l minus its
 * score of the output node, D(state, l), is regressed on the realised net gain of going there:
 *   G_t = loss_t - loss_T - price * (T - t)
 * where loss_t is the cross entropy if the token left at hop t, and T is the hop where it left.
 * So "go where D is largest, leave if no D is positive" spends a layer exactly where the router
 * expects it to buy more than its price. */
#include "base/hash.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>

struct pass { /* what the callbacks of one shard need */
    struct trainer *t;
    int task;
    int32_t first_seq;
};

static double draw(const struct pass *p, int64_t a, int64_t b)
{
    const int64_t key[4] = {p->t->step, p->task, a, b};
    return rad_hash_uniform(rad_hash(key, sizeof key, p->t->spec->seed));
}

static void draw_prices(const struct pass *p, int32_t n, float *price)
{
    const struct rad_train_spec *spec = p->t->spec;
    const double lo = log(spec->router.price_min), hi = log(spec->router.price_max);
    for (int32_t s = 0; s < n; s++) {
        price[s] = (float)exp(lo + (hi - lo) * draw(p, s, -1));
        if (draw(p, s, -2) < spec->router.full)
            price[s] = -1.0f;
    }
}

/* A random decision: mostly steps along the chain, sometimes any layer or the output node. */
static int32_t wander(double u, int32_t last, int32_t n_layer)
{
    const int32_t next = last + 1 < n_layer ? last + 1 : RAD_EXIT;
    if (u < 0.5)
        return next;
    if (u < 0.65)
        return last + 2 < n_layer ? last + 2 : RAD_EXIT;
    if (u < 0.75)
        return n_layer - 1;
    if (u < 0.9)
        return (int32_t)((u - 0.75) / 0.15 * n_layer);
    return RAD_EXIT;
}

static enum rad_status decide_explore(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                                      struct rad_err *err)
{
    const struct pass *p = ctx;
    const struct rad_train_spec *spec = p->t->spec;
    RAD_TRY(decide_greedy(p->t, s, st, hop, err));
    if (!p->t->has_router)
        return RAD_OK;
    const double done = (double)p->t->step / (double)spec->steps;
    const double share = spec->router.explore_first +
                         (spec->router.explore_last - spec->router.explore_first) * done;
    for (int32_t r = 0; r < st->n; r++) {
        const double u = draw(p, st->idx[r], hop);
        if (u < share)
            st->dest[r] = wander(u / share, st->last[r], s->net->card.n_layer);
    }
    return RAD_OK;
}

/* target [n_tok][V] = (1 - distill) one-hot of the next token + distill * teacher */
static enum rad_status make_target(const struct pass *p, struct shard *s, const int32_t *next,
                                   float **out, struct rad_err *err)
{
    const struct trainer *t = p->t;
    const size_t v = (size_t)t->net.card.vocab, n = (size_t)s->n_tok;
    float *target = rad_arena_zero(s->arena, n * v * sizeof *target);
    if (target == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for targets");
    const double share = t->has_teacher ? t->spec->distill : 0.0;
    if (share > 0.0) {
        const struct rad_arena_mark mark = rad_arena_mark(s->arena);
        struct shard teacher = *s;
        teacher.net = &t->teacher;
        const struct roam roam = {.decide = decide_greedy, .ctx = p->t};
        RAD_TRY(shard_roam(&teacher, &roam, err));
        const struct hop_step *last = &teacher.step[teacher.n_step - 1];
        rad_kernels()->axpy(n * v, (float)share, last->p, target);
        rad_arena_reset(s->arena, mark);
    }
    for (size_t i = 0; i < n; i++)
        target[i * v + (size_t)next[i]] += (float)(1.0 - share);
    *out = target;
    return RAD_OK;
}

/* ---- router values ----------------------------------------------------------------------- */

struct value {  /* per token: the best continuation found so far, walking backwards */
    float gain; /* G of the next state, 0 once the token leaves there */
    float loss; /* of the next state */
};

/* Regress D of the taken decisions at one step; val[] holds the next states and is replaced. With
 * relabel set, prices are not those that the paths were made with: the recursion then stops where
 * the router, asked at that price, would leave. */
static enum rad_status regress_step(const struct pass *p, struct shard *s, struct hop_step *st,
                                    const float *price, bool relabel, struct value *val,
                                    struct rad_err *err)
{
    const struct trainer *t = p->t;
    const int32_t n_layer = t->net.card.n_layer, hop = (int32_t)(st - s->step);
    const size_t out = (size_t)n_layer + 1;
    float *d = rad_arena_zero(s->arena, (size_t)(st->n + 1) * out * sizeof *d);
    if (d == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router gradients");
    struct worker *w = &t->worker[p->task];
    const double scale = t->spec->router.weight / ((double)t->spec->batch * s->ctx);
    for (int32_t r = 0; r < st->n; r++) {
        struct value *v = &val[st->idx[r]];
        const float here = st->loss[r], cost = fmaxf(price[st->idx[r] / s->ctx], 0.0f);
        float gain = 0.0f;
        if (st->dest[r] != RAD_EXIT) {
            const float *score = st->score + (size_t)r * out;
            gain = here - v->loss - cost + v->gain;
            const float goal = fminf(fmaxf(gain, -1.0f), 1.0f);
            const float miss = score[st->dest[r]] - score[n_layer] - goal;
            d[(size_t)r * out + (size_t)st->dest[r]] = (float)scale * miss;
            d[(size_t)r * out + (size_t)n_layer] = -(float)scale * miss;
            w->router_loss += 0.5 * (double)(miss * miss);
            float best = score[0];
            for (int32_t l = 1; l < n_layer; l++)
                best = fmaxf(best, score[l]);
            if (relabel && best <= score[n_layer])
                gain = 0.0f;
        }
        *v = (struct value){gain, here};
    }
    return step_router_back(s, st, hop, price, d, w->grad, err);
}

static enum rad_status regress(const struct pass *p, struct shard *s, const float *price,
                               bool relabel, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    struct value *val = rad_arena_zero(s->arena, (size_t)s->n_tok * sizeof *val);
    if (val == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router values");
    const float *kept = s->price;
    s->price = price;
    for (int32_t h = s->n_step - 1; h >= 0; h--) {
        if (h == s->net->card.max_hops) { /* nobody chose here: only the loss is known */
            for (int32_t r = 0; r < s->step[h].n; r++)
                val[s->step[h].idx[r]] = (struct value){0.0f, s->step[h].loss[r]};
            continue;
        }
        struct hop_step st = s->step[h];
        if (relabel)
            RAD_TRY(step_router(s, &st, h, err));
        struct hop_step own = s->step[h];
        s->step[h] = st;
        RAD_TRY(regress_step(p, s, &s->step[h], price, relabel, val, err));
        s->step[h] = own;
    }
    s->price = kept;
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
}

/* Prices above those of the paths: what a stingier router would have seen on the same way. */
static enum rad_status regress_dearer(const struct pass *p, struct shard *s, struct rad_err *err)
{
    const struct rad_train_spec *spec = p->t->spec;
    float *price = rad_arena_get(s->arena, (size_t)s->n_seq * sizeof *price);
    if (price == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for prices");
    for (int32_t i = 0; i < s->n_seq; i++) {
        const double low = fmax((double)s->price[i], spec->router.price_min);
        price[i] = (float)(low * pow(spec->router.price_max / low, draw(p, i, -3)));
    }
    return regress(p, s, price, true, err);
}

/* ---- one shard ---------------------------------------------------------------------------- */

static enum rad_status backward(const struct pass *p, struct shard *s, const float *target,
                                struct rad_err *err)
{
    const struct trainer *t = p->t;
    struct worker *w = &t->worker[p->task];
    const size_t d = (size_t)t->net.card.d_model;
    const size_t kv = 2 * (size_t)(t->net.card.n_kv * t->net.card.d_head);
    const float unit = 1.0f / ((float)t->spec->batch * (float)s->ctx);
    float *dh = rad_arena_zero(s->arena, (size_t)s->n_tok * d * sizeof *dh);
    float *weight = rad_arena_get(s->arena, (size_t)s->n_tok * sizeof *weight);
    bool ok = dh != NULL && weight != NULL;
    for (int32_t i = 0; i < s->n_visit && ok; i++) {
        s->visit[i].dkv = rad_arena_zero(s->arena, (size_t)s->visit[i].n * kv * sizeof(float));
        ok = s->visit[i].dkv != NULL;
    }
    if (!ok)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for gradients");
    for (int32_t h = s->n_step - 1; h >= 0; h--) {
        const struct hop_step *st = &s->step[h];
        RAD_TRY(shard_hop_back(s, st, dh, w->grad, err));
        if (st->p == NULL)
            continue;
        for (int32_t r = 0; r < st->n; r++) {
            const bool leaves = st->dest[r] == RAD_EXIT;
            weight[r] = leaves ? unit : unit * (float)t->spec->router.depth_loss;
            w->loss += leaves ? (double)st->loss[r] : 0.0;
            w->depth += st->dest[r] >= 0 ? 1.0 : 0.0;
        }
        RAD_TRY(step_head_back(s, st, target, weight, dh, w->grad, err));
    }
    shard_embed_back(s, dh, w->grad);
    return RAD_OK;
}

static enum rad_status run_shard(struct pass *p, struct rad_err *err)
{
    struct trainer *t = p->t;
    struct worker *w = &t->worker[p->task];
    const int32_t ctx = t->net.card.n_ctx, n_shard = t->spec->shards;
    const int32_t first = t->spec->batch * p->task / n_shard;
    const int32_t n_seq = t->spec->batch * (p->task + 1) / n_shard - first;
    p->first_seq = first;
    const size_t n = (size_t)n_seq * (size_t)ctx;
    int32_t *token = rad_arena_get(w->arena, n * sizeof *token);
    int32_t *next = rad_arena_get(w->arena, n * sizeof *next);
    float *price = rad_arena_get(w->arena, ((size_t)n_seq + 1) * sizeof *price), *target = NULL;
    if (token == NULL || next == NULL || price == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for a batch");
    for (size_t i = 0; i < n; i++) {
        const size_t row = (size_t)first + i / (size_t)ctx, col = i % (size_t)ctx;
        token[i] = t->batch[row * ((size_t)ctx + 1) + col];
        next[i] = t->batch[row * ((size_t)ctx + 1) + col + 1];
    }
    if (t->has_router)
        draw_prices(p, n_seq, price);
    struct shard s = {.net = &t->net, .gemm = w->gemm, .arena = w->arena, .n_seq = n_seq};
    s.n_tok = (int32_t)n, s.ctx = ctx, s.token = token, s.price = price;
    s.seq_id = t->step * t->spec->batch + first;
    RAD_TRY(make_target(p, &s, next, &target, err));
    const struct roam roam = {target, t->has_router, decide_explore, p};
    RAD_TRY(shard_roam(&s, &roam, err));
    if (t->has_router) {
        RAD_TRY(regress(p, &s, price, false, err));
        RAD_TRY(regress_dearer(p, &s, err));
    }
    w->n_loss = s.n_tok;
    return backward(p, &s, target, err);
}

void trainer_shard(void *ctx, int task, int thread)
{
    (void)thread;
    struct trainer *t = ctx;
    struct worker *w = &t->worker[task];
    struct pass p = {.t = t, .task = task};
    w->loss = w->depth = w->router_loss = 0.0;
    w->n_loss = 0;
    memset(w->grad, 0, t->net.n_param * sizeof *w->grad);
    const struct rad_arena_mark mark = rad_arena_mark(w->arena);
    w->status = run_shard(&p, &w->err);
    rad_arena_reset(w->arena, mark);
}
