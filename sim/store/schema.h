/* schema.h - private to store: the tables and views as data. */
#ifndef RAD_STORE_SCHEMA_H
#define RAD_STORE_SCHEMA_H

#include "base/buf.h"
#include "store/store.h"

struct rad_column {
    const char *table, *name, *type, *doc; /* type: with its constraints */
};

/* The n columns of a table, which must be there, in order of creation; the metrics of replay follow
 * those of table result. */
const struct rad_column *rad_store_columns(const char *table, size_t *n);

/* The SQL that makes the database, column_doc and view_doc filled. */
void rad_store_schema(struct rad_buf *sql);

extern const struct rad_db_format rad_store_format_base; /* without schema_sql */

/* The window function pareto_rank on a connection. */
RAD_MUST_CHECK enum rad_status rad_pareto_rank_register(rad_db *db, struct rad_err *err);

#endif
