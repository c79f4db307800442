/* route_skip.c - each (token, layer) is skipped independently with probability frac: the control
 * that any routing must beat. The draw is a hash of (seed, sequence, position, layer), so prefill
 * and decode, any batch and any thread count see the same paths. */
#include "base/hash.h"
#include "route/route.h"

struct skip {
    double frac, seed;
};

static const struct rad_param skip_params[] = {
    {"frac", offsetof(struct skip, frac), RAD_DIM_ONE, 0, 1, 0.5, "share of layers skipped"},
    {"seed", offsetof(struct skip, seed), RAD_DIM_INT, 0, 9007199254740992.0, 0, "of the draws"},
    RAD_PARAM_END,
};

static enum rad_status decide(const void *params, const struct rad_hop *h, int32_t *dest,
                              struct rad_err *err)
{
    (void)err;
    const struct skip *p = params;
    for (int32_t t = 0; t < h->n_tok; t++) {
        dest[t] = RAD_EXIT;
        for (int32_t l = h->last[t] + 1; l < h->n_layer && dest[t] == RAD_EXIT; l++) {
            const int64_t key[3] = {h->seq[t], h->pos[t], l};
            const double u = rad_hash_uniform(rad_hash(key, sizeof key, (uint64_t)p->seed));
            if (u >= p->frac)
                dest[t] = l;
        }
    }
    return RAD_OK;
}

const struct rad_policy rad_policy_skip = {
    .name = "skip",
    .summary = "every token skips every layer with probability frac (seeded)",
    .source = "control; Huang et al., stochastic depth, arXiv 1603.09382",
    .params = skip_params,
    .params_bytes = sizeof(struct skip),
    .decide = decide,
};
