/* store.h - the results database: design points and what came out, as SQLite that others can read.
 *
 * One file holds any number of sweeps. Tables are STRICT, every column is explained in table
 * column_doc, and everything that made a row is kept with it: the profile's text, the card, the
 * trace's identity, the spec, the program's version. Tables: run, trace, hw, card, design_point,
 * result, column_doc, view_doc; docs/schema.md lists them. Rows of transplanted traces, or with
 * recomputed KV, have no quality: no view shows one for them. */
#ifndef RAD_STORE_H
#define RAD_STORE_H

#include "base/err.h"
#include "db/db.h"
#include "replay/replay.h"

#include <stdbool.h>
#include <stddef.h>

#define RAD_STORE_APPLICATION_ID 0x52414452 /* "RADR" */
#define RAD_STORE_VERSION 3                 /* user_version of the file */

/* ---- writing --------------------------------------------------------------------------- */

typedef struct rad_store rad_store; /* one thread at a time */

/* Who writes. Strings are borrowed until the store is closed. */
struct rad_store_run {
    const char *version; /* of the program */
    const char *spec;    /* text of the sweep spec */
    const char *spec_hash;
    const char *host;
};

/* Open a results database to add to it; made if absent. A row of table run is written with the
 * first point. errors: those of rad_db_open */
RAD_MUST_CHECK enum rad_status rad_store_open(rad_store **out, const char *path,
                                              const struct rad_store_run *run, struct rad_err *err);

/* Is there a result under key, made from the same inputs? */
bool rad_store_has(rad_store *store, const char *key, const char *inputs);

/* One axis of a design point: a column of table design_point and its value ("": NULL). */
struct rad_store_axis {
    const char *name, *value;
};

struct rad_store_row {
    const char *key;                   /* 16 hex digits, identity of the design point */
    const char *inputs;                /* 16 hex digits, of all files that it was made from */
    const struct rad_store_axis *axis; /* [n_axis] */
    size_t n_axis;
    const char *error; /* why there is no result; NULL if there is one, and then: */
    const struct rad_replay_result *result;
    const rad_trace *trace;
    const char *trace_path;
    const rad_hw *hw;
    const struct rad_card *card; /* the card that was costed */
    double eval_s;
};

/* Add a point, in place of an older one with its key. Rows become durable (against kill -9) at
 * least every 50 ms of putting, and at rad_store_flush.
 * errors: RAD_E_ARG (an axis that is no column), RAD_E_DB (a CHECK refused a value); after one the
 * store is broken: nothing more is put or committed, and only rad_store_abandon is left */
RAD_MUST_CHECK enum rad_status rad_store_put(rad_store *store, const struct rad_store_row *row,
                                             struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_store_flush(rad_store *store, struct rad_err *err);

/* Commit, note the time, sync to the disk so that it survives power loss, and free. */
RAD_MUST_CHECK enum rad_status rad_store_finish(rad_store *store, struct rad_err *err);

/* Close after a failure: what was put so far stays if it can. Accepts NULL. */
void rad_store_abandon(rad_store *store);

/* ---- reading --------------------------------------------------------------------------- */

/* Open a results database or a trace for questions only: nothing can write through it, and radial's
 * SQL functions are there (functions.def). errors: those of rad_db_open */
RAD_MUST_CHECK enum rad_status rad_store_read(rad_db **out, const char *path, struct rad_err *err);

/* Like rad_store_read, but a trace is refused. */
RAD_MUST_CHECK enum rad_status rad_store_read_results(rad_db **out, const char *path,
                                                      struct rad_err *err);

/* db was opened by rad_store_read and is a trace. */
bool rad_store_is_trace(rad_db *db);

/* A query that lists the views of db with a line about each: columns view, doc. */
const char *rad_store_views_sql(rad_db *db);

/* radial's SQL functions on any connection of db.h: median(x), quantile(x, q), stddev(x),
 * geomean(x), pareto_rank(x, y) OVER (ORDER BY x, y). */
RAD_MUST_CHECK enum rad_status rad_store_functions(rad_db *db, struct rad_err *err);

/* The unit of a column by its name: "latency_s_p99" -> "s"; "" if it has none. */
const char *rad_store_unit(const char *column);

#endif
