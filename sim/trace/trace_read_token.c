/* trace_read_token.c - the rows of table token. */
#include "trace/trace_load.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

static uint32_t load_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static enum rad_status scratch_reserve(struct rad_trace_load *ld, int32_t n)
{
    if (n <= ld->max_hop)
        return RAD_OK;
    void *hop = realloc(ld->hop, (size_t)n * sizeof *ld->hop);
    if (hop != NULL)
        ld->hop = hop;
    void *stat = realloc(ld->stat, (size_t)n * sizeof *ld->stat);
    if (stat != NULL)
        ld->stat = stat;
    if (hop == NULL || stat == NULL)
        return rad_trace_load_no_memory(ld);
    ld->max_hop = n;
    return RAD_OK;
}

/* A blob of whole records; takes its bytes from what the file can hold. */
static enum rad_status get_blob(struct rad_trace_load *ld, sqlite3_stmt *stmt, int i, size_t item,
                                size_t *n_item)
{
    RAD_TRY(rad_trace_need(ld, stmt, i, RAD_DB_BLOB));
    const size_t len = rad_db_column_bytes(stmt, i);
    const char *column = rad_db_column_name(stmt, i);
    if (len % item != 0)
        return rad_trace_bad(ld, column, "expected a multiple of %zu bytes but found %zu", item,
                             len);
    if (len / item > RAD_TRACE_PATH_MAX)
        return rad_trace_bad(ld, column, "expected at most %d hops but found %zu",
                             RAD_TRACE_PATH_MAX, len / item);
    if ((int64_t)len > ld->bytes_left)
        return rad_trace_bad(ld, column, "expected fewer bytes than the file has");
    ld->bytes_left -= (int64_t)len;
    *n_item = len / item;
    return RAD_OK;
}

static enum rad_status get_path(struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                int32_t *n_hop)
{
    size_t n = 0;
    RAD_TRY(get_blob(ld, stmt, i, RAD_HOP_BYTES, &n));
    RAD_TRY(scratch_reserve(ld, (int32_t)n));
    const unsigned char *from = rad_db_column_blob(stmt, i);
    for (size_t k = 0; k < n; k++, from += RAD_HOP_BYTES) {
        const uint32_t head = load_u32(from);
        ld->hop[k].layer = (uint16_t)(head & 0xffff);
        ld->hop[k].flags = (uint16_t)(head >> 16);
        ld->hop[k].n_keys = load_u32(from + 4);
    }
    *n_hop = (int32_t)n;
    return RAD_OK;
}

static enum rad_status get_stats(struct rad_trace_load *ld, sqlite3_stmt *stmt, int i,
                                 int32_t n_hop)
{
    size_t n = 0;
    RAD_TRY(get_blob(ld, stmt, i, RAD_STAT_BYTES, &n));
    if (n != (size_t)n_hop)
        return rad_trace_bad(ld, "stats", "expected %d bytes for %d hops but found %zu",
                             (int)n_hop * RAD_STAT_BYTES, (int)n_hop, n * RAD_STAT_BYTES);
    const unsigned char *from = rad_db_column_blob(stmt, i);
    for (size_t k = 0; k < n; k++) {
        float value[RAD_STAT_FLOATS];
        for (int f = 0; f < RAD_STAT_FLOATS; f++, from += 4) {
            const uint32_t bits = load_u32(from);
            memcpy(&value[f], &bits, sizeof bits);
        }
        ld->stat[k] = (struct rad_hop_stat){value[0], value[1], value[2], value[3],
                                            value[4], value[5], value[6]};
    }
    return RAD_OK;
}

/* Once all tokens of a sequence were read: are they as many as declared? */
static enum rad_status leave_sequence(struct rad_trace_load *ld)
{
    if (ld->at_seq < 0)
        return RAD_OK;
    const struct rad_trace_declared *seq = &ld->seq[ld->at_seq];
    if (seq->n_token == ld->now.n_token || (seq->n_token < 0 && !ld->t->complete))
        return RAD_OK;
    rad_trace_at_row(ld, "sequence", seq->id, -1);
    if (seq->n_token < 0)
        return rad_trace_bad(ld, "n_token",
                             "expected a number, as run.complete is 1, but found "
                             "NULL");
    return rad_trace_bad(ld, "n_token", "expected %d, the rows in table token, but found %lld",
                         (int)ld->now.n_token, (long long)seq->n_token);
}

/* Go on to the declared sequence that the row belongs to. */
static enum rad_status enter_sequence(struct rad_trace_load *ld, int64_t id)
{
    if (ld->at_seq >= 0 && ld->now.id == id)
        return RAD_OK;
    RAD_TRY(leave_sequence(ld));
    ld->at_seq++;
    if (ld->at_seq >= ld->n_seq || ld->seq[ld->at_seq].id > id)
        return rad_trace_bad(ld, "seq", "expected a row of table sequence but found none");
    if (ld->seq[ld->at_seq].id < id) {
        rad_trace_at_row(ld, "sequence", ld->seq[ld->at_seq].id, -1);
        return rad_trace_bad(ld, "id", "expected rows in table token but found none");
    }
    ld->now = (struct rad_trace_seq){.id = id};
    return RAD_OK;
}

static enum rad_status read_row(struct rad_trace_load *ld, sqlite3_stmt *stmt)
{
    struct rad_trace_token tok = {.token = -1};
    struct rad_trace_fault fault;
    int64_t pos = 0, id = -1;
    double nll = 0;
    rad_trace_at_row(ld, "token", 0, 0);
    RAD_TRY(rad_trace_get_int(ld, stmt, 0, INT64_MAX, &tok.seq));
    RAD_TRY(rad_trace_get_int(ld, stmt, 1, INT32_MAX - 1, &pos));
    rad_trace_at_row(ld, "token", tok.seq, pos);
    RAD_TRY(rad_trace_get_phase(ld, stmt, 2, &tok.phase));
    if (!rad_db_column_is_null(stmt, 3))
        RAD_TRY(rad_trace_get_int(ld, stmt, 3, INT32_MAX, &id));
    RAD_TRY(rad_trace_get_real(ld, stmt, 4, (double)FLT_MAX, &nll));
    RAD_TRY(get_path(ld, stmt, 5, &tok.n_hop));
    const bool has_stats = !rad_db_column_is_null(stmt, 6);
    if (has_stats)
        RAD_TRY(get_stats(ld, stmt, 6, tok.n_hop));
    tok.pos = (int32_t)pos;
    tok.token = (int32_t)id;
    tok.nll = (float)nll;
    RAD_TRY(enter_sequence(ld, tok.seq));
    const struct rad_hop_stat *stat = has_stats ? ld->stat : NULL;
    if (!rad_trace_token_check(&ld->t->run, &ld->now, &tok, ld->hop, stat, &fault))
        return rad_trace_bad(ld, fault.column, "%s", fault.text);
    return rad_trace_add(ld->t, &tok, ld->hop, stat, ld->err);
}

enum rad_status rad_trace_read_tokens(struct rad_trace_load *ld)
{
    RAD_TRY(rad_trace_read_rows(ld,
                                "SELECT seq, pos, phase, token, nll, path, stats FROM token"
                                " ORDER BY seq, pos",
                                read_row));
    RAD_TRY(leave_sequence(ld));
    if (ld->at_seq + 1 == ld->n_seq)
        return RAD_OK;
    rad_trace_at_row(ld, "sequence", ld->seq[ld->at_seq + 1].id, -1);
    return rad_trace_bad(ld, "id", "expected rows in table token but found none");
}
