/* cmd_bench.c - `radial bench`: speed of inference beside what the machine could do. */
#include "cli/bench.h"

enum { OPT_PROMPT = 600, OPT_NEW, OPT_BATCH, OPT_REPEAT, OPT_SHAPES };

static const struct argp_option options[] = {
    {"prompt", OPT_PROMPT, "N", 0, "tokens per prompt (default: half the context, at most 256)", 0},
    {"new", OPT_NEW, "N", 0, "decode steps (default: a quarter of the context, at most 64)", 0},
    {"batch", OPT_BATCH, "B", 0, "sequences at once (default 1)", 0},
    {"repeat", OPT_REPEAT, "R", 0, "runs; the best and the median are printed (default 7)", 0},
    {"shapes", OPT_SHAPES, NULL, 0,
     "instead of a MODEL: shapes of GPT-2-small, stories15M and stories260K with made-up weights",
     0},
    {"policy", MODEL_KEY_POLICY, "P", 0,
     "dense | radial:budget=B | uls:speedup=S | skip:frac=F | oracle:theta=T (default dense, or "
     "radial:budget=1 for a model with a router)",
     1},
    {"kv", MODEL_KEY_KV, "K", 0, "cache of skipped layers: hole | project | copy", 1},
    {"seed", MODEL_KEY_SEED, "S", 0, "of policy skip", 1},
    {"jobs", 'j', "N", 0, "threads (default: one per CPU)", 1},
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
        o->repeat = (int)rad_cli_int(state, "--repeat", arg, 1, BENCH_REPEAT_MAX);
        return 0;
    case OPT_SHAPES:
        o->shapes = true;
        return 0;
    case ARGP_KEY_END:
        if (o->shapes && o->model.folder != NULL)
            argp_error(state, "expected a MODEL folder or --shapes, not both");
        return o->shapes ? 0 : model_args_parse(&o->model, key, arg, state);
    default:
        return model_args_parse(&o->model, key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL\n--shapes",
    .doc =
        "Measure prefill and decode speed, and beside it the machine's read bandwidth and GEMM "
        "rate on as many threads. decode_roof_tokens_per_s = min(B x bandwidth / weight bytes of "
        "a step, GEMM rate / FLOP of a token). cpu_s is CPU time of all threads: where it is "
        "below threads x wall time, threads waited or something else had the processor. "
        "sgemm_m..: one thread, weights of 1024 x 1024.\v"
        "Example:\n  radial bench models/radial-tiny --policy radial:budget=0.5 --batch 8\n"
        "  radial bench --shapes --format md\n",
    .children = rad_cli_children,
};

static int run(int argc, char *argv[])
{
    struct bench_options o = {.batch = 1, .repeat = 7};
    struct rad_err err;
    struct model_run m = {0};
    model_args_default(&o.model);
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    o.model.alone = true;
    enum rad_status status = o.shapes ? bench_shapes(&o, &err)
                                      : model_args_open(&o.model, &m, &err);
    if (status == RAD_OK && !o.shapes)
        status = bench_model(&o, &m, &err);
    model_args_close(&m);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("bench", &err);
}

const struct rad_command rad_command_bench = {
    .name = "bench",
    .summary = "prefill and decode speed beside this machine's GEMM rate and bandwidth",
    .run = run,
};
