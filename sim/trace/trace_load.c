/* trace_load.c - checked values of a row. */
#include "trace/trace_load.h"

#include "base/buf.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void rad_trace_at_row(struct rad_trace_load *ld, const char *table, int64_t id, int64_t pos)
{
    ld->table = table;
    ld->row_id = id;
    ld->row_pos = pos;
}

static const char *key_name(const struct rad_trace_load *ld)
{
    return strcmp(ld->table, "run") == 0 || strcmp(ld->table, "sequence") == 0 ? "id" : "seq";
}

enum rad_status rad_trace_bad(const struct rad_trace_load *ld, const char *column, const char *fmt,
                              ...)
{
    char text[320], pos[32] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (ld->row_pos != -1)
        snprintf(pos, sizeof pos, " pos=%lld", (long long)ld->row_pos);
    return rad_fail(ld->err, RAD_E_PARSE, "%s: table %s, row %s=%lld%s, column %s: %s", ld->path,
                    ld->table, key_name(ld), (long long)ld->row_id, pos, column, text);
}

enum rad_status rad_trace_load_no_memory(const struct rad_trace_load *ld)
{
    return rad_fail(ld->err, RAD_E_NOMEM, "%s: out of memory", ld->path);
}

static const char *type_name(enum rad_db_type type)
{
    static const char *const names[] = {"?", "an integer", "a real", "text", "a blob", "NULL"};
    return (unsigned)type < 6 ? names[type] : "?";
}

enum rad_status rad_trace_need(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                               enum rad_db_type type)
{
    const enum rad_db_type found = rad_db_column_type(stmt, i);
    if (found == type)
        return RAD_OK;
    return rad_trace_bad(ld, rad_db_column_name(stmt, i), "expected %s but found %s",
                         type_name(type), type_name(found));
}

enum rad_status rad_trace_get_int(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                  int64_t max, int64_t *out)
{
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_INTEGER));
    *out = rad_db_column_int(stmt, i);
    if (*out >= 0 && *out <= max)
        return RAD_OK;
    return rad_trace_bad(ld, rad_db_column_name(stmt, i), "expected 0 to %lld but found %lld",
                         (long long)max, (long long)*out);
}

/* A number, or NaN for NULL. */
enum rad_status rad_trace_get_real(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                   double max, double *out)
{
    *out = (double)NAN;
    if (rad_db_column_is_null(stmt, i))
        return RAD_OK;
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_REAL));
    *out = rad_db_column_real(stmt, i);
    if (fabs(*out) <= max)
        return RAD_OK;
    return rad_trace_bad(ld, rad_db_column_name(stmt, i),
                         "expected a finite number or NULL but found %g", *out);
}

enum rad_status rad_trace_get_text(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                   size_t max, const char **out)
{
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_TEXT));
    *out = rad_db_column_text(stmt, i);
    const size_t len = rad_db_column_bytes(stmt, i);
    if (len > max)
        return rad_trace_bad(ld, rad_db_column_name(stmt, i),
                             "expected at most %zu bytes but found %zu", max, len);
    if (!rad_trace_text_ok(*out, len))
        return rad_trace_bad(ld, rad_db_column_name(stmt, i),
                             "expected one line of UTF-8 but found other bytes");
    return RAD_OK;
}

enum rad_status rad_trace_get_phase(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                    enum rad_phase *out)
{
    char shown[RAD_SHOW_MAX];
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_TEXT));
    const char *text = rad_db_column_text(stmt, i);
    if (rad_phase_parse(text, out) && strlen(text) == rad_db_column_bytes(stmt, i))
        return RAD_OK;
    return rad_trace_bad(ld, rad_db_column_name(stmt, i),
                         "expected prefill or decode but found '%s'", rad_show(shown, text));
}

enum rad_status rad_trace_read_rows(struct rad_trace_load *ld, const char *sql,
                                    rad_trace_row_reader read)
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    RAD_TRY(rad_db_prepare(ld->db, &stmt, sql, ld->err));
    enum rad_status status = rad_db_step(ld->db, stmt, &row, ld->err);
    while (status == RAD_OK && row) {
        status = read(ld, stmt);
        if (status == RAD_OK)
            status = rad_db_step(ld->db, stmt, &row, ld->err);
    }
    rad_db_finalize(stmt);
    return status;
}
