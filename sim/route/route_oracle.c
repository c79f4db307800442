/* route_oracle.c - ORACLE(theta): compute a sublayer's output f, drop it if it is small beside x.
 *
 * It saves nothing by itself: the bound that learned routers are measured against.
 * Source: Dotzel et al., CVPR-W ELVM 2024, "insert oracles at each layer"; ratio as in
 * arXiv 2404.04900: ratio_in = |f|/|x|, ratio_out = |f|/|x + f|. */
#include "route/route.h"

struct oracle {
    double theta, metric;
};

static const struct rad_param oracle_params[] = {
    {"theta", offsetof(struct oracle, theta), RAD_DIM_ONE, 0, 1000, 0.1,
     "sublayers with a ratio below this are skipped"},
    {"metric", offsetof(struct oracle, metric), RAD_DIM_ONE, 0, 1, 0,
     "0: ratio_in = |f|/|x|; 1: ratio_out = |f|/|x+f|"},
    RAD_PARAM_END,
};

static enum rad_status decide(const void *params, const struct rad_hop *h, int32_t *dest,
                              struct rad_err *err)
{
    (void)params;
    (void)err;
    for (int32_t t = 0; t < h->n_tok; t++)
        dest[t] = h->last[t] + 1 < h->n_layer ? h->last[t] + 1 : RAD_EXIT;
    return RAD_OK;
}

static bool keep(const void *params, float a, float b, float c)
{
    const struct oracle *p = params;
    const double base = p->metric > 0 ? (double)a + (double)b + 2.0 * (double)c : (double)a;
    return !((double)b < p->theta * p->theta * base); /* NaN stays, and shows in the prediction */
}

const struct rad_policy rad_policy_oracle = {
    .name = "oracle",
    .summary = "drop a sublayer's output when its residual ratio is below theta",
    .source = "CVPR-W ELVM 2024, pp. 8280-8284; arXiv 2404.04900",
    .params = oracle_params,
    .params_bytes = sizeof(struct oracle),
    .decide = decide,
    .keep = keep,
};
