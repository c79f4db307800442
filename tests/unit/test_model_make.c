/* test_model_make.c - models with made-up weights: sound numbers in every format, and refusals. */
#include "infer/infer.h"
#include "net_make.h"
#include "refuse.h"

enum { N = 12 };

static struct rad_model_config small(bool gpt2)
{
    struct rad_model_config c = net_config(false);
    c.card.d_model = 64, c.card.d_head = 16, c.card.ffn = 96;
    if (gpt2) {
        c.card.norm = RAD_NORM_LAYER, c.card.act = RAD_ACT_GELU, c.card.bias = RAD_BIAS_ALL;
        c.card.learned_positions = c.card.n_ctx, c.card.tied = true, c.card.n_kv = 4;
    }
    return c;
}

static void run(const rad_model *m, int32_t chunk, float *nll)
{
    struct rad_engine_options o = {.n_slot = 1, .threads = 1};
    struct rad_row row[N];
    int32_t target[N];
    rad_engine *e = NULL;
    OK(rad_route_parse(&o.route, "dense", 4, &err));
    OK(rad_engine_open(&e, m, &o, &err));
    rad_engine_start(e, 0, 0);
    for (int32_t i = 0; i < N; i++) {
        row[i] = (struct rad_row){0, 17 * i % NET_VOCAB};
        target[i] = 17 * (i + 1) % NET_VOCAB;
    }
    for (int32_t i = 0; i < N; i += chunk) {
        OK(rad_engine_forward(e, row + i, chunk, RAD_ROUTE_EVAL, &err));
        OK(rad_engine_nll(e, chunk, target + i, nll + i, &err));
    }
    CU_ASSERT_EQUAL(rad_engine_threads(e), 1);
    rad_engine_close(e);
}

/* Near the entropy of a uniform guess, and what decoding one by one gives. */
static void every_format_runs(void)
{
    for (int gpt2 = 0; gpt2 < 2; gpt2++)
        for (int type = 0; type <= RAD_MAT_Q4_0; type++) {
            const struct rad_model_config c = small(gpt2 > 0);
            float whole[N], fed[N];
            rad_model *m = NULL;
            OK(rad_model_make(&m, &c, (enum rad_mat_type)type, &err));
            CU_ASSERT_PTR_NULL(rad_model_tokenizer(m));
            const double bytes = rad_model_weight_bytes(m) /
                                 (double)rad_mat_row_bytes((enum rad_mat_type)type, 32) * 32.0;
            const double params = (double)rad_card_params(&c.card);
            CU_ASSERT(bytes > 0.9 * params && bytes < 1.1 * params);
            run(m, N, whole);
            run(m, 1, fed);
            for (int i = 0; i < N; i++) {
                CU_ASSERT(whole[i] > 1.0f && whole[i] < 20.0f);
                CU_ASSERT(fabs((double)whole[i] - (double)fed[i]) <= 1e-4);
            }
            CU_ASSERT(whole[1] != whole[2]);
            rad_model_close(m);
        }
}

static void other_models_are_refused(void)
{
    struct rad_model_config c = net_config(true);
    rad_model *m = NULL;
    REFUSES(rad_model_make(&m, &c, RAD_MAT_F32, &err), RAD_E_UNSUPPORTED, "plain decoders only");
    c = small(false);
    c.card.ffn = 100;
    REFUSES(rad_model_make(&m, &c, RAD_MAT_Q4_0, &err), RAD_E_ARG,
            "Q4_0 needs widths that are multiples of 32");
    CU_ASSERT_PTR_NULL(m);
}

CU_TestInfo model_make_tests[] = {
    {"every format runs", every_format_runs},
    {"other models are refused", other_models_are_refused},
    CU_TEST_INFO_NULL,
};
