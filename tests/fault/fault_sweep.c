/* fault_sweep.c - sweeps and results databases without memory. */
#include "fault.h"

#include "store/store.h"
#include "sweep/sweep.h"

#include <stdio.h>
#include <unistd.h>

#define DB FAULT_TMP "fault-results.db"
#define TRACE FAULT_TMP "fault-sweep.db"

static const struct rad_card card = {.name = "fault",
                                     .n_layer = 3,
                                     .d_model = 16,
                                     .n_head = 2,
                                     .n_kv = 2,
                                     .d_head = 8,
                                     .ffn = 32,
                                     .vocab = 256,
                                     .n_ctx = 64,
                                     .max_hops = 3};

/* The trace that is swept; written once, with memory at hand or not at all. */
static enum rad_status make_trace(struct rad_err *err)
{
    if (access(TRACE, F_OK) == 0)
        return RAD_OK;
    const struct rad_trace_synth_options opt = {
        .card = &card, .policy = "dense", .prompt = 4, .n_new = 2, .n_seq = 2};
    return rad_trace_synth(&opt, TRACE, err);
}

static enum rad_status list(const char *text, struct rad_err *err)
{
    rad_sweep_spec *spec = NULL;
    RAD_TRY(make_trace(err));
    RAD_TRY(rad_sweep_parse(&spec, text, "fault.yaml", err));
    rad_sweep_close(spec);
    return RAD_OK;
}

static enum rad_status list_grid(struct rad_err *err)
{
    return list("method: grid\nparameters: {model: [a, b], text: README.md, hw: [tpu-v4, host],"
                " depth: [0.5, 1], policy: ['skip:frac=$skip', dense]}\n"
                "constraints: [\"depth <= 1\"]\n",
                err);
}

static enum rad_status list_sobol(struct rad_err *err)
{
    return list("method: sobol\npoints: 9\nparameters: {trace: '" FAULT_TMP "fault-swee?.db',"
                " hw: tpu-v4, seed: {min: 0, max: 99}}\n",
                err);
}

struct sink {
    rad_store *store;       /* NULL: rows go nowhere */
    enum rad_status failed; /* of the first point that could not be computed */
    char message[RAD_ERR_MAX];
};

static enum rad_status sink_row(void *ctx, const struct rad_sweep_row *row, struct rad_err *err)
{
    struct sink *sink = ctx;
    struct rad_store_axis axis[RAD_N_AXIS];
    for (int i = 0; i < RAD_N_AXIS; i++)
        axis[i] = (struct rad_store_axis){rad_sweep_axis_name((enum rad_sweep_axis)i),
                                          row->point->value[i]};
    if (row->status != RAD_OK && sink->failed == RAD_OK) {
        sink->failed = row->status;
        snprintf(sink->message, sizeof sink->message, "%s", row->message);
    }
    const struct rad_store_row out = {
        .key = row->point->key,
        .inputs = row->inputs,
        .axis = axis,
        .n_axis = RAD_N_AXIS,
        .error = row->message,
        .result = row->result,
        .trace = row->trace,
        .trace_path = row->trace_path,
        .hw = row->hw,
        .card = row->card,
        .eval_s = row->eval_s,
    };
    return sink->store != NULL ? rad_store_put(sink->store, &out, err) : RAD_OK;
}

/* A point without memory is a row with that reason: for this test the same as a failure. */
static enum rad_status run_points(const rad_sweep_spec *spec, struct sink *sink,
                                  struct rad_err *err)
{
    struct rad_sweep_summary summary;
    const struct rad_sweep_options opt = {.jobs = 1, .sink = {sink, NULL, sink_row, NULL}};
    RAD_TRY(rad_sweep_run(spec, &opt, &summary, err));
    return sink->failed == RAD_OK ? RAD_OK : rad_fail(err, sink->failed, "%s", sink->message);
}

static enum rad_status sweep(struct rad_err *err)
{
    struct sink sink = {0};
    rad_sweep_spec *spec = NULL;
    RAD_TRY(make_trace(err));
    RAD_TRY(rad_sweep_parse(&spec,
                            "method: grid\nparameters: {trace: " TRACE ", hw: tpu-v4,"
                            " batch: [1, 2], card: [recorded, gpt2]}\n",
                            "fault.yaml", err));
    const enum rad_status status = run_points(spec, &sink, err);
    rad_sweep_close(spec);
    return status;
}

/* What the rows of the next operation are made from; it has no part in their failures. */
static struct {
    rad_trace *trace;
    rad_hw *hw;
} kept;

static enum rad_status keep_inputs(struct rad_err *err)
{
    RAD_TRY(make_trace(err));
    if (kept.trace == NULL)
        RAD_TRY(rad_trace_open(&kept.trace, TRACE, err));
    return kept.hw == NULL ? rad_hw_open(&kept.hw, "tpu-v4", err) : RAD_OK;
}

static enum rad_status put_rows(rad_store *store, struct rad_err *err)
{
    static const struct rad_store_axis axis[] = {
        {"kv", "recorded"},  {"card", "recorded"},  {"phase", "decode"}, {"batch", "1"},
        {"batcher", "auto"}, {"resample", "false"}, {"seed", "0"},       {"dtype", "fp16"},
        {"hw", "tpu-v4"},    {"rate", "sustained"}, {"tp", "1"},         {"pp", "1"}};
    static const struct rad_replay_result result = {.latency_s = 1};
    struct rad_store_row row = {.inputs = "00000000000000aa",
                                .axis = axis,
                                .n_axis = sizeof axis / sizeof axis[0],
                                .result = &result,
                                .trace = kept.trace,
                                .trace_path = TRACE,
                                .hw = kept.hw,
                                .card = &card};
    row.key = "0000000000000001";
    RAD_TRY(rad_store_put(store, &row, err));
    row.key = "0000000000000002";
    RAD_TRY(rad_store_put(store, &row, err));
    row.error = "no reason";
    row.key = "0000000000000003";
    return rad_store_put(store, &row, err);
}

static enum rad_status store_rows(struct rad_err *err)
{
    static const struct rad_store_run run = {"1", "", "0", "fault"};
    rad_store *store = NULL;
    RAD_TRY(keep_inputs(err));
    unlink(DB);
    RAD_TRY(rad_store_open(&store, DB, &run, err));
    const enum rad_status status = put_rows(store, err);
    if (status == RAD_OK)
        return rad_store_finish(store, err);
    rad_store_abandon(store);
    return status;
}

static bool store_sound(struct rad_err *err)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    if (rad_store_read(&db, DB, err) != RAD_OK)
        return false;
    const char *sql = "SELECT (SELECT count(*) FROM results) = 2 AND count(*) = 1 FROM failures";
    const bool asked = rad_db_prepare(db, &stmt, sql, err) == RAD_OK &&
                       rad_db_step(db, stmt, &row, err) == RAD_OK && row;
    const bool whole = asked && rad_db_column_int(stmt, 0) == 1;
    rad_db_finalize(stmt);
    rad_db_close(db);
    return whole;
}

static enum rad_status ask(struct rad_err *err)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    if (access(DB, F_OK) != 0)
        RAD_TRY(store_rows(err));
    RAD_TRY(rad_store_read(&db, DB, err));
    enum rad_status status = rad_db_prepare(
        db, &stmt,
        "SELECT median(a), quantile(b, 0.9) FROM (SELECT latency_s AS a, pareto_rank("
        "latency_s, energy_j) OVER (ORDER BY latency_s, energy_j) AS b FROM results)",
        err);
    while (status == RAD_OK && row)
        status = rad_db_step(db, stmt, &row, err);
    rad_db_finalize(stmt);
    rad_db_close(db);
    return status;
}

const struct fault sweep_faults[] = {
    {"list a grid", list_grid, NULL},
    {"list a Sobol sequence", list_sobol, NULL},
    {"sweep", sweep, NULL},
    {"store rows", store_rows, store_sound},
    {"ask with functions", ask, NULL},
    {NULL, NULL, NULL},
};
