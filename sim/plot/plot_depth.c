/* plot_depth.c - how deep tokens go, and where: a histogram of layers per token beside the share of
 * tokens that are at a layer at their h-th visit, one such panel per trace. */
#include "plot/chart.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_TRACE = 4, MAX_HOP = 64 };

/* Counts of one trace. */
struct counts {
    int64_t *half;  /* [n_half] tokens with half a layer, a layer, one and a half ... */
    int64_t *visit; /* [MAX_HOP][n_layer] */
    int64_t n_token;
    int32_t n_half, n_layer, n_hop;
    bool halves; /* some token ran an odd number of sublayers */
};

static int is_set(uint16_t flags, int flag)
{
    return (flags & flag) != 0;
}

/* Sublayers that a token ran. */
static int32_t sublayers(const struct rad_trace_token *token, const struct rad_hop_rec *hops)
{
    int32_t n = 0;
    for (int32_t i = 0; i < token->n_hop; i++) {
        const uint16_t flags = hops[token->hop_first + i].flags;
        n += is_set(flags, RAD_HOP_ATTN) + is_set(flags, RAD_HOP_MLP);
    }
    return n;
}

static void count_visits(struct counts *c, const struct rad_trace_token *token,
                         const struct rad_hop_rec *hops)
{
    int32_t hop = 0;
    for (int32_t i = 0; i < token->n_hop && hop < MAX_HOP; i++) {
        const struct rad_hop_rec *rec = &hops[token->hop_first + i];
        if (is_set(rec->flags, RAD_HOP_ATTN | RAD_HOP_MLP) && rec->layer < c->n_layer)
            c->visit[(int64_t)hop++ * c->n_layer + rec->layer]++;
    }
    c->n_hop = hop > c->n_hop ? hop : c->n_hop;
}

static enum rad_status count(struct counts *c, const rad_trace *trace, struct rad_err *err)
{
    const struct rad_trace_token *tokens = rad_trace_tokens(trace);
    const struct rad_hop_rec *hops = rad_trace_hops(trace);
    *c = (struct counts){.n_token = rad_trace_n_token(trace),
                         .n_layer = rad_trace_run(trace)->card.n_layer};
    for (int64_t i = 0; i < c->n_token; i++) {
        const int32_t n = sublayers(&tokens[i], hops);
        c->n_half = n + 1 > c->n_half ? n + 1 : c->n_half;
        c->halves = c->halves || n % 2 != 0;
    }
    c->half = calloc((size_t)c->n_half + 1, sizeof *c->half);
    c->visit = calloc((size_t)MAX_HOP * (size_t)c->n_layer, sizeof *c->visit);
    if (c->half == NULL || c->visit == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    for (int64_t i = 0; i < c->n_token; i++) {
        c->half[sublayers(&tokens[i], hops)]++;
        count_visits(c, &tokens[i], hops);
    }
    return RAD_OK;
}

static void free_counts(struct counts *c)
{
    free(c->half);
    free(c->visit);
}

/* ---- table: part 0 is the histogram, part 1 the visits --------------------------------- */

static void write_table(const struct counts *c, size_t trace, const char *name,
                        struct rad_buf *table)
{
    const double tokens = c->n_token > 0 ? (double)c->n_token : 1;
    for (int32_t h = 0; h < c->n_half; h++)
        if (c->half[h] > 0) {
            rad_buf_printf(table, "0\t%zu\t%g\tNaN\tNaN\t%.8g\t", trace, h / 2.0,
                           (double)c->half[h] / tokens);
            rad_chart_field(table, name);
            rad_buf_add(table, "\n");
        }
    for (int32_t hop = 0; hop < c->n_hop; hop++)
        for (int32_t layer = 0; layer < c->n_layer; layer++) {
            const int64_t n = c->visit[(int64_t)hop * c->n_layer + layer];
            if (n == 0)
                continue;
            rad_buf_printf(table, "1\t%zu\tNaN\t%d\t%d\t%.8g\t", trace, hop + 1, layer,
                           (double)n / tokens);
            rad_chart_field(table, name);
            rad_buf_add(table, "\n");
        }
}

/* ---- script ---------------------------------------------------------------------------- */

struct picture {
    const struct rad_traces *traces;
    struct counts counts[MAX_TRACE];
};

static void write_histogram(const struct picture *p, struct rad_buf *s)
{
    const size_t n = p->traces->n;
    double bin = 1, most = 1;
    for (size_t i = 0; i < n; i++) {
        bin = p->counts[i].halves ? 0.5 : bin;
        most = p->counts[i].n_half / 2.0 > most ? p->counts[i].n_half / 2.0 : most;
    }
    const double width = 0.84 * bin / (double)n;
    rad_buf_printf(s,
                   "set lmargin at screen 0.09\nset rmargin at screen 0.50\n"
                   "set tmargin at screen %g\nset bmargin at screen 0.14\n"
                   "set xlabel 'layers executed per token'\nset ylabel 'share of tokens'\n"
                   "set xrange [-0.6:%g]\nset yrange [0:*]\nset format y '%%g'\n"
                   "set key at screen 0.09,0.975 left top Left reverse horizontal maxrows %zu"
                   " width 2 noenhanced\nplot ",
                   0.93 - 0.048 * (double)n, most + 0.1, n);
    for (size_t i = 0; i < n; i++) {
        const double shift = ((double)i - 0.5 * (double)(n - 1)) * width;
        char title[160];
        rad_buf_printf(s,
                       "%sdata skip 1 using ($1 == 0 && $2 == %zu ? $3 + %.4g : NaN):6:(%.4g) with"
                       " boxes linecolor rgb '%s' title ",
                       i > 0 ? ", \\\n  " : "", i, shift, width, rad_plot_colors[i]);
        snprintf(title, sizeof title, "%.100s (mean %.2f of %d)", p->traces->name[i],
                 rad_trace_mean_depth(p->traces->trace[i]), p->counts[i].n_layer);
        rad_chart_quote(s, title);
    }
    rad_buf_add(s, "\n");
}

/* A step that gives about eight tics on the whole height, fewer on a part of it. */
static int tic_step(int32_t values, size_t n_panel)
{
    static const int steps[] = {1, 2, 4, 8, 16, 32, 64, 128};
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] &&
           (double)values / steps[i] > 9.0 / (double)n_panel)
        i++;
    return steps[i];
}

/* Panels of visits from top to bottom; only the lowest has its axis named. */
static void write_visits(const struct picture *p, size_t i, int32_t n_hop, struct rad_buf *s)
{
    const size_t n = p->traces->n;
    const double height = (0.93 - 0.14) / (double)n, top = 0.93 - height * (double)i;
    const bool last = i + 1 == n;
    rad_buf_printf(s,
                   "unset key\nset lmargin at screen 0.605\nset rmargin at screen 0.88\n"
                   "set tmargin at screen %g\nset bmargin at screen %g\n"
                   "set xlabel '%s'\nset ylabel '%s'\nset xrange [0.4:%g]\nset yrange [-0.6:%g]\n"
                   "set cbrange [0:1]\nset palette defined (0 '#f3f6fa', 0.25 '#9ecae1',"
                   " 0.6 '#2f7fb8', 1 '#08306b')\n%s\nset cblabel 'share of tokens'\n"
                   "set format x '%s'\nset ytics %d\nset xtics %d\n",
                   top - (i > 0 ? 0.025 : 0), last ? 0.14 : top - height + 0.025,
                   last ? "visit of a token (hop)" : "", n > 1 ? "" : "layer", n_hop + 0.6,
                   p->counts[i].n_layer - 0.4,
                   i == 0 ? "set colorbox user origin screen 0.895,0.14 size screen 0.016,0.79"
                          : "unset colorbox",
                   last ? "%g" : "", tic_step(p->counts[i].n_layer, n), tic_step(n_hop, 1));
    if (n > 1) {
        rad_buf_printf(s, "set label 1 'layer' at screen 0.548,%g center rotate\n",
                       top - height / 2);
        rad_buf_printf(s,
                       "set object 9 rectangle at screen 0.565,%g size screen 0.011,%g fillcolor"
                       " rgb '%s' fillstyle solid noborder\n",
                       top - height / 2, 0.5 * height, rad_plot_colors[i]);
    }
    rad_buf_printf(s,
                   "plot data skip 1 using ($1 == 1 && $2 == %zu ? $4 : NaN):5:($4-0.46):($4+0.46)"
                   ":($5-0.44):($5+0.44):6 with boxxyerror fillcolor palette notitle\n"
                   "unset label 1\nunset object 9\n",
                   i);
}

static void write_script(const struct picture *p, const char *title, struct rad_buf *s)
{
    int32_t n_hop = 1;
    for (size_t i = 0; i < p->traces->n; i++)
        n_hop = p->counts[i].n_hop > n_hop ? p->counts[i].n_hop : n_hop;
    rad_buf_add(s, "set multiplot\n");
    if (title != NULL) {
        rad_buf_add(s, "set label 2 ");
        rad_chart_quote(s, title);
        rad_buf_add(s, " at screen 0.745,0.965 center noenhanced\n");
    }
    write_histogram(p, s);
    rad_buf_add(s, "unset label 2\nunset grid\nset format y '%g'\n");
    for (size_t i = 0; i < p->traces->n; i++)
        write_visits(p, i, n_hop, s);
    rad_buf_add(s, "unset multiplot\n");
}

enum rad_status rad_plot_depth(struct rad_chart *chart, struct rad_err *err)
{
    struct rad_traces traces;
    struct picture p = {.traces = &traces};
    RAD_TRY(rad_chart_traces(chart, MAX_TRACE, &traces, err));
    enum rad_status status = RAD_OK;
    rad_buf_add(&chart->table, "part\ttrace_id\tdepth\thop\tlayer\ttoken_frac\tpolicy\n");
    for (size_t i = 0; i < traces.n && status == RAD_OK; i++) {
        status = count(&p.counts[i], traces.trace[i], err);
        if (status == RAD_OK)
            write_table(&p.counts[i], i, traces.name[i], &chart->table);
        chart->report->rows += p.counts[i].n_token;
    }
    if (status == RAD_OK)
        write_script(&p, chart->request->title, &chart->script);
    if (traces.n == MAX_TRACE)
        snprintf(chart->report->note, sizeof chart->report->note,
                 "at most %d traces are drawn; choose with --where", MAX_TRACE);
    for (size_t i = 0; i < traces.n; i++)
        free_counts(&p.counts[i]);
    rad_chart_traces_free(&traces);
    return status;
}
