/* trace.c - a trace in memory: names, building, identity, accessors. */
#include "trace/trace_build.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kv_names[] = {"hole", "project", "copy"};
static const char *const phase_names[] = {"prefill", "decode"};
static const char *const format_names[] = {"csv", "jsonl", "perfetto"};

static int find(const char *name, const char *const names[], int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *rad_kv_name(enum rad_kv kv)
{
    return (unsigned)kv < 3 ? kv_names[kv] : "unknown";
}

enum rad_status rad_kv_parse(const char *name, enum rad_kv *out, struct rad_err *err)
{
    const int i = find(name, kv_names, 3);
    if (i < 0)
        return rad_fail(err, RAD_E_PARSE, "kv: expected hole, project or copy but found '%.32s'",
                        name);
    *out = (enum rad_kv)i;
    return RAD_OK;
}

const char *rad_phase_name(enum rad_phase phase)
{
    return (unsigned)phase < 2 ? phase_names[phase] : "unknown";
}

bool rad_phase_parse(const char *name, enum rad_phase *out)
{
    const int i = find(name, phase_names, 2);
    if (i >= 0)
        *out = (enum rad_phase)i;
    return i >= 0;
}

enum rad_status rad_trace_format_parse(const char *name, enum rad_trace_format *out,
                                       struct rad_err *err)
{
    const int i = find(name, format_names, 3);
    if (i < 0)
        return rad_fail(err, RAD_E_ARG, "expected csv, jsonl or perfetto but found '%.32s'", name);
    *out = (enum rad_trace_format)i;
    return RAD_OK;
}

const struct rad_trace_text rad_trace_texts[RAD_TRACE_N_TEXT] = {
    {"policy", offsetof(struct rad_trace_run, policy)},
    {"source", offsetof(struct rad_trace_run, source)},
    {"model_hash", offsetof(struct rad_trace_run, model_hash)},
    {"text_hash", offsetof(struct rad_trace_run, text_hash)},
    {"engine", offsetof(struct rad_trace_run, engine)},
    {"host", offsetof(struct rad_trace_run, host)},
    {"parent", offsetof(struct rad_trace_run, parent)},
};

const char *rad_trace_text_get(const struct rad_trace_run *run, int i)
{
    const char *text = NULL;
    memcpy(&text, (const char *)run + rad_trace_texts[i].offset, sizeof text);
    return text != NULL ? text : "";
}

/* ---- building -------------------------------------------------------------------------- */

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
}

enum rad_status rad_trace_new(rad_trace **out, const struct rad_trace_run *run, struct rad_err *err)
{
    *out = NULL;
    rad_trace *t = calloc(1, sizeof *t);
    if (t == NULL)
        return no_memory(err);
    t->run = *run;
    t->measured_s[0] = t->measured_s[1] = (double)NAN;
    for (int i = 0; i < RAD_TRACE_N_TEXT; i++) {
        t->text[i] = strdup(rad_trace_text_get(run, i));
        if (t->text[i] == NULL) {
            rad_trace_close(t);
            return no_memory(err);
        }
        memcpy((char *)&t->run + rad_trace_texts[i].offset, &t->text[i], sizeof t->text[i]);
    }
    *out = t;
    return RAD_OK;
}

/* Room for n more items: at least doubled when full. */
static bool reserve(void **items, size_t *max, size_t wanted, size_t item_bytes)
{
    if (wanted <= *max)
        return true;
    const size_t n = wanted > 2 * *max ? wanted + 64 : 2 * *max;
    void *more = n <= SIZE_MAX / item_bytes ? realloc(*items, n * item_bytes) : NULL;
    if (more == NULL)
        return false;
    *items = more;
    *max = n;
    return true;
}

static const struct rad_hop_stat no_stat = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};

/* Statistics may begin late or be missing for some tokens: those get NaN. */
static bool add_stats(rad_trace *t, const struct rad_hop_stat *stat, int32_t n_hop)
{
    if (stat == NULL && t->stat == NULL)
        return true;
    const size_t first = t->stat != NULL ? (size_t)t->n_hop : 0;
    const size_t end = (size_t)t->n_hop + (size_t)n_hop;
    void *items = t->stat;
    if (!reserve(&items, &t->max_stat, end + 1, sizeof *t->stat))
        return false;
    t->stat = items;
    for (size_t i = first; i < end; i++)
        t->stat[i] = no_stat;
    if (stat != NULL && n_hop > 0)
        memcpy(t->stat + t->n_hop, stat, (size_t)n_hop * sizeof *stat);
    return true;
}

enum rad_status rad_trace_add(rad_trace *t, const struct rad_trace_token *tok,
                              const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                              struct rad_err *err)
{
    if (t->n_hop + tok->n_hop > RAD_TRACE_HOPS_MAX)
        return rad_fail(err, RAD_E_RANGE, "trace: more than 2^31 hops; split it");
    void *tokens = t->token, *hops = t->hop;
    const bool ok =
        reserve(&tokens, &t->max_token, (size_t)t->n_token + 1, sizeof *t->token) &&
        reserve(&hops, &t->max_hop, (size_t)(t->n_hop + tok->n_hop) + 1, sizeof *t->hop);
    t->token = tokens;
    t->hop = hops;
    if (!ok || !add_stats(t, stat, tok->n_hop))
        return no_memory(err);
    if (tok->n_hop > 0)
        memcpy(t->hop + t->n_hop, hop, (size_t)tok->n_hop * sizeof *hop);
    t->token[t->n_token] = *tok;
    t->token[t->n_token].hop_first = t->n_hop;
    t->n_token++;
    t->n_hop += tok->n_hop;
    return RAD_OK;
}

/* ---- identity -------------------------------------------------------------------------- */

/* What was measured (engine, host, times, NLL, statistics) is left out: the same routing has the
 * same hash on every machine. */
static bool hashed(int text)
{
    const char *column = rad_trace_texts[text].column;
    return strcmp(column, "engine") != 0 && strcmp(column, "host") != 0;
}

/* Numbers go to the hasher in blocks: there are many and each is small. */
struct hash_block {
    rad_hasher *h;
    size_t n;
    unsigned char bytes[4096];
};

static void flush(struct hash_block *b)
{
    rad_hasher_update(b->h, b->bytes, b->n);
    b->n = 0;
}

static void update_u64(struct hash_block *b, uint64_t value)
{
    if (b->n == sizeof b->bytes)
        flush(b);
    for (int i = 0; i < 8; i++)
        b->bytes[b->n + (size_t)i] = (unsigned char)(value >> (8 * i));
    b->n += 8;
}

static void update_run(struct hash_block *b, const struct rad_trace_run *run, const char *card)
{
    rad_hasher_update(b->h, card, strlen(card) + 1);
    for (int i = 0; i < RAD_TRACE_N_TEXT; i++) {
        const char *text = rad_trace_text_get(run, i);
        if (hashed(i))
            rad_hasher_update(b->h, text, strlen(text) + 1);
    }
    update_u64(b, (uint64_t)run->kv);
    update_u64(b, run->forward_only);
    update_u64(b, run->has_router);
    update_u64(b, run->seed);
}

static void update_tokens(struct hash_block *b, const rad_trace *t)
{
    for (int64_t i = 0; i < t->n_token; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        update_u64(b, (uint64_t)tok->seq);
        update_u64(b, (uint64_t)(uint32_t)tok->pos << 32 | (uint64_t)tok->phase);
        update_u64(b, (uint64_t)(uint32_t)tok->token << 32 | (uint32_t)tok->n_hop);
    }
    for (int64_t i = 0; i < t->n_hop; i++)
        update_u64(b, (uint64_t)t->hop[i].n_keys << 32 | (uint64_t)t->hop[i].flags << 16 |
                          t->hop[i].layer);
}

static enum rad_status hash_trace(rad_trace *t, struct rad_err *err)
{
    struct hash_block b = {.n = 0};
    char *card = NULL;
    RAD_TRY(rad_card_to_json(&t->run.card, &card, err));
    const enum rad_status status = rad_hasher_open(&b.h, 0, err);
    if (status == RAD_OK) {
        update_run(&b, &t->run, card);
        update_tokens(&b, t);
        flush(&b);
        rad_hash_hex(rad_hasher_final(b.h), t->hash);
    }
    free(card);
    return status;
}

enum rad_status rad_trace_seal(rad_trace *t, struct rad_err *err)
{
    t->n_seq = t->n_visit = t->half_layers = 0;
    for (int64_t i = 0; i < t->n_token; i++)
        t->n_seq += i == 0 || t->token[i].seq != t->token[i - 1].seq;
    for (int64_t i = 0; i < t->n_hop; i++) {
        t->n_visit += rad_hop_is_visit(&t->hop[i]);
        t->half_layers += (t->hop[i].flags & RAD_HOP_ATTN) != 0;
        t->half_layers += (t->hop[i].flags & RAD_HOP_MLP) != 0;
    }
    return hash_trace(t, err);
}

static enum rad_status put_all(rad_trace_writer *w, const rad_trace *t, struct rad_err *err)
{
    for (int64_t i = 0; i < t->n_token; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        const struct rad_hop_stat *stat = t->stat != NULL ? t->stat + tok->hop_first : NULL;
        RAD_TRY(rad_trace_put(w, tok, t->hop + tok->hop_first, stat, err));
    }
    return RAD_OK;
}

enum rad_status rad_trace_save(const rad_trace *t, const char *path, struct rad_err *err)
{
    rad_trace_writer *w = NULL;
    RAD_TRY(rad_trace_create(&w, path, &t->run, err));
    enum rad_status status = put_all(w, t, err);
    if (status == RAD_OK)
        status = rad_trace_finish(w, t->run.nll, t->run.forward_only, err);
    else
        rad_trace_abandon(w);
    if (status != RAD_OK)
        rad_trace_remove(path);
    return status;
}

/* ---- accessors ------------------------------------------------------------------------- */

void rad_trace_close(rad_trace *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < RAD_TRACE_N_TEXT; i++)
        free(t->text[i]);
    free(t->token);
    free(t->hop);
    free(t->stat);
    free(t);
}

const struct rad_trace_run *rad_trace_run(const rad_trace *t)
{
    return &t->run;
}
const char *rad_trace_hash(const rad_trace *t)
{
    return t->hash;
}
bool rad_trace_complete(const rad_trace *t)
{
    return t->complete;
}
int64_t rad_trace_n_token(const rad_trace *t)
{
    return t->n_token;
}
int64_t rad_trace_n_seq(const rad_trace *t)
{
    return t->n_seq;
}
int64_t rad_trace_n_hop(const rad_trace *t)
{
    return t->n_hop;
}
int64_t rad_trace_n_visit(const rad_trace *t)
{
    return t->n_visit;
}
const struct rad_trace_token *rad_trace_tokens(const rad_trace *t)
{
    return t->token;
}
const struct rad_hop_rec *rad_trace_hops(const rad_trace *t)
{
    return t->hop;
}
const struct rad_hop_stat *rad_trace_stats(const rad_trace *t)
{
    return t->stat;
}

double rad_trace_measured_s(const rad_trace *t, enum rad_phase phase)
{
    return t->measured_s[phase];
}

double rad_trace_mean_depth(const rad_trace *t)
{
    return t->n_token > 0 ? (double)t->half_layers / 2.0 / (double)t->n_token : (double)NAN;
}
