/* arch_run.c - a model held against the NLLs of an independent reference. */
#include "arch_run.h"

#include "test.h"

#include <string.h>

struct rad_engine_options arch_options(const rad_model *m, const char *policy)
{
    struct rad_engine_options o = {.n_slot = 1};
    OK(rad_route_parse(&o.route, policy, rad_model_config(m)->card.n_layer, &err));
    return o;
}

/* NLLs of the tokens fed `chunk` at a time. */
static void run_tokens(const struct arch_run *m, const char *policy, enum rad_kv kv, int32_t chunk,
                       float *nll)
{
    struct rad_engine_options o = arch_options(m->net, policy);
    o.kv = kv;
    struct rad_row row[ARCH_MAX_TOKEN];
    int32_t target[ARCH_MAX_TOKEN];
    rad_engine *e = NULL;
    OK(rad_engine_open(&e, m->net, &o, &err));
    for (int32_t i = 0; i < m->n_token; i++) {
        row[i] = (struct rad_row){0, m->token[i]};
        target[i] = i + 1 < m->n_token ? m->token[i + 1] : -1;
    }
    rad_engine_start(e, 0, 0);
    for (int32_t i = 0; i < m->n_token; i += chunk) {
        const int32_t n = m->n_token - i < chunk ? m->n_token - i : chunk;
        OK(rad_engine_forward(e, row + i, n, RAD_ROUTE_EVAL, &err));
        OK(rad_engine_nll(e, n, target + i, nll + i, &err));
    }
    rad_engine_close(e);
}

double arch_distance(const struct arch_run *m, const float *got)
{
    double worst = 0.0;
    for (int i = 0; i < m->n_value; i++)
        worst = fabs((double)got[i] - m->value[i]) <= worst ? worst
                                                            : fabs((double)got[i] - m->value[i]);
    return worst;
}

static double apart(int n, const float *a, const float *b)
{
    double worst = 0.0;
    for (int i = 0; i < n; i++)
        worst = fabs((double)(a[i] - b[i])) <= worst ? worst : fabs((double)(a[i] - b[i]));
    return worst;
}

void arch_check_skips(const struct arch_run *m)
{
    static const char policy[] = "skip:frac=0.4,seed=3";
    float whole[3][ARCH_MAX_TOKEN], fed[ARCH_MAX_TOKEN];
    for (int kv = RAD_KV_HOLE; kv <= RAD_KV_COPY; kv++) {
        run_tokens(m, policy, (enum rad_kv)kv, m->n_token, whole[kv]);
        run_tokens(m, policy, (enum rad_kv)kv, 1, fed);
        CU_ASSERT(apart(m->n_value, whole[kv], fed) <= 1e-4);
    }
    CU_ASSERT(apart(m->n_value, whole[RAD_KV_HOLE], whole[RAD_KV_PROJECT]) > 1e-3);
    CU_ASSERT(apart(m->n_value, whole[RAD_KV_PROJECT], whole[RAD_KV_COPY]) > 1e-3);
}

void arch_check_text(const struct arch_run *m)
{
    float whole[ARCH_MAX_TOKEN], fed[ARCH_MAX_TOKEN], odd[ARCH_MAX_TOKEN];
    run_tokens(m, "dense", RAD_KV_HOLE, m->n_token, whole);
    run_tokens(m, "dense", RAD_KV_HOLE, 1, fed);
    run_tokens(m, "dense", RAD_KV_HOLE, 5, odd);
    const double off = arch_distance(m, whole);
    if (!(off <= 1e-4))
        fprintf(stderr, "\n%s: NLL off by %g\n", m->name, off);
    CU_ASSERT(off <= 1e-4); /* 1e-3 is asked for */
    CU_ASSERT(apart(m->n_value, whole, fed) <= 1e-4);
    CU_ASSERT(apart(m->n_value, whole, odd) <= 1e-4);
    run_tokens(m, "oracle:theta=0", RAD_KV_HOLE, m->n_token,
               odd); /* looks at all, discards nothing */
    CU_ASSERT(apart(m->n_value, whole, odd) <= 1e-4);
    run_tokens(m, "oracle:theta=1", RAD_KV_HOLE, m->n_token, odd);
    CU_ASSERT(apart(m->n_value, whole, odd) > 1e-2);
}

struct seen {
    float nll[2 * ARCH_MAX_TOKEN];
    int n;
};

static enum rad_status keep_nll(void *ctx, const struct rad_trace_token *tok, int32_t target,
                                double depth, struct rad_err *e)
{
    struct seen *s = ctx;
    (void)target;
    (void)depth;
    (void)e;
    s->nll[s->n++] = tok->nll;
    return RAD_OK;
}

void arch_check_threads(const struct arch_run *m)
{
    struct seen seen[2] = {{{0}, 0}, {{0}, 0}};
    int32_t token[ARCH_MAX_TOKEN]; /* rad_tokens wants it writable */
    int64_t first[3] = {0, m->n_token / 2, m->n_token};
    memcpy(token, m->token, sizeof token);
    const struct rad_tokens tokens = {token, first, 2};
    for (int i = 0; i < 2; i++) {
        struct rad_eval_result r;
        rad_pool *pool = NULL;
        OK(rad_pool_open(&pool, i + 1, &err));
        const struct rad_eval_options o = {arch_options(m->net, "dense"), false, pool};
        const struct rad_eval_sinks sinks = {.token = keep_nll, .ctx = &seen[i]};
        OK(rad_eval_run(m->net, &tokens, &o, &sinks, &r, &err));
        rad_pool_close(pool);
    }
    CU_ASSERT_EQUAL(seen[0].n, m->n_token);
    CU_ASSERT_EQUAL(memcmp(&seen[0], &seen[1], sizeof seen[0]), 0);
}
