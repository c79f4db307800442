/* csv.h - private to cli/: a CSV file with a header line (RFC 4180: quotes, CRLF). */
#ifndef RAD_CLI_CSV_H
#define RAD_CLI_CSV_H

#include "radial.h"

struct csv {
    char *text;   /* owned; cells point into it */
    char **cell;  /* [n_row + 1][n_column], the header first */
    size_t n_row; /* without the header */
    size_t n_column;
};

/* Read a file of at most 1 GiB. errors: RAD_E_IO, RAD_E_PARSE (no header, a row with another
 * number of cells than the header, an open quote), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status csv_read(struct csv *out, const char *path, struct rad_err *err);
void csv_free(struct csv *csv);

const char *csv_header(const struct csv *csv, size_t column);
const char *csv_cell(const struct csv *csv, size_t row, size_t column); /* rows from 0 */

/* The column of that name, or -1. */
int csv_find(const struct csv *csv, const char *name);

#endif
