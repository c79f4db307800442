/* model.c - loading weights into one float32 block in the order of the passes. */
#include "infer/engine.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    const rad_tensors *file;
    rad_model *m;
    float *at; /* next free place; NULL while counting */
    size_t n;  /* floats placed */
    rad_hasher *hash;
};

/* Place a tensor of rows x cols (cols 0: a vector) behind the others. */
static enum rad_status place(struct loader *l, const char *name, int64_t rows, int64_t cols,
                             const float **out, struct rad_err *err)
{
    const size_t n = (size_t)(rows * (cols > 0 ? cols : 1));
    if (l->at != NULL) {
        const struct rad_shape shape = {cols > 0 ? 2 : 1, {rows, cols}};
        float *to = l->at + l->n;
        RAD_TRY(rad_tensors_read(l->file, name, shape, to, err));
        rad_hasher_update(l->hash, to, n * sizeof *to);
        if (out != NULL)
            *out = to;
    }
    l->n += n;
    return RAD_OK;
}

static enum rad_status place_norm(struct loader *l, const char *base, const float **w,
                                  const float **b, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    char name[128];
    snprintf(name, sizeof name, "%s.weight", base);
    RAD_TRY(place(l, name, c->d_model, 0, w, err));
    if (c->norm != RAD_NORM_LAYER)
        return RAD_OK;
    snprintf(name, sizeof name, "%s.bias", base);
    return place(l, name, c->d_model, 0, b, err);
}

static enum rad_status place_layer(struct loader *l, int32_t i, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    const int64_t d = c->d_model, dq = (int64_t)c->n_head * c->d_head;
    const int64_t dkv = (int64_t)c->n_kv * c->d_head;
    struct layer_weights *w = &l->m->layer[i];
    const bool gated = c->act == RAD_ACT_SWIGLU;
    const struct {
        const char *part;
        int64_t rows, cols;
        const float **out;
    } parts[] = {
        {"self_attn.q_proj", dq, d, &w->qkv},   {"self_attn.k_proj", dkv, d, NULL},
        {"self_attn.v_proj", dkv, d, NULL},     {"self_attn.o_proj", d, dq, &w->o},
        {"mlp.gate_proj", c->ffn, d, &w->up},   {"mlp.up_proj", c->ffn, d, gated ? NULL : &w->up},
        {"mlp.down_proj", d, c->ffn, &w->down},
    };
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm", i);
    RAD_TRY(place_norm(l, name, &w->norm1, &w->norm1_b, err));
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        if (p == 4 && !gated)
            continue;
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, parts[p].part);
        RAD_TRY(place(l, name, parts[p].rows, parts[p].cols, parts[p].out, err));
    }
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm", i);
    return place_norm(l, name, &w->norm2, &w->norm2_b, err);
}

static enum rad_status place_router(struct loader *l, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    struct router_weights *w = &l->m->router;
    const int64_t r = c->router_hidden, out = c->n_layer + 1;
    if (r == 0)
        return RAD_OK;
    RAD_TRY(place(l, "router.in.weight", r, c->d_model, &w->w1, err));
    RAD_TRY(place(l, "router.in.bias", r, 0, &w->b1, err));
    RAD_TRY(place(l, "router.hop.weight", c->max_hops + 1, r, &w->hop, err));
    RAD_TRY(place(l, "router.last.weight", out, r, &w->last, err));
    RAD_TRY(place(l, "router.price.weight", r, 0, &w->price, err));
    RAD_TRY(place(l, "router.out.weight", out, r, &w->w2, err));
    return place(l, "router.out.bias", out, 0, &w->b2, err);
}

static enum rad_status place_all(struct loader *l, struct rad_err *err)
{
    rad_model *m = l->m;
    const struct rad_card *c = &m->config.card;
    RAD_TRY(place(l, "model.embed_tokens.weight", c->vocab, c->d_model, &m->embed, err));
    for (int32_t i = 0; i < c->n_layer; i++)
        RAD_TRY(place_layer(l, i, err));
    RAD_TRY(place_norm(l, "model.norm", &m->norm_f, &m->norm_f_b, err));
    m->head = m->embed;
    if (!c->tied)
        RAD_TRY(place(l, "lm_head.weight", c->vocab, c->d_model, &m->head, err));
    return place_router(l, err);
}

/* Of config.json all that changes the numbers; the name is where the folder happens to be. */
static enum rad_status hash_config(struct loader *l, struct rad_err *err)
{
    const struct rad_model_config *c = &l->m->config;
    struct rad_card card = c->card;
    char *text = NULL;
    snprintf(card.name, sizeof card.name, "model");
    RAD_TRY(rad_card_to_json(&card, &text, err));
    rad_hasher_update(l->hash, text, strlen(text));
    free(text);
    rad_hasher_update(l->hash, &c->rms_eps, sizeof c->rms_eps);
    rad_hasher_update(l->hash, &c->rope_theta, sizeof c->rope_theta);
    const size_t n = (size_t)c->router.n_table;
    rad_hasher_update(l->hash, c->router.depth_frac, n * sizeof *c->router.depth_frac);
    rad_hasher_update(l->hash, c->router.price, n * sizeof *c->router.price);
    return RAD_OK;
}

static enum rad_status load(rad_model *m, const rad_tensors *file, struct rad_err *err)
{
    const struct rad_card *c = &m->config.card;
    struct loader l = {.file = file, .m = m};
    m->layer = calloc((size_t)c->n_layer, sizeof *m->layer);
    m->cs = malloc((size_t)c->n_ctx * (size_t)c->d_head * sizeof *m->cs);
    if (m->layer == NULL || m->cs == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    rad_rope_table(c->n_ctx, c->d_head, m->config.rope_theta, m->cs);
    RAD_TRY(place_all(&l, err)); /* counts */
    m->n_float = l.n;
    m->block = aligned_alloc(64, (l.n * sizeof *m->block + 63) / 64 * 64);
    if (m->block == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory for %zu weights", l.n);
    l.at = m->block;
    l.n = 0;
    RAD_TRY(rad_hasher_open(&l.hash, 0, err));
    enum rad_status status = place_all(&l, err);
    if (status == RAD_OK)
        status = hash_config(&l, err);
    rad_hash_hex(rad_hasher_final(l.hash), m->hash);
    return status;
}

enum rad_status rad_model_open(rad_model **out, const char *folder, struct rad_err *err)
{
    rad_tensors *file = NULL;
    *out = NULL;
    rad_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    enum rad_status status = rad_model_config_open(&m->config, folder, err);
    if (status == RAD_OK)
        status = rad_tensors_open(&file, folder, err);
    if (status == RAD_OK)
        status = load(m, file, err);
    rad_tensors_close(file);
    if (status == RAD_OK)
        status = rad_tokenizer_open(&m->tokenizer, folder, m->config.card.vocab, err);
    if (status != RAD_OK) {
        rad_model_close(m);
        return rad_fail_in(err, status, "%s", folder);
    }
    *out = m;
    return RAD_OK;
}

void rad_model_close(rad_model *m)
{
    if (m == NULL)
        return;
    rad_tokenizer_close(m->tokenizer);
    free(m->block);
    free(m->layer);
    free(m->cs);
    free(m);
}

const struct rad_model_config *rad_model_config(const rad_model *m)
{
    return &m->config;
}

const rad_tokenizer *rad_model_tokenizer(const rad_model *m)
{
    return m->tokenizer;
}

const char *rad_model_hash(const rad_model *m)
{
    return m->hash;
}

double rad_model_weight_bytes(const rad_model *m)
{
    return (double)m->n_float * sizeof *m->block;
}
