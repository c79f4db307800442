/* route.h - routing policies: scores and norms in, the next layer of each token out.
 *
 * A policy knows scores, positions and residual norms, never weights: the same code runs in
 * inference, in shape-only traces and in tests. KV semantics is another axis (trace.h). */
#ifndef RAD_ROUTE_H
#define RAD_ROUTE_H

#include "base/err.h"
#include "base/param.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define RAD_EXIT (-1) /* the output node: the token leaves the network */
#define RAD_WAIT (-2) /* engines only: a forward-only token whose next layer comes later */

enum rad_route_phase { RAD_ROUTE_PREFILL, RAD_ROUTE_DECODE, RAD_ROUTE_EVAL };

/* The price of a layer visit, in nats, steers a trained router: it asks "is one more layer worth
 * it?". feature() is what the router's MLP sees; a negative price is a bonus() for staying in the
 * network, taken off the output node's score while hop < n_layer (docs/training.md). */
static inline float rad_router_feature(double price)
{
    return price > 0.0 ? (float)asinh(price / 0.01) : 0.0f;
}
static inline float rad_router_bonus(double price, int32_t hop, int32_t n_layer)
{
    return price < 0.0 && hop < n_layer ? (float)-price : 0.0f;
}

/* What a policy may see at one hop of n_tok tokens. Arrays are borrowed for the call. */
struct rad_hop {
    int32_t n_tok, n_layer;
    int32_t hop; /* 0 at the embedding */
    int32_t max_hops;
    enum rad_route_phase phase;
    const float *score;  /* [n_tok][n_layer + 1], last column the output node; NULL: no router */
    const int32_t *last; /* [n_tok] layer of the previous hop, -1 at hop 0 */
    const int64_t *seq;  /* [n_tok] sequence id */
    const int32_t *pos;  /* [n_tok] position */
};

/* What a policy is: one route_<name>.c and one row of policies.def. decide() writes dest[n_tok]: a
 * layer or RAD_EXIT, a function of its arguments only; ties go to the lower index (layers before
 * the output node); a NaN score is RAD_E_RANGE. keep(), if set, is asked after a sublayer's output
 * f is known: false discards f (policy `oracle`); a = |x|^2, b = |f|^2, c = x.f. */
struct rad_policy {
    const char *name, *summary, *source;
    const struct rad_param *params; /* ends with RAD_PARAM_END */
    size_t params_bytes;
    bool needs_router;
    bool any_order; /* may produce paths that go back or repeat */
    /* May refuse parameters for a model of n_layer layers; NULL: nothing to check. */
    enum rad_status (*check)(const void *params, int32_t n_layer, struct rad_err *err);
    enum rad_status (*decide)(const void *params, const struct rad_hop *hop, int32_t *dest,
                              struct rad_err *err);
    bool (*keep)(const void *params, float a, float b, float c);
};

/* A policy with its parameters, parsed from text such as "uls:speedup=2". Plain value. */
#define RAD_ROUTE_PARAMS 16
struct rad_route {
    const struct rad_policy *policy;
    double params[RAD_ROUTE_PARAMS];
};

/* Parse "name[:key=value,...]". errors: RAD_E_PARSE (unknown policy or key, with the nearest
 * name), RAD_E_RANGE (value outside its limits), RAD_E_UNSUPPORTED (check() refused) */
RAD_MUST_CHECK enum rad_status rad_route_parse(struct rad_route *out, const char *text,
                                               int32_t n_layer, struct rad_err *err);

/* The same, but a policy that draws takes this seed unless the text gives its own. */
RAD_MUST_CHECK enum rad_status rad_route_parse_seeded(struct rad_route *out, const char *text,
                                                      int32_t n_layer, uint64_t seed,
                                                      struct rad_err *err);

/* Write the canonical text, all parameters spelled out, as stored in traces. */
void rad_route_text(const struct rad_route *route, char *out, size_t size);

const struct rad_policy *const *rad_policies(size_t *n);
const struct rad_policy *rad_policy_find(const char *name);

#endif
