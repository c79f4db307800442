/* plan_input.c - sequences and batches of a trace, checked. */
#include "replay/plan.h"

#include "base/rng.h"

#include <stdlib.h>

/* Is the path of a token in bounds, and forward if the run says so? NULL, or what is wrong.
 * *visits: how many it has. The loop takes no branches, as it sees every record of a trace. */
static const char *path_fault(const struct rad_replay_input *in, const struct rad_trace_token *t,
                              int32_t *visits)
{
    int32_t last = -1, n = 0;
    bool beyond = false, back = false;
    if (t->n_hop < 0 || t->hop_first < 0 || t->hop_first > in->n_hop - t->n_hop)
        return "records outside the array";
    for (int32_t i = 0; i < t->n_hop; i++) {
        const struct rad_hop_rec *rec = &in->hops[t->hop_first + i];
        const bool visit = (rec->flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0;
        beyond |= rec->layer >= in->run->card.n_layer;
        back |= visit & (rec->layer <= last);
        last = visit ? rec->layer : last;
        n += visit;
    }
    *visits = n;
    if (beyond)
        return "a layer that the card does not have";
    return back && in->run->forward_only ? "a path that goes back in a forward-only run" : NULL;
}

/* Is token i in its place behind token i - 1? NULL, or what is wrong. */
static const char *order_fault(const struct rad_trace_token *tokens, int64_t i)
{
    const struct rad_trace_token *t = &tokens[i], *before = t - 1;
    if (i == 0 || t->seq > before->seq)
        return t->pos < 0 ? "a negative position" : NULL;
    if (t->seq < before->seq || t->pos <= before->pos)
        return "tokens that are not sorted by sequence and position";
    if (t->phase == RAD_PHASE_PREFILL && before->phase == RAD_PHASE_DECODE)
        return "a prompt token behind a generated one";
    return NULL;
}

/* Check all tokens; counts sequences and the most visits on the way. */
static enum rad_status check(struct rad_replay_seqs *out, const struct rad_replay_input *in,
                             struct rad_err *err)
{
    if (in->n_token <= 0)
        return rad_fail(err, RAD_E_ARG, "trace: expected at least one token but found none");
    for (int64_t i = 0; i < in->n_token; i++) {
        int32_t visits = 0;
        const char *fault = order_fault(in->tokens, i);
        if (fault == NULL)
            fault = path_fault(in, &in->tokens[i], &visits);
        if (fault != NULL)
            return rad_fail(err, RAD_E_ARG, "trace: token %lld has %s", (long long)i, fault);
        out->n += i == 0 || in->tokens[i].seq != in->tokens[i - 1].seq;
        out->max_visits = visits > out->max_visits ? visits : out->max_visits;
    }
    return RAD_OK;
}

static bool in_prefill(const struct rad_trace_token *t, enum rad_replay_phase phase)
{
    return phase == RAD_REPLAY_PREFILL ||
           (phase == RAD_REPLAY_RECORDED && t->phase == RAD_PHASE_PREFILL);
}

enum rad_status rad_replay_sequences(struct rad_replay_seqs *out, const struct rad_replay_input *in,
                                     enum rad_replay_phase phase, struct rad_err *err)
{
    *out = (struct rad_replay_seqs){0};
    RAD_TRY(check(out, in, err));
    out->seq = calloc((size_t)out->n, sizeof *out->seq);
    if (out->seq == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate %lld sequences",
                        (long long)out->n);
    struct rad_replay_seq *seq = out->seq;
    for (int64_t i = 0; i < in->n_token; i++) {
        if (i > 0 && in->tokens[i].seq != in->tokens[i - 1].seq)
            (++seq)->first = i;
        seq->n++;
        seq->n_prefill += in_prefill(&in->tokens[i], phase);
    }
    return RAD_OK;
}

/* Fill places n_seq..n with draws. */
static enum rad_status draw(int64_t *order, int64_t n_seq, int64_t n, uint64_t seed,
                            struct rad_err *err)
{
    rad_rng *rng = NULL;
    RAD_TRY(rad_rng_open(&rng, seed, 0, err));
    for (int64_t i = n_seq; i < n; i++)
        order[i] = rad_rng_below(rng, n_seq);
    rad_rng_close(rng);
    return RAD_OK;
}

enum rad_status rad_replay_order(const struct rad_replay_options *opt, int64_t n_seq,
                                 int64_t **order, int64_t *n, struct rad_err *err)
{
    *order = NULL;
    if (opt->batch < 1 || opt->batch > RAD_REPLAY_MAX_BATCH)
        return rad_fail(err, RAD_E_ARG, "batch: expected 1 to %d sequences but found %d",
                        RAD_REPLAY_MAX_BATCH, opt->batch);
    if (opt->batch > n_seq && !opt->resample)
        return rad_fail(err, RAD_E_ARG,
                        "batch: expected at most the %lld distinct sequences of the trace but "
                        "found %d; ask for draws with repetition (--resample) or a smaller batch",
                        (long long)n_seq, opt->batch);
    *n = opt->resample ? (n_seq + opt->batch - 1) / opt->batch * opt->batch : n_seq;
    *order = malloc((size_t)*n * sizeof **order);
    if (*order == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate %lld sequences", (long long)*n);
    for (int64_t i = 0; i < n_seq; i++)
        (*order)[i] = i;
    return *n > n_seq ? draw(*order, n_seq, *n, opt->seed, err) : RAD_OK;
}
