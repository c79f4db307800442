/* label.c - axes: what a column is called in a picture, its range, scale and numbers. */
#include "plot/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *column, *label;
} labels[] = {
    {"nll", "negative log-likelihood (nats per token)"},
    {"usd_per_mtok", "price (USD per million tokens)"},
    {"j_per_token", "energy (J per token)"},
    {"energy_j", "energy of the run (J)"},
    {"latency_s", "time of the run (s)"},
    {"tpot_s", "time per output token (s)"},
    {"ttft_s", "time to first token (s)"},
    {"tokens_per_s", "throughput (tokens/s)"},
    {"depth_frac", "depth (share of the layers)"},
    {"mean_depth", "layers per token"},
    {"speedup", "speedup over dense"},
    {"flop_frac", "FLOP (share of dense)"},
    {"weight_bytes_frac", "weight traffic (share of dense)"},
    {"layer_weight_bytes_frac", "weight traffic of the layers (share of dense)"},
    {"layer_loads_per_step", "layer loads per step"},
    {"batch", "batch (sequences)"},
    {"params", "parameters"},
    {"n_layer", "layers"},
    {"card", "model"},
    {"hw", "hardware"},
    {"dtype", "number format"},
};

const char *rad_chart_label(const char *column, char *out, size_t size)
{
    const char *unit = rad_store_unit(column);
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (strcmp(labels[i].column, column) == 0)
            return labels[i].label;
    snprintf(out, size, unit[0] != '\0' ? "%s (%s)" : "%s", column, unit);
    return out;
}

bool rad_chart_more_is_better(const char *column)
{
    return strcmp(column, "tokens_per_s") == 0 || strcmp(column, "speedup") == 0;
}

/* Plain numbers where they are short, else powers of ten. */
static const char *format(double min, double max, bool log)
{
    if (log)
        return min < 0.9e-3 || max > 2e4 ? "10^{%L}" : "%g";
    return max < 0.9e-3 || max > 2e4 ? "%h" : "%g";
}

void rad_chart_axis(struct rad_buf *script, char axis, const char *column, double min, double max)
{
    char text[128];
    const bool log = min > 0 && max > 20 * min;
    const double gap = max > min ? max - min : fabs(max) > 0 ? fabs(max) : 1;
    const double low = log ? min / pow(max / min, 0.04) : min - 0.05 * gap;
    const double high = log ? max * pow(max / min, 0.04) : max + 0.05 * gap;
    rad_buf_printf(script, "set %clabel ", axis);
    rad_chart_quote(script, rad_chart_label(column, text, sizeof text));
    rad_buf_printf(
        script, " noenhanced\nset %crange [%.10g:%.10g]\nset format %c '%s'\nset %ctics enhanced\n",
        axis, low, high, axis, format(min, max, log), axis);
    if (log)
        rad_buf_printf(script, "set logscale %c\n", axis);
}
