/* test_fit_steps.c - made-up measurements with steps: of a library that changes its protocol, of
 * one that takes tiles; and what the many shapes of one software say of another's. */
#include "test.h"

#include "hw/hw.h"

#include <stdlib.h>

static void hear_report(void *ctx, const struct rad_fit_report *r)
{
    *(struct rad_fit_report *)ctx = *r;
}

/* `from`, closed here, fitted to rows alone. */
static rad_hw *calibrate(rad_hw *from, const struct rad_measured *rows, size_t n,
                         struct rad_fit_report *last)
{
    const struct rad_calibration o = {
        .data = "made up", .fresh = true, .report = hear_report, .ctx = last};
    struct rad_buf yaml = {0};
    rad_hw *fitted = NULL;
    OK(rad_hw_calibrate(from, rows, n, &o, &yaml, &err));
    OK(rad_hw_parse(&fitted, yaml.data, yaml.len, "fitted.yaml", &err));
    rad_buf_free(&yaml);
    rad_hw_close(from);
    return fitted;
}

static rad_hw *a_part(void)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, "tests/oracle/hw_vectors_gpu.yaml", &err));
    return hw;
}

/* A library that takes twice as long from 4 MB on: neither side bends towards the other. */
static void protocols_change_in_a_step(void)
{
    static struct rad_measured sent[200];
    static const double bytes[] = {3.0e6, 3.8e6, 4.2e6, 5.0e6};
    size_t n = 0;
    for (double size = 1e5; size < 1e8; size *= 1.06, n++) {
        const double noise = n % 3 == 0 ? 1.02 : n % 3 == 1 ? 1.0 : 0.98;
        const double wire_s = size / 1e10 * (size < 4e6 ? 1.0 : 2.0);
        sent[n] = (struct rad_measured){.link = {"allreduce", size, 2.0},
                                        .latency_s = (20e-6 + wire_s) * noise,
                                        .software = "made",
                                        .row = n + 1};
    }
    struct rad_fit_report last = {0};
    rad_hw *hw = calibrate(a_part(), sent, n, &last);
    CU_ASSERT(last.median_ape < 0.03 && last.p90_ape < 0.06);
    for (size_t i = 0; i < 4; i++) {
        const struct rad_link link = {"allreduce", bytes[i], 2.0};
        struct rad_prediction p;
        OK(rad_hw_predict_link(hw, &link, "made", &p, &err));
        const double true_link_s = 20e-6 + bytes[i] / 1e10 * (i < 2 ? 1.0 : 2.0);
        CU_ASSERT_DOUBLE_EQUAL(p.cost.time_s / true_link_s, 1.0, 0.05);
    }
    rad_hw_close(hw);
}

/* One row more than 1024 takes a quarter longer where N is 5120: in whole tiles, of no others. */
static double tiled_s(int64_t m, int64_t n, int64_t k)
{
    const double flop = 2.0 * (double)m * (double)n * (double)k;
    return 6e-6 + flop / 200e12 * (m > 1024 && n == 5120 ? 1.25 : 1.0);
}

enum { N_DIM = 12, N_M = 32 };
static const int64_t dims[N_DIM] = {1024, 1536, 2048, 2560, 3072,  3584,
                                    4096, 5120, 6144, 8192, 12288, 16384};
static struct rad_measured rows[N_DIM * N_DIM * N_M];

/* Rows of every M, N of dims[n_wide] and K, but for one pair of N and K. */
static size_t make_rows(const char *software, size_t n_wide,
                        double (*time_s)(int64_t m, int64_t n, int64_t k))
{
    size_t n = 0;
    for (size_t i = 0; i < n_wide * N_DIM; i++) {
        const int64_t wide = dims[i / N_DIM], deep = dims[i % N_DIM];
        for (int64_t j = 0; j < N_M && !(wide == 5120 && deep == 4096); j++, n++) {
            const int64_t m = 128 * (j / 2 + 1) + j % 2;
            rows[n] = (struct rad_measured){.op = rad_op_gemm(m, wide, deep, RAD_F16),
                                            .latency_s = time_s(m, wide, deep),
                                            .software = software,
                                            .row = n + 1};
        }
    }
    return n;
}

static void tiles_show_at_unseen_shapes(void)
{
    struct rad_fit_report last = {0};
    rad_hw *hw = calibrate(a_part(), rows, make_rows("made", N_DIM, tiled_s), &last);
    CU_ASSERT(last.median_ape < 0.02);
    for (int64_t wide = 4096; wide <= 6144; wide += 1024) {
        struct rad_prediction at, above;
        const struct rad_op full = rad_op_gemm(1024, wide, 4096, RAD_F16);
        const struct rad_op more = rad_op_gemm(1025, wide, 4096, RAD_F16);
        OK(rad_hw_predict(hw, &full, NULL, &at, &err));
        OK(rad_hw_predict(hw, &more, NULL, &above, &err));
        const double step = tiled_s(1025, wide, 4096) / tiled_s(1024, wide, 4096);
        CU_ASSERT_DOUBLE_EQUAL(above.cost.time_s / at.cost.time_s, step, 0.04);
    }
    rad_hw_close(hw);
}

/* The widest products take half as long again. */
static double wide_s(int64_t m, int64_t n, int64_t k)
{
    return tiled_s(m, n, k) * (n >= 12288 ? 1.5 : 1.0);
}

/* Of the widest there are no rows of the second software: it is taken to share half of what the
 * first one's show, and no more is known without them. */
static void another_software_says_half(void)
{
    struct rad_fit_report last = {0};
    const struct rad_op op = rad_op_gemm(2048, 16384, 4096, RAD_F16);
    const double narrow_s = tiled_s(2048, 16384, 4096);
    struct rad_prediction first, second, alone;
    rad_hw *hw = calibrate(a_part(), rows, make_rows("first", N_DIM, wide_s), &last);
    const size_t n = make_rows("second", 6, tiled_s);
    hw = calibrate(hw, rows, n, &last);
    OK(rad_hw_predict(hw, &op, "first", &first, &err));
    OK(rad_hw_predict(hw, &op, "second", &second, &err));
    rad_hw_close(hw);
    hw = calibrate(a_part(), rows, n, &last);
    OK(rad_hw_predict(hw, &op, "second", &alone, &err));
    rad_hw_close(hw);
    CU_ASSERT_DOUBLE_EQUAL(first.cost.time_s / narrow_s, 1.5, 0.05);
    CU_ASSERT_DOUBLE_EQUAL(second.cost.time_s / narrow_s, 1.22, 0.08); /* 1.5^0.5 */
    CU_ASSERT_DOUBLE_EQUAL(alone.cost.time_s / narrow_s, 1.0, 0.08);
    CU_ASSERT(alone.extrapolated && !second.extrapolated);
}

CU_TestInfo fit_steps_tests[] = {
    {"protocols change in a step", protocols_change_in_a_step},
    {"tiles show at unseen shapes", tiles_show_at_unseen_shapes},
    {"another software says half", another_software_says_half},
    CU_TEST_INFO_NULL,
};
