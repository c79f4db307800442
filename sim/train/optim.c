/* optim.c - summing shards in fixed order, clipping, AdamW with a cosine schedule. */
#include "train/trainer.h"

#include <math.h>

static double learning_rate(const struct rad_train_spec *spec, int64_t step)
{
    if (step < spec->lr.warmup)
        return spec->lr.max * (double)(step + 1) / (double)spec->lr.warmup;
    const double pi = 3.14159265358979323846;
    const double span = fmax(1.0, (double)(spec->steps - spec->lr.warmup));
    const double at = (double)(step - spec->lr.warmup) / span;
    return spec->lr.min + 0.5 * (spec->lr.max - spec->lr.min) * (1.0 + cos(pi * fmin(at, 1.0)));
}

enum { SLICES = 16 }; /* of the parameter block: tasks of the pool, same at any thread count */

struct update {
    struct trainer *t;
    struct rad_adamw o;
    double sumsq[SLICES];
};

static void slice_of(const struct trainer *t, int task, size_t *at, size_t *n)
{
    const size_t all = t->net.n_param;
    *at = all * (size_t)task / SLICES;
    *n = all * (size_t)(task + 1) / SLICES - *at;
}

static void reduce(void *ctx, int task, int thread)
{
    (void)thread;
    struct update *u = ctx;
    struct trainer *t = u->t;
    size_t at, n;
    slice_of(t, task, &at, &n);
    for (int32_t i = 1; i < t->spec->shards; i++)
        rad_kernels()->add(n, t->worker[i].grad + at, t->worker[0].grad + at);
    u->sumsq[task] = rad_kernels()->sumsq(n, t->worker[0].grad + at);
}

static size_t tensor_end(const struct net_tensor *p)
{
    return p->at + (size_t)(p->dim[0] * (p->n_dim > 1 ? p->dim[1] : 1));
}

/* Vectors (norms, biases) are not decayed. */
static void apply(void *ctx, int task, int thread)
{
    (void)thread;
    const struct update *u = ctx;
    struct trainer *t = u->t;
    size_t at, n;
    slice_of(t, task, &at, &n);
    for (int i = 0; i < t->n_tensor; i++) {
        const struct net_tensor *p = &t->tensor[i];
        const size_t from = p->at > at ? p->at : at;
        const size_t to = tensor_end(p) < at + n ? tensor_end(p) : at + n;
        struct rad_adamw o = u->o;
        o.decay = p->decay ? o.decay : 0.0f;
        if (from < to)
            rad_kernels()->adamw(to - from, &o, t->worker[0].grad + from, t->m + from, t->v + from,
                                 t->net.w + from);
    }
}

double rad_trainer_align(const struct trainer *t)
{
    if (!t->has_teacher || t->teacher.card.d_model != t->net.card.d_model)
        return 0.0;
    return t->spec->align * fmax(0.0, 1.0 - (double)t->step / (0.8 * (double)t->spec->steps));
}

enum rad_status rad_trainer_step(struct trainer *t, double *loss, struct rad_err *err)
{
    const struct rad_train_spec *spec = t->spec;
    const int32_t size[2] = {spec->batch, t->net.card.n_ctx};
    RAD_TRY(rad_corpus_batch(&t->corpus, spec->seed, t->step, size, t->batch, err));
    rad_pool_run(t->pool, spec->shards, rad_trainer_shard, t);
    double sum = 0.0;
    int64_t n = 0;
    for (int32_t i = 0; i < spec->shards; i++) {
        if (t->worker[i].status != RAD_OK)
            return rad_fail(err, t->worker[i].status, "%s", t->worker[i].err.msg);
        sum += t->worker[i].loss;
        n += t->worker[i].n_loss;
    }
    *loss = sum / (double)n;
    if (!isfinite(*loss))
        return rad_fail(err, RAD_E_RANGE,
                        "train: the loss is not finite at step %lld; lower lr.max or clip",
                        (long long)t->step);
    struct update u = {.t = t};
    rad_pool_run(t->pool, SLICES, reduce, &u);
    double norm = 0.0;
    for (int i = 0; i < SLICES; i++)
        norm += u.sumsq[i];
    norm = sqrt(norm);
    const double k = (double)(t->step + 1);
    u.o = (struct rad_adamw){.lr = (float)learning_rate(spec, t->step),
                             .beta1 = (float)spec->beta1,
                             .beta2 = (float)spec->beta2,
                             .eps = 1e-8f,
                             .decay = (float)spec->decay,
                             .correct1 = (float)(1.0 - pow(spec->beta1, k)),
                             .correct2 = (float)(1.0 - pow(spec->beta2, k)),
                             .scale = (float)(norm > spec->clip ? spec->clip / norm : 1.0)};
    rad_pool_run(t->pool, SLICES, apply, &u);
    t->step++;
    return RAD_OK;
}
