/* test_probe.c - probes of the machine: times that can be true, and rates in a believable order. */
#include "tensor/tensor.h"
#include "test.h"

static const double budget_s = 0.004;

static void sound(const struct rad_probe_time *t)
{
    CU_ASSERT(t->best_s > 1e-9 && t->best_s < 1.0);
    CU_ASSERT(t->median_s >= t->best_s && t->median_s < 10.0);
}

static double gemm_s(enum rad_mat_type mode, int32_t m, int32_t n)
{
    const struct rad_probe_gemm shape = {mode, m, n, n};
    struct rad_probe_time t;
    OK(rad_probe_gemm(&shape, budget_s, &t, &err));
    sound(&t);
    return t.best_s;
}

/* 64 times the work is not done in the same time; nothing here runs at a petaflop per second. */
static void products_take_time(void)
{
    const double small = gemm_s(RAD_MAT_F32, 4, 64), large = gemm_s(RAD_MAT_F32, 64, 256);
    CU_ASSERT(large > 2.0 * small);
    CU_ASSERT(2.0 * 64 * 256 * 256 / large < 1e15);
    CU_ASSERT(gemm_s(RAD_MAT_BF16, 16, 64) > 0.0);
    CU_ASSERT(gemm_s(RAD_MAT_F32, 1, 64) > 0.0);
}

static void reading_takes_time(void)
{
    struct rad_probe_time small, large;
    OK(rad_probe_read(16 << 10, budget_s, &small, &err));
    OK(rad_probe_read(4 << 20, budget_s, &large, &err));
    sound(&small);
    sound(&large);
    CU_ASSERT(large.best_s > 32.0 * small.best_s);   /* 256 times the bytes, from a slower cache */
    OK(rad_probe_read(100, budget_s, &small, &err)); /* no round number */
    CU_ASSERT(small.best_s > 0.0);
}

static void every_vector_operation_takes_time(void)
{
    for (int k = 0; k < RAD_N_PROBE_VECTOR; k++) {
        struct rad_probe_time few, many;
        OK(rad_probe_vector((enum rad_probe_vector)k, (const int32_t[2]){4, 64}, budget_s, &few,
                            &err));
        OK(rad_probe_vector((enum rad_probe_vector)k, (const int32_t[2]){64, 256}, budget_s, &many,
                            &err));
        sound(&few);
        CU_ASSERT(many.best_s > 2.0 * few.best_s);
    }
}

static void attention_takes_time(void)
{
    const struct rad_probe_attend one = {1, 64, 2, 32}, all = {64, 64, 2, 32};
    struct rad_probe_time decode, prefill;
    OK(rad_probe_attend(&one, budget_s, &decode, &err));
    OK(rad_probe_attend(&all, budget_s, &prefill, &err));
    sound(&decode);
    CU_ASSERT(prefill.best_s > 2.0 * decode.best_s);
}

static void limits_are_rates(void)
{
    for (int threads = 1; threads <= 2; threads++) {
        rad_limits *l = NULL;
        struct rad_limit bf16;
        OK(rad_limits_open(&l, 3 << 20, threads, &err));
        const struct rad_limit small = rad_limits_read(l, NULL, 10000),
                               all = rad_limits_read(l, NULL, 1 << 30);
        const struct rad_limit gemm = rad_limits_gemm(l);
        OK(rad_limits_gemm_bf16(l, &bf16, &err));
        const struct rad_limit each[] = {small, all, gemm, bf16};
        for (int i = 0; i < 4; i++) {
            CU_ASSERT(each[i].per_s > 1e5 && each[i].per_s < 1e14);
            CU_ASSERT(each[i].per_cpu_s > 1e5 && each[i].per_cpu_s < 1e14);
        }
        rad_limits_close(l);
    }
}

CU_TestInfo probe_tests[] = {
    {"limits are rates", limits_are_rates},
    {"products take time", products_take_time},
    {"reading takes time", reading_takes_time},
    {"every vector operation takes time", every_vector_operation_takes_time},
    {"attention takes time", attention_takes_time},
    CU_TEST_INFO_NULL,
};
