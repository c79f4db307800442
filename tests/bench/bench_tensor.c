/* bench_tensor.c - all products, norms, activations and attention of GPT-2-small-shaped steps.
 *
 * usage: bench_tensor [THREADS [REPEATS]]   (default 2 and 12)
 * 124 M parameters, each layer its own, in huge pages; 256 keys per sequence and layer in decode
 * (float32). Beside each figure, measured between the same repeats: reading the weights and doing
 * nothing else, and the best SGEMM (512 x 3072 x 768, OpenBLAS or ours). The roof is that of
 * docs: min(B x bandwidth / weight bytes, SGEMM rate / FLOP), keys and values not counted as bytes;
 * roof_frac takes the best times, p50 is the median of time of the roof / time of single repeats.
 */
#include "base/clock.h"
#include "base/stat.h"
#include "tensor/tensor.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    D = 768,
    FFN = 3072,
    LAYERS = 12,
    HEADS = 12,
    VOCAB = 50257,
    KEYS = 256,
    MAX_REPEAT = 100,
    HUGE_PAGE = 2 << 20
};
enum { MAX_ROWS = 512, PARTS = 512, HEAD_DIM = D / HEADS };
enum part { QKV, OUT, UP, DOWN, N_PART };

static const int32_t shape[N_PART][2] = {{3 * D, D}, {D, D}, {FFN, D}, {D, FFN}};

struct bench {
    rad_gemm *gemm;
    uint8_t *block;
    size_t bytes, used;
    struct rad_mat layer[LAYERS][N_PART], head;
    float *bias, *x, *y, *qkv, *att, *up, *logits, *stat, *kv;
    int32_t see[MAX_ROWS];
    volatile uint64_t sink;
    int repeats;
};

static void *need(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "bench_tensor: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return p;
}

static float *floats(size_t n)
{
    const size_t bytes = (n * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    float *p = need(aligned_alloc(HUGE_PAGE, bytes));
    rad_huge_pages(p, bytes);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(i % 17) / 64.0f - 0.125f;
    return p;
}

static void take_matrices(struct bench *b, enum rad_mat_type type)
{
    size_t at = 0;
    for (int l = 0; l < LAYERS; l++)
        for (int p = 0; p < N_PART; p++) {
            const int32_t n = shape[p][0], k = shape[p][1];
            b->layer[l][p] = (struct rad_mat){type, n, k, b->block + at, NULL};
            at += (size_t)n * rad_mat_row_bytes(type, k);
        }
    b->head = (struct rad_mat){type, VOCAB, D, b->block + at, NULL};
    b->used = at + VOCAB * rad_mat_row_bytes(type, D);
}

static void open_gemm(struct bench *b, enum rad_gemm_mode mode, int threads)
{
    struct rad_err err;
    rad_gemm_close(b->gemm);
    if (rad_gemm_open(&b->gemm, mode, &err) != RAD_OK ||
        rad_gemm_threads(b->gemm, threads, &err) != RAD_OK) {
        fprintf(stderr, "bench_tensor: %s\n", err.msg);
        exit(EXIT_FAILURE);
    }
}

static void open_bench(struct bench *b, int threads)
{
    open_gemm(b, RAD_GEMM_F32, threads);
    take_matrices(b, RAD_MAT_F32);
    b->bytes = b->used + (4 << 20);
    b->bytes = (b->bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    b->block = need(aligned_alloc(HUGE_PAGE, b->bytes));
    rad_huge_pages(b->block, b->bytes);
    for (size_t i = 0; i + 2 <= b->bytes; i += 2) { /* small numbers in every type */
        const uint16_t h = (uint16_t)(0x2c00 + (i * 2654435761u >> 22) % 1024);
        memcpy(b->block + i, &h, 2);
    }
    b->bias = floats(FFN);
    b->x = floats(MAX_ROWS * D), b->y = floats(MAX_ROWS * D), b->att = floats(MAX_ROWS * D);
    b->qkv = floats(MAX_ROWS * 3 * D), b->up = floats(MAX_ROWS * FFN);
    b->logits = floats((size_t)32 * VOCAB), b->stat = floats(2 * MAX_ROWS);
    b->kv = floats((size_t)LAYERS * 32 * KEYS * 2 * D);
}

/* ---- a step -------------------------------------------------------------------------------- */

static void norm_rows(void *ctx, int32_t first, int32_t n)
{
    const struct bench *b = ctx;
    rad_kernels()->layernorm((size_t)n, D, 1e-5f, b->x + (size_t)first * D, b->bias, b->bias,
                             b->y + (size_t)first * D, b->stat + 2 * first);
}

static void gelu_rows(void *ctx, int32_t first, int32_t n)
{
    const struct bench *b = ctx;
    float *up = b->up + (size_t)first * FFN;
    rad_kernels()->gelu((size_t)n * FFN, up, up);
}

static void add_rows(void *ctx, int32_t first, int32_t n)
{
    const struct bench *b = ctx;
    float *x = b->x + (size_t)first * D;
    const float *y = b->y + (size_t)first * D;
    for (size_t i = 0; i < (size_t)n * D; i++)
        x[i] = 0.5f * (x[i] + y[i]); /* stays small however often */
}

/* Decode: m sequences with KEYS keys each; prefill: m rows of one sequence on their own keys. */
static void attend(struct bench *b, int l, int32_t m, bool prefill)
{
    const float *kv = b->kv + (size_t)l * 32 * KEYS * 2 * D;
    struct rad_attend a[32] = {{0}};
    static const int32_t all = KEYS;
    for (int32_t i = 0; i < (prefill ? 1 : m); i++) {
        a[i] = (struct rad_attend){.n_q = prefill ? m : 1,
                                   .n_k = prefill ? m : KEYS,
                                   .n_head = HEADS,
                                   .n_kv = HEADS,
                                   .d_head = HEAD_DIM,
                                   .q = b->qkv + (size_t)i * 3 * D,
                                   .ldq = 3 * D,
                                   .k = prefill ? b->qkv + D : kv + (size_t)i * KEYS * 2 * D,
                                   .ldkv = prefill ? 3 * D : HEAD_DIM,
                                   .ldh = prefill ? HEAD_DIM : KEYS * HEAD_DIM,
                                   .n_see = prefill ? b->see : &all,
                                   .out = b->att + (size_t)i * D,
                                   .ldo = D};
        a[i].v = a[i].k + (prefill ? D : KEYS * D); /* the cache has keys by head */
    }
    rad_attend_many(b->gemm, a, prefill ? 1 : m);
}

static void step(struct bench *b, int32_t m, bool prefill)
{
    rad_gemm *g = b->gemm;
    for (int l = 0; l < LAYERS; l++) {
        const struct rad_mat *w = b->layer[l];
        rad_rows(g, m, D, norm_rows, b);
        rad_mat_mul(g, m, b->y, &w[QKV], b->bias, b->qkv);
        attend(b, l, m, prefill);
        rad_mat_mul(g, m, b->att, &w[OUT], b->bias, b->y);
        rad_rows(g, m, D, add_rows, b);
        rad_rows(g, m, D, norm_rows, b);
        rad_mat_mul(g, m, b->y, &w[UP], b->bias, b->up);
        rad_rows(g, m, FFN, gelu_rows, b);
        rad_mat_mul(g, m, b->up, &w[DOWN], b->bias, b->y);
        rad_rows(g, m, D, add_rows, b);
    }
    rad_rows(g, prefill ? 1 : m, D, norm_rows, b);
    rad_mat_mul(g, prefill ? 1 : m, b->y, &b->head, NULL, b->logits);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void read_part(void *ctx, int part, int thread)
{
    struct bench *b = ctx;
    typedef uint64_t wide __attribute__((vector_size(64)));
    const size_t size = b->used / PARTS / 256 * 256;
    const uint8_t *p = b->block + (size_t)part * size;
    wide sum[4] = {{0}};
    (void)thread;
    for (size_t i = 0; i < size; i += 256)
        for (int j = 0; j < 4; j++) {
            wide w;
            memcpy(&w, p + i + 64 * j, sizeof w);
            sum[j] += w;
        }
    sum[0] += sum[1] + sum[2] + sum[3];
    b->sink += sum[0][0] + sum[0][5];
}

static void sgemm_part(void *ctx, int part, int thread)
{
    const struct bench *b = ctx;
    (void)thread;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, MAX_ROWS / 4, FFN, D, 1.0f,
                b->x + (size_t)part * (MAX_ROWS / 4) * D, D, (const float *)(const void *)b->block,
                D, 0.0f, b->up + (size_t)part * (MAX_ROWS / 4) * FFN, FFN);
}

static double timed_read(struct bench *b)
{
    const double start = rad_now_s();
    rad_pool_share(rad_gemm_pool(b->gemm), PARTS, read_part, b);
    return rad_now_s() - start;
}

/* Seconds per FLOP. */
static double timed_gemm(struct bench *b)
{
    const struct rad_mat w = {RAD_MAT_F32, FFN, D, b->block, NULL};
    const double flop = 2.0 * MAX_ROWS * FFN * D, start = rad_now_s();
    rad_pool_share(rad_gemm_pool(b->gemm), 4, sgemm_part, b);
    const double middle = rad_now_s();
    rad_mat_mul(b->gemm, MAX_ROWS, b->x, &w, NULL, b->up);
    return fmin(middle - start, rad_now_s() - middle) / flop;
}

/* ---- measuring ----------------------------------------------------------------------------- */

static double flop_of(int32_t m, bool prefill)
{
    const double layer = 2.0 * (4.0 * D * D + 2.0 * D * FFN);
    const double keys = prefill ? (m + 1) / 2.0 : KEYS;
    return m * LAYERS * (layer + 4.0 * keys * D) + 2.0 * (prefill ? 1 : m) * D * VOCAB;
}

/* Seconds of a step whose weights are read while they are multiplied. */
static double roof(double read_s, double gemm_s)
{
    return fmax(read_s, gemm_s);
}

static void measure(struct bench *b, enum rad_mat_type type, int32_t m, bool prefill)
{
    double best = 1e9, read = 1e9, gemm = 1e9, cpu = 0.0, share[MAX_REPEAT];
    const double flop = flop_of(m, prefill);
    take_matrices(b, type);
    const double keys = prefill ? 0.0 : (double)m * LAYERS * KEYS * 2 * D * sizeof(float);
    const double bytes = (double)b->used + keys;
    for (int32_t i = 0; i < m; i++)
        b->see[i] = i + 1;
    for (int r = -1; r < b->repeats; r++) { /* the first one warms up */
        const double read_s = timed_read(b), gemm_s = timed_gemm(b);
        const double start = rad_now_s(), start_cpu = rad_cpu_s();
        step(b, m, prefill);
        const double wall = rad_now_s() - start;
        if (r < 0)
            continue;
        share[r] = roof(read_s, flop * gemm_s) / wall;
        read = fmin(read, read_s), gemm = fmin(gemm, gemm_s);
        if (wall < best)
            best = wall, cpu = rad_cpu_s() - start_cpu;
    }
    rad_sort_doubles(share, (size_t)b->repeats);
    printf("| %s %s | %d | %.1f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f | %.0f | %.0f |\n",
           rad_mat_type_name(type), prefill ? "prefill" : "decode", m, m / best, best * 1e3,
           cpu * 1e3, roof(read, flop * gemm) / best, rad_quantile(share, (size_t)b->repeats, 0.5),
           bytes / best / 1e9, (double)b->used / read / 1e9, flop / best / 1e9, 1e-9 / gemm);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct bench b;
    static const int32_t batch[] = {1, 4, 16, 32};
    rad_tensor_repair(argv);
    const int threads = argc > 1 ? atoi(argv[1]) : 2, repeats = argc > 2 ? atoi(argv[2]) : 12;
    b.repeats = repeats < 1 ? 1 : repeats > MAX_REPEAT ? MAX_REPEAT : repeats;
    open_bench(&b, threads);
    char engine[160];
    rad_tensor_describe(engine, sizeof engine);
    printf("%s; matrices %s; %d threads\n\n", engine, rad_mat_kernels_name(),
           rad_pool_size(rad_gemm_pool(b.gemm)));
    puts("| GPT-2 small shape | rows | tokens/s | wall ms | cpu ms | roof_frac | p50 | GB/s | read "
         "GB/s | GF/s | sgemm GF/s |\n|---|---|---|---|---|---|---|---|---|---|---|");
    for (int type = 0; type < RAD_N_MAT_TYPE; type++) {
        for (size_t i = 0; i < sizeof batch / sizeof batch[0]; i++)
            measure(&b, (enum rad_mat_type)type, batch[i], false);
        measure(&b, (enum rad_mat_type)type, MAX_ROWS, true);
    }
    puts("\nActivations rounded to bfloat16:");
    open_gemm(&b, RAD_GEMM_BF16, threads);
    measure(&b, RAD_MAT_BF16, 32, false);
    measure(&b, RAD_MAT_BF16, MAX_ROWS, true);
    rad_gemm_close(b.gemm);
    return EXIT_SUCCESS;
}
