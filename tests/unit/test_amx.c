/* test_amx.c - products by AMX tiles, on any CPU with AVX512-BF16: packing, edges, strips. */
#include "amx_emulated.h"
#include "tensor/mat_impl.h"
#include "test.h"

#include <stdlib.h>

enum { GUARD = 64 };

/* Few bits, so that rounding to bfloat16 changes nothing and sums are exact. */
static float value(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return (float)((int)(*s >> 24) - 128) / 16.0f;
}

static float *values(size_t n, uint32_t seed)
{
    float *x = malloc((n + GUARD) * sizeof *x);
    for (size_t i = 0; i < n + GUARD; i++)
        x[i] = value(&seed);
    return x;
}

static bool skipped(void)
{
    if (amx_emulated_can())
        return false;
    printf("(no AVX512-BF16 here: not run) ");
    return true;
}

/* One product, all values of C and some around it. ld: how much longer rows are than need be. */
static void check_product(const int32_t size[3], bool ta, bool tb, bool add, int32_t ld)
{
    const int32_t m = size[0], n = size[1], k = size[2];
    struct rad_mm mm = {.m = m, .n = n, .k = k, .ta = ta, .tb = tb, .add = add, .ldc = n + ld};
    mm.lda = (ta ? m : k) + ld;
    mm.ldb = (tb ? k : n) + ld;
    const size_t room = (size_t)m * (size_t)mm.ldc;
    float *a = values((size_t)mm.lda * (size_t)(ta ? k : m), 1);
    float *b = values((size_t)mm.ldb * (size_t)(tb ? n : k), 2);
    float *c = values(room, 3), *before = values(room, 3);
    uint16_t *scratch = aligned_alloc(64, (amx_emulated_scratch(&mm) * 2 + 63) / 64 * 64);
    bool same = true;
    mm.a = a, mm.b = b, mm.c = c;
    amx_emulated_gemm(&mm, scratch);
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j < mm.ldc; j++) {
            const size_t at = (size_t)i * (size_t)mm.ldc + (size_t)j;
            double sum = add || j >= n ? (double)before[at] : 0.0;
            for (int32_t p = 0; p < k && j < n; p++)
                sum += (double)(ta ? a[p * mm.lda + i] : a[i * mm.lda + p]) *
                       (double)(tb ? b[j * mm.ldb + p] : b[p * mm.ldb + j]);
            same = same && (double)c[at] == sum;
        }
    for (size_t i = room; i < room + GUARD; i++)
        same = same && c[i] == before[i];
    CU_ASSERT(same);
    free(a), free(b), free(c), free(before), free(scratch);
}

/* Whole tiles, edges of every kind, panels longer than a block, transposed operands. */
static void tiles_match_the_plain_product(void)
{
    static const int32_t size[][3] = {{1, 1, 1},    {16, 16, 32},  {32, 32, 64}, {17, 33, 31},
                                      {15, 48, 33}, {64, 31, 100}, {40, 40, 65}, {100, 17, 700}};
    if (skipped())
        return;
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
        for (int how = 0; how < 8; how++)
            check_product(size[i], how & 1, how & 2, how & 4, how * 3);
}

/* As rad_mat_mul calls them: bfloat16 weights from memory, strips, bias. */
static void strips_go_through_tiles(void)
{
    enum { M = 21, N = 70, K = 1100 };
    if (skipped())
        return;
    float *x = values((size_t)M * K, 4), *w = values((size_t)N * K, 5), *bias = values(N, 6);
    float *y = values((size_t)M * N, 7);
    uint16_t *packed = malloc((size_t)N * K * sizeof *packed);
    for (int i = 0; i < N * K; i++) {
        uint32_t bits;
        memcpy(&bits, &w[i], 4);
        packed[i] = (uint16_t)(bits >> 16);
    }
    const struct rad_strip s = {.m = M,
                                .n = N,
                                .k = K,
                                .x = x,
                                .ldx = K,
                                .w = (const uint8_t *)packed,
                                .w_bytes = 2 * K,
                                .bias = bias,
                                .y = y,
                                .ldy = N};
    rad_amx_mul_by(&s, amx_emulated_gemm);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = (double)bias[j];
            for (int p = 0; p < K; p++)
                sum += (double)x[i * K + p] * (double)w[j * K + p];
            CU_ASSERT_DOUBLE_EQUAL(y[i * N + j], sum, 1e-3);
        }
    free(x), free(w), free(bias), free(y), free(packed);
}

CU_TestInfo amx_tests[] = {
    {"tiles match the plain product", tiles_match_the_plain_product},
    {"strips go through tiles", strips_go_through_tiles},
    CU_TEST_INFO_NULL,
};
