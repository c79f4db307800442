/* cmd_hw.c - `radial hw`: subcommands and their options. */
#include "cli/cmd_hw.h"

#include <string.h>

enum { KEY_OPS = 0x2000, KEY_OUT, KEY_TEXT };

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
    {0},
};

static const struct argp_option calibrate_options[] = {
    {"output", 'o', "NEW.yaml", 0, "The profile to write; one that is there is replaced", 0},
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
    return o->out_path != NULL;
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
     "head_dim,hidden,notes; others are passed through). Adds pred_latency_s, pred_energy_j, lo_s "
     "(the larger of arithmetic and memory time alone), hi_s (both after each other, and the "
     "overhead) and bound. A row that the machine cannot run gets empty fields and a warning.\v"
     "Example:\n  radial hw predict a100-sxm-80gb --ops gemms.csv --out predicted.csv\n",
     1, 1, has_ops, "a hardware profile and --ops", hw_predict},
    {"radial hw calibrate", calibrate_options, "host -o NEW.yaml",
     "Measure this machine and write its profile: GEMM rates, caches, memory, vector kernels, "
     "attention and the overheads of the engine, on one thread as the engine runs. Takes about ten "
     "seconds; best on an idle machine.\v"
     "Example:\n  radial hw calibrate host -o hwprofiles/host.yaml\n",
     1, 1, has_output, "host and -o", hw_calibrate},
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
    .summary = "hardware profiles: list, show, check, predict operations, calibrate this machine",
    .run = run,
};
