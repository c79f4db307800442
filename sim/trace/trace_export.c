/* trace_export.c - a trace as CSV, as lines that import reads, or for a trace viewer. */
#include "trace/trace_build.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- csv ------------------------------------------------------------------------------- */

static void csv_float(FILE *to, float value)
{
    if (isnan(value))
        fputc(',', to);
    else
        fprintf(to, ",%.9g", (double)value);
}

static void csv_hop(FILE *to, const rad_trace *t, const struct rad_trace_token *tok, int32_t i)
{
    const struct rad_hop_rec *hop = &t->hop[tok->hop_first + i];
    fprintf(to, "%lld,%d,%s,", (long long)tok->seq, (int)tok->pos, rad_phase_name(tok->phase));
    if (tok->token >= 0)
        fprintf(to, "%d", (int)tok->token);
    csv_float(to, tok->nll);
    fprintf(to, ",%d,%d,%d,%d,%d,%d,%u", (int)i, (int)hop->layer, (hop->flags & RAD_HOP_ATTN) != 0,
            (hop->flags & RAD_HOP_MLP) != 0, (hop->flags & RAD_HOP_PROJECT) != 0,
            (hop->flags & RAD_HOP_COPY) != 0, (unsigned)hop->n_keys);
    if (t->stat != NULL) {
        const struct rad_hop_stat *s = &t->stat[tok->hop_first + i];
        const float value[] = {s->a_attn, s->b_attn, s->c_attn, s->a_mlp,
                               s->b_mlp,  s->c_mlp,  s->margin};
        for (size_t k = 0; k < sizeof value / sizeof value[0]; k++)
            csv_float(to, value[k]);
    }
    fputs("\n", to);
}

static enum rad_status export_csv(const rad_trace *t, FILE *to, struct rad_err *err)
{
    (void)err;
    fputs("seq,pos,phase,token,nll,hop,layer,attn,mlp,project,copy,n_keys", to);
    if (t->stat != NULL)
        fputs(",a_attn,b_attn,c_attn,a_mlp,b_mlp,c_mlp,margin", to);
    fputs("\n", to);
    for (int64_t i = 0; i < t->n_token; i++)
        for (int32_t h = 0; h < t->token[i].n_hop; h++)
            csv_hop(to, t, &t->token[i], h);
    return RAD_OK;
}

/* ---- jsonl ----------------------------------------------------------------------------- */

static void jsonl_hop(FILE *to, const struct rad_hop_rec *hop)
{
    switch (hop->flags) {
    case RAD_HOP_ATTN | RAD_HOP_MLP:
        fprintf(to, "%d", (int)hop->layer);
        return;
    case RAD_HOP_PROJECT:
    case RAD_HOP_COPY:
        fprintf(to, "{\"layer\":%d,\"kv\":\"%s\"}", (int)hop->layer,
                hop->flags == RAD_HOP_COPY ? "copy" : "project");
        return;
    default:
        fprintf(to, "{\"layer\":%d,\"attn\":%s,\"mlp\":%s}", (int)hop->layer,
                (hop->flags & RAD_HOP_ATTN) != 0 ? "true" : "false",
                (hop->flags & RAD_HOP_MLP) != 0 ? "true" : "false");
    }
}

static enum rad_status export_jsonl(const rad_trace *t, FILE *to, struct rad_err *err)
{
    (void)err;
    for (int64_t i = 0; i < t->n_token; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        fprintf(to, "{\"seq\":%lld,\"pos\":%d,\"phase\":\"%s\"", (long long)tok->seq, (int)tok->pos,
                rad_phase_name(tok->phase));
        if (tok->token >= 0)
            fprintf(to, ",\"token\":%d", (int)tok->token);
        if (!isnan(tok->nll))
            fprintf(to, ",\"nll\":%.9g", (double)tok->nll);
        fputs(",\"path\":[", to);
        for (int32_t h = 0; h < tok->n_hop; h++) {
            fputs(h > 0 ? "," : "", to);
            jsonl_hop(to, &t->hop[tok->hop_first + h]);
        }
        fputs("],\"n_keys\":[", to);
        for (int32_t h = 0; h < tok->n_hop; h++)
            fprintf(to, "%s%u", h > 0 ? "," : "", (unsigned)t->hop[tok->hop_first + h].n_keys);
        fputs("]}\n", to);
    }
    return RAD_OK;
}

/* ---- Chrome trace JSON ----------------------------------------------------------------- */

/* A token is a slice as long as its hops; its hops are slices inside. Viewers take `ts` and `dur`
 * for microseconds: here one is one hop. */
static int64_t perfetto_token(FILE *to, const rad_trace *t, const struct rad_trace_token *tok,
                              int64_t now)
{
    const int32_t n = tok->n_hop;
    fprintf(to,
            ",\n{\"ph\":\"X\",\"name\":\"token %d\",\"cat\":\"%s\",\"pid\":%lld,\"tid\":0,"
            "\"ts\":%lld,\"dur\":%d,\"args\":{\"pos\":%d,\"id\":%d,\"hops\":%d",
            (int)tok->pos, rad_phase_name(tok->phase), (long long)tok->seq, (long long)now,
            n > 0 ? (int)n : 1, (int)tok->pos, (int)tok->token, (int)n);
    if (!isnan(tok->nll))
        fprintf(to, ",\"nll\":%.9g", (double)tok->nll);
    fputs("}}", to);
    for (int32_t h = 0; h < n; h++) {
        const struct rad_hop_rec *hop = &t->hop[tok->hop_first + h];
        fprintf(to,
                ",\n{\"ph\":\"X\",\"name\":\"layer %d%s\",\"cat\":\"hop\",\"pid\":%lld,\"tid\":0,"
                "\"ts\":%lld,\"dur\":1,\"args\":{\"flags\":%d,\"n_keys\":%u}}",
                (int)hop->layer, rad_hop_is_visit(hop) ? "" : " (no visit)", (long long)tok->seq,
                (long long)now + h, (int)hop->flags, (unsigned)hop->n_keys);
    }
    return now + (n > 0 ? n : 1);
}

/* Names come from the file: jansson escapes them. */
static enum rad_status perfetto_head(const rad_trace *t, FILE *to, struct rad_err *err)
{
    char *text = NULL;
    json_t *head = json_pack("{s:s, s:s, s:s, s:s}", "time_unit",
                             "1 us of the viewer is 1 hop, not measured time", "card",
                             t->run.card.name, "policy", t->run.policy, "trace_hash", t->hash);
    if (head == NULL)
        return rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    const enum rad_status status = rad_json_dump(head, &text, err);
    json_decref(head);
    RAD_TRY(status);
    fprintf(to, "{\"otherData\":%s,\n\"traceEvents\":[\n", text);
    free(text);
    return RAD_OK;
}

static enum rad_status export_perfetto(const rad_trace *t, FILE *to, struct rad_err *err)
{
    int64_t now = 0;
    RAD_TRY(perfetto_head(t, to, err));
    for (int64_t i = 0; i < t->n_token; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        if (tok->pos == 0) {
            now = 0;
            fprintf(to,
                    "%s{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%lld,\"args\":{\"name\":"
                    "\"sequence %lld (1 us = 1 hop)\"}}",
                    i > 0 ? ",\n" : "", (long long)tok->seq, (long long)tok->seq);
        }
        now = perfetto_token(to, t, tok, now);
    }
    fputs("\n]}\n", to);
    return RAD_OK;
}

enum rad_status rad_trace_export(const rad_trace *t, enum rad_trace_format format, FILE *to,
                                 struct rad_err *err)
{
    static enum rad_status (*const exports[])(const rad_trace *, FILE *, struct rad_err *) = {
        export_csv, export_jsonl, export_perfetto}; /* by enum rad_trace_format */
    RAD_TRY(exports[format](t, to, err));
    if (fflush(to) != 0 || ferror(to))
        return rad_fail(err, RAD_E_IO, "cannot write all of it");
    return RAD_OK;
}
