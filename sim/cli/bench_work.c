/* bench_work.c - FLOP and weight bytes of what an engine did, by spec's lowering. */
#include "cli/bench.h"

#include <math.h>

static double flop_sum(const struct rad_op *ops, int n)
{
    double flop = 0.0;
    for (int i = 0; i < n; i++)
        flop += ops[i].flop;
    return flop;
}

/* FLOP of one row without head and router. */
static double row_flop(const struct rad_card *c, const struct rad_hop_rec *hop, int32_t n)
{
    struct rad_op ops[RAD_LOWER_MAX];
    double flop = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const struct rad_group g = {.m = 1,
                                    .m_attn = hop[i].flags & RAD_HOP_ATTN ? 1 : 0,
                                    .m_mlp = hop[i].flags & RAD_HOP_MLP ? 1 : 0,
                                    .m_kv_only = hop[i].flags & RAD_HOP_PROJECT ? 1 : 0,
                                    .n_keys = hop[i].n_keys,
                                    .kv_read_keys = hop[i].n_keys,
                                    .n_seq = 1};
        flop += flop_sum(ops, rad_lower_layer(c, RAD_F32, &g, ops));
    }
    return flop;
}

/* Does any of n rows visit layer l, at hop t if t >= 0? */
static bool visited(const rad_engine *e, int32_t n, int32_t l, int32_t t)
{
    for (int32_t r = 0; r < n; r++) {
        const struct rad_hop_rec *hop;
        const int32_t hops = rad_engine_path(e, r, &hop, NULL);
        for (int32_t i = t < 0 ? 0 : t; i < hops && (t < 0 || i == t); i++)
            if (hop[i].layer == l && (hop[i].flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0)
                return true;
    }
    return false;
}

void bench_work_add(struct bench_work *w, const struct bench_count *how, const rad_engine *e,
                    int32_t n)
{
    const struct rad_card *c = how->card;
    struct rad_op ops[RAD_LOWER_MAX];
    const double router = how->router ? flop_sum(ops, rad_lower_router(c, RAD_F32, 1, ops)) : 0.0;
    int32_t deepest = 0;
    double loads = 0.0;
    for (int32_t r = 0; r < n; r++) {
        const struct rad_hop_rec *hop;
        const int32_t hops = rad_engine_path(e, r, &hop, NULL);
        w->depth += rad_engine_depth(e, r);
        w->flop += row_flop(c, hop, hops) + router * (hops + 1);
        w->keys += hops > 0 ? (double)hop[0].n_keys : 0.0;
        for (int32_t i = 0; i < hops; i++)
            w->kv_bytes += hop[i].n_keys * 2.0 * c->n_kv * c->d_head * sizeof(float);
        deepest = hops > deepest ? hops : deepest;
    }
    for (int32_t t = 0; t < (how->any_order ? deepest : 1); t++)
        for (int32_t l = 0; l < c->n_layer; l++)
            loads += visited(e, n, l, how->any_order ? t : -1);
    w->tokens += n;
    w->weight_bytes += how->param_bytes * loads * (double)rad_card_layer_params(c);
    if (how->router)
        w->weight_bytes += 4.0 * (deepest + 1.0) * (double)rad_card_router_params(c);
}

void bench_work_head(struct bench_work *w, const struct bench_count *how, int32_t rows)
{
    struct rad_op ops[RAD_LOWER_MAX];
    w->flop += flop_sum(ops, rad_lower_head(how->card, RAD_F32, rows, ops));
    w->weight_bytes += how->param_bytes * (double)how->card->vocab * how->card->d_model;
}

double bench_roof(const struct bench_work *w, double steps, double bytes_per_s, double flop_per_s)
{
    return fmin(w->tokens / steps * bytes_per_s / (w->weight_bytes / steps),
                flop_per_s / (w->flop / w->tokens));
}
