/* generate.c - prompt in, tokens out, with a trace of what each token did. */
#include "base/clock.h"
#include "base/rng.h"
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    float p;
    int32_t id;
};

static int by_probability(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->p > y->p || x->p < y->p)
        return x->p > y->p ? -1 : 1;
    return x->id - y->id;
}

/* Nucleus sampling (Holtzman et al., arXiv 1904.09751); temperature 0 takes the best, ties to the
 * lower id. scratch holds n choices. -1: the logits are no numbers. */
static int32_t sample(const float *logits, int32_t n, const struct rad_generate_options *o,
                      rad_rng *rng, struct choice *scratch)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    if (o->temperature <= 0)
        return isfinite(logits[best]) ? best : -1;
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double z = ((double)logits[i] - (double)logits[best]) / o->temperature;
        scratch[i] = (struct choice){(float)exp(z), i};
        sum += (double)scratch[i].p;
    }
    if (!isfinite(sum))
        return -1;
    qsort(scratch, (size_t)n, sizeof *scratch, by_probability);
    double kept = 0.0;
    int32_t m = 0;
    while (m < n && (m == 0 || kept < o->top_p * sum))
        kept += (double)scratch[m++].p;
    double u = rad_rng_uniform(rng) * kept;
    for (int32_t i = 0; i < m; i++) {
        u -= (double)scratch[i].p;
        if (u < 0)
            return scratch[i].id;
    }
    return scratch[m - 1].id;
}

struct run {
    rad_engine *e;
    const struct rad_generate_options *o;
    struct rad_generate_result *r;
    float *nll;
    int64_t fed;
};

static bool increasing(const struct rad_hop_rec *hop, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        if (hop[i].layer <= hop[i - 1].layer)
            return false;
    return true;
}

/* Count, show and trace the rows of the last forward call. */
static enum rad_status settle(struct run *run, const struct rad_row *row, int32_t n,
                              enum rad_phase phase, struct rad_err *err)
{
    for (int32_t i = 0; i < n; i++) {
        const struct rad_hop_rec *hop;
        const struct rad_hop_stat *stat;
        const int32_t hops = rad_engine_path(run->e, i, &hop, &stat);
        const double depth = rad_engine_depth(run->e, i);
        run->r->mean_depth += depth;
        run->r->forward_only = run->r->forward_only && increasing(hop, hops);
        run->fed++;
        if (run->o->token != NULL)
            run->o->token(run->o->ctx, row[i].token, phase == RAD_PHASE_PREFILL, depth);
        const struct rad_trace_token tok = {.seq = 0,
                                            .pos = rad_engine_pos(run->e, i),
                                            .phase = phase,
                                            .token = row[i].token,
                                            .nll = run->nll[i],
                                            .n_hop = hops};
        if (run->o->trace != NULL)
            RAD_TRY(rad_trace_put(run->o->trace, &tok, hop, stat, err));
    }
    return RAD_OK;
}

static enum rad_status prefill(struct run *run, const struct rad_ids *prompt, float *logits,
                               struct rad_err *err)
{
    const int32_t n = (int32_t)prompt->n;
    struct rad_row *row = malloc((size_t)n * sizeof *row);
    int32_t *target = malloc((size_t)n * sizeof *target);
    enum rad_status status =
        row != NULL && target != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "run: out of memory");
    for (int32_t i = 0; i < n && status == RAD_OK; i++) {
        row[i] = (struct rad_row){0, prompt->id[i]};
        target[i] = i + 1 < n ? prompt->id[i + 1] : -1;
    }
    if (status == RAD_OK && run->o->trace != NULL) { /* which keeps times: of warm memory */
        status = rad_engine_forward(run->e, row, n, RAD_ROUTE_PREFILL, err);
        rad_engine_start(run->e, 0, 0);
    }
    const double start = rad_now_s();
    if (status == RAD_OK)
        status = rad_engine_forward(run->e, row, n, RAD_ROUTE_PREFILL, err);
    if (status == RAD_OK)
        status = rad_engine_logits(run->e, n - 1, 1, logits, err);
    run->r->prefill_s = rad_now_s() - start;
    if (status == RAD_OK)
        status = rad_engine_nll(run->e, n, target, run->nll, err);
    run->r->nll = n > 1 ? 0.0 : (double)NAN;
    for (int32_t i = 0; i + 1 < n && status == RAD_OK; i++)
        run->r->nll += (double)run->nll[i] / (n - 1);
    if (status == RAD_OK)
        status = settle(run, row, n, RAD_PHASE_PREFILL, err);
    free(row);
    free(target);
    return status;
}

/* Append up to n_new tokens to out; stops at the end-of-sequence token or a full context. */
static enum rad_status decode(struct run *run, const rad_model *m, rad_rng *rng, float *logits,
                              struct rad_ids *out, struct rad_err *err)
{
    const struct rad_generate_options *o = run->o;
    const int32_t vocab = m->config.card.vocab, n_ctx = m->config.card.n_ctx;
    struct choice *scratch = malloc((size_t)vocab * sizeof *scratch);
    enum rad_status status = scratch != NULL ? RAD_OK
                                             : rad_fail(err, RAD_E_NOMEM, "run: out of memory");
    run->nll[0] = NAN;
    for (int32_t i = 0; i < o->n_new && status == RAD_OK; i++) {
        const int32_t id = sample(logits, vocab, o, rng, scratch);
        if (id < 0)
            status = rad_prediction_check(NAN, 0, run->fed - 1, err);
        if (id < 0 || id == m->config.eos || run->fed >= n_ctx)
            break;
        out->id[out->n++] = id;
        const struct rad_row row = {0, id};
        const double start = rad_now_s();
        status = rad_engine_forward(run->e, &row, 1, RAD_ROUTE_DECODE, err);
        if (status == RAD_OK)
            status = rad_engine_logits(run->e, 0, 1, logits, err);
        run->r->decode_s += rad_now_s() - start;
        if (status == RAD_OK)
            status = settle(run, &row, 1, RAD_PHASE_DECODE, err);
        run->r->n_new++;
    }
    free(scratch);
    return status;
}

static enum rad_status timings(const struct run *run, struct rad_err *err)
{
    if (run->o->trace == NULL)
        return RAD_OK;
    RAD_TRY(rad_trace_timing(run->o->trace, 0, RAD_PHASE_PREFILL, run->r->prefill_s, err));
    return rad_trace_timing(run->o->trace, 0, RAD_PHASE_DECODE, run->r->decode_s, err);
}

enum rad_status rad_generate(const rad_model *m, const struct rad_ids *prompt,
                             const struct rad_generate_options *opt, struct rad_ids *out,
                             struct rad_generate_result *result, struct rad_err *err)
{
    const struct rad_card *c = &m->config.card;
    *result = (struct rad_generate_result){.n_prompt = (int32_t)prompt->n};
    result->forward_only = !opt->engine.route.policy->any_order; /* else keys go by hops */
    *out = (struct rad_ids){0};
    if (prompt->n == 0 || prompt->n > (size_t)c->n_ctx)
        return rad_fail(err, RAD_E_RANGE, "prompt: expected 1..%d tokens but found %zu", c->n_ctx,
                        prompt->n);
    struct run run = {.o = opt, .r = result};
    rad_rng *rng = NULL;
    float *logits = malloc((size_t)c->vocab * sizeof *logits);
    run.nll = malloc(prompt->n * sizeof *run.nll);
    out->id = malloc(((size_t)opt->n_new + 1) * sizeof *out->id);
    enum rad_status status =
        logits && run.nll && out->id ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "run: out of memory");
    if (status == RAD_OK)
        status = rad_engine_open(&run.e, m, &opt->engine, err);
    if (status == RAD_OK)
        status = rad_rng_open(&rng, opt->seed, 0, err);
    if (status == RAD_OK) {
        rad_engine_start(run.e, 0, 0);
        status = prefill(&run, prompt, logits, err);
    }
    if (status == RAD_OK)
        status = decode(&run, m, rng, logits, out, err);
    if (status == RAD_OK)
        status = timings(&run, err);
    if (run.fed > 0)
        result->mean_depth /= (double)run.fed;
    result->depth_frac = result->mean_depth / c->n_layer;
    rad_rng_close(rng);
    rad_engine_close(run.e);
    free(run.nll);
    free(logits);
    if (status != RAD_OK)
        rad_ids_free(out);
    return status;
}
