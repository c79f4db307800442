/* rows.c - what plots ask of databases: columns, names, traces. */
#include "plot/chart.h"

#include "base/near.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t rad_names_add(struct rad_names *names, const char *text)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->name[i], text) == 0)
            return i;
    if (names->n == names->cap) {
        const size_t cap = names->cap > 0 ? 2 * names->cap : 16;
        char **more = realloc(names->name, cap * sizeof *more);
        if (more == NULL)
            return SIZE_MAX;
        names->name = more;
        names->cap = cap;
    }
    names->name[names->n] = strdup(text);
    return names->name[names->n] != NULL ? names->n++ : SIZE_MAX;
}

void rad_names_free(struct rad_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct rad_names){0};
}

static enum rad_status list_columns(rad_db *db, struct rad_names *out, struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    RAD_TRY(rad_db_prepare(db, &stmt, "SELECT name FROM pragma_table_info('results')", err));
    enum rad_status status;
    while ((status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row)
        if (rad_names_add(out, rad_db_column_text(stmt, 0)) == SIZE_MAX) {
            status = rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
            break;
        }
    rad_db_finalize(stmt);
    return status;
}

enum rad_status rad_chart_column(rad_db *db, const char *column, struct rad_err *err)
{
    struct rad_names columns = {0};
    char show[RAD_SHOW_MAX];
    enum rad_status status = list_columns(db, &columns, err);
    bool found = false;
    for (size_t i = 0; i < columns.n; i++)
        found = found || strcmp(columns.name[i], column) == 0;
    if (status == RAD_OK && !found) {
        const char *near = rad_nearest(column, (const char *const *)columns.name, columns.n);
        status = rad_fail(err, RAD_E_ARG, "view results has no column '%s'%s%s%s",
                          rad_show(show, column), near != NULL ? "; did you mean '" : "",
                          near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    rad_names_free(&columns);
    return status;
}

void rad_chart_where(struct rad_buf *sql, const char *where)
{
    if (where != NULL) /* the line end keeps a comment in it from hiding the bracket */
        rad_buf_printf(sql, " AND (%s\n)", where);
}

/* ---- traces ---------------------------------------------------------------------------- */

static enum rad_status add_trace(struct rad_traces *out, size_t max, const char *path,
                                 struct rad_err *err)
{
    rad_trace *trace = NULL;
    if (out->n >= max)
        return RAD_OK;
    RAD_TRY(rad_trace_open(&trace, path, err));
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(rad_trace_hash(out->trace[i]), rad_trace_hash(trace)) == 0) {
            rad_trace_close(trace);
            return RAD_OK;
        }
    out->name[out->n] = strdup(rad_trace_run(trace)->policy);
    out->trace[out->n] = trace;
    if (out->name[out->n++] == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    return RAD_OK;
}

static enum rad_status add_listed(rad_db *db, const struct rad_chart *chart, size_t max,
                                  struct rad_traces *out, struct rad_err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    struct rad_buf sql = {0};
    rad_buf_add(&sql, "SELECT path FROM depth_by_policy WHERE 1");
    rad_chart_where(&sql, chart->request->where);
    enum rad_status status = sql.failed ? rad_fail(err, RAD_E_NOMEM, "plot: out of memory")
                                        : rad_db_prepare(db, &stmt, sql.data, err);
    rad_buf_free(&sql);
    if (status != RAD_OK)
        return status;
    while ((status = rad_db_step(db, stmt, &row, err)) == RAD_OK && row && out->n < max) {
        status = add_trace(out, max, rad_db_column_text(stmt, 0), err);
        if (status != RAD_OK)
            break;
    }
    rad_db_finalize(stmt);
    return status;
}

static enum rad_status add_input(const struct rad_chart *chart, const char *path, size_t max,
                                 struct rad_traces *out, struct rad_err *err)
{
    rad_db *db = NULL;
    RAD_TRY(rad_store_read(&db, path, err));
    const bool trace = rad_store_is_trace(db);
    enum rad_status status = RAD_OK;
    if (trace && chart->request->where != NULL)
        status = rad_fail(err, RAD_E_ARG,
                          "--where chooses among the traces of a results database,"
                          " but '%s' is a trace",
                          path);
    else if (!trace)
        status = add_listed(db, chart, max, out, err);
    rad_db_close(db);
    return status == RAD_OK && trace ? add_trace(out, max, path, err) : status;
}

enum rad_status rad_chart_traces(const struct rad_chart *chart, size_t max, struct rad_traces *out,
                                 struct rad_err *err)
{
    *out = (struct rad_traces){.trace = calloc(max, sizeof *out->trace),
                               .name = calloc(max, sizeof *out->name)};
    enum rad_status status = RAD_OK;
    if (out->trace == NULL || out->name == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    for (size_t i = 0; i < chart->request->n_input && status == RAD_OK; i++)
        status = add_input(chart, chart->request->input[i], max, out, err);
    if (status == RAD_OK && out->n == 0)
        status = rad_fail(err, RAD_E_RANGE, "no trace to draw");
    if (status != RAD_OK)
        rad_chart_traces_free(out);
    return status;
}

void rad_chart_traces_free(struct rad_traces *traces)
{
    for (size_t i = 0; i < traces->n; i++) {
        rad_trace_close(traces->trace[i]);
        free(traces->name[i]);
    }
    free(traces->trace);
    free(traces->name);
    *traces = (struct rad_traces){0};
}
