/* test_db_stmt.c - statements, values and SQL functions. */
#include "base/io.h"
#include "base/stat.h"
#include "db/db.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define PATH "build/tmp/stmt.db"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct rad_db_format format = {
    .application_id = 0x52414459,
    .user_version = 1,
    .name = "test file",
    .schema_sql = "CREATE TABLE t (a INTEGER NOT NULL, b REAL, c TEXT, d BLOB) STRICT;"
                  "CREATE TABLE u (a INTEGER PRIMARY KEY, b INTEGER REFERENCES u(a)) STRICT;",
};

static rad_db *create(void)
{
    rad_db *db = NULL;
    OK(rad_dir_make("build/tmp", &err));
    OK(rad_db_open(&db, PATH, RAD_DB_REPLACE, &format, &err));
    return db;
}

/* The first column of the first row; -1 without one. */
static int64_t ask(rad_db *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    OK(rad_db_prepare(db, &stmt, sql, &err));
    OK(rad_db_step(db, stmt, &row, &err));
    const int64_t answer = row ? rad_db_column_int(stmt, 0) : -1;
    rad_db_finalize(stmt);
    return answer;
}

static void values_go_in_and_come_out(void)
{
    static const unsigned char blob[] = {0, 1, 255};
    rad_db *db = create();
    sqlite3_stmt *put = NULL, *get = NULL;
    bool row = false;
    OK(rad_db_prepare(db, &put, "INSERT INTO t VALUES (?, ?, ?, ?); -- one", &err));
    rad_db_bind_int(put, 1, INT64_MIN);
    rad_db_bind_real(put, 2, 0.1);
    rad_db_bind_text(put, 3, "it's \"text\"");
    rad_db_bind_blob(put, 4, blob, sizeof blob);
    OK(rad_db_step(db, put, NULL, &err));
    rad_db_bind_int(put, 1, 2);
    rad_db_bind_real(put, 2, (double)NAN);
    rad_db_bind_text(put, 3, NULL);
    rad_db_bind_null(put, 4);
    OK(rad_db_step(db, put, NULL, &err));
    rad_db_finalize(put);

    OK(rad_db_prepare(db, &get, "SELECT a, b, c, d FROM t ORDER BY a", &err));
    OK(rad_db_step(db, get, &row, &err));
    CU_ASSERT(row && rad_db_column_count(get) == 4);
    CU_ASSERT_STRING_EQUAL(rad_db_column_name(get, 2), "c");
    CU_ASSERT_EQUAL(rad_db_column_type(get, 0), RAD_DB_INTEGER);
    CU_ASSERT_EQUAL(rad_db_column_type(get, 3), RAD_DB_BLOB);
    CU_ASSERT_EQUAL(rad_db_column_int(get, 0), INT64_MIN);
    CU_ASSERT_EQUAL(rad_db_column_real(get, 1), 0.1);
    CU_ASSERT_STRING_EQUAL(rad_db_column_text(get, 2), "it's \"text\"");
    CU_ASSERT_EQUAL_FATAL(rad_db_column_bytes(get, 3), sizeof blob);
    CU_ASSERT_EQUAL(memcmp(rad_db_column_blob(get, 3), blob, sizeof blob), 0);
    OK(rad_db_step(db, get, &row, &err));
    CU_ASSERT(row && rad_db_column_is_null(get, 1) && isnan(rad_db_column_real(get, 1)));
    CU_ASSERT_STRING_EQUAL(rad_db_column_text(get, 2), "");
    CU_ASSERT(rad_db_column_blob(get, 3) == NULL && rad_db_column_bytes(get, 3) == 0);
    OK(rad_db_step(db, get, &row, &err));
    CU_ASSERT(!row);
    OK(rad_db_step(db, get, &row, &err)); /* reset: starts again */
    CU_ASSERT(row);
    rad_db_reset(get);
    rad_db_close(db); /* finalizes get */
}

static void bad_statements_are_refused(void)
{
    static const struct {
        const char *sql, *message;
    } rows[] = {
        {"SELEKT 1", "'build/tmp/stmt.db': SQL failed: near \"SELEKT\": syntax error"},
        {"SELECT x FROM t", "'build/tmp/stmt.db': SQL failed: no such column: x"},
        {" -- nothing", "'build/tmp/stmt.db': expected an SQL statement but found none"},
        {"SELECT 1; DROP TABLE t",
         "'build/tmp/stmt.db': expected one SQL statement but found more"},
        {"SELECT 1; garbage", "'build/tmp/stmt.db': expected one SQL statement but found more"},
    };
    rad_db *db = create();
    for (size_t i = 0; i < COUNT(rows); i++) {
        sqlite3_stmt *stmt = NULL;
        CU_ASSERT_EQUAL(rad_db_prepare(db, &stmt, rows[i].sql, &err), RAD_E_DB);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
        CU_ASSERT_PTR_NULL(stmt);
    }
    rad_db_close(db);
}

static void constraints_are_reported(void)
{
    rad_db *db = create();
    sqlite3_stmt *put = NULL;
    CU_ASSERT_EQUAL(rad_db_exec(db, "INSERT INTO t (b) VALUES (1)", &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "'build/tmp/stmt.db': SQL failed: NOT NULL constraint failed: t.a");
    CU_ASSERT_EQUAL(rad_db_exec(db, "INSERT INTO u VALUES (1, 99)", &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "'build/tmp/stmt.db': SQL failed: FOREIGN KEY constraint failed");
    OK(rad_db_prepare(db, &put, "INSERT INTO t (a) VALUES (?)", &err));
    rad_db_bind_text(put, 1, "no number");
    CU_ASSERT_EQUAL(rad_db_step(db, put, NULL, &err), RAD_E_DB);
    rad_db_bind_int(put, 1, 5); /* reset after the failure: usable again */
    OK(rad_db_step(db, put, NULL, &err));
    CU_ASSERT_NOT_EQUAL(rad_db_bind_int(put, 2, 5), RAD_OK);
    rad_db_close(db);
}

/* A value too large to bind must not become NULL unnoticed. */
static void failed_binds_fail_the_step(void)
{
    rad_db *db = create();
    sqlite3_stmt *put = NULL;
    const size_t len = (size_t)257 << 20;
    char *large = calloc(1, len); /* never touched: costs no memory */
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    OK(rad_db_prepare(db, &put, "INSERT INTO t (a, d) VALUES (1, ?)", &err));
    CU_ASSERT_NOT_EQUAL(rad_db_bind_blob(put, 1, large, len), RAD_OK);
    free(large);
    CU_ASSERT_EQUAL(rad_db_step(db, put, NULL, &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg, "'build/tmp/stmt.db': SQL failed: string or blob too big");
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 0);
    rad_db_close(db);
}

/* ---- functions ------------------------------------------------------------------------- */

static double ratio(const double *arg)
{
    return arg[0] / arg[1];
}

static double quantile(double *x, size_t n, double q)
{
    rad_sort_doubles(x, n);
    return rad_quantile(x, n, q);
}

static double count(double *x, size_t n, double unused)
{
    (void)x;
    return isnan(unused) ? (double)n : -1.0;
}

static void functions_are_called(void)
{
    static const struct rad_db_scalar scalar = {"ratio", 2, ratio};
    static const struct rad_db_aggregate two = {"quantile", true, quantile};
    static const struct rad_db_aggregate one = {"n_values", false, count};
    static const struct rad_db_scalar wide = {"wide", 9, ratio};
    rad_db *db = create();
    OK(rad_db_add_scalar(db, &scalar, &err));
    OK(rad_db_add_aggregate(db, &two, &err));
    OK(rad_db_add_aggregate(db, &one, &err));
    CU_ASSERT_EQUAL(rad_db_add_scalar(db, &wide, &err), RAD_E_ARG);
    OK(rad_db_exec(db, "CREATE VIEW v AS SELECT quantile(a, 0.5) AS q FROM t", &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT q IS NULL FROM v"), 1);
    OK(rad_db_exec(db, "INSERT INTO t (a, b) VALUES (1, 2.0), (7, NULL), (3, 4.0)", &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT q FROM v"), 3);
    CU_ASSERT_EQUAL(ask(db, "SELECT n_values(b) FROM t"), 2);
    CU_ASSERT_EQUAL(ask(db, "SELECT n_values(b) FROM t WHERE a > 9"), 0);
    CU_ASSERT_EQUAL(ask(db, "SELECT 100 * ratio(b, a) FROM t WHERE a = 3"), 133);
    CU_ASSERT_EQUAL(ask(db, "SELECT ratio(b, a) IS NULL FROM t WHERE a = 7"), 1);
    CU_ASSERT_EQUAL(ask(db, "SELECT sum(q) FROM (SELECT quantile(b, 1.0) AS q FROM t GROUP BY a)"),
                    6);
    rad_db_close(db);
}

CU_TestInfo db_stmt_tests[] = {
    {"values go in and come out", values_go_in_and_come_out},
    {"bad statements are refused", bad_statements_are_refused},
    {"constraints are reported", constraints_are_reported},
    {"failed binds fail the step", failed_binds_fail_the_step},
    {"functions are called", functions_are_called},
    CU_TEST_INFO_NULL,
};
