/* cmd_trace.h - what the files of `radial trace` share. */
#ifndef RAD_CMD_TRACE_H
#define RAD_CMD_TRACE_H

#include "cli/subcommand.h"

/* Options of all subcommands together; each takes those of its table. */
struct trace_options {
    struct sub_options sub;
    const char *out_path, *card, *policy, *to;
    enum rad_kv kv;
    long prompt, n_new, n_seq, seed;
    bool any_order, router;
    enum trace_by { BY_RUN, BY_LAYER, BY_DEPTH } by;
};

/* Subcommands: each takes a complete struct trace_options and returns an exit code. */
int trace_info(const void *options);
int trace_stats(const void *options);
int trace_check(const void *options);
int trace_export(const void *options);
int trace_import(const void *options);
int trace_synth(const void *options);
int trace_transplant(const void *options);

/* The row of `trace info`; `out` has begun a row. */
void trace_info_row(rad_out *out, const rad_trace *t);

#endif
