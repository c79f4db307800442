/* step.c - one optimiser step on a shard: targets, paths, losses of network and router.
 *
 *   network  cross entropy where a token leaves, against data and teacher; and the distance of the
 *            state after layer l to the teacher's state there, relative to its square
 *   router   cross entropy of its scores against the next node of the token's planned path, at
 *            every state that is met, whoever leads (imitation on the learner's own states: Ross
 *            et al., DAgger, arXiv 1011.0686) */
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pass { /* what the callbacks of one shard need */
    struct trainer *t;
    int task;
    int32_t first_seq;
    float *state;          /* [layers of the teacher][n_tok][d] after each; NULL: no alignment */
    int32_t n_state;       /* layers of the teacher */
    float *entropy;        /* [n_tok] of the teacher's distribution, nats; NULL without a teacher */
    const float *target;   /* [n_tok][V] */
    const int32_t *next;   /* [n_tok] */
    struct rad_aim *aim;   /* [n_seq] */
    struct rad_path *path; /* [n_tok] as planned */
    const bool *lead;      /* [n_seq] does the plan lead? */
};

/* ---- paths ---------------------------------------------------------------------------------- */

static int32_t planned(const struct pass *p, const struct hop_step *st, int32_t r, int32_t hop)
{
    return rad_plan_next(p->t, p->path[st->idx[r]], hop, st->last[r]);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* How far the student is from the teacher if a row leaves now: the teacher's cross entropy minus
 * its entropy, from the loss against the mixed target of make_target(). */
static float gap_of(const struct pass *p, const struct hop_step *st, int32_t r)
{
    const struct rad_card *c = &p->t->net.card;
    const float share = (float)p->t->spec->distill;
    const size_t i = (size_t)st->idx[r];
    const float *prob = st->p + (size_t)r * (size_t)c->vocab;
    const float hit = logf(fmaxf(prob[p->next[i]], 1e-30f));
    return (st->loss[r] + (1.0f - share) * hit) / share - p->entropy[i];
}

/* Of the tokens whose base ends here, those farthest from the teacher are to visit one more layer.
 */
static enum rad_status find_hard(const struct pass *p, struct shard *s, struct hop_step *st,
                                 int32_t hop, struct rad_err *err)
{
    const struct rad_arena_mark none = rad_arena_mark(s->arena);
    float *gap = rad_arena_get(s->arena, ((size_t)st->n + 1) * 2 * sizeof *gap);
    size_t n = 0;
    if (gap == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for %d tokens", st->n);
    float *sorted = gap + st->n + 1;
    for (int32_t r = 0; r < st->n; r++)
        n += p->path[st->idx[r]].base == hop;
    if (n == 0 || p->entropy == NULL || !(p->t->spec->distill > 0.0)) {
        rad_arena_reset(s->arena, none);
        return RAD_OK;
    }
    RAD_TRY(rad_step_head(s, st, p->target, err));
    n = 0;
    for (int32_t r = 0; r < st->n; r++)
        if (p->path[st->idx[r]].base == hop)
            sorted[n++] = gap[r] = gap_of(p, st, r);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (int32_t r = 0; r < st->n; r++) {
        struct rad_path *path = &p->path[st->idx[r]];
        if (path->base == hop)
            path->extra = gap[r] >= rad_plan_bar(sorted, n, p->aim[st->idx[r] / s->ctx].extra);
    }
    return RAD_OK;
}

static enum rad_status decide(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                              struct rad_err *err)
{
    const struct pass *p = ctx;
    RAD_TRY(rad_decide_greedy(p->t, s, st, hop, err));
    if (!p->t->has_router)
        return RAD_OK;
    RAD_TRY(find_hard(p, s, st, hop, err));
    for (int32_t r = 0; r < st->n; r++)
        if (p->lead[st->idx[r] / s->ctx])
            st->dest[r] = planned(p, st, r, hop);
    return RAD_OK;
}

/* ---- targets -------------------------------------------------------------------------------- */

static void measure_entropy(float *out, size_t n, size_t v, const float *prob)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < v; j++)
            if (prob[i * v + j] > 1e-9f)
                sum -= (double)prob[i * v + j] * (double)logf(prob[i * v + j]);
        out[i] = (float)sum;
    }
}

/* Run the teacher: its share of the target, its states, its entropy. */
static enum rad_status ask_teacher(struct pass *p, const struct shard *s, float share,
                                   float *target, struct rad_err *err)
{
    const struct trainer *t = p->t;
    const size_t n = (size_t)s->n_tok, d = (size_t)t->teacher.card.d_model;
    struct shard teacher = *s;
    teacher.net = &t->teacher;
    const struct roam roam = {.decide = rad_decide_greedy, .ctx = p->t};
    RAD_TRY(rad_shard_roam(&teacher, &roam, err));
    const float *prob = teacher.step[teacher.n_step - 1].p;
    rad_kernels()->axpy(n * (size_t)t->net.card.vocab, share, prob, target);
    if (p->entropy != NULL)
        measure_entropy(p->entropy, n, (size_t)t->net.card.vocab, prob);
    for (int32_t l = 0; p->state != NULL && l < p->n_state; l++)
        memcpy(p->state + (size_t)l * n * d, teacher.step[l + 1].x, n * d * sizeof *p->state);
    return RAD_OK;
}

/* target [n_tok][V] = (1 - distill) one-hot of the next token + distill * teacher */
static enum rad_status make_target(struct pass *p, struct shard *s, const int32_t *next,
                                   float **out, struct rad_err *err)
{
    const struct trainer *t = p->t;
    const size_t v = (size_t)t->net.card.vocab, n = (size_t)s->n_tok;
    float *target = rad_arena_zero(s->arena, n * v * sizeof *target);
    if (target == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for targets");
    const float share = t->has_teacher ? (float)t->spec->distill : 0.0f;
    for (size_t i = 0; i < n; i++)
        target[i * v + (size_t)next[i]] = 1.0f - share;
    *out = target;
    if (!t->has_teacher)
        return RAD_OK;
    const struct rad_card *c = &t->teacher.card;
    p->n_state = c->n_layer;
    p->entropy = t->has_router ? rad_arena_get(s->arena, n * sizeof *p->entropy) : NULL;
    if (rad_trainer_align(t) > 0.0)
        p->state =
            rad_arena_get(s->arena, (size_t)c->n_layer * n * (size_t)c->d_model * sizeof *p->state);
    if ((t->has_router && p->entropy == NULL) || (rad_trainer_align(t) > 0.0 && p->state == NULL))
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for the teacher's states");
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    const enum rad_status status = ask_teacher(p, s, share, target, err);
    rad_arena_reset(s->arena, mark);
    return status;
}

/* ---- router --------------------------------------------------------------------------------- */

/* Cross entropy of softmax(score) against one node; NaN scores show as a loss that is not finite.
 */
static void imitate(float *dscore, const float *score, int32_t n_out, int32_t node, float scale,
                    struct worker *w)
{
    int32_t top = 0;
    float sum = 0.0f;
    for (int32_t l = 1; l < n_out; l++)
        top = score[l] > score[top] ? l : top;
    for (int32_t l = 0; l < n_out; l++)
        sum += expf(score[l] - score[top]);
    for (int32_t l = 0; l < n_out; l++)
        dscore[l] = scale * (expf(score[l] - score[top]) / sum - (l == node ? 1.0f : 0.0f));
    w->router_loss += (double)(logf(sum) + score[top] - score[node]);
    w->n_agree += top == node;
    w->n_decide++;
}

static enum rad_status teach_router(const struct pass *p, struct shard *s, struct rad_err *err)
{
    const struct trainer *t = p->t;
    const int32_t n_layer = t->net.card.n_layer, n_out = n_layer + 1;
    struct worker *w = &t->worker[p->task];
    const float scale = (float)(t->spec->router.weight / ((double)t->spec->batch * s->ctx));
    for (int32_t h = 0; h < s->n_step && h < t->net.card.max_hops; h++) {
        const struct hop_step *st = &s->step[h];
        const struct rad_arena_mark mark = rad_arena_mark(s->arena);
        const size_t size = (size_t)st->n * (size_t)n_out;
        float *d = rad_arena_get(s->arena, (size + 1) * sizeof *d);
        if (d == NULL)
            return rad_fail(err, RAD_E_NOMEM, "train: out of memory for router gradients");
        for (int32_t r = 0; r < st->n; r++) {
            const size_t at = (size_t)r * (size_t)n_out;
            const int32_t node = planned(p, st, r, h);
            imitate(d + at, st->score + at, n_out, node == RAD_EXIT ? n_layer : node, scale, w);
        }
        RAD_TRY(rad_step_router_back(s, st, h, s->price, d, w->grad, err));
        rad_arena_reset(s->arena, mark);
    }
    return RAD_OK;
}

/* ---- gradients ------------------------------------------------------------------------------ */

/* The teacher's state after the layer that a row just left; a teacher with more layers is followed
 * at the same share of its depth, an extra layer is to arrive where the teacher ends. */
static const float *goal_of(const struct pass *p, const struct shard *s, const struct hop_step *st,
                            int32_t r)
{
    const struct rad_card *c = &p->t->net.card;
    const size_t i = (size_t)st->idx[r];
    const bool beyond = p->path != NULL && st - s->step > p->path[i].base;
    const int32_t l = beyond ? p->n_state - 1 : (st->last[r] + 1) * p->n_state / c->n_layer - 1;
    if (st->last[r] < 0 || l < 0)
        return NULL;
    return p->state + ((size_t)l * (size_t)s->n_tok + i) * (size_t)c->d_model;
}

static enum rad_status align(const struct pass *p, struct shard *s, const struct hop_step *st,
                             float *dh, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(s->arena);
    const float **goal = rad_arena_get(s->arena, ((size_t)st->n + 1) * sizeof *goal);
    if (goal == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for gradients");
    for (int32_t r = 0; r < st->n; r++)
        goal[r] = goal_of(p, s, st, r);
    const double unit = 1.0 / ((double)p->t->spec->batch * s->ctx);
    (void)rad_step_align_back(s, st, goal, rad_trainer_align(p->t) * unit, dh);
    rad_arena_reset(s->arena, mark);
    return RAD_OK;
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
        if (p->state != NULL)
            RAD_TRY(align(p, s, st, dh, err));
        if (st->p == NULL)
            continue;
        for (int32_t r = 0; r < st->n; r++) {
            const bool leaves = st->dest[r] == RAD_EXIT;
            weight[r] = leaves ? unit : 0.0f;
            w->loss += leaves ? (double)st->loss[r] : 0.0;
        }
        RAD_TRY(rad_step_head_back(s, st, target, weight, dh, w->grad, err));
    }
    rad_shard_embed_back(s, dh, w->grad);
    return RAD_OK;
}

/* ---- one shard ------------------------------------------------------------------------------ */

void rad_trainer_rows(const struct trainer *t, int32_t first, int32_t n_seq, int32_t *token,
                      int32_t *next)
{
    const size_t ctx = (size_t)t->net.card.n_ctx;
    for (size_t b = 0; b < (size_t)n_seq; b++) {
        const int32_t *row = t->batch + ((size_t)first + b) * (ctx + 1);
        memcpy(token + b * ctx, row, ctx * sizeof *token);
        memcpy(next + b * ctx, row + 1, ctx * sizeof *next);
    }
}

/* What the sequences and their tokens aim at, for a network with a router. */
static enum rad_status plan_shard(struct pass *p, struct shard *s, struct rad_err *err)
{
    const size_t n_seq = (size_t)s->n_seq, n_tok = (size_t)s->n_tok;
    p->aim = rad_arena_get(s->arena, (n_seq + 1) * sizeof *p->aim);
    p->path = rad_arena_get(s->arena, (n_tok + 1) * sizeof *p->path);
    float *price = rad_arena_get(s->arena, (n_seq + 1) * sizeof *price);
    bool *lead = rad_arena_get(s->arena, (n_seq + 1) * sizeof *lead);
    if (p->aim == NULL || p->path == NULL || price == NULL || lead == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for a batch");
    for (int32_t i = 0; i < s->n_seq; i++) {
        p->aim[i] = rad_plan_aim(p->t, p->first_seq + i);
        price[i] = (float)rad_plan_price(p->t, p->aim[i].base + p->aim[i].extra);
        lead[i] = rad_plan_leads(p->t, p->first_seq + i);
    }
    for (int32_t i = 0; i < s->n_tok; i++)
        p->path[i] = (struct rad_path){.base = p->aim[i / s->ctx].base};
    s->price = price;
    p->lead = lead;
    return RAD_OK;
}

static enum rad_status run_shard(struct pass *p, struct rad_err *err)
{
    struct trainer *t = p->t;
    struct worker *w = &t->worker[p->task];
    const int32_t ctx = t->net.card.n_ctx, n_shard = t->spec->shards;
    p->first_seq = t->spec->batch * p->task / n_shard;
    const int32_t n_seq = t->spec->batch * (p->task + 1) / n_shard - p->first_seq;
    const size_t n = (size_t)n_seq * (size_t)ctx;
    int32_t *token = rad_arena_get(w->arena, (n + 1) * sizeof *token);
    int32_t *next = rad_arena_get(w->arena, (n + 1) * sizeof *next);
    float *target = NULL;
    if (token == NULL || next == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: out of memory for a batch");
    rad_trainer_rows(t, p->first_seq, n_seq, token, next);
    struct shard s = {.net = &t->net, .gemm = w->gemm, .arena = w->arena, .n_seq = n_seq};
    s.n_tok = (int32_t)n, s.ctx = ctx, s.token = token;
    s.seq_id = t->step * t->spec->batch + p->first_seq;
    RAD_TRY(make_target(p, &s, next, &target, err));
    p->target = target, p->next = next;
    if (t->has_router)
        RAD_TRY(plan_shard(p, &s, err));
    const struct roam roam = {target, decide, p};
    RAD_TRY(rad_shard_roam(&s, &roam, err));
    if (t->has_router)
        RAD_TRY(teach_router(p, &s, err));
    w->n_loss = s.n_tok;
    return backward(p, &s, target, err);
}

void rad_trainer_shard(void *ctx, int task, int thread)
{
    (void)thread;
    struct trainer *t = ctx;
    struct worker *w = &t->worker[task];
    struct pass p = {.t = t, .task = task};
    w->loss = w->depth = w->router_loss = w->n_agree = w->n_decide = 0.0;
    w->n_loss = 0;
    memset(w->grad, 0, t->net.n_param * sizeof *w->grad);
    const struct rad_arena_mark mark = rad_arena_mark(w->arena);
    w->status = run_shard(&p, &w->err);
    rad_arena_reset(w->arena, mark);
}
