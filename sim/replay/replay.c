/* replay.c - names, the metric table, and both steps at once. */
#include "replay/replay.h"

#include "base/buf.h"

#include <string.h>

static const char *const phase_names[] = {
    [RAD_REPLAY_RECORDED] = "recorded",
    [RAD_REPLAY_PREFILL] = "prefill",
    [RAD_REPLAY_DECODE] = "decode",
};
enum { N_PHASE = sizeof phase_names / sizeof phase_names[0] };

const char *rad_replay_phase_name(enum rad_replay_phase phase)
{
    return (unsigned)phase < N_PHASE ? phase_names[phase] : "unknown";
}

enum rad_status rad_replay_phase_parse(const char *name, enum rad_replay_phase *out,
                                       struct rad_err *err)
{
    for (int i = 0; i < N_PHASE; i++) {
        if (strcmp(name, phase_names[i]) == 0) {
            *out = (enum rad_replay_phase)i;
            return RAD_OK;
        }
    }
    char shown[RAD_SHOW_MAX];
    return rad_fail(err, RAD_E_ARG, "phase: expected recorded, prefill or decode but found '%s'",
                    rad_show(shown, name));
}

static const struct rad_metric metrics[] = {
#define RAD_METRIC(name, doc) {#name, doc, offsetof(struct rad_replay_result, name)},
#include "replay/metrics.def"
#undef RAD_METRIC
};

const struct rad_metric *rad_replay_metrics(size_t *n)
{
    *n = sizeof metrics / sizeof metrics[0];
    return metrics;
}

enum rad_status rad_replay(const rad_trace *trace, const rad_hw *hw,
                           const struct rad_replay_options *opt, struct rad_replay_result *out,
                           struct rad_err *err)
{
    rad_plan *plan = NULL;
    RAD_TRY(rad_plan_build(&plan, trace, opt, err));
    const enum rad_status status = rad_replay_cost(plan, hw, out, err);
    rad_plan_free(plan);
    return status;
}
