/* engine.h - private to infer/: weights, KV cache and scratch of the engine. */
#ifndef RAD_INFER_ENGINE_H
#define RAD_INFER_ENGINE_H

#include "base/arena.h"
#include "infer/infer.h"
#include "tensor/tensor.h"

struct linear { /* w.data NULL: the model has no such matrix */
    struct rad_mat w;
    const float *b; /* NULL: no bias */
};

struct norm {
    const float *w, *b; /* w NULL: no such norm; b NULL for RMS norms */
};

struct layer_weights { /* q holds k and v too if the file has them by head */
    struct norm norm1, norm2;
    struct linear q, k, v, o, gate, up, down;
};

struct router_weights {
    const float *w1, *b1, *hop, *last, *price, *w2, *b2;
};

struct rad_model {
    struct rad_model_config config;
    rad_tokenizer *tokenizer; /* NULL for images */
    rad_tensors *file;        /* matrices lie in it */
    rad_arena *arena;         /* vectors in float32, matrices that had to be turned */
    void *block;              /* matrices of rad_model_make */
    double weight_bytes;
    enum rad_qkv qkv; /* STACKED matrices were taken apart */
    struct rad_mat embed, position;
    struct linear project_in, project_out, head, patch;
    const float *cls;
    struct norm embed_norm, norm_f;
    struct layer_weights *layer;
    struct router_weights router;
    double *turn; /* [d_head / 2] rotation per position, radians */
    /* rad_kernels()->rope, or rad_rope_pairs for models whose pairs are neighbours */
    void (*rope)(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                 const float *cs, float *x);
    const float *slope; /* [n_head] ALiBi, NULL: none */
    char hash[17];
};

/* The KV cache of one layer of one slot: entries in the order of writing, in chunks of
 * KV_CHUNK by head, so that attention reads memory from front to back. */
enum { KV_CHUNK = RAD_ATTEND_CHUNK };
struct kv_layer {
    float *kv;       /* [cap / KV_CHUNK][n_kv][2: K, V][KV_CHUNK][d_head] */
    int32_t *pos;    /* [cap] */
    int32_t *time;   /* [cap] */
    int32_t *prev;   /* [cap] earlier entry of the same token, -1 none */
    int32_t *latest; /* [n_ctx] newest entry of a token, -1 none */
    int32_t n, cap;
    bool in_order; /* entries 0..n-1 are of ascending positions, none is discarded */
};

struct slot {
    int64_t seq;
    int32_t n_tok;
    float price;            /* of a layer, for the router */
    struct kv_layer *layer; /* [n_layer] */
};

struct path { /* of one row */
    struct rad_hop_rec *hop;
    struct rad_hop_stat *stat;
    float *cos; /* of the state before and after a visit; NULL without statistics */
    int32_t n;
};

struct router_price {   /* of a radial policy: a budget between two measured prices mixes both */
    float lower, upper; /* prices that buy less and more depth */
    double upper_frac;  /* share of sequences that take the upper one */
};

struct omit {      /* what every row leaves out, whatever the policy says */
    int32_t layer; /* -1: nothing */
    bool mlp;      /* its attention if not */
};

struct rad_engine {
    const rad_model *model;
    struct rad_engine_options opt;
    struct router_price price;
    bool by_layer; /* forward-only policy: time is the layer */
    bool router;   /* the router runs after every hop */
    struct omit omit;
    rad_gemm *gemm;
    rad_arena *arena;
    struct slot *slot;
    /* the rows of the last forward call; all in the arena */
    int32_t n_row;
    const struct rad_row *row;
    int32_t *pos, *last;
    int64_t *seq;
    float *h; /* [n_row][d] */
    struct path *path;
    int32_t max_time;
    float *cs; /* [n_cs][d_head] cosines and sines of the positions seen so far */
    int32_t n_cs;
};

/* ---- cache.c ---- */
RAD_MUST_CHECK enum rad_status rad_cache_open(struct kv_layer *l, const struct rad_card *c,
                                              struct rad_err *err);
void rad_cache_close(struct kv_layer *l);
void rad_cache_clear(struct kv_layer *l, int32_t n_tok);
/* Append an entry for (pos, time), its kv not yet written; returns its index, -1: no memory. */
int32_t rad_cache_append(struct kv_layer *l, const struct rad_card *c, int32_t pos, int32_t time);
/* K and V of a head of an entry. */
static inline float *rad_cache_k(const struct kv_layer *l, const struct rad_card *c, int32_t head,
                                 int32_t entry)
{
    const size_t at = (size_t)entry, chunk = at / KV_CHUNK;
    const size_t block = chunk * (size_t)c->n_kv + (size_t)head; /* of K, V */
    return l->kv + (block * 2 * KV_CHUNK + at % KV_CHUNK) * (size_t)c->d_head;
}
static inline float *rad_cache_v(const struct kv_layer *l, const struct rad_card *c, int32_t head,
                                 int32_t entry)
{
    return rad_cache_k(l, c, head, entry) + (size_t)KV_CHUNK * (size_t)c->d_head;
}
/* Take the newest entry of pos away again; its room, too, if it was the last one written. */
void rad_cache_drop(struct kv_layer *l, int32_t pos);
/* Take the last token of a slot away again, with its entries in all layers. */
void rad_engine_undo(rad_engine *e, int32_t slot);
/* The keys that queries at time t of positions up to last_pos may see, in position order. */
int32_t rad_cache_list(const struct kv_layer *l, int32_t time, int32_t last_pos, int32_t *entry);

/* ---- router.c ---- */
/* Scores [n][n_layer + 1] of rows idx[n], the bonus taken off the output node. */
RAD_MUST_CHECK enum rad_status rad_router_scores(rad_engine *e, const int32_t *idx, int32_t n,
                                                 int32_t hop, float *score, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_router_price(const rad_model *m, const struct rad_route *route,
                                                struct router_price *price, struct rad_err *err);
/* The price of a sequence: the upper one for so many of any consecutive ids as the share says. */
float rad_router_price_of(const struct router_price *p, int64_t seq);

/* Append a hop to a row's path; stat may be NULL. */
RAD_MUST_CHECK enum rad_status rad_path_add(rad_engine *e, int32_t row, struct rad_hop_rec hop,
                                            const struct rad_hop_stat *stat, struct rad_err *err);

/* Apply a norm of a model to n rows of width d_model. stat: [2 n] scratch. */
void rad_model_norm(const rad_model *m, const struct norm *w, int32_t n, const float *x, float *y,
                    float *stat);

/* The activation of a model's MLP; NULL for SwiGLU, which takes two factors. */
rad_map_fn *rad_model_activation(const rad_model *m);

/* RAD_OK for a finite x; else RAD_E_RANGE: the model predicts no number behind that token. */
RAD_MUST_CHECK enum rad_status rad_prediction_check(float x, int64_t seq, int64_t pos,
                                                    struct rad_err *err);

/* x.y / (|x| |y|) of two states of width d */
float rad_state_cosine(size_t d, const float *x, const float *y);

/* The layers, still empty, and the tables that follow from the config; the arena is open.
 * errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_model_make_tables(rad_model *m, struct rad_err *err);

/* Fill a model whose config and file are open. errors: RAD_E_RANGE (a tensor is missing or has
 * another shape), RAD_E_UNSUPPORTED, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_model_load_tensors(rad_model *m, struct rad_err *err);

/* ---- embed.c: what enters the first layer ---- */
/* h[n_row][d_model] of the rows' tokens and positions. */
RAD_MUST_CHECK enum rad_status rad_embed_tokens(rad_engine *e, struct rad_err *err);
/* h of an image, pixels [3][side][side]: the class token, then patches row by row. */
RAD_MUST_CHECK enum rad_status rad_embed_image(rad_engine *e, const float *pixels,
                                               struct rad_err *err);

/* ---- rope.c: positions ---- */
/* turn[d_head / 2] of a model: theta^(-2i/d_head), and what its rope scaling makes of it. */
void rad_rope_turn(const struct rad_model_config *c, double *turn);
/* Fill e->cs up to n positions. */
RAD_MUST_CHECK enum rad_status rad_rope_reach(rad_engine *e, int32_t n, struct rad_err *err);
/* slope[n_head] of ALiBi. */
void rad_alibi_slopes(int32_t n_head, float *slope);

#endif
