/* trace_line.h - one line of routing recorded elsewhere (docs/trace-format.md, Import). */
#ifndef RAD_TRACE_LINE_H
#define RAD_TRACE_LINE_H

#include "trace/trace_build.h"

struct rad_trace_line {
    const char *path; /* of the file */
    int64_t number;   /* from 1 */
    const char *text; /* [len] */
    size_t len;
    struct rad_err *err;
};

/* A parsed line. Zero-initialise; hop is reused from line to line; free it in the end. */
struct rad_trace_parsed {
    struct rad_trace_token tok;
    struct rad_hop_rec *hop; /* [tok.n_hop] */
    size_t max_hop;
    bool has_keys;    /* n_keys was given */
    bool has_entries; /* records of skipped layers (kv) were given */
};

#define RAD_TRACE_WHOLE SIZE_MAX

/* Record "file:line:column: key: message", the column that of the key's value, or of an item of
 * its array unless item is RAD_TRACE_WHOLE. Returns RAD_E_PARSE. */
enum rad_status rad_trace_line_bad(const struct rad_trace_line *line, const char *key, size_t item,
                                   const char *fmt, ...) RAD_PRINTF(4, 5);

/* Types, ranges and layers are checked here; what a sequence needs is not. */
RAD_MUST_CHECK enum rad_status rad_trace_line_parse(const struct rad_trace_line *line,
                                                    int32_t n_layer, struct rad_trace_parsed *out);

#endif
