/* test_sweep_run.c - how points become rows: threads, resume, failures, captured traces. */
#include "sweep/sweep.h"

#include "base/io.h"
#include "refuse.h"
#include "sweep_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMP "build/tmp/run-"
#define TRACE_A TMP "a.db"
#define TRACE_B TMP "b.db"

/* Once per program: each file is synced to the disk. */
static void make_traces(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    made_file(TRACE_A, &(struct made_file){.policy = "dense", .nll = 1.5});
    made_file(TRACE_B, &(struct made_file){.policy = "skip:frac=0.5", .keep = 2, .nll = 1.7});
}

static rad_sweep_spec *spec_of(const char *text)
{
    rad_sweep_spec *spec = NULL;
    OK(rad_sweep_parse(&spec, text, "s.yaml", &err));
    return spec;
}

#define HEAD "{trace: [" TRACE_A "], hw: [a100-sxm-80gb, tpu-v4]"

/* ---- running --------------------------------------------------------------------------- */

enum { MAX_ROW = 64 };

/* A sink that is an array. */
struct rows {
    struct {
        char key[17], inputs[17], message[RAD_ERR_MAX];
        enum rad_status status;
        struct rad_replay_result result;
    } row[MAX_ROW];
    size_t n;
    const struct rows *have; /* what done() knows */
    size_t n_have, fail_at;  /* fail_at: the row that the sink refuses, from 1 */
};

static bool rows_done(void *ctx, const char *key, const char *inputs)
{
    const struct rows *rows = ctx;
    for (size_t i = 0; i < rows->n_have; i++)
        if (strcmp(rows->have->row[i].key, key) == 0 &&
            strcmp(rows->have->row[i].inputs, inputs) == 0)
            return true;
    return false;
}

static enum rad_status rows_put(void *ctx, const struct rad_sweep_row *row, struct rad_err *e)
{
    struct rows *rows = ctx;
    if (rows->n + 1 == rows->fail_at)
        return rad_fail(e, RAD_E_DB, "disk full");
    CU_ASSERT_FATAL(rows->n < MAX_ROW);
    snprintf(rows->row[rows->n].key, 17, "%s", row->point->key);
    snprintf(rows->row[rows->n].inputs, 17, "%s", row->inputs);
    rows->row[rows->n].status = row->status;
    if (row->status == RAD_OK) {
        rows->row[rows->n].result = *row->result;
        CU_ASSERT(row->message == NULL && row->eval_s >= 0);
        CU_ASSERT_STRING_EQUAL(rad_hw_name(row->hw), row->point->value[RAD_AXIS_HW]);
        CU_ASSERT(row->card->n_layer >= 4);
    } else {
        snprintf(rows->row[rows->n].message, RAD_ERR_MAX, "%s", row->message);
        CU_ASSERT(row->result == NULL && row->trace == NULL);
    }
    rows->n++;
    return RAD_OK;
}

static enum rad_status run(const char *text, int jobs, struct rows *rows,
                           struct rad_sweep_summary *summary)
{
    rad_sweep_spec *spec = spec_of(text);
    const struct rad_sweep_options opt = {.jobs = jobs, .sink = {rows, rows_done, rows_put, NULL}};
    const enum rad_status status = rad_sweep_run(spec, &opt, summary, &err);
    rad_sweep_close(spec);
    return status;
}

#define SPEC                                                                                       \
    "method: grid\nparameters: {trace: [\"" TMP "[ab].db\"], hw: [a100-sxm-80gb, tpu-v4, u280],"   \
    " batch: [1, 2, 4], dtype: [fp16, fp32], phase: [decode]}\n"

/* Rows come in order, with the same bits, at any number of threads; and they are replay's. */
static void rows_do_not_depend_on_threads(void)
{
    static struct rows one, many;
    struct rad_sweep_summary a, b;
    one = many = (struct rows){0};
    make_traces();
    OK(run(SPEC, 1, &one, &a));
    OK(run(SPEC, 3, &many, &b));
    CU_ASSERT_EQUAL_FATAL(one.n, 36);
    CU_ASSERT_EQUAL_FATAL(many.n, 36);
    CU_ASSERT(a.points == 36 && a.computed == 36 && a.failed == 0 && a.skipped == 0);
    for (size_t i = 0; i < 36; i++) {
        CU_ASSERT_STRING_EQUAL(one.row[i].key, many.row[i].key);
        CU_ASSERT_EQUAL(one.row[i].status, RAD_OK);
        CU_ASSERT_EQUAL(memcmp(&one.row[i].result.tokens, &many.row[i].result.tokens,
                               offsetof(struct rad_replay_result, bound_kind)),
                        0);
    }
}

/* Every axis reaches replay (seed cannot be told: all sequences here cost the same). */
static void a_row_is_a_replay(void)
{
    static const enum rad_kv project = RAD_KV_PROJECT;
    static const struct {
        const char *axis;
        struct rad_replay_options opt;
    } known[] = {
        {"batch: 2", {.batch = 2}},
        {"batch: 4, phase: decode", {.batch = 4, .phase = RAD_REPLAY_DECODE}},
        {"batch: 3, resample: true, seed: 7", {.batch = 3, .resample = true, .seed = 7}},
        {"dtype: int8", {.batch = 1, .dtype = RAD_INT8}},
        {"batcher: hop", {.batch = 1, .batcher = "hop"}},
        {"kv: project", {.batch = 1, .kv = &project}},
        {"rate: burst", {.batch = 1, .rate = RAD_RATE_BURST}},
        {"tp: 2", {.batch = 1, .tp = 2}},
        {"pp: 2", {.batch = 1, .pp = 2}},
    };
    rad_trace *trace = NULL;
    rad_hw *hw = NULL;
    make_traces();
    OK(rad_trace_open(&trace, TRACE_B, &err));
    OK(rad_hw_open(&hw, "a100-sxm-80gb", &err));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        static struct rows rows;
        struct rad_sweep_summary summary;
        struct rad_replay_result direct;
        struct rad_replay_options opt = known[i].opt;
        char spec[256];
        rows = (struct rows){0};
        opt.dtype = opt.dtype == RAD_INT8 ? RAD_INT8 : RAD_F16;
        snprintf(spec, sizeof spec,
                 "method: grid\nparameters: {trace: %s, hw: a100-sxm-80gb, %s}\n", TRACE_B,
                 known[i].axis);
        OK(run(spec, 1, &rows, &summary));
        OK(rad_replay(trace, hw, &opt, &direct, &err));
        CU_ASSERT_EQUAL_FATAL(rows.n, 1);
        CU_ASSERT_EQUAL_FATAL(rows.row[0].status, RAD_OK);
        CU_ASSERT_EQUAL(memcmp(&rows.row[0].result.tokens, &direct.tokens,
                               offsetof(struct rad_replay_result, bound_kind)),
                        0);
    }
    rad_hw_close(hw);
    rad_trace_close(trace);
}

static void resume_computes_what_is_missing(void)
{
    static struct rows all, rest;
    struct rad_sweep_summary summary;
    all = rest = (struct rows){0};
    make_traces();
    OK(run(SPEC, 2, &all, &summary));
    rest.have = &all;
    rest.n_have = 20;
    OK(run(SPEC, 2, &rest, &summary));
    CU_ASSERT_EQUAL_FATAL(rest.n, 16);
    CU_ASSERT(summary.skipped == 20 && summary.computed == 16 && summary.points == 36);
    for (size_t i = 0; i < 16; i++)
        CU_ASSERT_STRING_EQUAL(rest.row[i].key, all.row[20 + i].key);
    /* another trace under the same name: its points are not the same any more */
    made_file(TRACE_B, &(struct made_file){.policy = "skip:frac=0.5", .keep = 3, .nll = 1.7});
    rest = (struct rows){.have = &all, .n_have = 36};
    OK(run(SPEC, 1, &rest, &summary));
    CU_ASSERT_EQUAL(rest.n, 18);
    made_file(TRACE_B, &(struct made_file){.policy = "skip:frac=0.5", .keep = 2, .nll = 1.7});
}

static void a_bad_point_fails_alone(void)
{
    static struct rows rows;
    struct rad_sweep_summary summary;
    rows = (struct rows){0};
    make_traces();
    OK(run("method: grid\nparameters: " HEAD ", batch: [2, 64]}\n", 2, &rows, &summary));
    CU_ASSERT_EQUAL_FATAL(rows.n, 4);
    CU_ASSERT(summary.failed == 2 && summary.computed == 2);
    CU_ASSERT(rows.row[0].status == RAD_OK && rows.row[3].status != RAD_OK);
    CU_ASSERT(strstr(rows.row[3].message, "64") != NULL);
    /* a file that is no trace: all its points fail, those of others do not */
    write_file(TMP "c.db", "no trace");
    rows = (struct rows){0};
    OK(run("method: grid\nparameters: {trace: [" TMP "c.db, " TRACE_A "], hw: [tpu-v4]}\n", 2,
           &rows, &summary));
    CU_ASSERT(summary.failed == 1 && summary.computed == 1);
    CU_ASSERT(strstr(rows.row[0].message, "run-c.db") != NULL);
    unlink(TMP "c.db");
}

static void what_ends_a_sweep(void)
{
    static struct rows rows;
    struct rad_sweep_summary summary;
    rows = (struct rows){.fail_at = 3};
    make_traces();
    REFUSES(run(SPEC, 3, &rows, &summary), RAD_E_DB, "disk full");
    CU_ASSERT_EQUAL(rows.n, 2);
    rows = (struct rows){0};
    REFUSES(
        run("method: grid\nparameters: {trace: " TRACE_A ", hw: [tpu-v44]}\n", 1, &rows, &summary),
        RAD_E_IO, "tpu-v4");
    REFUSES(run("method: grid\nparameters: {model: models, text: Makefile, hw: tpu-v4}\n", 1, &rows,
                &summary),
            RAD_E_UNSUPPORTED, "give traces");
    CU_ASSERT_EQUAL(rows.n, 0);
}

/* ---- captures -------------------------------------------------------------------------- */

struct captures {
    int n;
    bool fail, half;
    char path[256];
};

static enum rad_status capture(void *ctx, const struct rad_sweep_capture *what, const char *path,
                               struct rad_err *e)
{
    struct captures *c = ctx;
    c->n++;
    snprintf(c->path, sizeof c->path, "%s", path);
    CU_ASSERT_STRING_EQUAL(what->kv, "hole");
    CU_ASSERT_EQUAL(what->ctx, 32);
    if (c->fail)
        return rad_fail(e, RAD_E_NOMEM, "no inference today");
    made_file(path, &(struct made_file){.policy = what->policy,
                                        .keep = strcmp(what->policy, "dense") == 0 ? 4 : 2});
    if (c->half)
        write_file(path, "cut off");
    return RAD_OK;
}

static enum rad_status find(char out[RAD_PATH_MAX], const char *model, struct rad_err *e)
{
    if (strcmp(model, "its/name") != 0)
        return rad_fail(e, RAD_E_IO, "%s: no such model", model);
    snprintf(out, RAD_PATH_MAX, "%s", TMP "model");
    return RAD_OK;
}

static enum rad_status run_models(struct captures *c, struct rows *rows,
                                  struct rad_sweep_summary *summary)
{
    rad_sweep_spec *spec = spec_of("method: grid\nparameters: {model: [its/name], text: [" TMP
                                   "text], policy: [dense, x], kv: hole, ctx: 32, hw: [tpu-v4,"
                                   " u280]}\n");
    const struct rad_sweep_provider provider = {c, capture, TMP "r.db.traces", find};
    const struct rad_sweep_options opt = {
        .jobs = 2, .provider = &provider, .sink = {rows, rows_done, rows_put, NULL}};
    *rows = (struct rows){0};
    const enum rad_status status = rad_sweep_run(spec, &opt, summary, &err);
    rad_sweep_close(spec);
    return status;
}

/* One capture per policy; kept and used again; done again when model or text change. */
static void captures_are_kept(void)
{
    static struct rows rows;
    struct rad_sweep_summary summary;
    struct captures c = {0};
    OK(rad_dir_make(TMP "model", &err));
    CU_ASSERT_EQUAL(system("rm -rf " TMP "r.db.traces"), 0);
    write_file(TMP "model/config.json", "{}");
    write_file(TMP "text", "some text");
    c.half = true;
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT(c.n == 2 && summary.failed == 4);
    CU_ASSERT(access(c.path, F_OK) != 0);
    c = (struct captures){.fail = true};
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT(c.n == 2 && summary.failed == 4);
    CU_ASSERT_STRING_EQUAL(rows.row[0].message, "no inference today");
    write_file(TMP "r.db.traces/0123456789abcdef.999999999.part", "of a dead process");
    c = (struct captures){0};
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT(c.n == 2 && summary.computed == 4);
    CU_ASSERT(access(TMP "r.db.traces/0123456789abcdef.999999999.part", F_OK) != 0);
    CU_ASSERT(rows.row[2].result.mean_depth < rows.row[0].result.mean_depth);
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT(c.n == 2 && summary.computed == 4);
    write_file(TMP "model/model.safetensors", "weights");
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT_EQUAL(c.n, 4);
    write_file(TMP "text", "another text");
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT_EQUAL(c.n, 6);
    write_file(TMP "model/pytorch_model.bin", "weights");
    OK(run_models(&c, &rows, &summary));
    CU_ASSERT_EQUAL(c.n, 8);
    unlink(TMP "model/model.safetensors");
    unlink(TMP "model/pytorch_model.bin");
}

CU_TestInfo sweep_run_tests[] = {
    {"rows do not depend on threads", rows_do_not_depend_on_threads},
    {"a row is a replay", a_row_is_a_replay},
    {"resume computes what is missing", resume_computes_what_is_missing},
    {"a bad point fails alone", a_bad_point_fails_alone},
    {"what ends a sweep", what_ends_a_sweep},
    {"captures are kept", captures_are_kept},
    CU_TEST_INFO_NULL,
};
