/* test_infer.c - the engine: dense paths against a plain network, limits, evaluation, generation.
 */
#include "infer/infer.h"
#include "net_make.h"
#include "plain_forward.h"
#include "refuse.h"

#include <stdlib.h>

#define DIR "build/tmp/infer"

enum { N = 40, BIG = NET_VOCAB * 2 * N };

/* All rows of in through the engine at once, one slot per sequence. */
static void engine_logits(const rad_model *m, const struct plain_input *in, float *logits)
{
    struct rad_engine_options o = net_options(m, "dense", RAD_KV_HOLE);
    struct rad_row row[2 * N];
    rad_engine *e = NULL;
    o.n_slot = in->n_seq;
    OK(rad_engine_open(&e, m, &o, &err));
    for (int32_t s = 0; s < in->n_seq; s++) {
        rad_engine_start(e, s, s);
        for (int32_t r = in->first[s]; r < in->first[s + 1]; r++)
            row[r] = (struct rad_row){s, in->token[r]};
    }
    OK(rad_engine_forward(e, row, in->first[in->n_seq], RAD_ROUTE_EVAL, &err));
    OK(rad_engine_logits(e, 0, in->first[in->n_seq], logits, &err));
    rad_engine_close(e);
}

static void same_bits_as_plain(const struct made_net *net, int32_t n_seq)
{
    static float got[BIG], want[BIG];
    int32_t token[2 * N], first[3] = {0, N, 2 * N - 7};
    const struct plain_input in = {token, first, n_seq};
    net_tokens(token, 2 * N, 5);
    rad_model *m = net_open_made(net);
    engine_logits(m, &in, got);
    plain_forward(net->folder, &in, want);
    const size_t n = (size_t)first[n_seq] * NET_VOCAB;
    CU_ASSERT_EQUAL(memcmp(got, want, n * sizeof *got), 0);
    double spread = 0.0;
    for (size_t i = 0; i < n; i++)
        spread = fmax(spread, fabs((double)got[i]));
    CU_ASSERT(spread > 1.0 && spread < 100.0); /* the comparison is about numbers */
    rad_model_close(m);
}

static void dense_is_the_plain_network_bit_for_bit(void)
{
    struct made_net net = {.folder = DIR "/llama", .config = net_config(false), .seed = 2};
    same_bits_as_plain(&net, 1);
    same_bits_as_plain(&net, 2);
    net = (struct made_net){.folder = DIR "/radial", .config = net_config(true), .seed = 3};
    net.config.card.norm = RAD_NORM_LAYER;
    net.config.card.act = RAD_ACT_GELU;
    net.config.card.tied = true;
    same_bits_as_plain(&net, 2);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void rows_outside_the_model_are_refused_and_change_nothing(void)
{
    static float before[NET_VOCAB], after[NET_VOCAB];
    struct rad_row row[64];
    int32_t id[64];
    rad_model *m = net_open_plain(DIR "/limits", false);
    const struct rad_engine_options o = net_options(m, "dense", RAD_KV_HOLE);
    rad_engine *e = NULL;
    OK(rad_engine_open(&e, m, &o, &err));
    net_tokens(id, 64, 6);
    for (int i = 0; i < 64; i++)
        row[i] = (struct rad_row){0, id[i]};
    rad_engine_start(e, 0, 17);
    OK(rad_engine_forward(e, row, 10, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_logits(e, 9, 1, before, &err));
    row[12].token = NET_VOCAB;
    REFUSES(rad_engine_forward(e, row + 10, 5, RAD_ROUTE_EVAL, &err), RAD_E_RANGE,
            "token id 256: the vocabulary has 0..255");
    row[12].token = -1;
    REFUSES(rad_engine_forward(e, row + 10, 5, RAD_ROUTE_EVAL, &err), RAD_E_RANGE, "token id -1");
    row[12].token = id[12];
    REFUSES(rad_engine_forward(e, row + 10, 39, RAD_ROUTE_EVAL, &err), RAD_E_RANGE,
            "sequence 17: longer than the 48 positions of the model");
    OK(rad_engine_forward(e, row + 10, 38, RAD_ROUTE_EVAL, &err)); /* just fits */
    CU_ASSERT_EQUAL(rad_engine_pos(e, 37), 47);
    REFUSES(rad_engine_forward(e, row, 1, RAD_ROUTE_EVAL, &err), RAD_E_RANGE, "longer than");
    rad_engine_start(e, 0, 18); /* and a fresh sequence knows nothing of the old one */
    OK(rad_engine_forward(e, row, 10, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_logits(e, 9, 1, after, &err));
    CU_ASSERT_EQUAL(memcmp(before, after, sizeof before), 0);
    rad_engine_close(e);
    rad_model_close(m);
}

static void models_with_wrong_tensors_are_refused(void)
{
    rad_model *m = NULL;
    struct made_net net = {.folder = DIR "/wrong", .config = net_config(true), .seed = 1};
    net.without = "model.layers.2.mlp.up_proj.weight";
    net_make(&net);
    REFUSES(rad_model_open(&m, net.folder, &err), RAD_E_RANGE, "model.layers.2.mlp.up_proj.weight");
    CU_ASSERT_PTR_NULL(m);
    net.without = "router.out.bias";
    net_make(&net);
    REFUSES(rad_model_open(&m, net.folder, &err), RAD_E_RANGE, "router.out.bias");
    net.without = NULL;
    net_make(&net);
    net.config.card.ffn = 56; /* config.json no longer fits the weights */
    OK(rad_model_config_write(&net.config, net.folder, &err));
    REFUSES(rad_model_open(&m, net.folder, &err), RAD_E_RANGE, "gate_proj");
    REFUSES(rad_model_open(&m, DIR "/nowhere", &err), RAD_E_IO, "nowhere");
}

static void the_hash_tells_models_apart(void)
{
    struct made_net net = {.folder = DIR "/hash1", .config = net_config(false), .seed = 1};
    rad_model *m[4];
    m[0] = net_open_made(&net);
    net.folder = DIR "/hash2"; /* another place is no other model */
    m[1] = net_open_made(&net);
    net.config.rope_theta = 20000.0;
    m[2] = net_open_made(&net);
    net.config.rope_theta = 10000.0;
    net.seed = 2;
    m[3] = net_open_made(&net);
    CU_ASSERT_STRING_EQUAL(rad_model_hash(m[0]), rad_model_hash(m[1]));
    CU_ASSERT_STRING_NOT_EQUAL(rad_model_hash(m[0]), rad_model_hash(m[2]));
    CU_ASSERT_STRING_NOT_EQUAL(rad_model_hash(m[0]), rad_model_hash(m[3]));
    CU_ASSERT_EQUAL(rad_model_weight_bytes(m[0]),
                    4.0 * (double)rad_card_params(&rad_model_config(m[0])->card));
    for (int i = 0; i < 4; i++)
        rad_model_close(m[i]);
}

/* ---- evaluation ---------------------------------------------------------------------------- */

struct kept { /* what the per-token sink saw */
    struct rad_trace_token tok[256];
    int32_t target[256];
    double depth[256];
    int n;
};

static enum rad_status keep_token(void *ctx, const struct rad_trace_token *tok, int32_t target,
                                  double depth, struct rad_err *e)
{
    struct kept *k = ctx;
    (void)e;
    k->tok[k->n] = *tok;
    k->target[k->n] = target;
    k->depth[k->n++] = depth;
    return RAD_OK;
}

static struct rad_eval_result evaluate(const rad_model *m, const char *policy, int threads,
                                       struct kept *kept)
{
    static const char ids[] = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n"
                              "200 100 50 25 12 6 3\n\n  7\t9 \r\n"
                              "99 98 97 96 95 94 93 92 91 90\n1 1 1 1 1 1 1 1\n9 8 7\n5 4 3 2\n"
                              "11 22 33 44 55\n66 77 88 99 0\n12 34 56 78 90\n";
    struct rad_tokens tokens = {0};
    struct rad_eval_result r;
    rad_pool *pool = NULL;
    write_file(DIR "/ids.txt", ids);
    OK(rad_tokens_add_ids(&tokens, m, DIR "/ids.txt", &err));
    CU_ASSERT_EQUAL(tokens.n_seq, 10);
    OK(rad_pool_open(&pool, threads, &err));
    const struct rad_eval_options o = {net_options(m, policy, RAD_KV_HOLE), false, pool};
    const struct rad_eval_sinks sinks = {.token = keep_token, .ctx = kept};
    kept->n = 0;
    OK(rad_eval_run(m, &tokens, &o, &sinks, &r, &err));
    rad_pool_close(pool);
    rad_tokens_free(&tokens);
    return r;
}

static void evaluation_sums_up_what_it_shows(void)
{
    static struct kept k;
    rad_model *m = net_open_plain(DIR "/eval", true);
    const struct rad_eval_result r = evaluate(m, "radial:budget=0.5", 1, &k);
    double nll = 0.0, depth = 0.0;
    int64_t predicted = 0;
    for (int i = 0; i < k.n; i++) {
        const bool last = k.target[i] < 0;
        CU_ASSERT_EQUAL(isnan(k.tok[i].nll) != 0, last);
        CU_ASSERT_EQUAL(last, i + 1 == k.n || k.tok[i + 1].pos == 0);
        nll += last ? 0.0 : (double)k.tok[i].nll;
        predicted += !last;
        depth += k.depth[i];
    }
    CU_ASSERT_EQUAL(k.n, 69);
    CU_ASSERT_EQUAL(r.fed, 69);
    CU_ASSERT_EQUAL(r.tokens, predicted);
    NEAR(r.nll, nll / (double)predicted, 1e-12);
    NEAR(r.mean_depth, depth / k.n, 1e-12);
    NEAR(r.depth_frac, r.mean_depth / 4, 1e-12);
    CU_ASSERT(r.depth_frac > 0.1 && r.depth_frac < 1.4);
    rad_model_close(m);
}

static void threads_do_not_change_a_bit(void)
{
    static const char *const policies[] = {"dense", "radial:budget=0.5", "skip:frac=0.5,seed=3",
                                           "oracle:theta=0.5"};
    static struct kept one, two;
    rad_model *m = net_open_plain(DIR "/threads", true);
    for (size_t p = 0; p < 4; p++) {
        const struct rad_eval_result a = evaluate(m, policies[p], 1, &one);
        const struct rad_eval_result b = evaluate(m, policies[p], 2, &two);
        CU_ASSERT_EQUAL(one.n, two.n);
        for (int i = 0; i < one.n; i++) {
            CU_ASSERT_EQUAL(memcmp(&one.tok[i].nll, &two.tok[i].nll, sizeof(float)), 0);
            CU_ASSERT_EQUAL(one.depth[i], two.depth[i]);
        }
        CU_ASSERT_EQUAL(a.nll, b.nll);
        CU_ASSERT_EQUAL(a.flop_frac, b.flop_frac);
    }
    rad_model_close(m);
}

static void token_files_are_checked(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } bad[] = {
        {"1 2 3\n4 x 5\n", "ids.txt:2: expected token ids but found 'x 5'", RAD_E_PARSE},
        {"1 256\n", "ids.txt:1: token id 256: the vocabulary has 0..255", RAD_E_RANGE},
        {"1 -2\n", "token id -2", RAD_E_RANGE},
        {"99999999999999999999 1\n", "expected token ids", RAD_E_PARSE},
        {"1 2.5\n", "expected token ids", RAD_E_PARSE},
        {"\n  \n", "expected token ids but found none", RAD_E_RANGE},
        {"1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 "
         "1 1 1 1 1\n",
         "49 tokens are more than the 48 positions", RAD_E_RANGE},
    };
    rad_model *m = net_open_plain(DIR "/ids", false);
    struct rad_tokens t = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(DIR "/ids.txt", bad[i].text);
        REFUSES(rad_tokens_add_ids(&t, m, DIR "/ids.txt", &err), bad[i].status, bad[i].message);
        rad_tokens_free(&t);
    }
    write_file(DIR "/text.txt", "0123456789abcdefghij");
    OK(rad_tokens_add_text(&t, m, DIR "/text.txt", 6, 0.5, &err));
    CU_ASSERT_EQUAL(t.n_seq, 2); /* the last 10 bytes: windows of 6 and 4 */
    CU_ASSERT_EQUAL(t.id[0], 'a');
    CU_ASSERT_EQUAL(t.first[1], 6);
    CU_ASSERT_EQUAL(t.first[2], 10);
    rad_tokens_free(&t);
    REFUSES(rad_tokens_add_text(&t, m, DIR "/text.txt", 49, 1.0, &err), RAD_E_ARG,
            "expected 2..48 tokens but found 49");
    rad_model_close(m);
}

/* Layers that the tokens of sequence `seq` execute, of ten in one batch. */
static void depths_of_ten(const rad_model *m, const char *policy, double depth[10])
{
    struct rad_engine_options o = net_options(m, policy, RAD_KV_HOLE);
    struct rad_row row[40];
    int32_t token[4];
    rad_engine *e = NULL;
    o.n_slot = 10;
    net_tokens(token, 4, 1);
    OK(rad_engine_open(&e, m, &o, &err));
    for (int32_t r = 0; r < 40; r++) {
        if (r % 4 == 0)
            rad_engine_start(e, r / 4, 100 + r / 4);
        row[r] = (struct rad_row){r / 4, token[r % 4]};
    }
    OK(rad_engine_forward(e, row, 40, RAD_ROUTE_EVAL, &err));
    for (int32_t r = 0; r < 40; r++)
        depth[r / 4] = (r % 4 == 0 ? 0.0 : depth[r / 4]) + rad_engine_depth(e, r) / 4.0;
    rad_engine_close(e);
}

/* Of any ten consecutive sequences 3 take the higher of two prices if the budget lies there. */
static void a_budget_between_two_rows_mixes_sequences(void)
{
    struct made_net net = {.folder = DIR "/mixed", .config = net_config(true), .seed = 5};
    double low[10], high[10], mixed[10];
    int n_high = 0;
    net.config.router.n_table = 2;
    memcpy(net.config.router.depth_frac, (const double[2]){0.2, 1.2}, 2 * sizeof(double));
    memcpy(net.config.router.price, (const double[2]){0.2, -1000.0}, 2 * sizeof(double));
    rad_model *m = net_open_made(&net);
    depths_of_ten(m, "radial:budget=0.1", low);
    depths_of_ten(m, "radial:budget=1.3", high);
    depths_of_ten(m, "radial:budget=0.5", mixed);
    CU_ASSERT(low[0] < high[0]);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(low[i], low[0]);
        CU_ASSERT_EQUAL(high[i], high[0]);
        CU_ASSERT(mixed[i] == low[0] || mixed[i] == high[0]);
        n_high += mixed[i] == high[0];
    }
    CU_ASSERT_EQUAL(n_high, 3);
    rad_model_close(m);
}

CU_TestInfo infer_tests[] = {
    {"dense is the plain network bit for bit", dense_is_the_plain_network_bit_for_bit},
    {"rows outside the model are refused and change nothing",
     rows_outside_the_model_are_refused_and_change_nothing},
    {"models with wrong tensors are refused", models_with_wrong_tensors_are_refused},
    {"the hash tells models apart", the_hash_tells_models_apart},
    {"evaluation sums up what it shows", evaluation_sums_up_what_it_shows},
    {"threads do not change a bit", threads_do_not_change_a_bit},
    {"a budget between two rows mixes sequences", a_budget_between_two_rows_mixes_sequences},
    {"token files are checked", token_files_are_checked},
    CU_TEST_INFO_NULL,
};
