/* schema.c - the SQL of a results database, from tables.def, views.def and the metrics of replay.
 *
 * Generated, so that a metric of replay is a column, its comment in the CREATE statement and its
 * row of column_doc without being written twice. */
#include "store/schema.h"

#include <string.h>

#define RAD_TABLE(name, doc, constraints) {#name, doc, constraints},
#define RAD_COLUMN(name, type, doc)
static const struct {
    const char *name, *doc, *constraints;
} tables[] = {
#include "store/tables.def"
};
#undef RAD_TABLE
#undef RAD_COLUMN

/* A row without a type begins a table; its columns follow. */
#define RAD_TABLE(name, doc, constraints) {#name, "", NULL, doc},
#define RAD_COLUMN(name, type, doc) {"", #name, type, doc},
static const struct rad_column columns[] = {
#include "store/tables.def"
};
#undef RAD_TABLE
#undef RAD_COLUMN

#define RAD_VIEW(name, doc, sql) {#name, doc, sql},
#define RAD_VIEW_COLUMN(name, doc)
static const struct {
    const char *name, *doc, *sql; /* sql: the SELECT */
} views[] = {
#include "store/views.def"
};
#undef RAD_VIEW
#undef RAD_VIEW_COLUMN

static const struct {
    const char *name, *doc;
} view_columns[] = {
#define RAD_VIEW(name, doc, sql)
#define RAD_VIEW_COLUMN(name, doc) {#name, doc},
#include "store/views.def"
#undef RAD_VIEW
#undef RAD_VIEW_COLUMN
};

static const struct {
    const char *name, *expression, *doc;
} results[] = {
#define RAD_RESULT(name, expression, doc) {#name, expression, doc},
#include "store/results.def"
#undef RAD_RESULT
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct rad_column *rad_store_columns(const char *table, size_t *n)
{
    size_t first = 0; /* behind the row that begins the table */
    while (columns[first].type != NULL || strcmp(columns[first].table, table) != 0)
        first++;
    first++;
    for (*n = 0; first + *n < COUNT(columns) && columns[first + *n].type != NULL; ++*n)
        continue;
    return &columns[first];
}

/* ---- units ----------------------------------------------------------------------------- */

const char *rad_store_unit(const char *column)
{
    /* Longer endings first; a qualifier such as _p99 or _mean may follow the unit. */
    static const struct {
        const char *ending, *unit;
    } rows[] = {
        {"tokens_per_s", "tokens/s"},
        {"_bytes_per_s", "B/s"},
        {"usd_per_mtok", "USD/Mtoken"},
        {"j_per_token", "J/token"},
        {"s_per_token", "s"},
        {"usd_per_hour", "USD/h"},
        {"_per_step", "1/step"},
        {"_frac", ""},
        {"nll", "nats"},
        {"nll_above_dense", "nats"},
        {"mean_depth", "layers"},
        {"flop", "FLOP"},
        {"_bytes", "B"},
        {"_usd", "USD"},
        {"_j", "J"},
        {"_s", "s"},
    };
    static const char *const qualifiers[] = {"_mean", "_p50", "_p90", "_p99", "_peak"};
    size_t length = strlen(column);
    for (size_t i = 0; i < COUNT(qualifiers); i++) {
        const size_t n = strlen(qualifiers[i]);
        if (length > n && strcmp(column + length - n, qualifiers[i]) == 0)
            length -= n;
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t n = strlen(rows[i].ending);
        if (length >= n && strncmp(column + length - n, rows[i].ending, n) == 0)
            return rows[i].unit;
    }
    return "";
}

/* ---- SQL ------------------------------------------------------------------------------- */

/* A text literal: quotes are doubled. */
static void quote(struct rad_buf *sql, const char *text)
{
    rad_buf_add(sql, "'");
    for (; *text != '\0'; text++)
        rad_buf_append(sql, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
    rad_buf_add(sql, "'");
}

static void doc_row(struct rad_buf *sql, const char *table, const char *column, const char *doc)
{
    rad_buf_add(sql, "INSERT OR IGNORE INTO column_doc VALUES (");
    quote(sql, table);
    rad_buf_add(sql, ", ");
    quote(sql, column);
    rad_buf_add(sql, ", ");
    quote(sql, rad_store_unit(column));
    rad_buf_add(sql, ", ");
    quote(sql, doc);
    rad_buf_add(sql, ");\n");
}

static void metric_columns(struct rad_buf *sql)
{
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    for (size_t i = 0; i < n; i++)
        rad_buf_printf(sql, ",     %s REAL -- %s\n", metrics[i].name, metrics[i].doc);
}

/* The comma comes before a column, as behind it would stand in the comment. */
static void create_table(struct rad_buf *sql, size_t table)
{
    size_t n = 0;
    const struct rad_column *c = rad_store_columns(tables[table].name, &n);
    rad_buf_printf(sql, "CREATE TABLE %s ( -- %s\n", tables[table].name, tables[table].doc);
    for (size_t i = 0; i < n; i++)
        rad_buf_printf(sql, "%s    %s %s -- %s\n", i > 0 ? ", " : "  ", c[i].name, c[i].type,
                       c[i].doc);
    if (strcmp(tables[table].name, "result") == 0)
        metric_columns(sql);
    if (tables[table].constraints[0] != '\0')
        rad_buf_printf(sql, ",     %s\n", tables[table].constraints);
    rad_buf_add(sql, ") STRICT;\n");
}

/* The SELECT of view results, built from the tables. */
static void results_sql(struct rad_buf *sql)
{
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    rad_buf_add(sql, "SELECT\n");
    for (size_t i = 0; i < COUNT(results); i++)
        rad_buf_printf(sql, "    %s AS %s,\n", results[i].expression, results[i].name);
    for (size_t i = 0; i < n; i++)
        rad_buf_printf(sql,
                       strcmp(metrics[i].name, "nll") == 0
                           ? "    CASE WHEN r.transplanted = 0 AND r.kv_recomputed = 0"
                             " THEN r.%s END AS nll,\n"
                           : "    r.%s,\n",
                       metrics[i].name);
    rad_buf_add(sql,
                "    t.path AS trace, r.trace_hash, r.card_hash, r.hw_hash, d.run_id, r.eval_s\n"
                "FROM result AS r JOIN design_point AS d USING (key)"
                " JOIN trace AS t USING (trace_hash)"
                " JOIN card AS c ON c.card_hash = r.card_hash"
                " JOIN hw AS h USING (hw_hash)");
}

static void create_views(struct rad_buf *sql)
{
    rad_buf_add(sql, "CREATE VIEW results AS ");
    results_sql(sql);
    rad_buf_add(sql, ";\nINSERT INTO view_doc VALUES ('results', 'one flat row per result, all"
                     " that is known about it');\n");
    for (size_t i = 0; i < COUNT(views); i++) {
        rad_buf_printf(sql, "CREATE VIEW %s AS %s;\nINSERT INTO view_doc VALUES (", views[i].name,
                       views[i].sql);
        quote(sql, views[i].name);
        rad_buf_add(sql, ", ");
        quote(sql, views[i].doc);
        rad_buf_add(sql, ");\n");
    }
}

static void fill_docs(struct rad_buf *sql)
{
    size_t n = 0;
    const char *table = "";
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    for (size_t i = 0; i < COUNT(columns); i++) {
        table = columns[i].type == NULL ? columns[i].table : table;
        doc_row(sql, table, columns[i].name, columns[i].doc);
    }
    for (size_t i = 0; i < COUNT(results); i++)
        doc_row(sql, "results", results[i].name, results[i].doc);
    for (size_t i = 0; i < n; i++) {
        doc_row(sql, "result", metrics[i].name, metrics[i].doc);
        doc_row(sql, "results", metrics[i].name, metrics[i].doc);
    }
    for (size_t i = 0; i < COUNT(view_columns); i++)
        doc_row(sql, "(views)", view_columns[i].name, view_columns[i].doc);
}

void rad_store_schema(struct rad_buf *sql)
{
    for (size_t i = 0; i < COUNT(tables); i++)
        create_table(sql, i);
    create_views(sql);
    fill_docs(sql);
    /* The columns of views: explained where they come from. */
    rad_buf_add(sql, "INSERT OR IGNORE INTO column_doc"
                     " SELECT view_name, name, unit, explained FROM (SELECT v.view_name, p.name,"
                     " x.unit, x.doc AS explained, min(CASE x.table_name WHEN '(views)' THEN 0"
                     " WHEN 'results' THEN 1 WHEN 'trace' THEN 2 ELSE 3 END)"
                     " FROM view_doc AS v, pragma_table_info(v.view_name) AS p"
                     " JOIN column_doc AS x ON x.column_name = p.name GROUP BY 1, 2);\n"
                     "DELETE FROM column_doc WHERE table_name = '(views)';\n"
                     "CREATE INDEX design_point_run ON design_point(run_id);\n");
}

const struct rad_db_format rad_store_format_base = {
    .application_id = RAD_STORE_APPLICATION_ID,
    .user_version = RAD_STORE_VERSION,
    .name = "results database",
    .schema_sql = "",
};
