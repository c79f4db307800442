/* cmd_eval.c - `radial eval`: teacher-forced quality of a model under a policy. */
#include "cli/cli.h"
#include "cli/model_args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_PER_TOKEN = 600, OPT_DECODE };

struct eval_options {
    struct rad_cli_common common;
    struct model_args model;
    const char *per_token;
    bool decode;
};

static const struct argp_option options[] = {
    MODEL_ARGS_OPTIONS,
    MODEL_TAIL_OPTION,
    {"per-token", OPT_PER_TOKEN, "OUT.csv", 0, "write seq,pos,token,target,nll,depth", 2},
    {"decode", OPT_DECODE, NULL, 0, "feed token by token through the KV cache", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct eval_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_PER_TOKEN:
        o->per_token = arg;
        return 0;
    case OPT_DECODE:
        o->decode = true;
        return 0;
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Measure the negative log-likelihood of text under a model and a depth policy.\v"
           "Example:\n  radial eval models/radial-tiny --text tests/data/mixed.txt \\\n"
           "      --policy radial:budget=0.5\n" MODEL_ARGS_DOC,
    .children = rad_cli_children,
};

/* --per-token: a file beside it that gets the name when it is whole; a device is written as is. */
struct csv {
    const char *path;
    char part[RAD_PATH_MAX];
    FILE *to;
};

static enum rad_status csv_open(struct csv *csv, const char *path, struct rad_err *err)
{
    struct stat info;
    const bool device = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    const int n = snprintf(csv->part, sizeof csv->part, "%s%s", path, device ? "" : ".part");
    csv->path = path;
    if (n < 0 || (size_t)n >= sizeof csv->part)
        return rad_fail(err, RAD_E_RANGE, "--per-token: path too long");
    RAD_TRY(rad_cli_make_folder(path, err));
    csv->to = fopen(csv->part, "w");
    if (csv->to == NULL)
        return rad_fail(err, RAD_E_IO, "cannot write '%s': %s", path, strerror(errno));
    fputs("seq,pos,token,target,nll,depth\n", csv->to);
    return RAD_OK;
}

static enum rad_status csv_close(struct csv *csv, enum rad_status status, struct rad_err *err)
{
    const bool beside = csv->to != NULL && strcmp(csv->part, csv->path) != 0;
    if (csv->to == NULL)
        return status;
    if (fclose(csv->to) != 0 && status == RAD_OK)
        status = rad_fail(err, RAD_E_IO, "cannot write '%s': %s", csv->path, strerror(errno));
    if (beside && status == RAD_OK && rename(csv->part, csv->path) != 0)
        status = rad_fail(err, RAD_E_IO, "cannot write '%s': %s", csv->path, strerror(errno));
    if (beside && status != RAD_OK)
        (void)remove(csv->part);
    return status;
}

static enum rad_status put_csv(void *ctx, const struct rad_trace_token *tok, int32_t target,
                               double depth, struct rad_err *err)
{
    FILE *f = ctx;
    const int n = isnan(tok->nll) ? fprintf(f, "%lld,%d,%d,%d,,%g\n", (long long)tok->seq, tok->pos,
                                            tok->token, target, depth)
                                  : fprintf(f, "%lld,%d,%d,%d,%.9g,%g\n", (long long)tok->seq,
                                            tok->pos, tok->token, target, (double)tok->nll, depth);
    return n > 0 ? RAD_OK
                 : rad_fail(err, RAD_E_IO, "--per-token: cannot write: %s", strerror(errno));
}

static enum rad_status print(const struct eval_options *o, const struct rad_eval_result *r,
                             struct rad_err *err)
{
    rad_out *out;
    (void)rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "model", o->model.folder);
    rad_out_text(out, "policy", o->model.policy);
    rad_out_text(out, "kv", rad_kv_name(o->model.engine.kv));
    rad_out_int(out, "tokens", r->tokens);
    rad_out_real(out, "nll", r->nll);
    rad_out_real(out, "ppl", exp(r->nll));
    rad_out_real(out, "mean_depth", r->mean_depth);
    rad_out_real(out, "depth_frac", r->depth_frac);
    rad_out_real(out, "flop_frac", r->flop_frac);
    rad_out_real(out, "tokens_per_s", r->tokens_per_s);
    rad_out_real(out, "seconds", r->seconds);
    rad_out_bool(out, "forward_only", r->forward_only);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

/* --per-token never replaces what is evaluated. */
static enum rad_status check_apart(const struct eval_options *o, struct rad_err *err)
{
    const struct model_args *a = &o->model;
    if (o->per_token == NULL)
        return RAD_OK;
    for (int i = 0; i < a->n_text; i++)
        RAD_TRY(rad_cli_apart(a->text[i], "--per-token", o->per_token, err));
    return a->tokens != NULL ? rad_cli_apart(a->tokens, "--per-token", o->per_token, err) : RAD_OK;
}

static enum rad_status evaluate(const struct eval_options *o, const struct model_run *run,
                                struct rad_eval_result *result, struct rad_err *err)
{
    const struct model_eval how = {"eval", o->common.progress, o->decode};
    struct rad_eval_sinks sinks = {0};
    struct csv csv = {.to = NULL};
    RAD_TRY(check_apart(o, err));
    if (o->per_token != NULL)
        RAD_TRY(csv_open(&csv, o->per_token, err));
    if (csv.to != NULL) {
        sinks.token = put_csv;
        sinks.ctx = csv.to;
    }
    return csv_close(&csv, model_args_eval(&o->model, run, &how, sinks, result, err), err);
}

static int run(int argc, char *argv[])
{
    struct eval_options o = {.decode = false};
    struct rad_err err;
    struct model_run m = {0};
    struct rad_eval_result result = {.nll = (double)NAN};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    enum rad_status status = model_args_open(&o.model, &m, &err);
    if (status == RAD_OK)
        status = evaluate(&o, &m, &result, &err);
    if (status == RAD_OK)
        status = print(&o, &result, &err);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("eval", &err);
}

const struct rad_command rad_command_eval = {
    .name = "eval",
    .summary = "teacher-forced quality (NLL) of a model under a depth policy",
    .run = run,
};
