/* trace_describe.c - what a trace file has before its first token, and how it goes away. */
#include "trace/trace_build.h"

#include "base/io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void rad_trace_remove(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[RAD_PATH_MAX];
        const int n = snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (n > 0 && (size_t)n < sizeof name)
            unlink(name);
    }
}

enum rad_status rad_trace_run_check(const struct rad_trace_run *run, struct rad_err *err)
{
    RAD_TRY(rad_card_check(&run->card, err));
    for (int i = 0; i < RAD_TRACE_N_TEXT; i++) {
        const char *text = rad_trace_text_get(run, i);
        if (strlen(text) > RAD_TRACE_TEXT_MAX || !rad_trace_text_ok(text, strlen(text)))
            return rad_fail(err, RAD_E_ARG,
                            "trace: run.%s: expected one line of UTF-8 of at most %d bytes",
                            rad_trace_texts[i].column, RAD_TRACE_TEXT_MAX);
    }
    if (!rad_trace_text_ok(run->card.name, strlen(run->card.name)))
        return rad_fail(err, RAD_E_ARG, "trace: card: expected a name of one line of UTF-8");
    if ((unsigned)run->kv > RAD_KV_COPY)
        return rad_fail(err, RAD_E_ARG, "trace: unknown KV semantics %d", (int)run->kv);
    if (!isnan(run->nll) && (isinf(run->nll) || !rad_trace_may_have_nll(run)))
        return rad_fail(err, RAD_E_ARG, "trace: run.nll: expected none (NaN) but found %g",
                        run->nll);
    return RAD_OK;
}

static enum rad_status insert_docs(rad_db *db, struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    size_t n = 0;
    const struct rad_trace_doc *docs = rad_trace_docs(&n);
    enum rad_status status =
        rad_db_prepare(db, &stmt, "INSERT INTO column_doc VALUES(?, ?, ?, ?)", err);
    for (size_t i = 0; i < n && status == RAD_OK; i++) {
        rad_db_bind_text(stmt, 1, docs[i].table);
        rad_db_bind_text(stmt, 2, docs[i].column);
        rad_db_bind_text(stmt, 3, docs[i].unit);
        rad_db_bind_text(stmt, 4, docs[i].doc);
        status = rad_db_step(db, stmt, NULL, err);
    }
    rad_db_finalize(stmt);
    return status;
}

static enum rad_status insert_run(rad_db *db, const struct rad_trace_run *run, const char *card,
                                  struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    RAD_TRY(rad_db_prepare(db, &stmt,
                           "INSERT INTO run(id, policy, source, model_hash, text_hash, engine,"
                           " host, parent, card, card_name, n_layer, kv, forward_only,"
                           " has_router, seed, nll, complete)"
                           " VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                           err));
    int i = 1;
    for (int k = 0; k < RAD_TRACE_N_TEXT; k++)
        rad_db_bind_text(stmt, i++, rad_trace_text_get(run, k));
    rad_db_bind_text(stmt, i++, card);
    rad_db_bind_text(stmt, i++, run->card.name);
    rad_db_bind_int(stmt, i++, run->card.n_layer);
    rad_db_bind_text(stmt, i++, rad_kv_name(run->kv));
    rad_db_bind_int(stmt, i++, run->forward_only);
    rad_db_bind_int(stmt, i++, run->has_router);
    rad_db_bind_int(stmt, i++, (int64_t)run->seed);
    rad_db_bind_real(stmt, i++, run->nll);
    const enum rad_status status = rad_db_step(db, stmt, NULL, err);
    rad_db_finalize(stmt);
    return status;
}

enum rad_status rad_trace_describe(rad_db *db, const struct rad_trace_run *run, struct rad_err *err)
{
    char *card = NULL;
    RAD_TRY(rad_db_begin(db, err));
    for (int i = 0; i < RAD_TRACE_N_VIEW; i++)
        RAD_TRY(rad_db_exec(db, rad_trace_views[i], err));
    RAD_TRY(insert_docs(db, err));
    RAD_TRY(rad_card_to_json(&run->card, &card, err));
    const enum rad_status status = insert_run(db, run, card, err);
    free(card);
    RAD_TRY(status);
    return rad_db_commit(db, err);
}
