/* test_replay_paths.c - paths counted again, put on other cards, and read from files. */
#include "replay_words.h"
#include "test.h"

#include <string.h>

/* ---- KV semantics ---------------------------------------------------------------------- */

/* Counting again what was recorded by the rule changes nothing: forward and in any order. Other
 * counts are replaced, and the result says so. */
static void recounting_gives_what_the_rule_gave(void)
{
    static const enum rad_kv hole = RAD_KV_HOLE;
    for (int order = 0; order < 2; order++) {
        struct made m;
        if (order == 0)
            open_skips(&m, true);
        else
            open_wander(&m);
        const struct rad_replay_options as_recorded = {.batch = 2, .dtype = RAD_BF16};
        const struct rad_replay_options again = {.batch = 2, .dtype = RAD_BF16, .kv = &hole};
        struct rad_replay_result recorded = replay(&m.in, &as_recorded);
        struct rad_replay_result counted = replay(&m.in, &again);
        CU_ASSERT(!counted.kv_recomputed && memcmp(&recorded, &counted, sizeof counted) == 0);
        m.hops[m.in.n_hop - 1].n_keys = 1;
        CU_ASSERT(replay(&m.in, &as_recorded).kv_bytes < recorded.kv_bytes);
        counted = replay(&m.in, &again);
        recorded.kv_recomputed = true;
        CU_ASSERT(memcmp(&recorded, &counted, sizeof counted) == 0);
        made_close(&m);
    }
}

/* A layer's cache holds one entry per token, however often the token comes back. */
static void returning_tokens_keep_one_entry(void)
{
    const struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16};
    double entries = 0;
    struct made m;
    open_wander(&m);
    for (int64_t i = 0; i < m.in.n_token; i++) {
        unsigned layers = 0;
        for (int32_t h = 0; h < m.tokens[i].n_hop; h++)
            layers |= 1u << m.hops[m.tokens[i].hop_first + h].layer;
        entries += __builtin_popcount(layers);
    }
    CU_ASSERT(entries < (double)m.in.n_hop);
    CU_ASSERT(replay(&m.in, &opt).kv_cache_bytes_peak == entries * entry_bytes(RAD_BF16));
    made_close(&m);
}

/* Sum over visits of the keys that a semantics lets them see. */
static double count_keys(const struct made *m, enum rad_kv kv)
{
    double keys = 0;
    for (int64_t i = 0; i < m->in.n_token; i++) {
        const struct rad_trace_token *t = &m->tokens[i];
        for (int32_t h = 0; h < t->n_hop; h++) {
            keys += kv == RAD_KV_PROJECT ? t->pos + 1 : 1;
            for (int64_t j = i - t->pos; j < i && kv == RAD_KV_COPY; j++)
                keys += m->tokens[j].n_hop > 0 &&
                        m->hops[m->tokens[j].hop_first].layer <= m->hops[t->hop_first + h].layer;
        }
    }
    return keys;
}

/* In decode every key is read: bytes follow from counts. */
static void project_and_copy_fill_the_cache(void)
{
    static const enum rad_kv project = RAD_KV_PROJECT, copy = RAD_KV_COPY;
    struct made m;
    open_skips(&m, false);
    struct rad_replay_options opt = {
        .batch = 2, .dtype = RAD_BF16, .phase = RAD_REPLAY_DECODE, .kv = &project};
    const double bytes = entry_bytes(RAD_BF16), n_token = (double)m.in.n_token;
    const double n_hop = (double)m.in.n_hop;
    const struct rad_replay_result p = replay(&m.in, &opt);
    NEAR(p.kv_bytes, (count_keys(&m, project) + n_token * 8) * bytes, 1e-12);
    CU_ASSERT(p.kv_recomputed && p.kv_cache_bytes_peak == 2 * 11 * 8 * bytes);
    NEAR(p.mean_depth, n_hop / n_token, 1e-12); /* a projection is no visit */
    CU_ASSERT(info_of(&m.in, &opt).group_tokens == n_hop);
    opt.kv = &copy;
    const struct rad_replay_result c = replay(&m.in, &opt);
    NEAR(c.kv_bytes, (count_keys(&m, copy) + n_hop) * bytes, 1e-12);
    CU_ASSERT(c.flop < p.flop && c.kv_cache_bytes_peak < p.kv_cache_bytes_peak);
    made_close(&m);
}

/* ---- other cards ----------------------------------------------------------------------- */

static void twice_the_layers_keep_depth(void)
{
    const struct rad_card card = deeper_card(16);
    struct made m;
    open_wander(&m);
    struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16};
    const struct rad_replay_result small = replay(&m.in, &opt);
    opt.card = &card;
    const struct rad_replay_result big = replay(&m.in, &opt);
    CU_ASSERT(big.transplanted && !small.transplanted && isnan(big.nll) && small.nll == 1.5);
    CU_ASSERT(big.depth_frac == small.depth_frac && big.mean_depth == 2 * small.mean_depth);
    CU_ASSERT(big.layer_loads_per_step == 2 * small.layer_loads_per_step);
    CU_ASSERT(big.layer_weight_bytes_frac == small.layer_weight_bytes_frac);
    CU_ASSERT_EQUAL(info_of(&m.in, &opt).card.router_hidden, 32);
    made_close(&m);
}

/* The same shape under another name is no transplant. */
static void same_shape_keeps_quality(void)
{
    struct rad_card card = made_card();
    struct made m;
    strcpy(card.name, "renamed");
    open_skips(&m, false);
    const struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16, .card = &card};
    const struct rad_replay_result r = replay(&m.in, &opt);
    CU_ASSERT(!r.transplanted && r.nll == 1.5);
    made_close(&m);
}

/* ---- traces in files ------------------------------------------------------------------- */

static rad_trace *store(const struct made *m, const char *path)
{
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    OK(rad_trace_create(&w, path, &m->run, &err));
    for (int64_t i = 0; i < m->in.n_token; i++)
        OK(rad_trace_put(w, &m->tokens[i], m->hops + m->tokens[i].hop_first, NULL, &err));
    OK(rad_trace_finish(w, 1.5, m->run.forward_only, &err));
    OK(rad_trace_open(&t, path, &err));
    return t;
}

static struct rad_replay_result replay_trace(const rad_trace *t,
                                             const struct rad_replay_options *opt)
{
    struct rad_replay_result r;
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, WORDS_MACHINE, &err));
    OK(rad_replay(t, hw, opt, &r, &err));
    rad_hw_close(hw);
    return r;
}

static void file_and_memory_agree(void)
{
    const struct rad_replay_options opt = {.batch = 3, .dtype = RAD_BF16};
    struct made m;
    open_wander(&m);
    rad_trace *t = store(&m, "build/tmp/replay.db");
    const struct rad_replay_result file = replay_trace(t, &opt), memory = replay(&m.in, &opt);
    CU_ASSERT(memcmp(&file, &memory, sizeof file) == 0);
    CU_ASSERT(file.complete_trace);
    rad_trace_close(t);
    made_close(&m);
}

static void check_close(const struct rad_replay_result *a, const struct rad_replay_result *b)
{
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    for (size_t i = 0; i < n; i++) {
        double x = 0, y = 0;
        memcpy(&x, (const char *)a + metrics[i].offset, sizeof x);
        memcpy(&y, (const char *)b + metrics[i].offset, sizeof y);
        CU_ASSERT((isnan(x) && isnan(y)) || fabs(x - y) <= 1e-12 * fabs(y));
    }
}

/* --card is `trace transplant` followed by a replay, also where layers do not divide. */
static void card_equals_transplanted_trace(void)
{
    static const int32_t n_layer[] = {8, 11, 16, 21};
    for (int order = 0; order < 2; order++) {
        struct made m;
        if (order == 0)
            open_skips(&m, true);
        else
            open_wander(&m);
        rad_trace *t = store(&m, "build/tmp/replay.db");
        for (size_t i = 0; i < sizeof n_layer / sizeof n_layer[0]; i++) {
            const struct rad_card card = deeper_card(n_layer[i]);
            struct rad_replay_options opt = {.batch = 2, .dtype = RAD_BF16};
            rad_trace *big = NULL;
            OK(rad_trace_transplanted(&big, t, &card, &err));
            const struct rad_replay_result expected = replay_trace(big, &opt);
            opt.card = &card;
            const struct rad_replay_result r = replay_trace(t, &opt);
            CU_ASSERT(r.transplanted && expected.transplanted);
            if (order == 0 || n_layer[i] % 8 == 0)
                check_close(&r, &expected);
            rad_plan *plan = NULL;
            OK(rad_plan_build(&plan, t, &opt, &err));
            const struct rad_card *routed = &rad_plan_info(plan)->card;
            CU_ASSERT_EQUAL(routed->router_hidden, rad_trace_run(big)->card.router_hidden);
            CU_ASSERT_EQUAL(routed->max_hops, rad_trace_run(big)->card.max_hops);
            rad_plan_free(plan);
            rad_trace_close(big);
        }
        rad_trace_close(t);
        made_close(&m);
    }
}

/* A router grows with the card, but only one that ran, and only where there is none. */
static void routers_go_with_routed_runs(void)
{
    struct rad_trace_run run = {.card = deeper_card(8), .has_router = true};
    struct rad_card to = deeper_card(11);
    run.card.router_hidden = 7;
    run.card.max_hops = 9;
    to.d_model = 3 * run.card.d_model / 2;
    struct rad_card routed = rad_trace_routed_card(&run, &to);
    CU_ASSERT(routed.router_hidden == 11 && routed.max_hops == 13);
    run.has_router = false;
    routed = rad_trace_routed_card(&run, &to);
    CU_ASSERT(routed.router_hidden == to.router_hidden && routed.max_hops == to.max_hops);
    run.has_router = true;
    to.router_hidden = 5;
    routed = rad_trace_routed_card(&run, &to);
    CU_ASSERT(routed.router_hidden == 5 && routed.max_hops == to.max_hops);
}

/* Shape-only traces have no quality, and recounting under their own semantics changes nothing. */
static void shape_only_traces_have_no_nll(void)
{
    static const enum rad_kv kvs[] = {RAD_KV_HOLE, RAD_KV_PROJECT, RAD_KV_COPY};
    const struct rad_card card = made_card();
    for (int i = 0; i < 3; i++) {
        const struct rad_trace_synth_options synth = {.card = &card,
                                                      .policy = "skip:frac=0.5,seed=3",
                                                      .prompt = 6,
                                                      .n_new = 7,
                                                      .n_seq = 4,
                                                      .kv = kvs[i]};
        struct rad_replay_options opt = {.batch = 4, .dtype = RAD_BF16};
        rad_trace *t = NULL;
        OK(rad_trace_synth(&synth, "build/tmp/replay.db", &err));
        OK(rad_trace_open(&t, "build/tmp/replay.db", &err));
        const struct rad_replay_result recorded = replay_trace(t, &opt);
        opt.kv = &kvs[i];
        const struct rad_replay_result counted = replay_trace(t, &opt);
        CU_ASSERT(isnan(recorded.nll) && isnan(counted.nll) && !recorded.transplanted);
        check_close(&counted, &recorded);
        rad_trace_close(t);
    }
}

/* ---- images ---------------------------------------------------------------------------- */

/* Two images of 9 patches and a class token; each token sees those that visit its layer. */
static void open_images(struct made *m, double keep)
{
    const struct made_shape shape = {.n_seq = 2, .n_prefill = 10, .forward_only = true};
    struct made_draw draw = {.seed = 5, .keep = keep, .n_layer = 8};
    struct rad_card card = made_card();
    card.router_hidden = 0, card.max_hops = 8;
    card.norm = RAD_NORM_LAYER, card.act = RAD_ACT_GELU, card.patch = 2;
    card.n_ctx = card.learned_positions = 10;
    made_open(m, &card, &shape, made_skip, &draw);
    for (int64_t i = 0; i < m->in.n_hop; i++)
        m->hops[i].n_keys = 0;
    for (int64_t i = 0; i < m->in.n_token; i++)
        for (int64_t j = i / 10 * 10; j < i / 10 * 10 + 10; j++)
            for (int32_t h = 0; h < m->tokens[i].n_hop; h++)
                for (int32_t k = 0; k < m->tokens[j].n_hop; k++)
                    m->hops[m->tokens[i].hop_first + h].n_keys +=
                        m->hops[m->tokens[i].hop_first + h].layer ==
                        m->hops[m->tokens[j].hop_first + k].layer;
}

/* Nothing is causal in an image: the dense counterpart is as wide as a dense run. */
static void dense_counterpart_of_images_sees_all(void)
{
    const struct rad_replay_options opt = {.batch = 2, .dtype = RAD_BF16};
    struct made all, some;
    open_images(&all, 1.1);
    open_images(&some, 0.5);
    const struct rad_replay_result dense = replay(&all.in, &opt), r = replay(&some.in, &opt);
    CU_ASSERT(dense.flop_frac == 1 && dense.speedup == 1);
    CU_ASSERT(r.flop_frac < 1 && r.dense_latency_s == dense.latency_s);
    made_close(&all);
    made_close(&some);
}

static void keys_of_images_are_checked_both_ways(void)
{
    static const enum rad_kv hole = RAD_KV_HOLE;
    const struct rad_replay_options opt = {.batch = 2, .dtype = RAD_BF16, .kv = &hole};
    int64_t differ = -1;
    struct made m;
    open_images(&m, 0.5);
    for (int64_t wrong = 0; wrong < 2; wrong++) {
        m.hops[3].n_keys -= wrong != 0;
        rad_trace *t = store(&m, "build/tmp/replay.db");
        OK(rad_trace_keys_differ(t, &differ, &err));
        CU_ASSERT_EQUAL(differ, wrong);
        rad_trace_close(t);
    }
    check_refused(&m.in, &opt, RAD_E_ARG,
                  "kv: the tokens of an image see one another in both directions, so that their "
                  "keys cannot be counted again; replay it as recorded");
    made_close(&m);
}

CU_TestInfo replay_paths_tests[] = {
    {"recounting gives what the rule gave", recounting_gives_what_the_rule_gave},
    {"returning tokens keep one entry", returning_tokens_keep_one_entry},
    {"project and copy fill the cache", project_and_copy_fill_the_cache},
    {"twice the layers keep depth", twice_the_layers_keep_depth},
    {"same shape keeps quality", same_shape_keeps_quality},
    {"file and memory agree", file_and_memory_agree},
    {"card equals transplanted trace", card_equals_transplanted_trace},
    {"routers go with routed runs", routers_go_with_routed_runs},
    {"shape-only traces have no nll", shape_only_traces_have_no_nll},
    {"dense counterpart of images sees all", dense_counterpart_of_images_sees_all},
    {"keys of images are checked both ways", keys_of_images_are_checked_both_ways},
    CU_TEST_INFO_NULL,
};
