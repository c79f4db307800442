/* batch_layer.c - forward-only paths in layer order.
 *
 * The layers of a step run from the first to the last; at each one, all tokens of the step whose
 * paths contain it meet, however many layers each has skipped before. So a layer's weights are
 * streamed at most once per step: with independent skips of probability s the expected share of
 * streamed layers at batch B is 1 - s^B (dynamic-depth.md, section 0). Paths that go back cannot
 * be run in this order. */
#include "replay/replay.h"

static int32_t n_stage(int32_t n_layer, int32_t n_hop)
{
    (void)n_hop;
    return n_layer;
}

const struct rad_batcher rad_batcher_layer = {
    .name = "layer",
    .summary = "layer by layer: all tokens of a step that need a layer meet there once",
    .any_order = false,
    .one_layer = true,
    .n_stage = n_stage,
    .per_hop = 0,
    .per_layer = 1,
};
