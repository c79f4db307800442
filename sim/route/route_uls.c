/* route_uls.c - Unified Layer Skipping: an evenly thinned layer set, the same for every token.
 *
 *   keep = {0, N-1}; n = int(N / speedup); interval = int(N / (n - 2 + 1));
 *   for i in 1..N-2: if i % interval == 0 and |keep| < n: keep += i
 * Source: Liu et al., arXiv 2404.06954, and its published code. Prompts run all layers; with
 * phase=1 (all) they are thinned too, which teacher-forced evaluation always does. */
#include "route/route.h"

#include <stdbool.h>

struct uls {
    double speedup, phase;
};

static const struct rad_param uls_params[] = {
    {"speedup", offsetof(struct uls, speedup), RAD_DIM_ONE, 1, 1024, 2, "layers over kept layers"},
    {"phase", offsetof(struct uls, phase), RAD_DIM_ONE, 0, 1, 0,
     "decode: skip in decode only (the paper); all: in prompts too"},
    RAD_PARAM_END,
};

static int32_t kept_layers(const struct uls *p, int32_t n_layer)
{
    return (int32_t)(n_layer / p->speedup);
}

static enum rad_status check(const void *params, int32_t n_layer, struct rad_err *err)
{
    const struct uls *p = params;
    if (p->speedup > 1 && kept_layers(p, n_layer) < 2)
        return rad_fail(err, RAD_E_RANGE,
                        "policy uls: speedup %g keeps %d of %d layers but first and last are "
                        "always kept; use at most %g",
                        p->speedup, kept_layers(p, n_layer), n_layer, n_layer / 2.0);
    return RAD_OK;
}

/* The next kept layer after last, or RAD_EXIT. */
static int32_t next_kept(const struct uls *p, int32_t n_layer, int32_t last)
{
    const int32_t n = kept_layers(p, n_layer);
    const int32_t interval = n_layer / (n - 2 + 1);
    int32_t kept = 2; /* the first and the last layer */
    if (last < 0)
        return 0;
    for (int32_t i = 1; i < n_layer - 1; i++) {
        if (i % interval != 0 || kept >= n)
            continue;
        kept++;
        if (i > last)
            return i;
    }
    return last < n_layer - 1 ? n_layer - 1 : RAD_EXIT;
}

static enum rad_status decide(const void *params, const struct rad_hop *h, int32_t *dest,
                              struct rad_err *err)
{
    (void)err;
    const struct uls *p = params;
    const bool all = p->speedup <= 1 || (h->phase == RAD_ROUTE_PREFILL && p->phase < 1);
    for (int32_t t = 0; t < h->n_tok; t++)
        dest[t] = !all                          ? next_kept(p, h->n_layer, h->last[t])
                  : h->last[t] + 1 < h->n_layer ? h->last[t] + 1
                                                : RAD_EXIT;
    return RAD_OK;
}

const struct rad_policy rad_policy_uls = {
    .name = "uls",
    .summary = "Unified Layer Skipping: evenly thinned layers, the same for all tokens",
    .source = "arXiv 2404.06954",
    .params = uls_params,
    .params_bytes = sizeof(struct uls),
    .check = check,
    .decide = decide,
};
