/* cmd_trace_look.c - `radial trace info|stats|check|export`. */
#include "cli/cmd_trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double depth_frac(const rad_trace *t)
{
    return rad_trace_mean_depth(t) / rad_trace_run(t)->card.n_layer;
}

static void warn_prefix(const char *command, const char *path, const rad_trace *t)
{
    if (!rad_trace_complete(t))
        rad_cli_warn(command, "%s: the run did not finish; this is what it had written", path);
}

/* ---- info ------------------------------------------------------------------------------ */

void trace_info_row(rad_out *out, const rad_trace *t)
{
    const struct rad_trace_run *run = rad_trace_run(t);
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)run->seed);
    rad_out_text(out, "card", run->card.name);
    rad_out_text(out, "policy", run->policy);
    rad_out_text(out, "kv", rad_kv_name(run->kv));
    rad_out_text(out, "source", run->source);
    rad_out_int(out, "tokens", rad_trace_n_token(t));
    rad_out_int(out, "sequences", rad_trace_n_seq(t));
    rad_out_int(out, "hops", rad_trace_n_visit(t));
    rad_out_real(out, "mean_depth", rad_trace_mean_depth(t));
    rad_out_real(out, "depth_frac", depth_frac(t));
    rad_out_real(out, "nll", run->nll);
    rad_out_bool(out, "forward_only", run->forward_only);
    rad_out_bool(out, "has_router", run->has_router);
    rad_out_bool(out, "has_stats", rad_trace_stats(t) != NULL);
    rad_out_bool(out, "complete", rad_trace_complete(t));
    rad_out_real(out, "prefill_s", rad_trace_measured_s(t, RAD_PHASE_PREFILL));
    rad_out_real(out, "decode_s", rad_trace_measured_s(t, RAD_PHASE_DECODE));
    rad_out_json(out, "seed", seed);
    rad_out_text(out, "engine", run->engine);
    rad_out_text(out, "host", run->host);
    rad_out_text(out, "model_hash", run->model_hash);
    rad_out_text(out, "text_hash", run->text_hash);
    rad_out_text(out, "parent", run->parent);
    rad_out_int(out, "version", RAD_TRACE_VERSION);
    rad_out_text(out, "hash", rad_trace_hash(t));
}

int trace_info(const void *options)
{
    const struct trace_options *o = options;
    struct rad_err err;
    rad_trace *t = NULL;
    rad_out *out = NULL;
    if (rad_trace_open(&t, o->sub.arg[0], &err) != RAD_OK)
        return rad_cli_fail("trace info", &err);
    warn_prefix("trace info", o->sub.arg[0], t);
    rad_out_open(&out, o->sub.common.format, stdout);
    rad_out_begin_row(out);
    trace_info_row(out, t);
    rad_out_end_row(out);
    rad_trace_close(t);
    return rad_cli_close(out, "trace info", true);
}

/* ---- stats ----------------------------------------------------------------------------- */

static const char *const sublayers[] = {"attn", "mlp"};

static void put_spread(rad_out *out, const char *ratio, const char *suffix,
                       const struct rad_trace_spread *s)
{
    const struct {
        const char *name;
        double value;
    } columns[] = {{"median", s->median}, {"p10", s->p10}, {"p90", s->p90}};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s_%s%s", columns[i].name, ratio, suffix);
        rad_out_real(out, key, columns[i].value);
    }
}

static void put_ratios(rad_out *out, const struct rad_trace_ratios *r, const char *suffix)
{
    put_spread(out, "ratio_in", suffix, &r->ratio_in);
    put_spread(out, "ratio_out", suffix, &r->ratio_out);
    put_spread(out, "cos_in_out", suffix, &r->cos);
}

static void stats_by_run(rad_out *out, const rad_trace *t, const struct rad_trace_summary *s)
{
    rad_out_begin_row(out);
    rad_out_int(out, "tokens", rad_trace_n_token(t));
    rad_out_int(out, "prefill_tokens", s->tokens[RAD_PHASE_PREFILL]);
    rad_out_int(out, "decode_tokens", s->tokens[RAD_PHASE_DECODE]);
    rad_out_int(out, "sequences", rad_trace_n_seq(t));
    rad_out_int(out, "hops", rad_trace_n_visit(t));
    rad_out_int(out, "max_hops", s->n_hist - 1);
    rad_out_real(out, "mean_depth", rad_trace_mean_depth(t));
    rad_out_real(out, "depth_frac", depth_frac(t));
    rad_out_real(out, "mean_depth_prefill", s->mean_depth[RAD_PHASE_PREFILL]);
    rad_out_real(out, "mean_depth_decode", s->mean_depth[RAD_PHASE_DECODE]);
    rad_out_real(out, "mean_keys", s->mean_keys);
    for (int i = 0; i < 2 && rad_trace_stats(t) != NULL; i++)
        put_ratios(out, &s->all[i], i == 0 ? "_attn" : "_mlp");
    rad_out_end_row(out);
}

static void stats_by_layer(rad_out *out, const rad_trace *t, const struct rad_trace_summary *s)
{
    for (int32_t l = 0; l < s->n_layer; l++)
        for (int i = 0; i < 2; i++) {
            const struct rad_trace_layer *layer = &s->layer[l];
            const int64_t runs = i == 0 ? layer->attn : layer->mlp;
            rad_out_begin_row(out);
            rad_out_int(out, "layer", l);
            rad_out_text(out, "sublayer", sublayers[i]);
            rad_out_int(out, "runs", runs);
            rad_out_real(out, "runs_per_token", (double)runs / (double)rad_trace_n_token(t));
            rad_out_real(out, "mean_keys", i == 0 ? layer->mean_keys : (double)NAN);
            if (rad_trace_stats(t) != NULL)
                put_ratios(out, &layer->ratios[i], "");
            rad_out_end_row(out);
        }
}

static void stats_by_depth(rad_out *out, const rad_trace *t, const struct rad_trace_summary *s)
{
    for (int32_t h = 0; h < s->n_hist; h++) {
        rad_out_begin_row(out);
        rad_out_int(out, "hops", h);
        rad_out_int(out, "tokens", s->hist[h]);
        rad_out_real(out, "tokens_frac", (double)s->hist[h] / (double)rad_trace_n_token(t));
        rad_out_end_row(out);
    }
}

int trace_stats(const void *options)
{
    const struct trace_options *o = options;
    static void (*const tables[])(rad_out *, const rad_trace *,
                                  const struct rad_trace_summary *) = {
        stats_by_run, stats_by_layer, stats_by_depth}; /* by enum trace_by */
    struct rad_err err;
    struct rad_trace_summary s;
    rad_trace *t = NULL;
    rad_out *out = NULL;
    if (rad_trace_open(&t, o->sub.arg[0], &err) != RAD_OK)
        return rad_cli_fail("trace stats", &err);
    warn_prefix("trace stats", o->sub.arg[0], t);
    const enum rad_status status = rad_trace_summarise(&s, t, &err);
    if (status == RAD_OK) {
        rad_out_open(&out, o->sub.common.format, stdout);
        tables[o->by](out, t, &s);
        rad_trace_summary_free(&s);
    }
    rad_trace_close(t);
    return status == RAD_OK ? rad_cli_close(out, "trace stats", o->by == BY_RUN)
                            : rad_cli_fail("trace stats", &err);
}

/* ---- check ----------------------------------------------------------------------------- */

static bool check_file(rad_out *out, const char *path)
{
    struct rad_err err;
    rad_trace *t = NULL;
    int64_t differ = 0;
    enum rad_status status = rad_trace_verify(&t, path, &err);
    if (status == RAD_OK)
        status = rad_trace_keys_differ(t, &differ, &err);
    if (status != RAD_OK) {
        rad_cli_fail("trace check", &err);
    } else {
        rad_out_begin_row(out);
        rad_out_text(out, "file", path);
        rad_out_bool(out, "ok", true);
        rad_out_bool(out, "complete", rad_trace_complete(t));
        rad_out_int(out, "tokens", rad_trace_n_token(t));
        rad_out_int(out, "sequences", rad_trace_n_seq(t));
        rad_out_int(out, "hops", rad_trace_n_visit(t));
        rad_out_int(out, "keys_differ", differ);
        rad_out_text(out, "hash", rad_trace_hash(t));
        rad_out_end_row(out);
    }
    rad_trace_close(t);
    return status == RAD_OK;
}

/* Files that are wrong have a line on standard error; the others a row. */
int trace_check(const void *options)
{
    const struct trace_options *o = options;
    rad_out *out = NULL;
    int n_ok = 0;
    rad_out_open(&out, o->sub.common.format, stdout);
    for (int i = 0; i < o->sub.n_arg; i++)
        n_ok += check_file(out, o->sub.arg[i]);
    const int code = rad_cli_close(out, "trace check", o->sub.n_arg == 1 && n_ok == 1);
    return n_ok == o->sub.n_arg ? code : EXIT_FAILURE;
}

/* ---- export ---------------------------------------------------------------------------- */

/* A file is written as a whole: first into memory. */
static enum rad_status export_file(const rad_trace *t, enum rad_trace_format format,
                                   const char *path, struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    enum rad_status status = rad_trace_export(t, format, to, err);
    if (fclose(to) != 0 && status == RAD_OK)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory");
    if (status == RAD_OK)
        status = rad_cli_write(path, text, len, err);
    free(text);
    return status;
}

int trace_export(const void *options)
{
    const struct trace_options *o = options;
    struct rad_err err;
    rad_trace *t = NULL;
    enum rad_trace_format format;
    enum rad_status status = rad_trace_format_parse(o->to, &format, &err);
    if (status != RAD_OK) {
        rad_fail_in(&err, status, "--to");
        return rad_cli_fail("trace export", &err);
    }
    if (o->out_path != NULL)
        status = rad_cli_apart(o->sub.arg[0], "-o", o->out_path, &err);
    if (status == RAD_OK)
        status = rad_trace_open(&t, o->sub.arg[0], &err);
    if (status == RAD_OK) {
        warn_prefix("trace export", o->sub.arg[0], t);
        status = o->out_path != NULL ? export_file(t, format, o->out_path, &err)
                                     : rad_trace_export(t, format, stdout, &err);
    }
    rad_trace_close(t);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("trace export", &err);
}
