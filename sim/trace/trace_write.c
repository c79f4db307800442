/* trace_write.c - a trace file while its run goes on.
 *
 * WAL with synchronous=NORMAL: what is committed survives kill -9. Nothing is marked finished
 * until rad_trace_finish, so that a reader can tell a prefix from a whole. */
#include "trace/trace_build.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMMIT_TOKENS = 1000 };
static const double commit_s = 0.05;

enum { INSERT_SEQUENCE, INSERT_TOKEN, INSERT_TIMING, N_STMT };

static const char *const sql[N_STMT] = {
    "INSERT INTO sequence(id) VALUES(?)",
    "INSERT INTO token(seq, pos, phase, token, nll, path, stats) VALUES(?, ?, ?, ?, ?, ?, ?)",
    ("INSERT INTO timing(seq, phase, elapsed_s) VALUES(?, ?, ?)"
     " ON CONFLICT DO UPDATE SET elapsed_s = elapsed_s + excluded.elapsed_s"),
};

struct rad_trace_writer {
    rad_db *db;
    sqlite3_stmt *stmt[N_STMT];
    struct rad_trace_run run;  /* the caller's strings may go away: `source` is made a constant */
    struct rad_trace_seq *seq; /* [n_seq], by id */
    size_t n_seq, max_seq;
    unsigned char *pack; /* [max_pack] path, then stats, of one token */
    size_t max_pack;
    int32_t pending; /* rows since the transaction began */
    double committed_s;
    bool forward; /* every path so far goes forward */
};

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
}

/* ---- creating -------------------------------------------------------------------------- */

enum rad_status rad_trace_create(rad_trace_writer **out, const char *path,
                                 const struct rad_trace_run *run, struct rad_err *err)
{
    *out = NULL;
    RAD_TRY(rad_trace_run_check(run, err));
    rad_trace_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return no_memory(err);
    w->run = *run;
    w->run.source = strcmp(rad_trace_text_get(run, RAD_TRACE_SOURCE), "synth") == 0 ? "synth"
                    : rad_trace_may_have_nll(run)                                   ? "run"
                                                                                    : "transplant";
    w->forward = true;
    enum rad_status status = rad_db_open(&w->db, path, RAD_DB_REPLACE, &rad_trace_format_sql, err);
    if (status == RAD_OK)
        status = rad_trace_describe(w->db, run, err);
    for (int i = 0; i < N_STMT && status == RAD_OK; i++)
        status = rad_db_prepare(w->db, &w->stmt[i], sql[i], err);
    w->committed_s = rad_now_s();
    if (status == RAD_OK) {
        *out = w;
        return RAD_OK;
    }
    const bool ours = w->db != NULL; /* else there may be another's file of that name */
    rad_trace_abandon(w);
    if (ours)
        rad_trace_remove(path);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------ */

/* The index of the sequence, or where it would go. Runs append, so the end is looked at first. */
static size_t seq_index(const rad_trace_writer *w, int64_t id)
{
    size_t low = 0, high = w->n_seq;
    if (w->n_seq > 0 && w->seq[w->n_seq - 1].id <= id)
        return w->seq[w->n_seq - 1].id == id ? w->n_seq - 1 : w->n_seq;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (w->seq[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct rad_trace_seq *seq_find(const rad_trace_writer *w, int64_t id)
{
    const size_t i = seq_index(w, id);
    return i < w->n_seq && w->seq[i].id == id ? &w->seq[i] : NULL;
}

static bool seq_add(rad_trace_writer *w, const struct rad_trace_seq *seq)
{
    const size_t i = seq_index(w, seq->id);
    if (w->n_seq == w->max_seq) {
        const size_t max = w->max_seq > 0 ? 2 * w->max_seq : 16;
        struct rad_trace_seq *more = realloc(w->seq, max * sizeof *more);
        if (more == NULL)
            return false;
        w->seq = more;
        w->max_seq = max;
    }
    memmove(w->seq + i + 1, w->seq + i, (w->n_seq - i) * sizeof *w->seq);
    w->seq[i] = *seq;
    w->n_seq++;
    return true;
}

static enum rad_status write_begin(rad_trace_writer *w, struct rad_err *err)
{
    if (w->pending == 0)
        RAD_TRY(rad_db_begin(w->db, err));
    w->pending++;
    return RAD_OK;
}

/* Commit what is pending once it is many or old: a slow run commits every token. */
static enum rad_status write_end(rad_trace_writer *w, struct rad_err *err)
{
    const double now = rad_now_s();
    if (w->pending < COMMIT_TOKENS && now - w->committed_s < commit_s)
        return RAD_OK;
    RAD_TRY(rad_db_commit(w->db, err));
    w->pending = 0;
    w->committed_s = now;
    return RAD_OK;
}

static bool pack_reserve(rad_trace_writer *w, size_t bytes)
{
    if (bytes <= w->max_pack)
        return true;
    unsigned char *more = realloc(w->pack, 2 * bytes);
    if (more == NULL)
        return false;
    w->pack = more;
    w->max_pack = 2 * bytes;
    return true;
}

static unsigned char *pack_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
    return to + 4;
}

static void pack_path(unsigned char *to, const struct rad_hop_rec *hop, int32_t n_hop)
{
    for (int32_t i = 0; i < n_hop; i++) {
        to = pack_u32(to, hop[i].layer | (uint32_t)hop[i].flags << 16);
        to = pack_u32(to, hop[i].n_keys);
    }
}

static void pack_stats(unsigned char *to, const struct rad_hop_stat *stat, int32_t n_hop)
{
    for (int32_t i = 0; i < n_hop; i++) {
        const float value[RAD_STAT_FLOATS] = {stat[i].a_attn, stat[i].b_attn, stat[i].c_attn,
                                              stat[i].a_mlp,  stat[i].b_mlp,  stat[i].c_mlp,
                                              stat[i].margin};
        for (int k = 0; k < RAD_STAT_FLOATS; k++) {
            uint32_t bits;
            memcpy(&bits, &value[k], sizeof bits);
            to = pack_u32(to, isnan(value[k]) ? UINT32_C(0x7fc00000) : bits);
        }
    }
}

static enum rad_status insert_token(rad_trace_writer *w, const struct rad_trace_token *tok,
                                    const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                                    struct rad_err *err)
{
    sqlite3_stmt *stmt = w->stmt[INSERT_TOKEN];
    const size_t path_bytes = (size_t)tok->n_hop * RAD_HOP_BYTES;
    const size_t stat_bytes = stat != NULL ? (size_t)tok->n_hop * RAD_STAT_BYTES : 0;
    if (!pack_reserve(w, path_bytes + stat_bytes + 1))
        return no_memory(err);
    pack_path(w->pack, hop, tok->n_hop);
    rad_db_bind_int(stmt, 1, tok->seq);
    rad_db_bind_int(stmt, 2, tok->pos);
    rad_db_bind_text(stmt, 3, rad_phase_name(tok->phase));
    if (tok->token >= 0)
        rad_db_bind_int(stmt, 4, tok->token);
    else
        rad_db_bind_null(stmt, 4);
    rad_db_bind_real(stmt, 5, (double)tok->nll);
    rad_db_bind_blob(stmt, 6, w->pack, path_bytes);
    rad_db_bind_null(stmt, 7);
    if (stat != NULL) {
        pack_stats(w->pack + path_bytes, stat, tok->n_hop);
        rad_db_bind_blob(stmt, 7, w->pack + path_bytes, stat_bytes);
    }
    return rad_db_step(w->db, stmt, NULL, err);
}

enum rad_status rad_trace_put(rad_trace_writer *w, const struct rad_trace_token *tok,
                              const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                              struct rad_err *err)
{
    struct rad_trace_fault fault;
    struct rad_trace_seq fresh = {.id = tok->seq};
    struct rad_trace_seq *known = seq_find(w, tok->seq);
    struct rad_trace_seq *seq = known != NULL ? known : &fresh;
    if (tok->seq < 0)
        return rad_fail(err, RAD_E_ARG, "trace: seq: expected an id >= 0 but found %lld",
                        (long long)tok->seq);
    if (!rad_trace_token_check(&w->run, seq, tok, hop, stat, &fault))
        return rad_fail(err, RAD_E_ARG, "trace: seq %lld, pos %d, %s: %s", (long long)tok->seq,
                        (int)tok->pos, fault.column, fault.text);
    RAD_TRY(write_begin(w, err));
    if (known == NULL) {
        if (!seq_add(w, &fresh))
            return no_memory(err);
        rad_db_bind_int(w->stmt[INSERT_SEQUENCE], 1, tok->seq);
        RAD_TRY(rad_db_step(w->db, w->stmt[INSERT_SEQUENCE], NULL, err));
    }
    w->forward = w->forward && rad_trace_path_forward(hop, tok->n_hop);
    RAD_TRY(insert_token(w, tok, hop, stat, err));
    return write_end(w, err);
}

enum rad_status rad_trace_timing(rad_trace_writer *w, int64_t seq, enum rad_phase phase,
                                 double seconds, struct rad_err *err)
{
    if (seq_find(w, seq) == NULL)
        return rad_fail(err, RAD_E_ARG, "trace: timing of sequence %lld, which has no token",
                        (long long)seq);
    if ((unsigned)phase > RAD_PHASE_DECODE || !isfinite(seconds) || seconds < 0)
        return rad_fail(err, RAD_E_ARG, "trace: timing: expected seconds >= 0 but found %g",
                        seconds);
    RAD_TRY(write_begin(w, err));
    sqlite3_stmt *stmt = w->stmt[INSERT_TIMING];
    rad_db_bind_int(stmt, 1, seq);
    rad_db_bind_text(stmt, 2, rad_phase_name(phase));
    rad_db_bind_real(stmt, 3, seconds);
    RAD_TRY(rad_db_step(w->db, stmt, NULL, err));
    return write_end(w, err);
}

/* ---- the end --------------------------------------------------------------------------- */

static enum rad_status mark_end(rad_trace_writer *w, double nll, bool forward_only,
                                struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    if (forward_only && !w->forward)
        return rad_fail(err, RAD_E_ARG, "trace: declared forward-only, but a path goes back");
    if (!isnan(nll) && (isinf(nll) || !rad_trace_may_have_nll(&w->run)))
        return rad_fail(err, RAD_E_ARG, "trace: run.nll: expected none (NaN) but found %g", nll);
    if (w->pending == 0)
        RAD_TRY(rad_db_begin(w->db, err));
    RAD_TRY(rad_db_exec(w->db,
                        "UPDATE sequence SET n_token ="
                        " (SELECT count(*) FROM token WHERE token.seq = sequence.id)",
                        err));
    RAD_TRY(rad_db_prepare(
        w->db, &stmt, "UPDATE run SET nll = ?, forward_only = ?, complete = 1 WHERE id = 1", err));
    rad_db_bind_real(stmt, 1, nll);
    rad_db_bind_int(stmt, 2, forward_only);
    const enum rad_status status = rad_db_step(w->db, stmt, NULL, err);
    rad_db_finalize(stmt);
    RAD_TRY(status);
    RAD_TRY(rad_db_commit(w->db, err));
    return rad_db_seal(w->db, err);
}

enum rad_status rad_trace_finish(rad_trace_writer *w, double nll, bool forward_only,
                                 struct rad_err *err)
{
    for (int i = 0; i < N_STMT; i++) {
        rad_db_finalize(w->stmt[i]);
        w->stmt[i] = NULL;
    }
    const enum rad_status status = mark_end(w, nll, forward_only, err);
    rad_trace_abandon(w);
    return status;
}

void rad_trace_abandon(rad_trace_writer *w)
{
    if (w == NULL)
        return;
    for (int i = 0; i < N_STMT; i++)
        rad_db_finalize(w->stmt[i]);
    rad_db_close(w->db);
    free(w->seq);
    free(w->pack);
    free(w);
}
