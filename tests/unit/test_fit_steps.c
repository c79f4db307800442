/* test_fit_steps.c - made-up measurements with steps: of a library that changes its protocol, and
 * of one that takes tiles. */
#include "test.h"

#include "hw/hw.h"

#include <stdlib.h>

static void hear_report(void *ctx, const struct rad_fit_report *r)
{
    *(struct rad_fit_report *)ctx = *r;
}

/* A part fitted to rows alone. */
static rad_hw *calibrate(const struct rad_measured *rows, size_t n, struct rad_fit_report *last)
{
    const struct rad_calibration o = {
        .data = "made up", .fresh = true, .report = hear_report, .ctx = last};
    struct rad_buf yaml = {0};
    rad_hw *hw = NULL, *fitted = NULL;
    OK(rad_hw_open(&hw, "a100-sxm-80gb", &err));
    OK(rad_hw_calibrate(hw, rows, n, &o, &yaml, &err));
    OK(rad_hw_parse(&fitted, yaml.data, yaml.len, "fitted.yaml", &err));
    rad_buf_free(&yaml);
    rad_hw_close(hw);
    return fitted;
}

/* A library that takes twice as long from 4 MB on: neither side bends towards the other. */
static void protocols_change_in_a_step(void)
{
    static struct rad_measured rows[200];
    static const double bytes[] = {3.0e6, 3.8e6, 4.2e6, 5.0e6};
    size_t n = 0;
    for (double size = 1e5; size < 1e8; size *= 1.06, n++) {
        const double noise = n % 3 == 0 ? 1.02 : n % 3 == 1 ? 1.0 : 0.98;
        const double wire_s = size / 1e10 * (size < 4e6 ? 1.0 : 2.0);
        rows[n] = (struct rad_measured){.link = {"allreduce", size, 2.0},
                                        .latency_s = (20e-6 + wire_s) * noise,
                                        .software = "made",
                                        .row = n + 1};
    }
    struct rad_fit_report last = {0};
    rad_hw *hw = calibrate(rows, n, &last);
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

static void tiles_show_at_unseen_shapes(void)
{
    static const int64_t dims[] = {1024, 1536, 2048, 2560, 3072,  3584,
                                   4096, 5120, 6144, 8192, 12288, 16384};
    enum { N_DIM = sizeof dims / sizeof dims[0], N_M = 32 };
    static struct rad_measured rows[N_DIM * N_DIM * N_M];
    size_t n = 0;
    for (size_t i = 0; i < N_DIM * N_DIM; i++) {
        const int64_t wide = dims[i / N_DIM], deep = dims[i % N_DIM];
        for (int64_t j = 0; j < N_M && !(wide == 5120 && deep == 4096); j++, n++) {
            const int64_t m = 128 * (j / 2 + 1) + j % 2;
            rows[n] = (struct rad_measured){.op = rad_op_gemm(m, wide, deep, RAD_BF16),
                                            .latency_s = tiled_s(m, wide, deep),
                                            .software = "made",
                                            .row = n + 1};
        }
    }
    struct rad_fit_report last = {0};
    rad_hw *hw = calibrate(rows, n, &last);
    CU_ASSERT(last.median_ape < 0.02);
    for (int64_t wide = 4096; wide <= 6144; wide += 1024) {
        struct rad_prediction at, above;
        const struct rad_op full = rad_op_gemm(1024, wide, 4096, RAD_BF16);
        const struct rad_op more = rad_op_gemm(1025, wide, 4096, RAD_BF16);
        OK(rad_hw_predict(hw, &full, NULL, &at, &err));
        OK(rad_hw_predict(hw, &more, NULL, &above, &err));
        const double step = tiled_s(1025, wide, 4096) / tiled_s(1024, wide, 4096);
        CU_ASSERT_DOUBLE_EQUAL(above.cost.time_s / at.cost.time_s, step, 0.04);
    }
    rad_hw_close(hw);
}

CU_TestInfo fit_steps_tests[] = {
    {"protocols change in a step", protocols_change_in_a_step},
    {"tiles show at unseen shapes", tiles_show_at_unseen_shapes},
    CU_TEST_INFO_NULL,
};
