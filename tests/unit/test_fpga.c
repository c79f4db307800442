/* test_fpga.c - FPGA designs that do not fit, spatial dataflow, and what skipping gains there. */
#include "refuse.h"
#include "replay_make.h"
#include "test.h"

#include "hw/hw.h"

#include <stdlib.h>
#include <string.h>

/* hwprofiles/<name>.yaml with `from` replaced by `to`. */
static enum rad_status edited(rad_hw **hw, const char *name, const char *from, const char *to)
{
    rad_hw *was = NULL;
    OK(rad_hw_open(&was, name, &err));
    const char *text = rad_hw_text(was), *at = strstr(text, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *now = malloc(strlen(text) + strlen(to) + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(now);
    sprintf(now, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    const enum rad_status status = rad_hw_parse(hw, now, strlen(now), "design.yaml", &err);
    free(now);
    rad_hw_close(was);
    return status;
}

static void what_does_not_fit_is_refused_and_named(void)
{
    static const struct {
        const char *from, *to, *message;
    } rows[] = {
        {"int8: 12288 @", "int8: 16384 @", "it needs 8192 DSP but 6768 can be used"},
        {"fp32: 1024 @", "fp32: 1354 @", "at most 1353 lanes fit"},
        {"lut: 1303680", "lut: 600000", "LUT but 480000 can be used"},
        {"act_buffer: 8 MB", "act_buffer: 20 MB", "of on-chip RAM but 32.72 MB can be used"},
        {"uram: 34.56 MB", "uram: 28 MB", "of on-chip RAM"},
        {"bram: 9.07 MB", "bram: 3 MB", "weight bits per cycle but the RAM ports give"},
        {"ports_used: 32", "ports_used: 33", "it needs 33 memory ports but there are 32"},
        {"port_bandwidth: 14.375 GB/s", "port_bandwidth: 0 GB/s", "expected ports_used and"},
        {"op_overhead: 1 us @overlay", "op_overhead: 1 us @overlay\n  stages: 99 @overlay",
         "99 stages of vector_len 128 need more than lanes.fp32 1024"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_hw *hw = NULL;
        REFUSES(edited(&hw, "u280", rows[i].from, rows[i].to), RAD_E_RANGE, rows[i].message);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "design.yaml:"));
        CU_ASSERT_PTR_NULL(hw);
    }
}

static double memory_s(const rad_hw *hw)
{
    struct rad_cost c;
    const struct rad_op op = rad_op_gemm(1, 4096, 4096, RAD_INT8);
    OK(rad_hw_cost(hw, &op, &c, &err));
    return c.memory_s;
}

/* 460 GB/s only if all 32 ports stream. */
static void half_the_ports_are_half_the_bandwidth(void)
{
    rad_hw *all = NULL, *half = NULL;
    OK(rad_hw_open(&all, "u280", &err));
    OK(edited(&half, "u280", "ports_used: 32", "ports_used: 16"));
    NEAR(memory_s(half), 2.0 * memory_s(all), 1e-12);
    rad_hw_close(all);
    rad_hw_close(half);
}

static double compute_s(const rad_hw *hw, int64_t m)
{
    struct rad_cost c;
    const struct rad_op op = rad_op_gemm(m, 4096, 4096, RAD_INT8);
    OK(rad_hw_cost(hw, &op, &c, &err));
    return c.compute_s;
}

/* One token uses one stage of 24; many tokens fill the pipeline. */
static void a_pipeline_is_slow_for_one_token(void)
{
    rad_hw *overlay = NULL, *spatial = NULL;
    OK(edited(&overlay, "u280-spatial", "  stages: 24 @spatial\n", ""));
    OK(edited(&spatial, "u280-spatial", "  fill: 64 @spatial\n", ""));
    NEAR(compute_s(spatial, 1), 24.0 * compute_s(overlay, 1), 1e-9);
    NEAR(compute_s(spatial, 100), 1.23 * compute_s(overlay, 100), 1e-9);
    CU_ASSERT(compute_s(spatial, 100000) < 1.001 * compute_s(overlay, 100000));
    rad_hw_close(overlay);
    rad_hw_close(spatial);
}

static struct rad_replay_result replayed(const rad_plan *plan, const rad_hw *hw)
{
    struct rad_replay_result r;
    OK(rad_replay_cost(plan, hw, &r, &err));
    return r;
}

/* Without bypass skipping half of the layers saves energy and no time; with it, and on the
 * overlay, it saves both. */
static void skipping_gains_time_only_around_a_stage(void)
{
    const struct rad_card card = made_card();
    const struct made_shape shape = {4, 8, 16, true, false};
    const struct rad_replay_options opt = {.batch = 1, .dtype = RAD_INT8};
    struct made_draw draw = {.seed = 3, .keep = 0.5, .n_layer = card.n_layer};
    struct made m;
    rad_plan *plan = NULL;
    rad_hw *hw[3] = {NULL};
    made_open(&m, &card, &shape, made_skip, &draw);
    OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
    OK(rad_hw_open(&hw[0], "u280-spatial", &err));
    OK(edited(&hw[1], "u280-spatial", "bypass: 0", "bypass: 1"));
    OK(rad_hw_open(&hw[2], "u280", &err));
    CU_ASSERT(rad_hw_skips_pay(hw[0]));
    CU_ASSERT(!rad_hw_skips_pay(hw[1]) && !rad_hw_skips_pay(hw[2]));
    const struct rad_replay_result stuck = replayed(plan, hw[0]), around = replayed(plan, hw[1]);
    const struct rad_replay_result overlay = replayed(plan, hw[2]);
    CU_ASSERT_EQUAL(stuck.speedup, 1.0);
    CU_ASSERT(stuck.energy_j < stuck.dense_energy_j);
    CU_ASSERT(around.speedup > 1.2 && overlay.speedup > 1.2);
    CU_ASSERT_EQUAL(stuck.dense_latency_s, around.dense_latency_s);
    CU_ASSERT(stuck.owned_usd > around.owned_usd);
    for (int i = 0; i < 3; i++)
        rad_hw_close(hw[i]);
    rad_plan_free(plan);
    made_close(&m);
}

CU_TestInfo fpga_tests[] = {
    {"what does not fit is refused and named", what_does_not_fit_is_refused_and_named},
    {"half the ports are half the bandwidth", half_the_ports_are_half_the_bandwidth},
    {"a pipeline is slow for one token", a_pipeline_is_slow_for_one_token},
    {"skipping gains time only around a stage", skipping_gains_time_only_around_a_stage},
    CU_TEST_INFO_NULL,
};
