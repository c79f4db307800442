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
    int64_t sublayers;
    int32_t layer;
};

static int by_work(const void *a, const void *b)
{
    const struct work *x = a, *y = b;
    if (x->sublayers != y->sublayers)
        return x->sublayers < y->sublayers ? -1 : 1;
    return x->layer - y->layer; /* ties to the lower index */
}

enum rad_status rad_trace_layer_repeats(uint32_t *repeat, const int64_t *sublayers, int32_t n,
                                        int32_t n_layer, struct rad_err *err)
{
    const int32_t wider = n_layer % n;
    struct work *work = calloc((size_t)n, sizeof *work);
    if (work == NULL)
        return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    for (int32_t l = 0; l < n; l++) {
        repeat[l] = (uint32_t)(n_layer / n);
        work[l] = (struct work){sublayers[l], l};
    }
    qsort(work, (size_t)n, sizeof *work, by_work);
    for (int64_t i = 0; i < wider; i++)
        repeat[work[(2 * i + 1) * n / (2 * (int64_t)wider)].layer]++;
    free(work);
    return RAD_OK;
}

/* first[n + 1]: block l is first[l] .. first[l + 1] - 1. */
static enum rad_status choose_blocks(const rad_trace *in, int32_t n_big, int32_t *first,
                                     struct rad_err *err)
{
    const int32_t n = in->run.card.n_layer;
    int64_t *sublayers = calloc((size_t)n, sizeof *sublayers);
    uint32_t *repeat = calloc((size_t)n, sizeof *repeat);
    enum rad_status status = RAD_OK;
    if (sublayers == NULL || repeat == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    for (int64_t i = 0; i < in->n_hop && status == RAD_OK; i++)
        sublayers[in->hop[i].layer] += rad_hop_sublayers(&in->hop[i]);
    if (status == RAD_OK)
        status = rad_trace_layer_repeats(repeat, sublayers, n, n_big, err);
    first[0] = 0;
    for (int32_t l = 0; l < n && status == RAD_OK; l++)
        first[l + 1] = first[l] + (int32_t)repeat[l];
    free(sublayers);
    free(repeat);
    return status;
}

/* x * to / from, rounded up; where that is too large, what rad_card_check refuses. */
static int32_t in_proportion(int32_t x, int32_t to, int32_t from)
{
    const int64_t y = ((int64_t)x * to + from - 1) / from;
    return y < INT32_MAX ? (int32_t)y : INT32_MAX;
}

struct rad_card rad_trace_routed_card(const struct rad_trace_run *run, const struct rad_card *to)
{
    struct rad_card card = *to;
    const struct rad_card *from = &run->card;
    if (!run->has_router || to->router_hidden > 0 || from->router_hidden == 0)
        return card;
    card.router_hidden = in_proportion(from->router_hidden, to->d_model, from->d_model);
    card.max_hops = in_proportion(from->max_hops, to->n_layer, from->n_layer);
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
    run.card = rad_trace_routed_card(&in->run, card);
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
