/* planned.c - the paths that tokens are to walk while a Radial Network is distilled
 * (docs/training.md).
 *
 * Which layers can the network do without? Backward elimination: all layers first, then, again and
 * again, the layer without which the loss on training text grows least is dropped. So the layers of
 * a shallow path are among those of every deeper one, and tokens of different depths meet. The
 * first and the last layer stay: without the last one the loss is low at first, but not after
 * training. */
#include "base/hash.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>

/* ---- levels of layers ----------------------------------------------------------------------- */

struct probe { /* the loss of the training text of one batch on paths of the kept layers */
    struct trainer *t;
    bool keep[RAD_PLAN_MAX];
};

static enum rad_status decide_kept(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                                   struct rad_err *err)
{
    const struct probe *p = ctx;
    (void)hop, (void)err;
    for (int32_t r = 0; r < st->n; r++) {
        int32_t l = st->last[r] + 1;
        while (l < s->net->card.n_layer && !p->keep[l])
            l++;
        st->dest[r] = l < s->net->card.n_layer ? l : RAD_EXIT;
    }
    return RAD_OK;
}

static enum rad_status probe_shard(struct probe *p, struct worker *w, int task)
{
    struct trainer *t = p->t;
    const int32_t ctx = t->net.card.n_ctx, first = t->spec->batch * task / t->spec->shards;
    const int32_t n_seq = t->spec->batch * (task + 1) / t->spec->shards - first;
    const size_t n = (size_t)n_seq * (size_t)ctx, v = (size_t)t->net.card.vocab;
    int32_t *token = rad_arena_get(w->arena, (n + 1) * sizeof *token);
    int32_t *next = rad_arena_get(w->arena, (n + 1) * sizeof *next);
    if (token == NULL || next == NULL)
        return rad_fail(&w->err, RAD_E_NOMEM, "train: out of memory for a batch");
    rad_trainer_rows(t, first, n_seq, token, next);
    struct shard s = {.net = &t->net, .gemm = w->gemm, .arena = w->arena, .n_seq = n_seq};
    s.n_tok = (int32_t)n, s.ctx = ctx, s.token = token;
    const struct roam roam = {.decide = decide_kept, .ctx = p};
    RAD_TRY(rad_shard_roam(&s, &roam, &w->err));
    const struct hop_step *last = &s.step[s.n_step - 1];
    for (size_t i = 0; i < n; i++)
        w->loss -= (double)logf(fmaxf(last->p[i * v + (size_t)next[i]], 1e-30f));
    return RAD_OK;
}

static void probe_task(void *ctx, int task, int thread)
{
    (void)thread;
    struct probe *p = ctx;
    struct worker *w = &p->t->worker[task];
    const struct rad_arena_mark mark = rad_arena_mark(w->arena);
    w->loss = 0.0;
    w->status = probe_shard(p, w, task);
    rad_arena_reset(w->arena, mark);
}

static enum rad_status measure(struct probe *p, double *loss, struct rad_err *err)
{
    enum { TOKENS = 8192 };
    struct trainer *t = p->t;
    const int32_t size[2] = {t->spec->batch, t->net.card.n_ctx};
    const int64_t per_batch = (int64_t)size[0] * size[1];
    *loss = 0.0;
    for (int64_t b = 0; b == 0 || b * per_batch < TOKENS; b++) {
        /* batches that no step sees: steps count from 0 */
        RAD_TRY(rad_corpus_batch(&t->corpus, t->spec->seed, -1 - b, size, t->batch, err));
        rad_pool_run(t->pool, t->spec->shards, probe_task, p);
        for (int32_t i = 0; i < t->spec->shards; i++) {
            if (t->worker[i].status != RAD_OK)
                return rad_fail(err, t->worker[i].status, "%s", t->worker[i].err.msg);
            *loss += t->worker[i].loss;
        }
    }
    return RAD_OK;
}

enum rad_status rad_plan_make(struct trainer *t, struct rad_err *err)
{
    const int32_t n_layer = t->net.card.n_layer;
    struct probe p = {.t = t};
    for (int32_t i = 0; i < t->spec->router.n_order; i++) {
        t->plan.extra = t->spec->router.order[i];
        t->plan.level[t->plan.extra] = i + 1;
    }
    if (t->spec->router.n_order > 0)
        return RAD_OK;
    for (int32_t l = 0; l < n_layer; l++)
        p.keep[l] = true;
    for (int32_t left = n_layer; left > 2; left--) {
        double least = (double)INFINITY;
        int32_t out = 1;
        for (int32_t l = 1; l < n_layer - 1; l++) {
            double loss = 0.0;
            if (!p.keep[l])
                continue;
            p.keep[l] = false;
            RAD_TRY(measure(&p, &loss, err));
            p.keep[l] = true;
            if (loss < least)
                least = loss, out = l;
        }
        p.keep[out] = false;
        t->plan.level[out] = left;
        t->plan.extra = left == n_layer ? out : t->plan.extra;
    }
    t->plan.level[n_layer - 1] = 2;
    t->plan.level[0] = 1;
    return RAD_OK;
}

int32_t rad_plan_next(const struct trainer *t, struct rad_path path, int32_t hop, int32_t last)
{
    if (hop >= path.base)
        return path.extra && hop == path.base ? t->plan.extra : RAD_EXIT;
    for (int32_t l = last + 1; l < t->net.card.n_layer; l++)
        if (t->plan.level[l] <= path.base)
            return l;
    return RAD_EXIT;
}

/* ---- depths of sequences and tokens --------------------------------------------------------- */

static double draw(const struct trainer *t, int64_t row, int64_t what)
{
    const int64_t key[3] = {t->step, row, what};
    return rad_hash_uniform(rad_hash(key, sizeof key, t->spec->seed));
}

int32_t rad_plan_base(const struct trainer *t, int quarters)
{
    const int32_t n_layer = t->net.card.n_layer, ends = n_layer < 4 ? 1 : 2;
    const int32_t base = n_layer * quarters / 4;
    return base > ends ? base : ends;
}

struct rad_aim rad_plan_aim(const struct trainer *t, int32_t row)
{
    const double u = draw(t, row, 1);
    const double half = t->spec->router.half, full = t->spec->router.full;
    struct rad_aim aim = {.extra = t->spec->router.extra * (1.0 + 2.0 * draw(t, row, 2)) / 3.0};
    if (u < half)
        aim.base = rad_plan_base(t, 2);
    else if (u < half + full)
        aim.base = rad_plan_base(t, 4);
    else
        aim.base = rad_plan_base(t, 1);
    if (aim.base >= t->net.card.n_layer)
        aim.extra = 0.0;
    return aim;
}

double rad_plan_price(const struct trainer *t, double depth)
{
    const double max = t->spec->router.price_max, min = t->spec->router.price_min;
    return max * pow(min / max, depth / t->net.card.n_layer);
}

float rad_plan_bar(const float *sorted, size_t n, double extra)
{
    const size_t easy = (size_t)((double)n * (1.0 - extra) + 0.5);
    return easy < n ? sorted[easy] : HUGE_VALF;
}

bool rad_plan_leads(const struct trainer *t, int32_t row)
{
    const double lead = t->spec->router.lead, done = (double)t->step / (double)t->spec->steps;
    const double fall = 0.5 * (1.0 - lead); /* the router takes over bit by bit */
    return draw(t, row, 4) >= (fall > 0.0 ? (done - lead) / fall : 0.0);
}
