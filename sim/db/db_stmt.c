/* db_stmt.c - statements, transactions, parameters and columns. */
#include "db/db_impl.h"

#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <string.h>

sqlite3 *rad_db_handle(rad_db *db)
{
    return db->handle;
}

const char *rad_db_path(const rad_db *db)
{
    return db->path;
}

enum rad_status rad_db_fail(rad_db *db, struct rad_err *err, const char *what)
{
    const int code = sqlite3_errcode(db->handle) & 0xff; /* of a NULL handle: out of memory */
    const char *hint = code == SQLITE_BUSY ? "; another process is using it" : "";
    return rad_fail(err, code == SQLITE_NOMEM ? RAD_E_NOMEM : RAD_E_DB, "'%s': %s: %s%s", db->path,
                    what, sqlite3_errmsg(db->handle), hint);
}

enum rad_status rad_db_exec(rad_db *db, const char *sql, struct rad_err *err)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return rad_db_fail(db, err, "SQL failed");
    return RAD_OK;
}

enum rad_status rad_db_begin(rad_db *db, struct rad_err *err)
{
    return rad_db_exec(db, db->writes ? "BEGIN IMMEDIATE" : "BEGIN", err);
}

enum rad_status rad_db_commit(rad_db *db, struct rad_err *err)
{
    return rad_db_exec(db, "COMMIT", err);
}

enum rad_status rad_db_rollback(rad_db *db, struct rad_err *err)
{
    return sqlite3_get_autocommit(db->handle) ? RAD_OK : rad_db_exec(db, "ROLLBACK", err);
}

enum rad_status rad_db_prepare(rad_db *db, sqlite3_stmt **out, const char *sql, struct rad_err *err)
{
    const char *tail = NULL;
    sqlite3_stmt *more = NULL;
    *out = NULL;
    if (sqlite3_prepare_v2(db->handle, sql, -1, out, &tail) != SQLITE_OK)
        return rad_db_fail(db, err, "SQL failed");
    if (*out == NULL)
        return rad_fail(err, RAD_E_DB, "'%s': expected an SQL statement but found none", db->path);
    /* SQLite knows best what a comment is: only blanks and comments compile to nothing. */
    const int code = sqlite3_prepare_v2(db->handle, tail, -1, &more, NULL);
    sqlite3_finalize(more);
    if (code == SQLITE_OK && more == NULL)
        return RAD_OK;
    sqlite3_finalize(*out);
    *out = NULL;
    if ((code & 0xff) == SQLITE_NOMEM)
        return rad_db_fail(db, err, "SQL failed");
    return rad_fail(err, RAD_E_DB, "'%s': expected one SQL statement but found more", db->path);
}

enum rad_status rad_db_step(rad_db *db, sqlite3_stmt *stmt, bool *row, struct rad_err *err)
{
    const int code = sqlite3_step(stmt);
    if (row != NULL)
        *row = code == SQLITE_ROW;
    if (code == SQLITE_ROW && row != NULL)
        return RAD_OK;
    const enum rad_status status =
        code == SQLITE_DONE || code == SQLITE_ROW ? RAD_OK : rad_db_fail(db, err, "SQL failed");
    sqlite3_reset(stmt);
    return status;
}

void rad_db_reset(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
}

void rad_db_finalize(sqlite3_stmt *stmt)
{
    sqlite3_finalize(stmt);
}

/* ---- parameters ------------------------------------------------------------------------ */

/* A failed bind would silently leave NULL. A blob of zeros beyond the length limit needs no memory
 * here and makes the step fail with "string or blob too big". */
static enum rad_status bound(sqlite3_stmt *stmt, int i, int code)
{
    if (code == SQLITE_OK)
        return RAD_OK;
    sqlite3_bind_zeroblob(stmt, i, INT_MAX);
    return code == SQLITE_NOMEM ? RAD_E_NOMEM : RAD_E_DB;
}

enum rad_status rad_db_bind_int(sqlite3_stmt *stmt, int i, int64_t value)
{
    return bound(stmt, i, sqlite3_bind_int64(stmt, i, value));
}

enum rad_status rad_db_bind_real(sqlite3_stmt *stmt, int i, double value)
{
    return bound(stmt, i, sqlite3_bind_double(stmt, i, value));
}

enum rad_status rad_db_bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
    if (text == NULL)
        return rad_db_bind_null(stmt, i);
    return bound(stmt, i,
                 sqlite3_bind_text64(stmt, i, text, strlen(text), SQLITE_TRANSIENT, SQLITE_UTF8));
}

enum rad_status rad_db_bind_blob(sqlite3_stmt *stmt, int i, const void *data, size_t len)
{
    return bound(stmt, i, sqlite3_bind_blob64(stmt, i, data, len, SQLITE_TRANSIENT));
}

enum rad_status rad_db_bind_null(sqlite3_stmt *stmt, int i)
{
    return bound(stmt, i, sqlite3_bind_null(stmt, i));
}

/* ---- columns --------------------------------------------------------------------------- */

int rad_db_column_count(sqlite3_stmt *stmt)
{
    return sqlite3_column_count(stmt);
}

const char *rad_db_column_name(sqlite3_stmt *stmt, int i)
{
    const char *name = sqlite3_column_name(stmt, i);
    return name != NULL ? name : "";
}

enum rad_db_type rad_db_column_type(sqlite3_stmt *stmt, int i)
{
    return (enum rad_db_type)sqlite3_column_type(stmt, i);
}

bool rad_db_column_is_null(sqlite3_stmt *stmt, int i)
{
    return sqlite3_column_type(stmt, i) == SQLITE_NULL;
}

int64_t rad_db_column_int(sqlite3_stmt *stmt, int i)
{
    return sqlite3_column_int64(stmt, i);
}

double rad_db_column_real(sqlite3_stmt *stmt, int i)
{
    return rad_db_column_is_null(stmt, i) ? (double)NAN : sqlite3_column_double(stmt, i);
}

const char *rad_db_column_text(sqlite3_stmt *stmt, int i)
{
    const unsigned char *text = sqlite3_column_text(stmt, i);
    return text != NULL ? (const char *)text : "";
}

const void *rad_db_column_blob(sqlite3_stmt *stmt, int i)
{
    return sqlite3_column_blob(stmt, i);
}

size_t rad_db_column_bytes(sqlite3_stmt *stmt, int i)
{
    const int n = sqlite3_column_bytes(stmt, i);
    return n > 0 ? (size_t)n : 0;
}
