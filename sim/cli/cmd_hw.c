/* cmd_hw.c - `radial hw`: subcommands and their options. */
#include "cli/cmd_hw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_OPS = 0x2000,
    KEY_OUT,
    KEY_TEXT,
    KEY_SOFTWARE,
    KEY_MEASURED,
    KEY_POINTS,
    KEY_DATA,
    KEY_LIKE,
    KEY_AGAINST,
    KEY_RATE
};

/* A whole number of at least `least`. */
static error_t parse_count(const char *name, const char *arg, unsigned long least, size_t *out,
                           struct argp_state *state)
{
    char *end = NULL;
    const unsigned long n = strtoul(arg, &end, 10);
    if (end == arg || *end != '\0' || n < least || n > 1000000 || arg[0] == '-') {
        argp_error(state, "%s: expected %lu to 1000000 but found '%.32s'", name, least, arg);
        return EINVAL;
    }
    *out = n;
    return 0;
}

static error_t parse_rate(const char *arg, enum rad_rate *out, struct argp_state *state)
{
    struct rad_err err;
    if (rad_rate_parse(arg, out, &err) == RAD_OK)
        return 0;
    argp_error(state, "--%s", err.msg);
    return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct hw_options *o = state->input;
    switch (key) {
    case KEY_OPS:
        o->ops = arg;
        return 0;
    case KEY_OUT:
    case 'o':
        o->out_path = arg;
        return 0;
    case KEY_SOFTWARE:
        o->software = arg;
        return 0;
    case KEY_MEASURED:
        o->measured = arg;
        return 0;
    case KEY_DATA:
        o->data = arg;
        return 0;
    case KEY_LIKE:
        o->like = arg;
        return 0;
    case KEY_POINTS:
        return parse_count("--points", arg, 8, &o->points, state);
    case KEY_AGAINST:
        return parse_count("--against", arg, 1, &o->against, state);
    case KEY_RATE:
        return parse_rate(arg, &o->rate, state);
    case KEY_TEXT:
        o->text = true;
        return 0;
    default:
        return sub_parse(&o->sub, key, arg, state);
    }
}

static const struct argp_option show_options[] = {
    {"text", KEY_TEXT, NULL, 0, "The profile file as it is, with its sources", 0},
    {0},
};

static const struct argp_option predict_options[] = {
    {"ops", KEY_OPS, "F.csv", 0, "Operations, one per row, in the columns of measured data", 0},
    {"out", KEY_OUT, "G.csv", 0, "Write CSV here instead of to standard output", 0},
    {"software", KEY_SOFTWARE, "WORDS", 0,
     "Software that runs them, \"vllm 0.22\"; else what the rows name as source", 0},
    {"rate", KEY_RATE, "R", 0,
     "sustained (default: under the power limit) or burst (a short run at full clock)", 0},
    {"against", KEY_AGAINST, "N", 0,
     "Compare each with row N: pred_ratio of their times and its 80 % interval, what both err by "
     "together left out",
     0},
    {0},
};

static const struct argp_option validate_options[] = {
    {"measured", KEY_MEASURED, "F.csv", 0, "Measured operations", 0},
    {"software", KEY_SOFTWARE, "WORDS", 0,
     "Software that ran them; else what the rows name as source", 0},
    {0},
};

static const struct argp_option calibrate_options[] = {
    {"measured", KEY_MEASURED, "F.csv", 0, "Fit to these measured operations", 0},
    {"points", KEY_POINTS, "N", 0, "Use N rows of each kind, evenly spaced in time (30 are enough)",
     0},
    {"software", KEY_SOFTWARE, "WORDS", 0,
     "Software that ran them; else what the rows name as source", 0},
    {"data", KEY_DATA, "TEXT", 0, "Name of the data, kept in the profile; else the file's name", 0},
    {"like", KEY_LIKE, "A,B,...", 0,
     "Instead: what those profiles were fitted to stands in for what HW has no fit for; of one "
     "with "
     "the same chip, or the mean of several",
     0},
    {"output", 'o', "NEW.yaml", 0, "The profile to write; one that is there is replaced", 0},
    {0},
};

static const struct argp_option kit_options[] = {
    {"output", 'o', "BENCH.py", 0, "The script to write; one that is there is replaced", 0},
    {0},
};

static bool has_ops(const void *options)
{
    const struct hw_options *o = options;
    return o->ops != NULL;
}

static bool has_output(const void *options)
{
    const struct hw_options *o = options;
    return o->out_path != NULL &&
           (o->measured != NULL || o->like != NULL || strcmp(o->sub.arg[0], "host") == 0);
}

static bool has_path(const void *options)
{
    const struct hw_options *o = options;
    return o->out_path != NULL;
}

static bool has_measured(const void *options)
{
    const struct hw_options *o = options;
    return o->measured != NULL;
}

static const struct subcommand subs[] = {
    {"radial hw list", sub_no_options, "",
     "The hardware profiles that are found: in ./hwprofiles, the installed data and RADIAL_PATH.\v"
     "Example:\n  radial hw list\n",
     0, 0, NULL, "no arguments", hw_list},
    {"radial hw show", show_options, "HW",
     "Every value of a profile with unit and meaning.\v"
     "Example:\n  radial hw show a100-sxm-80gb\n",
     1, 1, NULL, "a hardware profile", hw_show},
    {"radial hw check", sub_no_options, "F.yaml...",
     "Check profile files; exit status 1 if one is refused.\v"
     "Example:\n  radial hw check hwprofiles/a100-*.yaml my-gpu.yaml\n",
     1, INT32_MAX, NULL, "profile files", hw_check},
    {"radial hw predict", predict_options, "HW --ops F.csv",
     "Cost every row of a CSV of operations (columns op,dtype,M,N,K,batch,seq,kv,heads,kv_heads,"
     "head_dim,hidden,tp,notes,source; others are passed through). Adds pred_latency_s, "
     "pred_energy_j, lo_s and hi_s (80 % of held-out measurements lie between), extrapolated (1: a "
     "shape outside those that the profile was fitted on) bound, pred_usd "
     "(rented) and pred_owned_usd. A row that the machine cannot run gets empty fields and a "
     "warning.\v"
     "Example:\n  radial hw predict a100-sxm-80gb --ops gemms.csv --out predicted.csv\n",
     1, 1, has_ops, "a hardware profile and --ops", hw_predict},
    {"radial hw calibrate", calibrate_options, "host|HW --measured F.csv|HW --like A,B -o NEW.yaml",
     "`host` measures this machine and writes its profile: GEMM rates, caches, memory, vector "
     "kernels, attention and the overheads of the engine, on one thread as the engine runs. Takes "
     "about ten seconds; best on an idle machine. With --measured: fit HW to measured operations "
     "by robust nonlinear least squares on the logarithm of the time, and write it with the fitted "
     "values; prints held-out errors and the parameters with their relative uncertainty.\v"
     "Example:\n  radial hw calibrate host -o hwprofiles/host.yaml\n"
     "  radial hw calibrate l4 --measured my-l4.csv -o my-l4.yaml\n",
     1, 1, has_output, "-o, and host or a profile with --measured or --like", hw_calibrate},
    {"radial hw validate", validate_options, "HW --measured F.csv",
     "Errors of a profile on measured operations: rows, median APE, MAPE, 90th percentile, bias, "
     "and the share of the rows within lo_s..hi_s, for each operation, format and software. Rows "
     "with weights hot in L2 are left out.\v"
     "Example:\n  radial hw validate my-l4.yaml --measured my-l4.csv\n",
     1, 1, has_measured, "a hardware profile and --measured", hw_validate},
    {"radial hw kit", kit_options, "-o BENCH.py",
     "Write a stand-alone PyTorch script that measures a GPU wherever it is run: GEMM, attention, "
     "norms, activations, groups of tokens gathered for a small GEMM per layer, eager and as a "
     "CUDA graph. Its CSV goes into calibrate and validate.\v"
     "Example:\n  radial hw kit -o bench_gpu.py\n",
     0, 0, has_path, "-o and no arguments", hw_kit},
};
static const struct sub_family family = {
    .name = "radial hw",
    .sub = subs,
    .n_sub = sizeof subs / sizeof subs[0],
    .parser = parse_option,
    .example = "radial hw show tpu-v4",
};

static int run(int argc, char *argv[])
{
    struct hw_options o = {.text = false};
    return sub_run(&family, &o, argc, argv);
}

const struct rad_command rad_command_hw = {
    .name = "hw",
    .summary = "hardware profiles: list, show, check, predict operations, calibrate, validate",
    .run = run,
};
