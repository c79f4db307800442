/* attend_many.c - attention for inference: blocks of queries pass by blocks of keys, scores stay in
 * the first cache, the softmax is put together from parts (Dao et al., arXiv 2205.14135). */
#include "tensor/gemm_impl.h"
#include "tensor/mat_impl.h"

#include <math.h>
#include <string.h>

enum { BLOCK_Q = 32, BLOCK_K = 128, ONE_K = 32, ONE_HEADS = 64, ALONE = 1 << 17 };
enum { NEAR_D = 128, NEAR = BLOCK_K * 2 * NEAR_D, ONE_NEAR = ONE_K * 2 * NEAR_D };

struct attend_job {
    const struct rad_attend *a;
    int32_t n;
};

/* Of the block: rows q0.. of head h. */
struct attend_block {
    int32_t h, q0, n;
    float state[BLOCK_Q][2], factor[BLOCK_Q], score[BLOCK_Q][BLOCK_K];
    float near[NEAR]; /* K and V of the head, if their rows lie apart */
};

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t blocks(const struct rad_attend *a)
{
    return (a->n_q + BLOCK_Q - 1) / BLOCK_Q;
}

/* Keys and values of one head from key k0 on, in place or collected. */
struct keys {
    const float *k, *v;
    size_t ld;
};

static int32_t row_of(const struct rad_attend *a, int32_t j)
{
    return a->row != NULL ? a->row[j] : j;
}

/* Keys at a time: fewer if they must be collected and heads are wide. */
static int32_t step_of(const struct rad_attend *a, int32_t most, int32_t room)
{
    const int32_t fit = room / (2 * a->d_head);
    return a->row == NULL || fit >= most ? most : fit < 1 ? 1 : fit;
}

static bool in_turn(const struct rad_attend *a, int32_t k0, int32_t n)
{
    bool run = true;
    for (int32_t j = 1; a->row != NULL && run && j < n; j++)
        run = a->row[k0 + j] == a->row[k0] + j;
    return run;
}

static struct keys keys_of(const struct rad_attend *a, int32_t h, int32_t k0, int32_t n,
                           float *near)
{
    const size_t d = (size_t)a->d_head, ld = (size_t)a->ldkv;
    const size_t head = (size_t)(h / (a->n_head / a->n_kv)) * (a->ldh > 0 ? a->ldh : d);
    const size_t at = (size_t)row_of(a, k0) * ld + head;
    if (in_turn(a, k0, n))
        return (struct keys){a->k + at, a->v + at, ld};
    for (int32_t j = 0; j < n; j++) {
        const size_t from = (size_t)a->row[k0 + j] * ld + head;
        memcpy(near + (size_t)j * 2 * d, a->k + from, d * sizeof *near);
        memcpy(near + (size_t)j * 2 * d + d, a->v + from, d * sizeof *near);
    }
    return (struct keys){near, near + d, 2 * d};
}

/* ALiBi of query q on n scores from key k0: distances, which keep near keys exact. */
static void lean(const struct rad_attend *a, const int32_t at[3], int32_t n, float *score)
{
    const int32_t h = at[0], q = at[1], k0 = at[2];
    if (a->slope == NULL)
        return;
    const float slope = a->slope[h] * sqrtf((float)a->d_head); /* the softmax scales */
    for (int32_t j = 0; j < n; j++)
        score[j] += slope * (float)(a->k_pos[k0 + j] - a->q_pos[q]);
}

static int32_t within(int32_t x, int32_t lo, int32_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Scores of keys k0.. turned into exponentials, zero where a query does not see. */
static void weigh(const struct rad_attend *a, struct attend_block *b, const struct keys *keys,
                  int32_t k0, int32_t n)
{
    const float scale = 1.0f / sqrtf((float)a->d_head);
    const struct rad_strip s = {.m = b->n,
                                .n = n,
                                .k = a->d_head,
                                .x = a->q + (size_t)b->q0 * (size_t)a->ldq +
                                     (size_t)(b->h * a->d_head),
                                .ldx = (size_t)a->ldq,
                                .w = (const uint8_t *)keys->k,
                                .w_bytes = keys->ld * sizeof(float),
                                .y = b->score[0],
                                .ldy = BLOCK_K};
    rad_mat_kernels()->mul[RAD_MAT_F32](&s);
    for (int32_t i = 0; i < b->n; i++) {
        const int32_t q = b->q0 + i, end = within(a->n_see[q] - k0, 0, n);
        const int32_t from = within(a->n_skip != NULL ? a->n_skip[q] - k0 : 0, 0, end);
        float *row = b->score[i];
        b->factor[i] = b->state[i][1] > 0.0f ? 1.0f : 0.0f; /* nothing seen: out is not there yet */
        for (int32_t j = 0; j < from; j++)
            row[j] = 0.0f;
        for (int32_t j = end; j < n; j++)
            row[j] = 0.0f;
        if (from == end)
            continue;
        lean(a, (const int32_t[3]){b->h, q, k0 + from}, end - from, row + from);
        b->factor[i] =
            rad_kernels()->softmax_part((size_t)(end - from), scale, row + from, b->state[i]);
    }
}

static void attend_block(const struct rad_attend *a, struct attend_block *b)
{
    const int32_t n_k = a->n_see[b->q0 + b->n - 1], step = step_of(a, BLOCK_K, NEAR);
    float *out = a->out + (size_t)b->q0 * (size_t)a->ldo + (size_t)(b->h * a->d_head);
    for (int32_t i = 0; i < b->n; i++)
        b->state[i][0] = -INFINITY, b->state[i][1] = 0.0f;
    for (int32_t k0 = a->n_skip != NULL ? a->n_skip[b->q0] : 0; k0 < n_k; k0 += step) {
        const int32_t n = n_k - k0 < step ? n_k - k0 : step;
        const struct keys keys = keys_of(a, b->h, k0, n, b->near);
        weigh(a, b, &keys, k0, n);
        const struct rad_mix x = {.m = b->n,
                                  .n = n,
                                  .d = a->d_head,
                                  .p = b->score[0],
                                  .ldp = BLOCK_K,
                                  .v = keys.v,
                                  .ldv = keys.ld,
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

/* ---- one query ----------------------------------------------------------------------------- */

/* n keys from k0 for head h; state is that of the head. */
static void attend_keys(const struct rad_attend *a, int32_t h, const int32_t key[2], float *near,
                        float state[2])
{
    const int32_t k0 = key[0], n = key[1];
    float score[ONE_K], factor;
    const struct keys keys = keys_of(a, h, k0, n, near);
    rad_mat_kernels()->mul[RAD_MAT_F32](
        &(struct rad_strip){.m = 1,
                            .n = n,
                            .k = a->d_head,
                            .x = a->q + (size_t)h * (size_t)a->d_head,
                            .ldx = (size_t)a->ldq,
                            .w = (const uint8_t *)keys.k,
                            .w_bytes = keys.ld * sizeof(float),
                            .y = score,
                            .ldy = ONE_K});
    lean(a, (const int32_t[3]){h, 0, k0}, n, score);
    factor = rad_kernels()->softmax_part((size_t)n, 1.0f / sqrtf((float)a->d_head), score, state);
    rad_mat_kernels()->mix(&(struct rad_mix){.m = 1,
                                             .n = n,
                                             .d = a->d_head,
                                             .p = score,
                                             .ldp = ONE_K,
                                             .v = keys.v,
                                             .ldv = keys.ld,
                                             .out = a->out + (size_t)h * (size_t)a->d_head,
                                             .ldo = (size_t)a->ldo,
                                             .scale = &factor});
}

/* Heads h0..h1 of a single query, those of one key-value head together: they read the same keys. */
static void attend_one(const struct rad_attend *a, int32_t h0, int32_t h1)
{
    float state[ONE_HEADS][2], near[ONE_NEAR];
    const int32_t n_k = a->n_see[0], step = step_of(a, ONE_K, ONE_NEAR);
    const int32_t share = a->n_head / a->n_kv, first = a->n_skip != NULL ? a->n_skip[0] : 0;
    for (int32_t h = 0; h < h1 - h0; h++)
        state[h][0] = -INFINITY, state[h][1] = 0.0f;
    for (int32_t from = h0, to; from < h1; from = to) {
        to = least(h1, (from / share + 1) * share);
        for (int32_t k0 = first; k0 < n_k; k0 += step)
            for (int32_t h = from; h < to; h++)
                attend_keys(a, h, (const int32_t[2]){k0, least(step, n_k - k0)}, near,
                            state[h - h0]);
    }
    for (int32_t h = 0; h < h1 - h0; h++)
        for (int32_t i = 0; i < a->d_head; i++)
            a->out[(h0 + h) * a->d_head + i] /= state[h][1];
}

/* ---- tasks --------------------------------------------------------------------------------- */

/* Heads of a task: one; for a single query about a quarter of all, or all if n_seq are many. */
static int32_t heads_of(const struct rad_attend *a, int32_t n_seq)
{
    const int32_t share = a->n_head / a->n_kv, part = n_seq < 4 ? (a->n_kv + 3) / 4 : a->n_kv;
    return a->n_q > 1 ? 1 : part * share < ONE_HEADS ? part * share : ONE_HEADS;
}

static int32_t tasks_of(const struct rad_attend *a, int32_t n_seq)
{
    const int32_t heads = heads_of(a, n_seq);
    return (a->n_head + heads - 1) / heads * blocks(a);
}

static void attend_task(void *ctx, int task, int thread)
{
    const struct attend_job *job = ctx;
    const struct rad_attend *a = job->a;
    int32_t at = task;
    (void)thread;
    for (; at >= tasks_of(a, job->n); a++)
        at -= tasks_of(a, job->n);
    if (a->n_q == 1) {
        const int32_t h0 = at * heads_of(a, job->n), h1 = h0 + heads_of(a, job->n);
        attend_one(a, h0, h1 < a->n_head ? h1 : a->n_head);
        return;
    }
    struct attend_block b; /* large: not cleared */
    b.h = at / blocks(a), b.q0 = at % blocks(a) * BLOCK_Q;
    b.n = a->n_q - b.q0 < BLOCK_Q ? a->n_q - b.q0 : BLOCK_Q;
    attend_block(a, &b);
}

void rad_attend_many(rad_gemm *g, const struct rad_attend *a, int32_t n)
{
    struct attend_job job = {a, n};
    double work = 0.0;
    int32_t n_task = 0;
    for (int32_t i = 0; i < n; i++) {
        n_task += tasks_of(&a[i], n);
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
