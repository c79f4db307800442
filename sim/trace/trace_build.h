/* trace_build.h - what the files of sim/trace share: a trace in memory, and the rules of the
 * format.
 *
 * The reader, the importer, synth and transplant all fill a rad_trace token by token and finish it;
 * the writer and the reader check every token by the same rules. */
#ifndef RAD_TRACE_BUILD_H
#define RAD_TRACE_BUILD_H

#include "db/db.h"
#include "trace/trace.h"

/* Limits of the format, far above any real model. */
#define RAD_TRACE_TEXT_MAX 4096                /* bytes of a text column of `run` */
#define RAD_TRACE_CARD_MAX 65536               /* bytes of the card */
#define RAD_TRACE_PATH_MAX 65535               /* records of one token */
#define RAD_TRACE_HOPS_MAX INT64_C(0x80000000) /* records of a trace */

enum { RAD_HOP_BYTES = 8, RAD_STAT_FLOATS = 7, RAD_STAT_BYTES = 28 }; /* of one packed record */

extern const struct rad_db_format rad_trace_format_sql; /* the tables; made by rad_db_open */
enum { RAD_TRACE_N_VIEW = 2 };
extern const char *const rad_trace_views[RAD_TRACE_N_VIEW]; /* made with the run row */

struct rad_trace_doc {
    const char *table, *column, *unit, *doc;
};
const struct rad_trace_doc *rad_trace_docs(size_t *n); /* rows of column_doc */

/* The text columns of `run`, in column order, and where they are in the struct. */
struct rad_trace_text {
    const char *column;
    size_t offset;
};
enum { RAD_TRACE_N_TEXT = 7, RAD_TRACE_SOURCE = 1 };
extern const struct rad_trace_text rad_trace_texts[RAD_TRACE_N_TEXT];

const char *rad_trace_text_get(const struct rad_trace_run *run, int i);
const char *rad_phase_name(enum rad_phase phase); /* "prefill" "decode" */
bool rad_phase_parse(const char *name, enum rad_phase *out);

/* ---- the rules ------------------------------------------------------------------------- */

/* Which column of table token breaks a rule, and how. */
struct rad_trace_fault {
    const char *column;
    char text[256];
};

/* What is known of a sequence so far. */
struct rad_trace_seq {
    int64_t id;
    int32_t n_token; /* the position that must come next */
    bool decoding;   /* no more prefill */
};

/* Does the token follow the rules of docs/trace-format.md? If so, seq takes note of it. */
bool rad_trace_token_check(const struct rad_trace_run *run, struct rad_trace_seq *seq,
                           const struct rad_trace_token *tok, const struct rad_hop_rec *hop,
                           const struct rad_hop_stat *stat, struct rad_trace_fault *fault);

/* Do visits (and discarded ones) go to ever higher layers? */
bool rad_trace_path_forward(const struct rad_hop_rec *hop, int32_t n_hop);

/* May a run of this source have an NLL? Routing without its model cannot. */
bool rad_trace_may_have_nll(const struct rad_trace_run *run);

/* One line of UTF-8 without control characters? It will be printed. */
bool rad_trace_text_ok(const char *text, size_t len);

/* ---- a trace in memory ----------------------------------------------------------------- */

struct rad_trace {
    struct rad_trace_run run; /* its strings are text[] */
    char *text[RAD_TRACE_N_TEXT];
    char hash[17];
    bool complete;
    int64_t n_token, n_hop, n_visit, n_seq, half_layers; /* half_layers: attention + MLP runs */
    size_t max_token, max_hop, max_stat;                 /* allocated */
    struct rad_trace_token *token;
    struct rad_hop_rec *hop;
    struct rad_hop_stat *stat; /* NULL until a token has some */
    double measured_s[2];      /* NaN: not recorded */
};

/* An empty trace with a copy of run. Free with rad_trace_close. */
RAD_MUST_CHECK enum rad_status rad_trace_new(rad_trace **out, const struct rad_trace_run *run,
                                             struct rad_err *err);

/* Append a token as it is (hop_first is set here). Tokens come by seq, pos. */
RAD_MUST_CHECK enum rad_status rad_trace_add(rad_trace *t, const struct rad_trace_token *tok,
                                             const struct rad_hop_rec *hop,
                                             const struct rad_hop_stat *stat, struct rad_err *err);

/* Count what is there, and hash it. */
RAD_MUST_CHECK enum rad_status rad_trace_seal(rad_trace *t, struct rad_err *err);

/* Write a complete trace to a file; if that fails, no file is left. */
RAD_MUST_CHECK enum rad_status rad_trace_save(const rad_trace *t, const char *path,
                                              struct rad_err *err);

/* Views, documentation and the run in one transaction, into a file that has the tables. */
RAD_MUST_CHECK enum rad_status rad_trace_describe(rad_db *db, const struct rad_trace_run *run,
                                                  struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_trace_run_check(const struct rad_trace_run *run,
                                                   struct rad_err *err); /* RAD_E_ARG, ... */

/* Remove a file that could not be written as a whole, and its journals: it is no prefix of a run.
 */
void rad_trace_remove(const char *path);

#endif
