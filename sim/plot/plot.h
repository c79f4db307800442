/* plot.h - pictures of results databases and traces, drawn by gnuplot.
 *
 * A kind of plot is one file plot_<kind>.c and one row of plots.def: it asks the database, writes
 * a table (NAME.tsv) and a gnuplot script (NAME.gp) beside the picture NAME.svg or NAME.png, and
 * gnuplot draws it. `gnuplot NAME.gp` in that folder draws the picture again. Colours are those of
 * Okabe & Ito (2008), which colour-blind readers can tell apart. */
#ifndef RAD_PLOT_H
#define RAD_PLOT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* What to draw. Columns are those of view `results`; NULL: what the kind does by itself. */
struct rad_plot_request {
    const char *const *input; /* [n_input] databases */
    size_t n_input;
    const char *kind;   /* a row of plots.def */
    const char *output; /* ends in .svg or .png; replaced as a whole */
    const char *x, *y, *color;
    const char *where; /* an SQL expression over the columns; run read-only */
    const char *title;
};

#define RAD_PLOT_NOTE 256
struct rad_plot_report {
    int64_t rows;             /* of the table that was drawn */
    char note[RAD_PLOT_NOTE]; /* what was left out and why; "" */
};

/* errors: RAD_E_ARG (unknown kind, column or ending; an option that the kind does not have),
 * RAD_E_RANGE (nothing to draw), RAD_E_DB (where is no SQL), RAD_E_IO (gnuplot is missing or
 * failed), those of opening the inputs */
RAD_MUST_CHECK enum rad_status rad_plot_draw(const struct rad_plot_request *request,
                                             struct rad_plot_report *out, struct rad_err *err);

struct rad_plot_kind {
    const char *name, *summary;
};
/* The kinds in order of plots.def. */
const struct rad_plot_kind *rad_plot_kinds(size_t *n);

#endif
