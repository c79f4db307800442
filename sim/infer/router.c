/* router.c - the router of a Radial Network: an MLP on a token's state, and its price. */
#include "infer/engine.h"

#include <math.h>
#include <string.h>

enum rad_status rad_router_scores(rad_engine *e, const int32_t *idx, int32_t n, int32_t hop,
                                  float *score, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const struct router_weights *w = &e->model->router;
    const struct rad_kernels *k = rad_kernels();
    const size_t d = (size_t)c->d_model, r = (size_t)c->router_hidden, out = (size_t)c->n_layer + 1;
    const size_t un = (size_t)n;
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
    rad_linear(e->gemm, n, c->d_model, c->router_hidden, y, w->w1, u);
    const float feature = rad_router_feature((double)e->price);
    for (size_t i = 0; i < un; i++) {
        float *row = u + i * r;
        k->add(r, w->b1, row);
        k->add(r, w->hop + (size_t)hop * r, row);
        k->add(r, w->last + (size_t)(e->last[idx[i]] + 1) * r, row);
        k->axpy(r, feature, w->price, row);
    }
    k->gelu(un * r, u, g);
    rad_linear(e->gemm, n, c->router_hidden, c->n_layer + 1, g, w->w2, score);
    const float bonus = rad_router_bonus((double)e->price, hop, c->n_layer);
    for (size_t i = 0; i < un; i++) {
        k->add(out, w->b2, score + i * out);
        score[i * out + (size_t)c->n_layer] -= bonus;
    }
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* The price measured nearest to a depth share, the lower of two: prices between measured ones may
 * stand for nothing that the router was trained on. */
static double price_of(const struct rad_router_config *r, double budget)
{
    int32_t near = 0;
    for (int32_t i = 1; i < r->n_table; i++)
        if (fabs(r->depth_frac[i] - budget) < fabs(r->depth_frac[near] - budget))
            near = i;
    return r->price[near];
}

enum rad_status rad_router_price(const rad_model *m, const struct rad_route *route, float *price,
                                 struct rad_err *err)
{
    enum { BUDGET, PRICE }; /* rows of the parameter table in route_radial.c */
    const double set = route->params[PRICE];
    *price = (float)set;
    if (!isnan(set))
        return RAD_OK;
    if (m->config.router.n_table == 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "policy radial: config.json has no budget table; give price=... instead");
    *price = (float)price_of(&m->config.router, route->params[BUDGET]);
    return RAD_OK;
}
