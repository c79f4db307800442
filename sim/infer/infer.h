/* infer.h - the routed forward pass: models, KV cache semantics, generation, evaluation.
 *
 * Tokens move in *times*. For a policy that may go back or repeat (any-order) time is the hop: at
 * time t every live token makes its t-th visit. For forward-only policies time is the layer. A
 * visit at time t to layer l attends to itself and to the latest visit at times <= t of each
 * earlier token to l (definitions.md), in prefill and decode alike, so that both agree. Tokens
 * that meet at a layer are one GEMM. Model and options are immutable; an engine belongs to one
 * caller and brings threads of its own. */
#ifndef RAD_INFER_H
#define RAD_INFER_H

#include "base/err.h"
#include "base/pool.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "route/route.h"
#include "tensor/tensor.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- models ------------------------------------------------------------------------------ */

/* Weights, tokenizer, config; immutable. Matrices stay in their format in the mapped file (those of
 * GPT-2, stored the other way round, are copied), so the file must not change while it is open. */
typedef struct rad_model rad_model;

/* Load a model: whatever rad_model_find takes. errors: those of checkpoint.h; a missing or
 * mis-shaped tensor is named. */
RAD_MUST_CHECK enum rad_status rad_model_open(rad_model **out, const char *folder,
                                              struct rad_err *err);
/* A model of this shape with made-up weights in memory, matrices in one format; no tokenizer, no
 * hash. For measuring speed. errors: RAD_E_UNSUPPORTED (more than a plain decoder), RAD_E_ARG (a
 * format of blocks that the widths do not fit), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_model_make(rad_model **out,
                                              const struct rad_model_config *config,
                                              enum rad_mat_type type, struct rad_err *err);
/* Where its matrices are, weight_bytes long; NULL: another model's. */
const void *rad_model_block(const rad_model *m);
void rad_model_close(rad_model *m);

const struct rad_model_config *rad_model_config(const rad_model *m);
const rad_tokenizer *rad_model_tokenizer(const rad_model *m); /* NULL: reads images */
const char *rad_model_hash(const rad_model *m);    /* of weights and config, 16 hex digits; of
                                                      tensors over 1 MiB four pieces count */
double rad_model_weight_bytes(const rad_model *m); /* in the file, embedding included */
int32_t rad_model_image_side(const rad_model *m);  /* in pixels; 0: a text model */
bool rad_model_has_head(const rad_model *m); /* false: an image model without; logits are NaN */

/* ---- engine ------------------------------------------------------------------------------ */

struct rad_engine_options {
    struct rad_route route;
    enum rad_kv kv;
    int32_t n_slot;  /* sequences kept at once */
    bool stats;      /* record rad_hop_stat */
    int32_t threads; /* of one forward call; 0: one per CPU. Does not change a bit. */
    bool bf16;       /* round activations to bfloat16 where weights are bfloat16 and more than 4
                      * rows meet: faster where the CPU multiplies bfloat16, 3 digits instead of 7 */
};

typedef struct rad_engine rad_engine;

/* errors: RAD_E_UNSUPPORTED (a policy that needs a router the model lacks; project or copy with
 * any-order paths, which have no "nearest lower layer"), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_engine_open(rad_engine **out, const rad_model *model,
                                               const struct rad_engine_options *opt,
                                               struct rad_err *err);
void rad_engine_close(rad_engine *e);
int rad_engine_threads(const rad_engine *e);

/* Forget the sequence in a slot; seq is the id that seeded policies see, and by which a budget
 * between two measured depths gives some sequences the lower and some the higher one. */
void rad_engine_start(rad_engine *e, int32_t slot, int64_t seq);

/* New tokens, each at the end of its slot's sequence; rows of one slot are consecutive. */
struct rad_row {
    int32_t slot, token;
};

/* Run n rows through the network; their paths, states and KV entries are kept in the engine.
 * errors: RAD_E_RANGE (token outside the vocabulary, sequence longer than the model allows) */
RAD_MUST_CHECK enum rad_status rad_engine_forward(rad_engine *e, const struct rad_row *row,
                                                  int32_t n, enum rad_route_phase phase,
                                                  struct rad_err *err);

/* The same for one image in slot 0, pixels [3][side][side] normalised: row 0 is the class token,
 * row i + 1 patch i. The logits of the image are those of row 0. errors: RAD_E_ARG (a text model)
 */
RAD_MUST_CHECK enum rad_status rad_engine_image(rad_engine *e, const float *pixels,
                                                struct rad_err *err);

/* Of the last forward call: what row r did. Borrowed until the next call. */
int32_t rad_engine_path(const rad_engine *e, int32_t r, const struct rad_hop_rec **hop,
                        const struct rad_hop_stat **stat);
/* Cosine of the state before and after each hop of row r; NULL without statistics. */
const float *rad_engine_cosines(const rad_engine *e, int32_t r);
/* Layers executed by row r, attention and MLP one half each. */
double rad_engine_depth(const rad_engine *e, int32_t r);
int32_t rad_engine_pos(const rad_engine *e, int32_t r);

/* LM head of rows first..first+n-1: logits [n][vocab]. */
RAD_MUST_CHECK enum rad_status rad_engine_logits(rad_engine *e, int32_t first, int32_t n,
                                                 float *logits, struct rad_err *err);

/* NLL in nats of target[r] for n rows (a negative target gives NaN). */
RAD_MUST_CHECK enum rad_status rad_engine_nll(rad_engine *e, int32_t n, const int32_t *target,
                                              float *nll, struct rad_err *err);

/* ---- evaluation -------------------------------------------------------------------------- */

/* Token ids in sequences: sequence s is id[first[s] .. first[s + 1]). */
struct rad_tokens {
    int32_t *id;
    int64_t *first; /* [n_seq + 1] */
    int64_t n_seq;
};
void rad_tokens_free(struct rad_tokens *t);

/* Non-overlapping windows of at most ctx tokens of a text (BOS in front of each if the tokenizer
 * adds one), appended to out. tail: only the last share of the text, 1 for all of it. */
RAD_MUST_CHECK enum rad_status rad_tokens_add_text(struct rad_tokens *out, const rad_model *m,
                                                   const char *path, int32_t ctx, double tail,
                                                   struct rad_err *err);
/* Ids separated by blanks, one sequence per line, verbatim. */
RAD_MUST_CHECK enum rad_status rad_tokens_add_ids(struct rad_tokens *out, const rad_model *m,
                                                  const char *path, struct rad_err *err);

struct rad_eval_result {
    int64_t tokens, fed; /* predicted; all tokens, the first of each window included */
    double nll, mean_depth, depth_frac, seconds, tokens_per_s;
    double flop_frac;  /* FLOP of the run, router and head included, over those of dense */
    bool forward_only; /* layers in order, by the policy: time is the layer, not the hop */
};

/* Called once per token in order; each may be NULL. */
struct rad_eval_sinks {
    rad_trace_writer *trace;
    enum rad_status (*token)(void *ctx, const struct rad_trace_token *tok, int32_t target,
                             double depth, struct rad_err *err);
    void *ctx;
    rad_progress *progress;
    /* The same with the token's path; stat is NULL unless engine.stats is set. */
    enum rad_status (*path)(void *ctx, const struct rad_trace_token *tok,
                            const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                            struct rad_err *err);
    /* The same with rad_engine_cosines; not called unless engine.stats is set. */
    enum rad_status (*block)(void *ctx, const struct rad_trace_token *tok,
                             const struct rad_hop_rec *hop, const float *cosine,
                             struct rad_err *err);
};

/* Teacher-forced evaluation, windows in parallel on the pool, one engine per thread of the pool;
 * with fewer windows than threads, engines of several threads each (engine.threads counts only
 * without a pool). decode: feed token by token through
 * the KV cache instead of whole windows (same numbers within 1e-4 nats). */
struct rad_eval_options {
    struct rad_engine_options engine;
    bool decode;
    rad_pool *pool;
};
RAD_MUST_CHECK enum rad_status rad_eval_run(const rad_model *m, const struct rad_tokens *tokens,
                                            const struct rad_eval_options *opt,
                                            const struct rad_eval_sinks *sinks,
                                            struct rad_eval_result *out, struct rad_err *err);

/* Images one after the other, each its own sequence, through a model that reads images; folder has
 * the model's preprocessor_config.json. logits [n][classes] are those of the class tokens. Of sinks
 * trace, path, block and progress are used; of out all but tokens, nll and flop_frac. errors: those
 * of rad_image_open, RAD_E_ARG (a text model) */
struct rad_images {
    const char *const *path;
    int64_t n;
    const char *folder;
};
RAD_MUST_CHECK enum rad_status rad_images_run(const rad_model *m, const struct rad_images *images,
                                              const struct rad_engine_options *opt,
                                              const struct rad_eval_sinks *sinks, float *logits,
                                              struct rad_eval_result *out, struct rad_err *err);

/* Describe a run for the header of its trace. Strings borrow from *text. */
struct rad_run_text {
    char policy[192], engine[192], host[96], hash[17];
};
struct rad_trace_run rad_trace_run_of(const rad_model *m, const struct rad_engine_options *opt,
                                      const char *source, const struct rad_tokens *tokens,
                                      struct rad_run_text *text);

/* ---- generation -------------------------------------------------------------------------- */

struct rad_generate_options {
    struct rad_engine_options engine;
    int32_t n_new;
    double temperature, top_p; /* temperature 0: greedy */
    uint64_t seed;
    rad_trace_writer *trace; /* may be NULL */
    /* Called per token, prompt included, with its depth; may be NULL. */
    void (*token)(void *ctx, int32_t id, bool prompt, double depth);
    void *ctx;
};
struct rad_generate_result {
    int32_t n_prompt, n_new;
    double mean_depth, depth_frac, prefill_s, decode_s, nll; /* nll of the prompt */
    bool forward_only; /* layers in order, by the policy: time is the layer, not the hop */
};
RAD_MUST_CHECK enum rad_status rad_generate(const rad_model *m, const struct rad_ids *prompt,
                                            const struct rad_generate_options *opt,
                                            struct rad_ids *out, struct rad_generate_result *result,
                                            struct rad_err *err);

/* ---- profile ----------------------------------------------------------------------------- */

/* How much sublayers change the residual stream. x is a token's state before a sublayer and f what
 * the sublayer adds, before the norm of a post-norm layer (Dotzel et al., arXiv 2404.04900,
 * section 2):
 *
 *   ratio_in = |f| / |x|      ratio_out = |f| / |x + f|
 *   cos_in_out = x.(x + f) / (|x| |x + f|)
 *
 * Quantiles over the tokens that ran it; NaN if none did. Over a whole layer (both sublayers and
 * what follows them), with states x_in and x_out (ShortGPT, Men et al., arXiv 2403.03853):
 *
 *   influence = 1 - mean cos(x_in, x_out) */
struct rad_profile_spread {
    double p10, median, p90;
};
struct rad_profile_row {
    int32_t layer;
    bool mlp; /* attention if not */
    int64_t n;
    struct rad_profile_spread ratio_in, ratio_out, cos_in_out;
};
struct rad_profile {
    struct rad_profile_row *row; /* [n_row]: attention and MLP of layer 0, of layer 1 ... */
    int32_t n_row;
    int64_t n;                                                 /* sublayer runs */
    struct rad_profile_spread ratio_in, ratio_out, cos_in_out; /* over all of them */
    double *influence; /* [n_row / 2] of each layer; NaN without rad_profiler_add_block */
};

/* What was published of a checkpoint of this family and shape, to hold a profile against; NULL:
 * nothing. The paper does not say which reading of the ratio it took, nor whether it pools
 * sublayers: attention and MLP of all layers and tokens are pooled here. */
struct rad_published_ratio {
    const char *model;
    double median;
    const char *source;
};
const struct rad_published_ratio *rad_published_ratio(const struct rad_model_config *config);

typedef struct rad_profiler rad_profiler;

RAD_MUST_CHECK enum rad_status rad_profiler_open(rad_profiler **out, int32_t n_layer,
                                                 struct rad_err *err);
void rad_profiler_close(rad_profiler *p); /* NULL is fine */

/* One token; for rad_eval_sinks.path with the profiler as ctx, and for the tokens of a trace. What
 * a policy computed and discarded counts too. errors: RAD_E_NOMEM, RAD_E_ARG (no statistics, a
 * layer outside the model) */
RAD_MUST_CHECK enum rad_status rad_profiler_add(void *profiler, const struct rad_trace_token *tok,
                                                const struct rad_hop_rec *hop,
                                                const struct rad_hop_stat *stat,
                                                struct rad_err *err);

/* For rad_eval_sinks.block, likewise. */
RAD_MUST_CHECK enum rad_status rad_profiler_add_block(void *profiler,
                                                      const struct rad_trace_token *tok,
                                                      const struct rad_hop_rec *hop,
                                                      const float *cosine, struct rad_err *err);

/* The quantiles of what was added; free with rad_profile_free. */
RAD_MUST_CHECK enum rad_status rad_profiler_result(const rad_profiler *p, struct rad_profile *out,
                                                   struct rad_err *err);
void rad_profile_free(struct rad_profile *p);

/* ---- what skipping costs --------------------------------------------------------------------- */

/* One sublayer of one token: its ratios, and the loss of predicting the next token with all
 * sublayers (nll) and without this one (nll + delta), nats. The tokens before it ran all of theirs;
 * what the change does to later tokens is not looked at. */
struct rad_skip_loss {
    int64_t seq;
    int32_t pos, layer;
    bool mlp; /* attention if not */
    float ratio_in, ratio_out, cos_in_out, nll, delta;
};
struct rad_skip_loss_options {
    int64_t n_token; /* tokens to try, evenly spread; at most all that have a next one */
    rad_pool *pool;
    rad_progress *progress;
    /* Rows by sequence, position, layer, attention first. */
    enum rad_status (*row)(void *ctx, const struct rad_skip_loss *row, struct rad_err *err);
    void *ctx;
};
/* errors: those of the engine and of row, RAD_E_ARG (no token to predict) */
RAD_MUST_CHECK enum rad_status rad_skip_loss_run(const rad_model *m,
                                                 const struct rad_tokens *tokens,
                                                 const struct rad_skip_loss_options *opt,
                                                 struct rad_err *err);

#endif
