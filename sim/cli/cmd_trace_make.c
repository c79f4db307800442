/* cmd_trace_make.c - `radial trace import|synth|transplant`: each makes a trace and describes it.
 */
#include "cli/cmd_trace.h"

#include <stdio.h>

/* The end of each: the file is read back, so that what is described is what is there. */
static int describe(const struct trace_options *o, const char *command, enum rad_status status,
                    struct rad_err *err)
{
    rad_trace *t = NULL;
    rad_out *out = NULL;
    if (status == RAD_OK)
        status = rad_trace_open(&t, o->out_path, err);
    if (status != RAD_OK)
        return rad_cli_fail(command, err);
    rad_out_open(&out, o->sub.common.format, stdout);
    rad_out_begin_row(out);
    trace_info_row(out, t);
    rad_out_end_row(out);
    rad_trace_close(t);
    return rad_cli_close(out, command, true);
}

int trace_import(const void *options)
{
    const struct trace_options *o = options;
    struct rad_err err;
    struct rad_card card;
    const struct rad_trace_import_options opt = {
        .policy = o->policy, .kv = o->kv, .any_order = o->any_order, .has_router = o->router};
    enum rad_status status = rad_cli_card(&card, o->card, &err);
    if (status == RAD_OK)
        status = rad_cli_make_folder(o->out_path, &err);
    if (status == RAD_OK)
        status = rad_trace_import(o->sub.arg[0], &card, o->out_path, &opt, &err);
    return describe(o, "trace import", status, &err);
}

int trace_synth(const void *options)
{
    const struct trace_options *o = options;
    struct rad_err err;
    struct rad_card card;
    const struct rad_trace_synth_options opt = {.card = &card,
                                                .policy = o->policy,
                                                .prompt = (int32_t)o->prompt,
                                                .n_new = (int32_t)o->n_new,
                                                .n_seq = (int32_t)o->n_seq,
                                                .seed = (uint64_t)o->seed,
                                                .kv = o->kv};
    enum rad_status status = rad_cli_card(&card, o->card, &err);
    if (status == RAD_OK)
        status = rad_cli_make_folder(o->out_path, &err);
    if (status == RAD_OK)
        status = rad_trace_synth(&opt, o->out_path, &err);
    return describe(o, "trace synth", status, &err);
}

int trace_transplant(const void *options)
{
    const struct trace_options *o = options;
    struct rad_err err;
    struct rad_card card;
    rad_trace *in = NULL;
    enum rad_status status = rad_cli_card(&card, o->card, &err);
    if (status == RAD_OK)
        status = rad_cli_apart(o->sub.arg[0], "-o", o->out_path, &err);
    if (status == RAD_OK)
        status = rad_trace_open(&in, o->sub.arg[0], &err);
    if (status == RAD_OK)
        status = rad_cli_make_folder(o->out_path, &err);
    if (status == RAD_OK)
        status = rad_trace_transplant(in, &card, o->out_path, &err);
    rad_trace_close(in);
    return describe(o, "trace transplant", status, &err);
}
