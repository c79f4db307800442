/* test_rate.c - sustained times under the power limit, and short bursts at full clock. */
#include "hw/hw_profile.h"
#include "replay_make.h"
#include "test.h"

#include <string.h>

static rad_hw *open_hw(const char *name)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    return hw;
}

static struct rad_cost cost_at(const rad_hw *hw, const struct rad_op *op, enum rad_rate rate)
{
    const struct rad_hw_ask ask = {NULL, rate};
    struct rad_prediction p;
    OK(rad_hw_predict_as(hw, op, &ask, &p, &err));
    CU_ASSERT(p.lo_s < p.cost.time_s && p.cost.time_s < p.hi_s);
    return p.cost;
}

static void names_are_words(void)
{
    enum rad_rate rate = RAD_RATE_SUSTAINED;
    OK(rad_rate_parse("burst", &rate, &err));
    CU_ASSERT(rate == RAD_RATE_BURST);
    CU_ASSERT_STRING_EQUAL(rad_rate_name(RAD_RATE_SUSTAINED), "sustained");
    CU_ASSERT(rad_rate_parse("fast", &rate, &err) == RAD_E_ARG);
    CU_ASSERT_STRING_EQUAL(err.msg, "rate: expected sustained or burst but found 'fast'");
}

/* 13-15 % on the H200 and 9-14 % on the B200 where M > 1024; small products, which do not meet the
 * power limit, take what they take. */
static void bursts_are_as_much_faster_as_measured(void)
{
    static const struct {
        const char *name;
        double lo, hi;
    } parts[] = {{"h200-sxm-141gb", 1.13, 1.15}, {"b200-sxm-180gb", 1.09, 1.14}};
    for (int i = 0; i < 2; i++) {
        rad_hw *hw = open_hw(parts[i].name);
        for (int64_t m = 2048; m <= 16384; m *= 2) {
            const struct rad_op op = rad_op_gemm(m, 8192, 8192, RAD_BF16);
            const double ratio = cost_at(hw, &op, RAD_RATE_SUSTAINED).time_s /
                                 cost_at(hw, &op, RAD_RATE_BURST).time_s;
            CU_ASSERT(ratio >= parts[i].lo && ratio <= parts[i].hi);
        }
        const struct rad_op small = rad_op_gemm(1, 2048, 2048, RAD_BF16);
        CU_ASSERT(cost_at(hw, &small, RAD_RATE_SUSTAINED).time_s ==
                  cost_at(hw, &small, RAD_RATE_BURST).time_s);
        rad_hw_close(hw);
    }
}

/* A part of 100 TFLOP/s at 4 pJ/FLOP has 300 W to spare: 75 TFLOP/s for long, 100 for a burst. */
static void the_limit_is_of_sustained_work(void)
{
    static const char text[] =
        "model: gpu\nabout: made up\nsources: {m: made up}\n"
        "machine: {memory: 80 GB @m, static_power: 100 W @m, tdp: 400 W @m, layer_overhead: 0 s "
        "@m,\n"
        "          step_overhead: 0 s @m%s}\n"
        "gpu:\n"
        "  peak: {fp16: 100 TFLOP/s @m}\n  compute_frac: {fp16: 1 @m}\n  flop_energy: {fp16: 4 "
        "pJ/FLOP @m}\n"
        "  bandwidth: 10 TB/s @m\n  bandwidth_frac: 1 @m\n  byte_energy: 0 pJ/B @m\n  l2: 40 MB "
        "@m\n"
        "  l2_bandwidth: 20 TB/s @m\n  l2_byte_energy: 0 pJ/B @m\n  overlap: 9 @m\n  op_floor: 0 "
        "us @m\n"
        "  launch_gap: 0 us @m\n  units: 100 @m\n  tiles: 0 @m\n  vector_peak: 10 TFLOP/s @m\n"
        "  attend_frac: 0.5 @m\n  attend_floor: 0 us @m\n"
        "  vector: {norm: 1 TB/s @m, act: 1 TB/s @m, add: 1 TB/s @m, rope: 1 TB/s @m, gather: 1 "
        "TB/s @m,\n"
        "           embed: 1 TB/s @m, softmax: 1 TB/s @m}\n"
        "  vector_floor: {norm: 0 s @m, act: 0 s @m, add: 0 s @m, rope: 0 s @m, gather: 0 s @m, "
        "embed: 0 s @m,\n"
        "                 softmax: 0 s @m}\n";
    const struct rad_op op = rad_op_gemm(8192, 8192, 8192, RAD_F16);
    for (int known = 0; known < 2; known++) {
        char profile[sizeof text + 32];
        rad_hw *hw = NULL;
        snprintf(profile, sizeof profile, text, known ? ", burst_gain: 1.25 @m" : "");
        OK(rad_hw_parse(&hw, profile, strlen(profile), "made.yaml", &err));
        const struct rad_cost sustained = cost_at(hw, &op, RAD_RATE_SUSTAINED);
        const struct rad_cost burst = cost_at(hw, &op, RAD_RATE_BURST);
        NEAR(sustained.time_s, op.flop * 4e-12 / 300.0, 1e-9);
        NEAR(burst.time_s, op.flop / 100e12 / (known ? 1.25 : 1.0), 1e-3);
        rad_hw_close(hw);
    }
}

static void bursts_are_never_slower(void)
{
    static const char *const names[] = {"a100-sxm-80gb", "h100-sxm-80gb",  "h200-sxm-141gb",
                                        "gb200",         "b200-sxm-180gb", "l4",
                                        "tpu-v5e",       "u280",           "xeon-8480"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rad_hw *hw = open_hw(names[i]);
        const enum rad_dtype dtype = rad_hw_default_dtype(hw);
        for (int64_t m = 1; m <= 16384; m *= 4) {
            const struct rad_attend_shape shape = {m, m * 512, m * 512, 32, 8, 128, (int32_t)m};
            const struct rad_op op[3] = {rad_op_gemm(m, 4096, 8192, dtype),
                                         rad_op_vector(RAD_OP_NORM, m, 4096, dtype),
                                         rad_op_attend(&shape, dtype)};
            for (int j = 0; j < 3; j++) {
                const struct rad_cost burst = cost_at(hw, &op[j], RAD_RATE_BURST);
                const struct rad_cost sustained = cost_at(hw, &op[j], RAD_RATE_SUSTAINED);
                CU_ASSERT(burst.time_s <= sustained.time_s * (1.0 + 1e-12));
                CU_ASSERT(burst.time_s >= burst.overhead_s && burst.static_j > 0.0);
            }
        }
        rad_hw_close(hw);
    }
}

static double latency(const rad_hw *hw, enum rad_rate rate)
{
    struct made_draw draw = {.n_layer = 8};
    const struct made_shape shape = {4, 4096, 2, true, false};
    struct rad_card card = made_card();
    card.d_model = 4096;
    card.d_head = 4096 / card.n_head;
    card.ffn = 16384;
    card.n_ctx = 8192;
    const struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16, .rate = rate};
    struct rad_replay_result r;
    rad_plan *plan = NULL;
    struct made m;
    made_open(&m, &card, &shape, made_dense, &draw);
    OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    CU_ASSERT(rad_plan_info(plan)->rate == rate);
    rad_plan_free(plan);
    made_close(&m);
    return r.latency_s;
}

static void replay_takes_the_rate(void)
{
    rad_hw *hw = open_hw("h200-sxm-141gb");
    const double ratio = latency(hw, RAD_RATE_SUSTAINED) / latency(hw, RAD_RATE_BURST);
    CU_ASSERT(ratio > 1.02 && ratio < 1.15);
    rad_hw_close(hw);
}

CU_TestInfo rate_tests[] = {
    {"names are words", names_are_words},
    {"bursts are as much faster as measured", bursts_are_as_much_faster_as_measured},
    {"the limit is of sustained work", the_limit_is_of_sustained_work},
    {"bursts are never slower", bursts_are_never_slower},
    {"replay takes the rate", replay_takes_the_rate},
    CU_TEST_INFO_NULL,
};
