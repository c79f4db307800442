/* csv.c - see csv.h. The text is cut into cells in place. */
#include "cli/csv.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    struct csv *csv;
    const char *path;
    char *at;
    size_t n, cap, line;
};

static enum rad_status push(struct parser *p, char *cell, struct rad_err *err)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap > 0 ? 2 * p->cap : 256;
        char **grown = realloc(p->csv->cell, cap * sizeof *grown);
        if (grown == NULL)
            return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", p->path);
        p->csv->cell = grown;
        p->cap = cap;
    }
    p->csv->cell[p->n++] = cell;
    return RAD_OK;
}

/* A quoted cell begins behind its quote; doubled quotes become one. Leaves at behind it. */
static enum rad_status quoted(struct parser *p, char **cell, struct rad_err *err)
{
    char *to = *cell = p->at;
    for (;; p->at++) {
        if (*p->at == '"' && *++p->at != '"')
            break;
        if (*p->at == '\0')
            return rad_fail(err, RAD_E_PARSE, "%s:%zu: expected a closing quote", p->path, p->line);
        *to++ = *p->at;
    }
    const bool ends = *p->at == ',' || *p->at == '\n' || *p->at == '\r' || *p->at == '\0';
    if (!ends)
        return rad_fail(err, RAD_E_PARSE, "%s:%zu: expected a comma behind a quote", p->path,
                        p->line);
    if (to < p->at)
        *to = '\0';
    return RAD_OK;
}

/* One line of cells; *n counts them. */
static enum rad_status take_line(struct parser *p, size_t *n, struct rad_err *err)
{
    for (bool more = true; more; ++*n) {
        char *cell = p->at;
        if (*p->at == '"') {
            p->at++;
            RAD_TRY(quoted(p, &cell, err));
        } else {
            p->at += strcspn(p->at, ",\r\n");
        }
        const char end = *p->at;
        more = end == ',';
        if (end != '\0')
            *p->at++ = '\0';
        if (end == '\r' && *p->at == '\n')
            p->at++;
        RAD_TRY(push(p, cell, err));
    }
    return RAD_OK;
}

static enum rad_status check_header(const struct parser *p, struct rad_err *err)
{
    const struct csv *csv = p->csv;
    for (size_t i = 0; i < csv->n_column; i++)
        for (size_t k = 0; k < i; k++)
            if (csv->cell[i][0] != '\0' && strcmp(csv->cell[i], csv->cell[k]) == 0)
                return rad_fail(err, RAD_E_PARSE, "%s:1: column '%.32s' stands twice", p->path,
                                csv->cell[i]);
    return RAD_OK;
}

static enum rad_status take_all(struct parser *p, struct rad_err *err)
{
    struct csv *csv = p->csv;
    for (p->line = 1; *p->at != '\0'; p->line++) {
        size_t n = 0;
        if (p->line > 1 && (*p->at == '\n' || *p->at == '\r')) { /* an empty line */
            p->at += p->at[0] == '\r' && p->at[1] == '\n' ? 2 : 1;
            continue;
        }
        RAD_TRY(take_line(p, &n, err));
        if (p->line == 1) {
            csv->n_column = n;
            RAD_TRY(check_header(p, err));
        } else if (n != csv->n_column)
            return rad_fail(err, RAD_E_PARSE, "%s:%zu: expected %zu cells but found %zu", p->path,
                            p->line, csv->n_column, n);
        else
            csv->n_row++;
    }
    return csv->n_column > 0 ? RAD_OK
                             : rad_fail(err, RAD_E_PARSE,
                                        "%s: expected a header line but found nothing", p->path);
}

enum rad_status csv_read(struct csv *out, const char *path, struct rad_err *err)
{
    size_t len = 0;
    *out = (struct csv){0};
    RAD_TRY(rad_file_read(path, (size_t)1 << 30, &out->text, &len, err));
    const bool marked = strncmp(out->text, "\xef\xbb\xbf", 3) == 0; /* spreadsheets do that */
    struct parser p = {.csv = out, .path = path, .at = out->text + (marked ? 3 : 0)};
    enum rad_status status =
        strlen(out->text) == len
            ? take_all(&p, err)
            : rad_fail(err, RAD_E_PARSE, "%s: expected text but found binary data", path);
    if (status != RAD_OK)
        csv_free(out);
    return status;
}

void csv_free(struct csv *csv)
{
    free(csv->text);
    free(csv->cell);
    *csv = (struct csv){0};
}

const char *csv_header(const struct csv *csv, size_t column)
{
    return csv->cell[column];
}

const char *csv_cell(const struct csv *csv, size_t row, size_t column)
{
    return csv->cell[(row + 1) * csv->n_column + column];
}

int csv_find(const struct csv *csv, const char *name)
{
    for (size_t i = 0; i < csv->n_column; i++)
        if (strcmp(csv->cell[i], name) == 0)
            return (int)i;
    return -1;
}
