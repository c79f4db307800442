/* test_infer_block.c - cosines of states across a layer, and block influence. */
#include "infer/engine.h"
#include "net_make.h"
#include "test.h"

#include <string.h>

#define DIR "build/tmp/block"

enum { N = 12, D = 32 };

static double cosine(const float *x, const float *y)
{
    double xy = 0.0, xx = 0.0, yy = 0.0;
    for (int i = 0; i < D; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

/* One layer: the state before it is the token's embedding, that after it is what is left. */
static void influence_is_one_minus_the_mean_cosine(void)
{
    struct made_net net = {.folder = DIR, .config = net_config(false), .seed = 8};
    net.config.card.n_layer = net.config.card.max_hops = net.config.router.max_hops = 1;
    rad_model *m = net_open_made(&net);
    struct rad_engine_options o = net_options(m, "dense", RAD_KV_HOLE);
    struct rad_row row[N];
    int32_t id[N];
    double mean = 0.0;
    rad_engine *e = NULL;
    rad_profiler *p = NULL;
    struct rad_profile profile;
    o.stats = true;
    net_tokens(id, N, 4);
    for (int i = 0; i < N; i++)
        row[i] = (struct rad_row){0, id[i]};
    OK(rad_engine_open(&e, m, &o, &err));
    OK(rad_profiler_open(&p, 1, &err));
    rad_engine_start(e, 0, 0);
    OK(rad_engine_forward(e, row, N, RAD_ROUTE_EVAL, &err));
    for (int i = 0; i < N; i++) {
        const struct rad_hop_rec *hop;
        const struct rad_trace_token tok = {.n_hop = rad_engine_path(e, i, &hop, NULL)};
        float before[D];
        rad_mat_row(&m->embed, id[i], before);
        const double want = cosine(before, e->h + (size_t)i * D);
        CU_ASSERT(fabs((double)rad_engine_cosines(e, i)[0] - want) < 1e-5);
        mean += want / N;
        OK(rad_profiler_add_block(p, &tok, hop, rad_engine_cosines(e, i), &err));
    }
    OK(rad_profiler_result(p, &profile, &err));
    CU_ASSERT(fabs(profile.influence[0] - (1.0 - mean)) < 1e-5);
    CU_ASSERT(fabs(mean) < 0.99); /* the layer does something */
    rad_profile_free(&profile);
    rad_profiler_close(p);
    rad_engine_close(e);
    rad_model_close(m);
}

/* By family and shape: the paper has OPT-125M and OPT-66B, not OPT-350M nor a GPT-2 of that shape.
 */
static void published_ratios_are_found_by_shape(void)
{
    static const struct {
        const char *family;
        int32_t n_layer, d_model;
        double median; /* 0: none */
    } rows[] = {{"opt", 12, 768, 0.20},
                {"opt", 64, 9216, 0.059},
                {"vit", 32, 1280, 0.07},
                {"opt", 24, 1024, 0.0},
                {"gpt2", 12, 768, 0.0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rad_model_config c = {
            .card = {.n_layer = rows[i].n_layer, .d_model = rows[i].d_model}};
        snprintf(c.model_type, sizeof c.model_type, "%s", rows[i].family);
        const struct rad_published_ratio *p = rad_published_ratio(&c);
        CU_ASSERT_EQUAL(p == NULL, rows[i].median <= 0.0);
        CU_ASSERT(p == NULL || fabs(p->median - rows[i].median) < 1e-9);
    }
}

CU_TestInfo infer_block_tests[] = {
    {"published ratios are found by shape", published_ratios_are_found_by_shape},
    {"influence is one minus the mean cosine", influence_is_one_minus_the_mean_cosine},
    CU_TEST_INFO_NULL,
};
