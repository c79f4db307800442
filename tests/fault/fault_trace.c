/* fault_trace.c - cards, traces and replay without memory. */
#include "fault.h"

#include "replay/replay.h"
#include "spec/spec.h"
#include "trace/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRACE FAULT_TMP "fault-trace.db"

static const struct rad_card card = {.name = "fault",
                                     .n_layer = 3,
                                     .d_model = 16,
                                     .n_head = 2,
                                     .n_kv = 2,
                                     .d_head = 8,
                                     .ffn = 32,
                                     .vocab = 256,
                                     .n_ctx = 64,
                                     .router_hidden = 4,
                                     .max_hops = 6};

static enum rad_status card_text(struct rad_err *err)
{
    char *text = NULL;
    struct rad_card back;
    RAD_TRY(rad_card_to_json(&card, &text, err));
    const enum rad_status status = rad_card_from_json(&back, text, err);
    free(text);
    return status;
}

static enum rad_status put_tokens(rad_trace_writer *w, struct rad_err *err)
{
    static const struct rad_hop_stat stat[2] = {{.a_attn = 1.0f}};
    for (int64_t i = 0; i < 6; i++) {
        const int32_t pos = (int32_t)(i % 3);
        const uint32_t keys = (uint32_t)pos + 1;
        const struct rad_hop_rec hop[] = {{0, RAD_HOP_ATTN | RAD_HOP_MLP, keys},
                                          {2, RAD_HOP_ATTN, keys}};
        const struct rad_trace_token token = {.seq = i / 3,
                                              .pos = pos,
                                              .phase = pos < 2 ? RAD_PHASE_PREFILL
                                                               : RAD_PHASE_DECODE,
                                              .token = 65,
                                              .nll = 1.0f,
                                              .n_hop = 2};
        RAD_TRY(rad_trace_put(w, &token, hop, stat, err));
    }
    return rad_trace_timing(w, 0, RAD_PHASE_PREFILL, 0.5, err);
}

static enum rad_status write_trace(struct rad_err *err)
{
    const struct rad_trace_run run = {.card = card,
                                      .policy = "dense",
                                      .kv = RAD_KV_HOLE,
                                      .forward_only = true,
                                      .has_router = true,
                                      .source = "eval",
                                      .model_hash = "",
                                      .text_hash = "",
                                      .engine = "fault",
                                      .host = "fault",
                                      .parent = "",
                                      .nll = (double)NAN};
    rad_trace_writer *w = NULL;
    RAD_TRY(rad_trace_create(&w, TRACE, &run, err));
    const enum rad_status status = put_tokens(w, err);
    if (status != RAD_OK) {
        rad_trace_abandon(w);
        return status;
    }
    return rad_trace_finish(w, 1.0, true, err);
}

static enum rad_status read_trace(struct rad_err *err)
{
    rad_trace *trace = NULL;
    struct rad_trace_summary summary;
    RAD_TRY(rad_trace_open(&trace, TRACE, err));
    const enum rad_status status = rad_trace_summarise(&summary, trace, err);
    if (status == RAD_OK)
        rad_trace_summary_free(&summary);
    rad_trace_close(trace);
    return status;
}

static bool trace_sound(struct rad_err *err)
{
    rad_trace *trace = NULL;
    if (rad_trace_open(&trace, TRACE, err) != RAD_OK)
        return false;
    const bool sound = rad_trace_complete(trace) && rad_trace_n_token(trace) == 6;
    rad_trace_close(trace);
    return sound;
}

static enum rad_status transplant(struct rad_err *err)
{
    struct rad_card large = card;
    large.n_layer = large.max_hops = 6;
    rad_trace *trace = NULL, *onto = NULL;
    RAD_TRY(rad_trace_open(&trace, TRACE, err));
    const enum rad_status status = rad_trace_transplanted(&onto, trace, &large, err);
    rad_trace_close(onto);
    rad_trace_close(trace);
    return status;
}

static enum rad_status plan(struct rad_err *err)
{
    const struct rad_replay_options opt = {.batch = 2, .dtype = RAD_F16};
    rad_trace *trace = NULL;
    rad_plan *built = NULL;
    RAD_TRY(rad_trace_open(&trace, TRACE, err));
    const enum rad_status status = rad_plan_build(&built, trace, &opt, err);
    rad_plan_free(built);
    rad_trace_close(trace);
    return status;
}

/* In this order: the trace that the first of them leaves is read by the others. */
const struct fault trace_faults[] = {
    {"rad_card_to_json", card_text, NULL}, {"rad_trace_create", write_trace, trace_sound},
    {"rad_trace_open", read_trace, NULL},  {"rad_trace_transplanted", transplant, NULL},
    {"rad_plan_build", plan, NULL},        {.name = NULL},
};
