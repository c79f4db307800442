/* store.c - adding design points to a results database.
 *
 * Rows go into a transaction that is committed when it is 50 ms old, in WAL mode with
 * synchronous=NORMAL: kill -9 loses no commit. Only rad_store_finish syncs to the disk. */
#include "store/schema.h"

#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COMMIT_MS = 50 };

enum { STMT_HAS, STMT_DELETE, STMT_POINT, STMT_RESULT, STMT_TRACE, STMT_CARD, STMT_HW, N_STMT };

struct rad_store {
    rad_db *db;
    struct rad_db_format format;
    struct rad_buf schema;
    const struct rad_store_run *run;
    int64_t run_id; /* 0: not written yet */
    sqlite3_stmt *stmt[N_STMT];
    bool open;   /* a transaction */
    bool broken; /* a row failed, perhaps half of it is there: nothing is committed any more */
    double begin_s;
    /* what is known to be in the file, so that it is not sent again */
    char trace_hash[17], hw_hash[17];
};

/* ---- statements ------------------------------------------------------------------------ */

/* "INSERT INTO table (columns) VALUES (?1, ?2, ...)" for all columns of a table, then ending. */
static void insert_sql(struct rad_buf *sql, const char *table, const char *ending)
{
    size_t count = 0, n_metric = 0;
    const struct rad_column *columns = rad_store_columns(table, &count);
    const struct rad_metric *metrics = rad_replay_metrics(&n_metric);
    rad_buf_printf(sql, "INSERT INTO %s (", table);
    for (size_t i = 0; i < count; i++)
        rad_buf_printf(sql, "%s%s", i > 0 ? ", " : "", columns[i].name);
    if (strcmp(table, "result") == 0)
        for (size_t m = 0; m < n_metric; m++, count++)
            rad_buf_printf(sql, ", %s", metrics[m].name);
    rad_buf_add(sql, ") VALUES (");
    for (size_t k = 0; k < count; k++)
        rad_buf_printf(sql, "%s?%zu", k > 0 ? ", " : "", k + 1);
    rad_buf_printf(sql, ")%s", ending);
}

static enum rad_status prepare_insert(rad_store *store, int which, const char *table,
                                      struct rad_err *err)
{
    struct rad_buf sql = {0};
    const bool once = which != STMT_POINT && which != STMT_RESULT;
    insert_sql(&sql, table, once ? " ON CONFLICT DO NOTHING" : "");
    const enum rad_status status =
        sql.failed ? rad_fail(err, RAD_E_NOMEM, "store: out of memory")
                   : rad_db_prepare(store->db, &store->stmt[which], sql.data, err);
    rad_buf_free(&sql);
    return status;
}

static enum rad_status prepare_all(rad_store *store, struct rad_err *err)
{
    RAD_TRY(rad_db_prepare(store->db, &store->stmt[STMT_HAS],
                           "SELECT 1 FROM design_point JOIN result USING (key)"
                           " WHERE key = ?1 AND inputs = ?2",
                           err));
    RAD_TRY(rad_db_prepare(store->db, &store->stmt[STMT_DELETE],
                           "DELETE FROM design_point WHERE key = ?1", err));
    RAD_TRY(prepare_insert(store, STMT_POINT, "design_point", err));
    RAD_TRY(prepare_insert(store, STMT_RESULT, "result", err));
    RAD_TRY(prepare_insert(store, STMT_TRACE, "trace", err));
    RAD_TRY(prepare_insert(store, STMT_CARD, "card", err));
    return prepare_insert(store, STMT_HW, "hw", err);
}

static enum rad_status run_stmt(rad_store *store, int which, struct rad_err *err)
{
    return rad_db_step(store->db, store->stmt[which], NULL, err);
}

/* ---- opening and closing --------------------------------------------------------------- */

enum rad_status rad_store_open(rad_store **out, const char *path, const struct rad_store_run *run,
                               struct rad_err *err)
{
    *out = NULL;
    rad_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return rad_fail(err, RAD_E_NOMEM, "store: out of memory");
    rad_store_schema(&store->schema);
    store->run = run;
    store->format = rad_store_format_base;
    store->format.schema_sql = store->schema.data;
    enum rad_status status =
        store->schema.failed ? rad_fail(err, RAD_E_NOMEM, "store: out of memory")
                             : rad_db_open(&store->db, path, RAD_DB_CREATE, &store->format, err);
    if (status == RAD_OK)
        status = prepare_all(store, err);
    if (status != RAD_OK) {
        rad_store_abandon(store);
        return status;
    }
    *out = store;
    return RAD_OK;
}

static void free_store(rad_store *store)
{
    for (int i = 0; i < N_STMT; i++)
        rad_db_finalize(store->stmt[i]);
    rad_db_close(store->db);
    rad_buf_free(&store->schema);
    free(store);
}

void rad_store_abandon(rad_store *store)
{
    if (store == NULL)
        return;
    if (store->open && !store->broken)
        (void)!rad_db_commit(store->db, NULL); /* if that fails, closing rolls back */
    free_store(store);
}

enum rad_status rad_store_flush(rad_store *store, struct rad_err *err)
{
    if (store->broken)
        return rad_fail(err, RAD_E_DB, "store: a row failed; what came with it is not kept");
    if (!store->open)
        return RAD_OK;
    RAD_TRY(rad_db_commit(store->db, err));
    store->open = false;
    return RAD_OK;
}

static enum rad_status finish(rad_store *store, struct rad_err *err)
{
    RAD_TRY(rad_store_flush(store, err));
    if (store->run_id == 0)
        return RAD_OK; /* nothing was added */
    RAD_TRY(rad_db_exec(store->db, "PRAGMA synchronous = FULL", err));
    sqlite3_stmt *stmt = NULL;
    RAD_TRY(rad_db_prepare(store->db, &stmt,
                           "UPDATE run SET ended_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
                           " WHERE run_id = ?1",
                           err));
    rad_db_bind_int(stmt, 1, store->run_id);
    const enum rad_status status = rad_db_step(store->db, stmt, NULL, err);
    rad_db_finalize(stmt);
    return status;
}

enum rad_status rad_store_finish(rad_store *store, struct rad_err *err)
{
    enum rad_status status = finish(store, err);
    for (int i = 0; i < N_STMT; i++) { /* sealing needs the connection idle */
        rad_db_finalize(store->stmt[i]);
        store->stmt[i] = NULL;
    }
    if (status == RAD_OK)
        status = rad_db_seal(store->db, err);
    free_store(store);
    return status;
}

bool rad_store_has(rad_store *store, const char *key, const char *inputs)
{
    sqlite3_stmt *stmt = store->stmt[STMT_HAS];
    bool row = false;
    rad_db_bind_text(stmt, 1, key);
    rad_db_bind_text(stmt, 2, inputs);
    const enum rad_status status = rad_db_step(store->db, stmt, &row, NULL);
    rad_db_reset(stmt);
    return status == RAD_OK && row;
}

/* ---- one row --------------------------------------------------------------------------- */

static enum rad_status put_run(rad_store *store, struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    if (store->run_id != 0)
        return RAD_OK;
    RAD_TRY(rad_db_prepare(store->db, &stmt,
                           "INSERT INTO run (started_at, version, host, spec_hash, spec) VALUES"
                           " (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?1, ?2, ?3, ?4)"
                           " RETURNING run_id",
                           err));
    rad_db_bind_text(stmt, 1, store->run->version);
    rad_db_bind_text(stmt, 2, store->run->host);
    rad_db_bind_text(stmt, 3, store->run->spec_hash);
    rad_db_bind_text(stmt, 4, store->run->spec);
    const enum rad_status status = rad_db_step(store->db, stmt, &row, err);
    if (status == RAD_OK && row)
        store->run_id = rad_db_column_int(stmt, 0);
    rad_db_finalize(stmt);
    return status;
}

/* hash[17] of the card, which is put if it is new. */
static enum rad_status put_card(rad_store *store, const struct rad_card *card, char hash[17],
                                struct rad_err *err)
{
    char *json = NULL;
    sqlite3_stmt *stmt = store->stmt[STMT_CARD];
    RAD_TRY(rad_card_to_json(card, &json, err));
    rad_hash_hex(rad_hash(json, strlen(json), 0), hash);
    const int64_t number[] = {card->n_layer, card->d_model, card->n_head,         card->n_kv,
                              card->ffn,     card->vocab,   rad_card_params(card)};
    rad_db_bind_text(stmt, 1, hash);
    rad_db_bind_text(stmt, 2, card->name);
    for (int i = 0; i < 7; i++)
        rad_db_bind_int(stmt, 3 + i, number[i]);
    rad_db_bind_text(stmt, 10, json);
    free(json);
    return run_stmt(store, STMT_CARD, err);
}

static enum rad_status put_hw(rad_store *store, const rad_hw *hw, struct rad_err *err)
{
    sqlite3_stmt *stmt = store->stmt[STMT_HW];
    if (strcmp(store->hw_hash, rad_hw_hash(hw)) == 0)
        return RAD_OK;
    rad_db_bind_text(stmt, 1, rad_hw_hash(hw));
    rad_db_bind_text(stmt, 2, rad_hw_name(hw));
    rad_db_bind_text(stmt, 3, rad_hw_model(hw)->name);
    rad_db_bind_real(stmt, 4, rad_hw_usd_per_hour(hw));
    rad_db_bind_real(stmt, 5, rad_hw_memory_bytes(hw));
    rad_db_bind_text(stmt, 6, rad_hw_text(hw));
    RAD_TRY(run_stmt(store, STMT_HW, err));
    memcpy(store->hw_hash, rad_hw_hash(hw), sizeof store->hw_hash);
    return RAD_OK;
}

static enum rad_status put_trace(rad_store *store, const rad_trace *trace, const char *path,
                                 struct rad_err *err)
{
    const struct rad_trace_run *run = rad_trace_run(trace);
    sqlite3_stmt *stmt = store->stmt[STMT_TRACE];
    char card_hash[17];
    int i = 1;
    if (strcmp(store->trace_hash, rad_trace_hash(trace)) == 0)
        return RAD_OK;
    RAD_TRY(put_card(store, &run->card, card_hash, err));
    const char *const text[] = {rad_trace_hash(trace), path,        card_hash,       run->policy,
                                rad_kv_name(run->kv),  run->source, run->model_hash, run->text_hash,
                                run->parent,           run->engine, run->host};
    for (size_t k = 0; k < sizeof text / sizeof text[0]; k++)
        rad_db_bind_text(stmt, i++, text[k] != NULL ? text[k] : "");
    const int64_t number[] = {(int64_t)run->seed,      run->forward_only,
                              run->has_router,         rad_trace_complete(trace),
                              rad_trace_n_seq(trace),  rad_trace_n_token(trace),
                              rad_trace_n_visit(trace)};
    for (size_t k = 0; k < sizeof number / sizeof number[0]; k++)
        rad_db_bind_int(stmt, i++, number[k]);
    rad_db_bind_real(stmt, i++, rad_trace_mean_depth(trace));
    rad_db_bind_real(stmt, i, run->nll);
    RAD_TRY(run_stmt(store, STMT_TRACE, err));
    memcpy(store->trace_hash, rad_trace_hash(trace), sizeof store->trace_hash);
    return RAD_OK;
}

/* The parameter of the column of design_point called name, from 1; 0: there is none. */
static int point_column(const char *name)
{
    size_t n = 0;
    const struct rad_column *columns = rad_store_columns("design_point", &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(columns[i].name, name) == 0)
            return (int)i + 1;
    return 0;
}

static enum rad_status put_point(rad_store *store, const struct rad_store_row *row,
                                 struct rad_err *err)
{
    sqlite3_stmt *stmt = store->stmt[STMT_POINT];
    rad_db_bind_text(stmt, point_column("key"), row->key);
    rad_db_bind_text(stmt, point_column("inputs"), row->inputs);
    rad_db_bind_int(stmt, point_column("run_id"), store->run_id);
    rad_db_bind_text(stmt, point_column("error"), row->error);
    for (size_t i = 0; i < row->n_axis; i++) {
        const int at = point_column(row->axis[i].name);
        const char *value = row->axis[i].value;
        if (at == 0)
            return rad_fail(err, RAD_E_ARG, "store: design_point has no column '%s'",
                            row->axis[i].name);
        rad_db_bind_text(stmt, at, value != NULL && value[0] != '\0' ? value : NULL);
    }
    return run_stmt(store, STMT_POINT, err);
}

static enum rad_status put_result(rad_store *store, const struct rad_store_row *row,
                                  struct rad_err *err)
{
    sqlite3_stmt *stmt = store->stmt[STMT_RESULT];
    const struct rad_replay_result *result = row->result;
    char card_hash[17];
    size_t n = 0;
    int i = 1;
    RAD_TRY(put_card(store, row->card, card_hash, err));
    RAD_TRY(put_hw(store, row->hw, err));
    RAD_TRY(put_trace(store, row->trace, row->trace_path, err));
    const char *const text[] = {row->key, rad_trace_hash(row->trace), card_hash,
                                rad_hw_hash(row->hw), rad_bound_name(result->bound_kind)};
    const bool flag[] = {result->transplanted, result->kv_recomputed, result->resampled,
                         result->complete_trace};
    for (size_t k = 0; k < sizeof text / sizeof text[0]; k++)
        rad_db_bind_text(stmt, i++, text[k]);
    for (size_t k = 0; k < sizeof flag / sizeof flag[0]; k++)
        rad_db_bind_int(stmt, i++, flag[k]);
    rad_db_bind_real(stmt, i++, row->eval_s);
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    for (size_t k = 0; k < n; k++) {
        double value = 0;
        memcpy(&value, (const char *)result + metrics[k].offset, sizeof value);
        rad_db_bind_real(stmt, i++, value);
    }
    return run_stmt(store, STMT_RESULT, err);
}

static enum rad_status put(rad_store *store, const struct rad_store_row *row, struct rad_err *err)
{
    RAD_TRY(put_run(store, err));
    rad_db_bind_text(store->stmt[STMT_DELETE], 1, row->key);
    RAD_TRY(run_stmt(store, STMT_DELETE, err));
    RAD_TRY(put_point(store, row, err));
    return row->error == NULL ? put_result(store, row, err) : RAD_OK;
}

enum rad_status rad_store_put(rad_store *store, const struct rad_store_row *row,
                              struct rad_err *err)
{
    if (store->broken)
        return rad_store_flush(store, err);
    if (!store->open) {
        RAD_TRY(rad_db_begin(store->db, err));
        store->open = true;
        store->begin_s = rad_now_s();
    }
    const enum rad_status status = put(store, row, err);
    store->broken = status != RAD_OK;
    if (status != RAD_OK)
        return status;
    if (rad_now_s() - store->begin_s > COMMIT_MS / 1000.0)
        return rad_store_flush(store, err);
    return RAD_OK;
}
