/* store_read.c - opening a database for questions, and the list of its views. */
#include "store/schema.h"

/* A trace may be asked too: its format is known by its two numbers. */
static const struct rad_db_format trace_format = {
    .application_id = RAD_TRACE_APPLICATION_ID,
    .user_version = RAD_TRACE_VERSION,
    .name = "trace",
    .schema_sql = "",
};

static enum rad_status open_with(rad_db **out, const char *path, const struct rad_db_format *format,
                                 struct rad_err *err)
{
    RAD_TRY(rad_db_open(out, path, RAD_DB_READ, format, err));
    enum rad_status status = rad_db_exec(*out, "PRAGMA query_only = ON", err);
    if (status == RAD_OK)
        status = rad_store_functions(*out, err);
    if (status != RAD_OK) {
        rad_db_close(*out);
        *out = NULL;
    }
    return status;
}

enum rad_status rad_store_read(rad_db **out, const char *path, struct rad_err *err)
{
    const enum rad_status status = open_with(out, path, &rad_store_format_base, err);
    if (status == RAD_OK || open_with(out, path, &trace_format, NULL) == RAD_OK)
        return RAD_OK;
    return status;
}

enum rad_status rad_store_read_results(rad_db **out, const char *path, struct rad_err *err)
{
    return open_with(out, path, &rad_store_format_base, err);
}

bool rad_store_is_trace(rad_db *db)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false, trace = false;
    if (rad_db_prepare(db, &stmt, "PRAGMA application_id", NULL) == RAD_OK &&
        rad_db_step(db, stmt, &row, NULL) == RAD_OK && row)
        trace = rad_db_column_int(stmt, 0) == RAD_TRACE_APPLICATION_ID;
    rad_db_finalize(stmt);
    return trace;
}

const char *rad_store_views_sql(rad_db *db)
{
    return rad_store_is_trace(db) ? "SELECT name AS view, (SELECT group_concat(c.name, ' ') FROM"
                                    " pragma_table_info(v.name) AS c) AS doc"
                                    " FROM sqlite_schema AS v WHERE type = 'view' ORDER BY rowid"
                                  : "SELECT view_name AS view, doc FROM view_doc ORDER BY rowid";
}
