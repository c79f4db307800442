/* yaml.h - small human-written YAML files as a tree that knows its line numbers.
 *
 * Accepted: one document of block and flow mappings, sequences and scalars. Refused, always with
 * file:line:col: more than 1 MiB, nesting beyond 32, anchors, aliases, tags, directives, a second
 * document, keys that are not scalars, duplicate keys, NUL and other control characters. Scalars
 * stay text until asked for as a type, so `3.35 TB/s @datasheet` and `no` are just text. */
#ifndef RAD_BASE_YAML_H
#define RAD_BASE_YAML_H

#include "base/err.h"
#include "base/param.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAD_YAML_MAX_BYTES ((size_t)1 << 20)
#define RAD_YAML_MAX_DEPTH 32

typedef struct rad_yaml rad_yaml;           /* a document; immutable */
typedef struct rad_yaml_node rad_yaml_node; /* borrowed from its document */

enum rad_yaml_kind { RAD_YAML_SCALAR, RAD_YAML_SEQ, RAD_YAML_MAP };

/* Read a file. The document is closed by the caller; *out is NULL on failure.
 * errors: RAD_E_IO, RAD_E_PARSE, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_yaml_open(rad_yaml **out, const char *path, struct rad_err *err);

/* The same from text[len], copied; name stands for the file in messages. */
RAD_MUST_CHECK enum rad_status rad_yaml_parse(rad_yaml **out, const char *text, size_t len,
                                              const char *name, struct rad_err *err);
void rad_yaml_close(rad_yaml *doc);

/* ---- walking: all accept NULL nodes and nodes of another kind ----------------------------- */

const rad_yaml_node *rad_yaml_root(const rad_yaml *doc); /* an empty file: an empty scalar */
enum rad_yaml_kind rad_yaml_kind(const rad_yaml_node *node);
size_t rad_yaml_count(const rad_yaml_node *node); /* of items or keys; 0 for a scalar */
const rad_yaml_node *rad_yaml_at(const rad_yaml_node *seq, size_t i); /* NULL beyond the end */
const char *rad_yaml_key(const rad_yaml_node *map, size_t i);         /* in the order of the file */
const rad_yaml_node *rad_yaml_key_node(const rad_yaml_node *map, size_t i); /* for messages */
const rad_yaml_node *rad_yaml_value(const rad_yaml_node *map, size_t i);
const rad_yaml_node *rad_yaml_find(const rad_yaml_node *map, const char *key); /* or NULL */
const char *rad_yaml_text(const rad_yaml_node *scalar); /* "" for other kinds; never NULL */
int rad_yaml_line(const rad_yaml_node *node);           /* from 1 */

/* ---- checked access; messages start with file:line:col ------------------------------------ */

/* Record "file:line:col: ..." and return status. */
enum rad_status rad_yaml_fail(const rad_yaml_node *node, struct rad_err *err,
                              enum rad_status status, const char *fmt, ...) RAD_PRINTF(4, 5);

/* errors: RAD_E_PARSE (not a scalar, not a number of this kind), RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_yaml_int(const rad_yaml_node *node, int64_t min, int64_t max,
                                            int64_t *out, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_yaml_real(const rad_yaml_node *node, double min, double max,
                                             double *out, struct rad_err *err);
/* true or false; yes, no, on, off and numbers are refused. */
RAD_MUST_CHECK enum rad_status rad_yaml_bool(const rad_yaml_node *node, bool *out,
                                             struct rad_err *err);
/* A number with its unit: "400 W". A trailing @source is refused here, see rad_yaml_params. */
RAD_MUST_CHECK enum rad_status rad_yaml_quantity(const rad_yaml_node *node, enum rad_dim dim,
                                                 double min, double max, double *out,
                                                 struct rad_err *err);

/* Refuse a node that is no mapping, or has a key that is not one of keys[n]. */
RAD_MUST_CHECK enum rad_status rad_yaml_only(const rad_yaml_node *map, const char *const keys[],
                                             size_t n, struct rad_err *err);

/* The value of a key that must be there. errors: RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_yaml_need(const rad_yaml_node *map, const char *key,
                                             const rad_yaml_node **out, struct rad_err *err);

/* Fill the struct at base from a mapping by its table; absent keys get their defaults. A table key
 * "peak.fp16" is written peak: {fp16: 989 TFLOP/s} or "peak.fp16: 989 TFLOP/s". With sources (a
 * mapping of names to anything) every value must end in "@name" with name among its keys; without,
 * none may. errors: RAD_E_PARSE (unknown or repeated key, bad unit, missing or unknown source),
 * RAD_E_RANGE (outside limits, required key missing) */
RAD_MUST_CHECK enum rad_status rad_yaml_params(const rad_yaml_node *map,
                                               const struct rad_param *table, void *base,
                                               const rad_yaml_node *sources, struct rad_err *err);

#endif
