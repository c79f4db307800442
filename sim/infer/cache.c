/* cache.c - one layer's KV cache: entries in writing order, linked per token by time. */
#include "infer/engine.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = KV_CHUNK, HUGE_PAGE = 2 << 20 };

enum rad_status rad_cache_open(struct kv_layer *l, const struct rad_card *c, struct rad_err *err)
{
    l->latest = malloc((size_t)c->n_ctx * sizeof *l->latest);
    if (l->latest == NULL)
        return rad_fail(err, RAD_E_NOMEM, "kv cache: out of memory for %d tokens", c->n_ctx);
    rad_cache_clear(l, c->n_ctx);
    return RAD_OK;
}

void rad_cache_close(struct kv_layer *l)
{
    free(l->kv);
    free(l->pos);
    free(l->latest);
    *l = (struct kv_layer){0};
}

void rad_cache_clear(struct kv_layer *l, int32_t n_tok)
{
    l->n = 0;
    l->in_order = true;
    for (int32_t i = 0; i < n_tok; i++)
        l->latest[i] = -1;
}

/* Room for at least *cap rows; in huge pages, and *cap what fits them, if that is about one. */
static float *new_rows(int32_t *cap, size_t chunk_bytes)
{
    const size_t chunks = ((size_t)*cap + KV_CHUNK - 1) / KV_CHUNK, huge = HUGE_PAGE;
    const size_t want = chunks * chunk_bytes, bytes = (want + huge - 1) / huge * huge;
    *cap = (int32_t)chunks * KV_CHUNK;
    if (want < huge / 2)
        return malloc(want);
    float *p = aligned_alloc(huge, bytes);
    if (p != NULL)
        rad_huge_pages(p, bytes);
    *cap = (int32_t)(bytes / chunk_bytes) * KV_CHUNK;
    return p;
}

static bool grow(struct kv_layer *l, const struct rad_card *c)
{
    const size_t chunk = 2 * KV_CHUNK * (size_t)c->n_kv * (size_t)c->d_head; /* floats */
    int32_t cap = l->cap ? 2 * l->cap : FIRST;
    float *kv = new_rows(&cap, chunk * sizeof *kv);
    int32_t *ints = malloc(3 * (size_t)cap * sizeof *ints);
    if (kv == NULL || ints == NULL) {
        free(kv);
        free(ints);
        return false;
    }
    if (l->n > 0)
        memcpy(kv, l->kv, ((size_t)l->n + KV_CHUNK - 1) / KV_CHUNK * chunk * sizeof *kv);
    for (int32_t i = 0; i < l->n; i++) {
        ints[i] = l->pos[i];
        ints[cap + i] = l->time[i];
        ints[2 * cap + i] = l->prev[i];
    }
    free(l->kv);
    free(l->pos);
    l->kv = kv;
    l->pos = ints;
    l->time = ints + cap;
    l->prev = ints + 2 * cap;
    l->cap = cap;
    return true;
}

int32_t rad_cache_append(struct kv_layer *l, const struct rad_card *c, int32_t pos, int32_t time)
{
    if (l->n == l->cap && !grow(l, c))
        return -1;
    const int32_t i = l->n++;
    l->in_order = l->in_order && (i == 0 || pos > l->pos[i - 1]);
    l->pos[i] = pos;
    l->time[i] = time;
    l->prev[i] = l->latest[pos];
    l->latest[pos] = i;
    return i;
}

void rad_cache_drop(struct kv_layer *l, int32_t pos)
{
    const int32_t i = l->latest[pos];
    l->latest[pos] = l->prev[i];
    if (i == l->n - 1)
        l->n--;
    else
        l->in_order = false;
}

int32_t rad_cache_list(const struct kv_layer *l, int32_t time, int32_t last_pos, int32_t *entry)
{
    int32_t n = 0;
    for (int32_t p = 0; p <= last_pos; p++) {
        int32_t i = l->latest[p];
        while (i >= 0 && l->time[i] > time)
            i = l->prev[i];
        if (i >= 0)
            entry[n++] = i;
    }
    return n;
}

void rad_engine_undo(rad_engine *e, int32_t slot)
{
    struct slot *s = &e->slot[slot];
    s->n_tok--;
    for (int32_t l = 0; l < e->model->config.card.n_layer; l++)
        while (s->layer[l].latest[s->n_tok] >= 0)
            rad_cache_drop(&s->layer[l], s->n_tok);
}
