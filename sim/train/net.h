/* net.h - private to train/: parameters, the recorded forward pass of a shard, and its gradient.
 *
 * A *shard* is a few sequences that one thread runs forward and backward. Tokens move in hops: at
 * hop h every live token is at some layer; tokens at the same layer form a *visit* (batched GEMMs,
 * KV semantics of definitions.md). A dense network is the path 0, 1 ... L-1, so there is one code
 * path. Index letters: i token of the shard, r row of a visit, j key, l layer, h hop. */
#ifndef RAD_TRAIN_NET_H
#define RAD_TRAIN_NET_H

#include "base/arena.h"
#include "base/err.h"
#include "route/route.h"
#include "spec/spec.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* Offsets into the flat parameter (and gradient, and moment) block. */
struct layer_at {
    size_t norm1, qkv, o, norm2, up, down; /* norms: [d] weight, LayerNorm: then [d] bias */
};
struct router_at {
    size_t w1, b1, hop, last, price, w2,
        b2; /* [r][d] [r] [max_hops+1][r] [L+1][r] [r] [L+1][r] [L+1] */
};

struct net {
    struct rad_card card;
    float eps;
    double rope_theta;
    size_t n_param, n_trunk;    /* router parameters are the last */
    size_t embed, head, norm_f; /* head == embed if tied */
    struct layer_at layer[RAD_MAX_LAYER > 64 ? 64 : RAD_MAX_LAYER];
    struct router_at router;
    float *w;  /* [n_param] */
    float *cs; /* [n_ctx][d_head] RoPE table */
};

/* A named parameter, Hugging Face names; rows [from, from + dim0) of a block. */
struct net_tensor {
    char name[96];
    size_t at;
    int32_t n_dim;
    int64_t dim[2];
    bool decay; /* weight decay applies (matrices) */
};
int rad_net_tensors(const struct net *net, struct net_tensor *out, int cap);

RAD_MUST_CHECK enum rad_status rad_net_open(struct net *net, const struct rad_card *card,
                                            struct rad_err *err);
void rad_net_close(struct net *net);
RAD_MUST_CHECK enum rad_status rad_net_init(struct net *net, uint64_t seed, struct rad_err *err);

/* ---- one visit: rows of the shard that meet at a layer ------------------------------------ */

struct key_ref {
    int32_t visit, row;
};

struct visit_seq { /* the part of a visit that belongs to one sequence */
    int32_t row, n_q, n_k;
    struct key_ref *key; /* [n_k] in position order; NULL: own rows row..row+n_k */
    int32_t *n_see;      /* [n_q] */
    float *p;            /* [n_head][n_q][n_k] */
};

struct visit {
    int32_t layer, hop, n;
    int32_t *idx;          /* [n] token of the shard, ascending */
    struct visit_seq *seq; /* [n_seq of the shard] */
    float *x, *n1, *stat1; /* [n][d] */
    float *qkv;            /* [n][dq + 2 dkv] after RoPE */
    float *att;            /* [n][dq] */
    float *x1, *n2, *stat2;
    float *up, *act; /* [n][2 ffn or ffn], [n][ffn] */
    float *dkv;      /* [n][2 dkv] gradient of K and V rows, backward only */
};

struct hop_step { /* the state of all live tokens before a hop */
    int32_t n;
    int32_t *idx;           /* [n] */
    float *y, *stat;        /* final norm: [n][d] */
    float *x;               /* [n][d] state */
    float *p;               /* [n][V] softmax of the head; NULL: head not evaluated here */
    float *loss;            /* [n] cross entropy against the target distribution */
    float *rn, *ru, *score; /* router: [n][d] normalised input, [n][r] pre-activation, [n][L+1] */
    int32_t *dest;          /* [n] layer or RAD_EXIT */
    int32_t *last;          /* [n] */
    int32_t first_visit, n_visit;
};

struct shard {
    const struct net *net;
    rad_gemm *gemm;
    rad_arena *arena;
    int32_t n_seq, n_tok;  /* tokens in all; sequence s has tokens [s * T, (s+1) * T) */
    int32_t ctx;           /* T */
    const int32_t *token;  /* [n_tok] */
    float *h;              /* [n_tok][d] */
    int32_t *last;         /* [n_tok] layer of the last hop, -1 */
    int32_t *pos;          /* [n_tok] */
    struct key_ref *cache; /* [L][n_tok] latest visit of token at layer; visit -1: none */
    struct visit *visit;
    int32_t n_visit, cap_visit;
    struct hop_step *step;
    int32_t n_step;
    const float *price; /* [n_seq] router price, NULL without a router */
    int64_t seq_id;     /* of the first sequence, for seeded policies */
};

/* Start a shard: allocate from the arena, embed the tokens. */
RAD_MUST_CHECK enum rad_status rad_shard_begin(struct shard *s, struct rad_err *err);

/* Append the step of all tokens idx[n] that are alive before hop n_step. */
struct hop_step *rad_shard_step(struct shard *s, const int32_t *idx, int32_t n);

/* Final norm and softmax of the head on a step's states. target [n_tok][V] may be NULL; otherwise
 * loss[r] = logsumexp - sum(target * logits). */
RAD_MUST_CHECK enum rad_status rad_step_head(struct shard *s, struct hop_step *st,
                                             const float *target, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_step_router(struct shard *s, struct hop_step *st, int32_t hop,
                                               struct rad_err *err);

/* Run the visits that dest[] of the step asks for. */
RAD_MUST_CHECK enum rad_status rad_shard_hop(struct shard *s, struct hop_step *st,
                                             struct rad_err *err);

/* The attention call of one sequence of a visit; keys written by other visits are collected into
 * the arena, so the caller marks and resets it. */
RAD_MUST_CHECK enum rad_status rad_visit_attend(struct shard *s, const struct visit *v,
                                                const struct visit_seq *q, struct rad_attend *a,
                                                struct rad_err *err);

/* Gradients. dh [n_tok][d] is the gradient of the states after the hop, becomes that before it. */
RAD_MUST_CHECK enum rad_status rad_shard_hop_back(struct shard *s, const struct hop_step *st,
                                                  float *dh, float *grad, struct rad_err *err);
/* weight[n]: of each row's loss; target as in step_head. */
RAD_MUST_CHECK enum rad_status rad_step_head_back(struct shard *s, const struct hop_step *st,
                                                  const float *target, const float *weight,
                                                  float *dh, float *grad, struct rad_err *err);
/* The loss weight * |x - goal|^2 / |goal|^2, summed over the rows that have a goal [d]; its
 * gradient is added to dh. */
double rad_step_align_back(const struct shard *s, const struct hop_step *st,
                           const float *const *goal, double weight, float *dh);
/* dscore [n][L+1]; the router's input is not differentiated. */
RAD_MUST_CHECK enum rad_status rad_step_router_back(struct shard *s, const struct hop_step *st,
                                                    int32_t hop, const float *price,
                                                    const float *dscore, float *grad,
                                                    struct rad_err *err);
void rad_shard_embed_back(struct shard *s, const float *dh, float *grad);

#endif
