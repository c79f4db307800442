/* out.c - rows in blocks, as table, JSON, CSV or Markdown. */
#include "cli/out.h"
#include "cli/out_cell.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 1024 };

struct cell {
    size_t column;
    char *text; /* in the format already */
    bool right; /* numbers are aligned to the right */
};

struct column {
    char *name;
    char *shown; /* the name, safe for a terminal or a Markdown table */
    size_t width;
};

struct rad_out {
    enum rad_format format;
    FILE *to;
    struct column *columns;
    struct cell *cells;             /* of the block, row after row */
    size_t n_column, n_cell, n_row; /* n_row: of the block */
    size_t max_column, max_cell;
    size_t row_end[BLOCK_ROWS];
    size_t row_start;
    bool single, begun, failed; /* begun: a block was written */
};

bool rad_format_parse(const char *name, enum rad_format *out)
{
    static const char *const names[] = {"table", "json", "csv", "md"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum rad_format)i;
            return true;
        }
    return false;
}

enum rad_status rad_out_open(rad_out **out, enum rad_format format, FILE *to)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return RAD_E_NOMEM;
    (*out)->format = format;
    (*out)->to = to;
    return RAD_OK;
}

/* Room for one more item of an array: doubled when full. */
static bool grow(void **items, size_t n, size_t *max, size_t item_bytes)
{
    if (n < *max)
        return true;
    const size_t wanted = *max > 0 ? 2 * *max : 32;
    void *more = realloc(*items, wanted * item_bytes);
    if (more == NULL)
        return false;
    *items = more;
    *max = wanted;
    return true;
}

/* Rows mostly repeat the columns of the first, so the next one is tried first. */
static size_t column_find(rad_out *out, const char *key, size_t likely)
{
    if (likely < out->n_column && strcmp(out->columns[likely].name, key) == 0)
        return likely;
    for (size_t i = 0; i < out->n_column; i++)
        if (strcmp(out->columns[i].name, key) == 0)
            return i;
    void *columns = out->columns;
    char *name = strdup(key), *shown = rad_cell_text(out->format, key);
    if (name == NULL || shown == NULL ||
        !grow(&columns, out->n_column, &out->max_column, sizeof *out->columns)) {
        free(name);
        free(shown);
        out->failed = true;
        return SIZE_MAX;
    }
    out->columns = columns;
    out->columns[out->n_column] = (struct column){.name = name, .shown = shown};
    return out->n_column++;
}

void rad_out_column(rad_out *out, const char *key)
{
    if (out != NULL)
        (void)column_find(out, key, out->n_column);
}

/* Takes text, which is NULL when its formatting ran out of memory. */
static void add(rad_out *out, const char *key, char *text, bool right)
{
    const size_t column = column_find(out, key, out->n_cell - out->row_start);
    void *cells = out->cells;
    if (text == NULL || column == SIZE_MAX ||
        !grow(&cells, out->n_cell, &out->max_cell, sizeof *out->cells)) {
        free(text);
        out->failed = true;
        return;
    }
    out->cells = cells;
    out->cells[out->n_cell++] = (struct cell){column, text, right};
}

void rad_out_text(rad_out *out, const char *key, const char *value)
{
    if (out != NULL)
        add(out, key, rad_cell_text(out->format, value), false);
}

void rad_out_int(rad_out *out, const char *key, int64_t value)
{
    if (out != NULL)
        add(out, key, rad_cell_int(value), true);
}

void rad_out_real(rad_out *out, const char *key, double value)
{
    if (out != NULL)
        add(out, key, rad_cell_real(out->format, value), true);
}

void rad_out_bool(rad_out *out, const char *key, bool value)
{
    if (out != NULL)
        add(out, key, rad_cell_bool(out->format, value), false);
}

void rad_out_null(rad_out *out, const char *key)
{
    if (out != NULL)
        add(out, key, rad_cell_null(out->format), true);
}

void rad_out_json(rad_out *out, const char *key, const char *value)
{
    if (out != NULL)
        add(out, key,
            out->format == RAD_FORMAT_JSON ? strdup(value) : rad_cell_text(out->format, value),
            false);
}

void rad_out_begin_row(rad_out *out)
{
    if (out != NULL)
        out->row_start = out->n_cell;
}

/* ---- writing a block ------------------------------------------------------------------- */

/* The cell of a row in a column, NULL if the row has none. */
static const struct cell *cell_at(const rad_out *out, size_t row, size_t column)
{
    const size_t first = row > 0 ? out->row_end[row - 1] : 0;
    if (first + column < out->row_end[row] && out->cells[first + column].column == column)
        return &out->cells[first + column];
    for (size_t i = first; i < out->row_end[row]; i++)
        if (out->cells[i].column == column)
            return &out->cells[i];
    return NULL;
}

static void write_json_row(const rad_out *out, size_t row)
{
    const size_t first = row > 0 ? out->row_end[row - 1] : 0;
    fputc('{', out->to);
    for (size_t i = first; i < out->row_end[row]; i++) {
        char *key = rad_cell_text(RAD_FORMAT_JSON, out->columns[out->cells[i].column].name);
        fprintf(out->to, "%s%s: %s", i > first ? ", " : "", key != NULL ? key : "\"\"",
                out->cells[i].text);
        free(key);
    }
    fputc('}', out->to);
}

static void write_json(rad_out *out, bool last)
{
    if (out->single && last && !out->begun && out->n_row <= 1) {
        if (out->n_row == 1)
            write_json_row(out, 0);
        else
            fputs("{}", out->to);
        fputc('\n', out->to);
        return;
    }
    fputs(out->begun ? "" : "[", out->to);
    for (size_t row = 0; row < out->n_row; row++) {
        fputs(row > 0 || out->begun ? ",\n " : "", out->to);
        write_json_row(out, row);
    }
    fputs(last ? "]\n" : "", out->to);
}

static void write_csv_row(const rad_out *out, size_t row, bool header)
{
    for (size_t c = 0; c < out->n_column; c++) {
        const struct cell *cell = header ? NULL : cell_at(out, row, c);
        char *name = header ? rad_cell_text(RAD_FORMAT_CSV, out->columns[c].name) : NULL;
        const char *text = cell != NULL ? cell->text : name != NULL ? name : "";
        fprintf(out->to, "%s%s", c > 0 ? "," : "", text);
        free(name);
    }
    fputc('\n', out->to);
}

static void write_csv(rad_out *out)
{
    if (!out->begun && out->n_column > 0)
        write_csv_row(out, 0, true);
    for (size_t row = 0; row < out->n_row; row++)
        write_csv_row(out, row, false);
}

/* A cell of table or md, padded to width; the last one of a line of a table is left ragged. */
static void write_padded(const rad_out *out, const char *text, size_t width, bool right, bool last)
{
    const size_t used = rad_cell_width(text);
    const int fill = width > used ? (int)(width - used) : 0;
    if (right)
        fprintf(out->to, "%*s%s", fill, "", text);
    else if (last && out->format == RAD_FORMAT_TABLE)
        fputs(text, out->to);
    else
        fprintf(out->to, "%s%*s", text, fill, "");
}

static bool column_right(const rad_out *out, size_t column)
{
    for (size_t row = 0; row < out->n_row; row++) {
        const struct cell *cell = cell_at(out, row, column);
        if (cell != NULL)
            return cell->right;
    }
    return false;
}

static void write_line(const rad_out *out, size_t row, bool header)
{
    const bool md = out->format == RAD_FORMAT_MD;
    fputs(md ? "| " : "", out->to);
    for (size_t c = 0; c < out->n_column; c++) {
        const struct cell *cell = header ? NULL : cell_at(out, row, c);
        const char *text = header ? out->columns[c].shown : cell != NULL ? cell->text : "";
        const bool right = header ? column_right(out, c) : cell != NULL && cell->right;
        const bool last = c + 1 == out->n_column;
        write_padded(out, text, out->columns[c].width, right, last);
        fputs(last ? (md ? " |\n" : "\n") : md ? " | " : "  ", out->to);
    }
}

static void write_rule(const rad_out *out)
{
    fputc('|', out->to);
    for (size_t c = 0; c < out->n_column; c++) {
        for (size_t i = 0; i < out->columns[c].width + 1; i++)
            fputc('-', out->to);
        fputs(column_right(out, c) ? ":|" : "-|", out->to);
    }
    fputc('\n', out->to);
}

static void measure(rad_out *out)
{
    for (size_t c = 0; c < out->n_column; c++)
        out->columns[c].width = rad_cell_width(out->columns[c].shown);
    for (size_t i = 0; i < out->n_cell; i++) {
        size_t *width = &out->columns[out->cells[i].column].width;
        const size_t used = rad_cell_width(out->cells[i].text);
        *width = used > *width ? used : *width;
    }
}

static void write_table(rad_out *out)
{
    if (!out->begun && out->n_column > 0) {
        measure(out);
        write_line(out, 0, true);
        if (out->format == RAD_FORMAT_MD)
            write_rule(out);
    }
    for (size_t row = 0; row < out->n_row; row++)
        write_line(out, row, false);
}

/* One row as "key  value" lines: a summary reads better down than across. */
static void write_list(rad_out *out)
{
    const bool md = out->format == RAD_FORMAT_MD;
    size_t width = 0;
    for (size_t c = 0; c < out->n_column; c++) {
        const size_t used = rad_cell_width(out->columns[c].shown);
        width = used > width ? used : width;
    }
    fputs(md ? "| key | value |\n|---|---|\n" : "", out->to);
    for (size_t c = 0; c < out->n_column; c++) {
        const struct cell *cell = cell_at(out, 0, c);
        const int fill = (int)(width - rad_cell_width(out->columns[c].shown));
        fprintf(out->to, md ? "| %s%*s | %s |\n" : "%s%*s  %s\n", out->columns[c].shown, fill, "",
                cell != NULL ? cell->text : "");
    }
}

static void drop_block(rad_out *out)
{
    for (size_t i = 0; i < out->n_cell; i++)
        free(out->cells[i].text);
    out->n_cell = out->n_row = 0;
}

static void flush_block(rad_out *out, bool last)
{
    const bool list = out->single && last && !out->begun && out->n_row == 1;
    if (out->format == RAD_FORMAT_JSON)
        write_json(out, last);
    else if (out->format == RAD_FORMAT_CSV)
        write_csv(out);
    else if (list)
        write_list(out);
    else
        write_table(out);
    drop_block(out);
    out->begun = true;
}

void rad_out_end_row(rad_out *out)
{
    if (out == NULL)
        return;
    out->row_end[out->n_row++] = out->n_cell;
    if (out->n_row == BLOCK_ROWS)
        flush_block(out, false);
}

static void out_free(rad_out *out)
{
    for (size_t c = 0; c < out->n_column; c++) {
        free(out->columns[c].name);
        free(out->columns[c].shown);
    }
    free(out->columns);
    free(out->cells);
    free(out);
}

void rad_out_abandon(rad_out *out)
{
    if (out == NULL)
        return;
    drop_block(out);
    if (out->begun && out->format == RAD_FORMAT_JSON)
        fputs("]\n", out->to);
    out_free(out);
}

enum rad_status rad_out_close(rad_out *out, bool single_object, struct rad_err *err)
{
    if (out == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    out->single = single_object;
    flush_block(out, true);
    const bool failed = out->failed, written = fflush(out->to) == 0 && ferror(out->to) == 0;
    out_free(out);
    if (failed)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    return written ? RAD_OK : rad_fail(err, RAD_E_IO, "cannot write the result");
}
