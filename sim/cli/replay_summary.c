/* replay_summary.c - the answer of `radial replay` for people. */
#include "cli/replay_summary.h"

#include "cli/cli.h"

#include <math.h>

enum { N_SI = 32 };

/* value with an SI prefix; "-" if it is not known. Returns out. */
static const char *si(char out[N_SI], double value, const char *unit)
{
    static const char prefixes[] = {'p', 'n', 'u', 'm', 0, 'k', 'M', 'G', 'T', 'P', 'E'};
    int i = 4;
    for (; fabs(value) >= 999.95 && i < (int)sizeof prefixes - 1; i++)
        value /= 1e3;
    for (; value != 0 && fabs(value) < 0.99995 && i > 0; i--)
        value *= 1e3;
    if (isfinite(value))
        snprintf(out, N_SI, "%.4g %.1s%s", value, &prefixes[i], unit);
    else
        snprintf(out, N_SI, "-");
    return out;
}

/* The same without prefix, for shares, counts and dollars. */
static const char *plain(char out[N_SI], double value, const char *unit)
{
    if (isfinite(value))
        snprintf(out, N_SI, "%.4g%s", value, unit);
    else
        snprintf(out, N_SI, "-");
    return out;
}

static void print_head(const struct rad_replay_summary *s, FILE *to)
{
    const struct rad_plan_info *info = s->info;
    rad_out_escape(to, s->trace);
    fputs(" (policy ", to);
    rad_out_escape(to, s->run->policy);
    fputs(") on ", to);
    rad_out_escape(to, s->hw);
    fputs(" as card ", to);
    rad_out_escape(to, info->card.name);
    fprintf(to, ", %s", rad_dtype_weights_name(info->dtype, info->weight_share));
    if (info->tp * info->pp > 1)
        fprintf(to, ", %d devices (tensor %d, pipeline %d)", info->tp * info->pp, info->tp,
                info->pp);
    fputc('\n', to);
    fprintf(to,
            "%lld tokens (%lld prompt, %lld new) of %lld sequence(s), batch %d, phase %s, "
            "batcher %s, kv %s\n\n",
            (long long)info->n_token, (long long)info->n_prefill_token,
            (long long)info->n_decode_token, (long long)info->n_seq, (int)s->batch, s->phase,
            info->batcher, rad_kv_name(info->kv));
}

static void print_beside(FILE *to, const char *name, const char *routed, const char *dense,
                         double share)
{
    char text[N_SI];
    fprintf(to, "  %-22s %14s %14s %13s\n", name, routed, dense, plain(text, share, ""));
}

/* What the network does with and without routing, side by side. */
static void print_comparison(const struct rad_replay_result *r, int32_t n_layer, FILE *to)
{
    char a[N_SI], b[N_SI];
    fprintf(to, "  predicted speedup %.3g (80 %%: %.3g to %.3g), bound by %s\n\n", r->speedup,
            r->speedup_lo, r->speedup_hi, rad_bound_name(r->bound_kind));
    fprintf(to, "  %-22s %14s %14s %13s\n", "", "routed", "dense", "routed/dense");
    print_beside(to, "time", si(a, r->latency_s, "s"), si(b, r->dense_latency_s, "s"),
                 1 / r->speedup);
    print_beside(to, "energy", si(a, r->energy_j, "J"), si(b, r->dense_energy_j, "J"),
                 r->energy_j / r->dense_energy_j);
    print_beside(to, "FLOP", si(a, r->flop, ""), si(b, r->flop / r->flop_frac, ""), r->flop_frac);
    print_beside(to, "weight bytes", si(a, r->weight_bytes, "B"),
                 si(b, r->weight_bytes / r->weight_bytes_frac, "B"), r->weight_bytes_frac);
    print_beside(to, "  of the layers alone", "", "", r->layer_weight_bytes_frac);
    print_beside(to, "layer loads per step", plain(a, r->layer_loads_per_step, ""),
                 plain(b, r->dense_layer_loads_per_step, ""),
                 r->layer_loads_per_step / r->dense_layer_loads_per_step);
    print_beside(to, "layers per token", plain(a, r->mean_depth, ""), plain(b, n_layer, ""),
                 r->depth_frac);
}

static void print_line(FILE *to, const char *name, const char *value)
{
    fprintf(to, "  %-22s %14s\n", name, value);
}

static void print_times(const struct rad_replay_result *r, FILE *to)
{
    char a[N_SI];
    fputc('\n', to);
    print_line(to, "prefill", si(a, r->prefill_s, "s"));
    print_line(to, "decode", si(a, r->decode_s, "s"));
    print_line(to, "first token after", si(a, r->ttft_s, "s"));
    print_line(to, "output token, mean", si(a, r->tpot_s, "s"));
    print_line(to, "  median", si(a, r->tpot_s_p50, "s"));
    print_line(to, "  99th percentile", si(a, r->tpot_s_p99, "s"));
    print_line(to, "tokens per second", plain(a, r->tokens_per_s, ""));
    print_line(to, "router, share of time", plain(a, r->router_s / r->latency_s, ""));
    print_line(to, "overheads, share", plain(a, r->overhead_s / r->latency_s, ""));
    print_line(to, "energy per token", si(a, r->j_per_token, "J"));
    print_line(to, "per million tokens", plain(a, r->usd_per_mtok, " USD"));
    if (!isnan(r->owned_usd_per_mtok))
        print_line(to, "the same, owned", plain(a, r->owned_usd_per_mtok, " USD"));
    print_line(to, "KV cache, largest", si(a, r->kv_cache_bytes_peak, "B"));
    print_line(to, "device holds", si(a, r->device_bytes_peak, "B"));
    print_line(to, "  of its memory", plain(a, r->device_memory_frac, ""));
    print_line(to, "quality of the run", plain(a, r->nll, " nats"));
}

static void print_measured(const struct rad_replay_summary *s, FILE *to)
{
    const struct rad_replay_measured *m = &s->measured;
    char a[N_SI], b[N_SI], c[N_SI];
    if (!m->shown)
        return;
    if (isnan(m->prefill_s) && isnan(m->decode_s)) {
        fputs("\n  no measured times to compare with: they need a trace of `radial run` replayed "
              "as recorded\n",
              to);
        return;
    }
    fprintf(to, "\n  %-22s %14s %14s %13s\n", "", "predicted", "measured", "error");
    fprintf(to, "  %-22s %14s %14s %13s\n", "prefill", si(a, s->result->prefill_s, "s"),
            si(b, m->prefill_s, "s"), plain(c, m->prefill_error_frac, ""));
    fprintf(to, "  %-22s %14s %14s %13s\n", "decode", si(a, s->result->decode_s, "s"),
            si(b, m->decode_s, "s"), plain(c, m->decode_error_frac, ""));
}

static void print_notes(const struct rad_replay_result *r, FILE *to)
{
    if (r->device_memory_frac > 1.0)
        fputs("\n  Does not fit into the memory of a device: what it would cost if it did.\n", to);
    if (r->transplanted)
        fputs("\n  The routing of another model: what it would cost, not how well it would do.\n",
              to);
    if (r->kv_recomputed && isfinite(r->nll))
        fputs("\n  Keys were counted again: the quality is that of the recorded KV semantics.\n",
              to);
    if (r->resampled)
        fputs("\n  Sequences were repeated to fill the batch: it diverges less than a real one.\n",
              to);
}

void rad_replay_summary_print(const struct rad_replay_summary *s, FILE *to)
{
    print_head(s, to);
    print_comparison(s->result, s->info->card.n_layer, to);
    print_times(s->result, to);
    print_measured(s, to);
    print_notes(s->result, to);
}
