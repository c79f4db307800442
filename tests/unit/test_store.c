/* test_store.c - the results database: what is kept and explained, and what is refused. */
#include "store/store.h"

#include "base/io.h"
#include "refuse.h"
#include "store_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMP "build/tmp/store-"
#define DB TMP "r.db"

/* ---- tables ---------------------------------------------------------------------------- */

static void what_is_put_is_read(void)
{
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 2.5, .y = 1.25}));
    OK(made_put(store, 2, &(struct made_point){.x = 3.5, .y = nan("")}));
    CU_ASSERT(rad_store_has(store, "0000000000000001", "00000000000000aa"));
    CU_ASSERT(!rad_store_has(store, "0000000000000001", "00000000000000ab"));
    CU_ASSERT(!rad_store_has(store, "0000000000000003", "00000000000000aa"));
    OK(rad_store_finish(store, &err));
    for (size_t i = 0; i < n; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT %s FROM results WHERE key LIKE '%%1'", metrics[i].name);
        const double x = ask_number(DB, sql);
        if (strcmp(metrics[i].name, "ttft_s") == 0)
            CU_ASSERT(isnan(x)) /* NaN is NULL */
        else if (strcmp(metrics[i].name, "nll") == 0)
            CU_ASSERT_EQUAL(x, 1.25)
        else if (strcmp(metrics[i].name, "usd_per_mtok") == 0 ||
                 strcmp(metrics[i].name, "j_per_token") == 0)
            CU_ASSERT_EQUAL(x, 2.5)
        else if (strcmp(metrics[i].name, "device_memory_frac") == 0)
            CU_ASSERT_EQUAL(x, 0)
        else
            CU_ASSERT_EQUAL(x, (double)i + 1.0 / 3)
    }
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM results WHERE hw = 'a100-sxm-80gb' AND"
                                   " batch = 2 AND typeof(batch) = 'integer' AND policy = 'dense'"),
                    2);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM results WHERE nll IS NULL"), 1);
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT count(*) FROM run WHERE version = '1.2.3' AND host = 'here'"
                               " AND spec = 'method: grid' || char(10) AND ended_at >= started_at"),
                    1);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM hw WHERE length(profile) > 100"), 1);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM trace WHERE tokens = 48 AND nll = 1.5"),
                    1);
    CU_ASSERT_EQUAL(ask_number(DB, "PRAGMA application_id"), RAD_STORE_APPLICATION_ID);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    CU_ASSERT(access(DB "-wal", F_OK) != 0); /* one file, fit to be copied */
}

/* A database is extended by later runs; a point from other inputs replaces its older self. */
static void databases_are_extended(void)
{
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 1, .y = 1}));
    OK(rad_store_finish(store, &err));
    OK(rad_store_open(&store, DB, &made_run, &err));
    CU_ASSERT(rad_store_has(store, "0000000000000001", "00000000000000aa"));
    OK(made_put(store, 1, &(struct made_point){.x = 7, .y = 1}));
    OK(made_put(store, 2, &(struct made_point){.x = 2, .y = 1}));
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM results"), 2);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM runs"), 2);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT usd_per_mtok FROM results WHERE key LIKE '%1'"), 7);
    OK(rad_store_open(&store, DB, &made_run, &err)); /* nothing added: no run either */
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM runs"), 2);
}

static void failures_are_kept(void)
{
    const struct rad_store_axis axis[] = {
        {"kv", "recorded"},  {"card", "recorded"},  {"phase", "decode"}, {"batch", "64"},
        {"batcher", "auto"}, {"resample", "false"}, {"seed", "0"},       {"dtype", "fp16"},
        {"hw", "u280"},      {"rate", "burst"},     {"tp", "1"},         {"pp", "1"},
        {"colour", "red"}};
    struct rad_store_row row = {.key = "00000000000000ff",
                                .inputs = "00000000000000aa",
                                .axis = axis,
                                .n_axis = 12,
                                .error = "too large"};
    rad_store *store = made_store(DB);
    OK(rad_store_put(store, &row, &err));
    CU_ASSERT(!rad_store_has(store, row.key, row.inputs));
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM failures WHERE error = 'too large'"), 1);
    OK(rad_store_open(&store, DB, &made_run, &err));
    row.n_axis = 13;
    REFUSES(rad_store_put(store, &row, &err), RAD_E_ARG, "no column 'colour'");
    row.n_axis = 12;
    row.key = "00000000000000fe";
    REFUSES(rad_store_put(store, &row, &err), RAD_E_DB, "a row failed");
    REFUSES(rad_store_finish(store, &err), RAD_E_DB, "a row failed");
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM failures"), 1); /* the first is not lost */
}

/* Every column of every table and view is explained, every metric of replay among them. */
static void every_column_is_explained(void)
{
    size_t n = 0;
    char *doc = NULL;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    rad_store *store = made_store(DB);
    OK(rad_store_finish(store, &err));
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT count(*) FROM sqlite_schema AS s, pragma_table_info(s.name)"
                               " AS c LEFT JOIN column_doc AS d ON d.table_name = s.name AND"
                               " d.column_name = c.name WHERE s.type IN ('table', 'view') AND"
                               " coalesce(d.doc, '') = ''"),
                    0);
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT count(*) FROM sqlite_schema AS s LEFT JOIN view_doc AS d ON"
                               " d.view_name = s.name WHERE s.type = 'view' AND"
                               " coalesce(d.doc, '') = ''"),
                    0);
    CU_ASSERT_EQUAL(ask_number(DB,
                               "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT"
                               " LIKE '%) STRICT'"),
                    0);
    OK(rad_file_read("docs/schema.md", 1 << 20, &doc, NULL, &err));
    for (size_t i = 0; i < n; i++) {
        char sql[256], word[96];
        snprintf(sql, sizeof sql,
                 "SELECT count(*) FROM column_doc WHERE column_name = '%s' AND"
                 " table_name IN ('result', 'results')",
                 metrics[i].name);
        CU_ASSERT_EQUAL(ask_number(DB, sql), 2);
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
    made_inputs();
    write_file(TMP "notes.txt", "my notes, longer than the sixteen bytes of a header");
    REFUSES(rad_store_open(&store, TMP "notes.txt", &made_run, &err), RAD_E_PARSE,
            "no SQLite database");
    CU_ASSERT_PTR_NULL(store);
    OK(rad_file_read(TMP "notes.txt", 4096, &text, NULL, &err));
    CU_ASSERT_STRING_EQUAL(text, "my notes, longer than the sixteen bytes of a header");
    free(text);
    REFUSES(rad_store_open(&store, MADE_TRACE, &made_run, &err), RAD_E_PARSE, "another kind");
    REFUSES(rad_store_read_results(&db, MADE_TRACE, &err), RAD_E_PARSE, "another kind");
    REFUSES(rad_store_read(&db, TMP "none.db", &err), RAD_E_IO, "cannot open");
    CU_ASSERT_PTR_NULL(db);
    OK(rad_store_read(&db, MADE_TRACE, &err)); /* a trace may be asked */
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
    rad_store *store = made_store(DB);
    OK(made_put(store, 1, &(struct made_point){.x = 1, .y = 1}));
    OK(rad_store_finish(store, &err));
    for (size_t i = 0; i < sizeof sql / sizeof sql[0]; i++)
        CU_ASSERT_NOT_EQUAL(ask_status(DB, sql[i]), RAD_OK);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM pareto"), 1);
    CU_ASSERT_EQUAL(ask_number(DB, "PRAGMA user_version"), RAD_STORE_VERSION);
    CU_ASSERT_EQUAL(ask_number(DB, "SELECT count(*) FROM run WHERE host = 'here'"), 1);
    CU_ASSERT(access("build/tmp/store-attached.db", F_OK) != 0);
    REFUSES(ask_status(DB, "DELETE FROM result"), RAD_E_DB, "readonly");
    REFUSES(ask_status(DB, "SELEC 1"), RAD_E_DB, "syntax error");
    REFUSES(ask_status(DB, "SELECT no_such FROM results"), RAD_E_DB, "no such column");
    CU_ASSERT_NOT_EQUAL(ask_status(DB, "SELECT 1; DELETE FROM result"), RAD_OK);
}

CU_TestInfo store_tests[] = {
    {"what is put is read", what_is_put_is_read},
    {"databases are extended", databases_are_extended},
    {"failures are kept", failures_are_kept},
    {"every column is explained", every_column_is_explained},
    {"units follow names", units_follow_names},
    {"foreign files are refused", foreign_files_are_refused},
    {"reading cannot write", reading_cannot_write},
    CU_TEST_INFO_NULL,
};
