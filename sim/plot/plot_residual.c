/* plot_residual.c - how much each sublayer adds to the residual stream, as boxes per layer.
 *
 * With x the input of a sublayer and f its output (dynamic-depth.md, 1.1): ratio_in = |f| / |x|,
 * ratio_out = |f| / |x + f|, from a = |x|^2, b = |f|^2, c = x.f of every visit in the trace. */
#include "plot/chart.h"

#include "base/stat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_QUANTILE = 5 };
static const double quantiles[N_QUANTILE] = {0.10, 0.25, 0.50, 0.75, 0.90};

struct residual {
    const rad_trace *trace;
    bool out;        /* ratio_out */
    double *sample;  /* [n_hop] scratch */
    double min, max; /* of what is drawn */
    int64_t n;
};

static double ratio(const struct residual *r, const struct rad_hop_stat *stat, int sublayer)
{
    const double a = sublayer == 0 ? (double)stat->a_attn : (double)stat->a_mlp;
    const double b = sublayer == 0 ? (double)stat->b_attn : (double)stat->b_mlp;
    const double c = sublayer == 0 ? (double)stat->c_attn : (double)stat->c_mlp;
    return sqrt(b / (r->out ? a + b + 2 * c : a));
}

/* The ratios of a sublayer of a layer into r->sample. */
static size_t collect(struct residual *r, int32_t layer, int sublayer)
{
    const struct rad_hop_rec *hops = rad_trace_hops(r->trace);
    const struct rad_hop_stat *stats = rad_trace_stats(r->trace);
    size_t n = 0;
    for (int64_t i = 0; i < rad_trace_n_hop(r->trace); i++) {
        const double x = hops[i].layer == layer ? ratio(r, &stats[i], sublayer) : HUGE_VAL;
        if (isfinite(x))
            r->sample[n++] = x;
    }
    return n;
}

static void write_table(struct residual *r, struct rad_buf *table)
{
    static const char *const names[] = {"attention", "MLP"};
    rad_buf_add(table, "layer\tsublayer_id\tp10\tp25\tp50\tp75\tp90\tn\tsublayer\n");
    for (int32_t layer = 0; layer < rad_trace_run(r->trace)->card.n_layer; layer++)
        for (int k = 0; k < 2; k++) {
            const size_t n = collect(r, layer, k);
            if (n == 0)
                continue;
            rad_sort_doubles(r->sample, n);
            rad_buf_printf(table, "%d\t%d", layer, k);
            for (int q = 0; q < N_QUANTILE; q++) {
                const double x = rad_quantile(r->sample, n, quantiles[q]);
                rad_buf_printf(table, "\t%.8g", x);
                r->min = fmin(r->min, x);
                r->max = fmax(r->max, x);
            }
            rad_buf_printf(table, "\t%zu\t%s\n", n, names[k]);
            r->n += (int64_t)n;
        }
}

static void write_script(const struct residual *r, const char *title, struct rad_buf *s)
{
    const struct rad_trace_run *run = rad_trace_run(r->trace);
    char text[256];
    rad_chart_axis(s, 'y', r->out ? "ratio_out" : "ratio_in", r->min, r->max);
    rad_buf_printf(s,
                   "set ylabel '%s'\nset xlabel 'layer (box: quartiles and median,"
                   " whiskers: 10 %% to 90 %%)'\nset xrange [-0.7:%g]\n",
                   r->out ? "residual ratio |f(x)| / |x + f(x)|" : "residual ratio |f(x)| / |x|",
                   run->card.n_layer - 0.3);
    rad_buf_printf(s, "set xtics %d\n",
                   run->card.n_layer > 48   ? 8
                   : run->card.n_layer > 16 ? 4
                                            : 1);
    snprintf(text, sizeof text, "%.60s, %.100s", run->card.name, run->policy);
    rad_buf_add(s, "set title ");
    rad_chart_quote(s, title != NULL ? title : text);
    rad_buf_add(s, " noenhanced\nset boxwidth 0.34\nset bars 0.4\nplot ");
    for (int k = 0; k < 2; k++)
        rad_buf_printf(s,
                       "%sdata skip 1 using ($2 == %d ? $1 %s : NaN):4:3:7:6 with candlesticks"
                       " whiskerbars 0.5 linecolor rgb '%s' linewidth 0.9 fillstyle solid 0.35"
                       " border title '%s', \\\n  data skip 1 using ($2 == %d ? $1 %s :"
                       " NaN):5:5:5:5 with candlesticks linecolor rgb '%s' linewidth 2 notitle",
                       k > 0 ? ", \\\n  " : "", k, k == 0 ? "- 0.2" : "+ 0.2", rad_plot_colors[k],
                       k == 0 ? "attention" : "MLP", k, k == 0 ? "- 0.2" : "+ 0.2",
                       rad_plot_colors[k]);
    rad_buf_add(s, "\n");
}

static enum rad_status set_measure(struct residual *r, const char *y, struct rad_err *err)
{
    r->out = y != NULL && strcmp(y, "ratio_out") == 0;
    if (y == NULL || r->out || strcmp(y, "ratio_in") == 0)
        return RAD_OK;
    return rad_fail(err, RAD_E_ARG, "--y: expected ratio_in or ratio_out but found '%s'", y);
}

static enum rad_status fill(struct residual *r, struct rad_chart *chart, struct rad_err *err)
{
    if (rad_trace_stats(r->trace) == NULL)
        return rad_fail(err, RAD_E_RANGE,
                        "the trace has no residual statistics; record them with `radial eval"
                        " --stats --trace T.db`");
    r->sample = calloc((size_t)rad_trace_n_hop(r->trace) + 1, sizeof *r->sample);
    if (r->sample == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    write_table(r, &chart->table);
    if (r->n == 0)
        return rad_fail(err, RAD_E_RANGE, "the trace's residual statistics are all empty");
    write_script(r, chart->request->title, &chart->script);
    chart->report->rows = r->n;
    return RAD_OK;
}

enum rad_status rad_plot_residual(struct rad_chart *chart, struct rad_err *err)
{
    struct rad_traces traces;
    struct residual r = {.min = HUGE_VAL, .max = -HUGE_VAL};
    RAD_TRY(set_measure(&r, chart->request->y, err));
    RAD_TRY(rad_chart_traces(chart, 1, &traces, err));
    r.trace = traces.trace[0];
    const enum rad_status status = fill(&r, chart, err);
    free(r.sample);
    rad_chart_traces_free(&traces);
    return status;
}
