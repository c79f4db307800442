/* trace.h - the waist of radial: what every token did, as a SQLite file.
 *
 * Left of a trace nothing knows hardware; right of it nothing knows tensors. The file format is
 * documented in docs/trace-format.md and proven by a second reader in tests/oracle. A trace is
 * written in transactions while a run goes on: a killed run leaves a readable prefix. */
#ifndef RAD_TRACE_H
#define RAD_TRACE_H

#include "base/err.h"
#include "spec/spec.h"

#include <stdio.h>

#define RAD_TRACE_APPLICATION_ID 0x52414454 /* "RADT" */
#define RAD_TRACE_VERSION 1                 /* user_version of the file */

enum rad_phase { RAD_PHASE_PREFILL = 0, RAD_PHASE_DECODE = 1 };
enum rad_kv { RAD_KV_HOLE, RAD_KV_PROJECT, RAD_KV_COPY }; /* definitions.md, KV cache semantics */

const char *rad_kv_name(enum rad_kv kv); /* "hole" "project" "copy" */
RAD_MUST_CHECK enum rad_status rad_kv_parse(const char *name, enum rad_kv *out,
                                            struct rad_err *err);

/* One hop of a token: packed little-endian as u16 layer, u16 flags, u32 n_keys. A record is either
 * a visit (ATTN, MLP or both), or something done to the cache of a skipped layer (PROJECT or COPY
 * alone, and only in a run of that KV semantics), or without flags a layer whose sublayers were
 * both discarded (oracle): no visit, no entry, but perhaps statistics. */
enum {
    RAD_HOP_ATTN = 1,    /* attention ran */
    RAD_HOP_MLP = 2,     /* MLP ran */
    RAD_HOP_PROJECT = 4, /* no visit: K and V were projected into the layer's cache */
    RAD_HOP_COPY = 8,    /* no visit: the entry of a lower layer stands in, by reference */
};
struct rad_hop_rec {
    uint16_t layer;
    uint16_t flags;
    uint32_t n_keys; /* keys attended, itself included; 0 without RAD_HOP_ATTN */
};
static inline bool rad_hop_is_visit(const struct rad_hop_rec *hop)
{
    return (hop->flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0;
}
static inline int rad_hop_sublayers(const struct rad_hop_rec *hop) /* that ran */
{
    return ((hop->flags & RAD_HOP_ATTN) != 0) + ((hop->flags & RAD_HOP_MLP) != 0);
}

/* Optional statistics of one hop, float32: |x|^2, |f|^2, x.f of both sublayers (dynamic-depth.md
 * 1.1), and the router's margin (best minus second score). NaN where a sublayer did not run; a
 * sublayer that ran and was discarded (oracle) may have its three numbers. */
struct rad_hop_stat {
    float a_attn, b_attn, c_attn, a_mlp, b_mlp, c_mlp, margin;
};

/* What the run was. Strings are borrowed by the writer, owned by the trace in a reader. */
struct rad_trace_run {
    struct rad_card card;
    const char *policy; /* "radial:budget=0.5" with all its parameters */
    enum rad_kv kv;
    bool forward_only; /* every path visits layers in increasing order */
    bool has_router;   /* the router ran after every hop */
    uint64_t seed;
    const char *source;     /* "eval", "run", "import", "synth", "transplant" */
    const char *model_hash; /* of the weights, "" if none */
    const char *text_hash;  /* of the token ids, "" if none */
    const char *engine;     /* program version, BLAS core, threads */
    const char *host;
    const char *parent; /* transplanted: hash of the original trace, else "" */
    double nll;         /* mean over predicted tokens, nats; NaN: none */
};

struct rad_trace_token {
    int64_t seq; /* sequence id */
    int32_t pos; /* position in the sequence, from 0 */
    enum rad_phase phase;
    int32_t token;     /* id, -1 unknown */
    float nll;         /* of predicting the next token, nats; NaN: none */
    int64_t hop_first; /* index into rad_trace_hops (readers only) */
    int32_t n_hop;     /* records, router-only steps not counted */
};

/* ---- writing --------------------------------------------------------------------------- */

typedef struct rad_trace_writer rad_trace_writer;

/* Create a trace file. An existing file is refused unless it is a trace or empty (then replaced).
 * Strings of run may be NULL for "". errors: RAD_E_ARG (run), RAD_E_IO, RAD_E_PARSE (not a
 * trace), RAD_E_DB, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_trace_create(rad_trace_writer **out, const char *path,
                                                const struct rad_trace_run *run,
                                                struct rad_err *err);

/* Append one token; tokens of a sequence come in position order, sequences in any order. stat may
 * be NULL, else [n_hop]. Rows are committed every 50 ms of writing or 1000 tokens. A token that
 * breaks a rule of docs/trace-format.md is refused with RAD_E_ARG and not written. */
RAD_MUST_CHECK enum rad_status rad_trace_put(rad_trace_writer *w, const struct rad_trace_token *tok,
                                             const struct rad_hop_rec *hop,
                                             const struct rad_hop_stat *stat, struct rad_err *err);

/* Record how long a phase of a sequence took on the machine that ran it (measured, seconds); calls
 * for the same phase add up. The sequence must have a token. */
RAD_MUST_CHECK enum rad_status rad_trace_timing(rad_trace_writer *w, int64_t seq,
                                                enum rad_phase phase, double seconds,
                                                struct rad_err *err);

/* Commit, store nll (NaN: none), forward_only and the end mark; frees w even on failure. Leaves
 * one file, without journal. errors: RAD_E_ARG (forward_only is not true), RAD_E_DB */
RAD_MUST_CHECK enum rad_status rad_trace_finish(rad_trace_writer *w, double nll, bool forward_only,
                                                struct rad_err *err);

/* Drop the writer after a failure: what is committed stays, without the end mark. */
void rad_trace_abandon(rad_trace_writer *w);

/* ---- reading --------------------------------------------------------------------------- */

typedef struct rad_trace rad_trace; /* loaded and validated; immutable, shared by threads */

/* Load and validate a whole trace. errors: RAD_E_IO, RAD_E_PARSE (not a trace, another version,
 * which row is wrong and why), RAD_E_DB. */
RAD_MUST_CHECK enum rad_status rad_trace_open(rad_trace **out, const char *path,
                                              struct rad_err *err);
void rad_trace_close(rad_trace *t);

const struct rad_trace_run *rad_trace_run(const rad_trace *t);
const char *rad_trace_hash(const rad_trace *t); /* of run and paths, 16 hex digits */
bool rad_trace_complete(const rad_trace *t);    /* the end mark is there */
int64_t rad_trace_n_token(const rad_trace *t);
int64_t rad_trace_n_seq(const rad_trace *t);
int64_t rad_trace_n_hop(const rad_trace *t);   /* records */
int64_t rad_trace_n_visit(const rad_trace *t); /* of these, visits: `hops` of definitions.md */
const struct rad_trace_token *rad_trace_tokens(const rad_trace *t); /* [n_token] by seq, pos */
const struct rad_hop_rec *rad_trace_hops(const rad_trace *t);       /* [n_hop] in token order */
const struct rad_hop_stat *rad_trace_stats(const rad_trace *t);     /* [n_hop], NULL if none; NaN
                                                                       where not recorded */

/* Measured seconds of a phase summed over sequences; NaN if not recorded. */
double rad_trace_measured_s(const rad_trace *t, enum rad_phase phase);

/* Mean layers executed per token: attention and MLP one half each (definitions.md, Depth). */
double rad_trace_mean_depth(const rad_trace *t);

/* rad_trace_open and SQLite's own integrity check, for files of doubtful origin. */
RAD_MUST_CHECK enum rad_status rad_trace_verify(rad_trace **out, const char *path,
                                                struct rad_err *err);

/* Count the hops whose n_keys is not what the rule of definitions.md gives for these paths. */
RAD_MUST_CHECK enum rad_status rad_trace_keys_differ(const rad_trace *t, int64_t *out,
                                                     struct rad_err *err);

#include "trace/trace_tools.h" /* statistics, exports, traces that no run here made */

#endif
