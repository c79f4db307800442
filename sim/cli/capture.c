/* capture.c - joins inference to the sweep: neither folder knows the other. */
#include "cli/capture.h"

#include <string.h>

static enum rad_status write_trace(const rad_model *m, const struct rad_tokens *tokens,
                                   const struct rad_eval_options *opt, const char *path,
                                   struct rad_err *err)
{
    struct rad_run_text text;
    struct rad_eval_result result;
    struct rad_eval_sinks sinks = {0};
    const struct rad_trace_run run = rad_trace_run_of(m, &opt->engine, "eval", tokens, &text);
    RAD_TRY(rad_trace_create(&sinks.trace, path, &run, err));
    const enum rad_status status = rad_eval_run(m, tokens, opt, &sinks, &result, err);
    if (status == RAD_OK)
        return rad_trace_finish(sinks.trace, result.nll, result.forward_only, err);
    rad_trace_abandon(sinks.trace);
    return status;
}

static enum rad_status capture_with(const rad_model *m, rad_pool *pool,
                                    const struct rad_sweep_capture *what, const char *path,
                                    struct rad_err *err)
{
    const struct rad_card *c = &rad_model_config(m)->card;
    struct rad_eval_options opt = {.engine = {.n_slot = 1}, .pool = pool};
    struct rad_tokens tokens = {0};
    const int32_t ctx = what->ctx > 0 && what->ctx < c->n_ctx ? (int32_t)what->ctx : c->n_ctx;
    if (strcmp(what->kv, "recorded") != 0)
        RAD_TRY(rad_kv_parse(what->kv, &opt.engine.kv, err));
    RAD_TRY(rad_route_parse(&opt.engine.route, what->policy, c->n_layer, err));
    enum rad_status status = rad_tokens_add_text(&tokens, m, what->text, ctx, 1.0, err);
    if (status == RAD_OK)
        status = write_trace(m, &tokens, &opt, path, err);
    rad_tokens_free(&tokens);
    return status;
}

enum rad_status capture_trace(void *ctx, const struct rad_sweep_capture *what, const char *path,
                              struct rad_err *err)
{
    rad_model *m = NULL;
    RAD_TRY(rad_model_open(&m, what->model, err));
    const enum rad_status status = capture_with(m, ctx, what, path, err);
    rad_model_close(m);
    return status;
}
