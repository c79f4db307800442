/* net_make.c - see net_make.h. */
#include "net_make.h"

#include "base/io.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

struct rad_model_config net_config(bool router)
{
    struct rad_model_config c = {.card = {.name = "made",
                                          .n_layer = 4,
                                          .d_model = 32,
                                          .n_head = 4,
                                          .n_kv = 2,
                                          .d_head = 8,
                                          .ffn = 48,
                                          .vocab = NET_VOCAB,
                                          .n_ctx = 48,
                                          .max_hops = 4},
                                 .rms_eps = 1e-5f,
                                 .rope_theta = 10000.0,
                                 .bos = -1,
                                 .eos = -1,
                                 .dtype = RAD_F32,
                                 .byte_tokens = true};
    snprintf(c.model_type, sizeof c.model_type, "%s", router ? "radial" : "llama");
    c.router.max_hops = 4;
    if (!router)
        return c;
    c.card.router_hidden = c.router.hidden = 16;
    c.card.max_hops = c.router.max_hops = 6;
    c.router.n_table = 3;
    memcpy(c.router.depth_frac, (const double[3]){0.25, 0.5, 1.0}, 3 * sizeof(double));
    memcpy(c.router.price, (const double[3]){0.2, 0.01, -1.0}, 3 * sizeof(double));
    return c;
}

/* ---- the tensors in the order of the number stream ----------------------------------------- */

struct list {
    char name[NET_TENSORS][64];
    struct rad_tensor_out out[NET_TENSORS];
    float *data[NET_TENSORS];
    const struct made_net *net;
    uint64_t x;
    size_t n;
};

static float next(struct list *l, double offset, double scale)
{
    l->x = l->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const double u = (double)(l->x >> 40) / 8388608.0 - 1.0;
    return (float)(offset + scale * u);
}

/* cols 0: a vector. range: offset, scale. */
static void tensor(struct list *l, const char *name, int64_t rows, int64_t cols,
                   const double range[2])
{
    const size_t count = (size_t)(rows * (cols > 0 ? cols : 1));
    float *data = malloc(count * sizeof *data);
    CU_ASSERT_FATAL(data != NULL && l->n < NET_TENSORS);
    for (size_t i = 0; i < count; i++)
        data[i] = next(l, range[0], range[1]);
    if (l->net->nan != NULL && strcmp(name, l->net->nan) == 0)
        for (size_t i = 0; i < count; i++)
            data[i] = NAN;
    if (l->net->zero != NULL && strcmp(name, l->net->zero) == 0)
        memset(data, 0, count * sizeof *data);
    if (l->net->without != NULL && strcmp(name, l->net->without) == 0) {
        free(data);
        return;
    }
    snprintf(l->name[l->n], sizeof l->name[l->n], "%s", name);
    l->data[l->n] = data;
    l->out[l->n] = (struct rad_tensor_out){.name = l->name[l->n],
                                           .dtype = l->net->config.dtype,
                                           .n_dim = cols > 0 ? 2 : 1,
                                           .dim = {rows, cols},
                                           .data = data};
    l->n++;
}

static const double unit[2] = {0, 1}, quarter[2] = {0, 0.25}, gain[2] = {1, 0.25};
static const double half[2] = {0, 0.5};

static void norm(struct list *l, const char *base)
{
    const struct rad_card *c = &l->net->config.card;
    char name[64];
    snprintf(name, sizeof name, "%s.weight", base);
    tensor(l, name, c->d_model, 0, gain);
    snprintf(name, sizeof name, "%s.bias", base);
    if (c->norm == RAD_NORM_LAYER)
        tensor(l, name, c->d_model, 0, quarter);
}

static void layer(struct list *l, int i)
{
    const struct rad_card *c = &l->net->config.card;
    const int64_t d = c->d_model, dq = (int64_t)c->n_head * c->d_head;
    const int64_t dkv = (int64_t)c->n_kv * c->d_head;
    const struct {
        const char *base;
        int64_t rows, cols;
    } part[] = {{"self_attn.q_proj", dq, d},  {"self_attn.k_proj", dkv, d},
                {"self_attn.v_proj", dkv, d}, {"self_attn.o_proj", d, dq},
                {"mlp.gate_proj", c->ffn, d}, {"mlp.up_proj", c->ffn, d},
                {"mlp.down_proj", d, c->ffn}};
    char name[64];
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm", i);
    norm(l, name);
    for (size_t p = 0; p < sizeof part / sizeof part[0]; p++) {
        if (p == 4) {
            snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm", i);
            norm(l, name);
        }
        if (p == 4 && c->act != RAD_ACT_SWIGLU)
            continue;
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, part[p].base);
        tensor(l, name, part[p].rows, part[p].cols, quarter);
    }
}

static void router(struct list *l)
{
    const struct rad_card *c = &l->net->config.card;
    const int64_t r = c->router_hidden, out = c->n_layer + 1;
    tensor(l, "router.in.weight", r, c->d_model, quarter);
    tensor(l, "router.in.bias", r, 0, quarter);
    tensor(l, "router.hop.weight", c->max_hops + 1, r, unit);
    tensor(l, "router.last.weight", out, r, unit);
    tensor(l, "router.price.weight", r, 0, quarter);
    tensor(l, "router.out.weight", out, r, half);
    tensor(l, "router.out.bias", out, 0, quarter);
}

void net_make(const struct made_net *net)
{
    static struct list l;
    const struct rad_card *c = &net->config.card;
    char path[256];
    memset(&l, 0, sizeof l);
    l.net = net;
    l.x = net->seed;
    tensor(&l, "model.embed_tokens.weight", c->vocab, c->d_model, unit);
    for (int i = 0; i < c->n_layer; i++)
        layer(&l, i);
    norm(&l, "model.norm");
    if (!c->tied)
        tensor(&l, "lm_head.weight", c->vocab, c->d_model, quarter);
    if (c->router_hidden > 0)
        router(&l);
    OK(rad_dir_make(net->folder, &err));
    snprintf(path, sizeof path, "%s/model.safetensors", net->folder);
    OK(rad_tensors_write(path, l.out, l.n, NULL, &err));
    OK(rad_model_config_write(&net->config, net->folder, &err));
    for (size_t i = 0; i < l.n; i++)
        free(l.data[i]);
}

rad_model *net_open_made(const struct made_net *net)
{
    rad_model *m = NULL;
    net_make(net);
    OK(rad_model_open(&m, net->folder, &err));
    return m;
}

rad_model *net_open_plain(const char *folder, bool with_router)
{
    const struct made_net net = {.folder = folder, .config = net_config(with_router), .seed = 1};
    return net_open_made(&net);
}

void net_tokens(int32_t *id, int32_t n, uint64_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        id[i] = (int32_t)(seed >> 40) % NET_VOCAB;
    }
}

struct rad_engine_options net_options(const rad_model *m, const char *policy, enum rad_kv kv)
{
    struct rad_engine_options o = {.kv = kv, .n_slot = 1};
    OK(rad_route_parse(&o.route, policy, rad_model_config(m)->card.n_layer, &err));
    return o;
}
