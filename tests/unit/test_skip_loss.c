/* test_skip_loss.c - a sublayer left out is a network in which it adds zero. */
#include "net_make.h"
#include "refuse.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DIR "build/tmp/skip-loss"

enum { LEN = 9, N_SEQ = 3, N_LAYER = 4, N_ROW = N_SEQ * (LEN - 1) * 2 * N_LAYER };

static int32_t id[N_SEQ * LEN];
static int64_t first[N_SEQ + 1] = {0, LEN, 2 * LEN, 3 * LEN};
static const struct rad_tokens tokens = {id, first, N_SEQ};

struct rows {
    struct rad_skip_loss row[N_ROW];
    size_t n;
};

static enum rad_status keep(void *ctx, const struct rad_skip_loss *row, struct rad_err *e)
{
    struct rows *r = ctx;
    if (r->n == N_ROW)
        return rad_fail(e, RAD_E_RANGE, "too many rows");
    r->row[r->n++] = *row;
    return RAD_OK;
}

static struct rows tried(const rad_model *m, int64_t n_token, int threads)
{
    struct rows r = {.n = 0};
    struct rad_skip_loss_options o = {.n_token = n_token, .row = keep, .ctx = &r};
    OK(rad_pool_open(&o.pool, threads, &err));
    OK(rad_skip_loss_run(m, &tokens, &o, &err));
    rad_pool_close(o.pool);
    return r;
}

static enum rad_status keep_nll(void *ctx, const struct rad_trace_token *tok, int32_t target,
                                double depth, struct rad_err *e)
{
    (void)target, (void)depth, (void)e;
    ((float *)ctx)[tok->seq * LEN + tok->pos] = tok->nll;
    return RAD_OK;
}

/* nll[N_SEQ * LEN] of a network, whole windows at once. */
static void evaluate(const rad_model *m, float *nll)
{
    const struct rad_eval_options o = {.engine = net_options(m, "dense", RAD_KV_HOLE)};
    const struct rad_eval_sinks sinks = {.token = keep_nll, .ctx = nll};
    struct rad_eval_result r;
    OK(rad_eval_run(m, &tokens, &o, &sinks, &r, &err));
}

static rad_model *open_with(const char *zero)
{
    const struct made_net net = {
        .folder = DIR, .config = net_config(false), .seed = 6, .zero = zero};
    net_tokens(id, N_SEQ * LEN, 9);
    return net_open_made(&net);
}

/* In the first token nothing else sees the change, in the last layer nothing comes after it: there
 * a network whose output matrix is zero has the loss of the trial. */
static void check_against_zeros(const struct rows *r, int32_t layer, bool mlp)
{
    char name[64];
    float nll[N_SEQ * LEN];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer,
             mlp ? "mlp.down_proj" : "self_attn.o_proj");
    rad_model *m = open_with(name);
    evaluate(m, nll);
    int compared = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct rad_skip_loss *s = &r->row[i];
        if (s->layer != layer || s->mlp != mlp || (s->pos > 0 && layer < N_LAYER - 1))
            continue;
        CU_ASSERT(fabsf(s->nll + s->delta - nll[s->seq * LEN + s->pos]) < 1e-5f);
        compared++;
    }
    CU_ASSERT_EQUAL(compared, layer < N_LAYER - 1 ? N_SEQ : N_SEQ * (LEN - 1));
    rad_model_close(m);
}

static void trials_equal_networks_with_zeros(void)
{
    float nll[N_SEQ * LEN];
    rad_model *m = open_with(NULL);
    const struct rows r = tried(m, 1000, 1);
    double size = 0.0;
    evaluate(m, nll);
    CU_ASSERT_EQUAL(r.n, N_ROW);
    for (size_t i = 0; i < r.n; i++) {
        const struct rad_skip_loss *s = &r.row[i];
        CU_ASSERT(fabsf(s->nll - nll[s->seq * LEN + s->pos]) < 1e-5f); /* trials leave nothing */
        CU_ASSERT(s->ratio_in > 0 && s->ratio_out > 0 && fabsf(s->cos_in_out) <= 1);
        size += fabs((double)s->delta);
    }
    CU_ASSERT(size / (double)r.n > 1e-3); /* and do something */
    rad_model_close(m);
    for (int32_t layer = 0; layer < N_LAYER; layer++)
        for (int mlp = 0; mlp < 2; mlp++)
            check_against_zeros(&r, layer, mlp != 0);
}

static void some_tokens_are_spread_evenly(void)
{
    rad_model *m = open_with(NULL);
    const struct rows all = tried(m, 1000, 1), some = tried(m, 6, 1), two = tried(m, 6, 2);
    CU_ASSERT_EQUAL(some.n, 6 * 2 * N_LAYER);
    for (int64_t n = 1; n <= N_SEQ * (LEN - 1); n++) /* exactly as many as were asked for */
        CU_ASSERT_EQUAL(tried(m, n, 1).n, (size_t)n * 2 * N_LAYER);
    CU_ASSERT(two.n == some.n && memcmp(&two, &some, sizeof some) == 0);
    for (size_t i = 0; i < some.n; i++) {
        const struct rad_skip_loss *s = &some.row[i];
        const size_t token = (size_t)s->seq * (LEN - 1) + (size_t)s->pos;
        CU_ASSERT_EQUAL(token, 4 * (i / (2 * N_LAYER)) + 3);
        const struct rad_skip_loss *same = &all.row[token * 2 * N_LAYER + i % (2 * N_LAYER)];
        CU_ASSERT(fabsf(s->delta - same->delta) < 1e-5f && s->mlp == same->mlp);
    }
    rad_model_close(m);
}

static void nothing_to_predict_is_refused(void)
{
    struct rad_skip_loss_options o = {.n_token = 1, .row = keep};
    int64_t ends[] = {0, 1};
    rad_model *m = open_with(NULL);
    const struct rad_tokens one = {id, ends, 1};
    REFUSES(rad_skip_loss_run(m, &one, &o, &err), RAD_E_ARG, "expected tokens to predict");
    rad_model_close(m);
}

CU_TestInfo skip_loss_tests[] = {
    {"trials equal networks with zeros", trials_equal_networks_with_zeros},
    {"some tokens are spread evenly", some_tokens_are_spread_evenly},
    {"nothing to predict is refused", nothing_to_predict_is_refused},
    CU_TEST_INFO_NULL,
};
