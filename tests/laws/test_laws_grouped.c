/* test_laws_grouped.c - products of several groups in one launch: what no model may get wrong. */
#include "replay_make.h"
#include "test.h"

#include "hw/hw_profile.h"

#include <string.h>

static const char *const gpus[] = {"a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm-180gb", "l4",
                                   "mi300x",        "arc-pro-b60",   "rtx-4090"};
static const char *const others[] = {"tpu-v5e", "tpu-v4", "u280", "xeon-8480", "inferentia2"};
enum { N_GPU = sizeof gpus / sizeof gpus[0], N_OTHER = sizeof others / sizeof others[0] };

static rad_hw *open_hw(const char *name)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    return hw;
}

static enum rad_dtype dtype_for(const rad_hw *hw)
{
    return rad_hw_supports(hw, RAD_BF16) ? RAD_BF16 : rad_hw_default_dtype(hw);
}

static double time_of(const rad_hw *hw, const struct rad_op *op)
{
    struct rad_cost c;
    OK(rad_hw_cost(hw, op, &c, &err));
    CU_ASSERT(c.time_s > 0.0 && isfinite(c.time_s) && c.dynamic_j >= 0.0 && c.static_j >= 0.0);
    return c.time_s;
}

static double bandwidth_of(const rad_hw *hw, enum rad_dtype dtype)
{
    struct rad_chip chip;
    hw->model->chip(hw->params, dtype, &chip);
    return chip.mem_bytes_per_s;
}

/* ---- must not -------------------------------------------------------------------------- */

/* At the same rows, more groups are never cheaper, nor are one group's worth of rows cheaper in a
 * launch of several than their weights can be read. */
static void check_groups(const rad_hw *hw, bool is_gpu)
{
    static const int64_t sizes[][2] = {{4096, 4096}, {28672, 4096}, {4096, 14336}, {384, 2048}};
    const enum rad_dtype dtype = dtype_for(hw);
    for (int64_t m = 1; m <= 8192; m = m * 3 + 1)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            double last = 0.0;
            for (int32_t groups = 2; groups <= 64 && groups <= m; groups++) {
                const struct rad_op op = rad_op_grouped(m, sizes[i][0], sizes[i][1], groups, dtype);
                const double t = time_of(hw, &op);
                CU_ASSERT(t >= last * (1.0 - 1e-9));
                if (is_gpu)
                    CU_ASSERT(t >= op.weight_bytes / bandwidth_of(hw, dtype));
                last = t;
            }
        }
}

static void more_groups_are_never_cheaper(void)
{
    for (size_t i = 0; i < N_GPU; i++) {
        rad_hw *hw = open_hw(gpus[i]);
        check_groups(hw, true);
        rad_hw_close(hw);
    }
}

/* Without grouped kernels the groups run one after the other: the sum of their products. */
static void others_run_one_after_the_other(void)
{
    for (size_t i = 0; i < N_OTHER; i++) {
        rad_hw *hw = open_hw(others[i]);
        const enum rad_dtype dtype = dtype_for(hw);
        struct rad_op op = rad_op_grouped(11, 4096, 2048, 4, dtype);
        const struct rad_op three = rad_op_gemm(3, 4096, 2048, dtype);
        const struct rad_op two = rad_op_gemm(2, 4096, 2048, dtype);
        NEAR(time_of(hw, &op), 3.0 * time_of(hw, &three) + time_of(hw, &two), 1e-12);
        op.groups = 12; /* some group would have no rows */
        struct rad_cost c;
        CU_ASSERT(rad_hw_cost(hw, &op, &c, &err) == RAD_E_ARG);
        rad_hw_close(hw);
    }
}

/* ---- counts ---------------------------------------------------------------------------- */

static void experts_count_their_matrices(void)
{
    const struct rad_expert_shape gated = {8, 4096, 14336, 4, true}, plain = {8, 4096, 14336, 4, 0};
    const struct rad_op three = rad_op_experts(&gated, RAD_BF16);
    const struct rad_op two = rad_op_experts(&plain, RAD_BF16);
    const double one = 4096.0 * 14336.0;
    CU_ASSERT(three.weight_bytes == 4 * 3 * one * 2 && two.weight_bytes == 4 * 2 * one * 2);
    CU_ASSERT(rad_op_weights(&three) == 12 * one && rad_op_weights(&two) == 8 * one);
    CU_ASSERT(three.flop == 2.0 * 8 * 3 * one + 5.0 * 8 * 14336);
    /* x, both halves written and read, their product written and read, y */
    CU_ASSERT(three.act_bytes == 2.0 * 8 * (4096 + 4 * 14336 + 2 * 14336 + 4096));
    CU_ASSERT(two.act_bytes == 2.0 * 8 * (4096 + 2 * 14336 + 2 * 14336 + 4096));
}

/* ---- the law --------------------------------------------------------------------------- */

/* Made-up experts: weights at 2.5 TB/s, arithmetic at 500 TFLOP/s, 20 us around them. */
static double true_s(const struct rad_op *op)
{
    const double t_m = (op->weight_bytes + op->act_bytes) / 2.5e12, t_c = op->flop / 500e12;
    return 20e-6 + cbrt(t_m * t_m * t_m + t_c * t_c * t_c);
}

static size_t make_rows(struct rad_measured *rows)
{
    static const int32_t hidden[] = {2048, 3072, 4096, 5120, 6144, 8192};
    static const int32_t ffn[] = {512, 1408, 4096, 14336}, experts[] = {8, 32, 128};
    size_t n = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 3; k++)
                for (int64_t m = 2; m <= 16384; m *= 4, n++) {
                    const struct rad_expert_shape s = {
                        m, hidden[i], ffn[j], (int32_t)(m < experts[k] ? m : experts[k]), true};
                    const struct rad_op op = rad_op_experts(&s, RAD_BF16);
                    const double noise = n % 2 ? 1.03 : 1 / 1.03;
                    rows[n] = (struct rad_measured){
                        .op = op, .latency_s = true_s(&op) * noise, .software = "made", .row = n};
                }
    return n;
}

static void hear(void *ctx, const struct rad_fit_report *r)
{
    CU_ASSERT_STRING_EQUAL(r->op, "grouped");
    *(double *)ctx = r->median_ape;
}

/* Rows of experts make a fit that costs single launches too, and keeps what no model may break. */
static void fitted_experts_keep_the_laws(void)
{
    static struct rad_measured rows[600];
    const size_t n = make_rows(rows);
    double ape = 1.0;
    const struct rad_calibration o = {
        .data = "made up", .fresh = true, .report = hear, .ctx = &ape};
    struct rad_buf yaml = {0};
    rad_hw *hw = open_hw("h100-sxm-80gb"), *fitted = NULL;
    CU_ASSERT_FATAL(n <= sizeof rows / sizeof rows[0]);
    OK(rad_hw_calibrate(hw, rows, n, &o, &yaml, &err));
    OK(rad_hw_parse(&fitted, yaml.data, yaml.len, "fitted.yaml", &err));
    CU_ASSERT(ape < 0.06); /* 3 % of noise */
    struct rad_prediction p;
    const struct rad_op op = rad_op_grouped(64, 8192, 4096, 8, RAD_BF16);
    OK(rad_hw_predict(fitted, &op, NULL, &p, &err));
    CU_ASSERT_STRING_EQUAL(p.data, "made up");
    NEAR(p.cost.time_s, op.weight_bytes / 2.5e12, 0.25);
    check_groups(fitted, true);
    rad_buf_free(&yaml);
    rad_hw_close(hw);
    rad_hw_close(fitted);
}

/* ---- replay ---------------------------------------------------------------------------- */

static struct rad_replay_result replay(const struct made *m, const char *batcher, const rad_hw *hw,
                                       struct rad_plan_info *info)
{
    const struct rad_replay_options opt = {.batch = 8, .dtype = dtype_for(hw), .batcher = batcher};
    struct rad_replay_result r;
    rad_plan *plan = NULL;
    OK(rad_plan_build_from(&plan, &m->in, &opt, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    *info = *rad_plan_info(plan);
    rad_plan_free(plan);
    return r;
}

/* One launch for the layers of a hop does the same work, streams the same weights, and launches
 * less often. */
static void check_replay(const struct made *m, const rad_hw *hw, bool one_a_hop)
{
    struct rad_plan_info a, b;
    const struct rad_replay_result hop = replay(m, "hop", hw, &a);
    const struct rad_replay_result one = replay(m, "grouped", hw, &b);
    NEAR(one.flop, hop.flop, 1e-12);
    NEAR(one.weight_bytes, hop.weight_bytes, 1e-12);
    NEAR(one.kv_bytes, hop.kv_bytes, 1e-12);
    NEAR(one.layer_loads_per_step, hop.layer_loads_per_step, 1e-12);
    CU_ASSERT(one.mean_depth == hop.mean_depth && one.dense_latency_s == hop.dense_latency_s);
    CU_ASSERT(a.n_group == b.n_group && a.n_launch == a.n_group && b.n_launch < b.n_group);
    CU_ASSERT(b.group_tokens == a.group_tokens && b.group_tokens == b.n_visit);
    CU_ASSERT(one.overhead_s < hop.overhead_s);
    if (one_a_hop) /* nobody leaves before the last hop of a step */
        CU_ASSERT(b.n_launch == 6.0 * (double)b.n_step);
}

static void grouped_launches_conserve_work(void)
{
    const struct rad_card card = made_card();
    struct made_draw wander = {.seed = 3, .hops = 6, .n_layer = 8};
    struct made_draw skip = {.seed = 5, .keep = 0.6, .n_layer = 8};
    const struct made_shape any = {9, 3, 11, false, true}, forward = {9, 7, 11, true, true};
    struct made m, f;
    made_open(&m, &card, &any, made_wander, &wander);
    made_open(&f, &card, &forward, made_skip, &skip);
    for (size_t i = 0; i < 3; i++) {
        rad_hw *hw = open_hw(i == 0 ? "h100-sxm-80gb" : i == 1 ? "tpu-v5e" : "u280");
        check_replay(&m, hw, true);
        check_replay(&f, hw, false);
        rad_hw_close(hw);
    }
    made_close(&m);
    made_close(&f);
}

CU_TestInfo laws_grouped_tests[] = {
    {"more groups are never cheaper", more_groups_are_never_cheaper},
    {"other classes run one after the other", others_run_one_after_the_other},
    {"experts count their matrices", experts_count_their_matrices},
    {"fitted experts keep the laws", fitted_experts_keep_the_laws},
    {"grouped launches conserve work", grouped_launches_conserve_work},
    CU_TEST_INFO_NULL,
};
