/* db.h - the one way to SQLite: opening files that are ours, statements, transactions, errors.
 *
 * Other folders do not include sqlite3.h; its types are opaque to them, and all that they need is
 * here. One connection belongs to one thread at a time. Values are always bound, never pasted
 * into SQL. */
#ifndef RAD_DB_H
#define RAD_DB_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct rad_db rad_db;

enum rad_db_mode {
    RAD_DB_READ,    /* an existing file of this format; nothing can write through it */
    RAD_DB_WRITE,   /* an existing file of this format, opened for writing */
    RAD_DB_CREATE,  /* the same; made with its schema if it is absent or empty */
    RAD_DB_REPLACE, /* a new file; an existing one of this format (any version) is removed */
};

/* What makes a file ours. All strings outlive the connection. */
struct rad_db_format {
    int32_t application_id; /* PRAGMA application_id */
    int32_t user_version;   /* PRAGMA user_version: version of the format */
    const char *name;       /* in messages: "trace", "results database" */
    const char *schema_sql; /* run once, in one transaction, when a file is made */
};

/* Open a file; *out is NULL on failure, and a file that is not ours is left as it was. Writing
 * uses WAL with synchronous=NORMAL (survives kill -9); waits up to 10 s for a locked file; foreign
 * keys are enforced. Reading treats the schema as hostile (DEFENSIVE, trusted_schema off, no
 * ATTACH) and also works in a folder where nothing can be written.
 * errors: RAD_E_IO (absent, no permission), RAD_E_PARSE (not SQLite, not ours, another version),
 *         RAD_E_DB (SQLite refused), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_db_open(rad_db **out, const char *path, enum rad_db_mode mode,
                                           const struct rad_db_format *format, struct rad_err *err);

/* Roll back what is open and close. Statements left are finalized. Accepts NULL. */
void rad_db_close(rad_db *db);

/* Make a written file self-contained: everything moved from the WAL into the file, synced, and the
 * journal mode set back to DELETE, so that it can be copied, and read from a read-only folder. For
 * a finished file; call outside a transaction. While another process reads the file it stays in
 * WAL mode, which is no error. errors: RAD_E_DB */
RAD_MUST_CHECK enum rad_status rad_db_seal(rad_db *db, struct rad_err *err);

sqlite3 *rad_db_handle(rad_db *db);
const char *rad_db_path(const rad_db *db);

/* Run statements that return no rows. */
RAD_MUST_CHECK enum rad_status rad_db_exec(rad_db *db, const char *sql, struct rad_err *err);

/* Transactions: begin takes the write lock at once if db may write. rollback without one is fine.
 */
RAD_MUST_CHECK enum rad_status rad_db_begin(rad_db *db, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_db_commit(rad_db *db, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_db_rollback(rad_db *db, struct rad_err *err);

/* Compile one statement; text after it other than blanks and comments is an error. */
RAD_MUST_CHECK enum rad_status rad_db_prepare(rad_db *db, sqlite3_stmt **out, const char *sql,
                                              struct rad_err *err);

/* One step: *row says whether there is a row to read; after the last one (or a failure) the
 * statement is reset, and its bindings stay. row may be NULL if none is expected. */
RAD_MUST_CHECK enum rad_status rad_db_step(rad_db *db, sqlite3_stmt *stmt, bool *row,
                                           struct rad_err *err);
void rad_db_reset(sqlite3_stmt *stmt);
void rad_db_finalize(sqlite3_stmt *stmt); /* accepts NULL */

/* Record "path: what: <SQLite's message>" and return RAD_E_DB (RAD_E_NOMEM if memory ran out). */
enum rad_status rad_db_fail(rad_db *db, struct rad_err *err, const char *what);

/* ---- functions for SQL -------------------------------------------------------------------- */

/* NULL arguments make a scalar NULL, and are left out of aggregates; NaN results become NULL. Both
 * may be used in views. The row must outlive the connection. */
struct rad_db_scalar {
    const char *name;
    int n_arg;
    double (*fn)(const double *arg); /* [n_arg] */
};
struct rad_db_aggregate {
    const char *name; /* name(x), or with has_arg name(x, arg) */
    bool has_arg;     /* arg is taken from the last row, NaN if there is none */
    double (*fn)(double *x, size_t n, double arg); /* may reorder x[n]; n may be 0 */
};
RAD_MUST_CHECK enum rad_status rad_db_add_scalar(rad_db *db, const struct rad_db_scalar *f,
                                                 struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_db_add_aggregate(rad_db *db, const struct rad_db_aggregate *f,
                                                    struct rad_err *err);

/* ---- parameters, from 1 ------------------------------------------------------------------- */

/* Data is copied. They may be called without looking at the status: if one fails (no memory), the
 * parameter is set to something that no table accepts, so that the step fails. NaN is bound as
 * NULL, as SQLite has none; NULL text and blobs too. */
enum rad_status rad_db_bind_int(sqlite3_stmt *stmt, int i, int64_t value);
enum rad_status rad_db_bind_real(sqlite3_stmt *stmt, int i, double value);
enum rad_status rad_db_bind_text(sqlite3_stmt *stmt, int i, const char *text);
enum rad_status rad_db_bind_blob(sqlite3_stmt *stmt, int i, const void *data, size_t len);
enum rad_status rad_db_bind_null(sqlite3_stmt *stmt, int i);

/* ---- columns of the current row, from 0 --------------------------------------------------- */

enum rad_db_type { /* the values of SQLite */
                   RAD_DB_INTEGER = 1,
                   RAD_DB_REAL = 2,
                   RAD_DB_TEXT = 3,
                   RAD_DB_BLOB = 4,
                   RAD_DB_NULL = 5,
};

int rad_db_column_count(sqlite3_stmt *stmt);
const char *rad_db_column_name(sqlite3_stmt *stmt, int i); /* never NULL */
enum rad_db_type rad_db_column_type(sqlite3_stmt *stmt, int i);
bool rad_db_column_is_null(sqlite3_stmt *stmt, int i);
int64_t rad_db_column_int(sqlite3_stmt *stmt, int i);
double rad_db_column_real(sqlite3_stmt *stmt, int i);      /* NaN for NULL */
const char *rad_db_column_text(sqlite3_stmt *stmt, int i); /* "" for NULL; until the next step */
const void *rad_db_column_blob(sqlite3_stmt *stmt, int i); /* NULL if empty; until the next step */
size_t rad_db_column_bytes(sqlite3_stmt *stmt, int i);     /* of text or blob */

#endif
