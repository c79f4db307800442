/* test_laws_memory.c - what a device holds, and weights narrower than the arithmetic. */
#include "refuse.h"
#include "replay_make.h"

enum { SEQS = 4, PROMPT = 6, NEW = 5, LAYERS = 8, TOKENS = PROMPT + NEW };

static struct rad_card card_of(bool tied)
{
    struct rad_card c = made_card();
    c.d_model = 8192;
    c.n_head = 128;
    c.n_kv = 8;
    c.d_head = 64;
    c.ffn = 28672;
    c.vocab = 32000;
    c.tied = tied;
    c.router_hidden = 0;
    c.max_hops = c.n_layer;
    return c;
}

static struct rad_replay_result replayed(const char *hw_name, bool tied,
                                         const struct rad_replay_options *opt)
{
    const struct made_shape shape = {SEQS, PROMPT, NEW, true, false};
    const struct rad_card card = card_of(tied);
    struct made_draw draw = {.seed = 3, .keep = 1, .n_layer = LAYERS};
    struct rad_replay_result r;
    struct made m;
    rad_plan *plan = NULL;
    rad_hw *hw = NULL;
    made_open(&m, &card, &shape, made_dense, &draw);
    OK(rad_hw_open(&hw, hw_name, &err));
    OK(rad_plan_build_from(&plan, &m.in, opt, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    NEAR(r.device_memory_frac * rad_hw_memory_bytes(hw), r.device_bytes_peak, 1e-12);
    rad_plan_free(plan);
    rad_hw_close(hw);
    made_close(&m);
    return r;
}

static struct rad_replay_options options(int32_t batch, int32_t tp, int32_t pp)
{
    return (struct rad_replay_options){.batch = batch, .dtype = RAD_F16, .tp = tp, .pp = pp};
}

/* All weights once, and the largest cache: K and V of every token of the batch in every layer. */
static void one_device_holds_all(void)
{
    const struct rad_card card = card_of(false);
    const double weights = 2.0 * (double)rad_card_params(&card);
    const double cache = 2.0 * 2.0 * LAYERS * 8 * 64 * TOKENS;
    for (int32_t batch = 1; batch <= SEQS; batch *= 2) {
        const struct rad_replay_options opt = options(batch, 1, 1);
        NEAR(replayed("h100-sxm-80gb", false, &opt).device_bytes_peak, weights + batch * cache,
             1e-12);
    }
}

/* Shards and stages share out what can be shared; the norms are on all, the tables at both ends. */
static void devices_share_it(void)
{
    const struct rad_replay_options of[] = {options(SEQS, 1, 1), options(SEQS, 4, 1),
                                            options(SEQS, 1, 4), options(SEQS, 1, 3)};
    const struct rad_card card = card_of(false);
    const double layers = 2.0 * LAYERS * (double)rad_card_layer_params(&card);
    double bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = replayed("h100-sxm-80gb", false, &of[i]).device_bytes_peak;
    const double cache = bytes[0] - 2.0 * (double)rad_card_params(&card);
    const double tables = bytes[0] - layers - cache;
    CU_ASSERT(bytes[1] > bytes[0] / 4 && bytes[1] < 1.01 * bytes[0] / 4);
    NEAR(bytes[2], (layers + cache) / 4 + tables / 2, 1e-9);
    NEAR(bytes[3], (layers + cache) * 3 / LAYERS + tables / 2, 1e-9); /* 3 + 3 + 2 layers */
    const double whole = replayed("h100-sxm-80gb", true, &of[0]).device_bytes_peak;
    const double staged = replayed("h100-sxm-80gb", true, &of[2]).device_bytes_peak;
    NEAR(whole - staged, (layers + cache) * 3 / 4, 1e-9); /* one table serves both ends */
}

/* Weight-only formats: the layers' weights shrink, all else stays. */
static void narrow_weights_are_those_of_layers(void)
{
    const struct rad_replay_options wide = options(SEQS, 1, 1);
    const struct rad_card card = card_of(false);
    const double layer = 2.0 * (double)rad_card_layer_params(&card);
    const struct rad_replay_result a = replayed("h100-sxm-80gb", false, &wide);
    for (double share = 0.5; share > 0.2; share /= 2) {
        struct rad_replay_options narrow = wide;
        narrow.weight_share = share;
        const struct rad_replay_result b = replayed("h100-sxm-80gb", false, &narrow);
        NEAR(a.device_bytes_peak - b.device_bytes_peak, (1 - share) * LAYERS * layer, 1e-9);
        CU_ASSERT(b.flop == a.flop && b.kv_bytes == a.kv_bytes && b.act_bytes == a.act_bytes);
        CU_ASSERT(b.weight_bytes < a.weight_bytes && b.weight_bytes > share * a.weight_bytes);
        CU_ASSERT(b.latency_s < a.latency_s && b.weight_bytes_frac == a.weight_bytes_frac);
        CU_ASSERT(b.layer_weight_bytes_frac == a.layer_weight_bytes_frac);
    }
}

static void names_of_narrow_weights(void)
{
    enum rad_dtype dtype;
    double share;
    OK(rad_dtype_parse_weights("w4a16", &dtype, &share, &err));
    CU_ASSERT(dtype == RAD_F16 && share == 0.25);
    CU_ASSERT_STRING_EQUAL(rad_dtype_weights_name(dtype, share), "w4a16");
    OK(rad_dtype_parse_weights("w8a16", &dtype, &share, &err));
    CU_ASSERT_STRING_EQUAL(rad_dtype_weights_name(dtype, share), "w8a16");
    OK(rad_dtype_parse_weights("fp8", &dtype, &share, &err));
    CU_ASSERT(dtype == RAD_FP8 && share == 1.0);
    CU_ASSERT_STRING_EQUAL(rad_dtype_weights_name(dtype, share), "fp8");
    REFUSES(rad_dtype_parse_weights("w4a18", &dtype, &share, &err), RAD_E_PARSE, "mean 'w4a16'");
}

CU_TestInfo laws_memory_tests[] = {
    {"one device holds all", one_device_holds_all},
    {"devices share it", devices_share_it},
    {"narrow weights are those of layers", narrow_weights_are_those_of_layers},
    {"names of narrow weights", names_of_narrow_weights},
    CU_TEST_INFO_NULL,
};
