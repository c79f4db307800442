/* fault_infer.c - training a tiny network and running it, without memory. */
#include "fault.h"

#include "base/io.h"
#include "infer/infer.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER FAULT_TMP "fault_model"
#define TEXT FAULT_TMP "fault_text.txt"
#define SPEC FAULT_TMP "fault_spec.yaml"

static const char words[] = "one day the old boat was gone and nobody knew who had taken it away. ";
static const char spec_text[] = "model: {n_layer: 2, d_model: 8, n_head: 2, ffn: 8, ctx: 8}\n"
                                "steps: 2\nbatch: 2\nrouter: {hidden: 4, max_hops: 3}\n";

static enum rad_status train(struct rad_err *err)
{
    const char *const text[1] = {TEXT};
    const struct rad_train_io io = {
        .text = text, .n_text = 1, .val_frac = 0.2, .out = FOLDER, .threads = 1};
    struct rad_train_spec spec;
    struct rad_train_report report;
    RAD_TRY(rad_file_write(TEXT, words, sizeof words - 1, err));
    RAD_TRY(rad_file_write(SPEC, spec_text, sizeof spec_text - 1, err));
    (void)remove(FOLDER "/train.state");
    RAD_TRY(rad_train_spec_open(&spec, SPEC, err));
    return rad_train_run(&spec, &io, &report, err);
}

static enum rad_status open_model(struct rad_err *err)
{
    rad_model *m = NULL;
    RAD_TRY(rad_model_open(&m, FOLDER, err));
    rad_model_close(m);
    return RAD_OK;
}

static bool model_sound(struct rad_err *err)
{
    return open_model(err) == RAD_OK;
}

/* Evaluate the text token by token with statistics, and profile it. */
static enum rad_status evaluate_with(const rad_model *m, rad_profiler *profiler, const char *policy,
                                     enum rad_kv kv, struct rad_err *err)
{
    struct rad_tokens tokens = {0};
    struct rad_eval_result result;
    struct rad_profile profile = {0};
    struct rad_eval_options o = {.decode = true};
    const struct rad_eval_sinks sinks = {.path = rad_profiler_add, .ctx = profiler};
    o.engine = (struct rad_engine_options){.kv = kv, .n_slot = 1, .stats = true};
    RAD_TRY(rad_route_parse(&o.engine.route, policy, 2, err));
    enum rad_status status = rad_tokens_add_text(&tokens, m, TEXT, 8, 1.0, err);
    if (status == RAD_OK)
        status = rad_eval_run(m, &tokens, &o, &sinks, &result, err);
    if (status == RAD_OK)
        status = rad_profiler_result(profiler, &profile, err);
    rad_profile_free(&profile);
    rad_tokens_free(&tokens);
    return status;
}

static enum rad_status evaluate(const char *policy, enum rad_kv kv, struct rad_err *err)
{
    rad_model *m = NULL;
    rad_profiler *profiler = NULL;
    RAD_TRY(rad_model_open(&m, FOLDER, err));
    enum rad_status status = rad_profiler_open(&profiler, 2, err);
    if (status == RAD_OK)
        status = evaluate_with(m, profiler, policy, kv, err);
    rad_profiler_close(profiler);
    rad_model_close(m);
    return status;
}

static enum rad_status evaluate_routed(struct rad_err *err)
{
    return evaluate("radial:price=-1", RAD_KV_HOLE, err);
}

static enum rad_status evaluate_skipping(struct rad_err *err)
{
    return evaluate("skip:frac=0.5", RAD_KV_PROJECT, err);
}

static enum rad_status ignore_row(void *ctx, const struct rad_skip_loss *row, struct rad_err *err)
{
    (void)ctx, (void)row, (void)err;
    return RAD_OK;
}

static enum rad_status skip_losses(struct rad_err *err)
{
    const struct rad_skip_loss_options o = {.n_token = 2, .row = ignore_row};
    struct rad_tokens tokens = {0};
    rad_model *m = NULL;
    RAD_TRY(rad_model_open(&m, FOLDER, err));
    enum rad_status status = rad_tokens_add_text(&tokens, m, TEXT, 8, 1.0, err);
    if (status == RAD_OK)
        status = rad_skip_loss_run(m, &tokens, &o, err);
    rad_tokens_free(&tokens);
    rad_model_close(m);
    return status;
}

static enum rad_status generate(struct rad_err *err)
{
    int32_t id[3] = {'o', 'n', 'e'};
    const struct rad_ids prompt = {id, 3};
    struct rad_generate_options o = {.n_new = 4, .temperature = 1.0, .top_p = 0.9};
    struct rad_generate_result result;
    struct rad_ids out = {0};
    rad_model *m = NULL;
    o.engine.n_slot = 1;
    RAD_TRY(rad_route_parse(&o.engine.route, "dense", 2, err));
    RAD_TRY(rad_model_open(&m, FOLDER, err));
    const enum rad_status status = rad_generate(m, &prompt, &o, &out, &result, err);
    rad_ids_free(&out);
    rad_model_close(m);
    return status;
}

/* A made-up model on two threads, and the limits beside it. */
static enum rad_status make(struct rad_err *err)
{
    const struct rad_model_config config = {.card = {.name = "made",
                                                     .n_layer = 2,
                                                     .d_model = 32,
                                                     .n_head = 2,
                                                     .n_kv = 2,
                                                     .d_head = 16,
                                                     .ffn = 32,
                                                     .vocab = 64,
                                                     .n_ctx = 8,
                                                     .tied = true,
                                                     .max_hops = 2},
                                            .rms_eps = 1e-5f,
                                            .rope_theta = 10000.0};
    struct rad_engine_options o = {.n_slot = 1, .threads = 2};
    const struct rad_row row[2] = {{0, 1}, {0, 2}};
    float logits[64];
    rad_model *m = NULL;
    rad_engine *e = NULL;
    RAD_TRY(rad_route_parse(&o.route, "dense", 2, err));
    RAD_TRY(rad_model_make(&m, &config, RAD_MAT_Q8_0, err));
    enum rad_status status = rad_engine_open(&e, m, &o, err);
    if (status == RAD_OK)
        rad_engine_start(e, 0, 0);
    if (status == RAD_OK)
        status = rad_engine_forward(e, row, 2, RAD_ROUTE_EVAL, err);
    if (status == RAD_OK)
        status = rad_engine_logits(e, 1, 1, logits, err);
    rad_engine_close(e);
    rad_model_close(m);
    return status;
}

static enum rad_status limits(struct rad_err *err)
{
    rad_limits *l = NULL;
    struct rad_limit rate;
    RAD_TRY(rad_limits_open(&l, 1 << 20, 2, err));
    const enum rad_status status = rad_limits_gemm_bf16(l, &rate, err);
    rad_limits_close(l);
    return status;
}

static enum rad_status probe(struct rad_err *err)
{
    const struct rad_probe_gemm gemm = {RAD_MAT_F32, 2, 8, 8};
    const struct rad_probe_attend attend = {2, 4, 1, 8};
    struct rad_probe_time t;
    RAD_TRY(rad_probe_gemm(&gemm, 0.0, &t, err));
    RAD_TRY(rad_probe_vector(RAD_PROBE_ROPE, (const int32_t[2]){2, 32}, 0.0, &t, err));
    return rad_probe_attend(&attend, 0.0, &t, err);
}

/* In this order: the others run what the first trains. */
const struct fault infer_faults[] = {
    {"rad_train_run", train, model_sound},
    {"rad_model_open", open_model, NULL},
    {"rad_eval_run, any order", evaluate_routed, NULL},
    {"rad_eval_run, KV project", evaluate_skipping, NULL},
    {"rad_skip_loss_run", skip_losses, NULL},
    {"rad_generate", generate, NULL},
    {"rad_model_make", make, NULL},
    {"rad_limits", limits, NULL},
    {"rad_probe", probe, NULL},
    {.name = NULL},
};
