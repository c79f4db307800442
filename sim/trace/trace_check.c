/* trace_check.c - the rules of the format for one token; writer, reader and importer use them. */
#include "trace/trace_build.h"

#include "base/json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { ALL_FLAGS = RAD_HOP_ATTN | RAD_HOP_MLP | RAD_HOP_PROJECT | RAD_HOP_COPY };

static bool RAD_PRINTF(3, 4)
    fault_is(struct rad_trace_fault *fault, const char *column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fault->text, sizeof fault->text, fmt, ap);
    va_end(ap);
    fault->column = column;
    return false;
}

/* The first record that does not go to a higher layer than those before; n_hop if there is none.
 * *last is then the layer before it. */
static int32_t first_back(const struct rad_hop_rec *hop, int32_t n_hop, int32_t *last)
{
    *last = -1;
    for (int32_t i = 0; i < n_hop; i++) {
        if ((hop[i].flags & (RAD_HOP_PROJECT | RAD_HOP_COPY)) != 0)
            continue;
        if (hop[i].layer <= *last)
            return i;
        *last = hop[i].layer;
    }
    return n_hop;
}

bool rad_trace_path_forward(const struct rad_hop_rec *hop, int32_t n_hop)
{
    int32_t last = -1;
    return first_back(hop, n_hop, &last) == n_hop;
}

bool rad_trace_may_have_nll(const struct rad_trace_run *run)
{
    return run->source == NULL ||
           (strcmp(run->source, "synth") != 0 && strcmp(run->source, "transplant") != 0);
}

bool rad_trace_text_ok(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len; i++) {
        const bool c1 = s[i] == 0xc2 && i + 1 < len && s[i + 1] < 0xa0; /* U+0080..9F */
        if (s[i] < 0x20 || s[i] == 0x7f || c1)
            return false;
    }
    json_t *utf8 = json_stringn(text, len); /* NULL if it is not UTF-8 */
    json_decref(utf8);
    return utf8 != NULL;
}

static bool check_place(const struct rad_trace_seq *seq, const struct rad_trace_token *tok,
                        struct rad_trace_fault *fault)
{
    if (tok->pos != seq->n_token)
        return fault_is(fault, "pos",
                        "expected %d, the next position of the sequence, but found %d",
                        (int)seq->n_token, (int)tok->pos);
    if (tok->phase != RAD_PHASE_PREFILL && tok->phase != RAD_PHASE_DECODE)
        return fault_is(fault, "phase", "expected prefill or decode but found %d", (int)tok->phase);
    if (seq->decoding && tok->phase == RAD_PHASE_PREFILL)
        return fault_is(fault, "phase", "expected decode, which has begun, but found prefill");
    if (tok->token < -1)
        return fault_is(fault, "token", "expected an id >= 0 but found %d", (int)tok->token);
    return true;
}

static bool check_nll(const struct rad_trace_run *run, const struct rad_trace_token *tok,
                      struct rad_trace_fault *fault)
{
    if (isnan(tok->nll))
        return true;
    if (isinf(tok->nll))
        return fault_is(fault, "nll", "expected a finite number or NULL but found infinity");
    if (!rad_trace_may_have_nll(run))
        return fault_is(fault, "nll", "expected NULL, as the source is %s, but found %g",
                        run->source, (double)tok->nll);
    return true;
}

/* A record is a visit, or a cache entry made without one in a run that makes such entries, or a
 * layer whose sublayers were both discarded. */
static bool check_flags(const struct rad_trace_run *run, unsigned flags, int32_t i,
                        struct rad_trace_fault *fault)
{
    static const unsigned entry[] = {0, RAD_HOP_PROJECT, RAD_HOP_COPY}; /* by enum rad_kv */
    const unsigned visit = flags & (RAD_HOP_ATTN | RAD_HOP_MLP);
    const unsigned other = flags & (RAD_HOP_PROJECT | RAD_HOP_COPY);
    if ((flags & ~(unsigned)ALL_FLAGS) != 0)
        return fault_is(fault, "path",
                        "hop %d: expected flags of attn 1, mlp 2, project 4, copy 8 "
                        "but found 0x%x",
                        (int)i, flags);
    if (visit != 0 && other != 0)
        return fault_is(fault, "path",
                        "hop %d: expected project or copy alone but found them on a visit (0x%x)",
                        (int)i, flags);
    if (other != 0 && other != entry[run->kv])
        return fault_is(fault, "path", "hop %d: expected what kv=%s does but found flags 0x%x",
                        (int)i, rad_kv_name(run->kv), flags);
    return true;
}

/* A layer's cache has one entry per token: as many as are before, or, where attention looks both
 * ways, as the context holds. */
static bool check_keys(const struct rad_trace_run *run, const struct rad_trace_token *tok,
                       const struct rad_hop_rec *hop, int32_t i, struct rad_trace_fault *fault)
{
    const bool attends = (hop->flags & RAD_HOP_ATTN) != 0;
    const int64_t past = (int64_t)tok->pos + 1;
    const int64_t most = past > run->card.n_ctx ? past : run->card.n_ctx;
    if (!attends && hop->n_keys != 0)
        return fault_is(fault, "path", "hop %d: expected 0 keys without attention but found %u",
                        (int)i, (unsigned)hop->n_keys);
    if (attends && (hop->n_keys < 1 || hop->n_keys > most))
        return fault_is(fault, "path", "hop %d: expected 1 to %lld keys but found %u", (int)i,
                        (long long)most, (unsigned)hop->n_keys);
    return true;
}

static bool check_order(const struct rad_trace_run *run, const struct rad_trace_token *tok,
                        const struct rad_hop_rec *hop, struct rad_trace_fault *fault)
{
    int32_t last = -1;
    if (!run->forward_only && run->kv == RAD_KV_HOLE)
        return true;
    const int32_t i = first_back(hop, tok->n_hop, &last);
    if (i == tok->n_hop)
        return true;
    return fault_is(fault, "path", "hop %d: expected a layer above %d, as %s%s, but found %d",
                    (int)i, (int)last, run->forward_only ? "run.forward_only is 1" : "run.kv is ",
                    run->forward_only ? "" : rad_kv_name(run->kv), (int)hop[i].layer);
}

static bool check_path(const struct rad_trace_run *run, const struct rad_trace_token *tok,
                       const struct rad_hop_rec *hop, struct rad_trace_fault *fault)
{
    if (tok->n_hop < 0 || tok->n_hop > RAD_TRACE_PATH_MAX)
        return fault_is(fault, "path", "expected at most %d hops but found %d", RAD_TRACE_PATH_MAX,
                        (int)tok->n_hop);
    for (int32_t i = 0; i < tok->n_hop; i++) {
        if (hop[i].layer >= run->card.n_layer)
            return fault_is(fault, "path", "hop %d: expected a layer below %d but found %d", (int)i,
                            (int)run->card.n_layer, (int)hop[i].layer);
        if (!check_flags(run, hop[i].flags, i, fault) || !check_keys(run, tok, &hop[i], i, fault))
            return false;
    }
    return check_order(run, tok, hop, fault);
}

/* Three numbers of a sublayer: all there, or none. */
static bool triple_ok(float a, float b, float c)
{
    if (isnan(a) || isnan(b) || isnan(c))
        return isnan(a) && isnan(b) && isnan(c);
    return a >= 0 && b >= 0 && isfinite(a) && isfinite(b) && isfinite(c);
}

static bool check_stats(const struct rad_trace_token *tok, const struct rad_hop_stat *stat,
                        struct rad_trace_fault *fault)
{
    for (int32_t i = 0; stat != NULL && i < tok->n_hop; i++) {
        const struct rad_hop_stat *s = &stat[i];
        const bool attn = triple_ok(s->a_attn, s->b_attn, s->c_attn);
        if (!attn || !triple_ok(s->a_mlp, s->b_mlp, s->c_mlp))
            return fault_is(fault, "stats",
                            "hop %d: expected |x|^2 >= 0, |f|^2 >= 0 and x.f of %s, finite or all "
                            "three NaN",
                            (int)i, attn ? "the mlp" : "attention");
        if (isinf(s->margin))
            return fault_is(fault, "stats", "hop %d: expected a finite margin or NaN", (int)i);
    }
    return true;
}

bool rad_trace_token_check(const struct rad_trace_run *run, struct rad_trace_seq *seq,
                           const struct rad_trace_token *tok, const struct rad_hop_rec *hop,
                           const struct rad_hop_stat *stat, struct rad_trace_fault *fault)
{
    if (!check_place(seq, tok, fault) || !check_nll(run, tok, fault) ||
        !check_path(run, tok, hop, fault) || !check_stats(tok, stat, fault))
        return false;
    seq->n_token++;
    seq->decoding = tok->phase == RAD_PHASE_DECODE;
    return true;
}
