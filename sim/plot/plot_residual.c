/* plot_residual.c - how much each sublayer adds to the residual stream: boxes per layer of a trace,
 * or, of several traces, boxes per trace with all layers together.
 *
 * With x the input of a sublayer and f its output (dynamic-depth.md, 1.1): ratio_in = |f| / |x|,
 * ratio_out = |f| / |x + f|, from a = |x|^2, b = |f|^2, c = x.f of every visit in the trace. */
#include "plot/chart.h"

#include "base/stat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_QUANTILE = 5, MAX_TRACE = 16, ALL_LAYERS = -1 };
static const double quantiles[N_QUANTILE] = {0.10, 0.25, 0.50, 0.75, 0.90};

struct residual {
    const rad_trace *trace; /* the one at hand */
    const struct rad_traces *traces;
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

/* The ratios of a sublayer of a layer, or of all, into r->sample. */
static size_t collect(struct residual *r, int32_t layer, int sublayer)
{
    const struct rad_hop_rec *hops = rad_trace_hops(r->trace);
    const struct rad_hop_stat *stats = rad_trace_stats(r->trace);
    size_t n = 0;
    for (int64_t i = 0; i < rad_trace_n_hop(r->trace); i++) {
        const bool asked = layer == ALL_LAYERS || hops[i].layer == layer;
        const double x = asked ? ratio(r, &stats[i], sublayer) : HUGE_VAL;
        if (isfinite(x))
            r->sample[n++] = x;
    }
    return n;
}

/* Boxes at x: attention and MLP of a layer, or of all. */
static void write_boxes(struct residual *r, int32_t layer, int x, struct rad_buf *table)
{
    static const char *const names[] = {"attention", "MLP"};
    for (int k = 0; k < 2; k++) {
        const size_t n = collect(r, layer, k);
        if (n == 0)
            continue;
        rad_sort_doubles(r->sample, n);
        rad_buf_printf(table, "%d\t%d", x, k);
        for (int q = 0; q < N_QUANTILE; q++) {
            const double value = rad_quantile(r->sample, n, quantiles[q]);
            rad_buf_printf(table, "\t%.8g", value);
            r->min = fmin(r->min, value);
            r->max = fmax(r->max, value);
        }
        rad_buf_printf(table, "\t%zu\t%s\t", n, names[k]);
        rad_chart_field(table, rad_trace_run(r->trace)->card.name);
        rad_buf_add(table, "\n");
        r->n += (int64_t)n;
    }
}

static void write_axis(const struct residual *r, struct rad_buf *s)
{
    const int32_t n_layer = rad_trace_run(r->trace)->card.n_layer;
    const int n = r->traces->n > 1 ? (int)r->traces->n : n_layer;
    rad_buf_printf(s,
                   "set xlabel '%s (box: quartiles and median, whiskers: 10 %% to 90 %%)'\n"
                   "set xrange [-0.7:%g]\n",
                   r->traces->n > 1 ? "model, all its layers" : "layer", n - 0.3);
    if (r->traces->n == 1) {
        rad_buf_printf(s, "set xtics %d\n", n > 48 ? 8 : n > 16 ? 4 : 1);
        return;
    }
    for (size_t i = 0; i < r->traces->n; i++) {
        rad_buf_add(s, i == 0 ? "set xtics (" : ", ");
        rad_chart_quote(s, rad_trace_run(r->traces->trace[i])->card.name);
        rad_buf_printf(s, " %zu%s", i, i + 1 == r->traces->n ? ") noenhanced" : "");
    }
    rad_buf_add(s, n > 5 ? " rotate by -20\n" : "\n");
}

static void write_script(const struct residual *r, const char *title, struct rad_buf *s)
{
    const struct rad_trace_run *run = rad_trace_run(r->trace);
    char text[256];
    rad_chart_axis(s, 'y', r->out ? "ratio_out" : "ratio_in", r->min, r->max);
    rad_buf_printf(s, "set ylabel '%s'\n",
                   r->out ? "residual ratio |f(x)| / |x + f(x)|" : "residual ratio |f(x)| / |x|");
    write_axis(r, s);
    snprintf(text, sizeof text, "%.60s, %.100s",
             r->traces->n > 1 ? "residual ratios of models" : run->card.name, run->policy);
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

static enum rad_status fill_trace(struct residual *r, int at, struct rad_buf *table,
                                  struct rad_err *err)
{
    const int32_t n_layer = rad_trace_run(r->trace)->card.n_layer;
    const int64_t before = r->n;
    if (rad_trace_stats(r->trace) == NULL)
        return rad_fail(err, RAD_E_RANGE,
                        "the trace has no residual statistics; record them with `radial eval"
                        " --stats --trace T.db`");
    r->sample = calloc((size_t)rad_trace_n_hop(r->trace) + 1, sizeof *r->sample);
    if (r->sample == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    if (r->traces->n > 1)
        write_boxes(r, ALL_LAYERS, at, table);
    for (int32_t layer = 0; layer < n_layer && r->traces->n == 1; layer++)
        write_boxes(r, layer, layer, table);
    free(r->sample);
    if (r->n == before)
        return rad_fail(err, RAD_E_RANGE, "the trace's residual statistics are all empty");
    return RAD_OK;
}

enum rad_status rad_plot_residual(struct rad_chart *chart, struct rad_err *err)
{
    struct rad_traces traces;
    struct residual r = {.min = HUGE_VAL, .max = -HUGE_VAL, .traces = &traces};
    enum rad_status status = RAD_OK;
    RAD_TRY(set_measure(&r, chart->request->y, err));
    RAD_TRY(rad_chart_traces(chart, chart->request->n_input > 1 ? MAX_TRACE : 1, &traces, err));
    rad_buf_add(&chart->table, "x\tsublayer_id\tp10\tp25\tp50\tp75\tp90\tn\tsublayer\tmodel\n");
    for (size_t i = 0; i < traces.n && status == RAD_OK; i++) {
        r.trace = traces.trace[i];
        status = fill_trace(&r, (int)i, &chart->table, err);
    }
    if (status == RAD_OK)
        write_script(&r, chart->request->title, &chart->script);
    chart->report->rows = r.n;
    rad_chart_traces_free(&traces);
    return status;
}
