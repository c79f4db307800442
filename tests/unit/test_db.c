/* test_db.c - files that are ours and those that are not, and what a kill leaves of them. */
#include "base/io.h"
#include "db/db.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIR_NAME "build/tmp/db"
#define PATH DIR_NAME "/t.db"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct rad_db_format format = {
    .application_id = 0x52414458,
    .user_version = 3,
    .name = "test file",
    .schema_sql = "CREATE TABLE t (a INTEGER NOT NULL, b REAL, c TEXT, d BLOB) STRICT;"
                  "CREATE TABLE u (a INTEGER PRIMARY KEY, b INTEGER REFERENCES u(a)) STRICT;",
};

static void clear(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    OK(rad_dir_make(DIR_NAME, &err));
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        char name[200];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static rad_db *create(const char *path)
{
    rad_db *db = NULL;
    clear(path);
    OK(rad_db_open(&db, path, RAD_DB_CREATE, &format, &err));
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

static void refused(const char *path, enum rad_db_mode mode, enum rad_status status,
                    const char *message)
{
    rad_db *db = NULL;
    CU_ASSERT_EQUAL(rad_db_open(&db, path, mode, &format, &err), status);
    CU_ASSERT_STRING_EQUAL(err.msg, message);
    CU_ASSERT_PTR_NULL(db);
    rad_db_close(db);
}

/* ---- opening --------------------------------------------------------------------------- */

static void files_are_made_and_found_again(void)
{
    rad_db *db = create(PATH);
    CU_ASSERT_EQUAL(ask(db, "PRAGMA application_id"), format.application_id);
    CU_ASSERT_EQUAL(ask(db, "PRAGMA user_version"), 3);
    CU_ASSERT_EQUAL(ask(db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err));
    rad_db_close(db);
    OK(rad_db_open(&db, PATH, RAD_DB_CREATE, &format, &err)); /* keeps what is there */
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (2)", &err));
    rad_db_close(db);
    OK(rad_db_open(&db, PATH, RAD_DB_WRITE, &format, &err));
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (3)", &err));
    rad_db_close(db);
    OK(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 3);
    CU_ASSERT_STRING_EQUAL(rad_db_path(db), PATH);
    rad_db_close(db);
    OK(rad_db_open(&db, PATH, RAD_DB_REPLACE, &format, &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 0);
    rad_db_close(db);
    rad_db_close(NULL);
}

static void absent_and_foreign_files_are_refused(void)
{
    clear(PATH);
    refused(PATH, RAD_DB_READ, RAD_E_IO,
            "cannot open 'build/tmp/db/t.db': No such file or directory");
    refused(PATH, RAD_DB_WRITE, RAD_E_IO,
            "cannot open 'build/tmp/db/t.db': No such file or directory");
    CU_ASSERT(!exists(PATH));
    refused(DIR_NAME, RAD_DB_CREATE, RAD_E_IO,
            "'build/tmp/db': expected a test file but found a folder");
    write_file(PATH, "");
    refused(PATH, RAD_DB_READ, RAD_E_PARSE,
            "'build/tmp/db/t.db': expected a test file but found an empty file");
    write_file(PATH, "a letter, and no database at all");
    for (enum rad_db_mode mode = RAD_DB_READ; mode <= RAD_DB_REPLACE; mode++)
        refused(PATH, mode, RAD_E_PARSE,
                "'build/tmp/db/t.db': expected a test file but found a file that is no SQLite "
                "database");
    char *text = NULL;
    OK(rad_file_read(PATH, 100, &text, NULL, &err));
    CU_ASSERT_STRING_EQUAL(text, "a letter, and no database at all");
    free(text);
}

static void make_other(int32_t application_id, int32_t version)
{
    struct rad_db_format other = format;
    rad_db *db = NULL;
    other.application_id = application_id;
    other.user_version = version;
    clear(PATH);
    OK(rad_db_open(&db, PATH, RAD_DB_CREATE, &other, &err));
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (7)", &err));
    OK(rad_db_seal(db, &err));
    rad_db_close(db);
}

/* Another program's database: refused in every mode, and not a byte of it changes. */
static void other_databases_are_left_alone(void)
{
    char *before = NULL, *after = NULL;
    size_t n_before = 0, n_after = 0;
    make_other(77, 3);
    OK(rad_file_read(PATH, 1 << 20, &before, &n_before, &err));
    for (enum rad_db_mode mode = RAD_DB_READ; mode <= RAD_DB_CREATE; mode++)
        refused(PATH, mode, RAD_E_PARSE,
                "'build/tmp/db/t.db': expected a test file but found another kind of SQLite "
                "database (application_id 77)");
    refused(PATH, RAD_DB_REPLACE, RAD_E_PARSE,
            "'build/tmp/db/t.db' is another kind of SQLite database and is not replaced by a test "
            "file; remove it, or choose another name");
    OK(rad_file_read(PATH, 1 << 20, &after, &n_after, &err));
    CU_ASSERT(n_before == n_after && memcmp(before, after, n_before) == 0);
    free(before);
    free(after);
}

static void other_versions_are_refused_or_replaced(void)
{
    rad_db *db = NULL;
    make_other(format.application_id, 4);
    for (enum rad_db_mode mode = RAD_DB_READ; mode <= RAD_DB_CREATE; mode++)
        refused(PATH, mode, RAD_E_PARSE,
                "'build/tmp/db/t.db': expected version 3 of the test file format but found version "
                "4; use the radial that wrote it, or write it anew");
    OK(rad_db_open(&db, PATH, RAD_DB_REPLACE, &format, &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 0);
    rad_db_close(db);
}

/* A schema that fails half way leaves no file behind. */
static void failed_creation_leaves_nothing(void)
{
    struct rad_db_format broken = format;
    rad_db *db = NULL;
    broken.schema_sql = "CREATE TABLE t (a INTEGER) STRICT; CREATE TABLE t (b INTEGER);";
    clear(PATH);
    CU_ASSERT_EQUAL(rad_db_open(&db, PATH, RAD_DB_CREATE, &broken, &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg, "'build/tmp/db/t.db': SQL failed: table t already exists");
    CU_ASSERT(db == NULL && !exists(PATH) && !exists(PATH "-wal") && !exists(PATH "-shm"));
    CU_ASSERT_EQUAL(rad_db_open(&db, DIR_NAME "/no/t.db", RAD_DB_CREATE, &format, &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg, "'build/tmp/db/no/t.db': cannot open: unable to open database "
                                    "file");
}

/* Names that mean something else to SQLite are file names here. */
static void special_names_are_files(void)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "a%20b#c.db"};
    char old[RAD_PATH_MAX];
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(old, sizeof old));
    OK(rad_dir_make(DIR_NAME, &err));
    CU_ASSERT_EQUAL_FATAL(chdir(DIR_NAME), 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        rad_db *db = NULL;
        unlink(names[i]);
        CU_ASSERT_EQUAL(rad_db_open(&db, names[i], RAD_DB_CREATE, &format, &err), RAD_OK);
        rad_db_close(db);
        CU_ASSERT(exists(names[i]));
        unlink(names[i]);
    }
    CU_ASSERT_EQUAL_FATAL(chdir(old), 0);
}

static void damaged_files_are_refused(void)
{
    char *data = NULL;
    size_t len = 0;
    rad_db *db = create(PATH);
    OK(rad_db_seal(db, &err));
    rad_db_close(db);
    OK(rad_file_read(PATH, 1 << 20, &data, &len, &err));
    memset(data + 100, 0xff, 200); /* the root page of the schema */
    OK(rad_file_write(PATH, data, len, &err));
    free(data);
    CU_ASSERT_EQUAL(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err), RAD_E_DB);
    CU_ASSERT_PTR_NULL(db);
    CU_ASSERT(strncmp(err.msg, "'build/tmp/db/t.db': ", 21) == 0);
}

/* ---- writing --------------------------------------------------------------------------- */

static void readers_cannot_write(void)
{
    rad_db *db = create(PATH);
    rad_db_close(db);
    OK(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err));
    CU_ASSERT_EQUAL(rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err), RAD_E_DB);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "'build/tmp/db/t.db': SQL failed: attempt to write a readonly database");
    CU_ASSERT_EQUAL(rad_db_exec(db, "ATTACH 'build/tmp/db/other.db' AS o", &err), RAD_E_DB);
    CU_ASSERT_EQUAL(rad_db_exec(db, "VACUUM INTO 'build/tmp/db/other.db'", &err), RAD_E_DB);
    CU_ASSERT(!exists(DIR_NAME "/other.db"));
    OK(rad_db_begin(db, &err));
    OK(rad_db_commit(db, &err));
    rad_db_close(db);
}

static void transactions_commit_and_roll_back(void)
{
    rad_db *db = create(PATH);
    OK(rad_db_begin(db, &err));
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err));
    OK(rad_db_rollback(db, &err));
    OK(rad_db_rollback(db, &err)); /* none open: fine */
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 0);
    OK(rad_db_begin(db, &err));
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err));
    OK(rad_db_commit(db, &err));
    OK(rad_db_begin(db, &err));
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (2)", &err));
    rad_db_close(db); /* rolls back */
    OK(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), 1);
    rad_db_close(db);
}

/* kill -9 between commits: what was committed is there, the rest is not. */
static void killed_writers_leave_what_they_committed(void)
{
    rad_db *db = NULL;
    clear(PATH);
    const pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        if (rad_db_open(&db, PATH, RAD_DB_CREATE, &format, NULL) == RAD_OK &&
            rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", NULL) == RAD_OK &&
            rad_db_begin(db, NULL) == RAD_OK &&
            rad_db_exec(db, "INSERT INTO t (a) VALUES (2)", NULL) == RAD_OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int how = 0;
    CU_ASSERT_EQUAL(waitpid(child, &how, 0), child);
    CU_ASSERT_FATAL(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    OK(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err));
    CU_ASSERT_EQUAL(ask(db, "SELECT sum(a) FROM t"), 1);
    rad_db_close(db);
}

/* Adds a row once the other end of the pipe is closed; exits with 0 if that went well. */
static pid_t start_writer(const int gate[2])
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    char end;
    rad_db *db = NULL;
    close(gate[1]);
    const bool ok = read(gate[0], &end, 1) == 0 &&
                    rad_db_open(&db, PATH, RAD_DB_CREATE, &format, &err) == RAD_OK &&
                    rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err) == RAD_OK;
    rad_db_close(db);
    _exit(!ok);
}

/* Several processes make the same file at the same time: no row is lost. */
static void one_file_of_many_makers(void)
{
    enum { N_ROUND = 10, N_WRITER = 6 };
    for (int round = 0; round < N_ROUND; round++) {
        int gate[2], how = 0, bad = 0;
        rad_db *db = NULL;
        clear(PATH);
        CU_ASSERT_FATAL(pipe(gate) == 0);
        for (int i = 0; i < N_WRITER; i++)
            CU_ASSERT_FATAL(start_writer(gate) > 0);
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < N_WRITER; i++)
            bad += wait(&how) < 0 || how != 0;
        CU_ASSERT_EQUAL(bad, 0);
        OK(rad_db_open(&db, PATH, RAD_DB_READ, &format, &err));
        CU_ASSERT_EQUAL(ask(db, "SELECT count(*) FROM t"), N_WRITER);
        rad_db_close(db);
    }
}

/* One plain file: no WAL beside it, and a copy of it alone is complete. */
static void sealed_files_stand_alone(void)
{
    rad_db *db = create(PATH), *reader = NULL;
    OK(rad_db_exec(db, "INSERT INTO t (a) VALUES (1)", &err));
    OK(rad_db_open(&reader, PATH, RAD_DB_READ, &format, &err));
    OK(rad_db_seal(db, &err)); /* a reader is no reason to fail */
    CU_ASSERT_EQUAL(ask(reader, "SELECT count(*) FROM t"), 1);
    rad_db_close(reader);
    OK(rad_db_seal(db, &err));
    CU_ASSERT(!exists(PATH "-wal"));
    CU_ASSERT_EQUAL(ask(db, "SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
    OK(rad_db_open(&reader, PATH, RAD_DB_READ, &format, &err));
    CU_ASSERT_EQUAL(ask(reader, "SELECT count(*) FROM t"), 1);
    rad_db_close(reader);
    rad_db_close(db);
}

CU_TestInfo db_tests[] = {
    {"files are made and found again", files_are_made_and_found_again},
    {"absent and foreign files are refused", absent_and_foreign_files_are_refused},
    {"other databases are left alone", other_databases_are_left_alone},
    {"other versions are refused or replaced", other_versions_are_refused_or_replaced},
    {"failed creation leaves nothing", failed_creation_leaves_nothing},
    {"special names are files", special_names_are_files},
    {"damaged files are refused", damaged_files_are_refused},
    {"readers cannot write", readers_cannot_write},
    {"transactions commit and roll back", transactions_commit_and_roll_back},
    {"killed writers leave what they committed", killed_writers_leave_what_they_committed},
    {"one file of many makers", one_file_of_many_makers},
    {"sealed files stand alone", sealed_files_stand_alone},
    CU_TEST_INFO_NULL,
};
