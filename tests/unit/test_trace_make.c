/* test_trace_make.c - traces that no run here made: imported, synthetic, transplanted. */
#include "route/route.h"
#include "test_trace.h"

#include <unistd.h>

static void expect_hops(const rad_trace *t, const struct rad_hop_rec *want, int64_t n)
{
    CU_ASSERT_EQUAL_FATAL(rad_trace_n_hop(t), n);
    for (int64_t i = 0; i < n; i++) {
        const struct rad_hop_rec *found = &rad_trace_hops(t)[i];
        CU_ASSERT_EQUAL(found->layer, want[i].layer);
        CU_ASSERT_EQUAL(found->flags, want[i].flags);
        CU_ASSERT_EQUAL(found->n_keys, want[i].n_keys);
    }
}

/* ---- import ------------------------------------------------------------------------------ */

/* The sequences are mixed, as a batch records them. Keys by hand; forward, so hops do not matter:
 * seq 0 pos 2 sees at layer 3 what pos 1 (its second hop) left there. */
static void import_counts_keys_of_forward_paths(void)
{
    static const char lines[] =
        "{\"seq\":5,\"pos\":0,\"phase\":\"prefill\",\"path\":[3],\"nll\":2.5}\n"
        "{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[0,1],\"nll\":1.5,\"token\":7}\n"
        "\n"
        "{\"seq\":0,\"pos\":1,\"phase\":\"prefill\",\"path\":[0,{\"layer\":3,\"mlp\":false}]}\r\n"
        "{\"seq\":5,\"pos\":1,\"phase\":\"decode\",\"path\":[],\"nll\":null}\n"
        "{\"seq\":0,\"pos\":2,\"phase\":\"decode\",\"path\":[{\"layer\":0,\"attn\":false},1,3]}\n"
        "{\"seq\":0,\"pos\":3,\"phase\":\"decode\",\"path\":[0,3],\"n_keys\":[4,1]}";
    static const struct rad_hop_rec want[] = {
        {0, BOTH, 1}, {1, BOTH, 1}, {0, BOTH, 2}, {3, RAD_HOP_ATTN, 1}, {0, RAD_HOP_MLP, 0},
        {1, BOTH, 2}, {3, BOTH, 2}, {0, BOTH, 4}, {3, BOTH, 1},         {3, BOTH, 1}};
    rad_trace *t = imported(lines, 4, NULL);
    int64_t differ = -1;
    expect_hops(t, want, 10);
    const struct rad_trace_run *run = rad_trace_run(t);
    CU_ASSERT_STRING_EQUAL(run->source, "import");
    CU_ASSERT_STRING_EQUAL(run->policy, "recorded");
    CU_ASSERT_TRUE(run->forward_only);
    CU_ASSERT_EQUAL(run->nll, 2.0);
    CU_ASSERT_EQUAL(rad_trace_tokens(t)[0].token, 7);
    CU_ASSERT_EQUAL(rad_trace_tokens(t)[1].token, -1);
    CU_ASSERT_EQUAL(rad_trace_n_seq(t), 2);
    OK(rad_trace_keys_differ(t, &differ, &err));
    CU_ASSERT_EQUAL(differ, 2); /* the last token of sequence 0 brought its own: 3 and 3 by rule */
    rad_trace_close(t);
}

/* Paths that go back: a visit at hop h sees entries made at hops <= h, the latest of each token. */
static void import_counts_keys_hop_by_hop(void)
{
    static const char lines[] =
        "{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[1,0,1]}\n"
        "{\"seq\":0,\"pos\":1,\"phase\":\"prefill\",\"path\":[0,{\"layer\":1,\"attn\":false},1]}\n"
        "{\"seq\":0,\"pos\":2,\"phase\":\"prefill\",\"path\":[1,0,1]}\n";
    static const struct rad_hop_rec any[] = {{1, BOTH, 1}, {0, BOTH, 1},        {1, BOTH, 1},
                                             {0, BOTH, 1}, {1, RAD_HOP_MLP, 0}, {1, BOTH, 2},
                                             {1, BOTH, 2}, {0, BOTH, 3},        {1, BOTH, 3}};
    rad_trace *t = imported(lines, 2, NULL);
    CU_ASSERT_FALSE(rad_trace_run(t)->forward_only);
    expect_hops(t, any, 9);
    rad_trace_close(t);
}

/* The same rule, written down naively: every earlier token, every hop of it. */
static uint32_t naive_keys(const rad_trace *t, int64_t i, int32_t h, bool forward)
{
    const struct rad_trace_token *me = &rad_trace_tokens(t)[i];
    const uint16_t layer = rad_trace_hops(t)[me->hop_first + h].layer;
    uint32_t keys = 1;
    for (int64_t j = i - 1; j >= 0 && rad_trace_tokens(t)[j].seq == me->seq; j--) {
        const struct rad_trace_token *tok = &rad_trace_tokens(t)[j];
        bool seen = false;
        for (int32_t k = 0; k < tok->n_hop && (forward || k <= h); k++) {
            const struct rad_hop_rec *hop = &rad_trace_hops(t)[tok->hop_first + k];
            seen = seen || (hop->layer == layer && (hop->flags & RAD_HOP_ATTN) != 0);
        }
        keys += seen;
    }
    return keys;
}

static void write_random_lines(bool forward, uint32_t x)
{
    FILE *file = fopen(LINES, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < 120; i++) {
        fprintf(file, "{\"seq\":%d,\"pos\":%d,\"phase\":\"prefill\",\"path\":[", i % 3, i / 3);
        bool first = true;
        for (int h = 0; h < 9; h++) {
            x = x * 1664525u + 1013904223u;
            if ((x >> 20) % 3 == 0)
                continue;
            const bool attends = (x >> 24) % 4 != 0;
            fprintf(file, "%s{\"layer\":%u,\"attn\":%s}", first ? "" : ",",
                    forward ? (unsigned)h : (x >> 10) % 9, attends ? "true" : "false");
            first = false;
        }
        fputs("]}\n", file);
    }
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void keys_equal_a_naive_count(void)
{
    const struct rad_card card = trace_card(9);
    for (int k = 0; k < 3; k++) { /* forward; forward but counted by hops; any order */
        const bool forward = k == 0;
        const struct rad_trace_import_options opt = {.any_order = k == 1};
        rad_trace *t = NULL;
        int64_t differ = -1;
        write_random_lines(k < 2, (uint32_t)k + 1);
        OK(rad_trace_import(LINES, &card, MADE, &opt, &err));
        OK(rad_trace_open(&t, MADE, &err));
        CU_ASSERT_EQUAL(rad_trace_run(t)->forward_only, forward);
        for (int64_t i = 0; i < rad_trace_n_token(t); i++) {
            const struct rad_trace_token *tok = &rad_trace_tokens(t)[i];
            for (int32_t h = 0; h < tok->n_hop; h++) {
                const struct rad_hop_rec *hop = &rad_trace_hops(t)[tok->hop_first + h];
                if ((hop->flags & RAD_HOP_ATTN) != 0)
                    CU_ASSERT_EQUAL(hop->n_keys, naive_keys(t, i, h, forward));
            }
        }
        OK(rad_trace_keys_differ(t, &differ, &err));
        CU_ASSERT_EQUAL(differ, 0);
        rad_trace_close(t);
    }
}

/* project: every skipped layer has an entry, so all earlier tokens are seen. copy: those above the
 * first attention have one. */
static void import_adds_entries_of_skipped_layers(void)
{
    static const char lines[] =
        "{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[1]}\n"
        "{\"seq\":0,\"pos\":1,\"phase\":\"prefill\",\"path\":[0,{\"layer\":2,\"attn\":false}]}\n"
        "{\"seq\":0,\"pos\":2,\"phase\":\"prefill\",\"path\":[{\"layer\":0,\"attn\":false},2]}\n";
    enum { P = RAD_HOP_PROJECT, C = RAD_HOP_COPY };
    static const struct rad_hop_rec project[] = {
        {0, P, 0},           {1, BOTH, 1}, {2, P, 0},           {0, BOTH, 2},
        {1, P, 0},           {2, P, 0},    {2, RAD_HOP_MLP, 0}, {0, P, 0},
        {0, RAD_HOP_MLP, 0}, {1, P, 0},    {2, BOTH, 3}};
    static const struct rad_hop_rec copy[] = {{1, BOTH, 1},        {2, C, 0},   {0, BOTH, 1},
                                              {1, C, 0},           {2, C, 0},   {2, RAD_HOP_MLP, 0},
                                              {0, RAD_HOP_MLP, 0}, {2, BOTH, 3}};
    const struct rad_trace_import_options projects = {.kv = RAD_KV_PROJECT},
                                          copies = {.kv = RAD_KV_COPY, .policy = "uls"};
    rad_trace *t = imported(lines, 3, &projects);
    expect_hops(t, project, 11);
    CU_ASSERT_EQUAL(rad_trace_n_visit(t), 5);
    NEAR(rad_trace_mean_depth(t), 4.0 / 3, 1e-12);
    rad_trace_close(t);
    t = imported(lines, 3, &copies);
    expect_hops(t, copy, 8);
    CU_ASSERT_STRING_EQUAL(rad_trace_run(t)->policy, "uls");
    rad_trace_close(t);
}

#define LINE(path) "{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":" path "}"

static const struct {
    const char *text, *message;
} bad_lines[] = {
    {"", "make.jsonl: expected a line per token but found none"},
    {LINE("[0]") "\n{\"seq\":0,", ":2:9: expected a JSON object: "},
    {LINE("[0]") "\n[1]", ":2:1: expected a JSON object but found an array"},
    {"{\"seq\":0,\"seq\":0}", "make.jsonl:1:14: expected a JSON object: duplicate object key"},
    {"{\"pos\":0}", ":1:1: seq: expected a whole number but found nothing"},
    {"{\"pos\":0, \"seq\": 1.5}", ":1:18: seq: expected a whole number but found a real"},
    {"{\"seq\":-1}", ":1:8: seq: expected 0 to 9223372036854775807 but found -1"},
    {"{\"seq\":0,\"pos\":2147483647}", ":1:16: pos: expected 0 to 2147483646 but found"},
    {"{\"seq\":0,\"pos\":0,\"phase\":\"draft\"}",
     ":1:26: phase: expected \"prefill\" or \"decode\" but found draft"},
    {"{\"seq\":0,\"pos\":0,\"phase\":1}", ":1:26: phase: expected \"prefill\" or \"decode\" but "
                                          "found an integer"},
    {"{\"sek\":0}", ":1:8: sek: unknown key; did you mean seq"},
    {"{\"a\\u001b[2J\":0}", "a?[2J: unknown key"},
    {LINE("7"), ":1:43: path: expected an array but found an integer"},
    {LINE("[0, 4]"), ":1:47: path: expected a layer below 4, as the card has, but found 4"},
    {LINE("[0,[1],\"x\"]"), ":1:46: path: expected a whole number but found an array"},
    {LINE("[0,{\"layer\":1},\"x\"]"), ":1:58: path: expected a whole number but found text"},
    {LINE("[{\"layer\":9}]"), ":1:44: path: expected a layer below 4, as the card has"},
    {LINE("[{\"attn\":true}]"), ":1:44: path: expected a whole number but found nothing"},
    {LINE("[{\"layer\":1,\"atn\":true}]"), ":1:44: path: unknown key 'atn'; did you mean attn"},
    {LINE("[{\"layer\":1,\"attn\":1}]"), ":1:44: path: attn: expected true or false but found "},
    {LINE("[{\"layer\":1,\"kv\":\"keep\"}]"), ":1:44: path: kv: expected \"project\" or \"copy\""},
    {LINE("[{\"layer\":1,\"kv\":\"copy\",\"mlp\":true}]"), ":1:44: path: expected either kv"},
    {LINE("[{\"layer\":1,\"kv\":\"copy\"}]"), ":1:43: path: hop 0: expected what kv=hole does"},
    {LINE("[0,1],\"n_keys\":[1]"), ":1:58: n_keys: expected an array of 2 numbers"},
    {LINE("[0,1],\"n_keys\":[1,-2]"), ":1:61: n_keys: expected 0 to 4294967295 but found -2"},
    {LINE("[0,1],\"n_keys\":[1,600]"), ":1:43: path: hop 1: expected 1 to 512 keys but found "},
    {LINE("[0],\"nll\":\"low\""), ":1:53: nll: expected a number or null but found text"},
    {LINE("[0],\"nll\":1e300"), ":1:53: nll: expected a number that a float32 can hold"},
    {LINE("[0],\"token\":-1"), ":1:55: token: expected 0 to 2147483647 but found -1"},
    {LINE("[0]") "\n\n" LINE("[0]"),
     ":3:16: pos: expected 1, the next position of the sequence, but found 0"},
    {"{\"seq\":0,\"pos\":0,\"phase\":\"decode\",\"path\":[]}\n"
     "{\"seq\":0,\"pos\":1,\"phase\":\"prefill\",\"path\":[]}",
     ":2:26: phase: expected decode, which has begun, but found prefill"},
};

static void import_errors_have_line_and_column(void)
{
    const struct rad_card card = trace_card(4);
    unlink(MADE);
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        write_file(LINES, bad_lines[i].text);
        CU_ASSERT_EQUAL(rad_trace_import(LINES, &card, MADE, NULL, &err), RAD_E_PARSE);
        if (strstr(err.msg, bad_lines[i].message) == NULL)
            fprintf(stderr, "\n%s\n  expected %s\n  found    %s\n", bad_lines[i].text,
                    bad_lines[i].message, err.msg);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, bad_lines[i].message));
        CU_ASSERT_NOT_EQUAL(access(MADE, F_OK), 0); /* nothing half-written */
    }
    const struct rad_trace_import_options projects = {.kv = RAD_KV_PROJECT},
                                          back = {.kv = RAD_KV_COPY, .any_order = true},
                                          router = {.has_router = true};
    write_file(LINES, LINE("[1,0]"));
    CU_ASSERT_EQUAL(rad_trace_import(LINES, &card, MADE, &projects, &err), RAD_E_PARSE);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.msg, ":1:43: path: hop 1: expected a layer above 1, as run.kv is project"));
    CU_ASSERT_EQUAL(rad_trace_import(LINES, &card, MADE, &back, &err), RAD_E_ARG);
    CU_ASSERT_EQUAL(rad_trace_import(LINES, &card, MADE, &router, &err), RAD_E_ARG);
    CU_ASSERT_EQUAL(rad_trace_import(TMP "absent", &card, MADE, NULL, &err), RAD_E_IO);
    CU_ASSERT_EQUAL(rad_trace_import(LINES, &card, LINES, NULL, &err), RAD_E_PARSE); /* no trace */
}

/* ---- synth ------------------------------------------------------------------------------- */

static rad_trace *synthetic(const char *policy, uint64_t seed, enum rad_kv kv)
{
    const struct rad_card card = trace_card(12);
    const struct rad_trace_synth_options opt = {.card = &card,
                                                .policy = policy,
                                                .prompt = 30,
                                                .n_new = 10,
                                                .n_seq = 20,
                                                .seed = seed,
                                                .kv = kv};
    rad_trace *t = NULL;
    int64_t differ = -1;
    OK(rad_trace_synth(&opt, MADE, &err));
    OK(rad_trace_open(&t, MADE, &err));
    CU_ASSERT_EQUAL(rad_trace_n_token(t), 20 * 40);
    CU_ASSERT_EQUAL(rad_trace_n_seq(t), 20);
    CU_ASSERT_TRUE(isnan(rad_trace_run(t)->nll));
    CU_ASSERT_EQUAL(rad_trace_tokens(t)[29].phase, RAD_PHASE_PREFILL);
    CU_ASSERT_EQUAL(rad_trace_tokens(t)[30].phase, RAD_PHASE_DECODE);
    OK(rad_trace_keys_differ(t, &differ, &err));
    CU_ASSERT_EQUAL(differ, 0);
    return t;
}

static void synthetic_traces_follow_their_policy(void)
{
    rad_trace *t = synthetic("dense", 1, RAD_KV_HOLE);
    CU_ASSERT_EQUAL(rad_trace_mean_depth(t), 12);
    CU_ASSERT_EQUAL(rad_trace_hops(t)[rad_trace_n_hop(t) - 1].n_keys, 40);
    rad_trace_close(t);
    t = synthetic("uls:speedup=2", 1, RAD_KV_COPY);
    NEAR(rad_trace_mean_depth(t), (30 * 12 + 10 * 6) / 40.0, 1e-12);
    CU_ASSERT_EQUAL(rad_trace_n_hop(t), 20 * 40 * 12); /* skipped layers have a copied entry */
    CU_ASSERT_EQUAL(rad_trace_hops(t)[rad_trace_n_hop(t) - 1].n_keys, 40);
    rad_trace_close(t);
}

/* Every (token, layer) is skipped on its own: 9600 draws at 0.3, so 0.7 within 4 sigma. */
static void skips_are_seeded_and_independent(void)
{
    char hash[17];
    rad_trace *t = synthetic("skip:frac=0.3", 5, RAD_KV_HOLE);
    CU_ASSERT(fabs(rad_trace_mean_depth(t) / 12 - 0.7) < 4 * sqrt(0.3 * 0.7 / 9600));
    memcpy(hash, rad_trace_hash(t), sizeof hash);
    rad_trace_close(t);
    t = synthetic("skip:frac=0.3", 5, RAD_KV_HOLE);
    CU_ASSERT_STRING_EQUAL(rad_trace_hash(t), hash);
    rad_trace_close(t);
    t = synthetic("skip:frac=0.3,seed=5", 6, RAD_KV_HOLE); /* the policy's own seed wins */
    const int64_t n_hop = rad_trace_n_hop(t);
    rad_trace_close(t);
    t = synthetic("skip:frac=0.3", 6, RAD_KV_HOLE);
    CU_ASSERT_NOT_EQUAL(rad_trace_n_hop(t), n_hop);
    rad_trace_close(t);
}

static void synth_refuses_what_needs_a_model(void)
{
    struct rad_card card = trace_card(12);
    struct rad_trace_synth_options opt = {
        .card = &card, .policy = "radial:budget=0.5", .prompt = 3, .n_new = 3, .n_seq = 1};
    unlink(MADE);
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, MADE, &err), RAD_E_UNSUPPORTED);
    opt.policy = "oracle:theta=0.1";
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, MADE, &err), RAD_E_UNSUPPORTED);
    opt.policy = "dens";
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, MADE, &err), RAD_E_PARSE);
    opt.policy = "dense";
    opt.n_seq = 0;
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, MADE, &err), RAD_E_ARG);
    opt.n_seq = 1;
    opt.prompt = 510;
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, MADE, &err), RAD_E_RANGE);
    CU_ASSERT_NOT_EQUAL(access(MADE, F_OK), 0);
}

/* ---- transplant -------------------------------------------------------------------------- */

static rad_trace *transplanted(const rad_trace *in, const struct rad_card *card)
{
    rad_trace *t = NULL;
    OK(rad_trace_transplant(in, card, TMP "plant.db", &err));
    OK(rad_trace_open(&t, TMP "plant.db", &err));
    CU_ASSERT_STRING_EQUAL(rad_trace_run(t)->source, "transplant");
    CU_ASSERT_STRING_EQUAL(rad_trace_run(t)->parent, rad_trace_hash(in));
    CU_ASSERT_STRING_EQUAL(rad_trace_run(t)->model_hash, "");
    CU_ASSERT_TRUE(isnan(rad_trace_run(t)->nll));
    CU_ASSERT_EQUAL(rad_trace_n_token(t), rad_trace_n_token(in));
    return t;
}

static void transplant_repeats_each_layer(void)
{
    static const char lines[] =
        "{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[2,0,2],\"nll\":1}\n"
        "{\"seq\":0,\"pos\":1,\"phase\":\"decode\",\"path\":[{\"layer\":2,\"mlp\":false}]}\n";
    static const struct rad_hop_rec want[] = {
        {4, BOTH, 1}, {5, BOTH, 1}, {0, BOTH, 1},         {1, BOTH, 1},
        {4, BOTH, 1}, {5, BOTH, 1}, {4, RAD_HOP_ATTN, 2}, {5, RAD_HOP_ATTN, 2}};
    const struct rad_card large = trace_card(6), small = trace_card(2);
    rad_trace *in = imported(lines, 3, NULL), *t = transplanted(in, &large);
    expect_hops(t, want, 8);
    CU_ASSERT_TRUE(isnan(rad_trace_tokens(t)[0].nll));
    NEAR(rad_trace_mean_depth(t) / 6, rad_trace_mean_depth(in) / 3, 1e-12);
    rad_trace_close(t);
    CU_ASSERT_EQUAL(rad_trace_transplanted(&t, in, &small, &err), RAD_E_ARG);
    CU_ASSERT_PTR_NULL(t);
    rad_trace_close(in);
}

/* 12 layers on 17, 13, 23, 100: depth_frac stays within half a layer, whatever is visited, and
 * dense stays dense. */
static void transplant_keeps_depth_frac(void)
{
    static const char *const policies[] = {"dense", "skip:frac=0.5", "uls:speedup=4,phase=1"};
    static const int32_t layers[] = {13, 17, 23, 100};
    for (size_t p = 0; p < 3; p++) {
        rad_trace *in = synthetic(policies[p], 3, RAD_KV_HOLE), *t = NULL;
        for (size_t i = 0; i < 4; i++) {
            const struct rad_card card = trace_card(layers[i]);
            OK(rad_trace_transplanted(&t, in, &card, &err));
            const double want = rad_trace_mean_depth(in) / 12;
            const double found = rad_trace_mean_depth(t) / layers[i];
            CU_ASSERT(fabs(found - want) <= 0.5 / layers[i]);
            CU_ASSERT(p != 0 || found == 1);
            CU_ASSERT_TRUE(rad_trace_run(t)->forward_only);
            rad_trace_close(t);
        }
        rad_trace_close(in);
    }
}

/* A router goes along: its width grows with the model's, its hop limit with the layers. */
static void transplant_takes_the_router_along(void)
{
    const struct rad_trace_import_options opt = {.has_router = true};
    struct rad_card card = trace_card(4), large = trace_card(8);
    rad_trace *in = NULL;
    card.router_hidden = 10;
    card.max_hops = 5;
    large.d_model = 256;
    large.d_head = 64;
    write_file(LINES, LINE("[3,1]"));
    OK(rad_trace_import(LINES, &card, MADE, &opt, &err));
    OK(rad_trace_open(&in, MADE, &err));
    rad_trace *t = transplanted(in, &large);
    CU_ASSERT_TRUE(rad_trace_run(t)->has_router);
    CU_ASSERT_EQUAL(rad_trace_run(t)->card.router_hidden, 40);
    CU_ASSERT_EQUAL(rad_trace_run(t)->card.max_hops, 10);
    rad_trace_close(t);
    rad_trace_close(in);
}

CU_TestInfo trace_make_tests[] = {
    {"import counts keys of forward paths", import_counts_keys_of_forward_paths},
    {"import counts keys hop by hop", import_counts_keys_hop_by_hop},
    {"keys equal a naive count", keys_equal_a_naive_count},
    {"import adds entries of skipped layers", import_adds_entries_of_skipped_layers},
    {"import errors have line and column", import_errors_have_line_and_column},
    {"synthetic traces follow their policy", synthetic_traces_follow_their_policy},
    {"skips are seeded and independent", skips_are_seeded_and_independent},
    {"synth refuses what needs a model", synth_refuses_what_needs_a_model},
    {"transplant repeats each layer", transplant_repeats_each_layer},
    {"transplant keeps depth_frac", transplant_keeps_depth_frac},
    {"transplant takes the router along", transplant_takes_the_router_along},
    CU_TEST_INFO_NULL,
};
