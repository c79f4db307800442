/* test_laws_replay.c - what must hold for every machine and every routing.
 *
 * Machines are those of hwprofiles/; routing is made up in memory. s = probability of skipping,
 * B = batch, L = layers. */
#include "replay_make.h"
#include "test.h"

#include <string.h>

static const char *const machines[] = {"a100-sxm-80gb", "h100-sxm-80gb", "tpu-v4", "tpu-v5e",
                                       "u280"};
enum { N_MACHINE = sizeof machines / sizeof machines[0], N_LAYER = 8 };

static enum rad_dtype dtype_for(const rad_hw *hw)
{
    return rad_hw_supports(hw, RAD_BF16) ? RAD_BF16 : RAD_F16;
}

static rad_plan *plan_of(const struct made *m, const struct rad_replay_options *opt)
{
    rad_plan *plan = NULL;
    OK(rad_plan_build_from(&plan, &m->in, opt, &err));
    return plan;
}

static struct rad_replay_result replay(const struct made *m, const struct rad_replay_options *opt,
                                       const rad_hw *hw)
{
    struct rad_replay_result r;
    rad_plan *plan = plan_of(m, opt);
    OK(rad_replay_cost(plan, hw, &r, &err));
    rad_plan_free(plan);
    return r;
}

static rad_hw *open_hw(const char *name)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    return hw;
}

/* ---- dense equals the sum of its operations -------------------------------------------- */

/* Added up one by one, the naive way. */
struct closed {
    double time_s, energy_j, flop, weight_bytes, kv_bytes, act_bytes;
};

static void add_ops(struct closed *sum, const rad_hw *hw, const struct rad_op *ops, int n)
{
    for (int i = 0; i < n; i++) {
        struct rad_cost c;
        OK(rad_hw_cost(hw, &ops[i], &c, &err));
        sum->time_s += c.time_s;
        sum->energy_j += c.dynamic_j + c.memory_j + c.static_j;
        sum->flop += ops[i].flop;
        sum->weight_bytes += ops[i].weight_bytes;
        sum->kv_bytes += ops[i].kv_bytes;
        sum->act_bytes += ops[i].act_bytes;
    }
}

static void add_idle(struct closed *sum, const rad_hw *hw, double seconds)
{
    sum->time_s += seconds;
    sum->energy_j += seconds * rad_hw_static_w(hw);
}

/* One step of B sequences: each brings `queries` tokens, the first of which is at position pos. */
static void add_step(struct closed *sum, const rad_hw *hw, int64_t B, int64_t queries, int64_t pos)
{
    const struct rad_card card = made_card();
    const enum rad_dtype dtype = dtype_for(hw);
    struct rad_op ops[RAD_LOWER_MAX];
    struct rad_group g = {.m = B * queries, .n_seq = (int32_t)B};
    g.m_attn = g.m_mlp = g.m;
    for (int64_t q = 0; q < queries; q++)
        g.n_keys += B * (pos + q + 1);
    g.kv_read_keys = B * (pos + queries);
    add_ops(sum, hw, ops, rad_lower_embed(&card, dtype, g.m, ops));
    for (int layer = 0; layer < N_LAYER; layer++) {
        add_ops(sum, hw, ops, rad_lower_layer(&card, dtype, &g, ops));
        add_idle(sum, hw, rad_hw_layer_overhead_s(hw));
    }
    add_ops(sum, hw, ops, rad_lower_head(&card, dtype, B, ops));
    add_ops(sum, hw, ops, rad_lower_sample(&card, dtype, B, ops));
    add_idle(sum, hw, rad_hw_step_overhead_s(hw));
}

static void check_closed(const rad_hw *hw, int32_t batch)
{
    enum { N_SEQ = 6, PROMPT = 12, NEW = 20 };
    struct made_draw draw = {.n_layer = N_LAYER};
    const struct made_shape shape = {N_SEQ, PROMPT, NEW, true, false};
    const struct rad_card card = made_card();
    const struct rad_replay_options opt = {.batch = batch, .dtype = dtype_for(hw)};
    struct closed sum = {0};
    struct made m;
    made_open(&m, &card, &shape, made_dense, &draw);
    const struct rad_replay_result r = replay(&m, &opt, hw);
    for (int32_t first = 0; first < N_SEQ; first += batch) {
        const int32_t B = N_SEQ - first < batch ? N_SEQ - first : batch;
        add_step(&sum, hw, B, PROMPT, 0);
        for (int32_t i = 0; i < NEW; i++)
            add_step(&sum, hw, B, 1, PROMPT + i);
    }
    NEAR(r.latency_s, sum.time_s, 1e-12);
    NEAR(r.energy_j, sum.energy_j, 1e-12);
    NEAR(r.flop, sum.flop, 1e-12);
    NEAR(r.weight_bytes, sum.weight_bytes, 1e-12);
    NEAR(r.kv_bytes, sum.kv_bytes, 1e-12);
    NEAR(r.act_bytes, sum.act_bytes, 1e-12);
    NEAR(r.dense_latency_s, sum.time_s, 1e-12);
    NEAR(r.dense_energy_j, sum.energy_j, 1e-12);
    NEAR(r.speedup, 1.0, 1e-12);
    CU_ASSERT(r.flop_frac == 1.0 && r.weight_bytes_frac == 1.0 && r.depth_frac == 1.0);
    made_close(&m);
}

static void dense_is_the_sum_of_its_operations(void)
{
    for (size_t i = 0; i < N_MACHINE; i++) {
        rad_hw *hw = open_hw(machines[i]);
        for (int32_t batch = 1; batch <= 4; batch += 3)
            check_closed(hw, batch);
        rad_hw_close(hw);
    }
}

/* ---- divergence ------------------------------------------------------------------------ */

/* Independent skips: a layer is streamed unless all B tokens skip it. Skips of whole layers, so
 * the share of loads is the share of bytes. */
static void skipped_layers_stream_1_minus_s_to_the_B(void)
{
    enum { N_SEQ = 16, NEW = 80 };
    static const double skip[] = {0.3, 0.5, 0.9};
    const struct rad_card card = made_card();
    rad_hw *hw = open_hw(machines[0]);
    for (size_t i = 0; i < sizeof skip / sizeof skip[0]; i++) {
        struct made_draw draw = {.seed = 7 + i, .keep = 1 - skip[i], .n_layer = N_LAYER};
        const struct made_shape shape = {N_SEQ, 0, NEW, true, false};
        struct made m;
        made_open(&m, &card, &shape, made_skip, &draw);
        for (int32_t B = 1; B <= 8; B *= 2) {
            const struct rad_replay_options opt = {.batch = B, .dtype = RAD_BF16};
            const struct rad_replay_result r = replay(&m, &opt, hw);
            const double expected = 1 - pow(skip[i], B), n = N_SEQ / B * NEW * N_LAYER;
            const double sigma = sqrt(expected * (1 - expected) / n);
            CU_ASSERT(fabs(r.layer_weight_bytes_frac - expected) <= 4 * sigma);
            NEAR(r.layer_weight_bytes_frac, r.layer_loads_per_step / r.dense_layer_loads_per_step,
                 1e-12);
            CU_ASSERT(r.dense_layer_loads_per_step == N_LAYER);
        }
        made_close(&m);
    }
    rad_hw_close(hw);
}

/* Variance of the number of distinct layers that B uniform choices hit (occupancy problem). */
static double distinct_variance(double L, double B)
{
    const double empty = pow(1 - 1 / L, B);
    return L * (L - 1) * pow(1 - 2 / L, B) + L * empty - L * L * empty * empty;
}

static void wandering_tokens_load_distinct_layers(void)
{
    enum { N_SEQ = 16, NEW = 60, HOPS = 6 };
    struct made_draw draw = {.seed = 3, .hops = HOPS, .n_layer = N_LAYER};
    const struct made_shape shape = {N_SEQ, 0, NEW, false, true};
    const struct rad_card card = made_card();
    rad_hw *hw = open_hw(machines[0]);
    struct made m;
    made_open(&m, &card, &shape, made_wander, &draw);
    for (int32_t B = 1; B <= N_SEQ; B *= 2) {
        const struct rad_replay_options opt = {.batch = B, .dtype = RAD_BF16};
        const struct rad_replay_result r = replay(&m, &opt, hw);
        const double per_hop = r.layer_loads_per_step / HOPS;
        const double expected = N_LAYER * (1 - pow(1 - 1.0 / N_LAYER, B));
        const double n = N_SEQ / B * NEW * HOPS;
        CU_ASSERT(fabs(per_hop - expected) <= 4 * sqrt(distinct_variance(N_LAYER, B) / n) + 1e-12);
        NEAR(r.depth_frac, (double)HOPS / N_LAYER, 1e-12);
    }
    made_close(&m);
    rad_hw_close(hw);
}

/* ---- conservation ---------------------------------------------------------------------- */

static int64_t visits(const struct made *m)
{
    return m->in.n_hop; /* made paths have visits only */
}

/* Grouping neither loses nor invents work: tokens in groups are the visits of the trace, and what
 * does not depend on sharing is the same at any batch and with either batcher. */
static void grouping_conserves_work(void)
{
    static const char *const batchers[] = {"layer", "hop"};
    const struct rad_card card = made_card();
    struct made_draw draw = {.seed = 5, .keep = 0.6, .n_layer = N_LAYER};
    const struct made_shape shape = {9, 7, 11, true, true};
    rad_hw *hw = open_hw(machines[0]);
    struct made m;
    made_open(&m, &card, &shape, made_skip, &draw);
    double flop = 0;
    for (int32_t batch = 1; batch <= 9; batch++) {
        for (int i = 0; i < 2; i++) {
            const struct rad_replay_options opt = {
                .batch = batch, .dtype = RAD_BF16, .batcher = batchers[i]};
            rad_plan *plan = plan_of(&m, &opt);
            const struct rad_plan_info *info = rad_plan_info(plan);
            CU_ASSERT(info->n_visit == (double)visits(&m));
            CU_ASSERT(info->group_tokens == info->n_visit);
            CU_ASSERT(info->n_token == m.in.n_token);
            rad_plan_free(plan);
            const struct rad_replay_result r = replay(&m, &opt, hw);
            NEAR(r.mean_depth * (double)m.in.n_token, (double)visits(&m), 1e-12);
            NEAR(r.latency_s, r.prefill_s + r.decode_s, 1e-12);
            NEAR(r.energy_j, r.dynamic_j + r.memory_j + r.static_j, 1e-12);
            flop = flop > 0 ? flop : r.flop;
            NEAR(r.flop, flop, 1e-12);
        }
    }
    made_close(&m);
    rad_hw_close(hw);
}

/* ---- monotonicity ---------------------------------------------------------------------- */

static void check_not_cheaper(const struct rad_replay_result *more,
                              const struct rad_replay_result *less, double slack)
{
    CU_ASSERT(more->latency_s >= less->latency_s * (1 - slack));
    CU_ASSERT(more->energy_j >= less->energy_j * (1 - slack));
    CU_ASSERT(more->kv_bytes >= less->kv_bytes);
    CU_ASSERT(more->flop >= less->flop);
}

/* On machines that split a long cache over their units, more keys can fill them better; hw has to
 * keep that within half a percent. */
static void more_keys_are_never_cheaper(void)
{
    const struct rad_card card = made_card();
    struct made_draw draw = {.seed = 2, .keep = 0.5, .n_layer = N_LAYER};
    const struct made_shape shape = {4, 8, 8, true, false};
    for (size_t i = 0; i < N_MACHINE; i++) {
        rad_hw *hw = open_hw(machines[i]);
        const struct rad_replay_options opt = {.batch = 4, .dtype = dtype_for(hw)};
        struct rad_replay_result last = {0};
        struct made m;
        made_open(&m, &card, &shape, made_skip, &draw);
        for (int round = 0; round < 6; round++) {
            const struct rad_replay_result r = replay(&m, &opt, hw);
            check_not_cheaper(&r, &last, 5e-3);
            last = r;
            for (int64_t h = 0; h < m.in.n_hop; h++)
                m.hops[h].n_keys *= 3;
        }
        made_close(&m);
        rad_hw_close(hw);
    }
}

/* Sequences grow by new tokens, or by prompt tokens: those that were there stay as they are. */
static void check_growth(const rad_hw *hw, bool prompt)
{
    const struct rad_card card = made_card();
    struct made_draw draw = {.seed = 2, .keep = 0.5, .n_layer = N_LAYER};
    const struct rad_replay_options opt = {.batch = 4, .dtype = dtype_for(hw)};
    struct rad_replay_result last = {0};
    for (int32_t n = 1; n <= 64; n *= 2) {
        const struct made_shape shape = {4, prompt ? n : 8, prompt ? 0 : n, true, false};
        struct made m;
        made_open(&m, &card, &shape, made_skip, &draw);
        const struct rad_replay_result r = replay(&m, &opt, hw);
        check_not_cheaper(&r, &last, 1e-12);
        last = r;
        made_close(&m);
    }
}

static void more_tokens_are_never_cheaper(void)
{
    for (size_t i = 0; i < N_MACHINE; i++) {
        rad_hw *hw = open_hw(machines[i]);
        check_growth(hw, true);
        check_growth(hw, false);
        rad_hw_close(hw);
    }
}

/* ---- what plans rely on ---------------------------------------------------------------- */

/* The operations of a group that depend on keys are attention alone, and they do not depend on
 * the tokens that do not attend: plans share the others between groups and lower these alone. */
static void only_attention_depends_on_keys(void)
{
    const struct rad_card card = made_card();
    struct rad_op a[RAD_LOWER_MAX], b[RAD_LOWER_MAX], c[RAD_LOWER_MAX];
    const struct rad_group group = {9, 6, 7, 2, 100, 80, 3, true, 0, 0};
    struct rad_group keys = group, alone = group;
    keys.n_keys = 500, keys.kv_read_keys = 300, keys.n_seq = 4;
    alone.m = 6, alone.m_mlp = alone.m_kv_only = 0, alone.partial = false;
    const int n = rad_lower_layer(&card, RAD_BF16, &group, a);
    CU_ASSERT_EQUAL_FATAL(rad_lower_layer(&card, RAD_BF16, &keys, b), n);
    const int n_alone = rad_lower_layer(&card, RAD_BF16, &alone, c);
    int differ = 0, attend = 0;
    for (int i = 0; i < n; i++) {
        differ += memcmp(&a[i], &b[i], sizeof a[i]) != 0;
        if (a[i].kind != RAD_OP_ATTEND)
            continue;
        for (int j = 0; j < n_alone; j++)
            attend += memcmp(&a[i], &c[j], sizeof a[i]) == 0;
    }
    CU_ASSERT_EQUAL(differ, 1);
    CU_ASSERT_EQUAL(attend, 1);
}

CU_TestInfo laws_replay_tests[] = {
    {"dense is the sum of its operations", dense_is_the_sum_of_its_operations},
    {"skipped layers stream 1 - s^B", skipped_layers_stream_1_minus_s_to_the_B},
    {"wandering tokens load distinct layers", wandering_tokens_load_distinct_layers},
    {"grouping conserves work", grouping_conserves_work},
    {"more keys are never cheaper", more_keys_are_never_cheaper},
    {"more tokens are never cheaper", more_tokens_are_never_cheaper},
    {"only attention depends on keys", only_attention_depends_on_keys},
    CU_TEST_INFO_NULL,
};
