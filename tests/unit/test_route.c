/* test_route.c - policies: known layer sets, frequencies, ties, and texts that are refused. */
#include "refuse.h"
#include "route/route.h"

#include <stdlib.h>

static struct rad_route parse(const char *text, int32_t n_layer)
{
    struct rad_route r;
    OK(rad_route_parse(&r, text, n_layer, &err));
    return r;
}

/* The next node of one token. */
static int32_t next(const struct rad_route *r, struct rad_hop hop, int32_t last, int64_t seq,
                    int32_t pos)
{
    int32_t dest = -9;
    hop.n_tok = 1;
    hop.last = &last;
    hop.seq = &seq;
    hop.pos = &pos;
    OK(r->policy->decide(r->params, &hop, &dest, &err));
    return dest;
}

/* The layers of a forward-only path as "0,2,4"; text is borrowed until the next call. */
static const char *path(const struct rad_route *r, int32_t n_layer, enum rad_route_phase phase)
{
    static char out[256];
    const struct rad_hop hop = {.n_layer = n_layer, .max_hops = n_layer, .phase = phase};
    size_t used = 0;
    out[0] = '\0';
    for (int32_t last = next(r, hop, -1, 0, 0); last >= 0; last = next(r, hop, last, 0, 0))
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%d", used ? "," : "", last);
    return out;
}

/* dynamic-depth.md, section 5: answers known from the published code. */
static void uls_keeps_the_published_layers(void)
{
    static const struct {
        const char *policy;
        int32_t n_layer;
        const char *kept;
    } known[] = {
        {"uls:speedup=2", 30, "0,2,4,6,8,10,12,14,16,18,20,22,24,26,29"},
        {"uls:speedup=3", 30, "0,3,6,9,12,15,18,21,24,29"},
        {"uls:speedup=5", 30, "0,6,12,18,24,29"},
        {"uls:speedup=10", 30, "0,15,29"},
        {"uls:speedup=5", 32, "0,6,12,18,24,31"},
        {"uls:speedup=10", 32, "0,16,31"},
        {"uls:speedup=1", 4, "0,1,2,3"},
        {"uls:speedup=6", 12, "0,11"},
        {"uls:speedup=1", 1, "0"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct rad_route r = parse(known[i].policy, known[i].n_layer);
        CU_ASSERT_STRING_EQUAL(path(&r, known[i].n_layer, RAD_ROUTE_DECODE), known[i].kept);
        CU_ASSERT_STRING_EQUAL(path(&r, known[i].n_layer, RAD_ROUTE_EVAL), known[i].kept);
    }
    const struct rad_route r = parse("uls:speedup=2", 4), all = parse("uls:speedup=2,phase=all", 4);
    CU_ASSERT_STRING_EQUAL(path(&r, 4, RAD_ROUTE_PREFILL), "0,1,2,3");
    CU_ASSERT_STRING_EQUAL(path(&all, 4, RAD_ROUTE_PREFILL), "0,3");
    struct rad_route bad;
    REFUSES(rad_route_parse(&bad, "uls:speedup=10", 12, &err), RAD_E_RANGE,
            "speedup 10 keeps 1 of 12 layers");
    REFUSES(rad_route_parse(&bad, "uls:speedup=2", 3, &err), RAD_E_RANGE, "use at most 1.5");
}

static void dense_and_oracle_visit_all(void)
{
    const struct rad_route dense = parse("dense", 6), oracle = parse("oracle:theta=0.2", 6);
    CU_ASSERT_STRING_EQUAL(path(&dense, 6, RAD_ROUTE_EVAL), "0,1,2,3,4,5");
    CU_ASSERT_STRING_EQUAL(path(&oracle, 6, RAD_ROUTE_EVAL), "0,1,2,3,4,5");
    /* |x| = 5, |f| = 1: ratio_in 0.2; at right angles |x + f|^2 = 26: ratio_out 0.196 */
    const struct rad_route below = parse("oracle:theta=0.21", 6);
    const struct rad_route out = parse("oracle:theta=0.199,metric=ratio_out", 6);
    const struct rad_route out_low = parse("oracle:theta=0.195,metric=ratio_out", 6);
    CU_ASSERT(oracle.policy->keep(oracle.params, 25.0f, 1.01f, 0.0f));
    CU_ASSERT(!below.policy->keep(below.params, 25.0f, 1.0f, 0.0f));
    CU_ASSERT(!out.policy->keep(out.params, 25.0f, 1.0f, 0.0f));
    CU_ASSERT(out_low.policy->keep(out_low.params, 25.0f, 1.0f, 0.0f));
    const struct rad_route zero = parse("oracle:theta=0", 6);
    CU_ASSERT(zero.policy->keep(zero.params, 1.0f, 0.0f, 0.0f));
}

/* Shares of (token, layer) pairs skipped, per layer and overall, and pairs of layers: independent.
 */
static void skip_draws_are_independent_and_fair(void)
{
    enum { TOKENS = 20000, LAYERS = 6 };
    const struct rad_route r = parse("skip:frac=0.3,seed=11", LAYERS);
    const struct rad_hop hop = {.n_layer = LAYERS, .max_hops = LAYERS};
    int ran[LAYERS] = {0}, both[LAYERS] = {0};
    for (int t = 0; t < TOKENS; t++) {
        bool now[LAYERS] = {false};
        for (int32_t l = next(&r, hop, -1, t / 100, t % 100); l >= 0;
             l = next(&r, hop, l, t / 100, t % 100))
            now[l] = true;
        for (int l = 0; l < LAYERS; l++) {
            ran[l] += now[l];
            both[l] += now[l] && now[(l + 1) % LAYERS];
        }
    }
    const double sd = sqrt(0.3 * 0.7 / TOKENS), sd2 = sqrt(0.49 * 0.51 / TOKENS);
    for (int l = 0; l < LAYERS; l++) {
        CU_ASSERT(fabs(ran[l] / (double)TOKENS - 0.7) < 5 * sd);
        CU_ASSERT(fabs(both[l] / (double)TOKENS - 0.49) < 5 * sd2);
    }
    const struct rad_route none = parse("skip:frac=0", 4), all = parse("skip:frac=1", 4);
    CU_ASSERT_STRING_EQUAL(path(&none, 4, RAD_ROUTE_EVAL), "0,1,2,3");
    CU_ASSERT_STRING_EQUAL(path(&all, 4, RAD_ROUTE_EVAL), "");
}

static void skip_paths_depend_on_the_seed_only(void)
{
    const struct rad_route a = parse("skip:frac=0.5,seed=1", 16);
    const struct rad_route b = parse("skip:frac=0.5,seed=2", 16);
    char first[256];
    snprintf(first, sizeof first, "%s", path(&a, 16, RAD_ROUTE_EVAL));
    CU_ASSERT_STRING_EQUAL(path(&a, 16, RAD_ROUTE_DECODE), first); /* not on the phase */
    CU_ASSERT_STRING_NOT_EQUAL(path(&b, 16, RAD_ROUTE_EVAL), first);
}

/* ---- radial -------------------------------------------------------------------------------- */

static int32_t routed(const float *score, int32_t hop)
{
    const struct rad_route r = parse("radial:budget=1", 3);
    const struct rad_hop h = {.n_layer = 3, .max_hops = 5, .hop = hop, .score = score};
    return next(&r, h, 1, 0, 0);
}

static void radial_takes_the_best_node(void)
{
    const float back[4] = {3, 1, 2, 0}, stay[4] = {0, 4, 2, 3}, leave[4] = {0, 1, 2, 3};
    const float tie[4] = {1, 2, 2, 2}, low[4] = {-5, -5, -7, -6};
    CU_ASSERT_EQUAL(routed(back, 2), 0);
    CU_ASSERT_EQUAL(routed(stay, 2), 1); /* the same layer again */
    CU_ASSERT_EQUAL(routed(leave, 2), RAD_EXIT);
    CU_ASSERT_EQUAL(routed(tie, 2), 1); /* the lower index, layers before the output */
    CU_ASSERT_EQUAL(routed(low, 0), 0);
    CU_ASSERT_EQUAL(routed(back, 5), RAD_EXIT); /* the hop limit */
}

static void radial_refuses_scores_that_are_none(void)
{
    const struct rad_route r = parse("radial", 3);
    const int32_t last[2] = {0, 0}, pos[2] = {4, 5};
    const int64_t seq[2] = {8, 9};
    float score[8] = {0, 1, 2, 3, 0, 1, 2, NAN};
    int32_t dest[2];
    const struct rad_hop h = {.n_tok = 2,
                              .n_layer = 3,
                              .hop = 1,
                              .max_hops = 5,
                              .score = score,
                              .last = last,
                              .seq = seq,
                              .pos = pos};
    REFUSES(r.policy->decide(r.params, &h, dest, &err), RAD_E_RANGE,
            "score of node 3 is no number (sequence 9, position 5, hop 1)");
    score[7] = 0;
    score[4] = NAN;
    REFUSES(r.policy->decide(r.params, &h, dest, &err), RAD_E_RANGE, "score of node 0");
    score[4] = -INFINITY;
    OK(r.policy->decide(r.params, &h, dest, &err));
    CU_ASSERT_EQUAL(dest[1], 2);
    const struct rad_hop none = {.n_tok = 1, .n_layer = 3, .max_hops = 5};
    REFUSES(r.policy->decide(r.params, &none, dest, &err), RAD_E_UNSUPPORTED, "no router");
}

/* ---- texts --------------------------------------------------------------------------------- */

static void wrong_texts_are_refused(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } bad[] = {
        {"dens", "unknown policy 'dens'; did you mean 'dense'", RAD_E_PARSE},
        {"rad1al:budget=1", "did you mean 'radial'", RAD_E_PARSE},
        {"xyzzy", "there are dense, radial, uls, skip, oracle", RAD_E_PARSE},
        {"", "unknown policy ''", RAD_E_PARSE},
        {"radial:bugdet=0.5", "policy radial: ", RAD_E_PARSE},
        {"radial:bugdet=0.5", "did you mean 'budget'", RAD_E_PARSE},
        {"radial:budget", "expected key=value but found 'budget'", RAD_E_PARSE},
        {"radial:budget=0.5,", "expected key=value but found ''", RAD_E_PARSE},
        {"radial:budget=3", "policy radial: ", RAD_E_RANGE},
        {"radial:budget=-0.1", "budget", RAD_E_RANGE},
        {"radial:budget=nan", "policy radial: ", RAD_E_PARSE},
        {"radial:budget=0.5x", "policy radial: ", RAD_E_PARSE},
        {"radial:budget=0.5,budget=0.5", "'budget' is given twice", RAD_E_PARSE},
        {"skip:frac=1.5", "policy skip: ", RAD_E_RANGE},
        {"skip:seed=1.5", "policy skip: ", RAD_E_RANGE},
        {"oracle:metric=ratio", "policy oracle: ", RAD_E_PARSE},
        {"uls:phase=prefill", "policy uls: ", RAD_E_PARSE},
        {"dense:budget=1", "policy dense: ", RAD_E_PARSE},
    };
    struct rad_route r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        REFUSES(rad_route_parse(&r, bad[i].text, 8, &err), bad[i].status, bad[i].message);
    char longest[400];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    REFUSES(rad_route_parse(&r, longest, 8, &err), RAD_E_PARSE, "longer than 255 bytes");
}

/* A seed from outside, unless the text has its own; policies that do not draw have none. */
static void seeds_of_texts_win(void)
{
    static const struct {
        const char *text, *canonical;
    } known[] = {
        {"skip", "skip:frac=0.5,seed=7"},
        {"skip:seed=5,frac=0.25", "skip:frac=0.25,seed=5"},
        {"skip:seed=0", "skip:frac=0.5,seed=0"},
        {"dense", "dense"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[256];
        struct rad_route r;
        OK(rad_route_parse_seeded(&r, known[i].text, 8, 7, &err));
        rad_route_text(&r, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, known[i].canonical);
    }
}

/* The text stored in traces has every parameter and reads back to the same values. */
static void canonical_texts_read_back(void)
{
    static const struct {
        const char *text, *canonical;
    } known[] = {
        {"dense", "dense"},
        {"radial", "radial:budget=1"},
        {"radial:price=0.004,budget=0.25", "radial:budget=0.25,price=0.004"},
        {"uls:speedup=2.5", "uls:speedup=2.5,phase=decode"},
        {"uls:phase=all", "uls:speedup=2,phase=all"},
        {"skip:frac=40 %,seed=9007199254740991", "skip:frac=0.4,seed=9007199254740991"},
        {"oracle:metric=ratio_out", "oracle:theta=0.1,metric=ratio_out"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[256];
        const struct rad_route a = parse(known[i].text, 8);
        rad_route_text(&a, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, known[i].canonical);
        const struct rad_route b = parse(text, 8);
        CU_ASSERT_EQUAL(memcmp(a.params, b.params, a.policy->params_bytes), 0);
        rad_route_text(&a, text, 8); /* cut, never past the end */
        CU_ASSERT(strlen(text) < 8);
    }
    const struct rad_route third = parse("radial:budget=0.3333333333333333", 8);
    char text[256];
    rad_route_text(&third, text, sizeof text);
    CU_ASSERT_EQUAL(parse(text, 8).params[0], third.params[0]);
}

CU_TestInfo route_tests[] = {
    {"uls keeps the published layers", uls_keeps_the_published_layers},
    {"dense and oracle visit all", dense_and_oracle_visit_all},
    {"skip draws are independent and fair", skip_draws_are_independent_and_fair},
    {"skip paths depend on the seed only", skip_paths_depend_on_the_seed_only},
    {"radial takes the best node", radial_takes_the_best_node},
    {"radial refuses scores that are none", radial_refuses_scores_that_are_none},
    {"wrong texts are refused", wrong_texts_are_refused},
    {"seeds of texts win", seeds_of_texts_win},
    {"canonical texts read back", canonical_texts_read_back},
    CU_TEST_INFO_NULL,
};
