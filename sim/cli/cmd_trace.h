/* cmd_trace.h - what the files of `radial trace` share. */
#ifndef RAD_CMD_TRACE_H
#define RAD_CMD_TRACE_H

#include "cli/cli.h"

enum { TRACE_MAX_FILE = 64 };

/* Options of all subcommands together; each takes those of its table. */
struct trace_options {
    struct rad_cli_common common;
    const char *files[TRACE_MAX_FILE]; /* [n_file] arguments */
    int n_file;
    const char *out_path, *card, *policy, *to;
    enum rad_kv kv;
    long prompt, n_new, n_seq, seed;
    bool any_order, router;
    enum trace_by { BY_RUN, BY_LAYER, BY_DEPTH } by;
};

/* Subcommands: options are complete; the exit code is returned. */
int trace_info(const struct trace_options *o);
int trace_stats(const struct trace_options *o);
int trace_check(const struct trace_options *o);
int trace_export(const struct trace_options *o);
int trace_import(const struct trace_options *o);
int trace_synth(const struct trace_options *o);
int trace_transplant(const struct trace_options *o);

/* The row of `trace info`; `out` has begun a row. */
void trace_info_row(rad_out *out, const rad_trace *t);

#endif
