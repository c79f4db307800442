/* attend_many.c - attention for inference: blocks of queries pass by blocks of keys, scores stay in
 * the first cache, the softmax is put together from parts (Dao et al., arXiv 2205.14135). */
#include "tensor/gemm_impl.h"
#include "tensor/mat_impl.h"

#include <math.h>

enum { BLOCK_Q = 32, BLOCK_K = 128, ALONE = 1 << 18 };

struct attend_job {
    const struct rad_attend *a;
    int32_t n;
};

/* Of the block: rows q0.. of head h. */
struct attend_block {
    int32_t h, q0, n;
    float state[BLOCK_Q][2], factor[BLOCK_Q], score[BLOCK_Q][BLOCK_K];
};

static int32_t blocks(const struct rad_attend *a)
{
    return (a->n_q + BLOCK_Q - 1) / BLOCK_Q;
}

/* Scores of keys k0.. turned into exponentials, zero where a query does not see. */
static void weigh(const struct rad_attend *a, struct attend_block *b, int32_t k0, int32_t n)
{
    const float scale = 1.0f / sqrtf((float)a->d_head);
    const int32_t kv = b->h / (a->n_head / a->n_kv);
    const struct rad_strip s = {
        .m = b->n,
        .n = n,
        .k = a->d_head,
        .x = a->q + (size_t)b->q0 * (size_t)a->ldq + (size_t)(b->h * a->d_head),
        .ldx = (size_t)a->ldq,
        .w = (const uint8_t *)(a->k + (size_t)k0 * (size_t)a->ldkv + (size_t)(kv * a->d_head)),
        .w_bytes = (size_t)a->ldkv * sizeof(float),
        .y = b->score[0],
        .ldy = BLOCK_K};
    rad_mat_kernels()->mul[RAD_MAT_F32](&s);
    for (int32_t i = 0; i < b->n; i++) {
        const int32_t see = a->n_see[b->q0 + i] - k0, seen = see < 0 ? 0 : see < n ? see : n;
        b->factor[i] = 1.0f;
        if (seen > 0)
            b->factor[i] =
                rad_kernels()->softmax_part((size_t)seen, scale, b->score[i], b->state[i]);
        for (int32_t j = seen; j < n; j++)
            b->score[i][j] = 0.0f;
    }
}

static void attend_block(const struct rad_attend *a, struct attend_block *b)
{
    const int32_t kv = b->h / (a->n_head / a->n_kv), n_k = a->n_see[b->q0 + b->n - 1];
    float *out = a->out + (size_t)b->q0 * (size_t)a->ldo + (size_t)(b->h * a->d_head);
    for (int32_t i = 0; i < b->n; i++)
        b->state[i][0] = -INFINITY, b->state[i][1] = 0.0f;
    for (int32_t k0 = 0; k0 < n_k; k0 += BLOCK_K) {
        const int32_t n = n_k - k0 < BLOCK_K ? n_k - k0 : BLOCK_K;
        weigh(a, b, k0, n);
        const struct rad_mix x = {.m = b->n,
                                  .n = n,
                                  .d = a->d_head,
                                  .p = b->score[0],
                                  .ldp = BLOCK_K,
                                  .v = a->v + (size_t)k0 * (size_t)a->ldkv +
                                       (size_t)(kv * a->d_head),
                                  .ldv = (size_t)a->ldkv,
                                  .out = out,
                                  .ldo = (size_t)a->ldo,
                                  .scale = b->factor};
        rad_mat_kernels()->mix(&x);
    }
    for (int32_t i = 0; i < b->n; i++) {
        const float inverse = 1.0f / b->state[i][1];
        for (int32_t x = 0; x < a->d_head; x++)
            out[(size_t)i * (size_t)a->ldo + (size_t)x] *= inverse;
    }
}

static void attend_task(void *ctx, int task, int thread)
{
    const struct attend_job *job = ctx;
    const struct rad_attend *a = job->a;
    int32_t at = task;
    (void)thread;
    for (; at >= a->n_head * blocks(a); a++)
        at -= a->n_head * blocks(a);
    struct attend_block b = {.h = at / blocks(a), .q0 = at % blocks(a) * BLOCK_Q};
    b.n = a->n_q - b.q0 < BLOCK_Q ? a->n_q - b.q0 : BLOCK_Q;
    attend_block(a, &b);
}

void rad_attend_many(rad_gemm *g, const struct rad_attend *a, int32_t n)
{
    struct attend_job job = {a, n};
    double work = 0.0;
    int32_t n_task = 0;
    for (int32_t i = 0; i < n; i++) {
        n_task += a[i].n_head * blocks(&a[i]);
        work += (double)a[i].n_q * a[i].n_k * a[i].n_head * a[i].d_head;
    }
    rad_pool_share(work < ALONE ? NULL : g->pool, n_task, attend_task, &job);
}

/* ---- rows ---------------------------------------------------------------------------------- */

struct rows_job {
    rad_rows_fn *fn;
    void *ctx;
    int32_t n_row, block;
};

static void rows_task(void *ctx, int task, int thread)
{
    const struct rows_job *job = ctx;
    const int32_t first = task * job->block, left = job->n_row - first;
    (void)thread;
    job->fn(job->ctx, first, left < job->block ? left : job->block);
}

void rad_rows(rad_gemm *g, int32_t n_row, int32_t width, rad_rows_fn *fn, void *ctx)
{
    enum { TASK = 16 * 1024 }; /* floats: some us */
    const int32_t fit = TASK / (width < 1 ? 1 : width), block = fit < 1 ? 1 : fit;
    struct rows_job job = {fn, ctx, n_row, block};
    const int32_t n_task = (n_row + block - 1) / block;
    rad_pool_share(n_task < 4 ? NULL : g->pool, n_task, rows_task, &job);
}
