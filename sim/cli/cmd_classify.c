/* cmd_classify.c - `radial classify`: what a Vision Transformer makes of an image. */
#include "cli/cli.h"
#include "cli/model_args.h"

#include <math.h>
#include <stdio.h>

struct classify_options {
    struct rad_cli_common common;
    struct model_args model;
    const char *image;
};

enum { OPT_IMAGE = 600 };

static const struct argp_option options[] = {
    {"policy", MODEL_KEY_POLICY, "P", 0, "dense | uls:speedup=S | skip:frac=F | oracle:theta=T", 1},
    {"kv", MODEL_KEY_KV, "K", 0, "cache of skipped layers: hole | project | copy", 1},
    {"seed", MODEL_KEY_SEED, "S", 0, "of policy skip", 1},
    {"jobs", 'j', "N", 0, "threads (default: one per CPU)", 1},
    {"trace", MODEL_KEY_TRACE, "T.db", 0, "write what every patch did", 1},
    {"stats", MODEL_KEY_STATS, NULL, 0, "with --trace: residual norms of every hop", 1},
    {"image", OPT_IMAGE, "F", 0, "PNG, JPEG, or .npy (float32 3 x side x side, normalised)", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct classify_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_IMAGE:
        if (o->image != NULL)
            argp_error(state, "--image: expected one image but found '%s' too", arg);
        o->image = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->image == NULL)
            argp_error(state, "expected --image F");
        return model_args_parse(&o->model, key, arg, state);
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Classify an image with a Vision Transformer. PNG and JPEG files are resized (bilinear "
           "or bicubic with antialiasing, as Pillow does) and normalised as the model's "
           "preprocessor_config.json says; a .npy file is taken as it is. `top` is the number of "
           "the class with the largest logit.\v"
           "Example:\n  radial classify vit-base-patch16-224 --image cat.jpg\n",
    .children = rad_cli_children,
};

static int32_t top_of(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static enum rad_status print(const struct classify_options *o, const float *logits, int32_t n,
                             const struct rad_eval_result *r, struct rad_err *err)
{
    struct rad_buf list = {0};
    rad_out *out;
    for (int32_t i = 0; i < n; i++) {
        if (isfinite(logits[i]))
            rad_buf_printf(&list, "%s%.9g", i > 0 ? "," : "[", (double)logits[i]);
        else
            rad_buf_printf(&list, "%snull", i > 0 ? "," : "[");
    }
    rad_buf_add(&list, "]");
    if (list.failed) {
        rad_buf_free(&list);
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    }
    (void)rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "model", o->model.folder);
    rad_out_text(out, "image", o->image);
    rad_out_text(out, "policy", o->model.policy);
    const int32_t top = top_of(logits, n);
    rad_out_int(out, "top", top);
    rad_out_real(out, "top_logit", (double)logits[top]);
    if (o->common.format == RAD_FORMAT_JSON || o->common.format == RAD_FORMAT_CSV)
        rad_out_json(out, "logits", list.data);
    rad_out_int(out, "classes", n);
    rad_out_int(out, "tokens", r->fed);
    rad_out_real(out, "mean_depth", r->mean_depth);
    rad_out_real(out, "depth_frac", r->depth_frac);
    rad_out_real(out, "seconds", r->seconds);
    rad_out_end_row(out);
    rad_buf_free(&list);
    return rad_out_close(out, true, err);
}

static enum rad_status classify(struct classify_options *o, struct model_run *run,
                                struct rad_err *err)
{
    const int32_t n = rad_model_config(run->model)->card.vocab;
    const struct rad_images images = {&o->image, 1, o->model.found};
    struct rad_eval_sinks sinks = {0};
    struct rad_eval_result result = {.nll = (double)NAN};
    if (!rad_model_has_head(run->model))
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "%s: expected a tensor 'classifier.weight' but found none; a model without "
                        "classes can be profiled (radial profile --image)",
                        o->model.folder);
    float *logits = calloc((size_t)n, sizeof *logits);
    if (logits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %d classes", n);
    enum rad_status status = model_args_trace(&o->model, run, "eval", NULL, &sinks.trace, err);
    if (status == RAD_OK)
        status =
            rad_images_run(run->model, &images, &o->model.engine, &sinks, logits, &result, err);
    status = model_args_trace_end(sinks.trace, status, (double)NAN, result.forward_only, err);
    if (status == RAD_OK)
        status = print(o, logits, n, &result, err);
    free(logits);
    return status;
}

static int run(int argc, char *argv[])
{
    struct classify_options o = {.image = NULL};
    struct rad_err err;
    struct model_run m = {0};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    o.model.images = o.model.alone = true;
    enum rad_status status = model_args_open(&o.model, &m, &err);
    if (status == RAD_OK)
        status = classify(&o, &m, &err);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("classify", &err);
}

const struct rad_command rad_command_classify = {
    .name = "classify",
    .summary = "classify an image with a Vision Transformer under a depth policy",
    .run = run,
};
