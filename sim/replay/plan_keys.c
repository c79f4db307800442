/* plan_keys.c - keys attended under another KV semantics, counted from the explicit paths.
 *
 * definitions.md, KV cache: a visit at hop h to layer l attends to itself and to the entries that
 * earlier tokens of its sequence made in layer l at hops <= h, one per token. In a forward order
 * h and l move together, so that every earlier entry of the layer is seen. Which layers have an
 * entry of a token:
 *   hole     those in which its attention ran
 *   project  all: K and V of the others are computed from the state that passes by
 *   copy     those from the first in which its attention ran: the others stand in by reference
 *
 * l = layer, h = hop of an entry (always 0 in a forward order). Counts over h are Fenwick trees. */
#include "replay/plan.h"

#include <stdlib.h>
#include <string.h>

struct counter {
    const struct rad_replay_input *in;
    enum rad_kv kv;
    int32_t n_layer, n_hop; /* n_hop: 1 in a forward order */
    uint32_t *tree;         /* [n_layer][n_hop] earlier tokens by the hop of their entry */
    uint32_t *seen;         /* [n_layer] serial of the last token that attended there */
    uint32_t serial;
    bool changed; /* a count is not the recorded one */
};

static enum rad_status counter_open(struct counter *c, const struct rad_replay_input *in,
                                    int32_t max_visits, enum rad_kv kv, struct rad_err *err)
{
    const int32_t most = in->run->forward_only ? 1 : max_visits;
    *c = (struct counter){.in = in, .kv = kv, .n_layer = in->run->card.n_layer};
    c->n_hop = most < 1 ? 1 : most;
    c->tree = calloc((size_t)c->n_layer * (size_t)c->n_hop, sizeof *c->tree);
    c->seen = calloc((size_t)c->n_layer, sizeof *c->seen);
    if (c->tree == NULL || c->seen == NULL)
        return rad_fail(err, RAD_E_NOMEM, "kv: cannot allocate counts of %d layers and %d hops",
                        c->n_layer, c->n_hop);
    return RAD_OK;
}

static void counter_close(struct counter *c)
{
    free(c->tree);
    free(c->seen);
}

static void add_entry(struct counter *c, int32_t layer, int32_t hop)
{
    uint32_t *tree = c->tree + (size_t)layer * (size_t)c->n_hop;
    for (int32_t i = hop + 1; i <= c->n_hop; i += i & -i)
        tree[i - 1]++;
}

static uint32_t count_entries(const struct counter *c, int32_t layer, int32_t hop)
{
    const uint32_t *tree = c->tree + (size_t)layer * (size_t)c->n_hop;
    uint32_t n = 0;
    for (int32_t i = hop + 1; i > 0; i -= i & -i)
        n += tree[i - 1];
    return n;
}

static bool is_visit(const struct rad_hop_rec *rec)
{
    return (rec->flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0;
}

/* Copy the visits of a token with new counts; returns how many. */
static int32_t count_visits(struct counter *c, const struct rad_hop_rec *hop, int32_t n_hop,
                            struct rad_hop_rec *out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_hop; i++) {
        if (!is_visit(&hop[i]))
            continue;
        out[n] = hop[i];
        out[n].flags &= RAD_HOP_ATTN | RAD_HOP_MLP;
        out[n].n_keys = 0;
        if (hop[i].flags & RAD_HOP_ATTN)
            out[n].n_keys = 1 + count_entries(c, hop[i].layer, c->n_hop > 1 ? n : 0);
        c->changed = c->changed || out[n].n_keys != hop[i].n_keys;
        n++;
    }
    return n;
}

/* Let later tokens see the entries of a token with these visits. */
static void add_entries(struct counter *c, const struct rad_hop_rec *visit, int32_t n)
{
    int32_t first = c->kv == RAD_KV_PROJECT ? 0 : c->n_layer;
    c->serial++;
    for (int32_t i = 0; i < n; i++) {
        if ((visit[i].flags & RAD_HOP_ATTN) == 0 || c->seen[visit[i].layer] == c->serial)
            continue;
        c->seen[visit[i].layer] = c->serial;
        first = visit[i].layer < first ? visit[i].layer : first;
        if (c->kv == RAD_KV_HOLE)
            add_entry(c, visit[i].layer, c->n_hop > 1 ? i : 0);
    }
    if (c->kv != RAD_KV_HOLE)
        for (int32_t layer = first; layer < c->n_layer; layer++)
            add_entry(c, layer, 0);
}

/* Copy the forward path visit[n] with a projection for every layer in which attention did not run;
 * returns how many records that makes. */
static int32_t add_projections(const struct counter *c, const struct rad_hop_rec *visit, int32_t n,
                               struct rad_hop_rec *out)
{
    int32_t i = 0, n_out = 0;
    for (int32_t layer = 0; layer < c->n_layer; layer++) {
        const bool here = i < n && visit[i].layer == layer;
        if (!here || (visit[i].flags & RAD_HOP_ATTN) == 0)
            out[n_out++] = (struct rad_hop_rec){.layer = (uint16_t)layer, .flags = RAD_HOP_PROJECT};
        if (here)
            out[n_out++] = visit[i++];
    }
    return n_out;
}

/* Rewrite the next token behind the records that out has already. visits has room for its path. */
static void rekey_token(struct counter *c, struct rad_trace_token *t, struct rad_hop_rec *visits,
                        struct rad_replay_paths *out)
{
    const int32_t n = count_visits(c, c->in->hops + t->hop_first, t->n_hop, visits);
    struct rad_hop_rec *to = out->hops + out->n_hop;
    t->hop_first = out->n_hop;
    t->n_hop = n;
    if (c->kv == RAD_KV_PROJECT)
        t->n_hop = add_projections(c, visits, n, to);
    else if (n > 0)
        memcpy(to, visits, (size_t)n * sizeof *to);
    out->n_hop += t->n_hop;
    add_entries(c, visits, n);
}

static enum rad_status rekey(struct counter *c, struct rad_hop_rec *visits,
                             struct rad_replay_paths *out, struct rad_err *err)
{
    int32_t expected = 0;
    for (int64_t i = 0; i < c->in->n_token; i++) {
        struct rad_trace_token *t = &out->tokens[i];
        if (i == 0 || t->seq != out->tokens[i - 1].seq) {
            memset(c->tree, 0, (size_t)c->n_layer * (size_t)c->n_hop * sizeof *c->tree);
            expected = 0;
        }
        if (t->pos != expected++)
            return rad_fail(err, RAD_E_ARG,
                            "kv: sequence %lld has no token at position %d, so that its keys "
                            "cannot be counted again; replay it as recorded",
                            (long long)t->seq, expected - 1);
        rekey_token(c, t, visits, out);
    }
    return RAD_OK;
}

/* Room for all records, and for the path of any one token. */
static enum rad_status allocate(struct rad_replay_paths *out, struct rad_hop_rec **visits,
                                const struct counter *c, int32_t max_visits, struct rad_err *err)
{
    const struct rad_replay_input *in = c->in;
    int64_t n = c->kv == RAD_KV_PROJECT ? in->n_token * c->n_layer : 0;
    for (int64_t i = 0; i < in->n_token; i++) /* not in->n_hop: tokens may share records */
        n += in->tokens[i].n_hop;
    out->tokens = malloc((size_t)in->n_token * sizeof *out->tokens);
    out->hops = malloc((size_t)(n + 1) * sizeof *out->hops);
    *visits = malloc(((size_t)max_visits + 1) * sizeof **visits);
    if (out->tokens == NULL || out->hops == NULL || *visits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "kv: cannot allocate %lld records", (long long)n);
    memcpy(out->tokens, in->tokens, (size_t)in->n_token * sizeof *out->tokens);
    return RAD_OK;
}

enum rad_status rad_replay_rekey(struct rad_replay_paths *out, const struct rad_replay_input *in,
                                 int32_t max_visits, enum rad_kv kv, struct rad_err *err)
{
    struct counter c;
    struct rad_hop_rec *visits = NULL;
    *out = (struct rad_replay_paths){0};
    if (in->run->card.patch > 0)
        return rad_fail(err, RAD_E_ARG,
                        "kv: the tokens of an image see one another in both directions, so that "
                        "their keys cannot be counted again; replay it as recorded");
    if (kv != RAD_KV_HOLE && !in->run->forward_only)
        return rad_fail(err, RAD_E_ARG,
                        "kv: '%s' needs layers in forward order, but the paths of this trace go "
                        "back or repeat layers; use 'hole'",
                        rad_kv_name(kv));
    enum rad_status status = counter_open(&c, in, max_visits, kv, err);
    if (status == RAD_OK)
        status = allocate(out, &visits, &c, max_visits, err);
    if (status == RAD_OK)
        status = rekey(&c, visits, out, err);
    out->changed = c.changed || kv != in->run->kv;
    free(visits);
    counter_close(&c);
    return status;
}

void rad_replay_paths_free(struct rad_replay_paths *paths)
{
    free(paths->tokens);
    free(paths->hops);
    *paths = (struct rad_replay_paths){0};
}
