/* plan_card.c - routing recorded on one architecture, replayed on a larger one, by the rule of
 * `radial trace transplant` (docs/trace-format.md) but without expanding the trace. */
#include "replay/plan.h"

#include <stdlib.h>

enum rad_status rad_replay_layer_repeats(uint32_t *repeat, const struct rad_replay_input *in,
                                         int32_t n_layer, struct rad_err *err)
{
    const int32_t n = in->run->card.n_layer;
    int64_t *sublayers = calloc((size_t)n, sizeof *sublayers);
    if (sublayers == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate %d layers", n);
    for (int64_t i = 0; i < in->n_token && n_layer % n != 0; i++) { /* else all repeat alike */
        const struct rad_hop_rec *hop = in->hops + in->tokens[i].hop_first;
        for (int32_t h = 0; h < in->tokens[i].n_hop; h++)
            sublayers[hop[h].layer] += rad_hop_sublayers(&hop[h]);
    }
    const enum rad_status status = rad_trace_layer_repeats(repeat, sublayers, n, n_layer, err);
    free(sublayers);
    return status;
}

static bool same_shape(const struct rad_card *a, const struct rad_card *b)
{
    return a->n_layer == b->n_layer && a->d_model == b->d_model && a->n_head == b->n_head &&
           a->n_kv == b->n_kv && a->d_head == b->d_head && a->ffn == b->ffn &&
           a->vocab == b->vocab && a->norm == b->norm && a->act == b->act && a->tied == b->tied &&
           a->bias == b->bias && a->learned_positions == b->learned_positions &&
           a->embed_dim == b->embed_dim && a->patch == b->patch && a->post_norm == b->post_norm &&
           a->alibi == b->alibi && a->embed_norm == b->embed_norm;
}

enum rad_status rad_replay_card(struct rad_card *out, bool *transplanted,
                                const struct rad_trace_run *run, const struct rad_card *wanted,
                                struct rad_err *err)
{
    *out = run->card;
    *transplanted = false;
    if (wanted == NULL)
        return RAD_OK;
    if (wanted->n_layer < run->card.n_layer)
        return rad_fail(err, RAD_E_ARG,
                        "card '%s': expected at least the %d layers of the trace but found %d; "
                        "choose a larger card",
                        wanted->name, run->card.n_layer, wanted->n_layer);
    if ((wanted->patch > 0) != (run->card.patch > 0))
        return rad_fail(err, RAD_E_ARG,
                        "card '%s': expected a model of %s, as that of the trace; tokens of images "
                        "see one another in both directions",
                        wanted->name, run->card.patch > 0 ? "images" : "text");
    *out = rad_trace_routed_card(run, wanted);
    *transplanted = !same_shape(wanted, &run->card);
    return RAD_OK;
}
