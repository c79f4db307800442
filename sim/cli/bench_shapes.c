/* bench_shapes.c - `radial bench --shapes`: the standard shapes with made-up weights.
 *
 * Every repeat measures the limits, then the dense engine, then the one that skips layers, so that
 * all of them see the same machine. cpu_roof_frac compares CPU times instead, those of the limits
 * too: on a machine that others use, it is the one to read. Decode goes on from one prompt: keys
 * grow by `steps` a repeat.
 */
#include "cli/bench.h"
#include "cli/host_probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROMPT = 96, PREFILL = 512, LIMIT_ROUNDS = 12 };

struct shape {
    const char *name;
    int32_t n_layer, d_model, n_head, n_kv, ffn, vocab, n_ctx;
    bool gpt2; /* layer norm, GELU, biases, learned positions; else Llama's parts */
};

enum { GPT2, STORIES_15M, STORIES_260K };
static const struct shape shapes[] = {
    {"gpt2-small", 12, 768, 12, 12, 3072, 50257, 1024, true},
    {"stories15M", 6, 288, 6, 6, 768, 32000, 256, false},
    {"stories260K", 5, 64, 8, 4, 172, 512, 512, false},
};

struct kind { /* of measurement */
    int shape;
    enum rad_mat_type type;
    bool bf16, prefill;        /* bf16: activations rounded too */
    int batch, steps, threads; /* threads 0: as many as asked for */
    const char *policy;        /* NULL: dense only */
};

static const struct kind kinds[] = {
    {GPT2, RAD_MAT_F32, false, false, 1, 12, 0, NULL},
    {GPT2, RAD_MAT_F32, false, false, 4, 8, 0, NULL},
    {GPT2, RAD_MAT_F32, false, false, 16, 6, 0, NULL},
    {GPT2, RAD_MAT_F32, false, false, 32, 6, 0, NULL},
    {GPT2, RAD_MAT_F32, false, true, 1, 0, 0, NULL},
    {GPT2, RAD_MAT_F32, false, false, 1, 12, 0, "skip:frac=0.5,seed=1"},
    {GPT2, RAD_MAT_F32, false, true, 1, 0, 0, "skip:frac=0.5,seed=1"},
    {GPT2, RAD_MAT_F32, false, false, 16, 6, 0, "skip:frac=0.5,seed=1"},
    {GPT2, RAD_MAT_F32, false, false, 16, 6, 0, "skip:frac=0.9,seed=1"},
    {GPT2, RAD_MAT_BF16, false, false, 1, 16, 0, NULL},
    {GPT2, RAD_MAT_BF16, true, false, 16, 6, 0, NULL},
    {GPT2, RAD_MAT_BF16, true, true, 1, 0, 0, NULL},
    {GPT2, RAD_MAT_Q8_0, false, false, 1, 16, 0, NULL},
    {GPT2, RAD_MAT_Q4_0, false, false, 1, 16, 0, NULL},
    {STORIES_15M, RAD_MAT_F32, false, false, 1, 16, 0, NULL},
    {STORIES_260K, RAD_MAT_F32, false, false, 1, 48, 1, NULL},
};
enum { N_KIND = sizeof kinds / sizeof kinds[0] };

struct side { /* one engine: dense or skipping */
    rad_engine *e;
    struct bench_work work;
    double wall_s[BENCH_REPEAT_MAX], cpu_s[BENCH_REPEAT_MAX];
};

struct sample {
    const struct kind *kind;
    const struct shape *shape;
    const struct bench_options *o;
    rad_model *m;
    rad_limits *limits;
    struct rad_row *row; /* [batch][PROMPT] or [PREFILL] */
    float *logits;       /* [batch][vocab] */
    struct side side[2];
    struct rad_limit read[BENCH_REPEAT_MAX], gemm[BENCH_REPEAT_MAX];
    int32_t token; /* the last one */
    int32_t used;  /* positions of each sequence in decode */
};

static struct rad_model_config config_of(const struct shape *s)
{
    struct rad_model_config c = {.card = {.n_layer = s->n_layer,
                                          .d_model = s->d_model,
                                          .n_head = s->n_head,
                                          .n_kv = s->n_kv,
                                          .d_head = s->d_model / s->n_head,
                                          .ffn = s->ffn,
                                          .vocab = s->vocab,
                                          .n_ctx = s->n_ctx,
                                          .tied = true,
                                          .max_hops = s->n_layer},
                                 .rms_eps = 1e-5f,
                                 .rope_theta = 10000.0,
                                 .bos = -1,
                                 .eos = -1};
    snprintf(c.card.name, sizeof c.card.name, "%s", s->name);
    if (s->gpt2) {
        c.card.norm = RAD_NORM_LAYER;
        c.card.act = RAD_ACT_GELU;
        c.card.bias = RAD_BIAS_ALL;
        c.card.learned_positions = s->n_ctx;
    }
    return c;
}

static struct bench_count count_of(const struct sample *x)
{
    const struct rad_card *c = &rad_model_config(x->m)->card;
    return (struct bench_count){.card = c,
                                .param_bytes = (double)rad_mat_row_bytes(x->kind->type, 32) / 32.0};
}

/* ---- one repeat ---------------------------------------------------------------------------- */

static int32_t next_token(struct sample *x)
{
    x->token = (int32_t)(((int64_t)x->token * 48271 + 11) % x->shape->vocab);
    return x->token;
}

/* n tokens for each of the kind's sequences, from their beginning. */
static enum rad_status feed_prompt(struct sample *x, struct side *s, int32_t n, struct rad_err *err)
{
    for (int32_t b = 0; b < x->kind->batch; b++) {
        rad_engine_start(s->e, b, b);
        for (int32_t i = 0; i < n; i++)
            x->row[b * n + i] = (struct rad_row){b, next_token(x)};
    }
    return rad_engine_forward(s->e, x->row, n * x->kind->batch, RAD_ROUTE_PREFILL, err);
}

static enum rad_status run_prefill(struct sample *x, struct side *s, int repeat,
                                   struct rad_err *err)
{
    const struct bench_count count = count_of(x);
    const double start = rad_now_s(), cpu = rad_cpu_s();
    RAD_TRY(feed_prompt(x, s, PREFILL, err));
    RAD_TRY(rad_engine_logits(s->e, PREFILL - 1, 1, x->logits, err));
    s->wall_s[repeat] = rad_now_s() - start;
    s->cpu_s[repeat] = rad_cpu_s() - cpu;
    s->work = (struct bench_work){0};
    bench_work_add(&s->work, &count, s->e, PREFILL);
    bench_work_head(&s->work, &count, 1);
    return RAD_OK;
}

/* Seconds of one step; work is that of all steps so far. */
static enum rad_status run_decode(struct sample *x, struct side *s, int repeat, struct rad_err *err)
{
    const struct bench_count count = count_of(x);
    const int32_t batch = x->kind->batch;
    double wall = 0.0, cpu_s = 0.0;
    for (int i = 0; i < x->kind->steps; i++) {
        for (int32_t b = 0; b < batch; b++)
            x->row[b] = (struct rad_row){b, next_token(x)};
        const double start = rad_now_s(), cpu = rad_cpu_s();
        RAD_TRY(rad_engine_forward(s->e, x->row, batch, RAD_ROUTE_DECODE, err));
        RAD_TRY(rad_engine_logits(s->e, 0, batch, x->logits, err));
        wall += rad_now_s() - start;
        cpu_s += rad_cpu_s() - cpu;
        if (repeat < 0)
            continue;
        bench_work_add(&s->work, &count, s->e, batch);
        bench_work_head(&s->work, &count, batch);
    }
    if (repeat >= 0)
        s->wall_s[repeat] = wall / x->kind->steps, s->cpu_s[repeat] = cpu_s / x->kind->steps;
    return RAD_OK;
}

static enum rad_status run_repeat(struct sample *x, int repeat, struct rad_err *err)
{
    if (repeat >= 0) {
        x->read[repeat] =
            rad_limits_read(x->limits, rad_model_block(x->m), (size_t)rad_model_weight_bytes(x->m));
        x->gemm[repeat] = rad_limits_gemm(x->limits);
        if (x->kind->bf16)
            RAD_TRY(rad_limits_gemm_bf16(x->limits, &x->gemm[repeat], err));
    }
    const bool fresh = repeat < 0 || x->used + x->kind->steps > x->shape->n_ctx;
    x->used = (fresh ? PROMPT : x->used) + x->kind->steps;
    for (int i = 0; i < 2 && x->side[i].e != NULL; i++) {
        struct side *s = &x->side[i];
        if (!x->kind->prefill && fresh)
            RAD_TRY(feed_prompt(x, s, PROMPT, err));
        RAD_TRY(x->kind->prefill ? run_prefill(x, s, repeat < 0 ? 0 : repeat, err)
                                 : run_decode(x, s, repeat, err));
    }
    return RAD_OK;
}

/* ---- output -------------------------------------------------------------------------------- */

static double best(const double *x, int n)
{
    double least = x[0];
    for (int i = 1; i < n; i++)
        least = fmin(least, x[i]);
    return least;
}

static double most(const struct rad_limit *x, int n)
{
    double top = x[0].per_s;
    for (int i = 1; i < n; i++)
        top = fmax(top, x[i].per_s);
    return top;
}

static double middle(const double *x, int n)
{
    double sorted[BENCH_REPEAT_MAX];
    memcpy(sorted, x, (size_t)n * sizeof *x);
    rad_sort_doubles(sorted, (size_t)n);
    return rad_quantile(sorted, (size_t)n, 0.5);
}

/* Tokens of a repeat's unit: a step, or the prompt. */
static double unit_tokens(const struct sample *x)
{
    return x->kind->prefill ? PREFILL : x->kind->batch;
}

static double units(const struct sample *x)
{
    return x->side[0].work.tokens / unit_tokens(x);
}

static double roof_of(const struct sample *x, const struct side *s, double read, double gemm)
{
    return bench_roof(&s->work, units(x), read, gemm);
}

/* The median share of the roof if a decode step reads its keys and values besides, at the
 * bandwidth: attention waits for the product before it, and the next one for attention. */
static double kv_share(const struct sample *x, const struct side *s)
{
    double share[BENCH_REPEAT_MAX];
    for (int i = 0; i < x->o->repeat; i++) {
        const double read = x->read[i].per_s, roof = roof_of(x, s, read, x->gemm[i].per_s);
        const double least_s = unit_tokens(x) / roof + s->work.kv_bytes / units(x) / read;
        share[i] = least_s / s->wall_s[i];
    }
    return x->kind->prefill ? (double)NAN : middle(share, x->o->repeat);
}

/* How much longer than its share of the dense network's weights or arithmetic skipping takes. */
static void put_skipping(rad_out *out, const struct sample *x)
{
    const int n = x->o->repeat;
    const struct side *dense = &x->side[0], *skip = &x->side[1];
    double time = (double)NAN, half = (double)NAN, cpu = (double)NAN, share = (double)NAN;
    double each[BENCH_REPEAT_MAX], busy[BENCH_REPEAT_MAX];
    if (skip->e != NULL) {
        for (int i = 0; i < n; i++) {
            each[i] = skip->wall_s[i] / dense->wall_s[i];
            busy[i] = skip->cpu_s[i] / dense->cpu_s[i];
        }
        time = best(skip->wall_s, n) / best(dense->wall_s, n);
        half = middle(each, n);
        cpu = middle(busy, n);
        share = x->kind->prefill ? skip->work.flop / dense->work.flop
                                 : skip->work.weight_bytes / dense->work.weight_bytes;
    }
    rad_out_real(out, "time_frac", time);
    rad_out_real(out, "time_frac_p50", half);
    rad_out_real(out, "cpu_frac_p50", cpu);
    rad_out_real(out, "work_frac", share);
    rad_out_real(out, "time_over_work", time / share);
}

static void put_sample(rad_out *out, const struct sample *x)
{
    const int n = x->o->repeat;
    const struct side *s = &x->side[x->side[1].e != NULL ? 1 : 0];
    const double read = most(x->read, n), gemm = most(x->gemm, n);
    const double roof = roof_of(x, s, read, gemm), wall = best(s->wall_s, n);
    double share[BENCH_REPEAT_MAX], busy[BENCH_REPEAT_MAX], cpu = s->cpu_s[0];
    for (int i = 0; i < n; i++) {
        const struct rad_limit r = x->read[i], g = x->gemm[i];
        const double alone_s = s->cpu_s[i] / rad_engine_threads(s->e);
        share[i] = unit_tokens(x) / s->wall_s[i] / roof_of(x, s, r.per_s, g.per_s);
        busy[i] = unit_tokens(x) / alone_s / roof_of(x, s, r.per_cpu_s, g.per_cpu_s);
        if (s->wall_s[i] <= wall)
            cpu = s->cpu_s[i];
    }
    rad_out_begin_row(out);
    rad_out_text(out, "shape", x->shape->name);
    rad_out_text(out, "weights", rad_mat_type_name(x->kind->type));
    rad_out_text(out, "activations", x->kind->bf16 ? "bf16" : "fp32");
    rad_out_text(out, "phase", x->kind->prefill ? "prefill" : "decode");
    rad_out_text(out, "policy", x->kind->policy != NULL ? x->kind->policy : "dense");
    rad_out_int(out, "threads", rad_engine_threads(s->e));
    rad_out_int(out, "batch", x->kind->batch);
    rad_out_real(out, "keys", s->work.keys / s->work.tokens);
    rad_out_real(out, "tokens_per_s", unit_tokens(x) / wall);
    rad_out_real(out, "tokens_per_s_p50", unit_tokens(x) / middle(s->wall_s, n));
    rad_out_real(out, "wall_s", wall);
    rad_out_real(out, "cpu_s", cpu);
    rad_out_real(out, "roof_tokens_per_s", roof);
    rad_out_real(out, "roof_frac", unit_tokens(x) / wall / roof);
    rad_out_real(out, "roof_frac_p50", middle(share, n));
    rad_out_real(out, "cpu_roof_frac_p50", middle(busy, n));
    rad_out_real(out, "kv_roof_frac_p50", kv_share(x, s));
    rad_out_real(out, "weight_bytes", s->work.weight_bytes / units(x));
    rad_out_real(out, "kv_bytes", s->work.kv_bytes / units(x));
    rad_out_real(out, "flop", s->work.flop / s->work.tokens);
    rad_out_real(out, "mem_bytes_per_s", read);
    rad_out_real(out, "gemm_flop_per_s", gemm);
    put_skipping(out, x);
    rad_out_end_row(out);
}

/* ---- all kinds ----------------------------------------------------------------------------- */

static enum rad_status open_side(struct sample *x, int i, const char *policy, struct rad_err *err)
{
    struct rad_engine_options o = {.n_slot = x->kind->batch, .bf16 = x->kind->bf16};
    o.threads = x->kind->threads > 0 ? x->kind->threads : x->o->model.threads;
    RAD_TRY(rad_route_parse(&o.route, policy, x->shape->n_layer, err));
    return rad_engine_open(&x->side[i].e, x->m, &o, err);
}

static enum rad_status measure(struct sample *x, struct rad_err *err)
{
    const int threads = x->kind->threads > 0 ? x->kind->threads : x->o->model.threads;
    const struct rad_model_config config = config_of(x->shape);
    const int32_t rows = x->kind->prefill ? PREFILL : x->kind->batch * PROMPT;
    RAD_TRY(rad_model_make(&x->m, &config, x->kind->type, err));
    RAD_TRY(rad_limits_open(&x->limits, 0, threads, err));
    RAD_TRY(open_side(x, 0, "dense", err));
    if (x->kind->policy != NULL)
        RAD_TRY(open_side(x, 1, x->kind->policy, err));
    x->row = malloc((size_t)rows * sizeof *x->row);
    x->logits = malloc((size_t)x->kind->batch * (size_t)x->shape->vocab * sizeof *x->logits);
    if (x->row == NULL || x->logits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "bench: out of memory");
    for (int i = -1; i < x->o->repeat; i++)
        RAD_TRY(run_repeat(x, i, err));
    return RAD_OK;
}

static enum rad_status run_kind(const struct bench_options *o, const struct kind *kind,
                                rad_out *out, struct rad_err *err)
{
    struct sample *x = calloc(1, sizeof *x);
    if (x == NULL)
        return rad_fail(err, RAD_E_NOMEM, "bench: out of memory");
    x->o = o, x->kind = kind, x->shape = &shapes[kind->shape];
    const enum rad_status status = measure(x, err);
    if (status == RAD_OK)
        put_sample(out, x);
    rad_engine_close(x->side[0].e);
    rad_engine_close(x->side[1].e);
    rad_limits_close(x->limits);
    rad_model_close(x->m);
    free(x->row);
    free(x->logits);
    free(x);
    return status;
}

enum rad_status bench_shapes(const struct bench_options *o, struct rad_err *err)
{
    rad_out *out;
    rad_progress *progress = rad_progress_open(stderr, "bench", N_KIND, o->common.progress);
    enum rad_status status = RAD_OK;
    (void)rad_out_open(&out, o->common.format, stdout);
    for (int i = 0; i < N_KIND && status == RAD_OK; i++) {
        status = run_kind(o, &kinds[i], out, err);
        rad_progress_step(progress, i + 1, shapes[kinds[i].shape].name);
    }
    rad_progress_close(progress);
    const enum rad_status printed =
        rad_out_close(out, status == RAD_OK, status == RAD_OK ? err : NULL);
    return status == RAD_OK ? printed : status;
}
