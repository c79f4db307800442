/* plan_card.c - routing recorded on one architecture, replayed on a larger one.
 *
 * The rule of `radial trace transplant` (docs/trace-format.md), without expanding the trace: layer
 * l of n becomes a block of floor(N / n) consecutive layers of N, or one more for N mod n chosen
 * layers. depth_frac is kept exactly if n divides N. Else it is kept as nearly as can be if the
 * wider blocks do as much work as the others: layers are ordered by the work done in them, and the
 * wider blocks are spread evenly over that order. tests/unit holds replay to the result of
 * rad_trace_transplanted. */
#include "replay/plan.h"

#include <stdlib.h>

struct work {
    int64_t sublayers; /* attention plus MLP runs of the layer */
    int32_t layer;
};

static int by_work(const void *a, const void *b)
{
    const struct work *x = a, *y = b;
    if (x->sublayers != y->sublayers)
        return x->sublayers < y->sublayers ? -1 : 1;
    return x->layer - y->layer; /* ties to the lower index */
}

static void count_work(struct work *work, const struct rad_replay_input *in)
{
    for (int32_t l = 0; l < in->run->card.n_layer; l++)
        work[l].layer = l;
    for (int64_t i = 0; i < in->n_token; i++) {
        const struct rad_hop_rec *hop = in->hops + in->tokens[i].hop_first;
        for (int32_t h = 0; h < in->tokens[i].n_hop; h++)
            work[hop[h].layer].sublayers += ((hop[h].flags & RAD_HOP_ATTN) != 0) +
                                            ((hop[h].flags & RAD_HOP_MLP) != 0);
    }
}

enum rad_status rad_replay_layer_repeats(uint32_t *repeat, const struct rad_replay_input *in,
                                         int32_t n_layer, struct rad_err *err)
{
    const int32_t n = in->run->card.n_layer, wider = n_layer % n;
    for (int32_t l = 0; l < n; l++)
        repeat[l] = (uint32_t)(n_layer / n);
    if (wider == 0)
        return RAD_OK;
    struct work *work = calloc((size_t)n, sizeof *work);
    if (work == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate %d layers", n);
    count_work(work, in);
    qsort(work, (size_t)n, sizeof *work, by_work);
    for (int64_t i = 0; i < wider; i++)
        repeat[work[(2 * i + 1) * n / (2 * (int64_t)wider)].layer]++;
    free(work);
    return RAD_OK;
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

/* The width of the run's router, in proportion to d_model. */
static int32_t router_width(const struct rad_card *run, const struct rad_card *card)
{
    const int64_t wide = (int64_t)run->router_hidden * card->d_model;
    return (int32_t)((wide + run->d_model - 1) / run->d_model);
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
    *out = *wanted;
    *transplanted = !same_shape(wanted, &run->card);
    if (run->has_router && out->router_hidden == 0) {
        out->router_hidden = router_width(&run->card, out);
        out->params_expected = 0; /* the published count is without it */
    }
    return RAD_OK;
}
