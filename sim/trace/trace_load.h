/* trace_load.h - a trace being read: where we are, and values of a row checked for their type.
 *
 * Messages name table, row and column. SQLite converts between types when asked for the wrong one,
 * and a hostile file need not keep to STRICT: so every getter looks at the type first. */
#ifndef RAD_TRACE_LOAD_H
#define RAD_TRACE_LOAD_H

#include "trace/trace_build.h"

struct rad_trace_declared { /* a row of table sequence */
    int64_t id, n_token;    /* n_token -1: NULL */
};

struct rad_trace_load {
    const char *path;
    rad_db *db;
    rad_trace *t;
    struct rad_err *err;
    const char *table;         /* being read */
    int64_t row_id, row_pos;   /* its key: id or seq, and pos if not -1 */
    int64_t bytes_left;        /* of blobs that the file can hold */
    struct rad_hop_rec *hop;   /* [max_hop] of the current token */
    struct rad_hop_stat *stat; /* [max_hop] */
    int32_t max_hop;
    struct rad_trace_declared *seq; /* [n_seq] by id */
    int64_t n_seq, at_seq;          /* at_seq: of the current token, -1 before the first */
    struct rad_trace_seq now;       /* what was read of that sequence */
};

/* Begin a table, and a row of it by its key in columns `id` and, unless -1, `pos`. */
void rad_trace_at_row(struct rad_trace_load *ld, const char *table, int64_t id, int64_t pos);

/* Record "t.db: table token, row seq=3 pos=7, column path: message" and return RAD_E_PARSE. */
enum rad_status rad_trace_bad(const struct rad_trace_load *ld, const char *column, const char *fmt,
                              ...) RAD_PRINTF(3, 4);
enum rad_status rad_trace_load_no_memory(const struct rad_trace_load *ld);

/* Column i of the current row. int: 0..max. real: NaN for NULL, else |x| <= max. text: one line of
 * printable UTF-8, at most max bytes, until the next step. */
enum rad_status rad_trace_need(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                               enum rad_db_type type);
enum rad_status rad_trace_get_int(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                  int64_t max, int64_t *out);
enum rad_status rad_trace_get_real(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                   double max, double *out);
enum rad_status rad_trace_get_text(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                   size_t max, const char **out);
enum rad_status rad_trace_get_phase(const struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                    enum rad_phase *out);

/* Step through all rows of a statement. */
typedef enum rad_status (*rad_trace_row_reader)(struct rad_trace_load *ld, sqlite3_stmt *stmt);
enum rad_status rad_trace_read_rows(struct rad_trace_load *ld, const char *sql,
                                    rad_trace_row_reader read);

/* All rows of table token into ld->t, by sequence and position. */
enum rad_status rad_trace_read_tokens(struct rad_trace_load *ld);

#endif
