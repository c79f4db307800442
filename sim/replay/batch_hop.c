/* batch_hop.c - paths of any order, hop by hop.
 *
 * All tokens of a step take their h-th visit at the same time; those whose h-th visit is to the
 * same layer meet. A layer's weights are streamed once per (hop, layer): with a uniform choice
 * among L layers a batch of B streams L(1 - (1 - 1/L)^B) layers per hop (dynamic-depth.md,
 * section 0). Skipped layers are no hops; one whose K and V are projected is served at the hop of
 * the token's next visit. */
#include "replay/replay.h"

static int32_t n_stage(int32_t n_layer, int32_t n_hop)
{
    (void)n_layer;
    return n_hop + 1; /* the last one for projections after the last visit */
}

const struct rad_batcher rad_batcher_hop = {
    .name = "hop",
    .summary = "hop by hop: tokens meet if their h-th visits are to the same layer",
    .any_order = true,
    .one_layer = false,
    .n_stage = n_stage,
    .per_hop = 1,
    .per_layer = 0,
};
