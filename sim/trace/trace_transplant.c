/* trace_transplant.c - the routing of one model on a larger one.
 *
 * Layer l of n becomes a block of consecutive layers of N: floor(N/n) of them, or one more for
 * N mod n chosen layers. Which layers get one more decides whether depth_frac is kept: their
 * share of the work done must be near (N mod n) / n. So layers are ordered by the work done in
 * them and the wider ones are spread evenly over that order. */
#include "trace/trace_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    int64_t half_layers; /* attention plus MLP runs of the layer */
    int32_t layer;
};

static int by_work(const void *a, const void *b)
{
    const struct work *x = a, *y = b;
    if (x->half_layers != y->half_layers)
        return x->half_layers < y->half_layers ? -1 : 1;
    return x->layer - y->layer; /* ties to the lower index */
}

/* first[n + 1]: block l is first[l] .. first[l + 1] - 1. */
static enum rad_status choose_blocks(const rad_trace *in, int32_t n_big, int32_t *first,
                                     struct rad_err *err)
{
    const int32_t n = in->run.card.n_layer, wider = n_big % n;
    struct work *work = calloc((size_t)n, sizeof *work);
    if (work == NULL)
        return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    for (int32_t l = 0; l < n; l++)
        work[l].layer = l;
    for (int64_t i = 0; i < in->n_hop; i++) {
        const unsigned flags = in->hop[i].flags;
        work[in->hop[i].layer].half_layers += (flags & RAD_HOP_ATTN) != 0;
        work[in->hop[i].layer].half_layers += (flags & RAD_HOP_MLP) != 0;
    }
    qsort(work, (size_t)n, sizeof *work, by_work);
    for (int32_t l = 0; l <= n; l++)
        first[l] = l > 0 ? n_big / n : 0; /* sizes, shifted by one; sums below */
    for (int32_t i = 0; i < wider; i++)
        first[work[(2 * (int64_t)i + 1) * n / (2 * (int64_t)wider)].layer + 1]++;
    for (int32_t l = 0; l < n; l++)
        first[l + 1] += first[l];
    free(work);
    return RAD_OK;
}

/* A routed model stays routed: its router and its hop limit grow with it. */
static struct rad_card routed_card(const struct rad_trace_run *from, const struct rad_card *to)
{
    struct rad_card card = *to;
    const double wider = (double)to->d_model / from->card.d_model;
    const double deeper = (double)to->n_layer / from->card.n_layer;
    if (!from->has_router || card.router_hidden > 0 || from->card.router_hidden == 0)
        return card;
    card.router_hidden = (int32_t)ceil(from->card.router_hidden * wider);
    card.max_hops = (int32_t)ceil(from->card.max_hops * deeper);
    card.params_expected = 0; /* it was counted without the router */
    return card;
}

static int32_t expand(const struct rad_hop_rec *hop, int32_t n_hop, const int32_t *first,
                      struct rad_hop_rec *out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_hop; i++)
        for (int32_t l = first[hop[i].layer]; l < first[hop[i].layer + 1]; l++) {
            out[n] = hop[i];
            out[n++].layer = (uint16_t)l;
        }
    return n;
}

static int32_t longest_path(const rad_trace *t)
{
    int32_t most = 0;
    for (int64_t i = 0; i < t->n_token; i++)
        most = t->token[i].n_hop > most ? t->token[i].n_hop : most;
    return most;
}

static enum rad_status copy_tokens(rad_trace *out, const rad_trace *in, const int32_t *first,
                                   struct rad_err *err)
{
    const int32_t n = in->run.card.n_layer;
    const int64_t widest = (first[n] + n - 1) / n;
    const int64_t most = longest_path(in) * widest;
    if (most > RAD_TRACE_PATH_MAX)
        return rad_fail(err, RAD_E_RANGE, "trace: a path would have %lld hops, more than %d",
                        (long long)most, RAD_TRACE_PATH_MAX);
    struct rad_hop_rec *hop = calloc((size_t)most + 1, sizeof *hop);
    if (hop == NULL)
        return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    enum rad_status status = RAD_OK;
    for (int64_t i = 0; i < in->n_token && status == RAD_OK; i++) {
        struct rad_trace_token tok = in->token[i];
        tok.n_hop = expand(in->hop + tok.hop_first, tok.n_hop, first, hop);
        tok.nll = NAN;
        status = rad_trace_add(out, &tok, hop, NULL, err);
    }
    free(hop);
    return status;
}

enum rad_status rad_trace_transplanted(rad_trace **out, const rad_trace *in,
                                       const struct rad_card *card, struct rad_err *err)
{
    const int32_t n = in->run.card.n_layer;
    *out = NULL;
    RAD_TRY(rad_card_check(card, err));
    if (card->n_layer < n)
        return rad_fail(err, RAD_E_ARG,
                        "card: expected at least %d layers but %s has %d; routing "
                        "goes to a larger model only",
                        (int)n, card->name, (int)card->n_layer);
    if ((card->patch > 0) != (in->run.card.patch > 0))
        return rad_fail(err, RAD_E_ARG,
                        "card: expected a model of %s, as that of the trace, but found %s; tokens "
                        "of images see one another in both directions",
                        in->run.card.patch > 0 ? "images" : "text", card->name);
    struct rad_trace_run run = in->run;
    run.card = routed_card(&in->run, card);
    run.source = "transplant";
    run.parent = in->hash;
    run.model_hash = "";
    run.nll = (double)NAN;
    RAD_TRY(rad_card_check(&run.card, err));
    int32_t *first = calloc((size_t)n + 1, sizeof *first);
    rad_trace *t = NULL;
    enum rad_status status = first != NULL ? rad_trace_new(&t, &run, err)
                                           : rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    if (status == RAD_OK)
        status = choose_blocks(in, card->n_layer, first, err);
    if (status == RAD_OK)
        status = copy_tokens(t, in, first, err);
    if (status == RAD_OK)
        status = rad_trace_seal(t, err);
    free(first);
    if (status == RAD_OK) {
        t->complete = in->complete;
        *out = t;
    } else {
        rad_trace_close(t);
    }
    return status;
}

enum rad_status rad_trace_transplant(const rad_trace *in, const struct rad_card *card,
                                     const char *out_path, struct rad_err *err)
{
    rad_trace *t = NULL;
    if (!in->complete)
        return rad_fail(err, RAD_E_ARG,
                        "expected a finished trace but found the prefix "
                        "of a run that did not finish");
    RAD_TRY(rad_trace_transplanted(&t, in, card, err));
    const enum rad_status status = rad_trace_save(t, out_path, err);
    rad_trace_close(t);
    return status;
}
