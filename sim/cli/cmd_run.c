/* cmd_run.c - `radial run`: generate text under a depth policy, shown while it appears. */
#include "cli/cli.h"
#include "cli/model_args.h"
#include "cli/show_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OPT_PROMPT = 600, OPT_NEW, OPT_TEMPERATURE, OPT_TOP_P, OPT_SHOW_DEPTH };

struct run_options {
    struct rad_cli_common common;
    struct model_args model;
    const char *prompt;
    int n_new;
    double temperature, top_p;
    bool show_depth;
};

static const struct argp_option options[] = {
    {"prompt", OPT_PROMPT, "TEXT", 0, "the text to go on from", 0},
    {"new", OPT_NEW, "N", 0, "new tokens at most (default 128)", 0},
    {"temperature", OPT_TEMPERATURE, "X", 0, "of sampling; 0 takes the likeliest (default 0.8)", 0},
    {"top-p", OPT_TOP_P, "Y", 0, "sample from the likeliest tokens of this share (default 0.95)",
     0},
    {"show-depth", OPT_SHOW_DEPTH, NULL, 0,
     "show how many layers every token ran: in colour on a terminal (unless NO_COLOR is set), else "
     "as a digit under every character",
     0},
    {"policy", MODEL_KEY_POLICY, "P", 0,
     "dense | radial:budget=B | uls:speedup=S | skip:frac=F | oracle:theta=T (default dense, or "
     "radial:budget=1 for a model with a router)",
     1},
    {"kv", MODEL_KEY_KV, "K", 0, "cache of skipped layers: hole | project | copy", 1},
    {"seed", MODEL_KEY_SEED, "S", 0, "of sampling and of policy skip (default 0)", 1},
    {"jobs", 'j', "N", 0, "threads (default: one per CPU)", 1},
    {"trace", MODEL_KEY_TRACE, "T.db", 0, "write what every token did", 1},
    {"stats", MODEL_KEY_STATS, NULL, 0, "with --trace: residual norms of every hop", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_PROMPT:
        o->prompt = arg;
        return 0;
    case OPT_NEW:
        o->n_new = (int)rad_cli_int(state, "--new", arg, 0, 1 << 24);
        return 0;
    case OPT_TEMPERATURE:
        o->temperature = rad_cli_real(state, "--temperature", arg, 0.0, 100.0);
        return 0;
    case OPT_TOP_P:
        o->top_p = rad_cli_real(state, "--top-p", arg, 0.0, 1.0);
        return 0;
    case OPT_SHOW_DEPTH:
        o->show_depth = true;
        return 0;
    case ARGP_KEY_END:
        if (o->prompt == NULL)
            argp_error(state, "expected --prompt TEXT");
        return model_args_parse(&o->model, key, arg, state);
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL --prompt TEXT",
    .doc = "Generate text. Every token goes through as many layers as the policy gives it; a model "
           "with a router runs radial:budget=1 unless told otherwise. tokens_per_s is the speed of "
           "decoding, mean_depth counts the prompt too.\v"
           "Example:\n  radial run models/radial-tiny --prompt 'The old house' \\\n"
           "      --policy radial:budget=0.5 --show-depth\n" MODEL_ARGS_DOC,
    .children = rad_cli_children,
};

/* ---- while it runs ------------------------------------------------------------------------- */

struct stream { /* the text so far; new tokens are what decoding adds to it */
    const rad_tokenizer *tok;
    struct rad_ids ids; /* room for all */
    struct rad_buf text;
    struct show_text *show; /* NULL: quiet */
    struct rad_err err;
    enum rad_status status;
};

static void on_token(void *ctx, int32_t id, bool prompt, double depth)
{
    struct stream *s = ctx;
    struct rad_buf text = {0};
    (void)prompt;
    if (s->status != RAD_OK)
        return;
    s->ids.id[s->ids.n++] = id;
    s->status = rad_tokenizer_decode(s->tok, s->ids.id, s->ids.n, &text, &s->err);
    if (s->status == RAD_OK && s->show != NULL && text.len > s->text.len)
        show_text_put(s->show, text.data + s->text.len, text.len - s->text.len, depth);
    rad_buf_free(&s->text);
    s->text = text;
}

static const char *stop_reason(const struct run_options *o, const struct rad_generate_result *r,
                               int32_t n_ctx)
{
    return r->n_new == o->n_new ? "length" : r->n_prompt + r->n_new >= n_ctx ? "context" : "end";
}

/* A byte model may produce NUL, which would end the text for C. */
static void no_nul(struct rad_buf *text)
{
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == '\0')
            text->data[i] = ' ';
}

static enum rad_status print(const struct run_options *o, const struct model_run *run,
                             struct stream *s, const struct rad_generate_result *r,
                             struct rad_err *err)
{
    const struct rad_card *card = &rad_model_config(run->model)->card;
    rad_out *out;
    (void)rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    no_nul(&s->text);
    if (o->common.format != RAD_FORMAT_TABLE)
        rad_out_text(out, "text", s->text.data != NULL ? s->text.data : "");
    rad_out_text(out, "model", o->model.folder);
    rad_out_text(out, "policy", o->model.policy);
    rad_out_text(out, "kv", rad_kv_name(o->model.engine.kv));
    rad_out_int(out, "tokens", r->n_prompt + r->n_new);
    rad_out_int(out, "new_tokens", r->n_new);
    rad_out_text(out, "stopped_by", stop_reason(o, r, card->n_ctx));
    rad_out_real(out, "mean_depth", r->mean_depth);
    rad_out_real(out, "depth_frac", r->depth_frac);
    rad_out_real(out, "prompt_nll", r->nll);
    rad_out_real(out, "prefill_s", r->prefill_s);
    rad_out_real(out, "decode_s", r->decode_s);
    rad_out_real(out, "tokens_per_s", r->n_new > 0 ? r->n_new / r->decode_s : (double)NAN);
    rad_out_bool(out, "forward_only", r->forward_only);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

/* ---- the run ------------------------------------------------------------------------------- */

static enum rad_status generate_traced(struct run_options *o, struct model_run *run,
                                       const struct rad_ids *prompt, struct stream *s,
                                       struct rad_generate_result *r, struct rad_err *err)
{
    int64_t first[2] = {0, (int64_t)prompt->n};
    const struct rad_tokens tokens = {prompt->id, first, 1};
    struct rad_generate_options g = {.engine = o->model.engine,
                                     .n_new = o->n_new,
                                     .temperature = o->temperature,
                                     .top_p = o->top_p,
                                     .seed = o->model.seed,
                                     .token = on_token,
                                     .ctx = s};
    struct rad_ids out = {0};
    const int32_t n_ctx = rad_model_config(run->model)->card.n_ctx;
    if (prompt->n > 0 && prompt->n <= (size_t)n_ctx) /* else rad_generate says why not */
        RAD_TRY(model_args_trace(&o->model, run, "run", &tokens, &g.trace, err));
    enum rad_status status = rad_generate(run->model, prompt, &g, &out, r, err);
    if (status == RAD_OK && s->status != RAD_OK)
        status = rad_fail(err, s->status, "%s", s->err.msg);
    rad_ids_free(&out);
    return model_args_trace_end(g.trace, status, r->nll, r->forward_only, err);
}

static enum rad_status generate(struct run_options *o, struct model_run *run, struct rad_err *err)
{
    const struct rad_text text = {o->prompt, strlen(o->prompt), true};
    struct stream s = {.tok = rad_model_tokenizer(run->model)};
    struct show_text show;
    struct rad_ids prompt = {0};
    struct rad_generate_result r;
    RAD_TRY(rad_tokenizer_encode(s.tok, &text, &prompt, err));
    s.ids.id = malloc((prompt.n + (size_t)o->n_new + 1) * sizeof *s.ids.id);
    enum rad_status status = s.ids.id != NULL ? RAD_OK
                                              : rad_fail(err, RAD_E_NOMEM, "run: out of memory");
    if (o->common.format == RAD_FORMAT_TABLE && status == RAD_OK) {
        s.show = &show;
        show_text_open(&show, stdout, o->show_depth, rad_model_config(run->model)->card.n_layer);
    }
    if (status == RAD_OK)
        status = generate_traced(o, run, &prompt, &s, &r, err);
    if (s.show != NULL && s.ids.n > 0)
        show_text_close(&show);
    if (status == RAD_OK && s.show != NULL)
        putchar('\n');
    if (status == RAD_OK)
        status = print(o, run, &s, &r, err);
    rad_buf_free(&s.text);
    rad_ids_free(&s.ids);
    rad_ids_free(&prompt);
    return status;
}

static int run(int argc, char *argv[])
{
    struct run_options o = {.n_new = 128, .temperature = 0.8, .top_p = 0.95};
    struct rad_err err;
    struct model_run m = {0};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    o.model.alone = true;
    enum rad_status status = model_args_open(&o.model, &m, &err);
    if (status == RAD_OK)
        status = generate(&o, &m, &err);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("run", &err);
}

const struct rad_command rad_command_run = {
    .name = "run",
    .summary = "generate text, showing the depth of every token if asked",
    .run = run,
};
