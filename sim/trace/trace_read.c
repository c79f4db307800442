/* trace_read.c - load a whole trace, trusting nothing.
 *
 * The file may come from anybody: the tables must be plain STRICT tables (a view or a generated
 * column could run for ever), every value is checked for its type before it is read, and no more
 * is allocated than the file has bytes. One read transaction, so that a trace that is being
 * written is seen at one moment. */
#include "trace/trace_load.h"

#include "base/buf.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The first column of the first row; -1 if there is none. */
static enum rad_status one_number(struct rad_trace_load *ld, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    RAD_TRY(rad_db_prepare(ld->db, &stmt, sql, ld->err));
    const enum rad_status status = rad_db_step(ld->db, stmt, &row, ld->err);
    *out = status == RAD_OK && row ? rad_db_column_int(stmt, 0) : -1;
    rad_db_finalize(stmt);
    return status;
}

static enum rad_status check_schema(struct rad_trace_load *ld)
{
    static const struct {
        const char *sql, *what;
        int64_t expected;
    } rows[] = {
        {"SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND"
         " strict AND name IN ('run', 'sequence', 'token', 'timing')",
         "STRICT tables run, sequence, token, timing", 4},
        {"SELECT (SELECT count(*) FROM pragma_table_xinfo('run') WHERE hidden) +"
         " (SELECT count(*) FROM pragma_table_xinfo('sequence') WHERE hidden) +"
         " (SELECT count(*) FROM pragma_table_xinfo('token') WHERE hidden) +"
         " (SELECT count(*) FROM pragma_table_xinfo('timing') WHERE hidden)",
         "generated columns", 0},
    };
    int64_t found = 0, pages = 0, page_bytes = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RAD_TRY(one_number(ld, rows[i].sql, &found));
        if (found != rows[i].expected)
            return rad_fail(ld->err, RAD_E_PARSE, "%s: expected %lld %s but found %lld", ld->path,
                            (long long)rows[i].expected, rows[i].what, (long long)found);
    }
    RAD_TRY(one_number(ld, "PRAGMA page_count", &pages));
    RAD_TRY(one_number(ld, "PRAGMA page_size", &page_bytes));
    ld->bytes_left = pages * page_bytes;
    return RAD_OK;
}

/* SQLite's own check says "ok", or what is wrong. */
static enum rad_status read_integrity(struct rad_trace_load *ld, sqlite3_stmt *stmt)
{
    char shown[RAD_SHOW_MAX];
    const char *text = rad_db_column_text(stmt, 0);
    if (strcmp(text, "ok") == 0)
        return RAD_OK;
    return rad_fail(ld->err, RAD_E_PARSE, "%s: damaged file: %s", ld->path, rad_show(shown, text));
}

/* The card, and its name and layers, which SQL has beside it. */
static enum rad_status get_card(struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                struct rad_card *out)
{
    const char *text = NULL, *name = NULL;
    int64_t n_layer = 0;
    RAD_TRY(rad_trace_get_text(ld, stmt, i, RAD_TRACE_CARD_MAX, &text));
    if (rad_card_from_json(out, text, ld->err) != RAD_OK)
        return rad_fail_in(ld->err, RAD_E_PARSE, "%s: table run, row id=1, column card", ld->path);
    RAD_TRY(rad_trace_get_text(ld, stmt, i + 1, RAD_TRACE_TEXT_MAX, &name));
    RAD_TRY(rad_trace_get_int(ld, stmt, i + 2, INT32_MAX, &n_layer));
    if (strcmp(name, out->name) != 0)
        return rad_trace_bad(ld, "card_name", "expected '%s', as the card has, but found another",
                             out->name);
    if (n_layer != out->n_layer)
        return rad_trace_bad(ld, "n_layer", "expected %d, as the card has, but found %lld",
                             (int)out->n_layer, (long long)n_layer);
    return RAD_OK;
}

static enum rad_status read_run(struct rad_trace_load *ld, sqlite3_stmt *stmt)
{
    struct rad_trace_run run = {.kv = RAD_KV_HOLE};
    const char *kv = NULL;
    char shown[RAD_SHOW_MAX];
    int64_t id = 0, forward = 0, router = 0, complete = 0;
    int i = 0;
    rad_trace_at_row(ld, "run", 1, -1);
    RAD_TRY(rad_trace_get_int(ld, stmt, i++, 1, &id));
    if (ld->t != NULL)
        return rad_trace_bad(ld, "id", "expected one row but found another");
    for (int k = 0; k < RAD_TRACE_N_TEXT; k++, i++) {
        const char *text = NULL;
        RAD_TRY(rad_trace_get_text(ld, stmt, i, RAD_TRACE_TEXT_MAX, &text));
        memcpy((char *)&run + rad_trace_texts[k].offset, &text, sizeof text);
    }
    RAD_TRY(get_card(ld, stmt, i, &run.card));
    i += 3; /* with name and layers */
    RAD_TRY(rad_trace_get_text(ld, stmt, i, RAD_TRACE_TEXT_MAX, &kv));
    if (rad_kv_parse(kv, &run.kv, NULL) != RAD_OK)
        return rad_trace_bad(ld, "kv", "expected hole, project or copy but found '%s'",
                             rad_show(shown, kv));
    i++;
    RAD_TRY(rad_trace_get_int(ld, stmt, i++, 1, &forward));
    RAD_TRY(rad_trace_get_int(ld, stmt, i++, 1, &router));
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_INTEGER));
    run.seed = (uint64_t)rad_db_column_int(stmt, i++);
    RAD_TRY(rad_trace_get_real(ld, stmt, i++, DBL_MAX, &run.nll));
    RAD_TRY(rad_trace_get_int(ld, stmt, i, 1, &complete));
    if (!isnan(run.nll) && !rad_trace_may_have_nll(&run))
        return rad_trace_bad(ld, "nll", "expected NULL, as the source is %s, but found %g",
                             run.source, run.nll);
    run.forward_only = forward != 0;
    run.has_router = router != 0;
    RAD_TRY(rad_trace_new(&ld->t, &run, ld->err));
    ld->t->complete = complete != 0;
    return RAD_OK;
}

static enum rad_status read_sequence(struct rad_trace_load *ld, sqlite3_stmt *stmt)
{
    struct rad_trace_declared seq = {.n_token = -1};
    rad_trace_at_row(ld, "sequence", ld->n_seq, -1);
    RAD_TRY(rad_trace_get_int(ld, stmt, 0, INT64_MAX, &seq.id));
    rad_trace_at_row(ld, "sequence", seq.id, -1);
    if (ld->n_seq > 0 && seq.id <= ld->seq[ld->n_seq - 1].id)
        return rad_trace_bad(ld, "id", "expected each id once");
    if (!rad_db_column_is_null(stmt, 1))
        RAD_TRY(rad_trace_get_int(ld, stmt, 1, INT32_MAX, &seq.n_token));
    if ((ld->n_seq & (ld->n_seq - 1)) == 0) { /* grow at powers of two */
        const size_t max = ld->n_seq > 0 ? 2 * (size_t)ld->n_seq : 1;
        struct rad_trace_declared *more = realloc(ld->seq, max * sizeof *more);
        if (more == NULL)
            return rad_trace_load_no_memory(ld);
        ld->seq = more;
    }
    ld->seq[ld->n_seq++] = seq;
    return RAD_OK;
}

static int by_id(const void *key, const void *item)
{
    const int64_t id = *(const int64_t *)key;
    const struct rad_trace_declared *seq = item;
    return id < seq->id ? -1 : id > seq->id;
}

static enum rad_status read_timing(struct rad_trace_load *ld, sqlite3_stmt *stmt)
{
    int64_t seq = 0;
    double elapsed_s = 0;
    enum rad_phase phase = RAD_PHASE_PREFILL;
    rad_trace_at_row(ld, "timing", 0, -1);
    RAD_TRY(rad_trace_get_int(ld, stmt, 0, INT64_MAX, &seq));
    rad_trace_at_row(ld, "timing", seq, -1);
    RAD_TRY(rad_trace_get_phase(ld, stmt, 1, &phase));
    RAD_TRY(rad_trace_need(ld, stmt, 2, RAD_DB_REAL));
    RAD_TRY(rad_trace_get_real(ld, stmt, 2, DBL_MAX, &elapsed_s));
    if (elapsed_s < 0)
        return rad_trace_bad(ld, "elapsed_s", "expected seconds >= 0 but found %g", elapsed_s);
    if (ld->n_seq == 0 || bsearch(&seq, ld->seq, (size_t)ld->n_seq, sizeof *ld->seq, by_id) == NULL)
        return rad_trace_bad(ld, "seq", "expected a row of table sequence but found none");
    double *sum = &ld->t->measured_s[phase];
    *sum = isnan(*sum) ? elapsed_s : *sum + elapsed_s;
    return RAD_OK;
}

/* ---- the whole ------------------------------------------------------------------------- */

static enum rad_status read_all(struct rad_trace_load *ld, bool deep)
{
    RAD_TRY(rad_db_exec(ld->db, "BEGIN", ld->err)); /* ends with the connection */
    RAD_TRY(check_schema(ld));
    if (deep)
        RAD_TRY(rad_trace_read_rows(ld, "PRAGMA integrity_check(1)", read_integrity));
    RAD_TRY(rad_trace_read_rows(
        ld,
        "SELECT id, policy, source, model_hash, text_hash, engine, host,"
        " parent, card, card_name, n_layer, kv, forward_only, has_router, seed, nll, complete"
        " FROM run",
        read_run));
    if (ld->t == NULL)
        return rad_fail(ld->err, RAD_E_PARSE, "%s: table run: expected one row but found none",
                        ld->path);
    RAD_TRY(rad_trace_read_rows(ld, "SELECT id, n_token FROM sequence ORDER BY id", read_sequence));
    RAD_TRY(rad_trace_read_tokens(ld));
    RAD_TRY(rad_trace_read_rows(ld, "SELECT seq, phase, elapsed_s FROM timing ORDER BY seq, phase",
                                read_timing));
    return rad_trace_seal(ld->t, ld->err);
}

static enum rad_status load(rad_trace **out, const char *path, bool deep, struct rad_err *err)
{
    struct rad_trace_load ld = {.path = path, .err = err, .at_seq = -1};
    *out = NULL;
    RAD_TRY(rad_db_open(&ld.db, path, RAD_DB_READ, &rad_trace_format_sql, err));
    const enum rad_status status = read_all(&ld, deep);
    rad_db_close(ld.db);
    free(ld.hop);
    free(ld.stat);
    free(ld.seq);
    if (status == RAD_OK)
        *out = ld.t;
    else
        rad_trace_close(ld.t);
    return status;
}

enum rad_status rad_trace_open(rad_trace **out, const char *path, struct rad_err *err)
{
    return load(out, path, false, err);
}

enum rad_status rad_trace_verify(rad_trace **out, const char *path, struct rad_err *err)
{
    return load(out, path, true, err);
}
