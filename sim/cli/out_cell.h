/* out_cell.h - private to out.c and out_cell.c: one value as text in a format. */
#ifndef RAD_OUT_CELL_H
#define RAD_OUT_CELL_H

#include "cli/out.h"

#include <stddef.h>

/* Each returns malloc'ed text, NULL without memory. */
char *rad_cell_text(enum rad_format format, const char *value); /* NULL: null */
char *rad_cell_real(enum rad_format format, double value);
char *rad_cell_int(int64_t value);
char *rad_cell_bool(enum rad_format format, bool value);
char *rad_cell_null(enum rad_format format);

/* Columns on a terminal that text takes: its code points. */
size_t rad_cell_width(const char *text);

#endif
