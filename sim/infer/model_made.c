/* model_made.c - models of a shape with made-up weights in memory, for measuring speed. */
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HUGE_PAGE = 2 << 20 };

struct maker {
    rad_model *m;
    enum rad_mat_type type;
    unsigned char *block; /* NULL: only count */
    size_t at;
    uint64_t x; /* of the number stream */
};

static uint32_t draw(struct maker *k)
{
    k->x = k->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(k->x >> 33);
}

/* Numbers of about 1 / sqrt(n_in) in the format of the matrix. */
static void fill(struct maker *k, const struct rad_mat *w, unsigned char *to)
{
    const size_t bytes = (size_t)w->n_out * rad_mat_row_bytes(w->type, w->n_in);
    const float scale = 1.0f / sqrtf((float)w->n_in);
    const size_t block = w->type == RAD_MAT_Q8_0 ? 34 : 18;
    const uint16_t quant_scale = w->type == RAD_MAT_Q8_0 ? 0x1000 : 0x1c00; /* 2^-11, 2^-8 */
    switch (w->type) {
    case RAD_MAT_F32:
    case RAD_MAT_BF16:
        for (size_t i = 0, size = w->type == RAD_MAT_F32 ? 4 : 2; i < bytes; i += size) {
            const float f = scale * ((float)draw(k) / 1073741824.0f - 1.0f);
            memcpy(to + i, (const unsigned char *)&f + 4 - size, size);
        }
        break;
    case RAD_MAT_F16:
        for (size_t i = 0; i < bytes; i += 2) { /* 1/64 to 1/16, any sign */
            const uint16_t h = (uint16_t)(0x2400 + (draw(k) & 0x87ff));
            memcpy(to + i, &h, sizeof h);
        }
        break;
    default:
        for (size_t i = 0; i < bytes; i += block) {
            for (size_t j = 0; j < block; j++)
                to[i + j] = (unsigned char)draw(k);
            memcpy(to + i, &quant_scale, sizeof quant_scale);
        }
    }
}

static void mat(struct maker *k, int32_t n_out, int32_t n_in, struct rad_mat *out)
{
    const size_t bytes = (size_t)n_out * rad_mat_row_bytes(k->type, n_in);
    *out = (struct rad_mat){k->type, n_out, n_in, NULL, NULL};
    if (k->block != NULL) {
        fill(k, out, k->block + k->at);
        out->data = k->block + k->at;
    }
    k->at += (bytes + 63) / 64 * 64;
}

static void matrices(struct maker *k)
{
    rad_model *m = k->m;
    const struct rad_card *c = &m->config.card;
    const int32_t d = c->d_model, dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    k->at = 0;
    mat(k, c->vocab, d, &m->embed);
    if (c->learned_positions > 0)
        mat(k, c->learned_positions, d, &m->position);
    for (int32_t i = 0; i < c->n_layer; i++) {
        struct layer_weights *w = &m->layer[i];
        mat(k, dq, d, &w->q.w);
        mat(k, dkv, d, &w->k.w);
        mat(k, dkv, d, &w->v.w);
        mat(k, d, dq, &w->o.w);
        if (c->act == RAD_ACT_SWIGLU)
            mat(k, c->ffn, d, &w->gate.w);
        mat(k, c->ffn, d, &w->up.w);
        mat(k, d, c->ffn, &w->down.w);
    }
    m->head.w = m->embed;
    if (!c->tied)
        mat(k, c->vocab, d, &m->head.w);
}

/* One vector of ones and one of zeros serve all norms and biases. */
static enum rad_status vectors(rad_model *m, struct rad_err *err)
{
    const struct rad_card *c = &m->config.card;
    const int32_t dq = c->n_head * c->d_head, widest = c->ffn > dq ? c->ffn : dq;
    const size_t n = (size_t)(widest > c->d_model ? widest : c->d_model);
    float *one = rad_arena_get(m->arena, n * sizeof *one);
    float *zero = rad_arena_zero(m->arena, n * sizeof *zero);
    RAD_TRY(rad_model_make_tables(m, err));
    if (!one || !zero)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    for (size_t i = 0; i < n; i++)
        one[i] = 1.0f;
    const struct norm norm = {one, c->norm == RAD_NORM_LAYER ? zero : NULL};
    m->norm_f = norm;
    for (int32_t i = 0; i < c->n_layer; i++) {
        struct layer_weights *w = &m->layer[i];
        w->norm1 = w->norm2 = norm;
        if (c->bias == RAD_BIAS_ALL)
            w->q.b = w->k.b = w->v.b = w->o.b = w->up.b = w->down.b = zero;
    }
    return RAD_OK;
}

static enum rad_status make(rad_model *m, enum rad_mat_type type, struct rad_err *err)
{
    struct maker k = {.m = m, .type = type, .x = 1};
    RAD_TRY(rad_arena_open(&m->arena, err));
    RAD_TRY(vectors(m, err));
    matrices(&k);
    const size_t bytes = (k.at + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
    m->weight_bytes = (double)k.at;
    m->block = aligned_alloc(HUGE_PAGE, bytes);
    if (m->block == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory for %zu bytes", bytes);
    rad_huge_pages(m->block, bytes);
    k.block = m->block;
    matrices(&k);
    return RAD_OK;
}

enum rad_status rad_model_make(rad_model **out, const struct rad_model_config *config,
                               enum rad_mat_type type, struct rad_err *err)
{
    const struct rad_card *c = &config->card;
    *out = NULL;
    if (c->post_norm || c->embed_dim > 0 || c->embed_norm || c->alibi || c->patch > 0 ||
        c->router_hidden > 0 || type > RAD_MAT_Q4_0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "model '%s': made-up weights for plain decoders only, up to Q4_0", c->name);
    const int32_t block = rad_mat_block(type);
    if (c->d_model % block != 0 || c->ffn % block != 0 || c->n_head * c->d_head % block != 0)
        return rad_fail(err, RAD_E_ARG, "model '%s': %s needs widths that are multiples of %d",
                        c->name, rad_mat_type_name(type), block);
    rad_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    m->config = *config;
    m->qkv = RAD_QKV_APART;
    const enum rad_status status = make(m, type, err);
    if (status != RAD_OK) {
        rad_model_close(m);
        return status;
    }
    *out = m;
    return RAD_OK;
}

const void *rad_model_block(const rad_model *m)
{
    return m->block;
}
