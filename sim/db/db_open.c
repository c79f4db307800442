/* db_open.c - opening, checking, making and sealing files.
 *
 * Nothing is written to a file before it is known to be ours or empty. The journal mode is part of
 * the file, so even setting WAL comes after the check. */
#include "db/db_impl.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_MS = 10000, RETRY_MS = 10, LENGTH_LIMIT = 256 << 20 };

static const char magic[16] = "SQLite format 3";

/* ---- what is on the disk --------------------------------------------------------------- */

struct disk {
    bool exists, empty;
};

/* Look at a file before SQLite does: its messages do not tell absent from unreadable. */
static enum rad_status look(const char *path, const struct rad_db_format *format, struct disk *out,
                            struct rad_err *err)
{
    struct stat st;
    char head[sizeof magic];
    *out = (struct disk){0};
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            return RAD_OK;
        return rad_fail(err, RAD_E_IO, "cannot open '%s': %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode))
        return rad_fail(err, RAD_E_IO, "'%s': expected a %s but found a %s", path, format->name,
                        S_ISDIR(st.st_mode) ? "folder" : "pipe, socket or device");
    *out = (struct disk){.exists = true, .empty = st.st_size == 0};
    if (out->empty)
        return RAD_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rad_fail(err, RAD_E_IO, "cannot open '%s': %s", path, strerror(errno));
    const ssize_t n = read(fd, head, sizeof head);
    close(fd);
    if (n != (ssize_t)sizeof head || memcmp(head, magic, sizeof head) != 0)
        return rad_fail(err, RAD_E_PARSE,
                        "'%s': expected a %s but found a file that is no SQLite database", path,
                        format->name);
    return RAD_OK;
}

/* Make an empty file, unless there is one by now. */
static bool claim(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd >= 0 && close(fd) == 0;
}

static bool is_empty(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size == 0;
}

static bool has_wal(const char *path)
{
    char wal[RAD_PATH_MAX];
    struct stat st;
    const int n = snprintf(wal, sizeof wal, "%s-wal", path);
    return n < 0 || (size_t)n >= sizeof wal || (stat(wal, &st) == 0 && st.st_size > 0);
}

/* The journals go first: one left behind would be played into the next file of that name. */
static enum rad_status remove_file(const char *path, struct rad_err *err)
{
    static const char *const suffixes[] = {"-wal", "-journal", "-shm", ""};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[RAD_PATH_MAX];
        const int n = snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (n < 0 || (size_t)n >= sizeof name)
            return rad_fail(err, RAD_E_IO, "'%.60s...': the path is too long", path);
        if (unlink(name) != 0 && errno != ENOENT)
            return rad_fail(err, RAD_E_IO, "cannot replace '%s': %s", path, strerror(errno));
    }
    return RAD_OK;
}

/* ---- connections ----------------------------------------------------------------------- */

/* A name for SQLite: "./" keeps "file:..." and ":memory:" plain names; as_uri is for options. */
static bool sqlite_name(const char *path, bool immutable, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t n =
        (size_t)snprintf(out, size, "%s%s", immutable ? "file:" : "", path[0] == '/' ? "" : "./");
    for (const char *c = path; *c != '\0' && n + 4 < size; c++) {
        if (immutable && strchr("%?#", *c) != NULL) {
            out[n++] = '%';
            out[n++] = hex[(unsigned char)*c >> 4];
            out[n++] = hex[*c & 15];
        } else {
            out[n++] = *c;
        }
    }
    if (n + sizeof "?immutable=1" > size)
        return false;
    strcpy(out + n, immutable ? "?immutable=1" : "");
    return true;
}

static enum rad_status connect(rad_db *db, enum rad_db_mode mode, bool immutable,
                               struct rad_err *err)
{
    char name[RAD_PATH_MAX];
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    flags |= mode == RAD_DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= mode == RAD_DB_CREATE || mode == RAD_DB_REPLACE ? SQLITE_OPEN_CREATE : 0;
    flags |= immutable ? SQLITE_OPEN_URI : 0;
    if (!sqlite_name(db->path, immutable, name, sizeof name))
        return rad_fail(err, RAD_E_IO, "'%.60s...': the path is too long", db->path);
    if (sqlite3_open_v2(name, &db->handle, flags, NULL) != SQLITE_OK)
        return rad_db_fail(db, err, "cannot open");
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, LENGTH_LIMIT);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    if (mode == RAD_DB_READ) /* ATTACH and VACUUM INTO could write elsewhere */
        sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
    return rad_db_exec(db, "PRAGMA cell_size_check = ON", err);
}

static void disconnect(rad_db *db)
{
    sqlite3_close(db->handle);
    db->handle = NULL;
}

/* ---- is it ours? ----------------------------------------------------------------------- */

struct identity {
    int64_t application_id, user_version, n_object;
};

/* In one statement, so that a file that another process is making is blank or whole. */
static enum rad_status read_identity(rad_db *db, struct identity *out, struct rad_err *err)
{
    static const char sql[] = "SELECT application_id, user_version, (SELECT count(*) FROM "
                              "sqlite_schema) FROM pragma_application_id, pragma_user_version";
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    RAD_TRY(rad_db_prepare(db, &stmt, sql, err));
    const enum rad_status status = rad_db_step(db, stmt, &row, err);
    if (status == RAD_OK && row)
        *out = (struct identity){rad_db_column_int(stmt, 0), rad_db_column_int(stmt, 1),
                                 rad_db_column_int(stmt, 2)};
    rad_db_finalize(stmt);
    return status;
}

static bool is_blank(const struct identity *id)
{
    return id->application_id == 0 && id->user_version == 0 && id->n_object == 0;
}

static enum rad_status check_identity(const rad_db *db, const struct identity *id,
                                      struct rad_err *err)
{
    const struct rad_db_format *f = db->format;
    if (is_blank(id))
        return rad_fail(err, RAD_E_PARSE, "'%s': expected a %s but found an empty database",
                        db->path, f->name);
    if (id->application_id != f->application_id)
        return rad_fail(err, RAD_E_PARSE,
                        "'%s': expected a %s but found another kind of SQLite database "
                        "(application_id %lld)",
                        db->path, f->name, (long long)id->application_id);
    if (id->user_version != f->user_version)
        return rad_fail(err, RAD_E_PARSE,
                        "'%s': expected version %d of the %s format but found version %lld; use "
                        "the radial that wrote it, or write it anew",
                        db->path, (int)f->user_version, f->name, (long long)id->user_version);
    return RAD_OK;
}

/* ---- the four modes -------------------------------------------------------------------- */

/* A file in WAL mode needs a shared-memory file beside it, which a read-only folder cannot have.
 * Without a WAL there is nothing to share, and SQLite may take the file as immutable. */
static enum rad_status open_read(rad_db *db, struct identity *id, struct rad_err *err)
{
    RAD_TRY(connect(db, RAD_DB_READ, false, err));
    const enum rad_status status = read_identity(db, id, err);
    const int code = sqlite3_extended_errcode(db->handle);
    const bool folder = (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY;
    if (status == RAD_OK || !folder)
        return status;
    if (has_wal(db->path))
        return rad_fail(err, RAD_E_IO,
                        "'%s': its last writes are in '%s-wal', which cannot be read in a "
                        "read-only folder; copy both files elsewhere",
                        db->path, db->path);
    disconnect(db);
    RAD_TRY(connect(db, RAD_DB_READ, true, err));
    return read_identity(db, id, err);
}

/* Schema and identity in one transaction: a killed run leaves an empty file or a whole one. */
static enum rad_status make_schema(rad_db *db, struct rad_err *err)
{
    char identity[128];
    struct identity id = {0};
    RAD_TRY(rad_db_begin(db, err));
    RAD_TRY(read_identity(db, &id, err));
    if (!is_blank(&id)) { /* another process was faster */
        RAD_TRY(rad_db_rollback(db, err));
        return check_identity(db, &id, err);
    }
    snprintf(identity, sizeof identity, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             (int)db->format->application_id, (int)db->format->user_version);
    RAD_TRY(rad_db_exec(db, db->format->schema_sql, err));
    RAD_TRY(rad_db_exec(db, identity, err));
    return rad_db_commit(db, err);
}

/* SQLite does not wait for others when it changes the mode. */
static enum rad_status set_wal(rad_db *db, struct rad_err *err)
{
    for (int waited = 0;; waited += RETRY_MS) {
        const enum rad_status status =
            rad_db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", err);
        if (status == RAD_OK || (sqlite3_errcode(db->handle) & 0xff) != SQLITE_BUSY ||
            waited >= BUSY_MS)
            return status;
        sqlite3_sleep(RETRY_MS);
    }
}

static enum rad_status open_write(rad_db *db, enum rad_db_mode mode, struct rad_err *err)
{
    struct identity id = {0};
    RAD_TRY(connect(db, mode, false, err));
    RAD_TRY(read_identity(db, &id, err));
    const bool blank = is_blank(&id) && mode != RAD_DB_WRITE;
    if (!blank)
        RAD_TRY(check_identity(db, &id, err));
    if (blank)
        RAD_TRY(make_schema(db, err));
    return set_wal(db, err);
}

/* Any version of our format may be replaced, but nothing else. */
static enum rad_status remove_old(rad_db *db, const struct disk *disk, struct rad_err *err)
{
    struct identity id = {0};
    if (!disk->exists || disk->empty)
        return remove_file(db->path, err);
    RAD_TRY(open_read(db, &id, err));
    disconnect(db);
    if (!is_blank(&id) && id.application_id != db->format->application_id)
        return rad_fail(err, RAD_E_PARSE,
                        "'%s' is another kind of SQLite database and is not replaced by a %s; "
                        "remove it, or choose another name",
                        db->path, db->format->name);
    return remove_file(db->path, err);
}

static enum rad_status open_mode(rad_db *db, enum rad_db_mode mode, struct rad_err *err)
{
    struct disk disk;
    struct identity id = {0};
    RAD_TRY(look(db->path, db->format, &disk, err));
    if (mode == RAD_DB_READ || mode == RAD_DB_WRITE) {
        if (!disk.exists)
            return rad_fail(err, RAD_E_IO, "cannot open '%s': %s", db->path, strerror(ENOENT));
        if (disk.empty)
            return rad_fail(err, RAD_E_PARSE, "'%s': expected a %s but found an empty file",
                            db->path, db->format->name);
    }
    if (mode == RAD_DB_READ) {
        RAD_TRY(open_read(db, &id, err));
        return check_identity(db, &id, err);
    }
    if (mode == RAD_DB_REPLACE)
        RAD_TRY(remove_old(db, &disk, err));
    const bool ours = mode == RAD_DB_REPLACE || (!disk.exists && claim(db->path));
    const enum rad_status status = open_write(db, mode, err);
    if (status != RAD_OK && ours) {
        disconnect(db);
        if (mode == RAD_DB_REPLACE || is_empty(db->path)) /* not what another process put there */
            (void)remove_file(db->path, NULL);            /* err says what went wrong first */
    }
    return status;
}

enum rad_status rad_db_open(rad_db **out, const char *path, enum rad_db_mode mode,
                            const struct rad_db_format *format, struct rad_err *err)
{
    *out = NULL;
    rad_db *db = calloc(1, sizeof *db);
    if (db == NULL || (db->path = malloc(strlen(path) + 1)) == NULL) {
        free(db);
        return rad_fail(err, RAD_E_NOMEM, "no memory to open '%s'", path);
    }
    strcpy(db->path, path);
    db->format = format;
    db->writes = mode != RAD_DB_READ;
    const enum rad_status status = open_mode(db, mode, err);
    if (status == RAD_OK)
        *out = db;
    else
        rad_db_close(db);
    return status;
}

void rad_db_close(rad_db *db)
{
    if (db == NULL)
        return;
    sqlite3_stmt *stmt = NULL;
    while (db->handle != NULL && (stmt = sqlite3_next_stmt(db->handle, NULL)) != NULL)
        sqlite3_finalize(stmt);
    disconnect(db);
    free(db->path);
    free(db);
}

enum rad_status rad_db_seal(rad_db *db, struct rad_err *err)
{
    RAD_TRY(rad_db_exec(db, "PRAGMA synchronous = FULL", err));
    /* Without waiting: a reader may stay for long. */
    sqlite3_busy_timeout(db->handle, 0);
    enum rad_status status = rad_db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    if (status == RAD_OK)
        status = rad_db_exec(db, "PRAGMA journal_mode = DELETE", err);
    const int code = sqlite3_errcode(db->handle) & 0xff;
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return code == SQLITE_BUSY || code == SQLITE_LOCKED ? RAD_OK : status;
}
