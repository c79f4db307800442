/* replay_make.c - routing made up in memory. */
#include "replay_make.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BOTH = RAD_HOP_ATTN | RAD_HOP_MLP };

static double draw(const struct made_draw *d, int64_t seq, int32_t pos, int32_t i)
{
    const int64_t at[3] = {seq, pos, i};
    return rad_hash_uniform(rad_hash(at, sizeof at, d->seed));
}

int32_t made_dense(void *ctx, int64_t seq, int32_t pos, struct rad_hop_rec *out)
{
    const struct made_draw *d = ctx;
    (void)seq, (void)pos;
    for (int32_t l = 0; l < d->n_layer; l++)
        out[l] = (struct rad_hop_rec){.layer = (uint16_t)l, .flags = BOTH};
    return d->n_layer;
}

int32_t made_skip(void *ctx, int64_t seq, int32_t pos, struct rad_hop_rec *out)
{
    const struct made_draw *d = ctx;
    int32_t n = 0;
    for (int32_t l = 0; l < d->n_layer; l++)
        if (draw(d, seq, pos, l) < d->keep)
            out[n++] = (struct rad_hop_rec){.layer = (uint16_t)l, .flags = BOTH};
    return n;
}

int32_t made_wander(void *ctx, int64_t seq, int32_t pos, struct rad_hop_rec *out)
{
    const struct made_draw *d = ctx;
    for (int32_t h = 0; h < d->hops; h++)
        out[h] = (struct rad_hop_rec){.layer = (uint16_t)(draw(d, seq, pos, h) * d->n_layer),
                                      .flags = BOTH};
    return d->hops;
}

struct rad_card made_card(void)
{
    return (struct rad_card){
        .name = "made",
        .n_layer = 8,
        .d_model = 64,
        .n_head = 4,
        .n_kv = 2,
        .d_head = 16,
        .ffn = 160,
        .vocab = 256,
        .n_ctx = 4096,
        .norm = RAD_NORM_RMS,
        .act = RAD_ACT_SWIGLU,
        .router_hidden = 16,
        .max_hops = 16,
    };
}

/* The first hop at which a token attended in a layer; -1 if it did not. */
static int32_t entry_hop(const struct made *m, const struct rad_trace_token *t, int32_t layer)
{
    for (int32_t h = 0; h < t->n_hop; h++) {
        const struct rad_hop_rec *rec = &m->hops[t->hop_first + h];
        if (rec->layer == layer && (rec->flags & RAD_HOP_ATTN))
            return h;
    }
    return -1;
}

static void count_keys(struct made *m, int64_t token)
{
    const struct rad_trace_token *t = &m->tokens[token];
    for (int32_t h = 0; h < t->n_hop; h++) {
        struct rad_hop_rec *rec = &m->hops[t->hop_first + h];
        if ((rec->flags & RAD_HOP_ATTN) == 0)
            continue;
        rec->n_keys = 1;
        for (int64_t i = token - t->pos; i < token; i++) {
            const int32_t entry = entry_hop(m, &m->tokens[i], rec->layer);
            rec->n_keys += entry >= 0 && (m->run.forward_only || entry <= h);
        }
    }
}

static void add_token(struct made *m, const struct made_shape *shape, made_path path, void *ctx)
{
    const int32_t length = shape->n_prefill + shape->n_decode;
    const int64_t seq = m->in.n_token / length;
    const int32_t pos = (int32_t)(m->in.n_token % length);
    const int32_t n_hop = path(ctx, seq, pos, m->hops + m->in.n_hop);
    m->tokens[m->in.n_token] = (struct rad_trace_token){
        .seq = seq,
        .pos = pos,
        .phase = pos < shape->n_prefill ? RAD_PHASE_PREFILL : RAD_PHASE_DECODE,
        .token = -1,
        .nll = NAN,
        .hop_first = m->in.n_hop,
        .n_hop = n_hop,
    };
    m->in.n_hop += n_hop;
    count_keys(m, m->in.n_token++);
}

void made_open(struct made *m, const struct rad_card *card, const struct made_shape *shape,
               made_path path, void *ctx)
{
    const int64_t n_token = shape->n_seq * (shape->n_prefill + shape->n_decode);
    *m = (struct made){.run = {.card = *card,
                               .policy = "made",
                               .kv = RAD_KV_HOLE,
                               .forward_only = shape->forward_only,
                               .has_router = shape->has_router,
                               .source = "run",
                               .nll = 1.5}};
    m->tokens = calloc((size_t)n_token, sizeof *m->tokens);
    m->hops = calloc((size_t)n_token * MADE_PATH_MAX, sizeof *m->hops);
    if (m->tokens == NULL || m->hops == NULL) {
        perror("made_open");
        abort();
    }
    m->in = (struct rad_replay_input){
        .run = &m->run, .tokens = m->tokens, .hops = m->hops, .complete = true};
    while (m->in.n_token < n_token)
        add_token(m, shape, path, ctx);
}

void made_close(struct made *m)
{
    free(m->tokens);
    free(m->hops);
}
