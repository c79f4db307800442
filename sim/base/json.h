/* json.h - JSON in and out by jansson, with its input treated as hostile.
 *
 * This header brings in jansson.h: build and walk values with json_*; read files, dump and check
 * types with the functions here. */
#ifndef RAD_BASE_JSON_H
#define RAD_BASE_JSON_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parse text[len], which must be one object or array. Duplicate keys, integers beyond int64,
 * NaN, bad UTF-8, NUL in strings, deep nesting and trailing text are refused. name stands for
 * the file in messages. The caller owns *out (json_decref); NULL on failure.
 * errors: RAD_E_PARSE "name:line:col: ...", RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_json_parse(json_t **out, const char *text, size_t len,
                                              const char *name, struct rad_err *err);

/* The same from a file of at most max_bytes. errors: also RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_json_read(json_t **out, const char *path, size_t max_bytes,
                                             struct rad_err *err);

/* One line of text, malloc'ed for the caller; keys in order of insertion; reals with 17 digits,
 * so that they read back to the same bits. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_json_dump(const json_t *value, char **out, struct rad_err *err);

/* New values for json_object_set_new and the like. NULL if memory ran out. */
json_t *rad_json_number(double value);                /* null if value is not finite */
json_t *rad_json_text(const char *bytes, size_t len); /* what is not UTF-8 becomes U+FFFD */

/* Values of an object, checked. Messages: "'key': expected X but found Y"; put the file in front
 * with rad_fail_in. Absent keys are an error, except for bool, which has a default.
 * errors: RAD_E_PARSE (absent, another type), RAD_E_RANGE (outside min..max) */
RAD_MUST_CHECK enum rad_status rad_json_int(const json_t *obj, const char *key, int64_t min,
                                            int64_t max, int64_t *out, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_json_real(const json_t *obj, const char *key, double min,
                                             double max, double *out, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_json_string(const json_t *obj, const char *key, const char **out,
                                               struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_json_bool(const json_t *obj, const char *key, bool def,
                                             bool *out, struct rad_err *err);

#endif
