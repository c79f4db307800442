/* plain_forward.c - see plain_forward.h. No routing, no cache: all keys are the rows themselves. */
#include "plain_forward.h"

#include "tensor/tensor.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

struct plain {
    struct rad_model_config config;
    const struct plain_input *in;
    rad_tensors *file;
    rad_gemm *gemm;
    const struct rad_kernels *k;
    int32_t n; /* rows */
    float *x, *y, *wide, *att, *f, *act, *stat, *w, *cs;
    int32_t *pos, *see;
};

static float *floats(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return p;
}

/* Append a tensor's values at p->w + at; returns where they end. */
static size_t take(struct plain *p, const char *name, int64_t rows, int64_t cols, size_t at)
{
    const struct rad_shape shape = {cols > 0 ? 2 : 1, {rows, cols}};
    OK(rad_tensors_read(p->file, name, shape, p->w + at, &err));
    return at + (size_t)(rows * (cols > 0 ? cols : 1));
}

static void norm(struct plain *p, const char *base)
{
    const struct rad_card *c = &p->config.card;
    const size_t n = (size_t)p->n, d = (size_t)c->d_model;
    char name[96];
    snprintf(name, sizeof name, "%s.weight", base);
    take(p, name, c->d_model, 0, 0);
    if (c->norm != RAD_NORM_LAYER) {
        p->k->rmsnorm(n, d, p->config.rms_eps, p->x, p->w, p->y, p->stat);
        return;
    }
    snprintf(name, sizeof name, "%s.bias", base);
    take(p, name, c->d_model, 0, d);
    p->k->layernorm(n, d, p->config.rms_eps, p->x, p->w, p->w + d, p->y, p->stat);
}

/* to[n][ld] = x W^T with a matrix [rows][cols] of the file. */
static void spread(struct plain *p, const char *name, const int32_t size[2], const float *x,
                   float *to, int32_t ld)
{
    const struct rad_mat w = {RAD_MAT_F32, size[0], size[1], p->w, NULL};
    take(p, name, size[0], size[1], 0);
    rad_mat_mul_many(p->gemm, p->n, x, &(struct rad_mat_job){.w = &w, .y = to, .ldy = ld}, 1);
}

static void matrix(struct plain *p, const char *name, int32_t rows, int32_t cols, const float *x,
                   float *to)
{
    spread(p, name, (const int32_t[2]){rows, cols}, x, to, rows);
}

static void attention(struct plain *p, int layer)
{
    static const char *const parts[] = {"q", "k", "v"};
    const struct rad_card *c = &p->config.card;
    const int32_t d = c->d_model, dq = c->n_head * c->d_head, dkv = c->n_kv * c->d_head;
    float *const to[] = {p->wide, p->wide + (size_t)p->n * (size_t)dq,
                         p->wide + (size_t)p->n * (size_t)(dq + dkv)};
    char name[96];
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm", layer);
    norm(p, name);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "model.layers.%d.self_attn.%s_proj.weight", layer, parts[i]);
        matrix(p, name, i == 0 ? dq : dkv, d, p->y, to[i]);
        if (i < 2)
            p->k->rope((size_t)p->n, p->pos, i == 0 ? c->n_head : c->n_kv, c->d_head,
                       i == 0 ? dq : dkv, p->cs, to[i]);
    }
    for (int32_t s = 0; s < p->in->n_seq; s++) {
        const int32_t first = p->in->first[s], n = p->in->first[s + 1] - first;
        const struct rad_attend a = {.n_q = n,
                                     .n_k = n,
                                     .n_head = c->n_head,
                                     .n_kv = c->n_kv,
                                     .d_head = c->d_head,
                                     .q = to[0] + (size_t)first * (size_t)dq,
                                     .ldq = dq,
                                     .k = to[1] + (size_t)first * (size_t)dkv,
                                     .v = to[2] + (size_t)first * (size_t)dkv,
                                     .ldkv = dkv,
                                     .n_see = p->see,
                                     .out = p->att + (size_t)first * (size_t)dq,
                                     .ldo = dq};
        rad_attend_many(p->gemm, &a, 1);
    }
    snprintf(name, sizeof name, "model.layers.%d.self_attn.o_proj.weight", layer);
    matrix(p, name, d, dq, p->att, p->f);
    p->k->add((size_t)p->n * (size_t)d, p->f, p->x);
}

static void mlp(struct plain *p, int layer)
{
    const struct rad_card *c = &p->config.card;
    const bool gated = c->act == RAD_ACT_SWIGLU;
    const size_t n = (size_t)p->n, ffn = (size_t)c->ffn;
    char name[96];
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm", layer);
    norm(p, name);
    const int32_t size[2] = {c->ffn, c->d_model}, width = gated ? 2 * c->ffn : c->ffn;
    snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj.weight", layer);
    if (gated)
        spread(p, name, size, p->y, p->wide, width);
    snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", layer);
    spread(p, name, size, p->y, gated ? p->wide + ffn : p->wide, width);
    if (gated)
        p->k->swiglu(n, ffn, p->wide, p->act);
    else
        p->k->gelu(n * ffn, p->wide, p->act);
    snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", layer);
    matrix(p, name, c->d_model, c->ffn, p->act, p->f);
    p->k->add(n * (size_t)c->d_model, p->f, p->x);
}

static void open_plain(struct plain *p, const char *folder, const struct plain_input *in)
{
    *p = (struct plain){.in = in, .k = rad_kernels(), .n = in->first[in->n_seq]};
    OK(rad_model_config_open(&p->config, folder, &err));
    OK(rad_tensors_open(&p->file, folder, &err));
    OK(rad_gemm_open(&p->gemm, RAD_GEMM_F32, &err));
    const struct rad_card *c = &p->config.card;
    const size_t n = (size_t)p->n, d = (size_t)c->d_model, dq = (size_t)(c->n_head * c->d_head);
    const size_t wide = dq + (size_t)(2 * c->n_kv * c->d_head) + 2 * (size_t)c->ffn;
    p->x = floats(n * d), p->y = floats(n * d), p->f = floats(n * d), p->att = floats(n * dq);
    p->wide = floats(n * wide), p->act = floats(n * (size_t)c->ffn), p->stat = floats(2 * n);
    p->w = floats(d * (wide + (size_t)c->vocab));
    p->cs = floats((size_t)c->n_ctx * (size_t)c->d_head);
    p->pos = malloc(n * sizeof *p->pos);
    p->see = malloc(n * sizeof *p->see);
    CU_ASSERT_FATAL(p->pos != NULL && p->see != NULL);
    rad_rope_table(c->n_ctx, c->d_head, p->config.rope_theta, p->cs);
    for (int32_t s = 0; s < in->n_seq; s++)
        for (int32_t r = in->first[s]; r < in->first[s + 1]; r++)
            p->pos[r] = r - in->first[s];
    for (int32_t i = 0; i < p->n; i++)
        p->see[i] = i + 1;
}

static void close_plain(struct plain *p)
{
    float *const all[] = {p->x, p->y, p->wide, p->att, p->f, p->act, p->stat, p->w, p->cs};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    free(p->pos);
    free(p->see);
    rad_gemm_close(p->gemm);
    rad_tensors_close(p->file);
}

void plain_forward(const char *folder, const struct plain_input *in, float *logits)
{
    struct plain p;
    open_plain(&p, folder, in);
    const struct rad_card *c = &p.config.card;
    const size_t d = (size_t)c->d_model;
    take(&p, "model.embed_tokens.weight", c->vocab, c->d_model, 0);
    for (int32_t i = 0; i < p.n; i++)
        memcpy(p.x + (size_t)i * d, p.w + (size_t)in->token[i] * d, d * sizeof *p.x);
    for (int l = 0; l < c->n_layer; l++) {
        attention(&p, l);
        mlp(&p, l);
    }
    norm(&p, "model.norm");
    matrix(&p, c->tied ? "model.embed_tokens.weight" : "lm_head.weight", c->vocab, c->d_model, p.y,
           logits);
    close_plain(&p);
}
