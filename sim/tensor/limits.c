/* limits.c - what memory and multipliers of this machine give at this moment. */
#include "tensor/tensor.h"

#include "base/clock.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 512,
    OUT = 3072,
    IN = 768,
    PARTS = 256,
    FEW_PARTS = 16,
    PART_BYTES = 1 << 18,
    BLAS_PARTS = 4,
    HUGE_PAGE = 2 << 20
};

struct rad_limits {
    rad_gemm *gemm[2]; /* exact, rounding; the second has the threads of the first call */
    int32_t threads;
    unsigned char *block; /* [bytes] weights, read as they are */
    size_t bytes, read;
    const void *from; /* what is being read */
    int parts;        /* that the reading is cut into */
    float *x, *y;     /* [ROWS][IN], [ROWS][OUT] */
    uint64_t sum[PARTS];
};

void rad_limits_close(rad_limits *l)
{
    if (l == NULL)
        return;
    rad_gemm_close(l->gemm[0]);
    rad_gemm_close(l->gemm[1]);
    free(l->block);
    free(l->x);
    free(l->y);
    free(l);
}

static float *floats(size_t n)
{
    float *p = aligned_alloc(64, n * sizeof *p);
    for (size_t i = 0; p != NULL && i < n; i++)
        p[i] = (float)(i % 17) / 64.0f - 0.125f;
    return p;
}

enum rad_status rad_limits_open(rad_limits **out, size_t bytes, int32_t threads,
                                struct rad_err *err)
{
    const size_t least = (size_t)OUT * IN * sizeof(float), want = bytes > least ? bytes : least;
    *out = NULL;
    rad_limits *l = calloc(1, sizeof *l);
    if (l == NULL)
        return rad_fail(err, RAD_E_NOMEM, "limits: out of memory");
    l->bytes = (want + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    l->threads = threads;
    l->block = aligned_alloc(HUGE_PAGE, l->bytes);
    l->x = floats((size_t)ROWS * IN);
    l->y = floats((size_t)ROWS * OUT);
    enum rad_status status = rad_gemm_open(&l->gemm[0], RAD_GEMM_F32, err);
    if (status == RAD_OK)
        status = rad_gemm_threads(l->gemm[0], threads, err);
    if (status == RAD_OK && (l->block == NULL || l->x == NULL || l->y == NULL))
        status = rad_fail(err, RAD_E_NOMEM, "limits: out of memory for %zu bytes", l->bytes);
    if (status != RAD_OK) {
        rad_limits_close(l);
        return status;
    }
    rad_huge_pages(l->block, l->bytes);
    for (size_t i = 0; i < l->bytes; i += 2) { /* 1/16 to 1/8 in every type */
        const uint16_t h = (uint16_t)(0x3d80 + i / 2 % 64);
        memcpy(l->block + i, &h, sizeof h);
    }
    *out = l;
    return RAD_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef uint64_t wide __attribute__((vector_size(64)));

/* Four sums at once: more loads on their way than one sum would wait for. */
static inline __attribute__((always_inline)) uint64_t read_wide(const wide *p, size_t n)
{
    wide s0 = {0}, s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i + 4 <= n; i += 4)
        s0 += p[i], s1 += p[i + 1], s2 += p[i + 2], s3 += p[i + 3];
    s0 += s1 + s2 + s3;
    return s0[0] + s0[1] + s0[2] + s0[3] + s0[4] + s0[5] + s0[6] + s0[7];
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static uint64_t read_avx512(const wide *p, size_t n)
{
    return read_wide(p, n);
}

__attribute__((target("avx2"))) static uint64_t read_avx2(const wide *p, size_t n)
{
    return read_wide(p, n);
}
#endif

static uint64_t read_part(const wide *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return read_avx512(p, n);
    if (__builtin_cpu_supports("avx2"))
        return read_avx2(p, n);
#endif
    return read_wide(p, n);
}

struct timing {
    double wall, cpu;
};

static struct timing now(void)
{
    return (struct timing){rad_now_s(), rad_cpu_s()};
}

/* work per second since start */
static struct rad_limit rate(const rad_limits *l, struct timing start, double work)
{
    const struct timing end = now();
    const double cpu = (end.cpu - start.cpu) / rad_pool_size(rad_gemm_pool(l->gemm[0]));
    return (struct rad_limit){work / (end.wall - start.wall), work / fmax(cpu, 1e-9)};
}

static struct rad_limit better(struct rad_limit a, struct rad_limit b)
{
    return (struct rad_limit){fmax(a.per_s, b.per_s), fmax(a.per_cpu_s, b.per_cpu_s)};
}

static void read_task(void *ctx, int task, int thread)
{
    rad_limits *l = ctx;
    const size_t all = l->read / sizeof(wide), parts = (size_t)l->parts, i = (size_t)task;
    const size_t from = all * i / parts, to = all * (i + 1) / parts;
    (void)thread;
    l->sum[task] += read_part((const wide *)l->from + from, to - from);
}

/* Small blocks pass several times, so that they are in the cache that they fit. */
struct rad_limit rad_limits_read(rad_limits *l, const void *p, size_t bytes)
{
    static const double enough_s = 300e-6;
    struct rad_limit best = {0.0, 0.0};
    l->from = p != NULL ? p : l->block;
    l->read = (p != NULL || bytes < l->bytes ? bytes : l->bytes) / sizeof(wide) * sizeof(wide);
    const size_t parts = l->read / PART_BYTES;
    l->parts = parts < FEW_PARTS ? FEW_PARTS : parts > PARTS ? PARTS : (int)parts;
    const struct timing first = now();
    do {
        const struct timing start = now();
        rad_pool_share(rad_gemm_pool(l->gemm[0]), l->parts, read_task, l);
        best = better(best, rate(l, start, (double)l->read));
    } while (rad_now_s() - first.wall < enough_s);
    return best;
}

/* ---- multiplying --------------------------------------------------------------------------- */

static void blas_task(void *ctx, int task, int thread)
{
    const rad_limits *l = ctx;
    enum { M = ROWS / BLAS_PARTS };
    (void)thread;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, OUT, IN, 1.0f,
                l->x + (size_t)task * M * IN, IN, (const float *)(const void *)l->block, IN, 0.0f,
                l->y + (size_t)task * M * OUT, OUT);
}

static const double flop = 2.0 * ROWS * OUT * IN;

struct rad_limit rad_limits_gemm(rad_limits *l)
{
    const struct rad_mat w = {RAD_MAT_F32, OUT, IN, l->block, NULL};
    struct timing start = now();
    rad_pool_share(rad_gemm_pool(l->gemm[0]), BLAS_PARTS, blas_task, l);
    const struct rad_limit blas = rate(l, start, flop);
    start = now();
    rad_mat_mul(l->gemm[0], ROWS, l->x, &w, NULL, l->y);
    return better(blas, rate(l, start, flop));
}

enum rad_status rad_limits_gemm_bf16(rad_limits *l, struct rad_limit *out, struct rad_err *err)
{
    const struct rad_mat w = {RAD_MAT_BF16, OUT, IN, l->block, NULL};
    if (l->gemm[1] == NULL) {
        RAD_TRY(rad_gemm_open(&l->gemm[1], RAD_GEMM_BF16, err));
        RAD_TRY(rad_gemm_threads(l->gemm[1], l->threads, err));
        rad_mat_mul(l->gemm[1], ROWS, l->x, &w, NULL, l->y);
    }
    *out = (struct rad_limit){0.0, 0.0};
    for (int i = 0; i < 4; i++) { /* a thread that slept may share a CPU with its caller at first */
        const struct timing start = now();
        rad_mat_mul(l->gemm[1], ROWS, l->x, &w, NULL, l->y);
        *out = better(*out, rate(l, start, flop));
    }
    return RAD_OK;
}
