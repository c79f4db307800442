/* route_radial.c - Radial Networks: the router's best-scored node is next, any order, with reuse.
 *
 * The price of a layer is an input of the router (infer turns `budget` into a price by the table
 * of the checkpoint; between two rows some sequences get the one price and some the other).
 * Source: Dotzel et al., arXiv 2404.04900, section 3; how the router learns: docs/training.md. */
#include "route/route.h"

struct radial {
    double budget, price;
};

static const struct rad_param radial_params[] = {
    {"budget", offsetof(struct radial, budget), RAD_DIM_ONE, 0, 2, 1,
     "expected share of executed layers, by the table measured at training time"},
    {"price", offsetof(struct radial, price), RAD_DIM_ONE, -10, 10, (double)NAN,
     "nats that one more layer must buy; overrides budget"},
    RAD_PARAM_END,
};

static enum rad_status decide(const void *params, const struct rad_hop *h, int32_t *dest,
                              struct rad_err *err)
{
    (void)params;
    if (h->score == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "policy radial: the model has no router");
    for (int32_t t = 0; t < h->n_tok; t++) {
        const float *s = h->score + (int64_t)t * (h->n_layer + 1);
        int32_t best = 0;
        for (int32_t l = 0; l <= h->n_layer; l++) {
            if (isnan(s[l]))
                return rad_fail(err, RAD_E_RANGE,
                                "policy radial: the score of node %d is no number (sequence %lld, "
                                "position %d, hop %d)",
                                l, (long long)h->seq[t], h->pos[t], h->hop);
            if (s[l] > s[best])
                best = l;
        }
        dest[t] = h->hop >= h->max_hops || best == h->n_layer ? RAD_EXIT : best;
    }
    return RAD_OK;
}

const struct rad_policy rad_policy_radial = {
    .name = "radial",
    .summary = "a trained router picks the next layer or the output node after every hop",
    .source = "arXiv 2404.04900",
    .params = radial_params,
    .params_bytes = sizeof(struct radial),
    .needs_router = true,
    .any_order = true,
    .decide = decide,
};
