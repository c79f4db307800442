/* test_laws_parallel.c - replay over several devices: what is sent, and what that leaves. */
#include "refuse.h"
#include "replay_make.h"

enum { SEQS = 4, PROMPT = 6, NEW = 5, STEPS = 1 + NEW, LAYERS = 8 };

/* A card whose parts divide. */
static struct rad_card card_of(void)
{
    struct rad_card c = made_card();
    c.d_model = c.n_head * c.d_head * 16;
    c.n_head = 64;
    c.n_kv = 8;
    c.ffn = 4096;
    c.vocab = 32000;
    c.router_hidden = 0;
    c.max_hops = c.n_layer;
    return c;
}

static struct rad_replay_result replayed(made_path path, double keep, const char *hw_name,
                                         int32_t tp, int32_t pp)
{
    const struct made_shape shape = {SEQS, PROMPT, NEW, true, false};
    const struct rad_replay_options opt = {.batch = SEQS, .dtype = RAD_F16, .tp = tp, .pp = pp};
    const struct rad_card card = card_of();
    struct made_draw draw = {.seed = 3, .keep = keep, .n_layer = LAYERS};
    struct rad_replay_result r;
    struct made m;
    rad_plan *plan = NULL;
    rad_hw *hw = NULL;
    made_open(&m, &card, &shape, path, &draw);
    OK(rad_hw_open(&hw, hw_name, &err));
    OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    rad_plan_free(plan);
    rad_hw_close(hw);
    made_close(&m);
    return r;
}

static double transfer_s(const rad_hw *hw, const char *kind, double bytes, double ranks)
{
    struct rad_prediction p;
    OK(rad_hw_predict_link(hw, &(struct rad_link){kind, bytes, ranks}, NULL, &p, &err));
    return p.cost.time_s;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

/* Two all-reduces a layer, one of the table's rows, and logits gathered where a token is drawn. */
static void transfers_are_those_of_the_layers(void)
{
    const struct rad_replay_result r = replayed(made_dense, 1, "h100-sxm-80gb", 4, 1);
    const double row = card_of().d_model * 2.0, logits = card_of().vocab * 2.0;
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, "h100-sxm-80gb", &err));
    double want = 0.0;
    for (int step = 0; step < STEPS; step++) {
        const double rows = step == 0 ? SEQS * PROMPT : SEQS;
        want += (2 * LAYERS + 1) * transfer_s(hw, "allreduce", rows * row, 4) +
                transfer_s(hw, "allgather", SEQS * logits, 4);
    }
    CU_ASSERT(near(r.link_s, want));
    rad_hw_close(hw);
}

/* A device does a quarter of the products; all four together what one did, and more (norms). */
static void work_is_shared_out(void)
{
    const struct rad_replay_result one = replayed(made_dense, 1, "h100-sxm-80gb", 1, 1);
    const struct rad_replay_result none = replayed(made_dense, 1, "h100-sxm-80gb", 0, 0);
    const struct rad_replay_result four = replayed(made_dense, 1, "h100-sxm-80gb", 4, 1);
    CU_ASSERT_EQUAL(memcmp(&one, &none, sizeof one), 0);
    CU_ASSERT(one.link_s <= 0.0);
    CU_ASSERT(four.flop >= one.flop && four.flop < 1.05 * one.flop);
    CU_ASSERT(four.weight_bytes >= one.weight_bytes && four.weight_bytes < 1.01 * one.weight_bytes);
    CU_ASSERT(near(four.kv_cache_bytes_peak, one.kv_cache_bytes_peak));
    CU_ASSERT(four.latency_s - four.link_s < one.latency_s);
    CU_ASSERT(near(four.cost_usd / four.latency_s, 4.0 * one.cost_usd / one.latency_s));
    CU_ASSERT(four.static_j > 3.9 * one.static_j * four.latency_s / one.latency_s);
}

/* More devices than KV heads: heads are copied, so that the cache grows. */
static void kv_heads_are_copied(void)
{
    const struct rad_replay_result one = replayed(made_dense, 1, "h100-sxm-80gb", 1, 1);
    const struct rad_replay_result many = replayed(made_dense, 1, "h100-sxm-80gb", 16, 1);
    CU_ASSERT(near(many.kv_cache_bytes_peak, 2.0 * one.kv_cache_bytes_peak));
}

/* A group that does not run is not reduced. */
static void skipped_layers_are_not_reduced(void)
{
    const struct rad_replay_result all = replayed(made_skip, 1, "h100-sxm-80gb", 4, 1);
    const struct rad_replay_result none = replayed(made_skip, 0, "h100-sxm-80gb", 4, 1);
    CU_ASSERT(none.link_s > 0.0 && none.link_s < 0.2 * all.link_s);
}

/* Stages change nothing but what they send, what waits, and the price. */
static void stages_send_their_rows(void)
{
    const struct rad_replay_result one = replayed(made_dense, 1, "h100-sxm-80gb", 1, 1);
    const struct rad_replay_result four = replayed(made_dense, 1, "h100-sxm-80gb", 1, 4);
    const double row = card_of().d_model * 2.0;
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, "h100-sxm-80gb", &err));
    const double want = 3 * transfer_s(hw, "sendrecv", SEQS * PROMPT * row, 2) +
                        3 * NEW * transfer_s(hw, "sendrecv", SEQS * row, 2);
    CU_ASSERT(near(four.link_s, want));
    CU_ASSERT(near(four.latency_s, one.latency_s + want));
    CU_ASSERT(near(four.dynamic_j, one.dynamic_j) && four.static_j > 4.0 * one.static_j);
    CU_ASSERT(near(four.cost_usd / four.latency_s, 4.0 * one.cost_usd / one.latency_s));
    rad_hw_close(hw);
}

static void refuse_plan(const struct rad_replay_options *opt, bool forward_only, const char *text)
{
    const struct made_shape shape = {SEQS, 0, 2, forward_only, false};
    const struct rad_card card = card_of();
    struct made_draw draw = {.seed = 3, .keep = 1, .hops = 4, .n_layer = LAYERS};
    struct made m;
    rad_plan *plan = NULL;
    made_open(&m, &card, &shape, forward_only ? made_dense : made_wander, &draw);
    REFUSES(rad_plan_build_from(&plan, &m.in, opt, &err), RAD_E_ARG, text);
    made_close(&m);
}

static void what_does_not_divide_is_refused(void)
{
    refuse_plan(&(struct rad_replay_options){.batch = 1, .tp = 3}, true, "divides 64 heads");
    refuse_plan(&(struct rad_replay_options){.batch = 1, .tp = 128}, true, "divides 64 heads");
    refuse_plan(&(struct rad_replay_options){.batch = 1, .pp = 9}, true, "at most 8 layers");
    refuse_plan(&(struct rad_replay_options){.batch = 1, .pp = 2}, false, "layer order");
}

/* A machine that knows no links says so. */
static void machines_without_links_are_refused(void)
{
    const struct made_shape shape = {SEQS, 0, 2, true, false};
    const struct rad_replay_options opt = {.batch = SEQS, .dtype = RAD_F32, .tp = 2};
    const struct rad_card card = card_of();
    struct made_draw draw = {.n_layer = LAYERS};
    struct rad_replay_result r;
    struct made m;
    rad_plan *plan = NULL;
    rad_hw *hw = NULL;
    made_open(&m, &card, &shape, made_dense, &draw);
    OK(rad_hw_open(&hw, "xeon-8480", &err));
    OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
    REFUSES(rad_replay_cost(plan, hw, &r, &err), RAD_E_UNSUPPORTED, "xeon-8480");
    rad_plan_free(plan);
    rad_hw_close(hw);
    made_close(&m);
}

CU_TestInfo laws_parallel_tests[] = {
    {"transfers are those of the layers", transfers_are_those_of_the_layers},
    {"work is shared out", work_is_shared_out},
    {"KV heads are copied", kv_heads_are_copied},
    {"skipped layers are not reduced", skipped_layers_are_not_reduced},
    {"stages send their rows", stages_send_their_rows},
    {"what does not divide is refused", what_does_not_divide_is_refused},
    {"machines without links are refused", machines_without_links_are_refused},
    CU_TEST_INFO_NULL,
};
