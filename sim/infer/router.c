/* router.c - the router of a Radial Network: an MLP on a token's state, and its price. */
#include "infer/engine.h"

#include <math.h>
#include <string.h>

static const struct slot *slot_of(const rad_engine *e, int32_t row)
{
    return &e->slot[e->row[row].slot];
}

enum rad_status rad_router_scores(rad_engine *e, const int32_t *idx, int32_t n, int32_t hop,
                                  float *score, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const struct router_weights *w = &e->model->router;
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)c->d_model, r = (size_t)c->router_hidden, out = (size_t)c->n_layer + 1;
    const size_t un = (size_t)n;
    const struct rad_mat in = {RAD_MAT_F32, c->router_hidden, c->d_model, w->w1, NULL};
    const struct rad_mat to = {RAD_MAT_F32, c->n_layer + 1, c->router_hidden, w->w2, NULL};
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    float *x = rad_arena_get(e->arena, un * d * sizeof *x);
    float *y = rad_arena_get(e->arena, un * d * sizeof *y);
    float *u = rad_arena_get(e->arena, un * r * sizeof *u);
    float *g = rad_arena_get(e->arena, un * r * sizeof *g);
    float *stat = rad_arena_get(e->arena, un * sizeof *stat);
    if (x == NULL || y == NULL || u == NULL || g == NULL || stat == NULL)
        return rad_fail(err, RAD_E_NOMEM, "router: out of memory for %d tokens", n);
    for (size_t i = 0; i < un; i++)
        memcpy(x + i * d, e->h + (size_t)idx[i] * d, d * sizeof *x);
    k->rmsnorm(un, d, e->model->config.rms_eps, x, NULL, y, stat);
    rad_mat_mul(e->gemm, n, y, &in, w->b1, u);
    for (size_t i = 0; i < un; i++) {
        const float feature = rad_router_feature((double)slot_of(e, idx[i])->price);
        float *row = u + i * r;
        k->add(r, w->hop + (size_t)hop * r, row);
        k->add(r, w->last + (size_t)(e->last[idx[i]] + 1) * r, row);
        k->axpy(r, feature, w->price, row);
    }
    k->gelu(un * r, u, g);
    rad_mat_mul(e->gemm, n, g, &to, w->b2, score);
    for (size_t i = 0; i < un; i++)
        score[i * out + (size_t)c->n_layer] -=
            rad_router_bonus((double)slot_of(e, idx[i])->price, hop, c->n_layer);
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* The row nearest to a depth share if it is near enough; else the two rows around it and the share
 * of sequences that take the upper one. Prices between rows may stand for nothing that the router
 * was trained on. */
static struct router_price prices_of(const struct rad_router_config *r, double budget)
{
    const double near = 0.03; /* definitions.md allows 0.05 on validation text */
    int32_t i = 0;
    for (int32_t k = 0; k < r->n_table; k++)
        if (fabs(r->depth_frac[k] - budget) < near)
            return (struct router_price){(float)r->price[k], (float)r->price[k], 0.0};
    while (i + 2 < r->n_table && r->depth_frac[i + 1] < budget)
        i++;
    const int32_t j = i + 1 < r->n_table ? i + 1 : i;
    const double from = r->depth_frac[i], to = r->depth_frac[j];
    const double share = j > i ? (budget - from) / (to - from) : 0.0;
    return (struct router_price){(float)r->price[i], (float)r->price[j],
                                 fmin(fmax(share, 0.0), 1.0)};
}

enum rad_status rad_router_price(const rad_model *m, const struct rad_route *route,
                                 struct router_price *price, struct rad_err *err)
{
    enum { BUDGET, PRICE }; /* rows of the parameter table in route_radial.c */
    const double set = route->params[PRICE];
    *price = (struct router_price){(float)set, (float)set, 0.0};
    if (!isnan(set))
        return RAD_OK;
    if (m->config.router.n_table == 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "policy radial: config.json has no budget table; give price=... instead");
    *price = prices_of(&m->config.router, route->params[BUDGET]);
    return RAD_OK;
}

float rad_router_price_of(const struct router_price *p, int64_t seq)
{
    const double before = floor((double)seq * p->upper_frac + 0.5);
    return floor((double)(seq + 1) * p->upper_frac + 0.5) > before ? p->upper : p->lower;
}
