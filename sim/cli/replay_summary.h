/* replay_summary.h - the answer of `radial replay` for people. Private to cmd_replay.c. */
#ifndef RAD_CLI_REPLAY_SUMMARY_H
#define RAD_CLI_REPLAY_SUMMARY_H

#include "radial.h"

#include <stdio.h>

/* Times of the run itself; NaN: not recorded, or not comparable. */
struct rad_replay_measured {
    bool shown; /* the machine is the one that ran */
    double prefill_s, decode_s, prefill_error_frac, decode_error_frac;
};

struct rad_replay_summary {
    const struct rad_trace_run *run;
    const struct rad_plan_info *info;
    const struct rad_replay_result *result;
    struct rad_replay_measured measured;
    const char *hw, *trace, *phase;
    int32_t batch;
};

void rad_replay_summary_print(const struct rad_replay_summary *s, FILE *to);

#endif
