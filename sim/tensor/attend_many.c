/* attend_many.c - attention for inference: blocks of queries pass by blocks of keys, scores stay in
 * the first cache, the softmax is put together from parts (Dao et al., arXiv 2205.14135). */
#include "tensor/gemm_impl.h"
#include "tensor/mat_impl.h"

#include <math.h>
#include <string.h>

enum { CHUNK = RAD_ATTEND_CHUNK, BLOCK_Q = 32, BLOCK_K = 3 * CHUNK, ONE_K = CHUNK };
enum { ONE_HEADS = 64, ALONE = 1 << 15 };
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

/* Keys and values of one head from a key on, in place or collected. */
struct keys {
    const float *k, *v;
    size_t ld;
    int32_t n;
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

/* How many of n keys from k0 on lie one after the other. */
static int32_t together(const struct rad_attend *a, int32_t k0, int32_t n)
{
    const int32_t first = row_of(a, k0), left = a->chunk > 0 ? a->chunk - first % a->chunk : n;
    int32_t run = a->row != NULL ? 1 : n;
    while (run < n && a->row[k0 + run] == first + run)
        run++;
    return least(run, left);
}

/* Where row j of a head is. */
static size_t place_of(const struct rad_attend *a, int32_t h, int32_t j)
{
    const int32_t head = h / (a->n_head / a->n_kv), part = a->chunk > 0 ? j / a->chunk : 0;
    return (size_t)head * (a->ldh > 0 ? a->ldh : (size_t)a->d_head) + (size_t)part * a->ldchunk +
           (size_t)(j - part * a->chunk) * (size_t)a->ldkv;
}

/* Of the n keys from k0 on those that lie together, or all of them if they have a list. */
static struct keys keys_of(const struct rad_attend *a, int32_t h, int32_t k0, int32_t n,
                           float *near)
{
    const size_t d = (size_t)a->d_head, at = place_of(a, h, row_of(a, k0));
    const int32_t run = together(a, k0, n);
    if (run == n || a->row == NULL)
        return (struct keys){a->k + at, a->v + at, (size_t)a->ldkv, run};
    for (int32_t j = 0; j < n; j++) {
        const size_t from = place_of(a, h, a->row[k0 + j]);
        memcpy(near + (size_t)j * 2 * d, a->k + from, d * sizeof *near);
        memcpy(near + (size_t)j * 2 * d + d, a->v + from, d * sizeof *near);
    }
    return (struct keys){near, near + d, 2 * d, n};
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

/* m queries of head h from q on, and n keys from k0 on. */
struct piece {
    int32_t h, q, m, k0, n;
    size_t lds; /* of scores */
    struct keys first;
};

/* Scores of all keys of a piece. */
static void score_keys(const struct rad_attend *a, struct piece *p, float *near, float *score)
{
    struct keys keys;
    for (int32_t j = 0; j < p->n; j += keys.n) {
        keys = keys_of(a, p->h, p->k0 + j, p->n - j, near);
        if (j == 0)
            p->first = keys;
        rad_mat_kernels()->mul[RAD_MAT_F32](&(struct rad_strip){
            .m = p->m,
            .n = keys.n,
            .k = a->d_head,
            .x = a->q + (size_t)p->q * (size_t)a->ldq + (size_t)(p->h * a->d_head),
            .ldx = (size_t)a->ldq,
            .w = (const uint8_t *)keys.k,
            .w_bytes = keys.ld * sizeof(float),
            .y = score + j,
            .ldy = p->lds});
    }
}

/* out = scale[m] out + weights times values */
static void mix_values(const struct rad_attend *a, const struct piece *p, const float *scale,
                       const float *weight)
{
    static const float same[BLOCK_Q] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct keys keys = p->first;
    for (int32_t j = 0; j < p->n; j += keys.n, scale = same) {
        if (j > 0)
            keys = keys_of(a, p->h, p->k0 + j, p->n - j, NULL); /* in place: more than one run */
        rad_mat_kernels()->mix(&(struct rad_mix){.m = p->m,
                                                 .n = keys.n,
                                                 .d = a->d_head,
                                                 .p = weight + j,
                                                 .ldp = p->lds,
                                                 .v = keys.v,
                                                 .ldv = keys.ld,
                                                 .out = a->out + (size_t)p->q * (size_t)a->ldo +
                                                        (size_t)(p->h * a->d_head),
                                                 .ldo = (size_t)a->ldo,
                                                 .scale = scale});
    }
}

/* Scores of keys k0.. turned into exponentials, zero where a query does not see. */
static void weigh(const struct rad_attend *a, struct attend_block *b, int32_t k0, int32_t n)
{
    const float scale = 1.0f / sqrtf((float)a->d_head);
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
        struct piece p = {b->h, b->q0, b->n, k0, least(step, n_k - k0), BLOCK_K, {0}};
        score_keys(a, &p, b->near, b->score[0]);
        weigh(a, b, k0, p.n);
        mix_values(a, &p, b->factor, b->score[0]);
    }
    for (int32_t i = 0; i < b->n; i++) {
        const float inverse = 1.0f / b->state[i][1];
        for (int32_t x = 0; x < a->d_head; x++)
            out[(size_t)i * (size_t)a->ldo + (size_t)x] *= inverse;
    }
}

/* ---- one query ----------------------------------------------------------------------------- */

/* Read what a chunk has behind its last key or value, if that is not the most of it: a gap ends the
 * CPU's own reading in advance, and to begin again takes as long as 16 KB (measured on Zen 4). */
static void pass_over(const struct rad_attend *a, const struct piece *p, const float *from)
{
    enum { LINE = 16 }; /* floats */
    const int32_t end = p->k0 + p->n, used = a->chunk > 0 ? end % a->chunk : 0;
    if (a->row != NULL || used == 0 || used < a->chunk / 3)
        return;
    const volatile float *gap = from + place_of(a, p->h, end - 1) + (size_t)a->ldkv;
    for (int32_t i = 0; i < (a->chunk - used) * a->ldkv; i += LINE)
        (void)gap[i];
}

/* Heads h0..h1 of a single query. All of them for some keys before the next ones: that is the order
 * in which chunks lie, and a key-value head that several heads share stays near. */
static void attend_one(const struct rad_attend *a, int32_t h0, int32_t h1)
{
    float state[ONE_HEADS][2], near[ONE_NEAR], score[ONE_K];
    const int32_t n_k = a->n_see[0], step = step_of(a, ONE_K, ONE_NEAR);
    const float scale = 1.0f / sqrtf((float)a->d_head);
    for (int32_t h = 0; h < h1 - h0; h++)
        state[h][0] = -INFINITY, state[h][1] = 0.0f;
    for (int32_t k0 = a->n_skip != NULL ? a->n_skip[0] : 0; k0 < n_k; k0 += step)
        for (int32_t h = h0; h < h1; h++) {
            struct piece p = {h, 0, 1, k0, least(step, n_k - k0), ONE_K, {0}};
            score_keys(a, &p, near, score);
            pass_over(a, &p, a->k);
            lean(a, (const int32_t[3]){h, 0, k0}, p.n, score);
            const float factor =
                rad_kernels()->softmax_part((size_t)p.n, scale, score, state[h - h0]);
            mix_values(a, &p, &factor, score);
            pass_over(a, &p, a->v);
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
