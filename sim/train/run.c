/* run.c - a training run from spec to model folder: setup, loop, checkpoints, budget table. */
#include "base/clock.h"
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void trainer_close(struct trainer *t)
{
    for (int32_t i = 0; t->worker != NULL && i < t->spec->shards; i++) {
        rad_gemm_close(t->worker[i].gemm);
        rad_arena_close(t->worker[i].arena);
        free(t->worker[i].grad);
    }
    free(t->worker);
    free(t->m);
    free(t->v);
    free(t->batch);
    rad_net_close(&t->net);
    rad_net_close(&t->teacher);
    rad_corpus_close(&t->corpus);
    rad_pool_close(t->pool);
}

static enum rad_status open_workers(struct trainer *t, struct rad_err *err)
{
    const size_t n = t->net.n_param;
    t->worker = calloc((size_t)t->spec->shards, sizeof *t->worker);
    t->m = calloc(n, sizeof *t->m);
    t->v = calloc(n, sizeof *t->v);
    t->batch = calloc((size_t)t->spec->batch * ((size_t)t->net.card.n_ctx + 1), sizeof *t->batch);
    if (t->worker == NULL || t->m == NULL || t->v == NULL || t->batch == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: cannot allocate %zu parameters", n);
    for (int32_t i = 0; i < t->spec->shards; i++) {
        struct worker *w = &t->worker[i];
        RAD_TRY(rad_gemm_open(&w->gemm, t->spec->gemm, err));
        RAD_TRY(rad_arena_open(&w->arena, err));
        w->grad = calloc(n, sizeof *w->grad);
        if (w->grad == NULL)
            return rad_fail(err, RAD_E_NOMEM, "train: cannot allocate %zu gradients", n);
    }
    return RAD_OK;
}

static enum rad_status open_nets(struct trainer *t, struct rad_err *err)
{
    const struct rad_train_spec *spec = t->spec;
    RAD_TRY(rad_net_open(&t->net, &spec->card, err));
    RAD_TRY(rad_net_init(&t->net, spec->seed, err));
    t->n_tensor = rad_net_tensors(&t->net, t->tensor, 1024);
    if (spec->init[0] != '\0')
        RAD_TRY(rad_model_load(&t->net, spec->init, err));
    t->has_router = spec->card.router_hidden > 0;
    t->has_policy = spec->policy[0] != '\0';
    if (t->has_policy)
        RAD_TRY(rad_route_parse(&t->route, spec->policy, spec->card.n_layer, err));
    if (spec->teacher[0] == '\0')
        return RAD_OK;
    struct rad_card card;
    RAD_TRY(rad_model_card(spec->teacher, &card, err));
    if (card.vocab != spec->card.vocab || card.n_ctx < spec->card.n_ctx)
        return rad_fail(err, RAD_E_RANGE,
                        "%s: a teacher needs the student's vocabulary %d and context %d but has "
                        "%d and %d",
                        spec->teacher, spec->card.vocab, spec->card.n_ctx, card.vocab, card.n_ctx);
    RAD_TRY(rad_net_open(&t->teacher, &card, err));
    t->has_teacher = true;
    return rad_model_load(&t->teacher, spec->teacher, err);
}

static enum rad_status trainer_open(struct trainer *t, const struct rad_train_spec *spec,
                                    const struct rad_train_io *io, struct rad_err *err)
{
    *t = (struct trainer){.spec = spec, .ema_loss = (double)NAN};
    RAD_TRY(rad_corpus_open(&t->corpus, io, spec->card.n_ctx, err));
    RAD_TRY(open_nets(t, err));
    RAD_TRY(open_workers(t, err));
    RAD_TRY(rad_pool_open(&t->pool, io->threads, err));
    return t->has_router ? rad_plan_make(t, err) : RAD_OK;
}

static enum rad_status loop(struct trainer *t, const struct rad_train_io *io,
                            struct rad_train_report *report, struct rad_err *err)
{
    const double per_step = (double)t->spec->batch * t->net.card.n_ctx;
    double saved_s = rad_now_s(), last_s = saved_s, rate = 0.0;
    while (t->step < t->spec->steps && !report->stopped) {
        double loss = 0.0;
        RAD_TRY(rad_trainer_step(t, &loss, err));
        const double now = rad_now_s(), took = now - last_s;
        last_s = now;
        t->seconds += took;
        rate = rate > 0.0 ? 0.9 * rate + 0.1 * per_step / took : per_step / took;
        t->ema_loss = isnan(t->ema_loss) ? loss : 0.98 * t->ema_loss + 0.02 * loss;
        if (io->progress != NULL &&
            !io->progress(io->ctx, t->step, t->spec->steps, t->ema_loss, rate))
            report->stopped = true;
        if (report->stopped || now - saved_s > t->spec->checkpoint_s) {
            RAD_TRY(rad_state_save(t, io->out, err));
            saved_s = last_s = rad_now_s();
        }
    }
    return RAD_OK;
}

/* Measure the depth that a price buys and keep it in order; a price that buys what a neighbour buys
 * already (to 1e-4) is dropped. */
static enum rad_status measure_price(struct trainer *t, double price, struct rad_train_report *r,
                                     struct rad_err *err)
{
    struct val_result v;
    RAD_TRY(rad_trainer_validate(t, price, 8, &v, err));
    const double frac = v.depth / t->net.card.n_layer;
    int32_t at = 0;
    while (at < r->n_table && r->price[at] > price)
        at++;
    if ((at > 0 && frac <= r->depth_frac[at - 1] + 1e-4) ||
        (at < r->n_table && frac >= r->depth_frac[at] - 1e-4))
        return RAD_OK;
    for (int32_t i = r->n_table++; i > at; i--) {
        r->depth_frac[i] = r->depth_frac[i - 1];
        r->price[i] = r->price[i - 1];
        r->nll[i] = r->nll[i - 1];
    }
    r->depth_frac[at] = frac;
    r->price[at] = price;
    r->nll[at] = v.nll;
    return RAD_OK;
}

/* The loss at depth x on the line between two rows of the table. */
static double between(const struct rad_train_report *r, const int32_t row[2], double x)
{
    const double from = r->depth_frac[row[0]], to = r->depth_frac[row[1]];
    const double share = (x - from) / (to - from);
    return r->nll[row[0]] + share * (r->nll[row[1]] - r->nll[row[0]]);
}

/* Sequences of a budget between two rows take the price of one or the other, so a row that lies
 * above the line between others is of no use: keep the lower convex hull of depth and loss. */
static void prune_table(struct rad_train_report *r)
{
    int32_t n = 0;
    for (int32_t i = 0; i < r->n_table; i++) {
        while (n > 1 &&
               r->nll[n - 1] >= between(r, (const int32_t[2]){n - 2, i}, r->depth_frac[n - 1]))
            n--;
        r->depth_frac[n] = r->depth_frac[i];
        r->price[n] = r->price[i];
        r->nll[n++] = r->nll[i];
    }
    r->n_table = n;
}

/* Measure the prices that were trained: few extra layers and many, on every base. */
static enum rad_status measure_table(struct trainer *t, struct rad_train_report *r,
                                     struct rad_err *err)
{
    for (int quarters = 1; quarters <= 4; quarters *= 2)
        for (int i = 1; i <= (quarters < 4 ? 3 : 1); i++) {
            const int32_t base = rad_plan_base(t, quarters);
            const double extra = quarters < 4 ? t->spec->router.extra * i / 3.0 : 0.0;
            RAD_TRY(measure_price(t, rad_plan_price(t, base + extra), r, err));
        }
    prune_table(r);
    return RAD_OK;
}

static enum rad_status finish(struct trainer *t, const struct rad_train_io *io,
                              struct rad_train_report *r, struct rad_err *err)
{
    struct val_result v;
    RAD_TRY(rad_trainer_validate(t, rad_plan_price(t, t->net.card.n_layer), 1, &v, err));
    r->val_nll = v.nll;
    r->mean_depth = v.depth;
    if (t->has_router)
        RAD_TRY(measure_table(t, r, err));
    RAD_TRY(rad_model_save(t, io, r, err));
    return rad_state_save(t, io->out, err);
}

enum rad_status rad_train_run(const struct rad_train_spec *spec, const struct rad_train_io *io,
                              struct rad_train_report *report, struct rad_err *err)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: cannot allocate the trainer");
    *report = (struct rad_train_report){.val_nll = (double)NAN, .mean_depth = (double)NAN};
    enum rad_status status = trainer_open(t, spec, io, err);
    if (status == RAD_OK)
        status = rad_dir_make(io->out, err);
    if (status == RAD_OK)
        status = rad_state_load(t, io->out, &report->resumed, err);
    if (status == RAD_OK)
        status = loop(t, io, report, err);
    report->steps = t->step;
    report->tokens = t->step * spec->batch * spec->card.n_ctx;
    report->seconds = t->seconds;
    report->train_nll = t->ema_loss;
    if (status == RAD_OK && !report->stopped)
        status = finish(t, io, report, err);
    trainer_close(t);
    free(t);
    return status;
}
