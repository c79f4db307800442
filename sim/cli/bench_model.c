/* bench_model.c - `radial bench MODEL`: prefill and decode speed of a model beside what the machine
 * could do: B prompts in one call, then B tokens per step, teacher-forced on plain prose. The
 * bandwidth of the roof is that of a block as large as the weights (a small model stays in the
 * caches). */
#include "cli/bench.h"
#include "cli/host_probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_M = RAD_HOST_N_M, LIMIT_ROUNDS = 12 };

/* ---- the tokens ---------------------------------------------------------------------------- */

static const char prose[] =
    "The ferry left before sunrise, when the harbour was still grey and the gulls had not begun to "
    "quarrel. Two sailors coiled the wet ropes and talked about the price of herring. On the upper "
    "deck a woman in a brown coat counted the lamps along the shore, one after the other, until "
    "the mist had taken all of them. She had told nobody that she would go. In her bag were three "
    "letters, a loaf of bread, and the key to a house which, as far as she knew, no longer stood. ";

/* For a model that brings no tokenizer. */
static enum rad_status made_up_ids(struct rad_ids *out, int32_t vocab, struct rad_err *err)
{
    enum { N = 1021 };
    out->n = N;
    out->id = malloc(N * sizeof *out->id);
    for (int i = 0; i < N && out->id != NULL; i++)
        out->id[i] = (int32_t)(((int64_t)i * i * 7919 + 5) % vocab);
    return out->id != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "bench: out of memory");
}

/* [batch][n] tokens: every sequence begins at another place of the passage. */
static enum rad_status make_tokens(const rad_model *m, int batch, int n, int32_t **out,
                                   struct rad_err *err)
{
    const rad_tokenizer *tok = rad_model_tokenizer(m);
    const struct rad_text text = {prose, sizeof prose - 1, false};
    const int32_t bos = rad_tokenizer_bos(tok);
    struct rad_ids ids = {0};
    RAD_TRY(strcmp(rad_tokenizer_kind(tok), "none") == 0
                ? made_up_ids(&ids, rad_tokenizer_vocab(tok), err)
                : rad_tokenizer_encode(tok, &text, &ids, err));
    int32_t *id = malloc((size_t)batch * (size_t)n * sizeof *id);
    for (int s = 0; s < batch && id != NULL; s++)
        for (int i = 0; i < n; i++)
            id[(size_t)s * (size_t)n + (size_t)i] =
                i == 0 && bos >= 0 ? bos : ids.id[((size_t)s * 37 + (size_t)i) % ids.n];
    rad_ids_free(&ids);
    *out = id;
    return id != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "bench: out of memory");
}

/* ---- one run ------------------------------------------------------------------------------- */

struct bench {
    const struct bench_options *o;
    const rad_model *m;
    rad_engine *e;
    struct bench_count count;
    int32_t *id; /* [batch][prompt + new] */
    struct rad_row *row;
    float *logits; /* [batch][vocab] */
    double prefill_s[BENCH_REPEAT_MAX], decode_s[BENCH_REPEAT_MAX];
    double best_prefill_s, best_prefill_cpu_s, best_decode_s, best_decode_cpu_s;
    struct bench_work prefill, decode;
    double sgemm[N_M]; /* of one thread */
    struct {
        double dram_bytes_per_s, weights_bytes_per_s, gemm_flop_per_s, bf16_flop_per_s;
    } one, all; /* one thread, and those of the engine */
};

static enum rad_status prefill(struct bench *b, double *cpu_s, double *wall_s, struct rad_err *err)
{
    const int batch = b->o->batch, n = b->o->prompt, stride = n + b->o->n_new;
    for (int s = 0; s < batch; s++) {
        rad_engine_start(b->e, s, s);
        for (int i = 0; i < n; i++)
            b->row[s * n + i] = (struct rad_row){s, b->id[(size_t)s * (size_t)stride + (size_t)i]};
    }
    const double start = rad_now_s(), cpu = rad_cpu_s();
    RAD_TRY(rad_engine_forward(b->e, b->row, batch * n, RAD_ROUTE_PREFILL, err));
    for (int s = 0; s < batch; s++)
        RAD_TRY(rad_engine_logits(b->e, s * n + n - 1, 1, b->logits, err));
    *wall_s = rad_now_s() - start;
    *cpu_s = rad_cpu_s() - cpu;
    return RAD_OK;
}

static enum rad_status decode(struct bench *b, double *cpu_s, double *wall_s, struct rad_err *err)
{
    const int batch = b->o->batch, n = b->o->prompt, stride = n + b->o->n_new;
    *cpu_s = *wall_s = 0.0;
    b->decode = (struct bench_work){0};
    for (int i = 0; i < b->o->n_new; i++) {
        for (int s = 0; s < batch; s++)
            b->row[s] = (struct rad_row){s, b->id[(size_t)s * (size_t)stride + (size_t)(n + i)]};
        const double start = rad_now_s(), cpu = rad_cpu_s();
        RAD_TRY(rad_engine_forward(b->e, b->row, batch, RAD_ROUTE_DECODE, err));
        RAD_TRY(rad_engine_logits(b->e, 0, batch, b->logits, err));
        *wall_s += rad_now_s() - start;
        *cpu_s += rad_cpu_s() - cpu;
        bench_work_add(&b->decode, &b->count, b->e, batch);
        bench_work_head(&b->decode, &b->count, batch);
    }
    return RAD_OK;
}

static enum rad_status run_all(struct bench *b, rad_progress *progress, struct rad_err *err)
{
    b->best_prefill_s = b->best_decode_s = (double)INFINITY;
    for (int i = -1; i < b->o->repeat; i++) { /* the first one warms up */
        double wall[2], cpu[2];
        RAD_TRY(prefill(b, &cpu[0], &wall[0], err));
        b->prefill = (struct bench_work){0};
        bench_work_add(&b->prefill, &b->count, b->e, b->o->batch * b->o->prompt);
        bench_work_head(&b->prefill, &b->count, b->o->batch);
        RAD_TRY(decode(b, &cpu[1], &wall[1], err));
        rad_progress_step(progress, i + 2, "model");
        if (i < 0)
            continue;
        b->prefill_s[i] = wall[0];
        b->decode_s[i] = wall[1];
        if (wall[0] < b->best_prefill_s)
            b->best_prefill_s = wall[0], b->best_prefill_cpu_s = cpu[0];
        if (wall[1] < b->best_decode_s)
            b->best_decode_s = wall[1], b->best_decode_cpu_s = cpu[1];
    }
    return RAD_OK;
}

/* The best of some rounds on so many threads. */
static enum rad_status probe_limits(const struct bench *b, int threads, void *to,
                                    struct rad_err *err)
{
    double best[4] = {0.0};
    rad_limits *l = NULL;
    RAD_TRY(rad_limits_open(&l, (size_t)host_dram_bytes(), threads, err));
    enum rad_status status = RAD_OK;
    for (int i = 0; i < LIMIT_ROUNDS && status == RAD_OK; i++) {
        struct rad_limit bf16 = {0.0, 0.0};
        best[0] = fmax(best[0], rad_limits_read(l, NULL, (size_t)host_dram_bytes()).per_s);
        for (int k = 0; k < 4; k++)
            best[1] =
                fmax(best[1], rad_limits_read(l, NULL, (size_t)rad_model_weight_bytes(b->m)).per_s);
        best[2] = fmax(best[2], rad_limits_gemm(l).per_s);
        status = rad_limits_gemm_bf16(l, &bf16, err);
        best[3] = fmax(best[3], bf16.per_s);
    }
    rad_limits_close(l);
    memcpy(to, best, sizeof best);
    return status;
}

static enum rad_status probe_machine(struct bench *b, rad_progress *progress, struct rad_err *err)
{
    static const int32_t rows[N_M] = RAD_HOST_ROWS;
    for (int j = 0; j < N_M; j++) {
        RAD_TRY(host_sgemm(rows[j], 1024, 0.2, &b->sgemm[j], err));
        rad_progress_step(progress, b->o->repeat + 2 + j, "machine");
    }
    RAD_TRY(probe_limits(b, 1, &b->one, err));
    RAD_TRY(probe_limits(b, b->o->model.threads, &b->all, err));
    rad_progress_step(progress, b->o->repeat + N_M + 3, "machine");
    return RAD_OK;
}

/* ---- output -------------------------------------------------------------------------------- */

static void put_speed(rad_out *out, const struct bench *b)
{
    double prefill[BENCH_REPEAT_MAX], decode[BENCH_REPEAT_MAX];
    const size_t n = (size_t)b->o->repeat;
    memcpy(prefill, b->prefill_s, sizeof prefill);
    memcpy(decode, b->decode_s, sizeof decode);
    rad_sort_doubles(prefill, n);
    rad_sort_doubles(decode, n);
    rad_out_real(out, "prefill_tokens_per_s", b->prefill.tokens / b->best_prefill_s);
    rad_out_real(out, "prefill_tokens_per_s_p50",
                 b->prefill.tokens / rad_quantile(prefill, n, 0.5));
    rad_out_real(out, "prefill_s", b->best_prefill_s);
    rad_out_real(out, "prefill_cpu_s", b->best_prefill_cpu_s);
    rad_out_real(out, "decode_tokens_per_s", b->decode.tokens / b->best_decode_s);
    rad_out_real(out, "decode_tokens_per_s_p50", b->decode.tokens / rad_quantile(decode, n, 0.5));
    rad_out_real(out, "decode_s", b->best_decode_s);
    rad_out_real(out, "decode_cpu_s", b->best_decode_cpu_s);
}

static void put_roofs(rad_out *out, const struct bench *b)
{
    static const int rows[N_M] = RAD_HOST_ROWS;
    const double steps = b->o->n_new, gemm = b->all.gemm_flop_per_s;
    const double roof = bench_roof(&b->decode, steps, b->all.weights_bytes_per_s, gemm);
    rad_out_real(out, "weight_bytes", rad_model_weight_bytes(b->m));
    rad_out_real(out, "decode_weight_bytes_per_step", b->decode.weight_bytes / steps);
    rad_out_real(out, "mem_bytes_per_s", b->all.dram_bytes_per_s);
    rad_out_real(out, "weights_bytes_per_s", b->all.weights_bytes_per_s);
    rad_out_real(out, "sgemm_flop_per_s", gemm);
    rad_out_real(out, "bf16_flop_per_s", b->all.bf16_flop_per_s);
    rad_out_real(out, "thread_mem_bytes_per_s", b->one.dram_bytes_per_s);
    rad_out_real(out, "thread_sgemm_flop_per_s", b->one.gemm_flop_per_s);
    for (int j = 0; j < N_M; j++) {
        char key[40];
        snprintf(key, sizeof key, "sgemm_m%d_flop_per_s", rows[j]);
        rad_out_real(out, key, b->sgemm[j]);
    }
    rad_out_real(out, "prefill_flop_per_s", b->prefill.flop / b->best_prefill_s);
    rad_out_real(out, "prefill_roof_frac", b->prefill.flop / b->best_prefill_s / gemm);
    rad_out_real(out, "decode_flop_per_s", b->decode.flop / b->best_decode_s);
    rad_out_real(out, "decode_roof_tokens_per_s", roof);
    rad_out_real(out, "decode_roof_frac", b->decode.tokens / b->best_decode_s / roof);
}

static enum rad_status print(const struct bench *b, struct rad_err *err)
{
    const struct rad_card *c = &rad_model_config(b->m)->card;
    char engine[160];
    rad_out *out;
    rad_tensor_describe(engine, sizeof engine);
    (void)rad_out_open(&out, b->o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "model", b->o->model.folder);
    rad_out_text(out, "policy", b->o->model.policy);
    rad_out_text(out, "kv", rad_kv_name(b->o->model.engine.kv));
    rad_out_text(out, "engine", engine);
    rad_out_int(out, "threads", rad_engine_threads(b->e));
    rad_out_int(out, "prompt", b->o->prompt);
    rad_out_int(out, "new", b->o->n_new);
    rad_out_int(out, "batch", b->o->batch);
    const double depth = (b->prefill.depth + b->decode.depth) /
                         (b->prefill.tokens + b->decode.tokens);
    rad_out_real(out, "mean_depth", depth);
    rad_out_real(out, "depth_frac", depth / c->n_layer);
    put_speed(out, b);
    put_roofs(out, b);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

/* ---- setup --------------------------------------------------------------------------------- */

static enum rad_status choose_lengths(struct bench_options *o, int32_t n_ctx, struct rad_err *err)
{
    o->prompt = o->prompt > 0 ? o->prompt : n_ctx < 512 ? (n_ctx + 1) / 2 : 256;
    o->n_new = o->n_new > 0 ? o->n_new : n_ctx < 256 ? (n_ctx + 3) / 4 : 64;
    if (o->prompt + o->n_new > n_ctx)
        return rad_fail(err, RAD_E_ARG,
                        "--prompt and --new: expected at most %d tokens, the model's context, but "
                        "found %d",
                        n_ctx, o->prompt + o->n_new);
    return RAD_OK;
}

static enum rad_status bench(struct bench *b, struct bench_options *o, struct rad_err *err)
{
    const struct rad_card *c = &rad_model_config(b->m)->card;
    RAD_TRY(choose_lengths(o, c->n_ctx, err));
    RAD_TRY(make_tokens(b->m, o->batch, o->prompt + o->n_new, &b->id, err));
    b->row = malloc((size_t)o->batch * (size_t)o->prompt * sizeof *b->row);
    b->logits = malloc((size_t)o->batch * (size_t)c->vocab * sizeof *b->logits);
    if (b->row == NULL || b->logits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "bench: out of memory");
    o->model.engine.n_slot = o->batch;
    RAD_TRY(rad_engine_open(&b->e, b->m, &o->model.engine, err));
    rad_progress *progress =
        rad_progress_open(stderr, "bench", o->repeat + N_M + 3, o->common.progress);
    enum rad_status status = run_all(b, progress, err);
    if (status == RAD_OK)
        status = probe_machine(b, progress, err);
    rad_progress_close(progress);
    if (status == RAD_OK)
        status = print(b, err);
    return status;
}

enum rad_status bench_model(struct bench_options *o, const struct model_run *run,
                            struct rad_err *err)
{
    struct bench b = {.o = o, .m = run->model};
    const struct rad_card *c = &rad_model_config(b.m)->card;
    const struct rad_policy *policy = o->model.engine.route.policy;
    b.count = (struct bench_count){.card = c,
                                   .param_bytes = rad_model_weight_bytes(b.m) /
                                                  (double)rad_card_params(c),
                                   .any_order = policy->any_order,
                                   .router = policy->needs_router};
    const enum rad_status status = bench(&b, o, err);
    rad_engine_close(b.e);
    free(b.id);
    free(b.row);
    free(b.logits);
    return status;
}
