/* cmd_trace.c - `radial trace`: subcommands and their options. */
#include "cli/cmd_trace.h"

#include <string.h>

enum {
    KEY_KV = 0x2000,
    KEY_TO,
    KEY_BY,
    KEY_PROMPT,
    KEY_NEW,
    KEY_SEQS,
    KEY_SEED,
    KEY_ANY,
    KEY_ROUTER,
    KEY_CARD,
    KEY_POLICY
};

static enum trace_by parse_by(struct argp_state *state, const char *text)
{
    static const char *const names[] = {"run", "layer", "depth"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum trace_by)i;
    argp_error(state, "--by: expected run, layer or depth but found '%s'", text);
    return BY_RUN;
}

static enum rad_kv parse_kv(struct argp_state *state, const char *text)
{
    enum rad_kv kv = RAD_KV_HOLE;
    if (rad_kv_parse(text, &kv, NULL) != RAD_OK)
        argp_error(state, "--kv: expected hole, project or copy but found '%s'", text);
    return kv;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct trace_options *o = state->input;
    switch (key) {
    case 'o':
        o->out_path = arg;
        return 0;
    case KEY_CARD:
        o->card = arg;
        return 0;
    case KEY_POLICY:
        o->policy = arg;
        return 0;
    case KEY_TO:
        o->to = arg;
        return 0;
    case KEY_KV:
        o->kv = parse_kv(state, arg);
        return 0;
    case KEY_BY:
        o->by = parse_by(state, arg);
        return 0;
    case KEY_PROMPT:
        o->prompt = rad_cli_int(state, "--prompt", arg, 0, INT32_MAX / 2);
        return 0;
    case KEY_NEW:
        o->n_new = rad_cli_int(state, "--new", arg, 0, INT32_MAX / 2);
        return 0;
    case KEY_SEQS:
        o->n_seq = rad_cli_int(state, "--seqs", arg, 1, INT32_MAX);
        return 0;
    case KEY_SEED:
        o->seed = rad_cli_int(state, "--seed", arg, 0, 1L << 53);
        return 0;
    case KEY_ANY:
        o->any_order = true;
        return 0;
    case KEY_ROUTER:
        o->router = true;
        return 0;
    default:
        return sub_parse(&o->sub, key, arg, state);
    }
}

/* ---- subcommands ----------------------------------------------------------------------- */

static const struct argp_option stats_options[] = {
    {"by", KEY_BY, "WHAT", 0,
     "run (default: one row), layer (a row per sublayer) or depth (a row "
     "per number of hops)",
     0},
    {0},
};

static const struct argp_option export_options[] = {
    {"to", KEY_TO, "FORMAT", 0,
     "csv (a row per hop), jsonl (a line per token, for trace import) or "
     "perfetto (Chrome trace JSON; one us is one hop)",
     0},
    {"output", 'o', "FILE", 0, "Write here instead of to standard output", 0},
    {0},
};

static const struct argp_option import_options[] = {
    {"card", KEY_CARD, "CARD", 0,
     "Shape of the model: a name in models/, a path, or a model folder", 0},
    {"output", 'o', "T.db", 0, "The trace; a trace that is there is replaced", 0},
    {"policy", KEY_POLICY, "TEXT", 0, "What routed the tokens, as a label (default: recorded)", 0},
    {"kv", KEY_KV, "K", 0,
     "What skipped layers do to the KV cache: hole (default), project or "
     "copy; their entries are added to the paths",
     0},
    {"any-order", KEY_ANY, NULL, 0, "Count keys hop by hop even if every path goes forward", 0},
    {"router", KEY_ROUTER, NULL, 0, "A router ran after every hop; the card must have one", 0},
    {0},
};

static const struct argp_option synth_options[] = {
    {"card", KEY_CARD, "CARD", 0,
     "Shape of the model: a name in models/, a path, or a model folder", 0},
    {"policy", KEY_POLICY, "P", 0,
     "A policy that needs no weights: dense, uls:speedup=2, "
     "skip:frac=0.5",
     0},
    {"prompt", KEY_PROMPT, "N", 0, "Prompt tokens of each sequence (default 0)", 0},
    {"new", KEY_NEW, "N", 0, "Decode steps of each sequence (default 0)", 0},
    {"seqs", KEY_SEQS, "N", 0, "Sequences (default 1)", 0},
    {"seed", KEY_SEED, "S", 0, "Of policies that draw (default 0)", 0},
    {"kv", KEY_KV, "K", 0,
     "What skipped layers do to the KV cache: hole (default), project or "
     "copy",
     0},
    {"output", 'o', "T.db", 0, "The trace; a trace that is there is replaced", 0},
    {0},
};

static const struct argp_option transplant_options[] = {
    {"card", KEY_CARD, "CARD", 0,
     "The larger architecture: a name in models/, a path, or a model folder", 0},
    {"output", 'o', "T2.db", 0, "The new trace; a trace that is there is replaced", 0},
    {0},
};

static bool has_to(const void *options)
{
    const struct trace_options *o = options;
    return o->to != NULL;
}

static bool has_card_and_output(const void *options)
{
    const struct trace_options *o = options;
    return o->card != NULL && o->out_path != NULL;
}

static bool has_shape(const void *options)
{
    const struct trace_options *o = options;
    return has_card_and_output(options) && o->policy != NULL && o->prompt + o->n_new > 0;
}

static const struct subcommand subs[] = {
    {"radial trace info", sub_no_options, "T.db",
     "What a trace is: model, policy, size, depth, identity.\v"
     "Example:\n  radial trace info traces/radial-tiny.db --format json\n",
     1, 1, NULL, "a trace", trace_info},
    {"radial trace stats", stats_options, "T.db",
     "How deep tokens go, which layers they visit, and how much these change the residual stream."
     "\vExample:\n  radial trace stats traces/radial-tiny.db --by layer\n",
     1, 1, NULL, "a trace", trace_stats},
    {"radial trace check", sub_no_options, "T.db...",
     "Check traces against every rule of the format, and SQLite's own. keys_differ counts hops "
     "whose "
     "keys are not those that the paths give.\v"
     "Example:\n  radial trace check traces/*.db\n",
     1, INT32_MAX, NULL, "a trace", trace_check},
    {"radial trace export", export_options, "T.db --to FORMAT",
     "Write a trace in another form.\v"
     "Example:\n  radial trace export t.db --to jsonl -o t.jsonl\n",
     1, 1, has_to, "a trace and --to", trace_export},
    {"radial trace import", import_options, "F.jsonl --card CARD -o T.db",
     "Make a trace of routing recorded elsewhere. One JSON object per line and token: seq, pos, "
     "phase, "
     "path, and optionally n_keys, token, nll (docs/trace-format.md).\v"
     "Example:\n  radial trace import routing.jsonl --card llama-3.1-8b -o t.db\n",
     1, 1, has_card_and_output, "a file, --card and -o", trace_import},
    {"radial trace synth", synth_options, "--card CARD --policy P -o T.db",
     "Make a trace without a model: what a policy that looks at no weights does.\v"
     "Example:\n  radial trace synth --card llama-2-7b --policy skip:frac=0.5 \\\n"
     "      --prompt 512 --new 128 --seqs 32 -o t.db\n",
     0, 0, has_shape, "--card, --policy, --prompt or --new, and -o", trace_synth},
    {"radial trace transplant", transplant_options, "T.db --card CARD -o T2.db",
     "Put the routing of a trace on a larger architecture; the result carries no quality.\v"
     "Example:\n  radial trace transplant t.db --card llama-2-7b -o t2.db\n",
     1, 1, has_card_and_output, "a trace, --card and -o", trace_transplant},
};
static const struct sub_family family = {
    .name = "radial trace",
    .sub = subs,
    .n_sub = sizeof subs / sizeof subs[0],
    .parser = parse_option,
    .example = "radial trace info traces/radial-tiny.db",
};

static int run(int argc, char *argv[])
{
    struct trace_options o = {.n_seq = 1};
    return sub_run(&family, &o, argc, argv);
}

const struct rad_command rad_command_trace = {
    .name = "trace",
    .summary = "look at traces: info, stats, check, export; make: import, synth, transplant",
    .run = run,
};
