/* test_store.c - the results database: what is kept, what views show, what survives a kill. */
#include "store/store.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "refuse.h"
#include "sweep/sweep.h"
#include "sweep_make.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TMP "build/tmp/store-"
#define DB TMP "r.db"
#define TRACE TMP "t.db"

static const struct rad_store_run run_row = {
    .version = "1.2.3", .spec = "method: grid\n", .spec_hash = "0000000000000001", .host = "here"};

static void remove_db(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        unlink(name);
    }
}

/* ---- rows made by hand ----------------------------------------------------------------- */

/* What all rows share; made once per program. */
static struct {
    rad_trace *trace;
    rad_hw *hw;
} made;

static void make(void)
{
    if (made.trace != NULL)
        return;
    made_file(TRACE, &(struct made_file){.policy = "dense", .nll = 1.5});
    OK(rad_trace_open(&made.trace, TRACE, &err));
    OK(rad_hw_open(&made.hw, "a100-sxm-80gb", &err));
}

/* A point with price x and quality y; its key is its number. */
struct point {
    double x, y;
    bool transplanted, kv_recomputed, incomplete;
};

static enum rad_status put(rad_store *store, int number, const struct point *p)
{
    char key[17];
    struct rad_replay_result result;
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    const struct rad_store_axis axis[] = {
        {"trace", TRACE},  {"kv", "recorded"},      {"card", "recorded"},  {"phase", "decode"},
        {"batch", "2"},    {"batcher", "auto"},     {"resample", "false"}, {"seed", "0"},
        {"dtype", "fp16"}, {"hw", "a100-sxm-80gb"}, {"policy", ""},        {"depth", ""},
    };
    memset(&result, 0, sizeof result);
    for (size_t i = 0; i < n; i++) {
        const double value = (double)i + 1.0 / 3;
        memcpy((char *)&result + metrics[i].offset, &value, sizeof value);
    }
    result.usd_per_mtok = result.j_per_token = p->x;
    result.nll = p->y;
    result.ttft_s = nan("");
    result.bound_kind = RAD_BOUND_MEMORY;
    result.transplanted = p->transplanted;
    result.kv_recomputed = p->kv_recomputed;
    result.complete_trace = !p->incomplete;
    snprintf(key, sizeof key, "%016x", (unsigned)number);
    const struct rad_store_row row = {.key = key,
                                      .inputs = "00000000000000aa",
                                      .axis = axis,
                                      .n_axis = sizeof axis / sizeof axis[0],
                                      .result = &result,
                                      .trace = made.trace,
                                      .trace_path = TRACE,
                                      .hw = made.hw,
                                      .card = &rad_trace_run(made.trace)->card,
                                      .eval_s = 0.25};
    return rad_store_put(store, &row, &err);
}

static rad_store *open_new(void)
{
    rad_store *store = NULL;
    make();
    remove_db(DB);
    OK(rad_store_open(&store, DB, &run_row, &err));
    return store;
}

static double number(const char *path, const char *sql)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    OK(rad_store_read(&db, path, &err));
    OK(rad_db_prepare(db, &stmt, sql, &err));
    OK(rad_db_step(db, stmt, &row, &err));
    const double x = row ? rad_db_column_real(stmt, 0) : nan("");
    rad_db_finalize(stmt);
    rad_db_close(db);
    return x;
}

static enum rad_status ask(const char *path, const char *sql)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    OK(rad_store_read(&db, path, &err));
    enum rad_status status = rad_db_prepare(db, &stmt, sql, &err);
    while (status == RAD_OK && row)
        status = rad_db_step(db, stmt, &row, &err);
    rad_db_finalize(stmt);
    rad_db_close(db);
    return status;
}

/* ---- tables ---------------------------------------------------------------------------- */

static void what_is_put_is_read(void)
{
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    rad_store *store = open_new();
    OK(put(store, 1, &(struct point){.x = 2.5, .y = 1.25}));
    OK(put(store, 2, &(struct point){.x = 3.5, .y = nan("")}));
    CU_ASSERT(rad_store_has(store, "0000000000000001", "00000000000000aa"));
    CU_ASSERT(!rad_store_has(store, "0000000000000001", "00000000000000ab"));
    CU_ASSERT(!rad_store_has(store, "0000000000000003", "00000000000000aa"));
    OK(rad_store_finish(store, &err));
    for (size_t i = 0; i < n; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT %s FROM results WHERE key LIKE '%%1'", metrics[i].name);
        const double x = number(DB, sql);
        if (strcmp(metrics[i].name, "ttft_s") == 0)
            CU_ASSERT(isnan(x)) /* NaN is NULL */
        else if (strcmp(metrics[i].name, "nll") == 0)
            CU_ASSERT_EQUAL(x, 1.25)
        else if (strcmp(metrics[i].name, "usd_per_mtok") == 0 ||
                 strcmp(metrics[i].name, "j_per_token") == 0)
            CU_ASSERT_EQUAL(x, 2.5)
        else
            CU_ASSERT_EQUAL(x, (double)i + 1.0 / 3)
    }
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM results WHERE hw = 'a100-sxm-80gb' AND"
                               " batch = 2 AND typeof(batch) = 'integer' AND policy = 'dense'"),
                    2);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM results WHERE nll IS NULL"), 1);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM run WHERE version = '1.2.3' AND host = 'here'"
                               " AND spec = 'method: grid' || char(10) AND ended_at >= started_at"),
                    1);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM hw WHERE length(profile) > 100"), 1);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM trace WHERE tokens = 48 AND nll = 1.5"), 1);
    CU_ASSERT_EQUAL(number(DB, "PRAGMA application_id"), RAD_STORE_APPLICATION_ID);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    CU_ASSERT(access(DB "-wal", F_OK) != 0); /* one file, fit to be copied */
}

/* A database is extended by later runs; a point from other inputs replaces its older self. */
static void databases_are_extended(void)
{
    rad_store *store = open_new();
    OK(put(store, 1, &(struct point){.x = 1, .y = 1}));
    OK(rad_store_finish(store, &err));
    OK(rad_store_open(&store, DB, &run_row, &err));
    CU_ASSERT(rad_store_has(store, "0000000000000001", "00000000000000aa"));
    OK(put(store, 1, &(struct point){.x = 7, .y = 1}));
    OK(put(store, 2, &(struct point){.x = 2, .y = 1}));
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM results"), 2);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM runs"), 2);
    CU_ASSERT_EQUAL(number(DB, "SELECT usd_per_mtok FROM results WHERE key LIKE '%1'"), 7);
    OK(rad_store_open(&store, DB, &run_row, &err)); /* nothing added: no run either */
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM runs"), 2);
}

static void failures_are_kept(void)
{
    const struct rad_store_axis axis[] = {
        {"kv", "recorded"},  {"card", "recorded"},  {"phase", "decode"}, {"batch", "64"},
        {"batcher", "auto"}, {"resample", "false"}, {"seed", "0"},       {"dtype", "fp16"},
        {"hw", "u280"},      {"colour", "red"}};
    struct rad_store_row row = {.key = "00000000000000ff",
                                .inputs = "00000000000000aa",
                                .axis = axis,
                                .n_axis = 9,
                                .error = "too large"};
    rad_store *store = open_new();
    OK(rad_store_put(store, &row, &err));
    CU_ASSERT(!rad_store_has(store, row.key, row.inputs));
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM failures WHERE error = 'too large'"), 1);
    OK(rad_store_open(&store, DB, &run_row, &err));
    row.n_axis = 10;
    REFUSES(rad_store_put(store, &row, &err), RAD_E_ARG, "no column 'colour'");
    rad_store_abandon(store);
}

/* Every column of every table and view is explained, every metric of replay among them. */
static void every_column_is_explained(void)
{
    size_t n = 0;
    char *doc = NULL;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    rad_store *store = open_new();
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM sqlite_schema AS s, pragma_table_info(s.name)"
                               " AS c LEFT JOIN column_doc AS d ON d.table_name = s.name AND"
                               " d.column_name = c.name WHERE s.type IN ('table', 'view') AND"
                               " coalesce(d.doc, '') = ''"),
                    0);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM sqlite_schema AS s LEFT JOIN view_doc AS d ON"
                               " d.view_name = s.name WHERE s.type = 'view' AND"
                               " coalesce(d.doc, '') = ''"),
                    0);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT"
                               " LIKE '%) STRICT'"),
                    0);
    OK(rad_file_read("docs/schema.md", 1 << 20, &doc, NULL, &err));
    for (size_t i = 0; i < n; i++) {
        char sql[256], word[96];
        snprintf(sql, sizeof sql,
                 "SELECT count(*) FROM column_doc WHERE column_name = '%s' AND"
                 " table_name IN ('result', 'results')",
                 metrics[i].name);
        CU_ASSERT_EQUAL(number(DB, sql), 2);
        snprintf(word, sizeof word, "`%s`", metrics[i].name);
        CU_ASSERT_PTR_NOT_NULL(strstr(doc, word));
    }
    free(doc);
}

static void units_follow_names(void)
{
    static const char *const rows[][2] = {{"latency_s", "s"},
                                          {"tpot_s_p99", "s"},
                                          {"tokens_per_s", "tokens/s"},
                                          {"energy_j", "J"},
                                          {"usd_per_mtok", "USD/Mtoken"},
                                          {"cost_usd", "USD"},
                                          {"kv_cache_bytes_peak", "B"},
                                          {"depth_frac", ""},
                                          {"nll", "nats"},
                                          {"j_per_token", "J/token"},
                                          {"batch", ""},
                                          {"layer_loads_per_step", "1/step"},
                                          {"hops", ""},
                                          {"flop", "FLOP"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CU_ASSERT_STRING_EQUAL(rad_store_unit(rows[i][0]), rows[i][1]);
}

/* ---- refusals -------------------------------------------------------------------------- */

static void foreign_files_are_refused(void)
{
    rad_store *store = NULL;
    rad_db *db = NULL;
    char *text = NULL;
    make();
    write_file(TMP "notes.txt", "my notes, longer than the sixteen bytes of a header");
    REFUSES(rad_store_open(&store, TMP "notes.txt", &run_row, &err), RAD_E_PARSE,
            "no SQLite database");
    CU_ASSERT_PTR_NULL(store);
    OK(rad_file_read(TMP "notes.txt", 4096, &text, NULL, &err));
    CU_ASSERT_STRING_EQUAL(text, "my notes, longer than the sixteen bytes of a header");
    free(text);
    REFUSES(rad_store_open(&store, TRACE, &run_row, &err), RAD_E_PARSE, "another kind");
    REFUSES(rad_store_read_results(&db, TRACE, &err), RAD_E_PARSE, "another kind");
    REFUSES(rad_store_read(&db, TMP "none.db", &err), RAD_E_IO, "cannot open");
    CU_ASSERT_PTR_NULL(db);
    OK(rad_store_read(&db, TRACE, &err)); /* a trace may be asked */
    CU_ASSERT(rad_store_is_trace(db));
    rad_db_close(db);
}

static void reading_cannot_write(void)
{
    static const char *const sql[] = {"DELETE FROM result",
                                      "DROP VIEW pareto",
                                      "UPDATE run SET host = 'x'",
                                      "PRAGMA user_version = 9",
                                      "ATTACH 'build/tmp/store-attached.db' AS a",
                                      "VACUUM INTO 'build/tmp/store-attached.db'",
                                      "CREATE TEMP TABLE t (x)"};
    rad_store *store = open_new();
    OK(put(store, 1, &(struct point){.x = 1, .y = 1}));
    OK(rad_store_finish(store, &err));
    for (size_t i = 0; i < sizeof sql / sizeof sql[0]; i++)
        (void)ask(DB, sql[i]);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM pareto"), 1);
    CU_ASSERT_EQUAL(number(DB, "PRAGMA user_version"), RAD_STORE_VERSION);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM run WHERE host = 'here'"), 1);
    CU_ASSERT(access("build/tmp/store-attached.db", F_OK) != 0);
    REFUSES(ask(DB, "DELETE FROM result"), RAD_E_DB, "readonly");
    REFUSES(ask(DB, "SELEC 1"), RAD_E_DB, "syntax error");
    REFUSES(ask(DB, "SELECT nothing FROM results"), RAD_E_DB, "no such column");
    CU_ASSERT_NOT_EQUAL(ask(DB, "SELECT 1; DELETE FROM result"), RAD_OK);
}

/* ---- views ----------------------------------------------------------------------------- */

/* Quality that was not measured on what was costed appears nowhere, though it is the best. */
static void views_are_pure(void)
{
    static const char *const views[] = {"quality", "pareto", "pareto_energy", "pareto_per_hw",
                                        "cost_vs_quality"};
    rad_store *store = open_new();
    OK(put(store, 1, &(struct point){.x = 5, .y = 2}));
    OK(put(store, 2, &(struct point){.x = 0.1, .y = 0.2, .kv_recomputed = true}));
    OK(put(store, 3, &(struct point){.x = 0.1, .y = nan(""), .transplanted = true}));
    OK(put(store, 4, &(struct point){.x = 0.1, .y = 0.1, .incomplete = true}));
    REFUSES(put(store, 5, &(struct point){.x = 0.1, .y = 0.1, .transplanted = true}), RAD_E_DB,
            "CHECK");
    rad_store_abandon(store);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM design_point"), 0); /* none was committed */
    store = open_new();
    OK(put(store, 1, &(struct point){.x = 5, .y = 2}));
    OK(put(store, 2, &(struct point){.x = 0.1, .y = 0.2, .kv_recomputed = true}));
    OK(put(store, 3, &(struct point){.x = 0.1, .y = nan(""), .transplanted = true}));
    OK(put(store, 4, &(struct point){.x = 0.1, .y = 0.1, .incomplete = true}));
    OK(rad_store_finish(store, &err));
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT group_concat(key) = '%016x' FROM %s", 1U, views[i]);
        CU_ASSERT_EQUAL(number(DB, sql), 1);
    }
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM results"), 4);
    CU_ASSERT_EQUAL(number(DB, "SELECT count(nll) FROM results"), 2);
}

enum { N_POINT = 60 };

static double draw(uint64_t *state)
{
    *state = rad_hash(state, sizeof *state, 1);
    return floor(rad_hash_uniform(*state) * 12); /* many ties */
}

static bool beats(const struct point *a, const struct point *b)
{
    return a->x <= b->x && a->y <= b->y && (a->x < b->x || a->y < b->y);
}

/* Non-dominated sorting as its definition says: peel off what nothing left beats. */
static void rank_all(const struct point p[N_POINT], int rank[N_POINT])
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
    struct point p[N_POINT];
    int rank[N_POINT];
    uint64_t state = 7;
    rad_store *store = open_new();
    for (int i = 0; i < N_POINT; i++) {
        p[i] = (struct point){.x = draw(&state) + 1, .y = draw(&state)};
        OK(put(store, i, &p[i]));
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
        CU_ASSERT_EQUAL(number(DB, sql), rank[i]);
    }
    /* the view has one of each equal points of rank 1, and nothing else */
    CU_ASSERT_EQUAL(number(DB, "SELECT count(*) FROM (SELECT usd_per_mtok, nll FROM pareto EXCEPT"
                               " SELECT usd_per_mtok, nll FROM (SELECT *, pareto_rank(usd_per_mtok,"
                               " nll) OVER (ORDER BY usd_per_mtok, nll) AS r FROM results)"
                               " WHERE r = 1)"),
                    0);
    CU_ASSERT_EQUAL(number(DB, "SELECT (SELECT count(*) FROM pareto) = count(DISTINCT usd_per_mtok)"
                               " FROM (SELECT *, pareto_rank(usd_per_mtok, nll) OVER (ORDER BY"
                               " usd_per_mtok, nll) AS r FROM results) WHERE r = 1"),
                    1);
    REFUSES(ask(DB, "SELECT pareto_rank(usd_per_mtok, nll) OVER (ORDER BY key) FROM results"),
            RAD_E_DB, "ORDER BY x, y");
}

static void functions_count_right(void)
{
#define VALUES " FROM (VALUES (4.0), (1.0), (NULL), (2.0), (8.0))"
    rad_store *store = open_new();
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(number(DB, "SELECT median(column1)" VALUES), 3);
    CU_ASSERT_EQUAL(number(DB, "SELECT quantile(column1, 0)" VALUES), 1);
    CU_ASSERT_EQUAL(number(DB, "SELECT quantile(column1, 0.9)" VALUES), 6.8);
    NEAR(number(DB, "SELECT stddev(column1)" VALUES), 3.095695936834452, 1e-14);
    NEAR(number(DB, "SELECT geomean(column1)" VALUES), pow(2, 1.5), 1e-14);
    CU_ASSERT(isnan(number(DB, "SELECT quantile(column1, 1.5)" VALUES)));
    CU_ASSERT(isnan(number(DB, "SELECT median(NULL)")));
    CU_ASSERT(isnan(number(DB, "SELECT pareto_rank(NULL, 1) OVER ()")));
}

/* ---- kill -9 --------------------------------------------------------------------------- */

#define SPEC                                                                                       \
    "method: grid\nparameters: {trace: " TRACE ", hw: [a100-sxm-80gb, tpu-v4, host],"              \
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
    enum rad_status status = rad_store_open(&sink.store, path, &run_row, &err);
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
    return number(path, "SELECT count(*) FROM results");
}

/* A sweep that is killed keeps what it committed; started again it does the rest, and the result
 * is that of a sweep that ran through. */
static void a_killed_sweep_goes_on(void)
{
    struct rad_sweep_summary summary = {0};
    const struct timespec pause = {0, 5000000};
    make();
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
    CU_ASSERT_EQUAL(number(TMP "killed.db", "SELECT count(*) FROM run WHERE ended_at IS NULL"), 1);
    OK(sweep(TMP "killed.db", 0, &summary));
    CU_ASSERT_EQUAL(summary.skipped, (int64_t)kept);
    CU_ASSERT_EQUAL(summary.computed, 120 - (int64_t)kept);
    CU_ASSERT_EQUAL(rows_in(TMP "killed.db"), 120);
    CU_ASSERT_EQUAL(contents(TMP "killed.db"), contents(TMP "whole.db"));
}

CU_TestInfo store_tests[] = {
    {"what is put is read", what_is_put_is_read},
    {"databases are extended", databases_are_extended},
    {"failures are kept", failures_are_kept},
    {"every column is explained", every_column_is_explained},
    {"units follow names", units_follow_names},
    {"foreign files are refused", foreign_files_are_refused},
    {"reading cannot write", reading_cannot_write},
    {"views are pure", views_are_pure},
    {"pareto is what nothing beats", pareto_is_what_nothing_beats},
    {"functions count right", functions_count_right},
    {"a killed sweep goes on", a_killed_sweep_goes_on},
    CU_TEST_INFO_NULL,
};
