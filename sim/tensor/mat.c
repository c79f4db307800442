/* mat.c - which rows of which matrix a task multiplies, and on which kernels.
 *
 * Tasks are blocks of rows of w (and of x if there are many) of a size that depends on shapes only.
 * Each value of y is worked out by one task in one order, so any thread may take any task. */
#define _DEFAULT_SOURCE /* madvise */
#include "tensor/gemm_impl.h"
#include "tensor/mat_impl.h"

#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
    MAX_JOB = 16,
    TASK_BYTES = 96 * 1024,   /* weights of a task: some us */
    LARGE_BYTES = 256 * 1024, /* for one row, which calls nothing in advance, and rounded ones */
    PARTS = 8,                /* at least so many tasks of a matrix that is shared */
    ROUND = 24,               /* a multiple of the tiles' rows */
    BLOCK_M = 128,            /* rows of x that fit the second cache for k up to 1024 */
    FAR = 1 << 20,            /* bytes of weights that will not be in the second cache */
    SMALL = 1 << 18           /* bytes or multiplications that one thread does sooner alone */
};

extern const struct rad_mat_kernels rad_mat_kernels_base;
#if defined(__x86_64__)
extern const struct rad_mat_kernels rad_mat_kernels_avx2, rad_mat_kernels_avx512;
#endif

/* clang 14 does not know the name for __builtin_cpu_supports. */
bool rad_cpu_has_f16c(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
#else
    return false;
#endif
}

const struct rad_mat_kernels *rad_mat_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &rad_mat_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && rad_cpu_has_f16c())
        return &rad_mat_kernels_avx2;
#endif
    return &rad_mat_kernels_base;
}

const char *rad_mat_kernels_name(void)
{
    return rad_mat_kernels()->name;
}

const char *rad_mat_type_name(enum rad_mat_type type)
{
    static const char *const names[RAD_N_MAT_TYPE] = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q6_K"};
    return names[type];
}

int32_t rad_mat_block(enum rad_mat_type type)
{
    static const int32_t block[RAD_N_MAT_TYPE] = {1, 1, 1, 32, 32, 256};
    return block[type];
}

size_t rad_mat_row_bytes(enum rad_mat_type type, int32_t n_in)
{
    static const size_t per_256[RAD_N_MAT_TYPE] = {1024, 512, 512, 272, 144, 210};
    return (size_t)n_in * per_256[type] / 256;
}

void rad_mat_row(const struct rad_mat *w, int32_t i, float *out)
{
    const uint8_t *row = (const uint8_t *)w->data + (size_t)i * rad_mat_row_bytes(w->type, w->n_in);
    rad_mat_kernels()->row[w->type]((size_t)w->n_in, row, out);
}

/* ---- products ------------------------------------------------------------------------------ */

struct region {
    const struct rad_mat_kernels *kern;
    const struct rad_mat_job *job;
    const float *x;
    void (*rounded)(const struct rad_strip *s); /* for bfloat16, NULL: none */
    int32_t m, n_job, n_task, n_block_m;
    bool shared, far;                          /* by the threads; weights come from memory */
    int32_t rows[MAX_JOB], first[MAX_JOB + 1]; /* rows of w per task; first task of a job */
};

static int32_t up(int32_t a, int32_t b)
{
    return (a + b - 1) / b;
}

static double bytes_of(const struct region *r)
{
    double bytes = 0.0;
    for (int32_t i = 0; i < r->n_job; i++)
        bytes += (double)r->job[i].w->n_out *
                 (double)rad_mat_row_bytes(r->job[i].w->type, r->job[i].w->n_in);
    return bytes;
}

static void plan(struct region *r)
{
    r->n_block_m = up(r->m, BLOCK_M);
    const double all = bytes_of(r);
    r->shared = all * (r->m < 4 ? 1 : r->m / 4) >= SMALL;
    r->far = all >= FAR;
    for (int32_t i = 0; i < r->n_job; i++) {
        const struct rad_mat *w = r->job[i].w;
        const size_t bytes = rad_mat_row_bytes(w->type, w->n_in) + 1;
        const bool large = r->m == 1 || r->rounded != NULL;
        const int32_t fit = (int32_t)((large ? LARGE_BYTES : TASK_BYTES) / bytes);
        const int32_t part = up(w->n_out, r->m == 1 ? 2 * PARTS : PARTS);
        const int32_t rows = (r->shared && part < fit ? part : fit) / ROUND * ROUND;
        r->rows[i] = rows < ROUND ? ROUND : rows;
        r->first[i + 1] = r->first[i] + up(w->n_out, r->rows[i]) * r->n_block_m;
    }
    r->n_task = r->first[r->n_job];
}

/* The weights of the task after that of rows w0.. of job i. */
static void set_next(const struct region *r, int32_t i, int32_t w0, struct rad_strip *s)
{
    const struct rad_mat *w = r->job[i].w;
    size_t bytes = s->w_bytes;
    int32_t n = w->n_out - w0 - s->n;
    s->next = s->w + (size_t)s->n * bytes;
    if (n <= 0 && i + 1 < r->n_job) {
        w = r->job[++i].w;
        bytes = rad_mat_row_bytes(w->type, w->n_in);
        n = w->n_out;
        s->next = w->data;
    }
    s->next_bytes = (size_t)(n < 0 ? 0 : n < r->rows[i] ? n : r->rows[i]) * bytes;
}

static void multiply_task(void *ctx, int task, int thread)
{
    const struct region *r = ctx;
    int32_t i = 0;
    (void)thread;
    while (task >= r->first[i + 1])
        i++;
    const struct rad_mat *w = r->job[i].w;
    const size_t bytes = rad_mat_row_bytes(w->type, w->n_in);
    const int32_t per_block = (r->first[i + 1] - r->first[i]) / r->n_block_m;
    const int32_t x0 = (task - r->first[i]) / per_block * BLOCK_M;
    const int32_t w0 = (task - r->first[i]) % per_block * r->rows[i];
    const size_t ldy = (size_t)(r->job[i].ldy != 0 ? r->job[i].ldy : w->n_out);
    struct rad_strip s = {
        .m = r->m - x0 < BLOCK_M ? r->m - x0 : BLOCK_M,
        .n = w->n_out - w0 < r->rows[i] ? w->n_out - w0 : r->rows[i],
        .k = w->n_in,
        .x = r->x + (size_t)x0 * (size_t)w->n_in,
        .ldx = (size_t)w->n_in,
        .w = (const uint8_t *)w->data + (size_t)w0 * bytes,
        .w_bytes = bytes,
        .bias = r->job[i].bias != NULL ? r->job[i].bias + w0 : NULL,
        .y = r->job[i].y + (size_t)x0 * ldy + w0,
        .ldy = ldy,
        .far = r->far,
    };
    set_next(r, i, w0, &s);
    (r->rounded != NULL && w->type == RAD_MAT_BF16 ? r->rounded : r->kern->mul[w->type])(&s);
    for (int32_t row = 0; row < s.m && r->job[i].map != NULL; row++) {
        float *y = s.y + (size_t)row * ldy;
        r->job[i].map((size_t)s.n, y, y); /* while it is in a cache of this CPU */
    }
}

/* Kernels for bfloat16 weights that round x too. */
static void (*rounded_for(const rad_gemm *g, int32_t m))(const struct rad_strip *s)
{
#if defined(__x86_64__)
    if (g->amx && m >= RAD_AMX_ROWS)
        return rad_amx_mul;
    if (g->bf16 && m > 4 && rad_bf16_has())
        return rad_bf16_mul;
#else
    (void)g;
    (void)m;
#endif
    return NULL;
}

void rad_mat_mul_many(rad_gemm *g, int32_t m, const float *x, const struct rad_mat_job *job,
                      int32_t n_job)
{
    for (; n_job > MAX_JOB; n_job -= MAX_JOB, job += MAX_JOB)
        rad_mat_mul_many(g, m, x, job, MAX_JOB);
    struct region r = {.kern = rad_mat_kernels(), .job = job, .x = x, .m = m, .n_job = n_job};
    if (m <= 0)
        return;
    r.rounded = rounded_for(g, m);
    plan(&r);
    rad_pool_share(r.shared ? g->pool : NULL, r.n_task, multiply_task, &r);
}

void rad_mat_mul(rad_gemm *g, int32_t m, const float *x, const struct rad_mat *w, const float *bias,
                 float *y)
{
    const struct rad_mat_job job = {.w = w, .bias = bias, .y = y};
    rad_mat_mul_many(g, m, x, &job, 1);
}

float *rad_mat_beside(const struct rad_mat *w, float *room)
{
    enum { PAGE = 4096, HALF = PAGE / 2, LINE = 64 };
    if (room == NULL || w->type != RAD_MAT_F32 || w->n_in % (PAGE / (int)sizeof *room) != 0)
        return room;
    const size_t gap = ((uintptr_t)w->data + HALF - (uintptr_t)room) % PAGE;
    return room + gap / LINE * LINE / sizeof *room;
}

/* ---- threads and pages --------------------------------------------------------------------- */

enum rad_status rad_gemm_threads(rad_gemm *g, int32_t n_threads, struct rad_err *err)
{
    rad_pool *pool = NULL;
    if (n_threads != 1)
        RAD_TRY(rad_pool_open(&pool, n_threads, err));
    rad_pool_close(g->pool);
    g->pool = pool;
    return RAD_OK;
}

rad_pool *rad_gemm_pool(const rad_gemm *g)
{
    return g->pool;
}

void rad_huge_pages(void *p, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    const uintptr_t huge = (uintptr_t)2 << 20, from = ((uintptr_t)p + huge - 1) / huge * huge;
    const uintptr_t to = ((uintptr_t)p + bytes) / huge * huge;
    if (to > from)
        (void)madvise((char *)p + (from - (uintptr_t)p), to - from, MADV_HUGEPAGE);
#else
    (void)p;
    (void)bytes;
#endif
}
