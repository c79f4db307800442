/* lower.c - from tokens at a layer to operations.
 *
 * d = d_model, q = n_head d_head, kv = n_kv d_head, f = ffn, e = bytes of one element. */
#include "spec/spec.h"

/* Where operations go: the list being written, and what all of them share. */
struct sink {
    const struct rad_card *card;
    enum rad_dtype dtype;
    double set_bytes;
    struct rad_op *ops;
    int n;
    int32_t groups; /* layers at once: products are grouped */
};

static struct sink sink_open(const struct rad_card *card, enum rad_dtype dtype, struct rad_op *ops)
{
    const double set = (double)rad_card_params(card) * rad_dtype_bytes(dtype);
    return (struct sink){.card = card, .dtype = dtype, .set_bytes = set, .ops = ops, .groups = 1};
}

static struct rad_op *put(struct sink *s, struct rad_op op)
{
    op.weight_set_bytes = s->set_bytes;
    s->ops[s->n] = op;
    return &s->ops[s->n++];
}

static struct rad_op *put_vector(struct sink *s, enum rad_op_kind kind, int64_t m, int64_t n)
{
    return put(s, rad_op_vector(kind, m, n, s->dtype));
}

/* A bias of n adds n weights to read and one addition per output. */
static struct rad_op *put_gemm(struct sink *s, int64_t m, int64_t n, int64_t k, bool bias)
{
    struct rad_op *op = put(s, s->groups > 1 ? rad_op_grouped(m, n, k, s->groups, s->dtype)
                                             : rad_op_gemm(m, n, k, s->dtype));
    if (bias) {
        op->weight_bytes += s->groups * (double)n * rad_dtype_bytes(s->dtype);
        op->flop += (double)m * (double)n;
    }
    return op;
}

static void put_norm(struct sink *s, int64_t m)
{
    const int64_t d = s->card->d_model;
    const bool layer = s->card->norm == RAD_NORM_LAYER;
    struct rad_op *op = put_vector(s, RAD_OP_NORM, m, d);
    op->weight_bytes = s->groups * (layer ? 2.0 : 1.0) * (double)d * rad_dtype_bytes(s->dtype);
    if (layer)
        op->flop = 7.0 * (double)m * (double)d; /* mean and bias on top of the rms form */
}

static void put_act(struct sink *s, int64_t m, int64_t n, enum rad_act act)
{
    const double elems = (double)m * (double)n;
    struct rad_op *op = put_vector(s, RAD_OP_ACT, m, n);
    if (act == RAD_ACT_SWIGLU)
        return;
    op->flop = (act == RAD_ACT_GELU ? 8.0 : 1.0) * elems;
    op->act_bytes = 2.0 * elems * rad_dtype_bytes(s->dtype);
}

/* Q, K and V of the attending tokens; K and V alone of those that only fill the cache. */
static void put_qkv(struct sink *s, const struct rad_group *g)
{
    const struct rad_card *c = s->card;
    const int64_t q = (int64_t)c->n_head * c->d_head, kv = (int64_t)c->n_kv * c->d_head;
    const bool bias = c->bias != RAD_BIAS_NONE;
    if (g->m_kv_only == 0) {
        put_gemm(s, g->m_attn, q + 2 * kv, c->d_model, bias);
    } else {
        if (g->m_attn > 0)
            put_gemm(s, g->m_attn, q, c->d_model, bias);
        struct rad_op *op = put_gemm(s, g->m_attn + g->m_kv_only, 2 * kv, c->d_model, bias);
        op->kv_bytes = 2.0 * (double)kv * rad_dtype_bytes(s->dtype) * (double)g->m_kv_only;
    }
    if (c->learned_positions > 0 || c->alibi)
        return;
    if (g->m_attn > 0)
        put_vector(s, RAD_OP_ROPE, g->m_attn, q + kv);
    if (g->m_kv_only > 0)
        put_vector(s, RAD_OP_ROPE, g->m_kv_only, kv);
}

static void put_attention(struct sink *s, const struct rad_group *g)
{
    const struct rad_card *c = s->card;
    if (g->m_attn + g->m_kv_only == 0)
        return;
    put_norm(s, g->m_attn + g->m_kv_only);
    put_qkv(s, g);
    if (g->m_attn == 0)
        return;
    const struct rad_attend_shape shape = {
        .m = g->m_attn,
        .n_keys = g->n_keys,
        .kv_read_keys = g->kv_read_keys,
        .heads = c->n_head,
        .kv_heads = c->n_kv,
        .head_dim = c->d_head,
        .n_seq = g->n_seq,
    };
    put(s, rad_op_attend(&shape, s->dtype));
    put_gemm(s, g->m_attn, c->d_model, (int64_t)c->n_head * c->d_head,
             c->bias == RAD_BIAS_ALL || c->bias == RAD_BIAS_ATTN);
    put_vector(s, RAD_OP_ADD, g->m_attn, c->d_model);
}

static void put_mlp(struct sink *s, int64_t m)
{
    const struct rad_card *c = s->card;
    const bool bias = c->bias == RAD_BIAS_ALL;
    const int64_t up = c->act == RAD_ACT_SWIGLU ? 2 * (int64_t)c->ffn : c->ffn;
    if (m == 0)
        return;
    put_norm(s, m);
    put_gemm(s, m, up, c->d_model, bias);
    put_act(s, m, c->ffn, c->act);
    put_gemm(s, m, c->d_model, c->ffn, bias);
    put_vector(s, RAD_OP_ADD, m, c->d_model);
}

int rad_lower_layer(const struct rad_card *card, enum rad_dtype dtype, const struct rad_group *g,
                    struct rad_op ops[RAD_LOWER_MAX])
{
    struct sink s = sink_open(card, dtype, ops);
    const bool move = g->partial && g->m > 0;
    if (move)
        put_vector(&s, RAD_OP_GATHER, g->m, card->d_model);
    s.groups = g->groups_attn > 1 ? g->groups_attn : 1;
    put_attention(&s, g);
    s.groups = g->groups_mlp > 1 ? g->groups_mlp : 1;
    put_mlp(&s, g->m_mlp);
    if (move)
        put_vector(&s, RAD_OP_GATHER, g->m, card->d_model);
    return s.n;
}

int rad_lower_router(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                     struct rad_op ops[RAD_LOWER_MAX])
{
    struct sink s = sink_open(card, dtype, ops);
    if (m == 0 || card->router_hidden == 0)
        return 0;
    put_gemm(&s, m, card->router_hidden, card->d_model, false);
    put_act(&s, m, card->router_hidden, RAD_ACT_GELU);
    put_gemm(&s, m, (int64_t)card->n_layer + 1, card->router_hidden, false);
    return s.n;
}

/* Rows of the token table, brought to the width of the layers. */
static struct rad_op *put_tokens(struct sink *s, int64_t m)
{
    const struct rad_card *c = s->card;
    if (c->embed_dim == 0)
        return put_vector(s, RAD_OP_EMBED, m, c->d_model);
    put_vector(s, RAD_OP_EMBED, m, c->embed_dim);
    return put_gemm(s, m, c->d_model, c->embed_dim, false);
}

int rad_lower_embed(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                    struct rad_op ops[RAD_LOWER_MAX])
{
    struct sink s = sink_open(card, dtype, ops);
    if (m == 0)
        return 0;
    struct rad_op *op = card->patch > 0 ? put_gemm(&s, m, card->d_model,
                                                   3 * (int64_t)card->patch * card->patch, true)
                                        : put_tokens(&s, m);
    if (card->learned_positions > 0) {
        const double elems = (double)m * (double)card->d_model;
        op->flop += elems;
        op->act_bytes += elems * rad_dtype_bytes(dtype);
    }
    if (card->embed_norm)
        put_norm(&s, m);
    return s.n;
}

int rad_lower_head(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                   struct rad_op ops[RAD_LOWER_MAX])
{
    struct sink s = sink_open(card, dtype, ops);
    if (m == 0)
        return 0;
    if (!card->post_norm)
        put_norm(&s, m);
    if (card->embed_dim > 0)
        put_gemm(&s, m, card->embed_dim, card->d_model, false);
    put_gemm(&s, m, card->vocab, card->embed_dim > 0 ? card->embed_dim : card->d_model,
             card->patch > 0);
    return s.n;
}

int rad_lower_sample(const struct rad_card *card, enum rad_dtype dtype, int64_t m,
                     struct rad_op ops[RAD_LOWER_MAX])
{
    struct sink s = sink_open(card, dtype, ops);
    if (m > 0 && card->patch == 0)
        put_vector(&s, RAD_OP_SAMPLE, m, card->vocab);
    return s.n;
}
