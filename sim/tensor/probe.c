/* probe.c - timing of the kernels on this machine.
 *
 * A sample is as many repetitions as take some tens of microseconds, so that the clock's own time
 * does not show; the best sample is what the machine can do, the median says how noisy it was. */
#include "tensor/tensor.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 1024, FEWEST = 3 };
static const double sample_s = 50e-6;

struct work {
    void (*run)(void *ctx);
    void *ctx;
};

static double seconds(const struct work *w, int64_t repeat)
{
    const double start = rad_now_s();
    for (int64_t i = 0; i < repeat; i++)
        w->run(w->ctx);
    return rad_now_s() - start;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct work *w, double budget_s, struct rad_probe_time *out)
{
    double sample[SAMPLES];
    int n = 0;
    int64_t repeat = 1;
    const double start = rad_now_s();
    (void)seconds(w, 1); /* warm up: pages, caches, code */
    while (seconds(w, repeat) < sample_s)
        repeat *= 2;
    while (n < FEWEST || (n < SAMPLES && rad_now_s() - start < budget_s))
        sample[n++] = seconds(w, repeat) / (double)repeat;
    qsort(sample, (size_t)n, sizeof *sample, by_value);
    *out = (struct rad_probe_time){sample[0], sample[n / 2]};
}

/* n floats of no special value, 64-byte aligned; NULL if memory ran out. */
static float *floats(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    for (size_t i = 0; p != NULL && i < n; i++)
        p[i] = 0.5f + (float)(i % 17) / 16.0f;
    return p;
}

static enum rad_status out_of_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "probe: out of memory");
}

/* ---- GEMM ---------------------------------------------------------------------------------- */

struct gemm_work {
    const struct rad_probe_gemm *shape;
    rad_gemm *gemm;
    float *x, *w, *y;
};

static void run_gemm(void *ctx)
{
    const struct gemm_work *g = ctx;
    /* as BF16 the values of floats() are zeros and themselves: their low halves are zero */
    const struct rad_mat w = {
        .type = g->shape->weights, .n_out = g->shape->n, .n_in = g->shape->k, .data = g->w};
    rad_mat_mul(g->gemm, g->shape->m, g->x, &w, NULL, g->y);
}

enum rad_status rad_probe_gemm(const struct rad_probe_gemm *shape, double budget_s,
                               struct rad_probe_time *out, struct rad_err *err)
{
    const size_t m = (size_t)shape->m, n = (size_t)shape->n, k = (size_t)shape->k;
    struct gemm_work g = {
        .shape = shape, .x = floats(m * k), .w = floats(n * k), .y = floats(m * n)};
    enum rad_status status = rad_gemm_open(&g.gemm, RAD_GEMM_F32, err);
    if (status == RAD_OK && (g.x == NULL || g.w == NULL || g.y == NULL))
        status = out_of_memory(err);
    if (status == RAD_OK)
        measure(&(struct work){run_gemm, &g}, budget_s, out);
    rad_gemm_close(g.gemm);
    free(g.x);
    free(g.w);
    free(g.y);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef uint64_t wide __attribute__((vector_size(64)));

struct read_work {
    const wide *data;
    size_t n; /* a multiple of 8 */
    uint64_t (*read)(const wide *p, size_t n);
    volatile uint64_t sink;
};

/* Eight sums at once: more loads on their way than one sum would wait for. */
static inline __attribute__((always_inline)) uint64_t read_wide(const wide *p, size_t n)
{
    wide s0 = p[0], s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (size_t i = 0; i < n; i += 8) {
        s0 += p[i], s1 += p[i + 1], s2 += p[i + 2], s3 += p[i + 3];
        s4 += p[i + 4], s5 += p[i + 5], s6 += p[i + 6], s7 += p[i + 7];
    }
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;
    return s0[0] + s0[1] + s0[2] + s0[3] + s0[4] + s0[5] + s0[6] + s0[7];
}

static uint64_t read_base(const wide *p, size_t n)
{
    return read_wide(p, n);
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

static void run_read(void *ctx)
{
    struct read_work *r = ctx;
    r->sink = r->read(r->data, r->n);
}

enum rad_status rad_probe_read(size_t bytes, double budget_s, struct rad_probe_time *out,
                               struct rad_err *err)
{
    const size_t step = 8 * sizeof(wide), whole = (bytes + step - 1) / step * step;
    wide *data = aligned_alloc(4096, (whole + 4095) / 4096 * 4096);
    struct read_work r = {.data = data, .n = whole / sizeof(wide), .read = read_base};
    if (data == NULL)
        return out_of_memory(err);
    memset(data, 1, whole);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        r.read = read_avx512;
    else if (__builtin_cpu_supports("avx2"))
        r.read = read_avx2;
#endif
    measure(&(struct work){run_read, &r}, budget_s, out);
    out->best_s *= (double)bytes / (double)whole;
    out->median_s *= (double)bytes / (double)whole;
    free(data);
    return RAD_OK;
}

/* ---- vector operations --------------------------------------------------------------------- */

enum { HEAD = 32, TABLE = 4096 };

struct vector_work {
    size_t m, n;
    float *x, *y, *w, *cs;
    int32_t *pos, *row;
};

static void run_norm(void *ctx)
{
    const struct vector_work *v = ctx;
    rad_kernels()->rmsnorm(v->m, v->n, 1e-5f, v->x, v->w, v->y, v->cs);
}

static void run_act(void *ctx)
{
    const struct vector_work *v = ctx;
    rad_kernels()->swiglu(v->m, v->n, v->x, v->y);
}

static void run_add(void *ctx)
{
    const struct vector_work *v = ctx;
    for (size_t i = 0; i < v->m; i++)
        rad_kernels()->add(v->n, v->x + i * v->n, v->y + i * v->n);
}

static void run_rope(void *ctx)
{
    const struct vector_work *v = ctx;
    rad_kernels()->rope(v->m, v->pos, (int32_t)(v->n / HEAD), HEAD, (int32_t)v->n, v->cs, v->y);
}

static void run_rows(void *ctx)
{
    const struct vector_work *v = ctx;
    for (size_t i = 0; i < v->m; i++)
        memcpy(v->y + i * v->n, v->x + (size_t)v->row[i] * v->n, v->n * sizeof *v->y);
}

static void run_softmax(void *ctx)
{
    const struct vector_work *v = ctx;
    for (size_t i = 0; i < v->m; i++)
        rad_kernels()->softmax(v->n, v->n, 1.0f, v->y + i * v->n);
}

static void (*const vector_runs[RAD_N_PROBE_VECTOR])(void *) = {
    run_norm, run_act, run_add, run_rope, run_rows, run_rows, run_softmax};

enum rad_status rad_probe_vector(enum rad_probe_vector kind, const int32_t size[2], double budget_s,
                                 struct rad_probe_time *out, struct rad_err *err)
{
    struct vector_work v = {.m = (size_t)size[0], .n = (size_t)size[1]};
    const size_t rows = kind == RAD_PROBE_EMBED ? TABLE : kind == RAD_PROBE_ACT ? 2 * v.m : v.m;
    v.x = floats(rows * v.n), v.y = floats(v.m * v.n), v.w = floats(v.n);
    v.cs = floats(v.m * HEAD + HEAD);
    v.pos = malloc(v.m * sizeof *v.pos);
    v.row = malloc(v.m * sizeof *v.row);
    const bool ok = v.x && v.y && v.w && v.cs && v.pos && v.row;
    for (size_t i = 0; i < v.m && ok; i++) {
        v.pos[i] = (int32_t)i;
        v.row[i] = (int32_t)(i * 2654435761u % (kind == RAD_PROBE_EMBED ? TABLE : v.m));
    }
    if (ok && kind == RAD_PROBE_ROPE) /* true rotations: values neither grow nor vanish */
        rad_rope_table(size[0], HEAD, 10000.0, v.cs);
    if (ok)
        measure(&(struct work){vector_runs[kind], &v}, budget_s, out);
    free(v.x);
    free(v.y);
    free(v.w);
    free(v.cs);
    free(v.pos);
    free(v.row);
    return ok ? RAD_OK : out_of_memory(err);
}

/* ---- attention ----------------------------------------------------------------------------- */

struct attend_work {
    rad_gemm *gemm;
    struct rad_attend a;
};

static void run_attend(void *ctx)
{
    const struct attend_work *w = ctx;
    rad_attend_many(w->gemm, &w->a, 1);
}

enum rad_status rad_probe_attend(const struct rad_probe_attend *shape, double budget_s,
                                 struct rad_probe_time *out, struct rad_err *err)
{
    const int32_t width = shape->n_head * shape->d_head;
    const size_t n_q = (size_t)shape->n_q, n_k = (size_t)shape->n_k, d = (size_t)width;
    const size_t per_head = 2 * RAD_ATTEND_CHUNK * (size_t)shape->d_head; /* of a chunk */
    const size_t chunks = (n_k + RAD_ATTEND_CHUNK - 1) / RAD_ATTEND_CHUNK;
    float *q = floats(n_q * d), *k = floats(chunks * 2 * RAD_ATTEND_CHUNK * d),
          *result = floats(n_q * d);
    int32_t *see = malloc(n_q * sizeof *see);
    struct attend_work w = {.a = {.n_q = shape->n_q,
                                  .n_k = shape->n_k,
                                  .n_head = shape->n_head,
                                  .n_kv = shape->n_head,
                                  .d_head = shape->d_head,
                                  .q = q,
                                  .ldq = width,
                                  .k = k, /* as in the KV cache of inference */
                                  .v = k + per_head / 2,
                                  .ldkv = shape->d_head,
                                  .ldh = per_head,
                                  .chunk = RAD_ATTEND_CHUNK,
                                  .ldchunk = (size_t)shape->n_head * per_head,
                                  .n_see = see,
                                  .out = result,
                                  .ldo = width}};
    enum rad_status status = rad_gemm_open(&w.gemm, RAD_GEMM_F32, err);
    const bool ok = q && k && result && see;
    if (status == RAD_OK && !ok)
        status = out_of_memory(err);
    for (int32_t i = 0; status == RAD_OK && i < shape->n_q; i++)
        see[i] = shape->n_k - shape->n_q + i + 1 > 1 ? shape->n_k - shape->n_q + i + 1 : 1;
    if (status == RAD_OK)
        measure(&(struct work){run_attend, &w}, budget_s, out);
    rad_gemm_close(w.gemm);
    free(q);
    free(k);
    free(result);
    free(see);
    return status;
}
