/* plot_pareto.c - rows as points in two columns, and the line that none of them beats.
 *
 * Quality is comparable within one text, phase, rate and number format only (the format's own
 * effect on quality is not measured), so the group with the most rows is drawn and the report says
 * what was left out, and rows that fit into the memory of their machine; --color dtype draws all
 * formats. Colour tells the machine, shape the policy. */
#include "plot/chart.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
    double x, y;
    size_t color, shape;
    char *text;        /* the other fields of its row, tab-separated */
    char *name;        /* "card, policy" */
    const char *label; /* of the frontier: name, or the policy if there is one card; else "" */
    bool frontier, color_frontier; /* of all, of its colour */
};

struct pareto {
    const char *x, *y, *color;
    struct point *point; /* [n] */
    size_t n, cap;
    struct rad_names colors, shapes, cards;
    double min_x, max_x, min_y, max_y;
    char phase[16], dtype[16];
    int64_t all; /* rows before one text, phase and format were chosen */
};

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
}

/* ---- rows ------------------------------------------------------------------------------ */

/* Columns are known names; only --where is the user's, on a connection that cannot write. */
static void write_sql(struct rad_buf *sql, const struct pareto *p, const char *where)
{
    const bool quality = strcmp(p->x, "nll") == 0 || strcmp(p->y, "nll") == 0;
    rad_buf_printf(sql,
                   "WITH q AS (SELECT * FROM %s WHERE \"%s\" IS NOT NULL AND \"%s\" IS NOT NULL"
                   " AND complete_trace = 1 AND device_memory_frac <= 1",
                   quality ? "quality" : "results", p->x, p->y);
    rad_chart_where(sql, where);
    const char *same = strcmp(p->color, "dtype") == 0 ? "text_id, phase, rate"
                                                      : "text_id, phase, rate, dtype";
    rad_buf_printf(sql,
                   "), most AS (SELECT %s FROM q GROUP BY %s"
                   " ORDER BY count(*) DESC, phase, rate DESC, dtype, text_id LIMIT 1)"
                   " SELECT \"%s\", \"%s\", \"%s\", policy_name, policy, hw, card, dtype, batch,"
                   " depth_frac, phase, (SELECT count(*) FROM q)"
                   " FROM q JOIN most USING (%s) ORDER BY 1, 2, key",
                   same, same, p->x, p->y, p->color, same);
}

static enum rad_status add_point(struct pareto *p, sqlite3_stmt *stmt, struct rad_err *err)
{
    struct rad_buf text = {0};
    if (p->n == p->cap) {
        const size_t cap = p->cap > 0 ? 2 * p->cap : 256;
        struct point *more = realloc(p->point, cap * sizeof *more);
        if (more == NULL)
            return no_memory(err);
        p->point = more;
        p->cap = cap;
    }
    for (int i = 4; i < 10; i++) {
        rad_buf_add(&text, "\t");
        rad_chart_field(&text, rad_db_column_text(stmt, i));
    }
    struct rad_buf name = {0};
    const char *color = rad_db_column_text(stmt, 2);
    rad_buf_add(&name, rad_db_column_text(stmt, 6));
    rad_buf_printf(&name, ", %s", rad_db_column_text(stmt, 4));
    const size_t card = rad_names_add(&p->cards, rad_db_column_text(stmt, 6));
    const struct point point = {
        .x = rad_db_column_real(stmt, 0),
        .y = rad_db_column_real(stmt, 1),
        .color = rad_names_add(&p->colors, color[0] != '\0' ? color : "-"),
        .shape = rad_names_add(&p->shapes, rad_db_column_text(stmt, 3)),
        .text = text.data,
        .name = name.data,
        .label = "",
    };
    p->point[p->n++] = point; /* freed with p in any case */
    if (text.failed || name.failed || card == SIZE_MAX || point.color == SIZE_MAX ||
        point.shape == SIZE_MAX)
        return no_memory(err);
    snprintf(p->phase, sizeof p->phase, "%s", rad_db_column_text(stmt, 10));
    snprintf(p->dtype, sizeof p->dtype, "%s",
             strcmp(p->color, "dtype") == 0 ? "all formats" : rad_db_column_text(stmt, 7));
    p->all = rad_db_column_int(stmt, 11);
    return RAD_OK;
}

static enum rad_status read_rows(struct pareto *p, rad_db *db, const char *where,
                                 struct rad_err *err)
{
    struct rad_buf sql = {0};
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    write_sql(&sql, p, where);
    enum rad_status status = sql.failed ? no_memory(err) : rad_db_prepare(db, &stmt, sql.data, err);
    rad_buf_free(&sql);
    if (status != RAD_OK)
        return status;
    while ((status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row)
        if ((status = add_point(p, stmt, err)) != RAD_OK)
            break;
    rad_db_finalize(stmt);
    return status;
}

/* Rows come by rising x, then y: the frontier is where y improves, from the better end of x. Of
 * two such points with the same x the later one is better. color: SIZE_MAX for all. */
static void mark_frontier(struct pareto *p, size_t color)
{
    const bool more_x = rad_chart_more_is_better(p->x), more_y = rad_chart_more_is_better(p->y);
    double best = HUGE_VAL;
    struct point *last = NULL;
    for (size_t k = 0; k < p->n; k++) {
        struct point *point = &p->point[more_x ? p->n - 1 - k : k];
        const double y = more_y ? -point->y : point->y;
        if (!(y < best) || (color != SIZE_MAX && point->color != color))
            continue;
        if (last != NULL && last->x == point->x)
            *(color == SIZE_MAX ? &last->frontier : &last->color_frontier) = false;
        *(color == SIZE_MAX ? &point->frontier : &point->color_frontier) = true;
        last = point;
        best = y;
    }
}

/* Name the policies on the frontier, those whose names do not run into each other. */
static void label_frontier(struct pareto *p)
{
    double last = HUGE_VAL;
    for (size_t k = p->n; k > 0; k--) {
        struct point *point = &p->point[k - 1];
        if (!point->frontier || fabs(point->y - last) < 0.05 * (p->max_y - p->min_y))
            continue;
        point->label = p->cards.n > 1 ? point->name : strchr(point->name, ' ') + 1;
        last = point->y;
    }
}

static void measure(struct pareto *p)
{
    p->min_x = p->min_y = HUGE_VAL;
    p->max_x = p->max_y = -HUGE_VAL;
    for (size_t i = 0; i < p->n; i++) {
        p->min_x = fmin(p->min_x, p->point[i].x);
        p->max_x = fmax(p->max_x, p->point[i].x);
        p->min_y = fmin(p->min_y, p->point[i].y);
        p->max_y = fmax(p->max_y, p->point[i].y);
    }
}

/* ---- table and script ------------------------------------------------------------------ */

static void write_table(const struct pareto *p, struct rad_buf *table)
{
    rad_buf_printf(table,
                   "%s\t%s\tcolor_id\tshape_id\tfrontier\tcolor_frontier\tlabel\tcolor"
                   "\tpolicy_name\tpolicy\thw\tcard\tdtype\tbatch\tdepth_frac\n",
                   p->x, p->y);
    for (size_t i = 0; i < p->n; i++) {
        const struct point *point = &p->point[i];
        rad_chart_number(table, point->x);
        rad_buf_add(table, "\t");
        rad_chart_number(table, point->y);
        rad_buf_printf(table, "\t%zu\t%zu\t%d\t%d\t", point->color % RAD_N_COLOR + 1,
                       point->shape % RAD_N_SHAPE + 1, point->frontier, point->color_frontier);
        rad_chart_field(table, point->label);
        rad_buf_add(table, "\t");
        rad_chart_field(table, p->colors.name[point->color]);
        rad_buf_add(table, "\t");
        rad_chart_field(table, p->shapes.name[point->shape]);
        rad_buf_printf(table, "%s\n", point->text);
    }
}

static void write_legend(const struct pareto *p, struct rad_buf *s)
{
    char label[128];
    rad_buf_add(s, ", \\\n  keyentry with lines linecolor rgb '#000000' title 'frontier of all'"
                   ", \\\n  keyentry title ' ', \\\n  keyentry title ");
    rad_chart_quote(s, rad_chart_label(p->color, label, sizeof label));
    for (size_t i = 0; i < p->colors.n; i++) {
        rad_buf_printf(s,
                       ", \\\n  keyentry with points pointtype 7 pointsize 1.8*PS linecolor rgb"
                       " '%s' title ",
                       rad_plot_colors[i % RAD_N_COLOR]);
        rad_chart_quote(s, p->colors.name[i]);
    }
    if (p->shapes.n < 2 || strcmp(p->color, "policy_name") == 0)
        return;
    rad_buf_add(s, ", \\\n  keyentry title ' ', \\\n  keyentry title 'policy'");
    for (size_t i = 0; i < p->shapes.n; i++) {
        rad_buf_printf(
            s,
            ", \\\n  keyentry with points pointtype P[%zu] pointsize 1.8*PS linecolor rgb"
            " '#808080' title ",
            i % RAD_N_SHAPE + 1);
        rad_chart_quote(s, p->shapes.name[i]);
    }
}

/* Frontiers: thin ones of each colour, the common one in black with its points and their names. */
static void write_frontiers(const struct pareto *p, double size, struct rad_buf *s)
{
    /* the line goes along y first where less x is better, so that it stays on the possible side */
    const char *steps = rad_chart_more_is_better(p->x) ? "fsteps" : "steps";
    const bool left = !rad_chart_more_is_better(p->x);
    for (size_t i = 0; i < p->colors.n && i < RAD_N_COLOR; i++)
        rad_buf_printf(s,
                       ", \\\n  data skip 1 using 1:($6 == 1 && $3 == %zu ? $2 : NaN) with %s"
                       " linecolor rgb '%s' linewidth 0.8 notitle",
                       i + 1, steps, rad_plot_colors[i]);
    rad_buf_printf(s,
                   ", \\\n  data skip 1 using 1:($5 == 1 ? $2 : NaN) with %s linecolor rgb"
                   " '#000000' linewidth 1.5 notitle, \\\n"
                   "  data skip 1 using 1:($5 == 1 ? $2 : NaN):(P[$4]):(C[$3]) with points"
                   " pointtype variable pointsize %g*PS linecolor rgb variable notitle, \\\n"
                   "  data skip 1 using 1:($5 == 1 && strcol(7) ne '-' ? $2 : NaN):7 with labels"
                   " %s offset %s,-0.35 font font(15) textcolor rgb '#303030' noenhanced notitle",
                   steps, size * 1.6, left ? "right" : "left", left ? "-0.9" : "0.9");
}

/* Widen the x axis at its better end, where no point can be, for the names. About 1000 of the
 * picture's pixels are axis, and a character takes 10. */
static void make_room(const struct pareto *p, double *min, double *max)
{
    size_t longest = 0;
    for (size_t i = 0; i < p->n; i++)
        longest = strlen(p->point[i].label) > longest ? strlen(p->point[i].label) : longest;
    const double share = fmin(0.4, (9.8 * (double)longest + 30) / 1000);
    const double more = share / (1 - share);
    const bool log = *min > 0 && *max > 20 * *min, right = rad_chart_more_is_better(p->x);
    const double ratio = log ? pow(*max / *min, more) : 1, gap = more * (*max - *min);
    if (right)
        *max = log ? *max * ratio : *max + gap;
    else
        *min = log ? *min / ratio : fmax(*min - gap, fmin(*min, 0));
}

static void write_script(const struct pareto *p, const char *title, struct rad_buf *s)
{
    char text[160];
    const double size = p->n > 3000 ? 0.7 : p->n > 600 ? 1.0 : 1.4;
    double min = p->min_x, max = p->max_x;
    make_room(p, &min, &max);
    rad_chart_axis(s, 'x', p->x, min, max);
    rad_chart_axis(s, 'y', p->y, p->min_y, p->max_y);
    snprintf(text, sizeof text, "%zu design points, phase %s, %s", p->n, p->phase, p->dtype);
    rad_buf_add(s, "set title ");
    rad_chart_quote(s, title != NULL ? title : text);
    rad_buf_printf(
        s,
        " noenhanced\nplot data skip 1 using 1:2:(P[$4]):(C[$3] + 0x90000000) with points"
        " pointtype variable pointsize %g*PS linecolor rgb variable notitle",
        size);
    write_frontiers(p, size, s);
    write_legend(p, s);
    rad_buf_add(s, "\n");
}

static void free_pareto(struct pareto *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->point[i].text);
        free(p->point[i].name);
    }
    free(p->point);
    rad_names_free(&p->cards);
    rad_names_free(&p->colors);
    rad_names_free(&p->shapes);
}

static enum rad_status read_all(struct pareto *p, const struct rad_plot_request *r,
                                struct rad_err *err)
{
    rad_db *db = NULL;
    if (r->n_input != 1)
        return rad_fail(err, RAD_E_ARG, "plot 'pareto' takes one results database");
    RAD_TRY(rad_store_read_results(&db, r->input[0], err));
    enum rad_status status = rad_chart_column(db, p->x, err);
    if (status == RAD_OK)
        status = rad_chart_column(db, p->y, err);
    if (status == RAD_OK)
        status = rad_chart_column(db, p->color, err);
    if (status == RAD_OK)
        status = read_rows(p, db, r->where, err);
    rad_db_close(db);
    if (status == RAD_OK && p->n == 0)
        status = rad_fail(err, RAD_E_RANGE, "no row that fits its machine has both '%s' and '%s'%s",
                          p->x, p->y, r->where != NULL ? " where the condition holds" : "");
    return status;
}

enum rad_status rad_plot_pareto(struct rad_chart *chart, struct rad_err *err)
{
    const struct rad_plot_request *r = chart->request;
    struct pareto p = {
        .x = r->x != NULL ? r->x : "usd_per_mtok",
        .y = r->y != NULL ? r->y : "nll",
        .color = r->color != NULL ? r->color : "hw",
    };
    const enum rad_status status = read_all(&p, r, err);
    if (status == RAD_OK) {
        measure(&p);
        mark_frontier(&p, SIZE_MAX);
        for (size_t i = 0; i < p.colors.n; i++)
            mark_frontier(&p, i);
        label_frontier(&p);
        write_table(&p, &chart->table);
        write_script(&p, r->title, &chart->script);
        chart->report->rows = (int64_t)p.n;
        if (p.all > (int64_t)p.n)
            snprintf(chart->report->note, sizeof chart->report->note,
                     "drawn are the rows of one text in phase %s, %s; %lld rows of other texts,"
                     " phases or formats are left out, choose with --where",
                     p.phase, p.dtype, (long long)(p.all - (int64_t)p.n));
    }
    free_pareto(&p);
    return status;
}
