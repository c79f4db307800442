/* parallel.c - what each of several devices holds, and what they send each other. */
#include "replay/parallel.h"

#include <inttypes.h>
#include <math.h>

static enum rad_status check_tensor(const struct rad_card *c, int32_t tp, struct rad_err *err)
{
    if (c->n_head % tp != 0 || c->ffn % tp != 0 || (c->n_kv % tp != 0 && tp % c->n_kv != 0))
        return rad_fail(err, RAD_E_ARG,
                        "--tp: expected a number that divides %" PRId32 " heads and %" PRId32
                        " values of an MLP, and fits %" PRId32 " KV heads, but found %" PRId32,
                        c->n_head, c->ffn, c->n_kv, tp);
    return RAD_OK;
}

enum rad_status rad_parallel_open(struct rad_parallel *out, struct rad_card *shard,
                                  const struct rad_card *card, const struct rad_replay_options *opt,
                                  bool forward_only, struct rad_err *err)
{
    const double element = fmax(2.0, rad_dtype_bytes(opt->dtype));
    *out = (struct rad_parallel){.tp = opt->tp > 1 ? opt->tp : 1,
                                 .pp = opt->pp > 1 ? opt->pp : 1,
                                 .row_bytes = card->d_model * element,
                                 .logit_bytes = card->vocab * element,
                                 .vocab = card->vocab,
                                 .weight_bytes = rad_dtype_bytes(opt->dtype)};
    out->layer_weight_bytes = out->weight_bytes *
                              (opt->weight_share > 0.0 ? opt->weight_share : 1.0);
    RAD_TRY(check_tensor(card, out->tp, err));
    if (out->pp > card->n_layer)
        return rad_fail(err, RAD_E_ARG,
                        "--pp: expected at most %" PRId32 " layers' stages but found %" PRId32,
                        card->n_layer, out->pp);
    if (out->pp > 1 && !forward_only)
        return rad_fail(err, RAD_E_ARG,
                        "--pp: expected paths in layer order; this trace goes back or repeats");
    *shard = *card;
    shard->n_head /= out->tp;
    shard->n_kv = card->n_kv > out->tp ? card->n_kv / out->tp : 1;
    shard->ffn /= out->tp;
    shard->vocab = (card->vocab + out->tp - 1) / out->tp;
    return RAD_OK;
}

double rad_parallel_device_bytes(const struct rad_parallel *of, const struct rad_card *shard,
                                 double cache_bytes)
{
    const double n_layer = shard->n_layer, layers = ceil(n_layer / of->pp);
    const double each = (double)rad_card_layer_params(shard);
    const double rest = (double)rad_card_params(shard) - n_layer * each;
    const double ends = of->pp > 1 && !shard->tied ? 2.0 : 1.0;
    return layers * each * of->layer_weight_bytes + rest / ends * of->weight_bytes +
           cache_bytes * layers / n_layer;
}

enum rad_status rad_parallel_transfer(const rad_hw *hw, const struct rad_link *link,
                                      struct rad_cost *sum, struct rad_err *err)
{
    struct rad_prediction p;
    if (!(link->bytes > 0.0) || link->ranks < 2.0)
        return RAD_OK;
    RAD_TRY(rad_hw_predict_link(hw, link, NULL, &p, err));
    sum->time_s += p.cost.time_s;
    sum->memory_j += p.cost.dynamic_j + p.cost.memory_j;
    sum->static_j += p.cost.static_j;
    return RAD_OK;
}
