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

/* ---- what a sequence aims at ---------------------------------------------------------------- */

/* The depth that a sequence is to be run at, as a number m of layers between the first and the last
 * one, and the price of a layer that goes with it: full depth is asked for by a bonus. */
struct aim {
    int32_t middle;
    float price;
};

/* Most sequences aim at half the layers, some at a quarter, three quarters, all of them. The bands
 * of prices, as powers of price_max/price_min over price_min, lie in the same order and apart, so
 * that the router can tell them from each other. */
static struct aim draw_aim(const struct pass *p, int32_t seq)
{
    static const struct {
        double share, from, to;
    } quarter[] = {{0.06, 0.78, 1.0}, {0.80, 0.38, 0.6}, {0.06, 0.15, 0.32}, {0.08, 0.0, 0.1}};
    const struct rad_train_spec *spec = p->t->spec;
    const int32_t n_layer = spec->card.n_layer;
    const double u = draw(p, seq, -1), ratio = spec->router.price_max / spec->router.price_min;
    if (draw(p, seq, -2) < spec->router.full)
        return (struct aim){n_layer - 2, -1.0f};
    int q = 0;
    for (double sum = quarter[0].share; q < 3 && u >= sum; sum += quarter[q].share)
        q++;
    const double band = quarter[q].from + (quarter[q].to - quarter[q].from) * draw(p, seq, -3);
    const int32_t m = (n_layer * (q + 1) + 2) / 4 - 2;
    return (struct aim){m > 0 ? m : 0, (float)(spec->router.price_min * pow(ratio, band))};
}

/* ---- exploration --------------------------------------------------------------------------- */

/* A sane path has the first and the last layer and m of those between: m - 1 in order behind the
 * first, so that tokens of all depths meet there, then one of all the others. Paths keep the
 * teacher's order and, together, use all layers. Returns the layer behind `last` on such a path;
 * pick in [0, 1) chooses among the others. */
static int32_t sane_step(int32_t n_layer, int32_t m, double pick, int32_t last)
{
    const int32_t end = n_layer - 1;
    if (last < m - 1 || last < 0)
        return last + 1;
    if (m > 0 && last == m - 1)
        return m + (int32_t)(pick * (end - m));
    return last < end ? end : RAD_EXIT;
}

/* A step of a sane path. Among the others the token's own byte decides: a partition of the tokens
 * that the router can see, so that layers begin to differ (hash layers, arXiv 2106.04426). */
static int32_t walk_step(const struct pass *p, const struct shard *s, int32_t i)
{
    const int64_t byte = s->token[i];
    const double pick = rad_hash_uniform(rad_hash(&byte, sizeof byte, 1));
    return sane_step(s->net->card.n_layer, draw_aim(p, i / s->ctx).middle, pick, s->last[i]);
}

/* A decision at random: any node, all equally likely. */
static int32_t stray(const struct pass *p, const struct shard *s, int32_t i, int32_t hop)
{
    const int32_t node = (int32_t)(draw(p, i, 1000 + hop) * (s->net->card.n_layer + 1));
    return node < s->net->card.n_layer ? node : RAD_EXIT;
}

/* All sequences are walked along sane paths for most of the run: layers and router get to know
 * them. Then the router decides more and more, and single decisions explore. */
static double explore_share(const struct trainer *t)
{
    const struct rad_train_spec *spec = t->spec;
    const double done = (double)t->step / (double)spec->steps;
    const double fall = fmin(fmax((done - 0.9) / 0.1, 0.0), 1.0);
    return spec->router.explore_first +
           (spec->router.explore_last - spec->router.explore_first) * fall;
}

/* Is this sequence walked along sane paths as a whole, or left to the router? */
static bool walked(const struct pass *p, int32_t seq)
{
    const double last = p->t->spec->router.explore_last;
    return draw(p, seq, -7) < (explore_share(p->t) - last) / (1.0 - last);
}

static enum rad_status decide_explore(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                                      struct rad_err *err)
{
    const struct pass *p = ctx;
    RAD_TRY(rad_decide_greedy(p->t, s, st, hop, err));
    if (!p->t->has_router)
        return RAD_OK;
    for (int32_t r = 0; r < st->n; r++) {
        const int32_t i = st->idx[r];
        if (walked(p, i / s->ctx))
            st->dest[r] = walk_step(p, s, i);
        else if (draw(p, i, hop) < p->t->spec->router.explore_last)
            st->dest[r] = stray(p, s, i, hop);
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
    const struct roam roam = {.decide = rad_decide_greedy, .ctx = p->t};
    RAD_TRY(rad_shard_roam(&teacher, &roam, err));
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

/* Where a sequence is walked the router learns the walk too: cross entropy of softmax(score / heat)
 * over the layers against the one taken, so that it can take over without a break. */
static void imitate(float *dscore, const float *score, int32_t n_layer, int32_t taken, float scale)
{
    const float heat = 0.1f;
    float top = score[0], sum = 0.0f;
    for (int32_t l = 1; l < n_layer; l++)
        top = fmaxf(top, score[l]);
    for (int32_t l = 0; l < n_layer; l++)
        sum += expf((score[l] - top) / heat);
    for (int32_t l = 0; l < n_layer; l++) {
        const float p = expf((score[l] - top) / heat) / sum;
        dscore[l] += scale * (p - (l == taken ? 1.0f : 0.0f));
    }
}

/* Regress the scores at one step; value[] holds V of the next states and is replaced. */
static enum rad_status regress_step(const struct pass *p, struct shard *s,
                                    const struct hop_step *st, float *value, struct rad_err *err)
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
            v = fmaxf(s->price[i / s->ctx], 0.0f) + value[i];
            pull(&dr[st->dest[r]], score[st->dest[r]], v, scale, &w->router_loss);
            if (walked(p, i / s->ctx))
                imitate(dr, score, n_layer, st->dest[r], scale);
        }
        value[i] = v;
    }
    return rad_step_router_back(s, st, hop, s->price, d, w->grad, err);
}

static enum rad_status regress(const struct pass *p, struct shard *s, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    float *value = rad_arena_zero(s->arena, (size_t)s->n_tok * sizeof *value);
    if (value == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router values");
    for (int32_t h = s->n_step - 1; h >= 0; h--) {
        const struct hop_step *st = &s->step[h];
        if (h < s->net->card.max_hops) {
            RAD_TRY(regress_step(p, s, st, value, err));
            continue;
        }
        for (int32_t r = 0; r < st->n; r++) /* nobody chose here: only the loss is known */
            value[st->idx[r]] = st->loss[r] - p->base[st->idx[r]];
    }
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
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
        RAD_TRY(rad_shard_hop_back(s, st, dh, w->grad, err));
        if (st->p == NULL)
            continue;
        for (int32_t r = 0; r < st->n; r++) {
            const bool leaves = st->dest[r] == RAD_EXIT;
            weight[r] = leaves ? unit : unit * early_weight(p, st, r);
            w->loss += leaves ? (double)st->loss[r] : 0.0;
            w->depth += st->dest[r] >= 0 ? 1.0 : 0.0;
        }
        RAD_TRY(rad_step_head_back(s, st, target, weight, dh, w->grad, err));
    }
    rad_shard_embed_back(s, dh, w->grad);
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
    struct shard s = {.net = &t->net, .gemm = w->gemm, .arena = w->arena, .n_seq = n_seq};
    s.n_tok = (int32_t)n, s.ctx = ctx, s.token = token, s.price = price;
    s.seq_id = t->step * t->spec->batch + first;
    for (int32_t i = 0; t->has_router && i < n_seq; i++)
        price[i] = draw_aim(p, i).price;
    RAD_TRY(make_target(p, &s, next, &target, err));
    const struct roam roam = {target, t->has_router, decide_explore, p};
    RAD_TRY(rad_shard_roam(&s, &roam, err));
    if (t->has_router)
        RAD_TRY(regress(p, &s, err));
    w->n_loss = s.n_tok;
    return backward(p, &s, target, err);
}

void rad_trainer_shard(void *ctx, int task, int thread)
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
