/* schema.h - private to store: the tables and views as data. */
#ifndef RAD_STORE_SCHEMA_H
#define RAD_STORE_SCHEMA_H

#include "base/buf.h"
#include "store/store.h"

struct rad_column {
    const char *table, *name, *type, *doc; /* type: with its constraints */
};

/* Columns in order of creation; the metrics of replay follow those of table result. */
const struct rad_column *rad_store_columns(size_t *n);

/* The SQL that makes the database, column_doc and view_doc filled. */
void rad_store_schema(struct rad_buf *sql);

struct rad_view {
    const char *name, *doc, *sql; /* sql: the SELECT */
};
const struct rad_view *rad_store_view_rows(size_t *n);

/* The SELECT of view results, built from the tables. */
void rad_store_results_sql(struct rad_buf *sql);

extern const struct rad_db_format rad_store_format_base; /* without schema_sql */

/* The window function pareto_rank on a connection. */
RAD_MUST_CHECK enum rad_status rad_pareto_rank_register(rad_db *db, struct rad_err *err);

#endif
