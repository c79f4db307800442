/* out.h - rows to stdout as an aligned table, JSON, CSV or Markdown.
 *
 * Use:  rad_out *out;
 *       rad_out_open(&out, format, stdout);
 *       rad_out_begin_row(out); rad_out_text(out, "hw", name); rad_out_real(out, "latency_s", x);
 *       rad_out_end_row(out);
 *       if (rad_out_close(out, true, &err) != RAD_OK) ...
 *
 * Rows are written in blocks, so that output of any length needs little memory; the columns of
 * table, csv and md are those of the first block (1024 rows). Keys are copied. A failure (memory,
 * or the file) is remembered and returned by rad_out_close; every function accepts NULL.
 *
 * json: NaN and infinity become null, bytes that are not UTF-8 become U+FFFD, reals have the
 * fewest digits that read back to the same double. table: four significant digits, control
 * characters as \xNN. csv: quoted as RFC 4180 says, full precision, NaN empty. */
#ifndef RAD_OUT_H
#define RAD_OUT_H

#include "radial.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum rad_format { RAD_FORMAT_TABLE, RAD_FORMAT_JSON, RAD_FORMAT_CSV, RAD_FORMAT_MD };

/* "table", "json", "csv", "md"; false if name is none of them. */
bool rad_format_parse(const char *name, enum rad_format *out);

typedef struct rad_out rad_out;

/* *out is NULL after RAD_E_NOMEM; ignoring that is safe, see above. */
enum rad_status rad_out_open(rad_out **out, enum rad_format format, FILE *to);

void rad_out_begin_row(rad_out *out);
void rad_out_text(rad_out *out, const char *key, const char *value); /* NULL: null */
void rad_out_int(rad_out *out, const char *key, int64_t value);
void rad_out_real(rad_out *out, const char *key, double value);
void rad_out_bool(rad_out *out, const char *key, bool value);
void rad_out_null(rad_out *out, const char *key);
/* value is JSON already (an array or object): verbatim in json, as text elsewhere. */
void rad_out_json(rad_out *out, const char *key, const char *value);
void rad_out_end_row(rad_out *out);

/* Name the columns of an output that may have no rows (table, csv, md print their header). */
void rad_out_column(rad_out *out, const char *key);

/* Write what is left and free out. single_object: one row is written as one JSON object, and as
 * a list of "key value" lines in table and md; otherwise JSON is an array.
 * errors: RAD_E_NOMEM and RAD_E_IO, also those of functions above; err may be NULL */
RAD_MUST_CHECK enum rad_status rad_out_close(rad_out *out, bool single_object, struct rad_err *err);

/* Free out after a failure. What was not written yet is dropped; JSON that has begun is ended. */
void rad_out_abandon(rad_out *out);

/* Write text to a terminal with control characters and bad UTF-8 made visible. */
void rad_out_escape(FILE *to, const char *text);

#endif
