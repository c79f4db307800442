/* net.c - the layout of the parameter block, names, and initial values. */
#include "train/net.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t take(size_t *at, int64_t n)
{
    const size_t here = *at;
    *at += (size_t)n;
    return here;
}

static void layout(struct net *net)
{
    const struct rad_card *c = &net->card;
    const int64_t d = c->d_model, dq = (int64_t)c->n_head * c->d_head;
    const int64_t dkv = (int64_t)c->n_kv * c->d_head;
    const int64_t norm = c->norm == RAD_NORM_LAYER ? 2 * d : d;
    const int64_t up = c->act == RAD_ACT_SWIGLU ? 2 : 1;
    size_t at = 0;
    net->embed = take(&at, (int64_t)c->vocab * d);
    for (int32_t l = 0; l < c->n_layer; l++) {
        struct layer_at *a = &net->layer[l];
        a->norm1 = take(&at, norm);
        a->qkv = take(&at, (dq + 2 * dkv) * d);
        a->o = take(&at, d * dq);
        a->norm2 = take(&at, norm);
        a->up = take(&at, up * c->ffn * d);
        a->down = take(&at, d * c->ffn);
    }
    net->norm_f = take(&at, norm);
    net->head = c->tied ? net->embed : take(&at, (int64_t)c->vocab * d);
    net->n_trunk = at;
    if (c->router_hidden > 0) {
        const int64_t r = c->router_hidden, out = c->n_layer + 1;
        net->router = (struct router_at){.w1 = take(&at, r * d),
                                         .b1 = take(&at, r),
                                         .hop = take(&at, (c->max_hops + 1) * r),
                                         .last = take(&at, out * r),
                                         .price = take(&at, r),
                                         .w2 = take(&at, out * r),
                                         .b2 = take(&at, out)};
    }
    net->n_param = at;
}

enum rad_status rad_net_open(struct net *net, const struct rad_card *card, struct rad_err *err)
{
    *net = (struct net){.card = *card, .eps = 1e-5f, .rope_theta = 10000.0};
    if (card->n_layer > (int32_t)(sizeof net->layer / sizeof net->layer[0]))
        return rad_fail(err, RAD_E_RANGE, "train: at most %zu layers but the model has %d",
                        sizeof net->layer / sizeof net->layer[0], card->n_layer);
    RAD_TRY(rad_card_check(card, err));
    layout(net);
    const size_t bytes = (net->n_param * sizeof *net->w + 63) / 64 * 64;
    net->w = aligned_alloc(64, bytes);
    net->cs = malloc((size_t)card->n_ctx * (size_t)card->d_head * sizeof *net->cs);
    if (net->w == NULL || net->cs == NULL) {
        rad_net_close(net);
        return rad_fail(err, RAD_E_NOMEM, "train: cannot allocate %zu parameters", net->n_param);
    }
    for (size_t i = 0; i < net->n_param; i++)
        net->w[i] = 0.0f;
    rad_rope_table(card->n_ctx, card->d_head, net->rope_theta, net->cs);
    return RAD_OK;
}

void rad_net_close(struct net *net)
{
    free(net->w);
    free(net->cs);
    net->w = net->cs = NULL;
}

/* ---- names ------------------------------------------------------------------------------ */

struct list {
    struct net_tensor *out;
    int n, cap;
};

static void name(struct list *list, const char *text, size_t at, int64_t rows, int64_t cols)
{
    if (list->n < list->cap) {
        struct net_tensor *t = &list->out[list->n];
        *t = (struct net_tensor){.at = at, .n_dim = cols > 0 ? 2 : 1, .dim = {rows, cols}};
        t->decay = cols > 0;
        snprintf(t->name, sizeof t->name, "%s", text);
    }
    list->n++;
}

static void name_norm(struct list *list, const struct rad_card *c, const char *base, size_t at)
{
    char text[96];
    snprintf(text, sizeof text, "%.80s.weight", base);
    name(list, text, at, c->d_model, 0);
    if (c->norm != RAD_NORM_LAYER)
        return;
    snprintf(text, sizeof text, "%.80s.bias", base);
    name(list, text, at + (size_t)c->d_model, c->d_model, 0);
}

static void name_layer(struct list *list, const struct net *net, int32_t l)
{
    const struct rad_card *c = &net->card;
    const struct layer_at *a = &net->layer[l];
    const int64_t d = c->d_model, dq = (int64_t)c->n_head * c->d_head;
    const int64_t dkv = (int64_t)c->n_kv * c->d_head;
    const struct {
        const char *base;
        size_t at;
        int64_t rows, cols;
    } part[] = {
        {"self_attn.q_proj", a->qkv, dq, d},
        {"self_attn.k_proj", a->qkv + (size_t)(dq * d), dkv, d},
        {"self_attn.v_proj", a->qkv + (size_t)((dq + dkv) * d), dkv, d},
        {"self_attn.o_proj", a->o, d, dq},
        {c->act == RAD_ACT_SWIGLU ? "mlp.gate_proj" : "mlp.up_proj", a->up, c->ffn, d},
        {"mlp.up_proj", a->up + (size_t)(c->ffn * d), c->ffn, d},
        {"mlp.down_proj", a->down, d, c->ffn},
    };
    char text[96];
    snprintf(text, sizeof text, "model.layers.%d.input_layernorm", l);
    name_norm(list, c, text, a->norm1);
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        if (i == 5 && c->act != RAD_ACT_SWIGLU)
            continue;
        snprintf(text, sizeof text, "model.layers.%d.%s.weight", l, part[i].base);
        name(list, text, part[i].at, part[i].rows, part[i].cols);
    }
    snprintf(text, sizeof text, "model.layers.%d.post_attention_layernorm", l);
    name_norm(list, c, text, a->norm2);
}

int rad_net_tensors(const struct net *net, struct net_tensor *out, int cap)
{
    const struct rad_card *c = &net->card;
    struct list list = {out, 0, cap};
    name(&list, "model.embed_tokens.weight", net->embed, c->vocab, c->d_model);
    for (int32_t l = 0; l < c->n_layer; l++)
        name_layer(&list, net, l);
    name_norm(&list, c, "model.norm", net->norm_f);
    if (!c->tied)
        name(&list, "lm_head.weight", net->head, c->vocab, c->d_model);
    if (c->router_hidden > 0) {
        const struct router_at *r = &net->router;
        name(&list, "router.in.weight", r->w1, c->router_hidden, c->d_model);
        name(&list, "router.in.bias", r->b1, c->router_hidden, 0);
        name(&list, "router.hop.weight", r->hop, c->max_hops + 1, c->router_hidden);
        name(&list, "router.last.weight", r->last, c->n_layer + 1, c->router_hidden);
        name(&list, "router.price.weight", r->price, c->router_hidden, 0);
        name(&list, "router.out.weight", r->w2, c->n_layer + 1, c->router_hidden);
        name(&list, "router.out.bias", r->b2, c->n_layer + 1, 0);
    }
    return list.n;
}

/* ---- initial values --------------------------------------------------------------------- */

static double init_std(const struct net *net, const struct net_tensor *t)
{
    const struct rad_card *c = &net->card;
    const double base = 0.5 / sqrt((double)c->d_model);
    if (t->at == net->router.w2 && c->router_hidden > 0)
        return 0.01;
    for (int32_t l = 0; l < c->n_layer;
         l++) /* outputs into the residual stream: GPT-2's 1/sqrt(2L) */
        if (t->at == net->layer[l].o || t->at == net->layer[l].down)
            return base / sqrt(2.0 * c->n_layer);
    return base;
}

enum rad_status rad_net_init(struct net *net, uint64_t seed, struct rad_err *err)
{
    struct net_tensor t[1024];
    const int n = rad_net_tensors(net, t, 1024);
    for (int i = 0; i < n && i < 1024; i++) {
        const size_t count = (size_t)(t[i].dim[0] * (t[i].n_dim > 1 ? t[i].dim[1] : 1));
        const bool gain = t[i].n_dim == 1 && strstr(t[i].name, "norm.weight") != NULL;
        rad_rng *rng = NULL;
        RAD_TRY(rad_rng_open(&rng, seed, (uint64_t)i + 1, err));
        const double std = init_std(net, &t[i]);
        for (size_t k = 0; k < count; k++)
            net->w[t[i].at + k] = gain              ? 1.0f
                                  : t[i].n_dim == 1 ? 0.0f
                                                    : (float)(std * rad_rng_normal(rng));
        rad_rng_close(rng);
    }
    return RAD_OK;
}
