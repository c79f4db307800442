/* test_trace_stats.c - statistics by hand arithmetic, exports that read back, full disks, time. */
#include "base/clock.h"
#include "base/json.h"
#include "test_trace.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef __has_feature /* clang's way to ask for sanitizers */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || !defined(__OPTIMIZE__)
#define SLOW_BUILD 1
#else
#define SLOW_BUILD 0
#endif

/* ---- statistics -------------------------------------------------------------------------- */

/* Three tokens on 2 layers. Residuals of attention in layer 0: |x|^2 = 100, |f|^2 = 1, 4, 9,
 * x.f = 0, so that ratio_in = 0.1, 0.2, 0.3; layer 1 has the MLP alone, aligned: x = 2, f = 1. */
static rad_trace *with_stats(void)
{
    const struct rad_trace_run run = trace_run(2);
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    OK(rad_dir_make("build/tmp", &err));
    OK(rad_trace_create(&w, TMP "stats.db", &run, &err));
    for (int32_t pos = 0; pos < 3; pos++) {
        struct rad_trace_token tok = trace_token(0, pos, pos == 2 ? 1 : 2);
        const float f = (float)(pos + 1);
        const struct rad_hop_rec hop[2] = {{0, BOTH, (uint32_t)pos + 1}, {1, RAD_HOP_MLP, 0}};
        const struct rad_hop_stat stat[2] = {{100, f * f, 0, 100, 0, 0, 1},
                                             {NAN, NAN, NAN, 4, 1, 2, NAN}};
        tok.phase = pos == 2 ? RAD_PHASE_DECODE : RAD_PHASE_PREFILL;
        OK(rad_trace_put(w, &tok, hop, stat, &err));
    }
    OK(rad_trace_finish(w, (double)NAN, true, &err));
    OK(rad_trace_open(&t, TMP "stats.db", &err));
    return t;
}

static void summary_matches_hand_arithmetic(void)
{
    rad_trace *t = with_stats();
    struct rad_trace_summary s;
    OK(rad_trace_summarise(&s, t, &err));
    CU_ASSERT_EQUAL_FATAL(s.n_hist, 3);
    CU_ASSERT(s.hist[0] == 0 && s.hist[1] == 1 && s.hist[2] == 2);
    CU_ASSERT(s.layer[0].visits == 3 && s.layer[0].attn == 3 && s.layer[0].mlp == 3);
    CU_ASSERT(s.layer[1].visits == 2 && s.layer[1].attn == 0 && s.layer[1].mlp == 2);
    CU_ASSERT(s.tokens[0] == 2 && s.tokens[1] == 1);
    CU_ASSERT_EQUAL(s.mean_depth[RAD_PHASE_PREFILL], 1.5);
    CU_ASSERT_EQUAL(s.mean_depth[RAD_PHASE_DECODE], 1);
    CU_ASSERT_EQUAL(s.mean_keys, 2);
    CU_ASSERT_EQUAL(s.layer[0].mean_keys, 2);
    CU_ASSERT_TRUE(isnan(s.layer[1].mean_keys));
    const struct rad_trace_ratios *attn = &s.layer[0].ratios[0], *mlp = &s.layer[1].ratios[1];
    CU_ASSERT_EQUAL(attn->ratio_in.n, 3);
    NEAR(attn->ratio_in.median, 0.2, 1e-6);
    NEAR(attn->ratio_in.p10, 0.12, 1e-6);
    NEAR(attn->ratio_in.p90, 0.28, 1e-6);
    NEAR(attn->ratio_out.median, 2 / sqrt(104.0), 1e-6);
    NEAR(attn->cos.median, 100 / sqrt(100.0 * 104), 1e-6);
    NEAR(mlp->ratio_in.median, 0.5, 1e-6);
    NEAR(mlp->ratio_out.median, 1.0 / 3, 1e-6); /* aligned: |f| / |x + f| */
    NEAR(mlp->cos.median, 1.0, 1e-6);
    CU_ASSERT_EQUAL(s.layer[1].ratios[0].ratio_in.n, 0);
    CU_ASSERT_TRUE(isnan(s.layer[1].ratios[0].ratio_in.median));
    CU_ASSERT_EQUAL(s.all[1].ratio_in.n, 5);
    NEAR(s.all[1].ratio_in.p90, 0.5, 1e-6);
    rad_trace_summary_free(&s);
    rad_trace_close(t);
}

/* ---- exports ----------------------------------------------------------------------------- */

static char *exported(const rad_trace *t, enum rad_trace_format format)
{
    char *text = NULL;
    FILE *to = fopen(TMP "export.txt", "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    OK(rad_trace_export(t, format, to, &err));
    CU_ASSERT_EQUAL(fclose(to), 0);
    OK(rad_file_read(TMP "export.txt", 1 << 20, &text, NULL, &err));
    return text;
}

static void csv_has_a_row_per_hop(void)
{
    rad_trace *t = with_stats();
    char *text = exported(t, RAD_TRACE_CSV);
    CU_ASSERT_STRING_EQUAL(text, "seq,pos,phase,token,nll,hop,layer,attn,mlp,project,copy,n_keys,"
                                 "a_attn,b_attn,c_attn,a_mlp,b_mlp,c_mlp,margin\n"
                                 "0,0,prefill,0,,0,0,1,1,0,0,1,100,1,0,100,0,0,1\n"
                                 "0,0,prefill,0,,1,1,0,1,0,0,0,,,,4,1,2,\n"
                                 "0,1,prefill,1,,0,0,1,1,0,0,2,100,4,0,100,0,0,1\n"
                                 "0,1,prefill,1,,1,1,0,1,0,0,0,,,,4,1,2,\n"
                                 "0,2,decode,2,,0,0,1,1,0,0,3,100,9,0,100,0,0,1\n");
    free(text);
    rad_trace_close(t);
}

/* What is exported as lines is imported as the same tokens and paths: keys that no rule gives,
 * hops of one sublayer, entries of skipped layers, float32 NLL to the last bit. */
static void lines_are_imported_as_they_were(void)
{
    static const struct {
        const char *lines;
        struct rad_trace_import_options opt;
    } cases[] = {
        {"{\"seq\":3,\"pos\":0,\"phase\":\"prefill\",\"path\":[2,0,2],\"nll\":0.1}\n"
         "{\"seq\":3,\"pos\":1,\"phase\":\"decode\",\"path\":[],\"token\":9}\n"
         "{\"seq\":4,\"pos\":0,\"phase\":\"decode\",\"path\":[1,{\"layer\":1,\"mlp\":false},"
         "{\"layer\":2,\"attn\":false,\"mlp\":false}],"
         "\"n_keys\":[7,3,0],\"nll\":1e-30}\n",
         {.kv = RAD_KV_HOLE}},
        {"{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[1]}\n"
         "{\"seq\":0,\"pos\":1,\"phase\":\"decode\",\"path\":[{\"layer\":2,\"attn\":false}]}\n",
         {.kv = RAD_KV_PROJECT}},
        {"{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[1]}\n", {.kv = RAD_KV_COPY}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rad_trace *first = imported(cases[i].lines, 3, &cases[i].opt);
        char *lines = exported(first, RAD_TRACE_JSONL);
        rad_trace *again = imported(lines, 3, &cases[i].opt);
        CU_ASSERT_STRING_EQUAL(rad_trace_hash(first), rad_trace_hash(again));
        CU_ASSERT_EQUAL(rad_trace_n_hop(first), rad_trace_n_hop(again));
        for (int64_t k = 0; k < rad_trace_n_token(first); k++) {
            const float a = rad_trace_tokens(first)[k].nll, b = rad_trace_tokens(again)[k].nll;
            CU_ASSERT(a == b || (isnan(a) && isnan(b)));
        }
        free(lines);
        rad_trace_close(first);
        rad_trace_close(again);
    }
}

/* Slices on one thread must nest: hops within their token, tokens one after another. */
static void perfetto_slices_nest(void)
{
    rad_trace *t = imported("{\"seq\":0,\"pos\":0,\"phase\":\"prefill\",\"path\":[2,0,2]}\n"
                            "{\"seq\":0,\"pos\":1,\"phase\":\"decode\",\"path\":[]}\n"
                            "{\"seq\":0,\"pos\":2,\"phase\":\"decode\",\"path\":[1]}\n",
                            3, NULL);
    char *text = exported(t, RAD_TRACE_PERFETTO);
    json_t *root = NULL, *event = NULL;
    size_t i = 0;
    int64_t end = 0, now = 0, tokens = 0, hops = 0;
    OK(rad_json_parse(&root, text, strlen(text), "export", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "1 us of the viewer is 1 hop, not measured time"));
    json_array_foreach(json_object_get(root, "traceEvents"), i, event)
    {
        if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0)
            continue;
        const int64_t ts = json_integer_value(json_object_get(event, "ts"));
        const int64_t dur = json_integer_value(json_object_get(event, "dur"));
        if (strncmp(json_string_value(json_object_get(event, "name")), "token", 5) == 0) {
            CU_ASSERT_EQUAL(ts, end);
            end = ts + dur;
            now = ts;
            tokens++;
        } else {
            CU_ASSERT(ts == now && ts + dur <= end);
            now = ts + dur;
            hops++;
        }
    }
    CU_ASSERT(tokens == 3 && hops == 4);
    json_decref(root);
    free(text);
    rad_trace_close(t);
}

static void a_full_disk_is_noticed(void)
{
    rad_trace *t = with_stats();
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) {
        CU_ASSERT_EQUAL(rad_trace_export(t, RAD_TRACE_CSV, full, &err), RAD_E_IO);
        fclose(full);
    }
    rad_trace_close(t);
}

/* When the disk is full (here: files may have 40 kB), nothing half-written stays. */
static void a_full_disk_leaves_nothing(void)
{
    const struct rad_card card = trace_card(12);
    const struct rad_trace_synth_options opt = {
        .card = &card, .policy = "dense", .prompt = 512, .n_seq = 20};
    struct rlimit old, small;
    OK(rad_dir_make("build/tmp", &err));
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 40000;
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    CU_ASSERT_EQUAL(rad_trace_synth(&opt, TMP "full.db", &err), RAD_E_DB);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    CU_ASSERT_NOT_EQUAL(access(TMP "full.db", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(TMP "full.db-wal", F_OK), 0);
}

/* ---- time -------------------------------------------------------------------------------- */

/* 10,000 tokens of 8 hops load in 30 ms (of this thread's time; sanitizers are slower). */
static void a_large_trace_loads_quickly(void)
{
    struct rad_trace_run run = trace_run(8);
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    struct rad_hop_rec hop[8];
    double best_s = 1e9;
    const double limit_s = SLOW_BUILD ? 0.6 : 0.03;
    for (uint16_t h = 0; h < 8; h++)
        hop[h] = (struct rad_hop_rec){.layer = h, .flags = BOTH, .n_keys = 1};
    OK(rad_trace_create(&w, TMP "large.db", &run, &err));
    for (int i = 0; i < 10000; i++) {
        const struct rad_trace_token tok = trace_token(i / 100, i % 100, 8);
        OK(rad_trace_put(w, &tok, hop, NULL, &err));
    }
    OK(rad_trace_finish(w, (double)NAN, true, &err));
    for (int i = 0; i < 5; i++) {
        const double start_s = rad_cpu_s();
        OK(rad_trace_open(&t, TMP "large.db", &err));
        const double took_s = rad_cpu_s() - start_s;
        best_s = took_s < best_s ? took_s : best_s;
        CU_ASSERT_EQUAL(rad_trace_n_hop(t), 80000);
        rad_trace_close(t);
    }
    if (best_s >= limit_s)
        fprintf(stderr, "\nloading took %g s\n", best_s);
    CU_ASSERT(best_s < limit_s);
}

CU_TestInfo trace_stats_tests[] = {
    {"summary matches hand arithmetic", summary_matches_hand_arithmetic},
    {"csv has a row per hop", csv_has_a_row_per_hop},
    {"lines are imported as they were", lines_are_imported_as_they_were},
    {"perfetto slices nest", perfetto_slices_nest},
    {"a full disk is noticed", a_full_disk_is_noticed},
    {"a full disk leaves nothing", a_full_disk_leaves_nothing},
    {"a large trace loads quickly", a_large_trace_loads_quickly},
    CU_TEST_INFO_NULL,
};
