/* plan_keys.c - paths under another KV semantics: their visits alone, keys counted again and the
 * records of skipped layers added by the rule of definitions.md (rad_trace_keys). */
#include "replay/plan.h"

#include <stdlib.h>
#include <string.h>

struct rekey {
    const struct rad_replay_input *in;
    enum rad_kv kv;
    rad_trace_keys *keys;
    struct rad_hop_rec *visit; /* [max_visits] of one token, with the keys that were recorded */
};

/* Room for all records, and for the path of any one token. */
static enum rad_status allocate(struct rekey *r, struct rad_replay_paths *out, int32_t max_visits,
                                struct rad_err *err)
{
    const struct rad_replay_input *in = r->in;
    int64_t n = r->kv == RAD_KV_PROJECT ? in->n_token * in->run->card.n_layer : 0;
    for (int64_t i = 0; i < in->n_token; i++) /* not in->n_hop: tokens may share records */
        n += in->tokens[i].n_hop;
    out->tokens = malloc((size_t)in->n_token * sizeof *out->tokens);
    out->hops = malloc((size_t)(n + 1) * sizeof *out->hops);
    r->visit = malloc(((size_t)max_visits + 1) * sizeof *r->visit);
    if (out->tokens == NULL || out->hops == NULL || r->visit == NULL)
        return rad_fail(err, RAD_E_NOMEM, "kv: cannot allocate %lld records", (long long)n);
    memcpy(out->tokens, in->tokens, (size_t)in->n_token * sizeof *out->tokens);
    return RAD_OK;
}

static int32_t take_visits(struct rad_hop_rec *out, const struct rad_hop_rec *hop, int32_t n_hop)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_hop; i++)
        if (rad_hop_is_visit(&hop[i])) {
            out[n] = hop[i];
            out[n].flags &= RAD_HOP_ATTN | RAD_HOP_MLP;
            out[n].n_keys = (hop[i].flags & RAD_HOP_ATTN) != 0 ? hop[i].n_keys : 0;
            n++;
        }
    return n;
}

/* Rewrite the next token behind the records that out has already. */
static enum rad_status rekey_token(const struct rekey *r, struct rad_trace_token *t,
                                   struct rad_replay_paths *out, struct rad_err *err)
{
    const struct rad_trace_path path = {
        .seq = t->seq,
        .hop = r->visit,
        .n_hop = take_visits(r->visit, r->in->hops + t->hop_first, t->n_hop),
        .fill = true,
    };
    const struct rad_hop_rec *ruled = NULL;
    int32_t n = 0;
    RAD_TRY(rad_trace_keys_next(r->keys, &path, &ruled, &n, err));
    t->hop_first = out->n_hop;
    for (int32_t i = 0, visit = 0; i < n; i++) {
        if (ruled[i].flags == RAD_HOP_COPY)
            continue; /* costs nothing */
        out->hops[out->n_hop++] = ruled[i];
        if (rad_hop_is_visit(&ruled[i]) && ruled[i].n_keys != r->visit[visit++].n_keys)
            out->changed = true;
    }
    t->n_hop = (int32_t)(out->n_hop - t->hop_first);
    return RAD_OK;
}

static enum rad_status rekey_all(const struct rekey *r, struct rad_replay_paths *out,
                                 struct rad_err *err)
{
    int32_t expected = 0;
    for (int64_t i = 0; i < r->in->n_token; i++) {
        struct rad_trace_token *t = &out->tokens[i];
        if (i == 0 || t->seq != out->tokens[i - 1].seq)
            expected = 0;
        if (t->pos != expected++)
            return rad_fail(err, RAD_E_ARG,
                            "kv: sequence %lld has no token at position %d, so that its keys "
                            "cannot be counted again; replay it as recorded",
                            (long long)t->seq, expected - 1);
        RAD_TRY(rekey_token(r, t, out, err));
    }
    return RAD_OK;
}

enum rad_status rad_replay_rekey(struct rad_replay_paths *out, const struct rad_replay_input *in,
                                 int32_t max_visits, enum rad_kv kv, struct rad_err *err)
{
    struct rekey r = {.in = in, .kv = kv};
    struct rad_trace_run run = *in->run;
    *out = (struct rad_replay_paths){.changed = kv != run.kv};
    run.kv = kv;
    if (run.card.patch > 0)
        return rad_fail(err, RAD_E_ARG,
                        "kv: the tokens of an image see one another in both directions, so that "
                        "their keys cannot be counted again; replay it as recorded");
    if (kv != RAD_KV_HOLE && !run.forward_only)
        return rad_fail(err, RAD_E_ARG,
                        "kv: '%s' needs layers in forward order, but the paths of this trace go "
                        "back or repeat layers; use 'hole'",
                        rad_kv_name(kv));
    enum rad_status status = rad_trace_keys_open(&r.keys, &run, err);
    if (status == RAD_OK)
        status = allocate(&r, out, max_visits, err);
    if (status == RAD_OK)
        status = rekey_all(&r, out, err);
    free(r.visit);
    rad_trace_keys_close(r.keys);
    return status;
}

void rad_replay_paths_free(struct rad_replay_paths *paths)
{
    free(paths->tokens);
    free(paths->hops);
    *paths = (struct rad_replay_paths){0};
}
