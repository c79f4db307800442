/* test_sweep.c - which points a spec means, and how they become rows. */
#include "sweep/sweep.h"

#include "base/io.h"
#include "refuse.h"
#include "sweep_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMP "build/tmp/sweep-"
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

static const char *value(const rad_sweep_spec *spec, size_t point, enum rad_sweep_axis axis)
{
    return rad_sweep_points(spec)[point].value[axis];
}

#define HEAD "{trace: [" TRACE_A "], hw: [a100-sxm-80gb, tpu-v4]"

/* ---- specs ----------------------------------------------------------------------------- */

static void grid_takes_every_combination(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: {hw: {values: [a100-sxm-80gb, tpu-v4]},"
                " trace: {values: [\"" TMP "[ab].db\"]}, batch: {values: [1, 2, 4]}}\n"
                "constraints: [\"batch <= 2\"]\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 2 * 2 * 2);
    static const char *const batch[] = {"1", "1", "2", "2", "1", "1", "2", "2"};
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_TRACE), i < 4 ? TRACE_A : TRACE_B);
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_BATCH), batch[i]);
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_HW),
                               i % 2 == 0 ? "a100-sxm-80gb" : "tpu-v4");
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_DTYPE), "fp16");
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_POLICY), "");
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(rad_sweep_points(spec)[i].key,
                                       rad_sweep_points(spec)[k].key);
    }
    CU_ASSERT_STRING_EQUAL(rad_sweep_points(spec)[2].text,
                           "trace=" TRACE_A "\nbatch=2\nhw=a100-sxm-80gb\n");
    rad_sweep_close(spec);
}

/* A value given twice, and a default written out, are the same point. */
static void equal_points_are_one(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: " HEAD ", batch: [1, 1, 2], dtype: fp16}\n");
    rad_sweep_spec *bare = spec_of("method: grid\nparameters: " HEAD "}\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 4);
    CU_ASSERT_STRING_EQUAL(rad_sweep_points(spec)[0].key, rad_sweep_points(bare)[0].key);
    rad_sweep_close(spec);
    rad_sweep_close(bare);
}

static void ranges_become_lists(void)
{
    static const char *const factor[] = {"1", "2", "4", "8", "16", "32"};
    make_traces();
    rad_sweep_spec *spec = spec_of("method: grid\nparameters: {trace: " TRACE_A ", hw: tpu-v4,"
                                   " batch: {min: 1, max: 32, factor: 2}, seed: {min: 0, max: 6,"
                                   " step: 3}}\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 6 * 3);
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_STRING_EQUAL(value(spec, 3 * i, RAD_AXIS_BATCH), factor[i]);
    CU_ASSERT_STRING_EQUAL(value(spec, 2, RAD_AXIS_SEED), "6");
    rad_sweep_close(spec);
}

static bool has_key(const rad_sweep_spec *spec, const char *key)
{
    for (size_t i = 0; i < rad_sweep_n_point(spec); i++)
        if (strcmp(rad_sweep_points(spec)[i].key, key) == 0)
            return true;
    return false;
}

#define DRAWN(method, points, seed)                                                                \
    "method: " method "\npoints: " points "\nseed: " seed "\nparameters: " HEAD                    \
    ", batch: {min: 1, max: 64, distribution: log_uniform}, seed: {min: 0, max: 999}}\n"           \
    "constraints: [\"batch > 1\"]\n"

/* Same seed, same points; a longer list holds the shorter one; another seed gives others. */
static void check_drawing(const char *few, const char *many, const char *other)
{
    make_traces();
    rad_sweep_spec *a = spec_of(few), *b = spec_of(many), *c = spec_of(few);
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(a), 40);
    CU_ASSERT_EQUAL(rad_sweep_n_point(b), 80);
    for (size_t i = 0; i < 40; i++) {
        const long batch = strtol(value(a, i, RAD_AXIS_BATCH), NULL, 10);
        CU_ASSERT(batch > 1 && batch <= 64);
        CU_ASSERT_STRING_EQUAL(rad_sweep_points(a)[i].key, rad_sweep_points(c)[i].key);
        CU_ASSERT(has_key(b, rad_sweep_points(a)[i].key));
    }
    if (other != NULL) {
        rad_sweep_spec *d = spec_of(other);
        size_t same = 0;
        for (size_t i = 0; i < 40; i++)
            same += has_key(d, rad_sweep_points(a)[i].key);
        CU_ASSERT(same < 10);
        rad_sweep_close(d);
    }
    rad_sweep_close(a);
    rad_sweep_close(b);
    rad_sweep_close(c);
}

static void random_is_repeatable(void)
{
    check_drawing(DRAWN("random", "40", "7"), DRAWN("random", "80", "7"),
                  DRAWN("random", "40", "8"));
}

static void sobol_is_repeatable(void)
{
    check_drawing(DRAWN("sobol", "40", "0"), DRAWN("sobol", "80", "0"), NULL);
}

/* The first 2^k points of a Sobol sequence fill every half equally: that is its point. GSL leaves
 * out the point at 0, so that one value may have one more. */
static void sobol_is_even(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: sobol\npoints: 64\nparameters: " HEAD ", seed: {min: 0, max: 1000000}}\n");
    int first = 0;
    for (size_t i = 0; i < 64; i++)
        first += strcmp(value(spec, i, RAD_AXIS_HW), "tpu-v4") == 0;
    CU_ASSERT(first >= 31 && first <= 33);
    rad_sweep_close(spec);
}

/* A small space is listed whole when more points are asked for than it has. */
static void a_small_space_ends(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: random\npoints: 500\nparameters: " HEAD ", batch: [1, 2, 4]}\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 6);
    rad_sweep_close(spec);
}

/* $depth, $skip and $speedup say the same depth to different policies; dense has none. */
static void depth_goes_into_policies(void)
{
    static const char *const policy[] = {"radial:budget=0.25",
                                         "radial:budget=1",
                                         "skip:frac=0.75,seed=1",
                                         "skip:frac=0,seed=1",
                                         "uls:speedup=4",
                                         "uls:speedup=1",
                                         "dense"};
    rad_sweep_spec *spec = spec_of(
        "method: grid\nparameters: {model: models/none, text: tests/unit/test_sweep.c, hw: tpu-v4,"
        " depth: [0.25, 1], policy: ['radial:budget=$depth', 'skip:frac=$skip,seed=1',"
        " 'uls:speedup=$speedup', dense]}\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 7);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_POLICY), policy[i]);
    CU_ASSERT_STRING_EQUAL(value(spec, 0, RAD_AXIS_DEPTH), "0.25");
    CU_ASSERT_STRING_EQUAL(value(spec, 6, RAD_AXIS_DEPTH), "");
    rad_sweep_close(spec);
}

static void constraints_choose(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: " HEAD ", dtype: [fp16, int8], batch: [1, 8]}\n"
                "constraints: [\"hw != tpu-v4 or dtype==int8\", batch>=1e0 or hw == x]\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 6);
    for (size_t i = 0; i < rad_sweep_n_point(spec); i++)
        CU_ASSERT(strcmp(value(spec, i, RAD_AXIS_HW), "tpu-v4") != 0 ||
                  strcmp(value(spec, i, RAD_AXIS_DTYPE), "int8") == 0);
    rad_sweep_close(spec);
}

/* ---- refusals -------------------------------------------------------------------------- */

static void bad_specs_are_refused(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } rows[] = {
        {"parameters: {}", "method", RAD_E_RANGE},
        {"method: gird\nparameters: {}", "s.yaml:1:9: expected a method", RAD_E_PARSE},
        {"method: grid\nparameters: {traec: [a]}", "did you mean 'trace'", RAD_E_PARSE},
        {"method: grid\npoints: 3\nparameters: " HEAD "}", "remove 'points'", RAD_E_PARSE},
        {"method: random\nparameters: " HEAD "}", "points", RAD_E_RANGE},
        {"method: grid\nparameters: {hw: [tpu-v4]}", "either 'trace' or 'model'", RAD_E_PARSE},
        {"method: grid\nparameters: {trace: [" TRACE_A "]}", "missing parameter 'hw'", RAD_E_PARSE},
        {"method: grid\nparameters: {trace: [build/tmp/none.db], hw: [tpu-v4]}",
         "cannot read 'build/tmp/none.db'", RAD_E_IO},
        {"method: grid\nparameters: {trace: ['build/tmp/none-*.db'], hw: [tpu-v4]}",
         "no file matches", RAD_E_IO},
        {"method: grid\nparameters: " HEAD ", batch: [0]}", "s.yaml:2:", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", batch: [1.5]}", "s.yaml:2:", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {min: 1, max: 8}}", "step or factor",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {values: [1], min: 1}}", "either values",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {min: 9, max: 8, step: 1}}",
         "min is above max", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", dtype: {min: 1, max: 2, step: 1}}", "no number",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", dtype: [fp17]}", "fp16", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", phase: [decoed]}", "decode", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", kv: [holes]}", "hole", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batcher: [layers]}", "did you mean 'layer'",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", resample: [yes]}", "true or false", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", resample: []}", "list of values", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", policy: [dense]}", "needs 'model'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, hw: x}", "'model' needs 'text'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, depth: [0.5]}",
         "need each other", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, policy: ['a:b=$dept']}",
         "after '$'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, depth: [1.5],"
         " policy: ['a:b=$depth']}",
         "s.yaml:2:", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", batch: [1]}\nconstraints: [batch > 4]", "no point",
         RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", seed: {min: 0, max: 99999, step: 1},"
         " batch: {min: 1, max: 99999, step: 1}}",
         "combinations", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", hw: [a]}", "hw", RAD_E_PARSE},
    };
    make_traces();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_sweep_spec *spec = NULL;
        REFUSES(rad_sweep_parse(&spec, rows[i].text, "s.yaml", &err), rows[i].status,
                rows[i].message);
        CU_ASSERT_PTR_NULL(spec);
    }
}

static void bad_constraints_are_refused(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"batch", "expected < <= > >= == or !="},
        {"batch <", "expected a value"},
        {"< 3", "expected the name of a parameter"},
        {"batsh < 3", "did you mean 'batch'"},
        {"batch < three", "expected a number"},
        {"batch < 0x10", "expected a number"},
        {"batch < nan", "expected a number"},
        {"batch < 3 4", "expected `or`"},
        {"batch < 3 or", "expected the name of a parameter"},
        {"batch = 3", "expected < <= > >= == or !="},
        {"hw < 3", "only == and != apply"},
        {"batch < 3 and hw == a", "expected `or`"},
        {"", "expected the name of a parameter"},
    };
    make_traces();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        rad_sweep_spec *spec = NULL;
        snprintf(text, sizeof text, "method: grid\nparameters: " HEAD "}\nconstraints: [\"%s\"]\n",
                 rows[i].text);
        REFUSES(rad_sweep_parse(&spec, text, "s.yaml", &err), RAD_E_PARSE, rows[i].message);
        CU_ASSERT_PTR_NULL(spec);
    }
}

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
    "method: grid\nparameters: {trace: [\"" TMP "[ab].db\"], hw: [a100-sxm-80gb, tpu-v4, host],"   \
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

static void a_row_is_a_replay(void)
{
    static struct rows rows;
    struct rad_sweep_summary summary;
    struct rad_replay_result direct;
    rad_trace *trace = NULL;
    rad_hw *hw = NULL;
    rows = (struct rows){0};
    make_traces();
    OK(run("method: grid\nparameters: {trace: " TRACE_B ", hw: tpu-v4, batch: 2, dtype: int8,"
           " phase: decode}\n",
           1, &rows, &summary));
    OK(rad_trace_open(&trace, TRACE_B, &err));
    OK(rad_hw_open(&hw, "tpu-v4", &err));
    const struct rad_replay_options opt = {
        .batch = 2, .phase = RAD_REPLAY_DECODE, .dtype = RAD_INT8};
    const enum rad_status status = rad_replay(trace, hw, &opt, &direct, &err);
    CU_ASSERT_EQUAL(rows.n, 1);
    CU_ASSERT_EQUAL(rows.row[0].status, status);
    if (status == RAD_OK)
        CU_ASSERT_EQUAL(rows.row[0].result.latency_s, direct.latency_s);
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
    CU_ASSERT(strstr(rows.row[0].message, "sweep-c.db") != NULL);
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

static enum rad_status run_models(struct captures *c, struct rows *rows,
                                  struct rad_sweep_summary *summary)
{
    rad_sweep_spec *spec = spec_of("method: grid\nparameters: {model: [" TMP "model], text: [" TMP
                                   "text], policy: [dense, x], kv: hole, ctx: 32, hw: [tpu-v4,"
                                   " host]}\n");
    const struct rad_sweep_provider provider = {c, capture, TMP "r.db.traces"};
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
    unlink(TMP "model/model.safetensors");
}

CU_TestInfo sweep_tests[] = {
    {"grid takes every combination", grid_takes_every_combination},
    {"equal points are one", equal_points_are_one},
    {"ranges become lists", ranges_become_lists},
    {"random is repeatable", random_is_repeatable},
    {"sobol is repeatable", sobol_is_repeatable},
    {"sobol is even", sobol_is_even},
    {"a small space ends", a_small_space_ends},
    {"depth goes into policies", depth_goes_into_policies},
    {"constraints choose", constraints_choose},
    {"bad specs are refused", bad_specs_are_refused},
    {"bad constraints are refused", bad_constraints_are_refused},
    {"rows do not depend on threads", rows_do_not_depend_on_threads},
    {"a row is a replay", a_row_is_a_replay},
    {"resume computes what is missing", resume_computes_what_is_missing},
    {"a bad point fails alone", a_bad_point_fails_alone},
    {"what ends a sweep", what_ends_a_sweep},
    {"captures are kept", captures_are_kept},
    CU_TEST_INFO_NULL,
};
