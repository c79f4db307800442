/* fill.c - skipped layers: cache entries by KV project and copy. */
#include "infer/visit.h"

#include <string.h>

static enum rad_status project(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    struct work w;
    RAD_TRY(rad_work_open(e, v, &w, err));
    RAD_TRY(rad_work_keys(&w, false, err));
    for (int32_t i = 0; i < v->n; i++) {
        const struct rad_hop_rec rec = {(uint16_t)v->layer, RAD_HOP_PROJECT, 0};
        RAD_TRY(rad_path_add(e, v->idx[i], rec, NULL, err));
    }
    return RAD_OK;
}

/* The nearest executed lower layer is the row's last one: paths are forward-only here. */
static enum rad_status copy(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const struct rad_card *c = &e->model->config.card;
    const size_t bytes = (size_t)c->d_head * sizeof(float);
    for (int32_t i = 0; i < v->n; i++) {
        const int32_t row = v->idx[i], from = e->last[row];
        struct kv_layer *layer = e->slot[e->row[row].slot].layer;
        if (from < 0 || layer[from].latest[e->pos[row]] < 0)
            continue; /* nothing below was executed: a hole */
        const int32_t to = rad_cache_append(&layer[v->layer], c, e->pos[row], v->time);
        if (to < 0)
            VISIT_NEED(NULL);
        const int32_t entry = layer[from].latest[e->pos[row]];
        for (int32_t h = 0; h < c->n_kv; h++) {
            memcpy(rad_cache_k(&layer[v->layer], c, h, to), rad_cache_k(&layer[from], c, h, entry),
                   bytes);
            memcpy(rad_cache_v(&layer[v->layer], c, h, to), rad_cache_v(&layer[from], c, h, entry),
                   bytes);
        }
        const struct rad_hop_rec rec = {(uint16_t)v->layer, RAD_HOP_COPY, 0};
        RAD_TRY(rad_path_add(e, row, rec, NULL, err));
    }
    return RAD_OK;
}

enum rad_status rad_visit_fill(rad_engine *e, const struct visit *v, struct rad_err *err)
{
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    RAD_TRY(e->opt.kv == RAD_KV_PROJECT ? project(e, v, err) : copy(e, v, err));
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
