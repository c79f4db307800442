/* fault_replay.c - plans and costs when memory runs out. */
#include "fault.h"

#include "replay/replay.h"

/* Two sequences, prompt and new tokens, any order for the second run below. */
static const struct rad_hop_rec hops[] = {{0, 3, 1}, {2, 3, 1}, {1, 3, 1}, {2, 3, 2},
                                          {1, 3, 1}, {0, 1, 1}, {2, 2, 0}, {1, 3, 2}};
static const struct rad_trace_token tokens[] = {
    {.seq = 0, .pos = 0, .hop_first = 0, .n_hop = 2},
    {.seq = 0, .pos = 1, .phase = RAD_PHASE_DECODE, .hop_first = 2, .n_hop = 2},
    {.seq = 1, .pos = 0, .hop_first = 4, .n_hop = 1},
    {.seq = 1, .pos = 1, .phase = RAD_PHASE_DECODE, .hop_first = 5, .n_hop = 2},
    {.seq = 1, .pos = 2, .phase = RAD_PHASE_DECODE, .hop_first = 7, .n_hop = 1},
};

static struct rad_card card_of(int32_t n_layer)
{
    return (struct rad_card){.name = "fault",
                             .n_layer = n_layer,
                             .d_model = 32,
                             .n_head = 2,
                             .n_kv = 2,
                             .d_head = 16,
                             .ffn = 64,
                             .vocab = 64,
                             .n_ctx = 64,
                             .router_hidden = 8,
                             .max_hops = 8};
}

static enum rad_status replay(bool forward, const struct rad_replay_options *opt,
                              struct rad_err *err)
{
    const struct rad_trace_run run = {
        .card = card_of(3), .policy = "fault", .forward_only = forward, .has_router = true};
    const struct rad_replay_input in = {
        .run = &run, .tokens = tokens, .hops = hops, .n_token = 5, .n_hop = 8};
    struct rad_replay_result r;
    rad_plan *plan = NULL;
    rad_hw *hw = NULL;
    RAD_TRY(rad_plan_build_from(&plan, &in, opt, err));
    enum rad_status status = rad_hw_open(&hw, "a100-sxm-80gb", err);
    if (status == RAD_OK)
        status = rad_replay_cost(plan, hw, &r, err);
    rad_hw_close(hw);
    rad_plan_free(plan);
    return status;
}

static enum rad_status replay_projected(struct rad_err *err)
{
    const enum rad_kv kv = RAD_KV_PROJECT;
    const struct rad_card card = card_of(7); /* no multiple of 3: layers are sorted by work */
    const struct rad_replay_options opt = {
        .batch = 3, .dtype = RAD_BF16, .resample = true, .kv = &kv, .card = &card};
    return replay(true, &opt, err);
}

static enum rad_status replay_any_order(struct rad_err *err)
{
    const enum rad_kv kv = RAD_KV_HOLE;
    const struct rad_replay_options opt = {.batch = 2, .dtype = RAD_BF16, .kv = &kv};
    return replay(false, &opt, err);
}

const struct fault replay_faults[] = {
    {"replay, projected, on another card", replay_projected, NULL},
    {"replay in any order", replay_any_order, NULL},
    {.name = NULL},
};
