/* cmd_train.c - `radial train` and `radial distill`: a spec, texts, a model folder. */
#include "cli/cli.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { OPT_TEXT = 500, OPT_OUT, OPT_VAL, OPT_NOTE };

struct train_options {
    struct rad_cli_common common;
    const char *spec, *text[64];
    struct rad_train_io io;
    rad_progress *progress;
};

static const struct argp_option options[] = {
    {"text", OPT_TEXT, "F", 0, "a text file; may be repeated", 0},
    {"out", OPT_OUT, "DIR", 0, "the model folder to write; a stopped run resumes from it", 0},
    {"val", OPT_VAL, "FRAC", 0, "last share of every text kept for validation (default 0.1)", 0},
    {"note", OPT_NOTE, "TEXT", 0, "a line for the model card", 0},
    {"jobs", 'j', "N", 0, "threads (default: one per CPU); does not change the result", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct train_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case OPT_TEXT:
        if (o->io.n_text == (int)(sizeof o->text / sizeof o->text[0]))
            argp_error(state, "--text: too many files");
        else
            o->text[o->io.n_text++] = arg;
        return 0;
    case OPT_OUT:
        o->io.out = arg;
        return 0;
    case OPT_VAL:
        o->io.val_frac = rad_cli_real(state, "--val", arg, 0.001, 0.9);
        return 0;
    case OPT_NOTE:
        o->io.note = arg;
        return 0;
    case 'j':
        o->io.threads = (int)rad_cli_int(state, "--jobs", arg, 1, 256);
        return 0;
    case ARGP_KEY_ARG:
        if (o->spec != NULL)
            argp_error(state, "expected one SPEC but found '%s' too", arg);
        o->spec = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->spec == NULL || o->io.n_text == 0 || o->io.out == NULL)
            argp_error(state, "expected SPEC.yaml, --text and --out");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#define SPEC_KEYS                                                                                  \
    "Spec keys (YAML): model {n_layer d_model n_head n_kv ffn ctx norm act tied}, steps, batch, "  \
    "shards, seed, lr {max min warmup}, beta1, beta2, decay, clip, precision fp32|bf16, save "     \
    "fp32|bf16, checkpoint (s), teacher, init (model folders), distill, policy (fixed paths), "    \
    "align, router {hidden max_hops price [lo, hi] order [layers] half full spread lead weight}. " \
    "docs/training.md says what they do.\n\nExample:\n"

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "SPEC.yaml --text F --out DIR",
    .doc = "Train a dense transformer, or a Radial Network with its router, on text files."
           "\v" SPEC_KEYS "  radial train models/recipes/dense-micro.yaml --text book.txt \\\n"
           "      --out results/mine\n",
    .children = rad_cli_children,
};

static const struct argp distill_argp = {
    .options = options,
    .parser = parse,
    .args_doc = "SPEC.yaml --text F --out DIR",
    .doc = "Learn a router from a teacher, which the spec names: a Radial Network whose layers "
           "start as the teacher's and are frozen or adapted.\v" SPEC_KEYS
           "  radial distill models/recipes/radial-micro.yaml --text book.txt \\\n"
           "      --out results/mine-radial\n",
    .children = rad_cli_children,
};

static volatile sig_atomic_t stop_asked; /* Ctrl-C: stop at a checkpoint */

static void ask_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static bool progress(void *ctx, int64_t step, int64_t steps, double loss, double tokens_per_s)
{
    char note[64];
    (void)steps;
    snprintf(note, sizeof note, "loss %.4f, %.0f tokens/s", loss, tokens_per_s);
    rad_progress_step(((struct train_options *)ctx)->progress, step, note);
    return !stop_asked;
}

static enum rad_status print(const struct train_options *o, const struct rad_train_report *r,
                             struct rad_err *err)
{
    rad_out *out;
    (void)rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_int(out, "steps", r->steps);
    rad_out_int(out, "tokens", r->tokens);
    rad_out_real(out, "seconds", r->seconds);
    rad_out_real(out, "tokens_per_s", (double)r->tokens / r->seconds);
    rad_out_real(out, "train_nll", r->train_nll);
    rad_out_real(out, "val_nll", r->val_nll);
    rad_out_real(out, "mean_depth", r->mean_depth);
    rad_out_bool(out, "resumed", r->resumed);
    rad_out_bool(out, "stopped", r->stopped);
    rad_out_text(out, "out", o->io.out);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

static enum rad_status train(struct train_options *o, bool need_teacher, struct rad_err *err)
{
    struct rad_train_spec spec;
    struct rad_train_report report;
    RAD_TRY(rad_train_spec_open(&spec, o->spec, err));
    if (need_teacher && spec.teacher[0] == '\0')
        return rad_fail(err, RAD_E_ARG, "%s: distill needs 'teacher: MODEL' in the spec", o->spec);
    struct sigaction act = {.sa_handler = ask_stop}, old;
    sigaction(SIGINT, &act, &old);
    o->progress = rad_progress_open(stderr, "train", spec.steps, o->common.progress);
    o->io.text = o->text;
    o->io.progress = progress;
    o->io.ctx = o;
    const enum rad_status status = rad_train_run(&spec, &o->io, &report, err);
    rad_progress_close(o->progress);
    sigaction(SIGINT, &old, NULL);
    return status == RAD_OK ? print(o, &report, err) : status;
}

static int run_as(int argc, char *argv[], bool need_teacher)
{
    const char *name = need_teacher ? "distill" : "train";
    struct train_options o = {.io = {.val_frac = 0.1}};
    struct rad_err err;
    if (rad_cli_parse(need_teacher ? &distill_argp : &argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    return train(&o, need_teacher, &err) == RAD_OK ? EXIT_SUCCESS : rad_cli_fail(name, &err);
}

static int run(int argc, char *argv[])
{
    return run_as(argc, argv, false);
}

static int run_distill(int argc, char *argv[])
{
    return run_as(argc, argv, true);
}

const struct rad_command rad_command_train = {
    .name = "train",
    .summary = "train a network, dense or radial, on text files; resumable",
    .run = run,
};

const struct rad_command rad_command_distill = {
    .name = "distill",
    .summary = "the same with a teacher: learn a router and adapt the layers",
    .run = run_distill,
};
