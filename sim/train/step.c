/* step.c - one optimiser step on a shard: targets, routing with exploration, losses.
 *
 * The router is trained as a value estimator (docs/training.md). Minus its score of a node is
 * regressed on the regret of going there, in nats:
 *   regret of leaving at hop t   r_t = loss_t - loss of the teacher
 *   regret of a layer at hop t   price + V_(t+1),  V = r if the token leaves there, else that
 *                                of the layer it takes
 * so the best-scored node is where expected loss and price of layers are least. Leaving is known
 * exactly at every state; layers are known for the path that was taken, which explores a little. */
#include "base/hash.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>

struct pass { /* what the callbacks of one shard need */
    struct trainer *t;
    int task;
    int32_t first_seq;
    float *base; /* [n_tok] the teacher's loss, 0 without one */
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

/* A random decision: along the chain, straight to the last layer, sometimes anywhere. */
static int32_t wander(double u, int32_t last, int32_t n_layer)
{
    if (u < 0.35)
        return last + 1 < n_layer ? last + 1 : RAD_EXIT;
    if (u < 0.65)
        return n_layer - 1;
    if (u < 0.75)
        return last + 2 < n_layer ? last + 2 : RAD_EXIT;
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

/* The teacher's loss of each token against the target: what regrets are measured from. */
static void measure_base(struct pass *p, const struct shard *s, const float *prob,
                         const float *target)
{
    const size_t v = (size_t)p->t->net.card.vocab;
    for (size_t i = 0; i < (size_t)s->n_tok; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < v; j++)
            if (target[i * v + j] > 0.0f)
                sum -= (double)target[i * v + j] * (double)logf(fmaxf(prob[i * v + j], 1e-30f));
        p->base[i] = (float)sum;
    }
}

/* target [n_tok][V] = (1 - distill) one-hot of the next token + distill * teacher */
static enum rad_status make_target(struct pass *p, struct shard *s, const int32_t *next,
                                   float **out, struct rad_err *err)
{
    const struct trainer *t = p->t;
    const size_t v = (size_t)t->net.card.vocab, n = (size_t)s->n_tok;
    float *target = rad_arena_zero(s->arena, n * v * sizeof *target);
    p->base = rad_arena_zero(s->arena, n * sizeof *p->base);
    if (target == NULL || p->base == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for targets");
    const float share = t->has_teacher ? (float)t->spec->distill : 0.0f;
    for (size_t i = 0; i < n; i++)
        target[i * v + (size_t)next[i]] = 1.0f - share;
    *out = target;
    if (!t->has_teacher)
        return RAD_OK;
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    struct shard teacher = *s;
    teacher.net = &t->teacher;
    const struct roam roam = {.decide = decide_greedy, .ctx = p->t};
    RAD_TRY(shard_roam(&teacher, &roam, err));
    const float *prob = teacher.step[teacher.n_step - 1].p;
    rad_kernels()->axpy(n * v, share, prob, target);
    if (t->has_router)
        measure_base(p, s, prob, target);
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
}

/* ---- router values ----------------------------------------------------------------------- */

/* Regrets are clipped: beyond this a node is simply bad. */
static const float worst_regret = 1.5f;
static const float soft_regret = 0.2f; /* nats: scale of the early losses' weights */

static void pull(float *dscore, float score, float regret, float scale, double *loss)
{
    const float miss = score + fminf(fmaxf(regret, -worst_regret), worst_regret);
    *dscore = scale * miss;
    *loss += 0.5 * (double)(miss * miss);
}

/* Regress the scores at one step; value[] holds V of the next states and is replaced. With relabel
 * set, prices are not those that the paths were made with: V is then that of leaving wherever the
 * router, asked at that price, would leave. */
static enum rad_status regress_step(const struct pass *p, struct shard *s, struct hop_step *st,
                                    const float *price, bool relabel, float *value,
                                    struct rad_err *err)
{
    const struct trainer *t = p->t;
    const int32_t n_layer = t->net.card.n_layer, hop = (int32_t)(st - s->step);
    const size_t out = (size_t)n_layer + 1;
    float *d = rad_arena_zero(s->arena, (size_t)(st->n + 1) * out * sizeof *d);
    if (d == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router gradients");
    struct worker *w = &t->worker[p->task];
    const float scale = (float)(t->spec->router.weight / ((double)t->spec->batch * s->ctx));
    for (int32_t r = 0; r < st->n; r++) {
        const int32_t i = st->idx[r];
        const float leave = st->loss[r] - p->base[i], *score = st->score + (size_t)r * out;
        float *dr = d + (size_t)r * out;
        pull(&dr[n_layer], score[n_layer], leave, scale, &w->router_loss);
        float v = leave;
        if (st->dest[r] >= 0) {
            const float go = fmaxf(price[i / s->ctx], 0.0f) + value[i];
            pull(&dr[st->dest[r]], score[st->dest[r]], go, scale, &w->router_loss);
            float best = score[0];
            for (int32_t l = 1; l < n_layer; l++)
                best = fmaxf(best, score[l]);
            v = relabel && best < score[n_layer] ? leave : go;
        }
        value[i] = v;
    }
    return step_router_back(s, st, hop, price, d, w->grad, err);
}

static enum rad_status regress(const struct pass *p, struct shard *s, const float *price,
                               bool relabel, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    float *value = rad_arena_zero(s->arena, (size_t)s->n_tok * sizeof *value);
    if (value == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router values");
    const float *kept = s->price;
    s->price = price;
    for (int32_t h = s->n_step - 1; h >= 0; h--) {
        struct hop_step *st = &s->step[h], own = *st;
        if (h == s->net->card.max_hops) { /* nobody chose here: only the loss is known */
            for (int32_t r = 0; r < st->n; r++)
                value[st->idx[r]] = st->loss[r] - p->base[st->idx[r]];
            continue;
        }
        if (relabel)
            RAD_TRY(step_router(s, st, h, err));
        RAD_TRY(regress_step(p, s, st, price, relabel, value, err));
        *st = own;
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

/* States before the output node get a loss too, so that leaving there becomes possible; but only
 * as far as leaving is nearly good enough: hard tokens do not bend the early layers. */
static float early_weight(const struct pass *p, const struct hop_step *st, int32_t r)
{
    const float regret = fmaxf(st->loss[r] - p->base[st->idx[r]], 0.0f);
    return (float)p->t->spec->router.depth_loss * expf(-regret / soft_regret);
}

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
            weight[r] = leaves ? unit : unit * early_weight(p, st, r);
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
