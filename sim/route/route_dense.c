/* route_dense.c - every token visits every layer in order: the ordinary network. */
#include "route/route.h"

static const struct rad_param no_params[] = {RAD_PARAM_END};

static enum rad_status decide(const void *params, const struct rad_hop *h, int32_t *dest,
                              struct rad_err *err)
{
    (void)params;
    (void)err;
    for (int32_t t = 0; t < h->n_tok; t++)
        dest[t] = h->last[t] + 1 < h->n_layer ? h->last[t] + 1 : RAD_EXIT;
    return RAD_OK;
}

const struct rad_policy rad_policy_dense = {
    .name = "dense",
    .summary = "all layers in order",
    .source = "Vaswani et al., arXiv 1706.03762",
    .params = no_params,
    .decide = decide,
};
