/* batch_grouped.c - paths of any order, hop by hop, all layers of a hop in one go.
 *
 * Tokens meet as in batch_hop.c. There, groups at different layers run one after the other, as
 * engines without grouped kernels run them. Here each product of a hop is one grouped launch over
 * all of its layers, each group of rows with weights of its own, and what has no weights runs once
 * over all tokens; the layer overhead is paid once per launch. As many weights are streamed. A
 * class of machine without grouped kernels runs the products one after the other all the same
 * (hw/hw.h). Norms, rotations and attention of different layers are taken as one kernel, which
 * finds the scales and the keys of each row by an index. */
#include "replay/replay.h"

static int32_t n_stage(int32_t n_layer, int32_t n_hop)
{
    (void)n_layer;
    return n_hop + 1;
}

const struct rad_batcher rad_batcher_grouped = {
    .name = "grouped",
    .summary = "as hop, but all layers of a hop run in one grouped launch",
    .any_order = true,
    .one_layer = false,
    .grouped = true,
    .n_stage = n_stage,
    .per_hop = 1,
    .per_layer = 0,
};
