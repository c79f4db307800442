/* test_infer_run.c - generation, the traces that runs write, residual profiles. */
#include "base/stat.h"
#include "infer/infer.h"
#include "net_make.h"
#include "refuse.h"

#include <stdlib.h>

#define DIR "build/tmp/infer_run"

enum { LEN = 12, NEW = 20 };

struct heard { /* by the token callback */
    int32_t id[64];
    bool prompt[64];
    double depth[64];
    int n;
};

static void hear(void *ctx, int32_t id, bool prompt, double depth)
{
    struct heard *h = ctx;
    h->id[h->n] = id;
    h->prompt[h->n] = prompt;
    h->depth[h->n++] = depth;
}

static struct rad_ids generate(const rad_model *m, const struct rad_generate_options *o,
                               struct rad_generate_result *r)
{
    int32_t id[LEN];
    const struct rad_ids prompt = {id, LEN};
    struct rad_ids out = {0};
    net_tokens(id, LEN, 4);
    OK(rad_generate(m, &prompt, o, &out, r, &err));
    return out;
}

static int32_t best_of(const float *z)
{
    int32_t best = 0;
    for (int32_t i = 1; i < NET_VOCAB; i++)
        if (z[i] > z[best])
            best = i;
    return best;
}

/* Every token of a greedy run is the likeliest one after all before it, by a run of the whole. */
static void greedy_text_is_what_evaluation_calls_likeliest(const char *policy)
{
    static float logits[(LEN + NEW) * NET_VOCAB];
    struct rad_row row[LEN + NEW];
    rad_model *m = net_open_plain(DIR "/greedy", true);
    const struct rad_generate_options o = {.engine = net_options(m, policy, RAD_KV_HOLE),
                                           .n_new = NEW};
    struct rad_generate_result r;
    struct rad_ids out = generate(m, &o, &r);
    rad_engine *e = NULL;
    int32_t id[LEN + NEW];
    CU_ASSERT_EQUAL_FATAL(out.n, NEW);
    net_tokens(id, LEN, 4);
    memcpy(id + LEN, out.id, NEW * sizeof *id);
    for (int i = 0; i < LEN + NEW; i++)
        row[i] = (struct rad_row){0, id[i]};
    OK(rad_engine_open(&e, m, &o.engine, &err));
    rad_engine_start(e, 0, 0);
    OK(rad_engine_forward(e, row, LEN + NEW, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_logits(e, 0, LEN + NEW, logits, &err));
    for (int i = LEN - 1; i + 1 < LEN + NEW; i++)
        CU_ASSERT_EQUAL(id[i + 1], best_of(logits + (size_t)i * NET_VOCAB));
    rad_engine_close(e);
    rad_ids_free(&out);
    rad_model_close(m);
}

static void greedy_text_is_the_likeliest(void)
{
    greedy_text_is_what_evaluation_calls_likeliest("dense");
    greedy_text_is_what_evaluation_calls_likeliest("radial:budget=1");
    greedy_text_is_what_evaluation_calls_likeliest("skip:frac=0.5,seed=8");
}

static void seeds_decide_what_is_drawn(void)
{
    rad_model *m = net_open_plain(DIR "/seeds", false);
    struct rad_generate_options o = {.engine = net_options(m, "dense", RAD_KV_HOLE),
                                     .n_new = NEW,
                                     .temperature = 1.0,
                                     .top_p = 1.0,
                                     .seed = 5};
    struct rad_generate_result r;
    struct rad_ids a = generate(m, &o, &r), b = generate(m, &o, &r);
    o.seed = 6;
    struct rad_ids c = generate(m, &o, &r);
    CU_ASSERT_EQUAL(memcmp(a.id, b.id, NEW * sizeof *a.id), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a.id, c.id, NEW * sizeof *a.id), 0);
    o.top_p = 0.0; /* nothing but the likeliest is left */
    struct rad_ids narrow = generate(m, &o, &r);
    o.temperature = 0.0;
    struct rad_ids greedy = generate(m, &o, &r);
    CU_ASSERT_EQUAL(memcmp(narrow.id, greedy.id, NEW * sizeof *greedy.id), 0);
    rad_ids_free(&a);
    rad_ids_free(&b);
    rad_ids_free(&c);
    rad_ids_free(&narrow);
    rad_ids_free(&greedy);
    rad_model_close(m);
}

/* The first drawn token follows softmax(logits / temperature), cut to the nucleus. */
static void draws_follow_the_distribution(void)
{
    enum { DRAWS = 1500 };
    rad_model *m = net_open_plain(DIR "/draws", false);
    struct rad_generate_options o = {.engine = net_options(m, "dense", RAD_KV_HOLE),
                                     .n_new = 1,
                                     .temperature = 0.7,
                                     .top_p = 0.6};
    int32_t id[2] = {70, 71};
    const struct rad_ids prompt = {id, 2};
    const struct rad_row row[2] = {{0, 70}, {0, 71}};
    struct rad_generate_result r;
    rad_engine *e = NULL;
    float z[NET_VOCAB];
    int count[NET_VOCAB] = {0};
    double p[NET_VOCAB], sum = 0.0, kept = 0.0;
    OK(rad_engine_open(&e, m, &o.engine, &err));
    rad_engine_start(e, 0, 0);
    OK(rad_engine_forward(e, row, 2, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_logits(e, 1, 1, z, &err));
    rad_engine_close(e);
    for (int i = 0; i < NET_VOCAB; i++)
        sum += p[i] = exp((double)z[i] / 0.7);
    for (int i = 0; i < DRAWS; i++) {
        struct rad_ids out = {0};
        o.seed = (uint64_t)i;
        OK(rad_generate(m, &prompt, &o, &out, &r, &err));
        count[out.id[0]]++;
        rad_ids_free(&out);
    }
    bool in[NET_VOCAB] = {false};
    int n_in = 0;
    for (; kept < 0.6 * sum; n_in++) { /* the nucleus */
        int best = -1;
        for (int i = 0; i < NET_VOCAB; i++)
            if (!in[i] && (best < 0 || p[i] > p[best]))
                best = i;
        in[best] = true;
        kept += p[best];
    }
    CU_ASSERT(n_in > 3 && n_in < 200);
    for (int i = 0; i < NET_VOCAB; i++) {
        const double q = in[i] ? p[i] / kept : 0.0;
        CU_ASSERT(fabs(count[i] - DRAWS * q) <= 5.0 * sqrt(DRAWS * q * (1.0 - q)) + 1e-9);
    }
    rad_model_close(m);
}

/* ---- where generation ends ----------------------------------------------------------------- */

static void generation_stops_where_it_must(void)
{
    struct made_net net = {.folder = DIR "/stop", .config = net_config(false), .seed = 1};
    rad_model *m = net_open_made(&net);
    struct rad_generate_options o = {.engine = net_options(m, "dense", RAD_KV_HOLE), .n_new = 100};
    struct rad_generate_result r;
    struct rad_ids out = generate(m, &o, &r);
    CU_ASSERT_EQUAL(out.n, 48 - LEN); /* the context is full */
    CU_ASSERT_EQUAL(r.n_new, 48 - LEN);
    rad_model_close(m);
    net.config.eos = out.id[3];
    int first = 0;
    while (out.id[first] != out.id[3])
        first++;
    m = net_open_made(&net);
    struct rad_ids cut = generate(m, &o, &r);
    CU_ASSERT_EQUAL((int)cut.n, first); /* the end token is not part of the text */
    rad_ids_free(&cut);
    rad_ids_free(&out);
    o.n_new = 0;
    out = generate(m, &o, &r);
    CU_ASSERT_EQUAL(out.n, 0);
    CU_ASSERT_EQUAL(r.n_prompt, LEN);
    rad_ids_free(&out);
    int32_t id[49] = {1};
    struct rad_ids prompt = {id, 0};
    REFUSES(rad_generate(m, &prompt, &o, &out, &r, &err), RAD_E_RANGE,
            "prompt: expected 1..48 tokens but found 0");
    prompt.n = 49;
    REFUSES(rad_generate(m, &prompt, &o, &out, &r, &err), RAD_E_RANGE, "but found 49");
    prompt.n = 1; /* nothing predicted: no NLL */
    OK(rad_generate(m, &prompt, &o, &out, &r, &err));
    CU_ASSERT(isnan(r.nll));
    rad_ids_free(&out);
    rad_model_close(m);
}

/* The published skipping runs prompts in full and decodes with the thinned layers. */
static void uls_thins_by_phase(void)
{
    rad_model *m = net_open_plain(DIR "/uls", false);
    const char *const policies[2] = {"uls:speedup=2", "uls:speedup=2,phase=all"};
    for (int all = 0; all < 2; all++) {
        struct heard h = {0};
        const struct rad_generate_options o = {.engine = net_options(m, policies[all], RAD_KV_HOLE),
                                               .n_new = NEW,
                                               .token = hear,
                                               .ctx = &h};
        struct rad_generate_result r;
        struct rad_ids out = generate(m, &o, &r);
        CU_ASSERT_EQUAL_FATAL(h.n, LEN + NEW);
        for (int i = 0; i < h.n; i++) {
            CU_ASSERT_EQUAL(h.prompt[i], i < LEN);
            CU_ASSERT_EQUAL(h.depth[i], i < LEN && !all ? 4.0 : 2.0);
            CU_ASSERT(i < LEN || h.id[i] == out.id[i - LEN]);
        }
        NEAR(r.mean_depth, all ? 2.0 : (4.0 * LEN + 2.0 * NEW) / (LEN + NEW), 1e-12);
        NEAR(r.depth_frac, r.mean_depth / 4.0, 1e-12);
        CU_ASSERT(r.forward_only && r.prefill_s > 0.0 && r.decode_s > 0.0);
        rad_ids_free(&out);
    }
    rad_model_close(m);
}

/* ---- traces -------------------------------------------------------------------------------- */

static void runs_leave_a_true_trace(void)
{
    rad_model *m = net_open_plain(DIR "/trace", true);
    struct rad_generate_options o = {.engine = net_options(m, "radial:budget=1", RAD_KV_HOLE),
                                     .n_new = NEW};
    struct rad_generate_result r;
    struct rad_run_text text;
    rad_trace *t = NULL;
    int64_t differ = -1;
    o.engine.stats = true;
    const struct rad_trace_run run = rad_trace_run_of(m, &o.engine, "run", NULL, &text);
    OK(rad_trace_create(&o.trace, DIR "/run.db", &run, &err));
    struct rad_ids out = generate(m, &o, &r);
    OK(rad_trace_finish(o.trace, r.nll, r.forward_only, &err));
    OK(rad_trace_open(&t, DIR "/run.db", &err));
    CU_ASSERT(rad_trace_complete(t));
    CU_ASSERT_EQUAL(rad_trace_n_token(t), LEN + NEW);
    NEAR(rad_trace_mean_depth(t), r.mean_depth, 1e-12);
    NEAR(rad_trace_run(t)->nll, r.nll, 1e-12);
    NEAR(rad_trace_measured_s(t, RAD_PHASE_DECODE), r.decode_s, 1e-12);
    CU_ASSERT_STRING_EQUAL(rad_trace_run(t)->model_hash, rad_model_hash(m));
    CU_ASSERT(rad_trace_run(t)->has_router);
    CU_ASSERT_EQUAL(rad_trace_run(t)->forward_only, r.forward_only);
    for (int i = 0; i < LEN + NEW; i++) {
        const struct rad_trace_token *tok = &rad_trace_tokens(t)[i];
        CU_ASSERT_EQUAL(tok->phase, i < LEN ? RAD_PHASE_PREFILL : RAD_PHASE_DECODE);
        CU_ASSERT(i < LEN || tok->token == out.id[i - LEN]);
    }
    for (int64_t i = 0; i < rad_trace_n_hop(t); i++)
        CU_ASSERT(rad_trace_stats(t)[i].margin >= 0.0f);
    OK(rad_trace_keys_differ(t, &differ, &err));
    CU_ASSERT_EQUAL(differ, 0);
    rad_trace_close(t);
    rad_ids_free(&out);
    rad_model_close(m);
}

/* Short runs whose any-order paths may all happen to go forward: keys still go by hops. */
static void short_routed_runs_count_keys_by_hop(void)
{
    int ran = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        const struct made_net net = {
            .folder = DIR "/short", .config = net_config(true), .seed = seed};
        rad_model *m = net_open_made(&net);
        struct rad_generate_options o = {
            .engine = net_options(m, "radial:budget=0.6", RAD_KV_HOLE)};
        const struct rad_trace_run run =
            rad_trace_run_of(m, &o.engine, "run", NULL, &(struct rad_run_text){0});
        int32_t id[4];
        const struct rad_ids prompt = {id, 4};
        struct rad_ids out = {0};
        struct rad_generate_result r;
        rad_trace *t = NULL;
        int64_t differ = -1;
        net_tokens(id, 4, seed);
        OK(rad_trace_create(&o.trace, DIR "/short.db", &run, &err));
        OK(rad_generate(m, &prompt, &o, &out, &r, &err));
        OK(rad_trace_finish(o.trace, r.nll, r.forward_only, &err));
        OK(rad_trace_open(&t, DIR "/short.db", &err));
        OK(rad_trace_keys_differ(t, &differ, &err));
        CU_ASSERT_EQUAL(differ, 0);
        CU_ASSERT(!r.forward_only);
        ran += rad_trace_n_visit(t) > 4;
        rad_trace_close(t);
        rad_ids_free(&out);
        rad_model_close(m);
    }
    CU_ASSERT(ran >= 5);
}

/* ---- profiles ------------------------------------------------------------------------------ */

static double squared_sum(const float abc[3])
{
    return (double)abc[0] + (double)abc[1] + 2.0 * (double)abc[2];
}

/* |x + f|^2 of one sublayer is |x|^2 of the next. */
static enum rad_status check_chain(void *ctx, const struct rad_trace_token *tok,
                                   const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                                   struct rad_err *e)
{
    CU_ASSERT_FATAL(stat != NULL);
    for (int i = 0; i < tok->n_hop; i++) {
        const float attn[3] = {stat[i].a_attn, stat[i].b_attn, stat[i].c_attn};
        const float mlp[3] = {stat[i].a_mlp, stat[i].b_mlp, stat[i].c_mlp};
        NEAR((double)stat[i].a_mlp, squared_sum(attn), 1e-4);
        if (i + 1 < tok->n_hop)
            NEAR((double)stat[i + 1].a_attn, squared_sum(mlp), 1e-4);
        CU_ASSERT(isnan(stat[i].margin)); /* no router ran */
    }
    return rad_profiler_add(ctx, tok, hop, stat, e);
}

static void profiles_are_quantiles_of_the_ratios(void)
{
    static const char ids[] = "1 2 3 4 5 6 7 8 9 10\n20 30 40 50 60 70 80\n";
    rad_model *m = net_open_plain(DIR "/profile", false);
    struct rad_tokens tokens = {0};
    struct rad_eval_options o = {net_options(m, "dense", RAD_KV_HOLE), false, NULL};
    struct rad_eval_result r;
    struct rad_profile p;
    rad_profiler *profiler = NULL;
    write_file(DIR "/ids.txt", ids);
    OK(rad_tokens_add_ids(&tokens, m, DIR "/ids.txt", &err));
    OK(rad_profiler_open(&profiler, 4, &err));
    const struct rad_eval_sinks sinks = {.path = check_chain, .ctx = profiler};
    o.engine.stats = true;
    OK(rad_eval_run(m, &tokens, &o, &sinks, &r, &err));
    OK(rad_profiler_result(profiler, &p, &err));
    CU_ASSERT_EQUAL(p.n_row, 8);
    CU_ASSERT_EQUAL(p.n, 8 * 17);
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(p.row[i].layer, i / 2);
        CU_ASSERT_EQUAL(p.row[i].n, 17);
        CU_ASSERT(p.row[i].ratio_in.p10 < p.row[i].ratio_in.median);
        CU_ASSERT(p.row[i].ratio_in.median < p.row[i].ratio_in.p90);
        CU_ASSERT(p.row[i].cos_in_out.p90 <= 1.0 && p.row[i].cos_in_out.p10 > -1.0);
    }
    rad_profile_free(&p);
    rad_profiler_close(profiler);
    rad_tokens_free(&tokens);
    rad_model_close(m);
}

/* Three runs with ratios that can be worked out by hand. */
static void profile_of_known_numbers(void)
{
    const struct rad_trace_token tok = {.n_hop = 3};
    const struct rad_hop_rec hop[3] = {
        {1, RAD_HOP_ATTN, 1}, {1, RAD_HOP_ATTN, 1}, {1, RAD_HOP_ATTN, 1}};
    struct rad_hop_stat stat[3];
    struct rad_profile p;
    rad_profiler *profiler = NULL;
    for (int i = 0; i < 3; i++) /* |x| = 2, |f| = 1, 2, 3, at right angles */
        stat[i] = (struct rad_hop_stat){4, (float)((i + 1) * (i + 1)), 0, NAN, NAN, NAN, NAN};
    OK(rad_profiler_open(&profiler, 2, &err));
    OK(rad_profiler_add(profiler, &tok, hop, stat, &err));
    OK(rad_profiler_result(profiler, &p, &err));
    NEAR(p.row[2].ratio_in.median, 1.0, 1e-6);
    NEAR(p.row[2].ratio_in.p10, 0.6, 1e-6); /* between 0.5 and 1 */
    NEAR(p.row[2].ratio_out.median, sqrt(4.0 / 8.0), 1e-6);
    NEAR(p.row[2].cos_in_out.median, sqrt(4.0 / 8.0), 1e-6);
    NEAR(p.ratio_in.median, 1.0, 1e-6);
    CU_ASSERT_EQUAL(p.row[2].n, 3);
    CU_ASSERT_EQUAL(p.row[3].n, 0); /* no MLP ran */
    CU_ASSERT(isnan(p.row[3].ratio_in.median));
    REFUSES(rad_profiler_add(profiler, &tok, hop, NULL, &err), RAD_E_ARG, "set stats");
    const struct rad_hop_rec beyond[3] = {{2, RAD_HOP_ATTN, 1}};
    REFUSES(rad_profiler_add(profiler, &tok, beyond, stat, &err), RAD_E_ARG, "layers 0..1");
    rad_profile_free(&p);
    rad_profiler_close(profiler);
}

CU_TestInfo infer_run_tests[] = {
    {"greedy text is the likeliest", greedy_text_is_the_likeliest},
    {"seeds decide what is drawn", seeds_decide_what_is_drawn},
    {"draws follow the distribution", draws_follow_the_distribution},
    {"generation stops where it must", generation_stops_where_it_must},
    {"uls thins by phase", uls_thins_by_phase},
    {"runs leave a true trace", runs_leave_a_true_trace},
    {"short routed runs count keys by hop", short_routed_runs_count_keys_by_hop},
    {"profiles are quantiles of the ratios", profiles_are_quantiles_of_the_ratios},
    {"profile of known numbers", profile_of_known_numbers},
    CU_TEST_INFO_NULL,
};
