/* trace_synth.c - traces without a model: what policies that look at no weights would do.
 *
 * The policy is asked as in inference: the prompt hop by hop, all its tokens together; then one
 * new token at a time. */
#include "trace/trace_build.h"

#include "route/route.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct synth {
    const struct rad_trace_synth_options *opt;
    struct rad_route route;
    rad_trace *t;
    rad_trace_keys *keys;
    int32_t n_tok;           /* most tokens of a step */
    int64_t *seq;            /* [n_tok] of tokens still under way, as are: */
    int32_t *pos, *last;     /* [n_tok] */
    int32_t *index;          /* [n_tok] of the token in the step */
    int32_t *dest;           /* [n_tok] */
    int32_t *n_hop;          /* [n_tok] by index */
    struct rad_hop_rec *hop; /* [n_tok][max_hops] by index */
};

static enum rad_status check_options(const struct rad_trace_synth_options *opt, struct rad_err *err)
{
    const int64_t tokens = (int64_t)opt->prompt + opt->n_new;
    RAD_TRY(rad_card_check(opt->card, err));
    if (opt->prompt < 0 || opt->n_new < 0 || tokens < 1 || opt->n_seq < 1)
        return rad_fail(err, RAD_E_ARG,
                        "expected prompt and new >= 0, one of them > 0, and seqs >= 1 but "
                        "found %d, %d and %d",
                        (int)opt->prompt, (int)opt->n_new, (int)opt->n_seq);
    if (tokens > opt->card->n_ctx)
        return rad_fail(
            err, RAD_E_RANGE,
            "prompt and new: expected at most %d tokens, the context of card %s, but found %lld; "
            "make prompt or new smaller",
            (int)opt->card->n_ctx, opt->card->name, (long long)tokens);
    return RAD_OK;
}

static enum rad_status parse_policy(struct synth *s, struct rad_err *err)
{
    const struct rad_trace_synth_options *opt = s->opt;
    const char *text = opt->policy != NULL ? opt->policy : "";
    RAD_TRY(rad_route_parse_seeded(&s->route, text, opt->card->n_layer, opt->seed, err));
    const struct rad_policy *policy = s->route.policy;
    if (policy->needs_router || policy->keep != NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "policy '%s': needs what only a model has (scores or norms); use one "
                        "such as dense, uls or skip, or record a trace with radial eval",
                        policy->name);
    return RAD_OK;
}

static bool allocate(struct synth *s)
{
    const size_t n = (size_t)s->n_tok;
    s->seq = calloc(n, sizeof *s->seq);
    s->pos = calloc(n, sizeof *s->pos);
    s->last = calloc(n, sizeof *s->last);
    s->index = calloc(n, sizeof *s->index);
    s->dest = calloc(n, sizeof *s->dest);
    s->n_hop = calloc(n, sizeof *s->n_hop);
    s->hop = calloc(n * (size_t)s->opt->card->max_hops, sizeof *s->hop);
    return s->seq != NULL && s->pos != NULL && s->last != NULL && s->index != NULL &&
           s->dest != NULL && s->n_hop != NULL && s->hop != NULL;
}

static void release(struct synth *s)
{
    free(s->seq);
    free(s->pos);
    free(s->last);
    free(s->index);
    free(s->dest);
    free(s->n_hop);
    free(s->hop);
    rad_trace_keys_close(s->keys);
    rad_trace_close(s->t);
}

/* Follow the decisions of one hop; returns how many tokens go on. */
static int32_t move_on(struct synth *s, int32_t n)
{
    int32_t alive = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = s->index[i];
        if (s->dest[i] == RAD_EXIT)
            continue;
        s->hop[(size_t)at * (size_t)s->opt->card->max_hops + (size_t)s->n_hop[at]++] =
            (struct rad_hop_rec){.layer = (uint16_t)s->dest[i],
                                 .flags = RAD_HOP_ATTN | RAD_HOP_MLP};
        s->index[alive] = at;
        s->seq[alive] = s->seq[i];
        s->pos[alive] = s->pos[i];
        s->last[alive++] = s->dest[i];
    }
    return alive;
}

static enum rad_status check_dest(const struct synth *s, int32_t n, struct rad_err *err)
{
    for (int32_t i = 0; i < n; i++)
        if (s->dest[i] != RAD_EXIT && (s->dest[i] < 0 || s->dest[i] >= s->opt->card->n_layer))
            return rad_fail(err, RAD_E_RANGE, "policy '%s' chose layer %d of %d",
                            s->route.policy->name, (int)s->dest[i], (int)s->opt->card->n_layer);
    return RAD_OK;
}

/* Route n tokens of a sequence from position pos on, all hops of them. */
static enum rad_status route_step(struct synth *s, int64_t seq, int32_t pos, int32_t n,
                                  struct rad_err *err)
{
    const struct rad_card *card = s->opt->card;
    for (int32_t i = 0; i < n; i++) {
        s->seq[i] = seq;
        s->pos[i] = pos + i;
        s->last[i] = -1;
        s->index[i] = i;
        s->n_hop[i] = 0;
    }
    int32_t alive = n;
    for (int32_t h = 0; h < card->max_hops && alive > 0; h++) {
        const struct rad_hop hop = {.n_tok = alive,
                                    .n_layer = card->n_layer,
                                    .hop = h,
                                    .max_hops = card->max_hops,
                                    .phase = pos < s->opt->prompt ? RAD_ROUTE_PREFILL
                                                                  : RAD_ROUTE_DECODE,
                                    .last = s->last,
                                    .seq = s->seq,
                                    .pos = s->pos};
        RAD_TRY(s->route.policy->decide(s->route.params, &hop, s->dest, err));
        RAD_TRY(check_dest(s, alive, err));
        alive = move_on(s, alive);
    }
    return RAD_OK;
}

static enum rad_status record_step(struct synth *s, int64_t seq, int32_t pos, int32_t n,
                                   struct rad_err *err)
{
    for (int32_t i = 0; i < n; i++) {
        const struct rad_trace_path path = {.seq = seq,
                                            .hop = s->hop +
                                                   (size_t)i * (size_t)s->opt->card->max_hops,
                                            .n_hop = s->n_hop[i],
                                            .fill = true};
        struct rad_trace_token tok = {.seq = seq,
                                      .pos = pos + i,
                                      .phase = pos < s->opt->prompt ? RAD_PHASE_PREFILL
                                                                    : RAD_PHASE_DECODE,
                                      .token = -1,
                                      .nll = NAN};
        const struct rad_hop_rec *hop = NULL;
        RAD_TRY(rad_trace_keys_next(s->keys, &path, &hop, &tok.n_hop, err));
        RAD_TRY(rad_trace_add(s->t, &tok, hop, NULL, err));
    }
    return RAD_OK;
}

static enum rad_status synthesise(struct synth *s, struct rad_err *err)
{
    const struct rad_trace_synth_options *opt = s->opt;
    for (int64_t seq = 0; seq < opt->n_seq; seq++)
        for (int32_t pos = 0; pos < opt->prompt + opt->n_new;) {
            const int32_t n = pos < opt->prompt ? opt->prompt : 1;
            RAD_TRY(route_step(s, seq, pos, n, err));
            RAD_TRY(record_step(s, seq, pos, n, err));
            pos += n;
        }
    return rad_trace_seal(s->t, err);
}

static enum rad_status prepare(struct synth *s, struct rad_err *err)
{
    char policy[RAD_TRACE_TEXT_MAX];
    RAD_TRY(check_options(s->opt, err));
    RAD_TRY(parse_policy(s, err));
    rad_route_text(&s->route, policy, sizeof policy);
    const struct rad_trace_run run = {.card = *s->opt->card,
                                      .policy = policy,
                                      .kv = s->opt->kv,
                                      .forward_only = !s->route.policy->any_order,
                                      .seed = s->opt->seed,
                                      .source = "synth",
                                      .engine = "radial synth",
                                      .nll = (double)NAN};
    if (run.kv != RAD_KV_HOLE && !run.forward_only)
        return rad_fail(err, RAD_E_ARG,
                        "kv=%s: needs a forward order, which policy '%s' has "
                        "not; use hole",
                        rad_kv_name(run.kv), s->route.policy->name);
    s->n_tok = s->opt->prompt > 0 ? s->opt->prompt : 1;
    RAD_TRY(rad_trace_new(&s->t, &run, err));
    RAD_TRY(rad_trace_keys_open(&s->keys, &run, err));
    if (!allocate(s))
        return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    return RAD_OK;
}

enum rad_status rad_trace_synth(const struct rad_trace_synth_options *opt, const char *out_path,
                                struct rad_err *err)
{
    struct synth s = {.opt = opt};
    enum rad_status status = prepare(&s, err);
    if (status == RAD_OK)
        status = synthesise(&s, err);
    if (status == RAD_OK)
        status = rad_trace_save(s.t, out_path, err);
    release(&s);
    return status;
}
