/* plot_heatmap.c - the mean of a column over two others: by default speedup over depth and model.
 *
 * Ratios to dense have two colours that meet at 1; other columns have one scale (cividis, Nunez,
 * Anderton & Renslow 2018), which reads the same to colour-blind eyes and in print. */
#include "plot/chart.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CELL = 4096, MAX_SIDE = 64 };

struct cell {
    size_t x, y;
    double value;
    int64_t n;
};

struct heatmap {
    const char *x, *y, *value;
    struct cell cell[MAX_CELL];
    size_t n;
    int64_t rows;
    struct rad_names xs, ys;
    double min, max;
};

/* A column as a category: numbers that vary freely are put into bins of 0.05. */
static const char *category(const char *column, char *out, size_t size)
{
    const bool bins = strcmp(column, "depth_frac") == 0;
    snprintf(out, size, bins ? "printf('%%.2f', round(\"%s\" * 20) / 20)" : "\"%s\"", column);
    return out;
}

/* Models in order of their size, all else in its own order. */
static const char *order(const char *column, char *out, size_t size)
{
    snprintf(out, size, strcmp(column, "card") == 0 ? "min(params)" : "min(\"%s\")", column);
    return out;
}

/* Categories in order on each axis first, then the cells. */
static void write_sql(struct rad_buf *sql, const struct heatmap *h, const char *where)
{
    char x[96], y[96], by[96];
    category(h->x, x, sizeof x);
    category(h->y, y, sizeof y);
    rad_buf_printf(sql,
                   "WITH q AS (SELECT *, %s AS cx, %s AS cy, \"%s\" AS v FROM results WHERE v IS"
                   " NOT NULL AND cx IS NOT NULL AND cy IS NOT NULL",
                   x, y, h->value);
    rad_chart_where(sql, where);
    rad_buf_printf(sql,
                   ") SELECT * FROM (SELECT 0, cx, '', 0, 0 FROM q GROUP BY cx ORDER BY %s, cx)",
                   order(h->x, by, sizeof by));
    rad_buf_printf(sql,
                   " UNION ALL SELECT * FROM (SELECT 1, cy, '', 0, 0 FROM q GROUP BY cy"
                   " ORDER BY %s, cy)"
                   " UNION ALL SELECT 2, cx, cy, avg(v), count(*) FROM q GROUP BY cx, cy",
                   order(h->y, by, sizeof by));
}

static enum rad_status add_row(struct heatmap *h, sqlite3_stmt *stmt, struct rad_err *err)
{
    const int64_t part = rad_db_column_int(stmt, 0);
    const size_t first = rad_names_add(part == 1 ? &h->ys : &h->xs, rad_db_column_text(stmt, 1));
    const size_t y = part == 2 ? rad_names_add(&h->ys, rad_db_column_text(stmt, 2)) : 0;
    if (first == SIZE_MAX || y == SIZE_MAX)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    if (h->xs.n > MAX_SIDE || h->ys.n > MAX_SIDE)
        return rad_fail(err, RAD_E_RANGE, "'%s' has more than %d different values",
                        h->xs.n > MAX_SIDE ? h->x : h->y, MAX_SIDE);
    if (part != 2)
        return RAD_OK;
    const double value = rad_db_column_real(stmt, 3);
    h->cell[h->n++] = (struct cell){first, y, value, rad_db_column_int(stmt, 4)};
    h->rows += rad_db_column_int(stmt, 4);
    h->min = fmin(h->min, value);
    h->max = fmax(h->max, value);
    return RAD_OK;
}

static enum rad_status read_rows(struct heatmap *h, rad_db *db, const char *where,
                                 struct rad_err *err)
{
    struct rad_buf sql = {0};
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    write_sql(&sql, h, where);
    enum rad_status status = sql.failed ? rad_fail(err, RAD_E_NOMEM, "plot: out of memory")
                                        : rad_db_prepare(db, &stmt, sql.data, err);
    rad_buf_free(&sql);
    if (status != RAD_OK)
        return status;
    while ((status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row)
        if ((status = add_row(h, stmt, err)) != RAD_OK)
            break;
    rad_db_finalize(stmt);
    if (status == RAD_OK && h->n == 0)
        status = rad_fail(err, RAD_E_RANGE, "no row has '%s', '%s' and '%s'%s", h->x, h->y,
                          h->value, where != NULL ? " where the condition holds" : "");
    return status;
}

/* ---- table and script ------------------------------------------------------------------ */

static bool is_ratio(const char *column)
{
    return strcmp(column, "speedup") == 0 || strcmp(column, "flop_frac") == 0 ||
           strcmp(column, "weight_bytes_frac") == 0 ||
           strcmp(column, "layer_weight_bytes_frac") == 0;
}

/* Where a value lies on the colour scale, 0..1; ratios by their logarithm around 1. */
static double shade(const struct heatmap *h, double value)
{
    if (is_ratio(h->value)) {
        const double reach = fmax(fmax(fabs(log(h->min)), fabs(log(h->max))), log(1.1));
        return 0.5 + 0.5 * log(value) / reach;
    }
    return h->max > h->min ? (value - h->min) / (h->max - h->min) : 0.5;
}

/* Dark fields get white digits. */
static bool is_dark(const struct heatmap *h, double value)
{
    const double at = shade(h, value);
    return is_ratio(h->value) ? fabs(at - 0.5) > 0.33 : at < 0.5;
}

static void write_table(const struct heatmap *h, struct rad_buf *table)
{
    rad_buf_printf(table, "x_id\ty_id\t%s\tn\tdark\t%s\t%s\n", h->value, h->x, h->y);
    for (size_t i = 0; i < h->n; i++) {
        const struct cell *cell = &h->cell[i];
        rad_buf_printf(table, "%zu\t%zu\t", cell->x, cell->y);
        rad_chart_number(table, cell->value);
        rad_buf_printf(table, "\t%lld\t%d\t", (long long)cell->n, is_dark(h, cell->value));
        rad_chart_field(table, h->xs.name[cell->x]);
        rad_buf_add(table, "\t");
        rad_chart_field(table, h->ys.name[cell->y]);
        rad_buf_add(table, "\n");
    }
}

static void write_tics(struct rad_buf *s, char axis, const struct rad_names *names)
{
    size_t longest = 0;
    for (size_t i = 0; i < names->n; i++)
        longest = strlen(names->name[i]) > longest ? strlen(names->name[i]) : longest;
    rad_buf_printf(s, "set %ctics scale 0%s (", axis,
                   axis == 'x' && longest * names->n > 70 ? " rotate by -35" : "");
    for (size_t i = 0; i < names->n; i++) {
        rad_buf_add(s, i > 0 ? ", " : "");
        rad_chart_quote(s, names->name[i]);
        rad_buf_printf(s, " %zu", i);
    }
    rad_buf_printf(s, ")\nset %crange [-0.5:%g]\n", axis, (double)names->n - 0.5);
}

static void write_colors(const struct heatmap *h, struct rad_buf *s)
{
    if (!is_ratio(h->value)) {
        rad_buf_printf(s,
                       "set palette defined (0 '#00224e', 1 '#123570', 2 '#3b496c', 3 '#575d6d',"
                       " 4 '#707173', 5 '#8a8678', 6 '#a59c74', 7 '#c3b369', 8 '#e1cc55',"
                       " 9 '#fee838')\nset cbrange [%.10g:%.10g]\nset format cb '%%g'\n",
                       h->min, h->max > h->min ? h->max : h->min + 1);
        return;
    }
    const double reach = exp(fmax(fmax(fabs(log(h->min)), fabs(log(h->max))), log(1.1)));
    const bool more = rad_chart_more_is_better(h->value);
    rad_buf_printf(s,
                   "set palette defined (0 '%s', 1 '%s', 2 '#f7f7f7', 3 '%s', 4 '%s')\n"
                   "set logscale cb 2\nset cbrange [%.10g:%.10g]\nset cbtics (0.02, 0.05, 0.1, "
                   "0.2, 0.5, 0.7, 1,"
                   " 1.4, 2, 5, 10, 20, 50)\n"
                   "set format cb '%%g'\n",
                   more ? "#a44a00" : "#00507f", more ? "#eba45d" : "#62aede",
                   more ? "#62aede" : "#eba45d", more ? "#00507f" : "#a44a00", 1 / reach, reach);
}

static void write_script(const struct heatmap *h, const char *title, struct rad_buf *s)
{
    char text[160];
    const double most = (double)(h->xs.n > 2 * h->ys.n ? h->xs.n : 2 * h->ys.n);
    const int font = most > 48 ? 11 : most > 32 ? 13 : most > 20 ? 16 : 20;
    snprintf(text, sizeof text, "mean over %lld design points", (long long)h->rows);
    rad_buf_add(s, "set title ");
    rad_chart_quote(s, title != NULL ? title : text);
    rad_buf_add(
        s,
        " noenhanced\nunset grid\nunset key\nset border 0\nset object 1 rectangle from graph 0,0 to"
        " graph 1,1 behind fillcolor rgb '#e8e8e8' fillstyle solid noborder\n");
    write_tics(s, 'x', &h->xs);
    write_tics(s, 'y', &h->ys);
    rad_buf_add(s, "set xlabel ");
    rad_chart_quote(s, rad_chart_label(h->x, text, sizeof text));
    rad_buf_add(s, " noenhanced\nset ylabel ");
    rad_chart_quote(s, rad_chart_label(h->y, text, sizeof text));
    rad_buf_add(s, " noenhanced\nset cblabel ");
    rad_chart_quote(s, rad_chart_label(h->value, text, sizeof text));
    rad_buf_add(s, " offset 1.6,0 noenhanced\n");
    write_colors(h, s);
    rad_buf_printf(s,
                   "plot data skip 1 using 1:2:($1-0.485):($1+0.485):($2-0.48):($2+0.48):3"
                   " with boxxyerror fillcolor palette fillstyle solid noborder notitle, \\\n"
                   "  data skip 1 using 1:2:(sprintf('%%.3g', $3)):($5 == 1 ? 0xffffff : 0x202020)"
                   " with labels font font(%d) textcolor rgb variable noenhanced notitle\n",
                   font);
}

static enum rad_status read_all(struct heatmap *h, const struct rad_plot_request *r,
                                struct rad_err *err)
{
    rad_db *db = NULL;
    if (r->n_input != 1)
        return rad_fail(err, RAD_E_ARG, "plot 'heatmap' takes one results database");
    RAD_TRY(rad_store_read_results(&db, r->input[0], err));
    enum rad_status status = rad_chart_column(db, h->x, err);
    if (status == RAD_OK)
        status = rad_chart_column(db, h->y, err);
    if (status == RAD_OK)
        status = rad_chart_column(db, h->value, err);
    if (status == RAD_OK)
        status = read_rows(h, db, r->where, err);
    rad_db_close(db);
    return status;
}

enum rad_status rad_plot_heatmap(struct rad_chart *chart, struct rad_err *err)
{
    const struct rad_plot_request *r = chart->request;
    struct heatmap *h = calloc(1, sizeof *h);
    if (h == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    h->x = r->x != NULL ? r->x : "depth_frac";
    h->y = r->y != NULL ? r->y : "card";
    h->value = r->color != NULL ? r->color : "speedup";
    h->min = HUGE_VAL;
    h->max = -HUGE_VAL;
    const enum rad_status status = read_all(h, r, err);
    if (status == RAD_OK) {
        write_table(h, &chart->table);
        write_script(h, r->title, &chart->script);
        chart->report->rows = (int64_t)h->n;
        snprintf(chart->report->note, sizeof chart->report->note,
                 "each field is the mean over all its rows, of %lld; narrow with --where",
                 (long long)h->rows);
    }
    rad_names_free(&h->xs);
    rad_names_free(&h->ys);
    free(h);
    return status;
}
