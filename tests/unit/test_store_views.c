/* test_store_views.c - what the views show, SQL functions, and a sweep that is killed. */
#include "store/store.h"

#include "base/hash.h"
#include "refuse.h"
#include "store_make.h"
#include "sweep/sweep.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TMP "build/tmp/views-"
#define DB TMP "r.db"

/* ---- views ----------------------------------------------------------------------------- */

/* Of the points put, each of these views has only that of key 1. */
static void only_the_first_is_in(const char *const *view, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT group_concat(key) = '%016x' FROM %s", 1U, view[i]);
        CU_ASSERT_EQUAL(ask_number(DB, sql), 1);
    }
}

/* Quality that was not measured on what was costed appears nowhere, though it is the best. */
static void views_are_pure(void)
{
    static const char *const views[] = {"quality", "pareto", "pareto_energy", "pareto_per_hw",
                                        "cost_vs_quality"};
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 5, .y = 2}));
    OK(made_put(store, 2, &(struct made_point){.x = 0.1, .y = 0.2, .kv_recomputed = true}));
    OK(made_put(store, 3, &(struct made_point){.x = 0.1, .y = nan(""), .transplanted = true}));
    OK(made_put(store, 4, &(struct made_point){.x = 0.1, .y = 0.1, .incomplete = true}));
    REFUSES(made_put(store, 5, &(struct made_point){.x = 0.1, .y = 0.1, .transplanted = true}),
            RAD_E_DB, "CHECK");
    rad_store_abandon(store);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM design_point"),
                    0); /* none was committed */
    store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 5, .y = 2}));
    OK(made_put(store, 2, &(struct made_point){.x = 0.1, .y = 0.2, .kv_recomputed = true}));
    OK(made_put(store, 3, &(struct made_point){.x = 0.1, .y = nan(""), .transplanted = true}));
    OK(made_put(store, 4, &(struct made_point){.x = 0.1, .y = 0.1, .incomplete = true}));
    OK(rad_store_finish(store, &err));
    only_the_first_is_in(views, sizeof views / sizeof views[0]);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM results"), 4);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(nll) FROM results"), 2);
}

/* What a machine cannot hold is cheap on paper: nobody is to choose it. */
static void what_does_not_fit_is_no_choice(void)
{
    static const char *const views[] = {"pareto", "pareto_energy", "pareto_per_hw", "best_per_hw"};
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 5, .y = 2, .memory_frac = 1}));
    OK(made_put(store, 2, &(struct made_point){.x = 0.1, .y = 0.2, .memory_frac = 1.0001}));
    OK(rad_store_finish(store, &err));
    only_the_first_is_in(views, sizeof views / sizeof views[0]);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM quality"), 2);
}

/* The dense run beside a row is that on as many devices. */
static void dense_runs_have_as_many_devices(void)
{
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 5, .y = 2}));
    OK(made_put(store, 2, &(struct made_point){.x = 50, .y = 2, .tp = "2"}));
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM cost_vs_quality"), 2);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT max(usd_frac_of_dense) FROM cost_vs_quality"), 1);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT tp FROM best_per_hw"), 1);
}

enum { N_POINT = 60 };

static double draw(uint64_t *state)
{
    *state = rad_hash(state, sizeof *state, 1);
    return floor(rad_hash_uniform(*state) * 12); /* many ties */
}

static bool beats(const struct made_point *a, const struct made_point *b)
{
    return a->x <= b->x && a->y <= b->y && (a->x < b->x || a->y < b->y);
}

/* Non-dominated sorting as its definition says: peel off what nothing left beats. */
static void rank_all(const struct made_point p[N_POINT], int rank[N_POINT])
{
    memset(rank, 0, N_POINT * sizeof *rank);
    for (int front = 1, left = N_POINT; left > 0; front++) {
        int mark[N_POINT] = {0};
        for (int i = 0; i < N_POINT; i++) {
            mark[i] = rank[i] == 0;
            for (int k = 0; k < N_POINT && mark[i]; k++)
                mark[i] = rank[k] != 0 || !beats(&p[k], &p[i]);
        }
        for (int i = 0; i < N_POINT; i++)
            if (mark[i]) {
                rank[i] = front;
                left--;
            }
    }
}

static void pareto_is_what_nothing_beats(void)
{
    struct made_point p[N_POINT];
    int rank[N_POINT];
    uint64_t state = 7;
    rad_store *store = made_store(DB);
    for (int i = 0; i < N_POINT; i++) {
        p[i] = (struct made_point){.x = draw(&state) + 1, .y = draw(&state)};
        OK(made_put(store, i, &p[i]));
    }
    OK(rad_store_finish(store, &err));
    rank_all(p, rank);
    for (int i = 0; i < N_POINT; i++) {
        char sql[256];
        snprintf(sql, sizeof sql,
                 "SELECT r FROM (SELECT key, pareto_rank(usd_per_mtok, nll) OVER"
                 " (ORDER BY usd_per_mtok, nll) AS r FROM results)"
                 " WHERE key = '%016x'",
                 (unsigned)i);
        CU_ASSERT_EQUAL(ask_number(DB, sql), rank[i]);
    }
    /* the view has one of each equal points of rank 1, and nothing else */
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT count(*) FROM (SELECT usd_per_mtok, nll FROM pareto EXCEPT"
                               " SELECT usd_per_mtok, nll FROM (SELECT *, pareto_rank(usd_per_mtok,"
                               " nll) OVER (ORDER BY usd_per_mtok, nll) AS r FROM results)"
                               " WHERE r = 1)"),
                    0);
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT (SELECT count(*) FROM pareto) = count(DISTINCT usd_per_mtok)"
                               " FROM (SELECT *, pareto_rank(usd_per_mtok, nll) OVER (ORDER BY"
                               " usd_per_mtok, nll) AS r FROM results) WHERE r = 1"),
                    1);
    REFUSES(
        ask_status(DB, "SELECT pareto_rank(usd_per_mtok, nll) OVER (ORDER BY key) FROM results"),
        RAD_E_DB, "ORDER BY x, y");
}

static void functions_count_right(void)
{
#define VALUES " FROM (VALUES (4.0), (1.0), (NULL), (2.0), (8.0))"
    rad_store *store = made_store(DB);
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT median(column1)" VALUES), 3);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT quantile(column1, 0)" VALUES), 1);
    NEAR(ask_number(DB, "SELECT quantile(column1, 0.9)" VALUES), 6.8, 1e-14);
    NEAR(ask_number(DB, "SELECT stddev(column1)" VALUES), 3.095695936834452, 1e-14);
    NEAR(ask_number(DB, "SELECT geomean(column1)" VALUES), pow(2, 1.5), 1e-14);
    CU_ASSERT(isnan(ask_number(DB, "SELECT quantile(column1, 1.5)" VALUES)));
    CU_ASSERT(isnan(ask_number(DB, "SELECT median(NULL)")));
    CU_ASSERT(isnan(ask_number(DB, "SELECT pareto_rank(NULL, 1) OVER ()")));
}

/* ---- kill -9 --------------------------------------------------------------------------- */

#define SPEC                                                                                       \
    "method: grid\nparameters: {trace: " MADE_TRACE ", hw: [a100-sxm-80gb, tpu-v4, u280],"         \
    " batch: [1, 2, 3, 4], seed: {min: 0, max: 9, step: 1}, dtype: fp16}\n"

struct sink {
    rad_store *store;
    long pause_ns;
};

static bool sink_done(void *ctx, const char *key, const char *inputs)
{
    struct sink *sink = ctx;
    return rad_store_has(sink->store, key, inputs);
}

static enum rad_status sink_row(void *ctx, const struct rad_sweep_row *row, struct rad_err *e)
{
    struct sink *sink = ctx;
    struct rad_store_axis axis[RAD_N_AXIS];
    for (int i = 0; i < RAD_N_AXIS; i++)
        axis[i] = (struct rad_store_axis){rad_sweep_axis_name((enum rad_sweep_axis)i),
                                          row->point->value[i]};
    const struct rad_store_row out = {row->point->key, row->inputs, axis,       RAD_N_AXIS,
                                      row->message,    row->result, row->trace, row->trace_path,
                                      row->hw,         row->card,   row->eval_s};
    const struct timespec pause = {0, sink->pause_ns};
    nanosleep(&pause, NULL);
    return rad_store_put(sink->store, &out, e);
}

static enum rad_status sweep(const char *path, long pause_ns, struct rad_sweep_summary *summary)
{
    struct sink sink = {NULL, pause_ns};
    rad_sweep_spec *spec = NULL;
    RAD_TRY(rad_sweep_parse(&spec, SPEC, "s.yaml", &err));
    const struct rad_sweep_options opt = {.jobs = 1, .sink = {&sink, sink_done, sink_row, NULL}};
    enum rad_status status = rad_store_open(&sink.store, path, &made_run, &err);
    if (status == RAD_OK)
        status = rad_sweep_run(spec, &opt, summary, &err);
    rad_sweep_close(spec);
    return status == RAD_OK ? rad_store_finish(sink.store, &err) : status;
}

/* All that a sweep computes, but for the time that it took. */
static uint64_t contents(const char *path)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    uint64_t hash = 0;
    OK(rad_store_read(&db, path, &err));
    OK(rad_db_prepare(db, &stmt, "SELECT * FROM results ORDER BY key", &err));
    while (rad_db_step(db, stmt, &row, &err) == RAD_OK && row)
        for (int i = 0; i < rad_db_column_count(stmt); i++) {
            const char *name = rad_db_column_name(stmt, i);
            const double x = rad_db_column_real(stmt, i);
            const char *text = rad_db_column_text(stmt, i);
            if (strcmp(name, "eval_s") == 0 || strcmp(name, "run_id") == 0)
                continue;
            hash = rad_hash(text, strlen(text), rad_hash(&x, sizeof x, hash));
        }
    rad_db_finalize(stmt);
    rad_db_close(db);
    return hash;
}

static double rows_in(const char *path)
{
    rad_db *db = NULL;
    if (rad_store_read(&db, path, NULL) != RAD_OK)
        return 0;
    rad_db_close(db);
    return ask_number(path, "SELECT count(*) FROM results");
}

/* A sweep that is killed keeps what it committed; started again it does the rest, and the result
 * is that of a sweep that ran through. */
static void a_killed_sweep_goes_on(void)
{
    struct rad_sweep_summary summary = {0};
    const struct timespec pause = {0, 5000000};
    made_inputs();
    remove_db(TMP "whole.db");
    remove_db(TMP "killed.db");
    OK(sweep(TMP "whole.db", 0, &summary));
    CU_ASSERT(summary.computed == 120 && summary.failed == 0);
    fflush(NULL);
    const pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        (void)!sweep(TMP "killed.db", 5000000, &summary);
        _exit(0);
    }
    for (int i = 0; i < 1000 && rows_in(TMP "killed.db") < 10; i++)
        nanosleep(&pause, NULL);
    kill(pid, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    const double kept = rows_in(TMP "killed.db");
    CU_ASSERT(kept >= 10 && kept < 120);
    CU_ASSERT_EQUAL(ask_number(TMP "killed.db", "SELECT count(*) FROM run WHERE ended_at IS NULL"),
                    1);
    OK(sweep(TMP "killed.db", 0, &summary));
    CU_ASSERT_EQUAL(summary.skipped, (int64_t)kept);
    CU_ASSERT_EQUAL(summary.computed, 120 - (int64_t)kept);
    CU_ASSERT_EQUAL(rows_in(TMP "killed.db"), 120);
    CU_ASSERT_EQUAL(contents(TMP "killed.db"), contents(TMP "whole.db"));
}

CU_TestInfo store_views_tests[] = {
    {"views are pure", views_are_pure},
    {"what does not fit is no choice", what_does_not_fit_is_no_choice},
    {"dense runs have as many devices", dense_runs_have_as_many_devices},
    {"pareto is what nothing beats", pareto_is_what_nothing_beats},
    {"functions count right", functions_count_right},
    {"a killed sweep goes on", a_killed_sweep_goes_on},
    CU_TEST_INFO_NULL,
};
