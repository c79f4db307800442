/* trace_import.c - routing recorded elsewhere: lines in, a trace out.
 *
 * All lines are read and checked before a file is made. They may mix sequences, as a batched run
 * does; keys attended need whole sequences and the order of all paths, so they come second. */
#include "trace/trace_line.h"

#include "base/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES ((size_t)1 << 30)
#define LINE_MAX_BYTES ((size_t)8 << 20)

/* What is kept of a line beside its token in `lines`. */
struct origin {
    int64_t token; /* index */
    int64_t seq;
    int64_t number;
    size_t offset, len; /* in the file */
    bool has_keys;
};

struct import {
    const char *path;
    const struct rad_trace_import_options *opt;
    struct rad_err *err;
    char *text;
    rad_trace *lines;      /* tokens in the order of the file */
    struct origin *origin; /* [lines->n_token] */
    size_t max_origin;
    struct rad_trace_parsed parsed;
    bool any_order, has_entries;
    rad_trace *t; /* the result */
    rad_trace_keys *keys;
};

static enum rad_status no_memory(const struct import *im)
{
    return rad_fail(im->err, RAD_E_NOMEM, "%s: out of memory", im->path);
}

static enum rad_status keep(struct import *im, const struct rad_trace_line *line)
{
    const struct rad_trace_parsed *p = &im->parsed;
    const size_t n = (size_t)im->lines->n_token;
    if (n == im->max_origin) {
        const size_t max = n > 0 ? 2 * n : 64;
        struct origin *more = realloc(im->origin, max * sizeof *more);
        if (more == NULL)
            return no_memory(im);
        im->origin = more;
        im->max_origin = max;
    }
    im->origin[n] = (struct origin){.token = (int64_t)n,
                                    .seq = p->tok.seq,
                                    .number = line->number,
                                    .offset = (size_t)(line->text - im->text),
                                    .len = line->len,
                                    .has_keys = p->has_keys};
    im->any_order = im->any_order || !rad_trace_path_forward(p->hop, p->tok.n_hop);
    im->has_entries = im->has_entries || p->has_entries;
    return rad_trace_add(im->lines, &p->tok, p->hop, NULL, im->err);
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

static enum rad_status read_lines(struct import *im, size_t len)
{
    const char *end = im->text + len;
    struct rad_trace_line line = {.path = im->path, .err = im->err, .text = im->text};
    while (line.text < end) {
        const char *stop = memchr(line.text, '\n', (size_t)(end - line.text));
        line.len = (size_t)((stop != NULL ? stop : end) - line.text);
        line.number++;
        if (line.len > LINE_MAX_BYTES)
            return rad_fail(im->err, RAD_E_RANGE, "%s:%lld:1: line is longer than 8 MiB", im->path,
                            (long long)line.number);
        if (!is_blank(line.text, line.len)) {
            RAD_TRY(rad_trace_line_parse(&line, im->lines->run.card.n_layer, &im->parsed));
            RAD_TRY(keep(im, &line));
        }
        line.text += line.len + 1;
    }
    if (im->lines->n_token == 0)
        return rad_fail(im->err, RAD_E_PARSE, "%s: expected a line per token but found none",
                        im->path);
    return RAD_OK;
}

/* ---- the trace ------------------------------------------------------------------------- */

static int by_sequence(const void *a, const void *b)
{
    const struct origin *x = a, *y = b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum rad_status make_token(struct import *im, const struct origin *from,
                                  struct rad_trace_seq *seq)
{
    const struct rad_trace_token *given = &im->lines->token[from->token];
    const struct rad_trace_path path = {.seq = given->seq,
                                        .hop = im->lines->hop + given->hop_first,
                                        .n_hop = given->n_hop,
                                        .fill = !im->has_entries,
                                        .has_keys = from->has_keys};
    const struct rad_trace_line line = {im->path, from->number, im->text + from->offset, from->len,
                                        im->err};
    struct rad_trace_token tok = *given;
    struct rad_trace_fault fault;
    const struct rad_hop_rec *hop = NULL;
    RAD_TRY(rad_trace_keys_next(im->keys, &path, &hop, &tok.n_hop, im->err));
    if (seq->id != tok.seq)
        *seq = (struct rad_trace_seq){.id = tok.seq};
    if (!rad_trace_token_check(&im->t->run, seq, &tok, hop, NULL, &fault))
        return rad_trace_line_bad(&line, fault.column, RAD_TRACE_WHOLE, "%s", fault.text);
    return rad_trace_add(im->t, &tok, hop, NULL, im->err);
}

/* The mean over tokens that have one; NaN if none has. */
static double mean_nll(const rad_trace *t)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < t->n_token; i++)
        if (!isnan(t->token[i].nll)) {
            sum += (double)t->token[i].nll;
            n++;
        }
    return n > 0 ? sum / (double)n : (double)NAN;
}

static enum rad_status make_trace(struct import *im)
{
    struct rad_trace_run run = im->lines->run;
    struct rad_trace_seq seq = {.id = -1};
    run.forward_only = !im->any_order && !im->opt->any_order;
    run.nll = mean_nll(im->lines);
    RAD_TRY(rad_trace_new(&im->t, &run, im->err));
    RAD_TRY(rad_trace_keys_open(&im->keys, &run, im->err));
    qsort(im->origin, (size_t)im->lines->n_token, sizeof *im->origin, by_sequence);
    for (int64_t i = 0; i < im->lines->n_token; i++)
        RAD_TRY(make_token(im, &im->origin[i], &seq));
    return rad_trace_seal(im->t, im->err);
}

static enum rad_status check_options(const struct rad_trace_import_options *opt,
                                     const struct rad_card *card, struct rad_err *err)
{
    RAD_TRY(rad_card_check(card, err));
    if (opt->any_order && opt->kv != RAD_KV_HOLE)
        return rad_fail(err, RAD_E_ARG, "kv=%s: needs a forward order; use hole",
                        rad_kv_name(opt->kv));
    if (opt->has_router && card->router_hidden == 0)
        return rad_fail(err, RAD_E_ARG,
                        "card: expected one with a router (router_hidden > 0) but %s has none",
                        card->name);
    return RAD_OK;
}

static enum rad_status import(struct import *im, const struct rad_card *card)
{
    size_t len = 0;
    const struct rad_trace_run run = {.card = *card,
                                      .policy = im->opt->policy != NULL ? im->opt->policy
                                                                        : "recorded",
                                      .kv = im->opt->kv,
                                      .has_router = im->opt->has_router,
                                      .source = "import",
                                      .engine = "radial import",
                                      .nll = (double)NAN};
    RAD_TRY(check_options(im->opt, card, im->err));
    RAD_TRY(rad_trace_new(&im->lines, &run, im->err));
    RAD_TRY(rad_file_read(im->path, FILE_MAX_BYTES, &im->text, &len, im->err));
    RAD_TRY(read_lines(im, len));
    return make_trace(im);
}

enum rad_status rad_trace_import(const char *jsonl_path, const struct rad_card *card,
                                 const char *out_path, const struct rad_trace_import_options *opt,
                                 struct rad_err *err)
{
    static const struct rad_trace_import_options defaults = {.kv = RAD_KV_HOLE};
    struct import im = {.path = jsonl_path, .opt = opt != NULL ? opt : &defaults, .err = err};
    enum rad_status status = import(&im, card);
    if (status == RAD_OK)
        status = rad_trace_save(im.t, out_path, err);
    rad_trace_keys_close(im.keys);
    rad_trace_close(im.t);
    rad_trace_close(im.lines);
    free(im.parsed.hop);
    free(im.origin);
    free(im.text);
    return status;
}
