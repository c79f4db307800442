/* spec.h - what a model is (card), and what a layer visit costs in work (operations).
 *
 * A card is the shape of a decoder-only transformer, with or without a router. Lowering turns
 * "m tokens visit a layer, attending to so many keys" into operations: FLOP and bytes, before any
 * hardware is named. Hardware models see operations only; traces carry their card as text. */
#ifndef RAD_SPEC_H
#define RAD_SPEC_H

#include "base/err.h"
#include "spec/op.h" /* number formats and operations: all that hardware models see */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- model cards ----------------------------------------------------------------------- */

enum rad_norm { RAD_NORM_RMS, RAD_NORM_LAYER };
enum rad_act { RAD_ACT_SWIGLU, RAD_ACT_GELU, RAD_ACT_RELU };
enum rad_bias { /* which layer matrices have one; ATTN: Q, K, V and the output projection */
                RAD_BIAS_NONE,
                RAD_BIAS_QKV,
                RAD_BIAS_ALL,
                RAD_BIAS_ATTN
};

#define RAD_CARD_NAME 64
#define RAD_MAX_LAYER 1024 /* more layers than any published transformer */

/* Shape of a model. Plain values: copy freely. All counts > 0 unless stated. A field left zero by
 * a caller that does not know it (bias, learned_positions, those behind) means the Llama way. */
struct rad_card {
    char name[RAD_CARD_NAME];
    int32_t n_layer, d_model, n_head, n_kv, d_head, ffn, vocab, n_ctx;
    enum rad_norm norm;
    enum rad_act act; /* SwiGLU has three FFN matrices, GELU and ReLU two */
    enum rad_bias bias;
    bool tied;                 /* the LM head is the embedding table */
    int32_t learned_positions; /* rows of a learned position table; 0: rotary positions */
    int32_t router_hidden;     /* 0: no router */
    int32_t max_hops;          /* n_layer without a router */
    int64_t params_expected;   /* published parameter count, 0 if unknown; checked on loading.
                                * Zero it when changing the shape of a loaded card. */
    int32_t embed_dim; /* width of the token table, projected to d_model and back; 0: equal */
    int32_t patch;     /* > 0: images in patches of so many pixels a side, 3 channels; a
                        * token is a patch or the class token, vocab counts classes, and
                        * the head has a bias */
    bool post_norm;    /* norms follow the residual additions; no final norm */
    bool alibi;        /* positions by ALiBi (Press et al., arXiv 2108.12409), no rotation */
    bool embed_norm;   /* a norm behind the token table */
};

/* Read a card from YAML by name (models/NAME.yaml, then the data folder, then RADIAL_PATH) or
 * path. Sources stay in the file. Defaults: n_kv = n_head, d_head = d_model / n_head, bias none,
 * tied false, learned_positions 0, router_hidden 0, max_hops = n_layer, all behind that 0.
 * errors: RAD_E_IO, RAD_E_PARSE (line:col), RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_card_open(struct rad_card *out, const char *path,
                                             struct rad_err *err);

/* The card as one JSON object, as stored in traces and results; reads back with
 * rad_card_from_json. The text is malloc'ed for the caller. Fields behind params_expected are left
 * out where they are zero. */
RAD_MUST_CHECK enum rad_status rad_card_to_json(const struct rad_card *card, char **out,
                                                struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_card_from_json(struct rad_card *out, const char *text,
                                                  struct rad_err *err);

/* Check ranges, divisibility and params_expected; every opener calls it. errors: RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_card_check(const struct rad_card *card, struct rad_err *err);

/* Counts of weights; the router's are its two matrices, without biases, once per model. */
int64_t rad_card_layer_params(const struct rad_card *card);
int64_t rad_card_router_params(const struct rad_card *card);
int64_t rad_card_params(const struct rad_card *card); /* all weights, router included */

/* ---- lowering -------------------------------------------------------------------------- */

/* Tokens that meet at one layer at one time. */
struct rad_group {
    int64_t m;            /* tokens that visit: gathered and scattered if partial is set */
    int64_t m_attn;       /* of these run attention */
    int64_t m_mlp;        /* of these run the MLP */
    int64_t m_kv_only;    /* tokens that only project K and V into the cache (KV project) */
    int64_t n_keys;       /* keys attended, summed over the m_attn tokens */
    int64_t kv_read_keys; /* distinct cache entries read: in prefill a sequence's keys are read once
                           * for all its queries of the group; in decode equal to n_keys */
    int32_t n_seq;        /* sequences they come from */
    bool partial;         /* fewer than all live tokens: gather and scatter are charged */
    int32_t groups_attn, groups_mlp; /* layers that these tokens are spread over, run as one: its
                                      * products are grouped. 0: one layer */
};

enum { RAD_LOWER_MAX = 24 }; /* upper bound of operations written by one call below */

/* Each writes ops[] and returns how many (0 for no tokens). dtype is that of weights, activations
 * and KV cache. The weights of a layer are counted once however its tokens are split: with
 * m_kv_only the QKV projection is two GEMMs, Q of m_attn and KV of m_attn + m_kv_only rows.
 *   layer   [gather] norm, QKV GEMM, [rope], attend, O GEMM, add,
 *           norm, up (gated: gate and up in one) GEMM, act, down GEMM, add [scatter]
 *   router  GEMM d -> router_hidden, act, GEMM router_hidden -> n_layer + 1; nothing without one
 *   embed   rows of the token table, and of the position table; a projection and a norm if the card
 *           has them; GEMM patch -> d for images
 *   head    norm (not after post-norm layers), projection if there is one, GEMM -> vocab */
int rad_lower_layer(const struct rad_card *card, enum rad_dtype dtype, const struct rad_group *g,
                    struct rad_op ops[RAD_LOWER_MAX]);
int rad_lower_router(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                     struct rad_op ops[RAD_LOWER_MAX]);
int rad_lower_embed(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                    struct rad_op ops[RAD_LOWER_MAX]);
int rad_lower_head(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                   struct rad_op ops[RAD_LOWER_MAX]); /* final norm + LM head */
/* A token drawn from the logits of each of m rows; nothing for images, whose head classifies. */
int rad_lower_sample(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                     struct rad_op ops[RAD_LOWER_MAX]);

#endif
