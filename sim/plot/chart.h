/* chart.h - private to plot: a picture in the making, and what plots share. */
#ifndef RAD_PLOT_CHART_H
#define RAD_PLOT_CHART_H

#include "base/buf.h"
#include "plot/plot.h"
#include "store/store.h"

#include <stdbool.h>

enum { RAD_OPT_X = 1, RAD_OPT_Y = 2, RAD_OPT_COLOR = 4, RAD_OPT_WHERE = 8 };

/* The plot function fills table (tab-separated, a header line first) and script, which finds the
 * terminal, `data`, colours `C[1..8]`, shapes `P[1..6]`, `PS` to multiply point sizes by and
 * `font(points)` set up (gnuplot.c). Texts must be noenhanced, as '_' is common in names. */
struct rad_chart {
    const struct rad_plot_request *request;
    struct rad_plot_report *report;
    struct rad_buf table, script;
};

#define RAD_PLOT(name, options, summary)                                                           \
    enum rad_status rad_plot_##name(struct rad_chart *chart, struct rad_err *err);
#include "plot/plots.def"
#undef RAD_PLOT

enum { RAD_N_COLOR = 8, RAD_N_SHAPE = 6 };
extern const char *const rad_plot_colors[RAD_N_COLOR]; /* "#0072B2": Okabe & Ito, best first */

/* ---- gnuplot.c ------------------------------------------------------------------------- */

/* Write the table, the script and the picture beside each other. */
RAD_MUST_CHECK enum rad_status rad_chart_draw(struct rad_chart *chart, struct rad_err *err);

/* Append text as a gnuplot string: 'it''s'. */
void rad_chart_quote(struct rad_buf *script, const char *text);

/* Append a field of the table: no tabs or line ends, "-" if empty. */
void rad_chart_field(struct rad_buf *table, const char *text);
void rad_chart_number(struct rad_buf *table, double value); /* NaN for NaN */

/* ---- label.c --------------------------------------------------------------------------- */

/* "price (USD per million tokens)" for usd_per_mtok; else the name and its unit. Into out. */
const char *rad_chart_label(const char *column, char *out, size_t size);

/* Set label, range, format and (if it spans more than 20 times) a log scale for axis 'x' or 'y'. */
void rad_chart_axis(struct rad_buf *script, char axis, const char *column, double min, double max);

/* Larger values of this column are better. */
bool rad_chart_more_is_better(const char *column);

/* ---- rows.c ---------------------------------------------------------------------------- */

/* Check that column is one of view `results`. errors: RAD_E_ARG with the nearest */
RAD_MUST_CHECK enum rad_status rad_chart_column(rad_db *db, const char *column,
                                                struct rad_err *err);

/* Append " AND (where)" if there is one. */
void rad_chart_where(struct rad_buf *sql, const char *where);

/* Texts numbered from 0 in order of appearance. */
struct rad_names {
    char **name; /* [n] */
    size_t n, cap;
};
/* The number of text; SIZE_MAX without memory. */
size_t rad_names_add(struct rad_names *names, const char *text);
void rad_names_free(struct rad_names *names);

/* The traces behind a request: its inputs that are traces, or those that its results databases
 * list (at most max of all, each once). Free with rad_chart_traces_free. */
struct rad_traces {
    rad_trace **trace; /* [n] */
    char **name;       /* [n] "radial:budget=0.5" */
    size_t n;
};
RAD_MUST_CHECK enum rad_status rad_chart_traces(const struct rad_chart *chart, size_t max,
                                                struct rad_traces *out, struct rad_err *err);
void rad_chart_traces_free(struct rad_traces *traces);

#endif
