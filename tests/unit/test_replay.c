/* test_replay.c - the router, drawn batches, refusals, names. */
#include "replay_words.h"
#include "test.h"

#include <string.h>

/* ---- the router ------------------------------------------------------------------------ */

static double router_flop(int64_t m)
{
    struct rad_op ops[RAD_LOWER_MAX];
    const struct rad_card card = made_card();
    const int n = rad_lower_router(&card, RAD_BF16, m, ops);
    double flop = 0;
    for (int i = 0; i < n; i++)
        flop += ops[i].flop;
    return flop;
}

/* A token decides once before its first layer and once after each; a router's weights are streamed
 * once per stage, so that sharing shows in bytes and not in FLOP. */
static void router_decides_after_every_visit(void)
{
    struct made with, without;
    open_skips(&with, true);
    open_skips(&without, false);
    const struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16};
    const struct rad_replay_result r = replay(&with.in, &opt), plain = replay(&without.in, &opt);
    const double decisions = (double)(with.in.n_hop + with.in.n_token);
    NEAR(r.flop - plain.flop, decisions * router_flop(1), 1e-9);
    CU_ASSERT(r.router_s > 0 && plain.router_s == 0);
    CU_ASSERT(r.latency_s > plain.latency_s);
    CU_ASSERT(r.layer_weight_bytes_frac == plain.layer_weight_bytes_frac);
    CU_ASSERT(r.weight_bytes > plain.weight_bytes);
    CU_ASSERT(r.dense_latency_s == plain.dense_latency_s);
    made_close(&with);
    made_close(&without);
}

/* ---- batches larger than the trace ----------------------------------------------------- */

static void resampling_fills_the_last_batch(void)
{
    struct made m;
    open_skips(&m, false);
    struct rad_replay_options opt = {.batch = 6, .dtype = RAD_BF16, .resample = true, .seed = 1};
    CU_ASSERT_EQUAL(info_of(&m.in, &opt).n_seq, 6);
    const struct rad_replay_result one = replay(&m.in, &opt), again = replay(&m.in, &opt);
    CU_ASSERT(one.resampled && one.tokens == 6 * 11);
    CU_ASSERT(memcmp(&one, &again, sizeof one) == 0);
    bool differs = false;
    for (opt.seed = 2; opt.seed < 12; opt.seed++)
        differs = differs || replay(&m.in, &opt).flop != one.flop;
    CU_ASSERT(differs);
    opt.batch = 3;
    CU_ASSERT_EQUAL(info_of(&m.in, &opt).n_seq, 6);
    opt.batch = 4; /* nothing to fill: as without resampling */
    CU_ASSERT(!replay(&m.in, &opt).resampled);
    made_close(&m);
}

/* ---- refusals -------------------------------------------------------------------------- */

static void options_are_refused_with_the_reason(void)
{
    static const enum rad_kv project = RAD_KV_PROJECT, copy = RAD_KV_COPY;
    const struct rad_card small = deeper_card(7);
    struct made m;
    open_wander(&m);
    const struct {
        struct rad_replay_options opt;
        const char *message;
    } rows[] = {
        {{.batch = 5},
         "batch: expected at most the 4 distinct sequences of the trace but found 5; ask for draws "
         "with repetition (--resample) or a smaller batch"},
        {{.batch = 0}, "batch: expected 1 to 65536 sequences but found 0"},
        {{.batch = 1, .batcher = "layer"},
         "batcher: 'layer' runs layers in order, but the paths of this trace go back or repeat "
         "layers; use 'hop' or 'auto'"},
        {{.batch = 1, .batcher = "lyaer"}, "batcher: unknown name 'lyaer'; did you mean 'layer'"},
        {{.batch = 1, .batcher = "?"},
         "batcher: expected auto, layer, hop or grouped but found '?'"},
        {{.batch = 1, .kv = &project},
         "kv: 'project' needs layers in forward order, but the paths of this trace go back or "
         "repeat layers; use 'hole'"},
        {{.batch = 1, .kv = &copy},
         "kv: 'copy' needs layers in forward order, but the paths of this trace go back or repeat "
         "layers; use 'hole'"},
        {{.batch = 1, .card = &small},
         "card 'deeper': expected at least the 8 layers of the trace but found 7; choose a larger "
         "card"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_refused(&m.in, &rows[i].opt, RAD_E_ARG, rows[i].message);
    made_close(&m);
}

static void machines_refuse_formats_they_lack(void)
{
    struct rad_replay_result r;
    rad_hw *hw = NULL;
    struct made m;
    open_skips(&m, false);
    OK(rad_hw_open(&hw, WORDS_MACHINE, &err));
    CU_ASSERT_FATAL(!rad_hw_supports(hw, RAD_FP8)); /* the A100 has none */
    const struct rad_replay_options opt = {.batch = 1, .dtype = RAD_FP8};
    rad_plan *plan = plan_of(&m.in, &opt);
    CU_ASSERT_EQUAL(rad_replay_cost(plan, hw, &r, &err), RAD_E_UNSUPPORTED);
    CU_ASSERT(strlen(err.msg) > 0);
    rad_plan_free(plan);
    rad_hw_close(hw);
    made_close(&m);
}

/* ---- names ----------------------------------------------------------------------------- */

static void names_are_well_formed(void)
{
    enum rad_replay_phase phase = RAD_REPLAY_RECORDED;
    OK(rad_replay_phase_parse("decode", &phase, &err));
    CU_ASSERT_EQUAL(phase, RAD_REPLAY_DECODE);
    CU_ASSERT_STRING_EQUAL(rad_replay_phase_name(phase), "decode");
    CU_ASSERT_EQUAL(rad_replay_phase_parse("both", &phase, &err), RAD_E_ARG);
    CU_ASSERT_STRING_EQUAL(err.msg, "phase: expected recorded, prefill or decode but found 'both'");
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    CU_ASSERT_EQUAL(n, 41);
    CU_ASSERT_EQUAL(metrics[1].offset, offsetof(struct rad_replay_result, latency_s));
    for (size_t i = 0; i < n; i++)
        CU_ASSERT(strlen(metrics[i].doc) > 0);
    const struct rad_batcher *const *batchers = rad_batchers(&n);
    CU_ASSERT_EQUAL(n, 3);
    for (size_t i = 0; i < n; i++)
        CU_ASSERT(batchers[i]->per_hop + batchers[i]->per_layer > 0 &&
                  batchers[i]->n_stage != NULL && strlen(batchers[i]->summary) > 0);
    rad_plan_free(NULL);
}

CU_TestInfo replay_tests[] = {
    {"router decides after every visit", router_decides_after_every_visit},
    {"resampling fills the last batch", resampling_fills_the_last_batch},
    {"options are refused with the reason", options_are_refused_with_the_reason},
    {"machines refuse formats they lack", machines_refuse_formats_they_lack},
    {"names are well formed", names_are_well_formed},
    CU_TEST_INFO_NULL,
};
