/* test_replay_hand.c - a small trace, grouped and costed by hand. */
#include "base/stat.h"
#include "replay_words.h"
#include "test.h"

#include <string.h>

enum { A = RAD_HOP_ATTN, M = RAD_HOP_MLP, AM = A | M, TWO = 2 };

/* Three sequences on the made card, by (layer, flags):
 *   0: prompt  a: 0 1      b: 1(attention)        new  c: 0 1    d: 2
 *   1: prompt  e: 0 2                             new  f: 1
 *   2:                                            new  g: 0 1    h: 1 2   i: 2 (mlp) */
static const struct rad_hop_rec hand_hops[] = {
    {0, AM, 1}, {1, AM, 1}, /* a */
    {1, A, 2},              /* b */
    {0, AM, 2}, {1, AM, 3}, /* c */
    {2, AM, 1},             /* d */
    {0, AM, 1}, {2, AM, 1}, /* e */
    {1, AM, 1},             /* f */
    {0, AM, 1}, {1, AM, 1}, /* g */
    {1, AM, 2}, {2, AM, 1}, /* h */
    {2, M, 0},              /* i */
};
static const struct rad_trace_token hand_tokens[] = {
    {.seq = 0, .pos = 0, .hop_first = 0, .n_hop = 2},
    {.seq = 0, .pos = 1, .hop_first = 2, .n_hop = 1},
    {.seq = 0, .pos = 2, .phase = RAD_PHASE_DECODE, .hop_first = 3, .n_hop = 2},
    {.seq = 0, .pos = 3, .phase = RAD_PHASE_DECODE, .hop_first = 5, .n_hop = 1},
    {.seq = 1, .pos = 0, .hop_first = 6, .n_hop = 2},
    {.seq = 1, .pos = 1, .phase = RAD_PHASE_DECODE, .hop_first = 8, .n_hop = 1},
    {.seq = 2, .pos = 0, .phase = RAD_PHASE_DECODE, .hop_first = 9, .n_hop = 2},
    {.seq = 2, .pos = 1, .phase = RAD_PHASE_DECODE, .hop_first = 11, .n_hop = 2},
    {.seq = 2, .pos = 2, .phase = RAD_PHASE_DECODE, .hop_first = 13, .n_hop = 1},
};
enum { N_HAND_HOP = sizeof hand_hops / sizeof hand_hops[0], N_HAND = 9 };

static struct rad_trace_run hand_run(void)
{
    return (struct rad_trace_run){
        .card = made_card(), .policy = "hand", .forward_only = true, .source = "run", .nll = 2.0};
}

static struct rad_replay_input hand_input(const struct rad_trace_run *run)
{
    return (struct rad_replay_input){.run = run,
                                     .tokens = hand_tokens,
                                     .hops = hand_hops,
                                     .n_token = N_HAND,
                                     .n_hop = N_HAND_HOP};
}

/* Batch of 3: prefill {a b e}; decode {c f g}, {d h}, {i}.
 *   layer order: prefill 0:{a e} 1:{a b} 2:{e}   c f g: 0:{c g} 1:{c f g}   d h: 1:{h} 2:{d h}
 *                i: 2:{i}                                     3 + 2 + 2 + 1 = 8 groups
 *   hop by hop:  prefill 0:{a e} 1:{b} | 1:{a} 2:{e}   c f g: 0:{c g} 1:{f} | 1:{c g}
 *                d h: 1:{h} 2:{d} | 2:{h}   i: 2:{i}          4 + 3 + 3 + 1 = 11 groups */
static void batch_of_three_by_hand(void)
{
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16};
    const struct rad_plan_info layer = info_of(&in, &opt);
    CU_ASSERT_STRING_EQUAL(layer.batcher, "layer");
    CU_ASSERT_EQUAL(layer.n_batch, 1);
    CU_ASSERT_EQUAL(layer.n_prefill_step, 1);
    CU_ASSERT_EQUAL(layer.n_decode_step, 3);
    CU_ASSERT_EQUAL(layer.n_prefill_token, 3);
    CU_ASSERT_EQUAL(layer.n_decode_token, 6);
    CU_ASSERT(layer.n_group == 8 && layer.n_visit == N_HAND_HOP);
    opt.batcher = "hop";
    const struct rad_plan_info hop = info_of(&in, &opt);
    CU_ASSERT(hop.n_group == 11 && hop.n_visit == N_HAND_HOP);
}

static void metrics_of_the_hand_case(void)
{
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    const struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16};
    const struct rad_replay_result r = replay(&in, &opt);
    CU_ASSERT(r.tokens == N_HAND);
    CU_ASSERT(r.layer_loads_per_step == 8.0 / 4);
    CU_ASSERT(r.dense_layer_loads_per_step == 8);
    NEAR(r.mean_depth, (14 - 0.5 - 0.5) / 9, 1e-12); /* b ran half a layer, i another half */
    NEAR(r.depth_frac, r.mean_depth / 8, 1e-12);
    CU_ASSERT(r.nll == 2.0);
    CU_ASSERT(!r.transplanted && !r.kv_recomputed && !r.resampled && !r.complete_trace);
    /* Entries: a 2, b 1, e 2 | c 2, f 1, g 2 -> 10 | f's sequence (3) left; d 1, h 2 -> 10 | the
     * first (6) left; i none -> 4. */
    CU_ASSERT(r.kv_cache_bytes_peak == 10 * entry_bytes(RAD_BF16));
    /* Writes: 13 entries. Prefill reads once per sequence and layer: 0: a 1, e 1; 1: 2 (b sees all
     * that a does); 2: e 1. Decode: c 2 + 3, f 1, g 1 + 1, d 1, h 2 + 1. */
    CU_ASSERT(r.kv_bytes == (13 + 5 + 12) * entry_bytes(RAD_BF16));
    NEAR(r.tpot_s, r.decode_s / 3, 1e-12);
    NEAR(r.ttft_s, r.prefill_s, 1e-12);
    CU_ASSERT(r.tpot_s_p50 <= r.tpot_s_p99 && r.tpot_s_p99 <= r.decode_s);
    NEAR(r.tokens_per_s, 9 / r.latency_s, 1e-12);
    NEAR(r.j_per_token, r.energy_j / 9, 1e-12);
    NEAR(r.usd_per_mtok, r.cost_usd / 9 * 1e6, 1e-12);
}

/* Batches of 2: {0 1} and {2}; the second has no prompt, so its first step is a decode step. */
static void batches_follow_sequence_ids(void)
{
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    struct rad_replay_options opt = {.batch = 2, .dtype = RAD_BF16};
    const struct rad_plan_info two = info_of(&in, &opt);
    CU_ASSERT_EQUAL(two.n_batch, 2);
    CU_ASSERT_EQUAL(two.n_prefill_step, 1);
    CU_ASSERT_EQUAL(two.n_decode_step, 2 + 3);
    opt.batch = 1;
    const struct rad_plan_info one = info_of(&in, &opt);
    CU_ASSERT_EQUAL(one.n_step, 3 + 2 + 3);   /* 0 and 1 with a prompt step */
    CU_ASSERT(one.n_group == N_HAND_HOP - 1); /* only a and b meet, in layer 1 */
}

static void phases_move_tokens(void)
{
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16, .phase = RAD_REPLAY_PREFILL};
    const struct rad_replay_result prefill = replay(&in, &opt);
    CU_ASSERT(prefill.decode_s == 0 && isnan(prefill.tpot_s) && isnan(prefill.tpot_s_p99));
    CU_ASSERT_EQUAL(info_of(&in, &opt).n_prefill_token, N_HAND);
    opt.phase = RAD_REPLAY_DECODE;
    const struct rad_replay_result decode = replay(&in, &opt);
    CU_ASSERT(decode.prefill_s == 0 && decode.ttft_s > 0 && decode.ttft_s < decode.decode_s);
    CU_ASSERT_EQUAL(info_of(&in, &opt).n_decode_step, 4);
    CU_ASSERT(decode.weight_bytes > prefill.weight_bytes && decode.tokens == prefill.tokens);
}

/* A token that runs the MLP alone leaves its K and V to the projection. */
static void projection_covers_skipped_attention(void)
{
    static const enum rad_kv project = RAD_KV_PROJECT;
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    const struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16, .kv = &project};
    const struct rad_replay_result r = replay(&in, &opt);
    CU_ASSERT(r.kv_cache_bytes_peak == 6 * 8 * entry_bytes(RAD_BF16)); /* c f g are in, 6 tokens */
    CU_ASSERT(r.layer_loads_per_step == 8.0 / 4); /* projections load no layer */
}

/* ---- the groups of the hand case, one by one ------------------------------------------- */

/* Layers in order, batch of 3; fields as in struct rad_group. A group is partial if a token that
 * still has a layer ahead is not in it. */
static const struct hand_step {
    int64_t m, n_head;
    int n_group;
    struct rad_group group[3];
} hand_steps[] = {
    {3,
     2,
     3,
     {{2, 2, 2, 0, 2, 2, 2, true, 0, 0},
      {2, 2, 1, 0, 3, 2, 1, true, 0, 0},
      {1, 1, 1, 0, 1, 1, 1, false, 0, 0}}},                                             /* a b e */
    {3, 3, 2, {{2, 2, 2, 0, 3, 3, 2, true, 0, 0}, {3, 3, 3, 0, 5, 5, 3, false, 0, 0}}}, /* c f g */
    {2, 2, 2, {{1, 1, 1, 0, 2, 2, 1, true, 0, 0}, {2, 2, 2, 0, 2, 2, 2, false, 0, 0}}}, /* d h */
    {1, 1, 1, {{1, 0, 1, 0, 0, 0, 0, false, 0, 0}}},                                    /* i */
};
enum { N_HAND_STEP = 4 };

struct hand_sum {
    double time_s, energy_j, overhead_s, bound_s[RAD_N_BOUND];
    double flop, weight_bytes, kv_bytes, act_bytes;
};

static void add_ops(struct hand_sum *sum, const rad_hw *hw, const struct rad_op *ops, int n)
{
    for (int i = 0; i < n; i++) {
        struct rad_cost c;
        OK(rad_hw_cost(hw, &ops[i], &c, &err));
        sum->time_s += c.time_s;
        sum->bound_s[c.bound] += c.time_s;
        sum->energy_j += c.dynamic_j + c.memory_j + c.static_j;
        sum->overhead_s += ops[i].kind == RAD_OP_GATHER ? c.time_s : c.overhead_s;
        sum->flop += ops[i].flop;
        sum->weight_bytes += ops[i].weight_bytes;
        sum->kv_bytes += ops[i].kv_bytes;
        sum->act_bytes += ops[i].act_bytes;
    }
}

static void add_idle(struct hand_sum *sum, const rad_hw *hw, double seconds)
{
    sum->time_s += seconds;
    sum->overhead_s += seconds;
    sum->bound_s[RAD_BOUND_OVERHEAD] += seconds;
    sum->energy_j += seconds * rad_hw_static_w(hw);
}

/* Returns the time of the step. */
static double add_step(struct hand_sum *sum, const rad_hw *hw, const struct hand_step *step)
{
    struct rad_op ops[RAD_LOWER_MAX];
    const struct rad_card card = made_card();
    const double before_s = sum->time_s;
    add_ops(sum, hw, ops, rad_lower_embed(&card, RAD_BF16, step->m, ops));
    for (int i = 0; i < step->n_group; i++) {
        add_ops(sum, hw, ops, rad_lower_layer(&card, RAD_BF16, &step->group[i], ops));
        add_idle(sum, hw, rad_hw_layer_overhead_s(hw));
    }
    add_ops(sum, hw, ops, rad_lower_head(&card, RAD_BF16, step->n_head, ops));
    add_ops(sum, hw, ops, rad_lower_sample(&card, RAD_BF16, step->n_head, ops));
    add_idle(sum, hw, rad_hw_step_overhead_s(hw));
    return sum->time_s - before_s;
}

static void groups_of_the_hand_case(void)
{
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = hand_input(&run);
    const struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16};
    const struct rad_replay_result r = replay(&in, &opt);
    struct hand_sum sum = {0};
    double step_s[N_HAND_STEP];
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, WORDS_MACHINE, &err));
    for (int i = 0; i < N_HAND_STEP; i++)
        step_s[i] = add_step(&sum, hw, &hand_steps[i]);
    rad_hw_close(hw);
    NEAR(r.latency_s, sum.time_s, 1e-12);
    NEAR(r.energy_j, sum.energy_j, 1e-12);
    NEAR(r.overhead_s, sum.overhead_s, 1e-12);
    CU_ASSERT(r.flop == sum.flop && r.weight_bytes == sum.weight_bytes);
    CU_ASSERT(r.kv_bytes == sum.kv_bytes && r.act_bytes == sum.act_bytes);
    for (int i = 0; i < RAD_N_BOUND; i++)
        CU_ASSERT(sum.bound_s[r.bound_kind] >= sum.bound_s[i]);
    NEAR(r.prefill_s, step_s[0], 1e-12);
    rad_sort_doubles(step_s + 1, 3);
    NEAR(r.tpot_s_p50, step_s[2], 1e-12);
    NEAR(r.tpot_s_p99, step_s[2] + 0.98 * (step_s[3] - step_s[2]), 1e-12); /* at 0.99 * 2 */
}

/* Two groups that differ in nothing but how often a key is read: a sequence's queries see 2 and 2
 * keys in layer 0, 1 and 3 in layer 1. */
static void equal_sums_of_keys_are_not_equal_reads(void)
{
    static const struct rad_hop_rec hops[] = {{0, AM, 2}, {1, AM, 1}, {0, AM, 2}, {1, AM, 3}};
    static const struct rad_trace_token tokens[] = {
        {.seq = 0, .pos = 0, .hop_first = 0, .n_hop = 2},
        {.seq = 0, .pos = 1, .hop_first = 2, .n_hop = 2},
    };
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = {
        .run = &run, .tokens = tokens, .hops = hops, .n_token = 2, .n_hop = 4};
    const struct rad_replay_options opt = {.batch = 1, .dtype = RAD_BF16};
    CU_ASSERT(replay(&in, &opt).kv_bytes == (2 + 3 + 4) * entry_bytes(RAD_BF16));
}

/* Tokens that leave at once: no layer is loaded, embedding and head are paid; the dense program
 * has more shapes than the routed one. */
static void tokens_without_layers(void)
{
    static const struct rad_trace_token tokens[] = {
        {.seq = 0, .pos = 0, .phase = RAD_PHASE_DECODE},
        {.seq = 0, .pos = 1, .phase = RAD_PHASE_DECODE},
        {.seq = 0, .pos = 2, .phase = RAD_PHASE_DECODE},
        {.seq = 0, .pos = 3, .phase = RAD_PHASE_DECODE},
    };
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_input in = {.run = &run, .tokens = tokens, .n_token = 4};
    const struct rad_replay_options opt = {.batch = 1, .dtype = RAD_BF16};
    const struct rad_replay_result r = replay(&in, &opt);
    CU_ASSERT(r.mean_depth == 0 && r.layer_loads_per_step == 0 && r.kv_cache_bytes_peak == 0);
    CU_ASSERT(r.layer_weight_bytes_frac == 0 && r.weight_bytes_frac > 0 && r.speedup > 1);
    CU_ASSERT(info_of(&in, &opt).n_shape == 2);
}

/* A projection stands before the visit that runs the MLP alone, in the same layer: one group. */
static void projection_and_mlp_share_a_layer(void)
{
    static const struct rad_hop_rec hops[] = {{0, RAD_HOP_PROJECT, 0}, {0, M, 0}, {1, AM, 1}};
    static const struct rad_trace_token tokens[] = {
        {.seq = 0, .pos = 0, .phase = RAD_PHASE_DECODE, .n_hop = 3}};
    struct rad_trace_run run = hand_run();
    run.kv = RAD_KV_PROJECT;
    const struct rad_replay_input in = {
        .run = &run, .tokens = tokens, .hops = hops, .n_token = 1, .n_hop = 3};
    struct rad_replay_options opt = {.batch = 1, .dtype = RAD_BF16};
    CU_ASSERT(info_of(&in, &opt).n_group == 2);
    opt.batcher = "hop";
    CU_ASSERT(info_of(&in, &opt).n_group == 2);
    CU_ASSERT(replay(&in, &opt).kv_cache_bytes_peak == 2 * entry_bytes(RAD_BF16));
}

/* ---- broken input ---------------------------------------------------------------------- */

/* Copies of the hand case with one thing wrong each. */
static void broken_routing_is_refused(void)
{
    static const enum rad_kv hole = RAD_KV_HOLE;
    const struct rad_trace_run run = hand_run();
    const struct rad_replay_options opt = {.batch = 1, .dtype = RAD_BF16};
    const struct rad_replay_options recount = {.batch = 1, .dtype = RAD_BF16, .kv = &hole};
    struct rad_trace_token tokens[N_HAND];
    struct rad_hop_rec hops[N_HAND_HOP];
    struct rad_replay_input in = hand_input(&run);
    in.n_token = 0;
    check_refused(&in, &opt, RAD_E_ARG, "trace: expected at least one token but found none");
    in = hand_input(&run);
    in.tokens = tokens;
    in.hops = hops;
#define BREAK(change, options, message)                                                            \
    do {                                                                                           \
        memcpy(tokens, hand_tokens, sizeof tokens);                                                \
        memcpy(hops, hand_hops, sizeof hops);                                                      \
        change;                                                                                    \
        check_refused(&in, options, RAD_E_ARG, message);                                           \
    } while (0)
    BREAK(tokens[3].seq = 7, &opt,
          "trace: token 4 has tokens that are not sorted by sequence and position");
    BREAK(tokens[1].pos = 0, &opt,
          "trace: token 1 has tokens that are not sorted by sequence and position");
    BREAK(tokens[0].pos = -1, &opt, "trace: token 0 has a negative position");
    BREAK(tokens[0].phase = RAD_PHASE_DECODE, &opt,
          "trace: token 1 has a prompt token behind a generated one");
    BREAK(tokens[8].n_hop = TWO, &opt, "trace: token 8 has records outside the array");
    BREAK(tokens[8].hop_first = -1, &opt, "trace: token 8 has records outside the array");
    BREAK(hops[5].layer = 8, &opt, "trace: token 3 has a layer that the card does not have");
    BREAK(hops[1].layer = 0, &opt,
          "trace: token 0 has a path that goes back in a forward-only run");
    BREAK(tokens[3].pos = 4, &recount,
          "kv: sequence 0 has no token at position 3, so that its keys cannot be counted again; "
          "replay it as recorded");
#undef BREAK
}

CU_TestInfo replay_hand_tests[] = {
    {"batch of three by hand", batch_of_three_by_hand},
    {"metrics of the hand case", metrics_of_the_hand_case},
    {"batches follow sequence ids", batches_follow_sequence_ids},
    {"phases move tokens", phases_move_tokens},
    {"projection covers skipped attention", projection_covers_skipped_attention},
    {"broken routing is refused", broken_routing_is_refused},
    {"groups of the hand case", groups_of_the_hand_case},
    {"equal sums of keys are not equal reads", equal_sums_of_keys_are_not_equal_reads},
    {"tokens without layers", tokens_without_layers},
    {"projection and mlp share a layer", projection_and_mlp_share_a_layer},
    CU_TEST_INFO_NULL,
};
