/* eval.c - teacher-forced evaluation: windows in parallel, results in order. */
#include "base/clock.h"
#include "base/hash.h"
#include "infer/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct window { /* the result of one sequence, kept until its turn to be written */
    float *nll;
    double *depth, seconds, flop;
    int32_t *n_hop;
    struct rad_hop_rec *hop;
    struct rad_hop_stat *stat;
    float *cos; /* with stat */
    enum rad_status status;
    struct rad_err err;
};

/* FLOP by spec's lowering, worked out once: a layer by its flags, and what a key adds to it. */
struct flop_table {
    double layer[16], key, head, router; /* layer: without keys; router: one step */
};

struct round { /* a few windows per thread, then a flush in order */
    const struct rad_tokens *tokens;
    const struct rad_eval_options *opt;
    rad_engine **engine; /* [threads] */
    struct window *window;
    int64_t first;
    struct flop_table flop;
};

/* ---- one window ---------------------------------------------------------------------------- */

static double flop_sum(const struct rad_op *ops, int n)
{
    double flop = 0.0;
    for (int i = 0; i < n; i++)
        flop += ops[i].flop;
    return flop;
}

static struct flop_table flop_table_of(const struct rad_card *c)
{
    struct flop_table t = {.key = 4.0 * c->d_head * c->n_head};
    struct rad_op ops[RAD_LOWER_MAX];
    for (int flags = 0; flags < 16; flags++) {
        const struct rad_group g = {.m = 1,
                                    .m_attn = flags & RAD_HOP_ATTN ? 1 : 0,
                                    .m_mlp = flags & RAD_HOP_MLP ? 1 : 0,
                                    .m_kv_only = flags & RAD_HOP_PROJECT ? 1 : 0,
                                    .n_seq = 1};
        t.layer[flags] = flop_sum(ops, rad_lower_layer(c, RAD_F32, &g, ops));
    }
    t.head = flop_sum(ops, rad_lower_head(c, RAD_F32, 1, ops));
    t.router = flop_sum(ops, rad_lower_router(c, RAD_F32, 1, ops));
    return t;
}

/* FLOP of a row's path: its layers, the router and the head. */
static double flop_of(const rad_engine *e, const struct flop_table *t, int32_t r)
{
    const struct path *p = &e->path[r];
    double flop = t->head;
    for (int32_t i = 0; i < p->n; i++)
        flop += t->layer[p->hop[i].flags & 15] + t->key * p->hop[i].n_keys;
    if (e->router)
        flop += t->router * (p->n < e->max_time ? p->n + 1 : p->n);
    return flop;
}

static void keep_rows(const rad_engine *e, const struct flop_table *flop, struct window *w,
                      int32_t first, int32_t n)
{
    for (int32_t r = 0; r < n; r++) {
        const struct rad_hop_rec *hop;
        const struct rad_hop_stat *stat;
        const int32_t hops = rad_engine_path(e, r, &hop, &stat), at = (first + r) * e->max_time;
        memcpy(w->hop + at, hop, (size_t)hops * sizeof *hop);
        if (stat != NULL) {
            memcpy(w->stat + at, stat, (size_t)hops * sizeof *stat);
            memcpy(w->cos + at, rad_engine_cosines(e, r), (size_t)hops * sizeof *w->cos);
        }
        w->n_hop[first + r] = hops;
        w->depth[first + r] = rad_engine_depth(e, r);
        w->flop += flop_of(e, flop, r);
    }
}

static enum rad_status run_window(rad_engine *e, const struct round *round, int64_t s,
                                  struct window *w, struct rad_err *err)
{
    const int64_t at = round->tokens->first[s];
    const int32_t n = (int32_t)(round->tokens->first[s + 1] - at);
    const int32_t chunk = round->opt->decode ? 1 : n;
    struct rad_row *row = malloc((size_t)n * sizeof *row);
    int32_t *target = malloc((size_t)n * sizeof *target);
    enum rad_status status =
        row != NULL && target != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "eval: out of memory");
    for (int32_t i = 0; i < n && status == RAD_OK; i++) {
        row[i] = (struct rad_row){0, round->tokens->id[at + i]};
        target[i] = i + 1 < n ? round->tokens->id[at + i + 1] : -1;
    }
    w->flop = 0.0;
    const double start = rad_now_s();
    rad_engine_start(e, 0, s);
    for (int32_t i = 0; i < n && status == RAD_OK; i += chunk) {
        status = rad_engine_forward(e, row + i, chunk, RAD_ROUTE_EVAL, err);
        if (status == RAD_OK)
            status = rad_engine_nll(e, chunk, target + i, w->nll + i, err);
        if (status == RAD_OK)
            keep_rows(e, &round->flop, w, i, chunk);
    }
    w->seconds = rad_now_s() - start;
    free(row);
    free(target);
    return status;
}

static void window_task(void *ctx, int task, int thread)
{
    struct round *r = ctx;
    struct window *w = &r->window[task];
    w->status = run_window(r->engine[thread], r, r->first + task, w, &w->err);
}

/* ---- flushing ------------------------------------------------------------------------------ */

struct totals {
    double nll, depth, flop, dense_flop, seconds;
    int64_t predicted, fed;
    bool forward_only;
};

static double dense_flop(const struct rad_card *c, const struct flop_table *t, int32_t pos)
{
    return c->n_layer * (t->layer[RAD_HOP_ATTN | RAD_HOP_MLP] + t->key * (pos + 1.0)) + t->head;
}

static bool increasing(const struct rad_hop_rec *hop, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        if (hop[i].layer <= hop[i - 1].layer)
            return false;
    return true;
}

static enum rad_status flush(const struct rad_model *m, const struct round *round, int64_t s,
                             const struct window *w, const struct rad_eval_sinks *sinks,
                             struct totals *t, struct rad_err *err)
{
    const struct rad_tokens *tokens = round->tokens;
    const int64_t at = tokens->first[s];
    const int32_t n = (int32_t)(tokens->first[s + 1] - at);
    const int32_t cap = round->engine[0]->max_time;
    for (int32_t i = 0; i < n; i++) {
        const struct rad_trace_token tok = {
            .seq = s,
            .pos = i,
            .token = tokens->id[at + i],
            .phase = round->opt->decode && i > 0 ? RAD_PHASE_DECODE : RAD_PHASE_PREFILL,
            .nll = w->nll[i],
            .n_hop = w->n_hop[i]};
        const struct rad_hop_rec *hop = w->hop + (size_t)i * (size_t)cap;
        if (i + 1 < n)
            RAD_TRY(rad_prediction_check(w->nll[i], s, i, err));
        t->forward_only = t->forward_only && increasing(hop, tok.n_hop);
        if (sinks->trace != NULL)
            RAD_TRY(rad_trace_put(sinks->trace, &tok, hop,
                                  w->stat ? w->stat + (size_t)i * (size_t)cap : NULL, err));
        if (sinks->token != NULL)
            RAD_TRY(sinks->token(sinks->ctx, &tok, i + 1 < n ? tokens->id[at + i + 1] : -1,
                                 w->depth[i], err));
        if (sinks->path != NULL)
            RAD_TRY(sinks->path(sinks->ctx, &tok, hop,
                                w->stat ? w->stat + (size_t)i * (size_t)cap : NULL, err));
        if (sinks->block != NULL && w->cos != NULL)
            RAD_TRY(sinks->block(sinks->ctx, &tok, hop, w->cos + (size_t)i * (size_t)cap, err));
        if (i + 1 < n) {
            t->nll += (double)w->nll[i];
            t->predicted++;
        }
        t->depth += w->depth[i];
        t->dense_flop += dense_flop(&m->config.card, &round->flop, i);
    }
    t->fed += n;
    t->flop += w->flop;
    t->seconds += w->seconds;
    if (sinks->trace == NULL)
        return RAD_OK;
    return rad_trace_timing(sinks->trace, s,
                            round->opt->decode ? RAD_PHASE_DECODE : RAD_PHASE_PREFILL, w->seconds,
                            err);
}

/* ---- the run ------------------------------------------------------------------------------- */

static void close_window(struct window *w)
{
    free(w->nll);
    free(w->depth);
    free(w->n_hop);
    free(w->hop);
    free(w->stat);
    free(w->cos);
}

static enum rad_status open_window(struct window *w, size_t n, size_t hops, bool stats,
                                   struct rad_err *err)
{
    w->nll = malloc(n * sizeof *w->nll);
    w->depth = malloc(n * sizeof *w->depth);
    w->n_hop = malloc(n * sizeof *w->n_hop);
    w->hop = malloc(n * hops * sizeof *w->hop);
    w->stat = stats ? malloc(n * hops * sizeof *w->stat) : NULL;
    w->cos = stats ? malloc(n * hops * sizeof *w->cos) : NULL;
    if (!w->nll || !w->depth || !w->n_hop || !w->hop || (stats && !(w->stat && w->cos)))
        return rad_fail(err, RAD_E_NOMEM, "eval: out of memory for %zu tokens", n);
    return RAD_OK;
}

static size_t longest(const struct rad_tokens *t)
{
    int64_t n = 1;
    for (int64_t s = 0; s < t->n_seq; s++)
        if (t->first[s + 1] - t->first[s] > n)
            n = t->first[s + 1] - t->first[s];
    return (size_t)n;
}

static enum rad_status run_rounds(const rad_model *m, struct round *round, int n_window,
                                  const struct rad_eval_sinks *sinks, struct totals *t,
                                  struct rad_err *err)
{
    for (round->first = 0; round->first < round->tokens->n_seq; round->first += n_window) {
        const int64_t left = round->tokens->n_seq - round->first;
        const int n = left < n_window ? (int)left : n_window;
        rad_pool_run(round->opt->pool, n, window_task, round);
        for (int i = 0; i < n; i++) {
            const struct window *w = &round->window[i];
            if (w->status != RAD_OK)
                return rad_fail(err, w->status, "sequence %lld: %s", (long long)(round->first + i),
                                w->err.msg);
            RAD_TRY(flush(m, round, round->first + i, w, sinks, t, err));
        }
        rad_progress_step(sinks->progress, round->first + n, NULL);
    }
    return RAD_OK;
}

enum rad_status rad_eval_run(const rad_model *m, const struct rad_tokens *tokens,
                             const struct rad_eval_options *opt, const struct rad_eval_sinks *sinks,
                             struct rad_eval_result *out, struct rad_err *err)
{
    enum { PER_THREAD = 4, MAX_THREADS = 256 };
    rad_engine *engine[MAX_THREADS] = {0};
    struct window window[MAX_THREADS * PER_THREAD] = {0};
    const int size = rad_pool_size(opt->pool);
    const int most = size < MAX_THREADS ? size : MAX_THREADS;
    const int threads = tokens->n_seq >= most ? most : tokens->n_seq > 1 ? (int)tokens->n_seq : 1;
    const int n_window = threads == size ? threads * PER_THREAD : threads; /* thread < threads */
    struct rad_engine_options each = opt->engine;
    struct round round = {tokens, opt, engine, window, 0, flop_table_of(&m->config.card)};
    struct totals t = {.forward_only = !opt->engine.route.policy->any_order}; /* ran so */
    enum rad_status status = RAD_OK;
    if (opt->pool != NULL)
        each.threads = size / threads; /* none too many */
    const double start = rad_now_s();
    for (int i = 0; i < threads && status == RAD_OK; i++)
        status = rad_engine_open(&engine[i], m, &each, err);
    for (int i = 0; i < n_window && status == RAD_OK; i++)
        status = open_window(&window[i], longest(tokens), (size_t)engine[0]->max_time,
                             opt->engine.stats, err);
    if (status == RAD_OK)
        status = run_rounds(m, &round, n_window, sinks, &t, err);
    for (int i = 0; i < n_window; i++)
        close_window(&window[i]);
    for (int i = 0; i < threads; i++)
        rad_engine_close(engine[i]);
    RAD_TRY(status);
    const double wall = rad_now_s() - start;
    *out = (struct rad_eval_result){.tokens = t.predicted,
                                    .fed = t.fed,
                                    .nll = t.predicted ? t.nll / (double)t.predicted : (double)NAN,
                                    .mean_depth = t.depth / (double)t.fed,
                                    .seconds = wall,
                                    .tokens_per_s = (double)t.fed / wall,
                                    .flop_frac = t.flop / t.dense_flop,
                                    .forward_only = t.forward_only};
    out->depth_frac = out->mean_depth / m->config.card.n_layer;
    return RAD_OK;
}

struct rad_trace_run rad_trace_run_of(const rad_model *m, const struct rad_engine_options *opt,
                                      const char *source, const struct rad_tokens *tokens,
                                      struct rad_run_text *text)
{
    char blas[96];
    rad_route_text(&opt->route, text->policy, sizeof text->policy);
    rad_tensor_describe(blas, sizeof blas);
    snprintf(text->engine, sizeof text->engine, "radial; %s", blas);
    if (gethostname(text->host, sizeof text->host) != 0)
        text->host[0] = '\0';
    text->host[sizeof text->host - 1] = '\0';
    text->hash[0] = '\0';
    if (tokens != NULL && tokens->n_seq > 0)
        rad_hash_hex(
            rad_hash(tokens->id, (size_t)tokens->first[tokens->n_seq] * sizeof *tokens->id, 0),
            text->hash);
    return (struct rad_trace_run){.card = m->config.card,
                                  .policy = text->policy,
                                  .kv = opt->kv,
                                  .forward_only = !opt->route.policy->any_order,
                                  .has_router = opt->route.policy->needs_router,
                                  .source = source,
                                  .model_hash = m->hash,
                                  .text_hash = text->hash,
                                  .engine = text->engine,
                                  .host = text->host,
                                  .parent = "",
                                  .nll = (double)NAN};
}
