/* cmd_replay.c - `radial replay`: a trace through machines. */
#include "cli/cli.h"
#include "cli/replay_summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEY_HW = 0x200, KEY_CARD, KEY_DTYPE, KEY_BATCH, KEY_BATCHER, KEY_PHASE, KEY_KV };
enum { KEY_RESAMPLE = 0x300, KEY_SEED, KEY_RATE, KEY_TP, KEY_PP, MAX_HW = 64 };

struct options {
    struct rad_cli_common common;
    const char *trace, *card;
    const char *hw[MAX_HW];
    int n_hw;
    bool has_dtype, has_kv;
    enum rad_kv kv;
    struct rad_replay_options replay;
};

/* Everything that the answer needs; freed by close_all. */
struct job {
    const struct options *options;
    struct rad_replay_options replay; /* dtype is set per machine */
    rad_trace *trace;
    struct rad_card card;
    rad_plan *plan; /* for replay.dtype */
    rad_hw *hw[MAX_HW];
    struct rad_plan_info info[MAX_HW];
    struct rad_replay_result result[MAX_HW];
};

static const struct argp_option option_rows[] = {
    {"hw", KEY_HW, "HW", 0, "Hardware profile, a name or a path; may be repeated", 0},
    {"card", KEY_CARD, "CARD", 0, "Replay the routing on this larger architecture: no quality", 0},
    {"dtype", KEY_DTYPE, "D", 0,
     "fp32, tf32, fp16, bf16, fp8, int8, int4, or w8a16 or w4a16: layers with 8- or 4-bit weights "
     "computed in fp16; default: fp16 or else bf16, fp32 on a CPU",
     0},
    {"batch", KEY_BATCH, "N", 0, "Sequences per batch (default 1)", 0},
    {"batcher", KEY_BATCHER, "B", 0,
     "auto (default), layer (layer order), hop (paths in any order) or grouped (as hop, the "
     "layers of a hop in one grouped launch)",
     0},
    {"phase", KEY_PHASE, "P", 0,
     "recorded (default), prefill (all tokens are prompt) or decode (all one by one)", 0},
    {"kv", KEY_KV, "K", 0, "Count keys again for hole, project or copy; default: as recorded", 0},
    {"rate", KEY_RATE, "R", 0,
     "sustained (default: serving, under the power limit) or burst (a short run at full clock)", 0},
    {"tp", KEY_TP, "N", 0, "Devices that share each matrix (tensor parallel, default 1)", 0},
    {"pp", KEY_PP, "N", 0,
     "Stages of consecutive layers (pipeline parallel, default 1), one step under way at a time",
     0},
    {"resample", KEY_RESAMPLE, NULL, 0, "Fill the last batch with repeated sequences", 0},
    {"seed", KEY_SEED, "S", 0, "Of --resample (default 0)", 0},
    {0},
};

static void check(struct argp_state *state, enum rad_status status, const struct rad_err *err)
{
    if (status != RAD_OK)
        argp_error(state, "%s", err->msg);
}

static error_t add_hw(struct options *o, const char *name, struct argp_state *state)
{
    if (o->n_hw == MAX_HW)
        argp_error(state, "--hw: at most %d machines", MAX_HW);
    o->hw[o->n_hw++] = name;
    return 0;
}

static error_t end_of_options(const struct options *o, struct argp_state *state)
{
    if (o->trace == NULL)
        argp_error(state, "expected a trace: T.db");
    if (o->n_hw == 0)
        argp_error(state, "expected --hw HW");
    return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    struct rad_err err = {RAD_OK, ""};
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case KEY_HW:
        return add_hw(o, arg, state);
    case KEY_CARD:
        o->card = arg;
        return 0;
    case KEY_DTYPE:
        o->has_dtype = true;
        check(state, rad_dtype_parse_weights(arg, &o->replay.dtype, &o->replay.weight_share, &err),
              &err);
        return 0;
    case KEY_BATCH:
        o->replay.batch = (int32_t)rad_cli_int(state, "--batch", arg, 1, RAD_REPLAY_MAX_BATCH);
        return 0;
    case KEY_BATCHER:
        o->replay.batcher = arg;
        return 0;
    case KEY_PHASE:
        check(state, rad_replay_phase_parse(arg, &o->replay.phase, &err), &err);
        return 0;
    case KEY_KV:
        o->has_kv = true;
        check(state, rad_kv_parse(arg, &o->kv, &err), &err);
        return 0;
    case KEY_RATE:
        check(state, rad_rate_parse(arg, &o->replay.rate, &err), &err);
        return 0;
    case KEY_TP:
        o->replay.tp = (int32_t)rad_cli_int(state, "--tp", arg, 1, 1024);
        return 0;
    case KEY_PP:
        o->replay.pp = (int32_t)rad_cli_int(state, "--pp", arg, 1, 1024);
        return 0;
    case KEY_RESAMPLE:
        o->replay.resample = true;
        return 0;
    case KEY_SEED:
        o->replay.seed = (uint64_t)rad_cli_int(state, "--seed", arg, 0, INT32_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "expected one trace but found '%s' too", arg);
        o->trace = arg;
        return 0;
    case ARGP_KEY_END:
        return end_of_options(o, state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = option_rows,
    .parser = parse_option,
    .args_doc = "T.db --hw HW...",
    .doc = "What a recorded run costs on a machine - seconds, joules, dollars - beside the dense "
           "network of the same shape.\v"
           "Tokens of a batch that need the same layer at the same time share its weights. With "
           "--hw host and a trace of `radial run`, the measured times stand beside the predicted "
           "ones.\n\n"
           "Example:\n"
           "  radial replay traces/radial-tiny.db --hw a100-sxm-80gb --hw u280 \\\n"
           "      --batch 8 --phase decode\n"
           "  radial replay traces/radial-tiny.db --card llama-2-70b \\\n"
           "      --hw h100-sxm-80gb --tp 8\n",
    .children = rad_cli_children,
};

/* ---- replaying ------------------------------------------------------------------------- */

/* Machines that run the same format share a plan. */
static enum rad_status plan_for(struct job *job, int i, struct rad_err *err)
{
    const struct options *o = job->options;
    const enum rad_dtype dtype = o->has_dtype ? o->replay.dtype : rad_hw_default_dtype(job->hw[i]);
    if (job->plan != NULL && dtype == job->replay.dtype)
        return RAD_OK;
    rad_plan_free(job->plan);
    job->plan = NULL;
    job->replay.dtype = dtype;
    return rad_plan_build(&job->plan, job->trace, &job->replay, err);
}

static enum rad_status open_inputs(struct job *job, struct rad_err *err)
{
    const struct options *o = job->options;
    job->replay = o->replay;
    job->replay.kv = o->has_kv ? &o->kv : NULL;
    RAD_TRY(rad_trace_open(&job->trace, o->trace, err));
    if (o->card != NULL) {
        RAD_TRY(rad_cli_card(&job->card, o->card, err));
        job->replay.card = &job->card;
    }
    for (int i = 0; i < o->n_hw; i++)
        RAD_TRY(rad_hw_open(&job->hw[i], o->hw[i], err));
    return RAD_OK;
}

static enum rad_status replay_all(struct job *job, struct rad_err *err)
{
    RAD_TRY(open_inputs(job, err));
    for (int i = 0; i < job->options->n_hw; i++) {
        RAD_TRY(plan_for(job, i, err));
        RAD_TRY(rad_replay_cost(job->plan, job->hw[i], &job->result[i], err));
        job->info[i] = *rad_plan_info(job->plan);
    }
    return RAD_OK;
}

static void close_all(struct job *job)
{
    for (int i = 0; i < job->options->n_hw; i++)
        rad_hw_close(job->hw[i]);
    rad_plan_free(job->plan);
    rad_trace_close(job->trace);
}

/* ---- measured times -------------------------------------------------------------------- */

static double error_frac(double predicted_s, double measured_s)
{
    return measured_s > 0 ? predicted_s / measured_s - 1 : (double)NAN;
}

/* What this machine took, where that can be compared: the run itself, replayed as it was. An
 * evaluation also computes the head of every prompt token, which a replay does not. */
static struct rad_replay_measured measured_of(const struct job *job, int i)
{
    const struct rad_replay_options *opt = &job->replay;
    const struct rad_replay_result *r = &job->result[i];
    const bool same = opt->batch == 1 && opt->phase == RAD_REPLAY_RECORDED && !opt->resample &&
                      !r->transplanted && !r->kv_recomputed &&
                      strcmp(rad_trace_run(job->trace)->source, "run") == 0;
    struct rad_replay_measured m = {.shown = strcmp(rad_hw_name(job->hw[i]), "host") == 0};
    m.prefill_s = same ? rad_trace_measured_s(job->trace, RAD_PHASE_PREFILL) : (double)NAN;
    m.decode_s = same ? rad_trace_measured_s(job->trace, RAD_PHASE_DECODE) : (double)NAN;
    m.prefill_error_frac = error_frac(r->prefill_s, m.prefill_s);
    m.decode_error_frac = error_frac(r->decode_s, m.decode_s);
    return m;
}

/* ---- rows ------------------------------------------------------------------------------ */

static double metric_of(const struct rad_replay_result *r, const struct rad_metric *metric)
{
    double value;
    memcpy(&value, (const char *)r + metric->offset, sizeof value);
    return value;
}

static void put_inputs(rad_out *out, const struct job *job, int i)
{
    const struct rad_trace_run *run = rad_trace_run(job->trace);
    const struct rad_plan_info *info = &job->info[i];
    rad_out_text(out, "trace", job->options->trace);
    rad_out_text(out, "trace_hash", rad_trace_hash(job->trace));
    rad_out_text(out, "policy", run->policy);
    rad_out_text(out, "hw", rad_hw_name(job->hw[i]));
    rad_out_text(out, "card", info->card.name);
    rad_out_text(out, "dtype", rad_dtype_weights_name(info->dtype, info->weight_share));
    rad_out_int(out, "batch", job->replay.batch);
    rad_out_text(out, "batcher", info->batcher);
    rad_out_text(out, "phase", rad_replay_phase_name(job->replay.phase));
    rad_out_text(out, "kv", rad_kv_name(info->kv));
    rad_out_text(out, "rate", rad_rate_name(info->rate));
    rad_out_int(out, "tp", info->tp);
    rad_out_int(out, "pp", info->pp);
    rad_out_int(out, "sequences", info->n_seq);
    rad_out_int(out, "steps", info->n_step);
}

static void put_row(rad_out *out, const struct job *job, int i)
{
    size_t n = 0;
    const struct rad_replay_result *r = &job->result[i];
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    const struct rad_replay_measured m = measured_of(job, i);
    rad_out_begin_row(out);
    put_inputs(out, job, i);
    for (size_t j = 0; j < n; j++)
        rad_out_real(out, metrics[j].name, metric_of(r, &metrics[j]));
    rad_out_text(out, "bound", rad_bound_name(r->bound_kind));
    rad_out_bool(out, "transplanted", r->transplanted);
    rad_out_bool(out, "kv_recomputed", r->kv_recomputed);
    rad_out_bool(out, "resampled", r->resampled);
    rad_out_bool(out, "complete_trace", r->complete_trace);
    if (m.shown) {
        rad_out_real(out, "measured_prefill_s", m.prefill_s);
        rad_out_real(out, "measured_decode_s", m.decode_s);
        rad_out_real(out, "prefill_error_frac", m.prefill_error_frac);
        rad_out_real(out, "decode_error_frac", m.decode_error_frac);
    }
    rad_out_end_row(out);
}

/* Several machines in a table: the columns that one compares. */
static void put_short_row(rad_out *out, const struct job *job, int i)
{
    const struct rad_replay_result *r = &job->result[i];
    rad_out_begin_row(out);
    rad_out_text(out, "hw", rad_hw_name(job->hw[i]));
    rad_out_text(out, "dtype",
                 rad_dtype_weights_name(job->info[i].dtype, job->info[i].weight_share));
    rad_out_real(out, "latency_s", r->latency_s);
    rad_out_real(out, "speedup", r->speedup);
    rad_out_real(out, "speedup_lo", r->speedup_lo);
    rad_out_real(out, "speedup_hi", r->speedup_hi);
    rad_out_real(out, "flop_frac", r->flop_frac);
    rad_out_real(out, "weight_bytes_frac", r->weight_bytes_frac);
    rad_out_real(out, "tpot_s", r->tpot_s);
    rad_out_real(out, "tokens_per_s", r->tokens_per_s);
    rad_out_real(out, "j_per_token", r->j_per_token);
    rad_out_real(out, "usd_per_mtok", r->usd_per_mtok);
    rad_out_real(out, "owned_usd_per_mtok", r->owned_usd_per_mtok);
    rad_out_real(out, "device_memory_frac", r->device_memory_frac);
    rad_out_text(out, "bound", rad_bound_name(r->bound_kind));
    rad_out_end_row(out);
}

/* ---- output ---------------------------------------------------------------------------- */

static void print_summary(const struct job *job)
{
    const struct rad_replay_summary summary = {
        .run = rad_trace_run(job->trace),
        .info = &job->info[0],
        .result = &job->result[0],
        .measured = measured_of(job, 0),
        .hw = rad_hw_name(job->hw[0]),
        .trace = job->options->trace,
        .phase = rad_replay_phase_name(job->replay.phase),
        .batch = job->replay.batch,
    };
    rad_replay_summary_print(&summary, stdout);
}

static enum rad_status print_all(const struct job *job, struct rad_err *err)
{
    const int n = job->options->n_hw;
    const enum rad_format format = job->options->common.format;
    rad_out *out = NULL;
    if (format == RAD_FORMAT_TABLE && n == 1) {
        print_summary(job);
        return RAD_OK;
    }
    rad_out_open(&out, format, stdout);
    for (int i = 0; i < n; i++)
        (format == RAD_FORMAT_TABLE ? put_short_row : put_row)(out, job, i);
    return rad_out_close(out, n == 1, err);
}

/* Times of a run that the machine cannot hold are still what its operations would take. */
static void warn_of_memory(const struct job *job)
{
    for (int i = 0; i < job->options->n_hw; i++) {
        const struct rad_replay_result *r = &job->result[i];
        if (r->device_memory_frac > 1.0)
            rad_cli_warn("replay",
                         "%s: does not fit: a device would hold %.4g GB and has %.4g GB; more "
                         "devices (--tp, --pp), a narrower --dtype or a smaller --batch may",
                         rad_hw_name(job->hw[i]), r->device_bytes_peak / 1e9,
                         rad_hw_memory_bytes(job->hw[i]) / 1e9);
    }
}

static int run(int argc, char *argv[])
{
    struct options o = {.replay = {.batch = 1}};
    struct job job = {.options = &o};
    struct rad_err err = {RAD_OK, ""};
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    enum rad_status status = replay_all(&job, &err);
    if (status == RAD_OK && !rad_trace_complete(job.trace))
        rad_cli_warn("replay", "%s: the run did not reach its end; what it recorded is replayed",
                     o.trace);
    if (status == RAD_OK)
        warn_of_memory(&job);
    if (status == RAD_OK)
        status = print_all(&job, &err);
    close_all(&job);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("replay", &err);
}

const struct rad_command rad_command_replay = {
    .name = "replay",
    .summary = "what a recorded run costs on a machine, beside the dense network",
    .run = run,
};
