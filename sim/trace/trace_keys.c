/* trace_keys.c - keys attended, from paths alone (definitions.md, KV cache semantics).
 *
 * A visit at hop h to layer l attends to itself and to one entry of each earlier token that has
 * one in l, made at a hop <= h. So the count needs, per layer, how many earlier tokens made their
 * first entry at which hop: a Fenwick tree over hops, grown by doubling. In a forward order hop
 * and layer move together, and every earlier entry is visible: all are counted at hop 0. */
#include "trace/trace_build.h"

#include <stdlib.h>
#include <string.h>

struct tree {
    uint32_t *sum; /* [size + 1], 1-based; sum[i] covers (i - lowest bit of i, i] */
    uint32_t size; /* a power of two, or 0 */
};

struct rad_trace_keys {
    enum rad_kv kv;
    bool forward;
    int32_t n_layer;
    int64_t seq;             /* current, -1 at first */
    int64_t serial;          /* of the token */
    struct tree *tree;       /* [n_layer] */
    int64_t *seen;           /* [n_layer] serial of the last token with an entry */
    struct rad_hop_rec *hop; /* [max_hop] records of the current token */
    int32_t max_hop;
};

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
}

enum rad_status rad_trace_keys_open(rad_trace_keys **out, const struct rad_trace_run *run,
                                    struct rad_err *err)
{
    *out = NULL;
    if (run->card.patch > 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "card '%s': expected a model of text but this one reads images, whose "
                        "tokens see one another in both directions; radial classify --trace "
                        "records such traces",
                        run->card.name);
    rad_trace_keys *k = calloc(1, sizeof *k);
    if (k == NULL)
        return no_memory(err);
    k->kv = run->kv;
    k->forward = run->forward_only || run->kv != RAD_KV_HOLE;
    k->n_layer = run->card.n_layer;
    k->seq = -1;
    k->tree = calloc((size_t)k->n_layer, sizeof *k->tree);
    k->seen = calloc((size_t)k->n_layer, sizeof *k->seen);
    if (k->tree == NULL || k->seen == NULL) {
        rad_trace_keys_close(k);
        return no_memory(err);
    }
    *out = k;
    return RAD_OK;
}

void rad_trace_keys_close(rad_trace_keys *k)
{
    if (k == NULL)
        return;
    for (int32_t l = 0; k->tree != NULL && l < k->n_layer; l++)
        free(k->tree[l].sum);
    free(k->tree);
    free(k->seen);
    free(k->hop);
    free(k);
}

/* ---- counts by hop --------------------------------------------------------------------- */

static uint32_t tree_count(const struct tree *t, uint32_t hop)
{
    uint32_t n = 0;
    for (uint32_t i = hop < t->size ? hop + 1 : t->size; i > 0; i -= i & -i)
        n += t->sum[i];
    return n;
}

/* Doubling a Fenwick tree whose size is a power of two: its last node covers all. */
static bool tree_grow(struct tree *t)
{
    const uint32_t size = t->size > 0 ? 2 * t->size : 1;
    uint32_t *sum = realloc(t->sum, ((size_t)size + 1) * sizeof *sum);
    if (sum == NULL)
        return false;
    for (uint32_t i = t->size + 1; i <= size; i++)
        sum[i] = 0;
    if (t->size > 0)
        sum[size] = sum[t->size];
    t->sum = sum;
    t->size = size;
    return true;
}

static bool tree_add(struct tree *t, uint32_t hop)
{
    while (hop >= t->size)
        if (!tree_grow(t))
            return false;
    for (uint32_t i = hop + 1; i <= t->size; i += i & -i)
        t->sum[i]++;
    return true;
}

static void begin_sequence(rad_trace_keys *k, int64_t seq)
{
    for (int32_t l = 0; l < k->n_layer; l++)
        if (k->tree[l].size > 0)
            memset(k->tree[l].sum, 0, ((size_t)k->tree[l].size + 1) * sizeof *k->tree[l].sum);
    k->seq = seq;
}

/* ---- records of a token ---------------------------------------------------------------- */

static bool reserve(rad_trace_keys *k, int32_t n)
{
    if (n <= k->max_hop)
        return true;
    struct rad_hop_rec *hop = realloc(k->hop, (size_t)n * sizeof *hop);
    if (hop == NULL)
        return false;
    k->hop = hop;
    k->max_hop = n;
    return true;
}

/* Copy a forward path with the entries of layers whose attention did not run: each layer's entry
 * before its visit, if that was of the MLP alone. Nothing is below the first attention to copy. */
static int32_t fill(rad_trace_keys *k, const struct rad_hop_rec *hop, int32_t n_hop)
{
    static const uint16_t entry[] = {0, RAD_HOP_PROJECT, RAD_HOP_COPY}; /* by enum rad_kv */
    int32_t from = 0, to = 0;
    bool below = k->kv == RAD_KV_PROJECT;
    for (int32_t l = 0; l < k->n_layer; l++) {
        const bool visited = from < n_hop && hop[from].layer == l;
        const bool attends = visited && (hop[from].flags & RAD_HOP_ATTN) != 0;
        if (!attends && below)
            k->hop[to++] = (struct rad_hop_rec){.layer = (uint16_t)l, .flags = entry[k->kv]};
        if (visited)
            k->hop[to++] = hop[from++];
        below = below || attends;
    }
    return to;
}

static void count(rad_trace_keys *k, int32_t n_hop, bool keep)
{
    uint32_t visit = 0;
    for (int32_t i = 0; i < n_hop; i++) {
        struct rad_hop_rec *hop = &k->hop[i];
        if ((hop->flags & RAD_HOP_ATTN) != 0 && !keep)
            hop->n_keys = 1 + tree_count(&k->tree[hop->layer], k->forward ? 0 : visit);
        visit += rad_hop_is_visit(hop);
    }
}

/* Its first entry in each layer becomes visible to later tokens. */
static bool remember(rad_trace_keys *k, int32_t n_hop)
{
    uint32_t visit = 0;
    k->serial++;
    for (int32_t i = 0; i < n_hop; i++) {
        const struct rad_hop_rec *hop = &k->hop[i];
        const bool entry = (hop->flags & ~(unsigned)RAD_HOP_MLP) != 0;
        if (entry && k->seen[hop->layer] != k->serial) {
            k->seen[hop->layer] = k->serial;
            if (!tree_add(&k->tree[hop->layer], k->forward ? 0 : visit))
                return false;
        }
        visit += rad_hop_is_visit(hop);
    }
    return true;
}

enum rad_status rad_trace_keys_next(rad_trace_keys *k, const struct rad_trace_path *path,
                                    const struct rad_hop_rec **out, int32_t *n_out,
                                    struct rad_err *err)
{
    if (path->seq != k->seq)
        begin_sequence(k, path->seq);
    if (!reserve(k, path->n_hop + k->n_layer))
        return no_memory(err);
    int32_t n = path->n_hop;
    if (path->fill && k->kv != RAD_KV_HOLE && rad_trace_path_forward(path->hop, n))
        n = fill(k, path->hop, n);
    else if (n > 0)
        memcpy(k->hop, path->hop, (size_t)n * sizeof *k->hop);
    count(k, n, path->has_keys);
    if (!remember(k, n))
        return no_memory(err);
    *out = k->hop;
    *n_out = n;
    return RAD_OK;
}

/* Images in a forward order: a visit sees every token of its image that has an entry in the layer.
 * n_key[n_layer] of the tokens first..last - 1. */
static void count_image(const rad_trace *t, int64_t first, int64_t last, int64_t *n_key)
{
    const int32_t n_layer = t->run.card.n_layer;
    memset(n_key, 0, (size_t)n_layer * sizeof *n_key);
    for (int64_t i = first; i < last; i++) {
        const struct rad_hop_rec *hop = t->hop + t->token[i].hop_first;
        int32_t lowest = n_layer;
        for (int32_t h = 0; h < t->token[i].n_hop; h++)
            if (hop[h].flags & RAD_HOP_ATTN) {
                n_key[hop[h].layer] += t->run.kv == RAD_KV_HOLE;
                lowest = hop[h].layer < lowest ? hop[h].layer : lowest;
            }
        for (int32_t l = t->run.kv == RAD_KV_COPY ? lowest : 0; l < n_layer; l++)
            n_key[l] += t->run.kv != RAD_KV_HOLE;
    }
}

static enum rad_status images_differ(const rad_trace *t, int64_t *out, struct rad_err *err)
{
    int64_t *n_key = malloc((size_t)t->run.card.n_layer * sizeof *n_key);
    if (n_key == NULL)
        return no_memory(err);
    for (int64_t first = 0, last = 0; first < t->n_token; first = last) {
        while (last < t->n_token && t->token[last].seq == t->token[first].seq)
            last++;
        count_image(t, first, last, n_key);
        for (int64_t i = first; i < last; i++) {
            const struct rad_hop_rec *hop = t->hop + t->token[i].hop_first;
            for (int32_t h = 0; h < t->token[i].n_hop; h++)
                if (hop[h].flags & RAD_HOP_ATTN)
                    *out += hop[h].n_keys != n_key[hop[h].layer];
        }
    }
    free(n_key);
    return RAD_OK;
}

enum rad_status rad_trace_keys_differ(const rad_trace *t, int64_t *out, struct rad_err *err)
{
    rad_trace_keys *k = NULL;
    *out = 0;
    if (t->run.card.patch > 0)
        return images_differ(t, out, err);
    enum rad_status status = rad_trace_keys_open(&k, &t->run, err);
    for (int64_t i = 0; i < t->n_token && status == RAD_OK; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        const struct rad_hop_rec *found = t->hop + tok->hop_first, *ruled = NULL;
        int32_t n = 0;
        const struct rad_trace_path path = {.seq = tok->seq, .hop = found, .n_hop = tok->n_hop};
        status = rad_trace_keys_next(k, &path, &ruled, &n, err);
        for (int32_t h = 0; h < n && status == RAD_OK; h++)
            *out += ruled[h].n_keys != found[h].n_keys;
    }
    rad_trace_keys_close(k);
    return status;
}
