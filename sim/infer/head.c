/* head.c - logits and losses of the rows of the last forward call. */
#include "infer/engine.h"

#include <math.h>

struct norming {
    const rad_model *m;
    const float *x;
    float *y, *stat;
};

static void norm_rows(void *ctx, int32_t first, int32_t n)
{
    const struct norming *t = ctx;
    const size_t at = (size_t)first * (size_t)t->m->config.card.d_model;
    rad_model_norm(t->m, &t->m->norm_f, n, t->x + at, t->y + at, t->stat + 2 * (size_t)first);
}

enum rad_status rad_engine_logits(rad_engine *e, int32_t first, int32_t n, float *logits,
                                  struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    const int32_t wide = m->head.w.n_in;
    for (size_t i = 0; m->head.w.data == NULL && i < (size_t)n * (size_t)c->vocab; i++)
        logits[i] = NAN;
    if (m->head.w.data == NULL)
        return RAD_OK;
    const float *x = e->h + (size_t)first * (size_t)c->d_model;
    const struct rad_mat *next = m->project_out.w.data != NULL ? &m->project_out.w : &m->head.w;
    const size_t n_y = (size_t)n * (size_t)c->d_model + RAD_MAT_BESIDE;
    float *y = rad_mat_beside(next, rad_arena_get(e->arena, n_y * sizeof *y));
    float *z = rad_arena_get(e->arena, (size_t)n * (size_t)wide * sizeof *z);
    float *stat = rad_arena_get(e->arena, 2 * (size_t)n * sizeof *stat);
    if (y == NULL || z == NULL || stat == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d rows", n);
    if (m->norm_f.w != NULL) {
        rad_rows(e->gemm, n, c->d_model, norm_rows, &(struct norming){m, x, y, stat});
        x = y;
    }
    if (m->project_out.w.data != NULL) {
        rad_mat_mul(e->gemm, n, x, &m->project_out.w, NULL, z);
        x = z;
    }
    rad_mat_mul(e->gemm, n, x, &m->head.w, m->head.b, logits);
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

struct losing {
    size_t vocab;
    const float *z;
    const int32_t *target;
    float *nll;
};

static void loss_rows(void *ctx, int32_t first, int32_t n)
{
    const struct losing *t = ctx;
    for (int32_t i = first; i < first + n; i++) {
        const float *row = t->z + (size_t)i * t->vocab;
        const int32_t target = t->target[i];
        t->nll[i] = target < 0 ? NAN : rad_kernels()->logsumexp(t->vocab, row) - row[target];
    }
}

enum rad_status rad_engine_nll(rad_engine *e, int32_t n, const int32_t *target, float *nll,
                               struct rad_err *err)
{
    enum { BLOCK = 128 }; /* rows of logits in memory */
    const int32_t vocab = e->model->config.card.vocab;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    const size_t rows = n < BLOCK ? (size_t)n : BLOCK;
    float *z = rad_arena_get(e->arena, rows * (size_t)vocab * sizeof *z);
    if (z == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for logits");
    for (int32_t first = 0; first < n; first += BLOCK) {
        const int32_t m = n - first < BLOCK ? n - first : BLOCK;
        RAD_TRY(rad_engine_logits(e, first, m, z, err));
        struct losing t = {(size_t)vocab, z, target + first, nll + first};
        rad_rows(e->gemm, m, vocab, loss_rows, &t);
    }
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
