/* cmd_profile.c - `radial profile`: how much every layer changes the residual stream. */
#include "cli/cli.h"
#include "cli/model_args.h"
#include "cli/skip_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct profile_options {
    struct rad_cli_common common;
    struct model_args model;
    const char *image[MODEL_ARGS_TEXT_MAX];
    int n_image;
    long skip_loss; /* tokens to try; 0: none */
    const char *samples;
    const struct rad_published_ratio *published; /* of such a model; NULL: nothing */
};

enum { OPT_IMAGE = 601, OPT_SKIP_LOSS, OPT_SAMPLES };

static const struct argp_option options[] = {
    MODEL_ARGS_OPTIONS,
    MODEL_TAIL_OPTION,
    {"image", OPT_IMAGE, "F", 0, "an image, for a model that reads them; may be repeated", 2},
    {"skip-loss", OPT_SKIP_LOSS, "N", 0,
     "run N tokens once without each of their sublayers instead: what does skipping cost, and does "
     "the ratio tell?",
     2},
    {"samples", OPT_SAMPLES, "F.csv", 0, "with --skip-loss: every token and sublayer", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct profile_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_IMAGE:
        if (o->n_image == MODEL_ARGS_TEXT_MAX)
            argp_error(state, "--image: at most %d files", MODEL_ARGS_TEXT_MAX);
        o->image[o->n_image++] = arg;
        return 0;
    case OPT_SKIP_LOSS:
        o->skip_loss = rad_cli_int(state, "--skip-loss", arg, 1, 100000000);
        return 0;
    case OPT_SAMPLES:
        o->samples = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->samples != NULL && o->skip_loss == 0)
            argp_error(state, "--samples: expected --skip-loss N with it");
        return model_args_parse(&o->model, key, arg, state);
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc =
        "Measure residual ratios per token and sublayer: ratio_in = |f|/|x|, ratio_out = "
        "|f|/|x+f| and the cosine of x and x+f, where x is a token's state and f what the "
        "sublayer adds. Medians over tokens; p10 and p90 are of ratio_in. block_influence is 1 - "
        "mean cosine of the states before and after a whole layer. --trace keeps the "
        "squared norms of every hop. Post-norm layers are measured before their norm. The "
        "policy is dense unless given. Of OPT-125M, OPT-66B and ViT-Huge the published median "
        "ratio stands below.\n\n--skip-loss tries what leaving one sublayer out does to "
        "the "
        "prediction of the next token (delta_nll, nats): rho_* are Spearman's rank correlations "
        "with "
        "it, over tokens in the rows, over everything, within tokens and between sublayers below.\v"
        "Examples:\n  radial profile models/dense-tiny --text tests/data/mixed.txt\n"
        "  radial profile models/dense-tiny --text tests/data/mixed.txt \\\n"
        "      --skip-loss 1000\n",
    .children = rad_cli_children,
};

/* ---- output -------------------------------------------------------------------------------- */

static void put_row(rad_out *out, const struct rad_profile_row *r, double influence)
{
    rad_out_begin_row(out);
    rad_out_int(out, "layer", r->layer);
    rad_out_text(out, "sublayer", r->mlp ? "mlp" : "attn");
    rad_out_int(out, "tokens", r->n);
    rad_out_real(out, "median_ratio_in", r->ratio_in.median);
    rad_out_real(out, "p10", r->ratio_in.p10);
    rad_out_real(out, "p90", r->ratio_in.p90);
    rad_out_real(out, "median_ratio_out", r->ratio_out.median);
    rad_out_real(out, "cos_in_out", r->cos_in_out.median);
    rad_out_real(out, "block_influence", influence);
    rad_out_end_row(out);
}

static enum rad_status put_rows(const struct rad_profile *p, enum rad_format format, FILE *to,
                                struct rad_err *err)
{
    rad_out *out;
    (void)rad_out_open(&out, format, to);
    for (int32_t i = 0; i < p->n_row; i++)
        put_row(out, &p->row[i], p->influence[i / 2]);
    return rad_out_close(out, false, err);
}

static void put_overall(rad_out *out, const struct profile_options *o, const struct rad_profile *p,
                        const struct rad_eval_result *r)
{
    const struct rad_published_ratio *published = o->published;
    rad_out_text(out, "model", o->model.folder);
    rad_out_text(out, "policy", o->model.policy);
    rad_out_int(out, "tokens", r->fed);
    rad_out_real(out, "nll", r->nll);
    rad_out_real(out, "mean_depth", r->mean_depth);
    rad_out_real(out, "median_ratio_in", p->ratio_in.median);
    rad_out_real(out, "p10_ratio_in", p->ratio_in.p10);
    rad_out_real(out, "p90_ratio_in", p->ratio_in.p90);
    rad_out_real(out, "median_ratio_out", p->ratio_out.median);
    rad_out_real(out, "cos_in_out", p->cos_in_out.median);
    if (published != NULL) {
        rad_out_real(out, "published_ratio", published->median);
        rad_out_text(out, "published_model", published->model);
        rad_out_text(out, "published_source", published->source);
    }
}

/* One object with everything: the rows become an array in it. */
static enum rad_status print_json(const struct profile_options *o, const struct rad_profile *p,
                                  const struct rad_eval_result *r, struct rad_err *err)
{
    char *rows = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&rows, &len);
    if (memory == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    enum rad_status status = put_rows(p, RAD_FORMAT_JSON, memory, err);
    if (fclose(memory) != 0 && status == RAD_OK)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    if (status == RAD_OK) {
        rad_out *out;
        (void)rad_out_open(&out, RAD_FORMAT_JSON, stdout);
        rad_out_begin_row(out);
        put_overall(out, o, p, r);
        rad_out_json(out, "layers", rows);
        rad_out_end_row(out);
        status = rad_out_close(out, true, err);
    }
    free(rows);
    return status;
}

/* Tables for people have the overall figures below the rows; csv has rows only. */
static enum rad_status print(const struct profile_options *o, const struct rad_profile *p,
                             const struct rad_eval_result *r, struct rad_err *err)
{
    if (o->common.format == RAD_FORMAT_JSON)
        return print_json(o, p, r, err);
    RAD_TRY(put_rows(p, o->common.format, stdout, err));
    if (o->common.format == RAD_FORMAT_CSV)
        return RAD_OK;
    rad_out *out;
    putchar('\n');
    (void)rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    put_overall(out, o, p, r);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

/* ---- images -------------------------------------------------------------------------------- */

static enum rad_status look(struct profile_options *o, struct model_run *run,
                            rad_profiler *profiler, struct rad_eval_result *result,
                            struct rad_err *err)
{
    struct rad_eval_sinks sinks = {
        .path = rad_profiler_add, .block = rad_profiler_add_block, .ctx = profiler};
    const struct rad_images images = {o->image, o->n_image, o->model.found};
    const size_t classes = (size_t)rad_model_config(run->model)->card.vocab;
    float *logits = calloc((size_t)o->n_image * classes, sizeof *logits);
    if (logits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %d images", o->n_image);
    enum rad_status status = model_args_trace(&o->model, run, "eval", NULL, &sinks.trace, err);
    if (status == RAD_OK) {
        sinks.progress = rad_progress_open(stderr, "profile", o->n_image, o->common.progress);
        status = rad_images_run(run->model, &images, &o->model.engine, &sinks, logits, result, err);
        rad_progress_close(sinks.progress);
    }
    free(logits);
    return model_args_trace_end(sinks.trace, status, (double)NAN, result->forward_only, err);
}

/* ---- what skipping costs ------------------------------------------------------------------- */

static enum rad_status try_skips(struct profile_options *o, struct model_run *run,
                                 struct rad_err *err)
{
    struct skip_table table = {.n_layer = rad_model_config(run->model)->card.n_layer};
    struct rad_tokens tokens = {0};
    struct rad_skip_loss_options opt = {
        .n_token = o->skip_loss, .pool = run->pool, .row = skip_table_add, .ctx = &table};
    if (strcmp(o->model.policy, "dense") != 0 || o->model.trace != NULL || o->n_image > 0)
        return rad_fail(err, RAD_E_ARG,
                        "--skip-loss: goes with policy dense and text, and writes no trace");
    enum rad_status status = model_args_tokens(&o->model, run, &tokens, err);
    if (status == RAD_OK) {
        opt.progress = rad_progress_open(stderr, "skip loss", o->skip_loss, o->common.progress);
        status = rad_skip_loss_run(run->model, &tokens, &opt, err);
        rad_progress_close(opt.progress);
    }
    if (status == RAD_OK && o->samples != NULL)
        status = skip_table_save(&table, o->samples, err);
    if (status == RAD_OK)
        status = skip_table_print(&table, o->common.format, o->model.folder, err);
    rad_tokens_free(&tokens);
    skip_table_free(&table);
    return status;
}

/* ---- the run ------------------------------------------------------------------------------- */

static enum rad_status profile(struct profile_options *o, struct model_run *run,
                               struct rad_err *err)
{
    rad_profiler *profiler = NULL;
    const struct model_eval how = {"profile", o->common.progress, false};
    struct rad_profile p = {0};
    struct rad_eval_result result = {.nll = (double)NAN};
    if (o->n_image > 0 && (o->model.n_text > 0 || o->model.tokens != NULL))
        return rad_fail(err, RAD_E_ARG, "expected either --image or --text or --tokens");
    o->published = rad_published_ratio(rad_model_config(run->model));
    RAD_TRY(rad_profiler_open(&profiler, rad_model_config(run->model)->card.n_layer, err));
    const struct rad_eval_sinks sinks = {
        .path = rad_profiler_add, .block = rad_profiler_add_block, .ctx = profiler};
    enum rad_status status = o->n_image > 0
                                 ? look(o, run, profiler, &result, err)
                                 : model_args_eval(&o->model, run, &how, sinks, &result, err);
    if (status == RAD_OK)
        status = rad_profiler_result(profiler, &p, err);
    if (status == RAD_OK)
        status = print(o, &p, &result, err);
    rad_profile_free(&p);
    rad_profiler_close(profiler);
    return status;
}

static int run(int argc, char *argv[])
{
    struct profile_options o = {0};
    struct rad_err err;
    struct model_run m = {0};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    o.model.stats = o.model.images = true;
    if (o.model.policy == NULL)
        o.model.policy = "dense";
    enum rad_status status = model_args_open(&o.model, &m, &err);
    if (status == RAD_OK)
        status = o.skip_loss > 0 ? try_skips(&o, &m, &err) : profile(&o, &m, &err);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("profile", &err);
}

const struct rad_command rad_command_profile = {
    .name = "profile",
    .summary = "residual ratios per layer and sublayer: which layers matter",
    .run = run,
};
