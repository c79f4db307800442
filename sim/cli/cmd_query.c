/* cmd_query.c - `radial query`: SQL on a results database or a trace, read-only. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

struct options {
    struct rad_cli_common common;
    const char *db, *sql;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "expected one question but found '%s' too; quote the SQL", arg);
        *(state->arg_num == 0 ? &o->db : &o->sql) = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->sql == NULL)
            argp_error(state, "expected a database and SQL, @VIEW or @");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse_option,
    .args_doc = "R.db \"SQL\" | @VIEW | @",
    .doc = "Ask a results database or a trace in SQL; nothing can be written. @ lists the views, "
           "@VIEW shows one. Besides SQLite's functions: median(x), quantile(x, q), stddev(x), "
           "geomean(x), pareto_rank(x, y) OVER (ORDER BY x, y).\v"
           "Example:\n"
           "  radial query r.db @pareto --format md\n"
           "  radial query r.db \"SELECT hw, median(speedup) FROM results GROUP BY hw\"\n"
           "  radial query r.db \"SELECT column_name, unit, doc FROM column_doc\n"
           "      WHERE table_name = 'results'\"\n",
    .children = rad_cli_children,
};

/* ---- @VIEW ----------------------------------------------------------------------------- */

enum { MAX_VIEW = 64 };

/* The names of the views; texts are malloc'ed. */
static enum rad_status list_views(rad_db *db, char *names[MAX_VIEW], size_t *n, struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    RAD_TRY(rad_db_prepare(db, &stmt, rad_store_views_sql(db), err));
    enum rad_status status = RAD_OK;
    while (*n < MAX_VIEW && (status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row) {
        names[*n] = strdup(rad_db_column_text(stmt, 0));
        *n += names[*n] != NULL;
    }
    rad_db_finalize(stmt);
    return status;
}

/* The view's name goes into SQL only if it is the name of a view of this file. */
static enum rad_status view_sql(rad_db *db, const char *name, char out[128], struct rad_err *err)
{
    char *names[MAX_VIEW], show[RAD_SHOW_MAX];
    size_t n = 0;
    bool found = false;
    enum rad_status status = list_views(db, names, &n, err);
    for (size_t i = 0; i < n; i++)
        found = found || strcmp(names[i], name) == 0;
    if (status == RAD_OK && found) {
        snprintf(out, 128, "SELECT * FROM \"%s\"", name);
    } else if (status == RAD_OK) {
        const char *const *list = (const char *const *)names;
        const char *near = rad_nearest(name, list, n);
        status = near != NULL ? rad_fail(err, RAD_E_ARG, "unknown view '@%s'; did you mean '@%s'?",
                                         rad_show(show, name), near)
                              : rad_fail(err, RAD_E_ARG, "unknown view '@%s'; '@' lists them",
                                         rad_show(show, name));
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------ */

static void put_blob(rad_out *out, const char *key, sqlite3_stmt *stmt, int column)
{
    const unsigned char *data = rad_db_column_blob(stmt, column);
    struct rad_buf hex = {0};
    rad_buf_add(&hex, "x'");
    for (size_t i = 0; i < rad_db_column_bytes(stmt, column); i++)
        rad_buf_printf(&hex, "%02x", data[i]);
    rad_buf_add(&hex, "'");
    rad_out_text(out, key, hex.failed ? NULL : hex.data);
    rad_buf_free(&hex);
}

static void put_cell(rad_out *out, const char *key, sqlite3_stmt *stmt, int column)
{
    switch (rad_db_column_type(stmt, column)) {
    case RAD_DB_INTEGER:
        rad_out_int(out, key, rad_db_column_int(stmt, column));
        break;
    case RAD_DB_REAL:
        rad_out_real(out, key, rad_db_column_real(stmt, column));
        break;
    case RAD_DB_TEXT:
        rad_out_text(out, key, rad_db_column_text(stmt, column));
        break;
    case RAD_DB_BLOB:
        put_blob(out, key, stmt, column);
        break;
    case RAD_DB_NULL:
        rad_out_null(out, key);
        break;
    }
}

/* A key per column: a name that came before gets its number behind it, as JSON keys are unique. */
static void column_key(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const char *name = rad_db_column_name(stmt, column);
    bool seen = false;
    for (int i = 0; i < column; i++)
        seen = seen || strcmp(rad_db_column_name(stmt, i), name) == 0;
    snprintf(out, size, seen ? "%s:%d" : "%s", name, column + 1);
}

static enum rad_status put_rows(rad_db *db, sqlite3_stmt *stmt, rad_out *out, struct rad_err *err)
{
    enum { KEY_MAX = 256 };
    const int n = rad_db_column_count(stmt);
    char(*key)[KEY_MAX] = calloc((size_t)n + 1, sizeof *key);
    bool row = false;
    if (key == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        column_key(stmt, i, key[i], sizeof key[i]);
        rad_out_column(out, key[i]);
    }
    enum rad_status status;
    while ((status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row) {
        rad_out_begin_row(out);
        for (int i = 0; i < n; i++)
            put_cell(out, key[i], stmt, i);
        rad_out_end_row(out);
    }
    free(key);
    return status;
}

static enum rad_status ask(const struct options *o, rad_db *db, struct rad_err *err)
{
    char view[128];
    const char *sql = o->sql;
    sqlite3_stmt *stmt = NULL;
    rad_out *out = NULL;
    if (strcmp(sql, "@") == 0) {
        sql = rad_store_views_sql(db);
    } else if (sql[0] == '@') {
        RAD_TRY(view_sql(db, sql + 1, view, err));
        sql = view;
    }
    RAD_TRY(rad_db_prepare(db, &stmt, sql, err));
    rad_out_open(&out, o->common.format, stdout);
    const enum rad_status status = put_rows(db, stmt, out, err);
    rad_db_finalize(stmt);
    if (status != RAD_OK) {
        rad_out_abandon(out);
        return status;
    }
    return rad_out_close(out, false, err);
}

static int run(int argc, char *argv[])
{
    struct options o = {0};
    struct rad_err err = {RAD_OK, ""};
    rad_db *db = NULL;
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    enum rad_status status = rad_store_read(&db, o.db, &err);
    if (status == RAD_OK)
        status = ask(&o, db, &err);
    rad_db_close(db);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("query", &err);
}

const struct rad_command rad_command_query = {
    .name = "query",
    .summary = "ask a results database or a trace in SQL, read-only",
    .run = run,
};
