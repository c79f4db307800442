/* cmd_bench.c - `radial bench`: prefill and decode speed beside what the machine could do.
 *
 * Sequences of plain prose run teacher-forced on one thread: B prompts in one call, then B tokens
 * per step. The roof of a decode step is min(B * bandwidth / bytes, GEMM rate / FLOP per token),
 * with the bandwidth of a block as large as the weights (a small model stays in the caches). */
#include "cli/cli.h"
#include "cli/host_probe.h"
#include "cli/model_args.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OPT_PROMPT = 600, OPT_NEW, OPT_BATCH, OPT_REPEAT, MAX_REPEAT = 100, N_M = RAD_HOST_N_M };

struct bench_options {
    struct rad_cli_common common;
    struct model_args model;
    int prompt, n_new, batch, repeat; /* prompt, n_new: 0 by the model's context */
};

static const struct argp_option options[] = {
    {"prompt", OPT_PROMPT, "N", 0, "tokens per prompt (default: half the context, at most 256)", 0},
    {"new", OPT_NEW, "N", 0, "decode steps (default: a quarter of the context, at most 64)", 0},
    {"batch", OPT_BATCH, "B", 0, "sequences at once (default 1)", 0},
    {"repeat", OPT_REPEAT, "R", 0, "runs; the best and the median are printed (default 7)", 0},
    {"policy", MODEL_KEY_POLICY, "P", 0,
     "dense | radial:budget=B | uls:speedup=S | skip:frac=F | oracle:theta=T (default dense, or "
     "radial:budget=1 for a model with a router)",
     1},
    {"kv", MODEL_KEY_KV, "K", 0, "cache of skipped layers: hole | project | copy", 1},
    {"seed", MODEL_KEY_SEED, "S", 0, "of policy skip", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_PROMPT:
        o->prompt = (int)rad_cli_int(state, "--prompt", arg, 1, 1 << 20);
        return 0;
    case OPT_NEW:
        o->n_new = (int)rad_cli_int(state, "--new", arg, 1, 1 << 20);
        return 0;
    case OPT_BATCH:
        o->batch = (int)rad_cli_int(state, "--batch", arg, 1, 1024);
        return 0;
    case OPT_REPEAT:
        o->repeat = (int)rad_cli_int(state, "--repeat", arg, 1, MAX_REPEAT);
        return 0;
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc =
        "Measure prefill and decode speed of one thread, and beside it the machine's SGEMM rate "
        "(weights of 1024 x 1024, 1 to 256 rows) and read bandwidth. cpu_s is CPU time: where it "
        "is below the wall time, something else had the processor.\v"
        "Example:\n  radial bench models/radial-tiny --policy radial:budget=0.5 --batch 8\n",
    .children = rad_cli_children,
};

/* ---- the tokens ---------------------------------------------------------------------------- */

static const char prose[] =
    "The ferry left before sunrise, when the harbour was still grey and the gulls had not begun to "
    "quarrel. Two sailors coiled the wet ropes and talked about the price of herring. On the upper "
    "deck a woman in a brown coat counted the lamps along the shore, one after the other, until "
    "the mist had taken all of them. She had told nobody that she would go. In her bag were three "
    "letters, a loaf of bread, and the key to a house which, as far as she knew, no longer stood. ";

/* [batch][n] tokens: every sequence begins at another place of the passage. */
static enum rad_status make_tokens(const rad_model *m, int batch, int n, int32_t **out,
                                   struct rad_err *err)
{
    const rad_tokenizer *tok = rad_model_tokenizer(m);
    const struct rad_text text = {prose, sizeof prose - 1, false};
    const int32_t bos = rad_tokenizer_bos(tok);
    struct rad_ids ids = {0};
    RAD_TRY(rad_tokenizer_encode(tok, &text, &ids, err));
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

struct work { /* what a phase did */
    double tokens, depth, flop, weight_bytes;
};

struct bench {
    const struct bench_options *o;
    const rad_model *m;
    rad_engine *e;
    int32_t *id; /* [batch][prompt + new] */
    struct rad_row *row;
    float *logits; /* [batch][vocab] */
    double prefill_s[MAX_REPEAT], decode_s[MAX_REPEAT];
    double best_prefill_s, best_prefill_cpu_s, best_decode_s, best_decode_cpu_s;
    struct work prefill, decode;
    double sgemm[N_M], best_sgemm, dram_bytes_per_s, weights_bytes_per_s;
};

static double flop_sum(const struct rad_op *ops, int n)
{
    double flop = 0.0;
    for (int i = 0; i < n; i++)
        flop += ops[i].flop;
    return flop;
}

/* FLOP of one row: head and router only where they ran. */
static double row_flop(const struct rad_card *c, const struct rad_hop_rec *hop, int32_t n)
{
    struct rad_op ops[RAD_LOWER_MAX];
    double flop = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const struct rad_group g = {.m = 1,
                                    .m_attn = hop[i].flags & RAD_HOP_ATTN ? 1 : 0,
                                    .m_mlp = hop[i].flags & RAD_HOP_MLP ? 1 : 0,
                                    .m_kv_only = hop[i].flags & RAD_HOP_PROJECT ? 1 : 0,
                                    .n_keys = hop[i].n_keys,
                                    .kv_read_keys = hop[i].n_keys,
                                    .n_seq = 1};
        flop += flop_sum(ops, rad_lower_layer(c, RAD_F32, &g, ops));
    }
    return flop;
}

/* Add the rows of the last call. Weights are read once per layer (forward-only paths) or once per
 * hop and layer, however many rows need them. */
static void add_work(const struct bench *b, int32_t n, bool router, struct work *w)
{
    const struct rad_card *c = &rad_model_config(b->m)->card;
    const bool any = b->o->model.engine.route.policy->any_order;
    struct rad_op ops[RAD_LOWER_MAX];
    const double router_flop = router ? flop_sum(ops, rad_lower_router(c, RAD_F32, 1, ops)) : 0.0;
    int32_t deepest = 0;
    double loads = 0.0;
    for (int32_t r = 0; r < n; r++) {
        const struct rad_hop_rec *hop;
        const int32_t hops = rad_engine_path(b->e, r, &hop, NULL);
        w->depth += rad_engine_depth(b->e, r);
        w->flop += row_flop(c, hop, hops) + router_flop * (hops + 1);
        deepest = hops > deepest ? hops : deepest;
    }
    for (int32_t t = 0; t < (any ? deepest : 1); t++)
        for (int32_t l = 0; l < c->n_layer; l++) {
            bool used = false;
            for (int32_t r = 0; r < n && !used; r++) {
                const struct rad_hop_rec *hop;
                const int32_t hops = rad_engine_path(b->e, r, &hop, NULL);
                for (int32_t i = any ? t : 0; i < (any ? t + 1 : hops) && i < hops && !used; i++)
                    used = hop[i].layer == l && (hop[i].flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0;
            }
            loads += used;
        }
    w->tokens += n;
    w->weight_bytes += 4.0 * (loads * (double)rad_card_layer_params(c) +
                              (router ? (deepest + 1.0) * (double)rad_card_router_params(c) : 0.0));
}

static void add_head(const struct bench *b, int32_t rows, struct work *w)
{
    const struct rad_card *c = &rad_model_config(b->m)->card;
    struct rad_op ops[RAD_LOWER_MAX];
    w->flop += flop_sum(ops, rad_lower_head(c, RAD_F32, rows, ops));
    w->weight_bytes += 4.0 * (double)c->vocab * c->d_model;
}

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

static enum rad_status decode(struct bench *b, bool router, double *cpu_s, double *wall_s,
                              struct rad_err *err)
{
    const int batch = b->o->batch, n = b->o->prompt, stride = n + b->o->n_new;
    *cpu_s = *wall_s = 0.0;
    b->decode = (struct work){0};
    for (int i = 0; i < b->o->n_new; i++) {
        for (int s = 0; s < batch; s++)
            b->row[s] = (struct rad_row){s, b->id[(size_t)s * (size_t)stride + (size_t)(n + i)]};
        const double start = rad_now_s(), cpu = rad_cpu_s();
        RAD_TRY(rad_engine_forward(b->e, b->row, batch, RAD_ROUTE_DECODE, err));
        RAD_TRY(rad_engine_logits(b->e, 0, batch, b->logits, err));
        *wall_s += rad_now_s() - start;
        *cpu_s += rad_cpu_s() - cpu;
        add_work(b, batch, router, &b->decode);
        add_head(b, batch, &b->decode);
    }
    return RAD_OK;
}

static enum rad_status run_all(struct bench *b, rad_progress *progress, struct rad_err *err)
{
    const bool router = b->o->model.engine.route.policy->needs_router;
    b->best_prefill_s = b->best_decode_s = (double)INFINITY;
    for (int i = -1; i < b->o->repeat; i++) { /* the first one warms up */
        double wall[2], cpu[2];
        RAD_TRY(prefill(b, &cpu[0], &wall[0], err));
        b->prefill = (struct work){0};
        add_work(b, b->o->batch * b->o->prompt, router, &b->prefill);
        add_head(b, b->o->batch, &b->prefill);
        RAD_TRY(decode(b, router, &cpu[1], &wall[1], err));
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

static enum rad_status probe_machine(struct bench *b, rad_progress *progress, struct rad_err *err)
{
    static const int32_t rows[N_M] = RAD_HOST_ROWS;
    for (int j = 0; j < N_M; j++) {
        RAD_TRY(host_sgemm(rows[j], 1024, 0.2, &b->sgemm[j], err));
        b->best_sgemm = fmax(b->best_sgemm, b->sgemm[j]);
        rad_progress_step(progress, b->o->repeat + 2 + j, "machine");
    }
    RAD_TRY(host_read(host_dram_bytes(), 0.4, &b->dram_bytes_per_s, err));
    RAD_TRY(host_read(rad_model_weight_bytes(b->m), 0.2, &b->weights_bytes_per_s, err));
    rad_progress_step(progress, b->o->repeat + N_M + 3, "machine");
    return RAD_OK;
}

/* ---- output -------------------------------------------------------------------------------- */

static void put_speed(rad_out *out, const struct bench *b)
{
    double prefill[MAX_REPEAT], decode[MAX_REPEAT];
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
    const double steps = b->o->n_new, bytes = b->decode.weight_bytes / steps;
    const double flop = b->decode.flop / b->decode.tokens;
    const double roof = fmin(b->o->batch * b->weights_bytes_per_s / bytes, b->best_sgemm / flop);
    rad_out_real(out, "weight_bytes", rad_model_weight_bytes(b->m));
    rad_out_real(out, "decode_weight_bytes_per_step", bytes);
    rad_out_real(out, "mem_bytes_per_s", b->dram_bytes_per_s);
    rad_out_real(out, "weights_bytes_per_s", b->weights_bytes_per_s);
    rad_out_real(out, "sgemm_flop_per_s", b->best_sgemm);
    for (int j = 0; j < N_M; j++) {
        char key[40];
        snprintf(key, sizeof key, "sgemm_m%d_flop_per_s", rows[j]);
        rad_out_real(out, key, b->sgemm[j]);
    }
    rad_out_real(out, "prefill_flop_per_s", b->prefill.flop / b->best_prefill_s);
    rad_out_real(out, "prefill_roof_frac", b->prefill.flop / b->best_prefill_s / b->best_sgemm);
    rad_out_real(out, "decode_flop_per_s", b->decode.flop / b->best_decode_s);
    rad_out_real(out, "decode_roof_tokens_per_s", roof);
    rad_out_real(out, "decode_roof_frac", b->decode.tokens / b->best_decode_s / roof);
}

static void print(const struct bench *b)
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
    rad_out_int(out, "threads", 1);
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
    (void)rad_out_close(out, true);
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
        print(b);
    return status;
}

static int run(int argc, char *argv[])
{
    struct bench_options o = {.batch = 1, .repeat = 7};
    struct bench b = {.o = &o};
    struct rad_err err;
    struct model_run m = {0};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    o.model.threads = 1;
    enum rad_status status = model_args_open(&o.model, &m, &err);
    b.m = m.model;
    if (status == RAD_OK)
        status = bench(&b, &o, &err);
    rad_engine_close(b.e);
    free(b.id);
    free(b.row);
    free(b.logits);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("bench", &err);
}

const struct rad_command rad_command_bench = {
    .name = "bench",
    .summary = "prefill and decode speed beside this machine's GEMM rate and bandwidth",
    .run = run,
};
