/* test_gemm.c - matrix products and attention against plain double loops: OpenBLAS, and AMX where
 * the CPU has it. */
#include "tensor/tensor.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { MAX = 160 * 160, PAD = 5 };

static void fill(float *x, size_t n, uint32_t salt)
{
    uint32_t s = 99u + 7919u * salt;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    }
}

/* bfloat16 by dropping bits, to nearest even; what AMX multiplies. */
static double rounded(float x, bool bf16)
{
    uint32_t bits;
    if (!bf16)
        return (double)x;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* One product with padded rows, checked value by value; what lies between the rows stays. */
static void check_product(rad_gemm *g, const int32_t size[3], int flags)
{
    static float a[MAX], b[MAX], c[MAX], before[MAX];
    const int32_t m = size[0], n = size[1], k = size[2];
    const bool ta = flags & 1, tb = flags & 2, add = flags & 4, bf16 = rad_gemm_is_amx(g) && m > 1;
    struct rad_mm mm = {.m = m, .n = n, .k = k, .a = a, .ta = ta, .b = b, .tb = tb, .c = c};
    mm.lda = (ta ? m : k) + PAD, mm.ldb = (tb ? k : n) + PAD, mm.ldc = n + PAD, mm.add = add;
    fill(a, MAX, (uint32_t)(m + flags));
    fill(b, MAX, (uint32_t)(n + 100));
    fill(c, MAX, (uint32_t)(k + 200));
    if (!add) /* what is there must not matter */
        for (int32_t i = 0; i < m; i++)
            c[i * mm.ldc] = NAN;
    memcpy(before, c, sizeof c);
    rad_gemm_run(g, &mm);
    double worst = 0.0;
    bool outside = true;
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j < n + PAD; j++) {
            const int32_t at = i * mm.ldc + j;
            if (j >= n) {
                outside = outside && (i + 1 == m || memcmp(&c[at], &before[at], 4) == 0);
                continue;
            }
            double want = add ? (double)before[at] : 0.0;
            for (int32_t p = 0; p < k; p++)
                want += rounded(a[ta ? p * mm.lda + i : i * mm.lda + p], bf16) *
                        rounded(b[tb ? j * mm.ldb + p : p * mm.ldb + j], bf16);
            const double off = fabs((double)c[at] - want);
            worst = off > worst || isnan(off) ? off : worst;
        }
    if (!(worst <= 2e-5) || !outside)
        fprintf(stderr, "\n%d x %d x %d, flags %d%s: off by %g\n", m, n, k, flags,
                bf16 ? ", bf16" : "", worst);
    CU_ASSERT(worst <= 2e-5);
    CU_ASSERT(outside);
}

static void check_products(enum rad_gemm_mode mode)
{
    static const int32_t size[][3] = {{1, 1, 1},    {1, 33, 17},  {2, 3, 5},     {3, 16, 32},
                                      {16, 16, 32}, {17, 33, 31}, {32, 32, 64},  {33, 1, 65},
                                      {64, 48, 96}, {40, 100, 7}, {5, 128, 129}, {96, 31, 1}};
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, mode, &err));
    for (size_t s = 0; s < sizeof size / sizeof size[0]; s++)
        for (int flags = 0; flags < 8; flags++)
            check_product(g, size[s], flags);
    rad_gemm_close(g);
}

static void products_match(void)
{
    check_products(RAD_GEMM_F32);
}

static void bfloat16_products_match(void)
{
    check_products(RAD_GEMM_BF16); /* AMX, or float32 where there is none */
}

static void empty_products_are_nothing(void)
{
    for (int mode = RAD_GEMM_F32; mode <= RAD_GEMM_BF16; mode++) {
        rad_gemm *g = NULL;
        float a[4] = {1, 2, 3, 4}, c[4] = {5, 6, 7, 8};
        OK(rad_gemm_open(&g, (enum rad_gemm_mode)mode, &err));
        struct rad_mm mm = {.m = 0, .n = 2, .k = 2, .a = a, .lda = 2, .b = a, .ldb = 2};
        mm.c = c, mm.ldc = 2;
        rad_gemm_run(g, &mm);
        mm.m = 2, mm.k = 0, mm.add = true; /* a sum of nothing, added */
        rad_gemm_run(g, &mm);
        CU_ASSERT(c[0] == 5.0f && c[3] == 8.0f);
        rad_gemm_close(g);
    }
}

static void linear_forms_match(void)
{
    enum { M = 5, IN = 7, OUT = 3 };
    float x[M * IN], w[OUT * IN], y[M * OUT], dx[M * IN], dw[OUT * IN] = {0};
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    fill(x, M * IN, 1);
    fill(w, OUT * IN, 2);
    rad_linear(g, M, IN, OUT, x, w, y);
    rad_linear_back(g, M, IN, OUT, y, w, dx);
    rad_linear_grad(g, M, IN, OUT, x, y, dw);
    rad_linear_grad(g, M, IN, OUT, x, y, dw); /* adds up */
    double y2 = 0.0, xdx = 0.0, wdw = 0.0;
    for (int i = 0; i < M * OUT; i++)
        y2 += (double)y[i] * (double)y[i];
    for (int i = 0; i < M * IN; i++)
        xdx += (double)x[i] * (double)dx[i];
    for (int i = 0; i < OUT * IN; i++)
        wdw += (double)w[i] * (double)dw[i];
    NEAR(xdx, y2, 1e-5); /* x . (y W) = y . (x W^T) */
    NEAR(wdw, 2.0 * y2, 1e-5);
    double first = 0.0;
    for (int i = 0; i < IN; i++)
        first += (double)x[IN + i] * (double)w[2 * IN + i];
    NEAR((double)y[OUT + 2], first, 1e-5);
    rad_gemm_close(g);
}

/* ---- attention ----------------------------------------------------------------------------- */

static double score(const struct rad_attend *a, int h, int i, int j)
{
    const int kv = h / (a->n_head / a->n_kv);
    double s = 0.0;
    for (int x = 0; x < a->d_head; x++)
        s += (double)a->q[i * a->ldq + h * a->d_head + x] *
             (double)a->k[j * a->ldkv + kv * a->d_head + x];
    return s / sqrt(a->d_head);
}

static double attended(const struct rad_attend *a, int h, int i, int x)
{
    const int kv = h / (a->n_head / a->n_kv);
    double sum = 0.0, out = 0.0;
    for (int j = 0; j < a->n_see[i]; j++) {
        const double p = exp(score(a, h, i, j));
        sum += p;
        out += p * (double)a->v[j * a->ldkv + kv * a->d_head + x];
    }
    return out / sum;
}

/* Queries that see fewer and more keys, more than one block of them, grouped heads. */
static void attention_matches(void)
{
    enum { NQ = 70, NK = 90, HEADS = 4, KV = 2, DIM = 8, LDQ = 40, LDKV = 40, LDO = 35 };
    static float q[NQ * LDQ], kv[NK * LDKV], p[HEADS * NQ * NK], out[NQ * LDO];
    int32_t see[NQ];
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    fill(q, NQ * LDQ, 3);
    fill(kv, NK * LDKV, 4);
    for (int i = 0; i < NQ; i++)
        see[i] = i < 3 ? 1 : i < NQ - 2 ? 2 + i : NK;
    const struct rad_attend a = {.n_q = NQ,
                                 .n_k = NK,
                                 .n_head = HEADS,
                                 .n_kv = KV,
                                 .d_head = DIM,
                                 .q = q,
                                 .ldq = LDQ,
                                 .k = kv,
                                 .v = kv + KV * DIM,
                                 .ldkv = LDKV,
                                 .n_see = see,
                                 .p = p,
                                 .out = out,
                                 .ldo = LDO};
    rad_attend(g, &a);
    double worst = 0.0;
    for (int i = 0; i < NQ; i++)
        for (int h = 0; h < HEADS; h++)
            for (int x = 0; x < DIM; x++)
                worst =
                    fmax(worst, fabs((double)out[i * LDO + h * DIM + x] - attended(&a, h, i, x)));
    CU_ASSERT(worst < 2e-6);
    rad_gemm_close(g);
}

/* Two sequences, one of a single query, keys in more than one block; same bits on two threads. */
static void attention_of_many_matches(void)
{
    enum { NQ = 37, NK = 300, HEADS = 6, KV = 2, DIM = 20, LDQ = 130, LDKV = 80, LDO = 125 };
    static float q[NQ * LDQ], kv[NK * LDKV], out[2][NQ * LDO];
    int32_t see[NQ], last = NK - 7;
    fill(q, NQ * LDQ, 13);
    fill(kv, NK * LDKV, 14);
    for (int i = 0; i < NQ * LDQ; i++)
        q[i] *= 6.0f; /* so that later blocks bring new maxima */
    for (int i = 0; i < NQ; i++)
        see[i] = i == 0 ? 1 : NK - NQ + i + 1;
    struct rad_attend a[2] = {{.n_q = NQ, .n_k = NK, .n_head = HEADS, .n_kv = KV, .d_head = DIM}};
    a[0].q = q, a[0].ldq = LDQ, a[0].k = kv, a[0].v = kv + KV * DIM, a[0].ldkv = LDKV;
    a[0].n_see = see, a[0].ldo = LDO;
    a[1] = a[0], a[1].n_q = 1, a[1].q = q + LDQ, a[1].n_see = &last, a[1].n_k = last;
    for (int t = 0; t < 2; t++) {
        rad_gemm *g = NULL;
        OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
        OK(rad_gemm_threads(g, t + 1, &err));
        for (int s = 0; s < 2; s++) {
            for (int i = 0; i < NQ * LDO; i++)
                out[s][i] = NAN; /* what is there must not matter */
            a[s].out = out[s];
        }
        rad_attend_many(g, a, 2);
        for (int s = 0; s < 2; s++) {
            double worst = 0.0;
            for (int i = 0; i < a[s].n_q; i++)
                for (int j = 0; j < HEADS * DIM; j++) {
                    const double off =
                        fabs((double)out[s][i * LDO + j] - attended(&a[s], j / DIM, i, j % DIM));
                    worst = off > worst || isnan(off) ? off : worst;
                }
            if (!(worst < 4e-6))
                fprintf(stderr, "\nattention %d, %d threads: off by %g\n", s, t + 1, worst);
            CU_ASSERT(worst < 4e-6);
        }
        rad_gemm_close(g);
    }
}

static void count_rows(void *ctx, int32_t first, int32_t n)
{
    for (int32_t i = first; i < first + n; i++)
        ((int *)ctx)[i]++;
}

static void rows_are_cut_in_blocks(void)
{
    enum { N = 1000 };
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    OK(rad_gemm_threads(g, 3, &err));
    int seen[N] = {0}, wrong = 0;
    rad_rows(g, N, 700, count_rows, seen);
    rad_rows(g, N - 1, 100000, count_rows, seen);
    rad_rows(g, 0, 5, count_rows, seen);
    for (int i = 0; i < N; i++)
        wrong += seen[i] != (i < N - 1 ? 2 : 1);
    CU_ASSERT_EQUAL(wrong, 0);
    rad_gemm_close(g);
}

static void factors_lie_half_a_page_beside_weights(void)
{
    enum { K = 2048, PAGE = 4096 };
    static _Alignas(64) float room[K + RAD_MAT_BESIDE], data[PAGE];
    for (int at = 0; at < PAGE; at += 1008) { /* whole lines */
        struct rad_mat w = {RAD_MAT_F32, 1, K, data + at, NULL};
        const float *x = rad_mat_beside(&w, room);
        CU_ASSERT(x >= room && x + K <= room + K + RAD_MAT_BESIDE);
        CU_ASSERT_EQUAL(((uintptr_t)x - (uintptr_t)w.data) % PAGE, PAGE / 2);
        w.n_in = 768;
        CU_ASSERT(rad_mat_beside(&w, room) == room && rad_mat_beside(&w, NULL) == NULL);
    }
}

CU_TestInfo gemm_tests[] = {
    {"products match", products_match},
    {"bfloat16 products match", bfloat16_products_match},
    {"empty products are nothing", empty_products_are_nothing},
    {"linear forms match", linear_forms_match},
    {"attention matches", attention_matches},
    {"attention of many matches", attention_of_many_matches},
    {"rows are cut in blocks", rows_are_cut_in_blocks},
    {"factors lie half a page beside weights", factors_lie_half_a_page_beside_weights},
    CU_TEST_INFO_NULL,
};
