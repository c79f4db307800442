/* model_args.c - options and setup that run, eval, profile and bench share. */
#include "cli/model_args.h"

#include <stdio.h>
#include <string.h>

void model_args_default(struct model_args *a)
{
    *a = (struct model_args){.kv = "hole", .tail = 1.0};
}

static void add_text(struct model_args *a, char *file, struct argp_state *state)
{
    if (a->n_text == MODEL_ARGS_TEXT_MAX)
        argp_error(state, "--text: at most %d files", MODEL_ARGS_TEXT_MAX);
    else
        a->text[a->n_text++] = file;
}

/* The model, and behind --text more files: what a shell makes of `--text *.txt`. */
static void add_argument(struct model_args *a, char *arg, struct argp_state *state)
{
    if (a->folder == NULL)
        a->folder = arg;
    else if (a->n_text > 0)
        add_text(a, arg, state);
    else
        argp_error(state, "expected one MODEL but found '%s' too", arg);
}

error_t model_args_parse(struct model_args *a, int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case MODEL_KEY_POLICY:
        a->policy = arg;
        return 0;
    case MODEL_KEY_KV:
        a->kv = arg;
        return 0;
    case MODEL_KEY_TRACE:
        a->trace = arg;
        return 0;
    case MODEL_KEY_TOKENS:
        a->tokens = arg;
        return 0;
    case MODEL_KEY_TEXT:
        add_text(a, arg, state);
        return 0;
    case MODEL_KEY_CTX:
        a->ctx = (int)rad_cli_int(state, "--ctx", arg, 2, 1 << 24);
        return 0;
    case MODEL_KEY_SEED:
        a->seed = (uint64_t)rad_cli_int(state, "--seed", arg, 0, 1L << 53);
        return 0;
    case MODEL_KEY_TAIL:
        a->tail = rad_cli_real(state, "--tail", arg, 1e-6, 1.0);
        return 0;
    case MODEL_KEY_STATS:
        a->stats = true;
        return 0;
    case 'j':
        a->threads = (int)rad_cli_int(state, "--jobs", arg, 1, 256);
        return 0;
    case ARGP_KEY_ARG:
        add_argument(a, arg, state);
        return 0;
    case ARGP_KEY_END:
        if (a->folder == NULL)
            argp_error(state, "expected a MODEL: a folder, a .gguf file or ORG/NAME");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum rad_status parse_policy(struct model_args *a, const rad_model *m, struct rad_err *err)
{
    const struct rad_model_config *c = rad_model_config(m);
    if (a->policy == NULL)
        a->policy = c->router.hidden > 0 ? "radial:budget=1" : "dense";
    return rad_route_parse_seeded(&a->engine.route, a->policy, c->card.n_layer, a->seed, err);
}

enum rad_status model_args_open(struct model_args *a, struct model_run *run, struct rad_err *err)
{
    a->engine.n_slot = 1;
    a->engine.stats = a->stats;
    a->engine.threads = a->threads;
    RAD_TRY(rad_cli_blame(rad_kv_parse(a->kv, &a->engine.kv, err), err));
    RAD_TRY(rad_model_find(a->found, a->folder, err));
    RAD_TRY(rad_model_open(&run->model, a->found, err));
    if (rad_model_image_side(run->model) > 0 && !a->images)
        return rad_fail(err, RAD_E_ARG, "%s: reads images, not text; use radial classify",
                        a->folder);
    RAD_TRY(rad_cli_blame(parse_policy(a, run->model, err), err));
    return a->alone ? RAD_OK : rad_pool_open(&run->pool, a->threads, err);
}

void model_args_close(struct model_run *run)
{
    rad_pool_close(run->pool);
    rad_model_close(run->model);
}

enum rad_status model_args_tokens(const struct model_args *a, const struct model_run *run,
                                  struct rad_tokens *out, struct rad_err *err)
{
    const int32_t ctx = a->ctx > 0 ? a->ctx : rad_model_config(run->model)->card.n_ctx;
    *out = (struct rad_tokens){0};
    if ((a->n_text > 0) == (a->tokens != NULL))
        return rad_fail(err, RAD_E_ARG, "expected either --text or --tokens");
    enum rad_status status = a->tokens != NULL ? rad_tokens_add_ids(out, run->model, a->tokens, err)
                                               : RAD_OK;
    for (int i = 0; i < a->n_text && status == RAD_OK; i++)
        status = rad_tokens_add_text(out, run->model, a->text[i], ctx, a->tail, err);
    return status;
}

enum rad_status model_args_trace(const struct model_args *a, const struct model_run *run,
                                 const char *source, const struct rad_tokens *tokens,
                                 rad_trace_writer **out, struct rad_err *err)
{
    *out = NULL;
    if (a->trace == NULL)
        return RAD_OK;
    rad_engine *probe = NULL; /* a run that cannot start must not leave a trace behind */
    RAD_TRY(rad_engine_open(&probe, run->model, &a->engine, err));
    rad_engine_close(probe);
    struct rad_run_text text;
    struct rad_trace_run r = rad_trace_run_of(run->model, &a->engine, source, tokens, &text);
    r.seed = a->seed;
    RAD_TRY(rad_cli_make_folder(a->trace, err));
    return rad_trace_create(out, a->trace, &r, err);
}

enum rad_status model_args_trace_end(rad_trace_writer *w, enum rad_status status, double nll,
                                     bool forward_only, struct rad_err *err)
{
    if (w == NULL)
        return status;
    if (status == RAD_OK)
        return rad_trace_finish(w, nll, forward_only, err);
    rad_trace_abandon(w);
    return status;
}

enum rad_status model_args_eval(const struct model_args *a, const struct model_run *run,
                                const struct model_eval *how, struct rad_eval_sinks sinks,
                                struct rad_eval_result *out, struct rad_err *err)
{
    struct rad_tokens tokens = {0};
    enum rad_status status = model_args_tokens(a, run, &tokens, err);
    if (status == RAD_OK)
        status = model_args_trace(a, run, "eval", &tokens, &sinks.trace, err);
    if (status == RAD_OK) {
        const struct rad_eval_options opt = {a->engine, how->decode, run->pool};
        sinks.progress = rad_progress_open(stderr, how->name, tokens.n_seq, how->progress);
        status = rad_eval_run(run->model, &tokens, &opt, &sinks, out, err);
        rad_progress_close(sinks.progress);
    }
    status = model_args_trace_end(sinks.trace, status, out->nll, out->forward_only, err);
    rad_tokens_free(&tokens);
    return status;
}
