/* engine.c - the hop loop: rows of several sequences move through the network together. */
#include "infer/visit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum rad_status check_options(const rad_model *m, const struct rad_engine_options *opt,
                                     struct rad_err *err)
{
    const struct rad_policy *p = opt->route.policy;
    if (p->needs_router && m->config.router.hidden == 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "policy %s: model '%s' has no router; use a model trained with one, or "
                        "policy dense, uls, skip or oracle",
                        p->name, m->config.card.name);
    if (p->any_order && opt->kv != RAD_KV_HOLE)
        return rad_fail(err, RAD_E_ARG,
                        "kv %s: needs paths in increasing layer order, but policy %s may go back "
                        "and repeat layers, so 'the layers that a token skipped' is not defined; "
                        "use --kv hole",
                        rad_kv_name(opt->kv), p->name);
    if (p->keep != NULL && opt->kv != RAD_KV_HOLE)
        return rad_fail(err, RAD_E_ARG,
                        "kv %s: policy %s discards what it has computed, cache entries included, "
                        "which leaves holes; use --kv hole",
                        rad_kv_name(opt->kv), p->name);
    return RAD_OK;
}

enum rad_status rad_engine_open(rad_engine **out, const rad_model *model,
                                const struct rad_engine_options *opt, struct rad_err *err)
{
    const struct rad_card *c = &model->config.card;
    *out = NULL;
    RAD_TRY(check_options(model, opt, err));
    rad_engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory");
    e->model = model;
    e->opt = *opt;
    e->by_layer = !opt->route.policy->any_order;
    e->router = opt->route.policy->needs_router;
    e->omit.layer = -1;
    e->max_time = e->by_layer ? c->n_layer : c->max_hops;
    enum rad_status status = rad_gemm_open(&e->gemm, opt->bf16 ? RAD_GEMM_BF16 : RAD_GEMM_F32, err);
    if (status == RAD_OK)
        status = rad_gemm_threads(e->gemm, opt->threads, err);
    if (status == RAD_OK)
        status = rad_arena_open(&e->arena, err);
    if (status == RAD_OK && e->router)
        status = rad_router_price(model, &opt->route, &e->price, err);
    e->slot = calloc((size_t)opt->n_slot, sizeof *e->slot);
    if (status == RAD_OK && e->slot == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d slots", opt->n_slot);
    for (int32_t s = 0; s < opt->n_slot && status == RAD_OK; s++) {
        e->slot[s].price = rad_router_price_of(&e->price, 0);
        e->slot[s].layer = calloc((size_t)c->n_layer, sizeof *e->slot[s].layer);
        if (e->slot[s].layer == NULL)
            status = rad_fail(err, RAD_E_NOMEM, "engine: out of memory for a KV cache");
        for (int32_t l = 0; l < c->n_layer && status == RAD_OK; l++)
            status = rad_cache_open(&e->slot[s].layer[l], c, err);
    }
    if (status != RAD_OK) {
        rad_engine_close(e);
        return status;
    }
    *out = e;
    return RAD_OK;
}

void rad_engine_close(rad_engine *e)
{
    if (e == NULL)
        return;
    for (int32_t s = 0; e->slot != NULL && s < e->opt.n_slot; s++) {
        for (int32_t l = 0; e->slot[s].layer != NULL && l < e->model->config.card.n_layer; l++)
            rad_cache_close(&e->slot[s].layer[l]);
        free(e->slot[s].layer);
    }
    free(e->slot);
    free(e->cs);
    rad_gemm_close(e->gemm);
    rad_arena_close(e->arena);
    free(e);
}

int rad_engine_threads(const rad_engine *e)
{
    return rad_pool_size(rad_gemm_pool(e->gemm));
}

void rad_engine_start(rad_engine *e, int32_t slot, int64_t seq)
{
    struct slot *s = &e->slot[slot];
    for (int32_t l = 0; l < e->model->config.card.n_layer; l++)
        rad_cache_clear(&s->layer[l], s->n_tok);
    s->seq = seq;
    s->n_tok = 0;
    s->price = rad_router_price_of(&e->price, seq);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Before anything changes, so that a refused call leaves every sequence as it was. */
static enum rad_status check_rows(const rad_engine *e, const struct rad_row *row, int32_t n,
                                  struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    for (int32_t r = 0, same = 0; r < n; r++) {
        const struct slot *s = &e->slot[row[r].slot];
        same = r > 0 && row[r].slot == row[r - 1].slot ? same + 1 : 0;
        const int32_t ids = c->patch > 0 ? c->n_ctx : c->vocab;
        if (row[r].token < 0 || row[r].token >= ids)
            return rad_fail(err, RAD_E_RANGE, "token id %d: the vocabulary has 0..%d", row[r].token,
                            ids - 1);
        if (s->n_tok + same >= c->n_ctx)
            return rad_fail(err, RAD_E_RANGE,
                            "sequence %lld: longer than the %d positions of the model",
                            (long long)s->seq, c->n_ctx);
    }
    return RAD_OK;
}

static enum rad_status take_rows(rad_engine *e, const struct rad_row *row, int32_t n,
                                 struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const size_t un = (size_t)n, d = (size_t)c->d_model;
    rad_arena_reset(e->arena, (struct rad_arena_mark){0, 0});
    struct rad_row *kept = rad_arena_get(e->arena, un * sizeof *kept);
    e->pos = rad_arena_get(e->arena, un * sizeof *e->pos);
    e->last = rad_arena_get(e->arena, un * sizeof *e->last);
    e->seq = rad_arena_get(e->arena, un * sizeof *e->seq);
    e->h = rad_arena_get(e->arena, un * d * sizeof *e->h);
    e->path = rad_arena_get(e->arena, un * sizeof *e->path);
    const size_t hops = un * (size_t)e->max_time;
    struct rad_hop_rec *hop = rad_arena_get(e->arena, hops * sizeof *hop);
    struct rad_hop_stat *stat = e->opt.stats ? rad_arena_get(e->arena, hops * sizeof *stat) : NULL;
    float *cosine = e->opt.stats ? rad_arena_get(e->arena, hops * sizeof *cosine) : NULL;
    e->n_row = 0;
    if (!kept || !e->pos || !e->last || !e->seq || !e->h || !e->path || !hop ||
        (e->opt.stats && !(stat && cosine)))
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d tokens", n);
    for (int32_t r = 0; r < n; r++) {
        struct slot *s = &e->slot[row[r].slot];
        kept[r] = row[r];
        e->pos[r] = s->n_tok++;
        e->seq[r] = s->seq;
        e->last[r] = -1;
        e->path[r] = (struct path){.hop = hop + (size_t)r * (size_t)e->max_time};
        if (stat != NULL) {
            e->path[r].stat = stat + (size_t)r * (size_t)e->max_time;
            e->path[r].cos = cosine + (size_t)r * (size_t)e->max_time;
        }
    }
    e->row = kept;
    e->n_row = n;
    return RAD_OK;
}

enum rad_status rad_path_add(rad_engine *e, int32_t row, struct rad_hop_rec hop,
                             const struct rad_hop_stat *stat, struct rad_err *err)
{
    struct path *p = &e->path[row];
    if (p->n >= e->max_time)
        return rad_fail(err, RAD_E_RANGE, "engine: more than %d hops", e->max_time);
    if (p->stat != NULL) {
        const float margin = p->stat[p->n].margin; /* set when the hop was decided */
        p->stat[p->n] = stat != NULL ? *stat
                                     : (struct rad_hop_stat){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
        p->stat[p->n].margin = e->router ? margin : NAN;
        p->cos[p->n] = NAN;
    }
    p->hop[p->n++] = hop;
    return RAD_OK;
}

/* ---- the loop ------------------------------------------------------------------------------ */

struct live { /* rows that may still move */
    int32_t *idx, *dest;
    int32_t n;
};

static float margin_of(const float *s, size_t n)
{
    float best = -INFINITY, second = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (s[i] > best) {
            second = best;
            best = s[i];
        } else if (s[i] > second) {
            second = s[i];
        }
    }
    return best - second;
}

static enum rad_status decide(rad_engine *e, struct live *v, int32_t time,
                              enum rad_route_phase phase, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const struct rad_route *route = &e->opt.route;
    const size_t n = (size_t)v->n, out = (size_t)c->n_layer + 1;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    int32_t *last = rad_arena_get(e->arena, n * sizeof *last);
    int32_t *pos = rad_arena_get(e->arena, n * sizeof *pos);
    int64_t *seq = rad_arena_get(e->arena, n * sizeof *seq);
    float *score = e->router ? rad_arena_get(e->arena, n * out * sizeof *score) : NULL;
    if (!last || !pos || !seq || (e->router && !score))
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d tokens", v->n);
    for (size_t i = 0; i < n; i++) {
        last[i] = e->last[v->idx[i]];
        pos[i] = e->pos[v->idx[i]];
        seq[i] = e->seq[v->idx[i]];
    }
    if (e->router)
        RAD_TRY(rad_router_scores(e, v->idx, v->n, time, score, err));
    const struct rad_hop hop = {v->n, c->n_layer, time, c->max_hops, phase, score, last, seq, pos};
    RAD_TRY(route->policy->decide(route->params, &hop, v->dest, err));
    for (size_t i = 0; i < n && e->router && e->opt.stats; i++) {
        struct path *p = &e->path[v->idx[i]];
        if (v->dest[i] >= 0 && p->n < e->max_time)
            p->stat[p->n].margin = margin_of(score + i * out, out);
    }
    for (size_t i = 0; i < n && e->by_layer; i++)
        v->dest[i] = v->dest[i] > time || (v->dest[i] == RAD_EXIT && e->opt.kv != RAD_KV_HOLE)
                         ? RAD_WAIT
                         : v->dest[i];
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* Rows of v that go to layer, as a visit; idx must hold v->n. */
static struct visit pick(const struct live *v, int32_t layer, int32_t time, int32_t *idx)
{
    struct visit visit = {.layer = layer, .time = time, .idx = idx};
    for (int32_t i = 0; i < v->n; i++)
        if (v->dest[i] == layer)
            idx[visit.n++] = v->idx[i];
    return visit;
}

static enum rad_status move(rad_engine *e, struct live *v, int32_t time, int32_t *idx,
                            struct rad_err *err)
{
    const int32_t n_layer = e->model->config.card.n_layer;
    if (e->by_layer && e->opt.kv != RAD_KV_HOLE) { /* first: later tokens attend to these entries */
        struct visit skipped = pick(v, RAD_WAIT, time, idx);
        skipped.layer = time;
        if (skipped.n > 0)
            RAD_TRY(rad_visit_fill(e, &skipped, err));
    }
    for (int32_t l = e->by_layer ? time : 0; l < (e->by_layer ? time + 1 : n_layer); l++) {
        const struct visit visit = pick(v, l, time, idx);
        if (visit.n > 0)
            RAD_TRY(rad_visit_run(e, &visit, err));
    }
    return RAD_OK;
}

/* The rows as they were taken, from the first layer to where they leave. */
static enum rad_status walk(rad_engine *e, enum rad_route_phase phase, struct rad_err *err)
{
    struct live v = {.n = e->n_row};
    int32_t last_pos = 0;
    v.idx = rad_arena_get(e->arena, (size_t)v.n * sizeof *v.idx);
    v.dest = rad_arena_get(e->arena, (size_t)v.n * sizeof *v.dest);
    int32_t *idx = rad_arena_get(e->arena, (size_t)v.n * sizeof *idx);
    if (v.idx == NULL || v.dest == NULL || idx == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d tokens", v.n);
    for (int32_t i = 0; i < v.n; i++) {
        v.idx[i] = i;
        last_pos = e->pos[i] > last_pos ? e->pos[i] : last_pos;
    }
    RAD_TRY(rad_rope_reach(e, last_pos + 1, err));
    for (int32_t time = 0; time < e->max_time && v.n > 0; time++) {
        RAD_TRY(decide(e, &v, time, phase, err));
        RAD_TRY(move(e, &v, time, idx, err));
        int32_t left = 0;
        for (int32_t i = 0; i < v.n; i++)
            if (v.dest[i] != RAD_EXIT)
                v.idx[left++] = v.idx[i];
        v.n = left;
    }
    return RAD_OK;
}

enum rad_status rad_engine_forward(rad_engine *e, const struct rad_row *row, int32_t n,
                                   enum rad_route_phase phase, struct rad_err *err)
{
    if (e->model->config.card.patch > 0)
        return rad_fail(err, RAD_E_ARG, "model '%s' reads images, not text; use radial classify",
                        e->model->config.card.name);
    RAD_TRY(check_rows(e, row, n, err));
    RAD_TRY(take_rows(e, row, n, err));
    RAD_TRY(rad_embed_tokens(e, err));
    return walk(e, phase, err);
}

enum rad_status rad_engine_image(rad_engine *e, const float *pixels, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    if (c->patch == 0)
        return rad_fail(err, RAD_E_ARG, "model '%s' reads text, not images", c->name);
    struct rad_row *row = calloc((size_t)c->n_ctx, sizeof *row);
    if (row == NULL)
        return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d patches", c->n_ctx);
    for (int32_t i = 0; i < c->n_ctx; i++)
        row[i].token = i;
    enum rad_status status = check_rows(e, row, c->n_ctx, err);
    if (status == RAD_OK)
        status = take_rows(e, row, c->n_ctx, err);
    free(row);
    if (status == RAD_OK)
        status = rad_embed_image(e, pixels, err);
    return status == RAD_OK ? walk(e, RAD_ROUTE_EVAL, err) : status;
}

/* ---- what came out ------------------------------------------------------------------------- */

int32_t rad_engine_path(const rad_engine *e, int32_t r, const struct rad_hop_rec **hop,
                        const struct rad_hop_stat **stat)
{
    *hop = e->path[r].hop;
    if (stat != NULL)
        *stat = e->path[r].stat;
    return e->path[r].n;
}

const float *rad_engine_cosines(const rad_engine *e, int32_t r)
{
    return e->path[r].cos;
}

double rad_engine_depth(const rad_engine *e, int32_t r)
{
    double halves = 0.0;
    for (int32_t i = 0; i < e->path[r].n; i++) {
        halves += e->path[r].hop[i].flags & RAD_HOP_ATTN ? 1.0 : 0.0;
        halves += e->path[r].hop[i].flags & RAD_HOP_MLP ? 1.0 : 0.0;
    }
    return halves / 2.0;
}

int32_t rad_engine_pos(const rad_engine *e, int32_t r)
{
    return e->pos[r];
}
