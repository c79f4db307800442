/* trace_tools.h - statistics of traces, exports, and traces that no run here made. Included by
 * trace.h; do not include it alone. */
#ifndef RAD_TRACE_TOOLS_H
#define RAD_TRACE_TOOLS_H

/* ---- statistics ------------------------------------------------------------------------ */

struct rad_trace_spread {
    double p10, median, p90; /* NaN if n is 0 */
    int64_t n;               /* samples */
};

/* Residual ratios of one sublayer, from |x|^2 = a, |f|^2 = b, x.f = c (dynamic-depth.md 1.1). */
struct rad_trace_ratios {
    struct rad_trace_spread ratio_in;  /* sqrt(b / a) */
    struct rad_trace_spread ratio_out; /* sqrt(b / (a + b + 2c)) */
    struct rad_trace_spread cos;       /* (a + c) / sqrt(a (a + b + 2c)) */
};

struct rad_trace_layer {
    int64_t visits, attn, mlp;         /* visits; of these, with attention, with MLP */
    double mean_keys;                  /* keys attended per attention; NaN if none */
    struct rad_trace_ratios ratios[2]; /* attention, MLP; n = 0 without statistics */
};

struct rad_trace_summary {
    int32_t n_layer, n_hist;
    int64_t *hist;                  /* [n_hist] tokens with 0, 1, 2... visits */
    struct rad_trace_layer *layer;  /* [n_layer] */
    struct rad_trace_ratios all[2]; /* all layers together */
    int64_t tokens[2];              /* by enum rad_phase */
    double mean_depth[2];           /* by enum rad_phase; NaN if no tokens */
    double mean_keys;               /* keys attended per attention; NaN if none */
};

/* Compute everything above; free with rad_trace_summary_free. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_trace_summarise(struct rad_trace_summary *out,
                                                   const rad_trace *t, struct rad_err *err);
void rad_trace_summary_free(struct rad_trace_summary *s);

/* ---- traces that no run here made ------------------------------------------------------ */

/* Each loads or builds everything first: wrong input leaves no file, and an existing trace at
 * out_path as it was. If writing fails after that, no file is left. Keys attended are counted by
 * the rule of definitions.md. */

struct rad_trace_import_options {
    const char *policy; /* as stored; NULL: "recorded" */
    enum rad_kv kv;     /* project, copy: records of skipped layers are added unless present */
    bool any_order;     /* count keys hop by hop even if every path happens to go forward */
    bool has_router;    /* the router ran after every hop; the card must have one */
};

/* Read routing recorded elsewhere, one JSON object per line (docs/trace-format.md).
 * errors: RAD_E_PARSE and RAD_E_RANGE as "file:line:column: ...", RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_trace_import(const char *jsonl_path, const struct rad_card *card,
                                                const char *out_path,
                                                const struct rad_trace_import_options *opt,
                                                struct rad_err *err);

/* The routing of a trace on a larger card: each layer becomes a block of consecutive layers, chosen
 * so that depth_frac is kept (docs/trace-format.md has the rule). Keys are kept; token NLL,
 * statistics and timing are dropped; source is "transplant" and parent the hash of in. If in has a
 * router and the card has none, a router of proportional width is added to the card.
 * errors: RAD_E_ARG (fewer layers; into a file: in is only a prefix), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_trace_transplanted(rad_trace **out, const rad_trace *in,
                                                      const struct rad_card *card,
                                                      struct rad_err *err); /* in memory */
RAD_MUST_CHECK enum rad_status rad_trace_transplant(const rad_trace *in,
                                                    const struct rad_card *card,
                                                    const char *out_path, struct rad_err *err);

/* The rule for the layers: layer l of n becomes repeat[l] of n_layer >= n consecutive layers, where
 * sublayers[l] attentions and MLPs ran in it. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_trace_layer_repeats(uint32_t *repeat, const int64_t *sublayers,
                                                       int32_t n, int32_t n_layer,
                                                       struct rad_err *err);

/* The rule for the router: `to`, with the run's router and hop limit in proportion if the run had
 * one and `to` has none. */
struct rad_card rad_trace_routed_card(const struct rad_trace_run *run, const struct rad_card *to);

struct rad_trace_synth_options {
    const struct rad_card *card;
    const char *policy;    /* one that needs no scores: "dense", "uls:...", "skip:..." */
    int32_t prompt, n_new; /* tokens per sequence: prefill, then decode steps; >= 0, sum >= 1 */
    int32_t n_seq;         /* >= 1 */
    uint64_t seed;         /* of policies that draw, unless the text has its own seed= */
    enum rad_kv kv;
};

/* A shape-only trace: what a policy that looks at no weights would do.
 * errors: RAD_E_ARG (options), RAD_E_RANGE (longer than n_ctx), RAD_E_UNSUPPORTED (a policy that
 * needs weights), those of rad_route_parse */
RAD_MUST_CHECK enum rad_status rad_trace_synth(const struct rad_trace_synth_options *opt,
                                               const char *out_path, struct rad_err *err);

/* ---- exports --------------------------------------------------------------------------- */

enum rad_trace_format {
    RAD_TRACE_CSV,     /* one row per hop */
    RAD_TRACE_JSONL,   /* one object per token; rad_trace_import reads it */
    RAD_TRACE_PERFETTO /* Chrome trace JSON; one unit of time is one hop */
};
RAD_MUST_CHECK enum rad_status rad_trace_format_parse(const char *name, enum rad_trace_format *out,
                                                      struct rad_err *err);

/* errors: RAD_E_IO (to refused) */
RAD_MUST_CHECK enum rad_status rad_trace_export(const rad_trace *t, enum rad_trace_format format,
                                                FILE *to, struct rad_err *err);

/* ---- keys attended (definitions.md, KV cache semantics) -------------------------------- */

/* Count the keys of each token of one sequence after another. A layer's cache has one entry per
 * token. An entry is visible to a visit at hop h if the token made it at hop <= h; in a forward
 * order, always. Models of images are refused (RAD_E_UNSUPPORTED): their tokens see later
 * ones too. */
typedef struct rad_trace_keys rad_trace_keys;
RAD_MUST_CHECK enum rad_status
rad_trace_keys_open(rad_trace_keys **out, const struct rad_trace_run *run, struct rad_err *err);
void rad_trace_keys_close(rad_trace_keys *k);

/* What is known of a token's path. */
struct rad_trace_path {
    int64_t seq;
    const struct rad_hop_rec *hop; /* [n_hop] */
    int32_t n_hop;
    bool fill;     /* add the records of skipped layers that run.kv asks for (forward paths) */
    bool has_keys; /* n_keys is given: keep it */
};

/* The records of the next token, in position order, with keys counted; n_keys must be 0 where
 * attention does not run. *out lives until the next call. */
RAD_MUST_CHECK enum rad_status rad_trace_keys_next(rad_trace_keys *k,
                                                   const struct rad_trace_path *path,
                                                   const struct rad_hop_rec **out, int32_t *n_out,
                                                   struct rad_err *err);

#endif
