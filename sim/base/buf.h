/* buf.h - text that grows. Zero-initialise: struct rad_buf b = {0}. */
#ifndef RAD_BASE_BUF_H
#define RAD_BASE_BUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct rad_buf {
    char *data;      /* NUL-terminated once something was added; NULL before */
    size_t len, cap; /* bytes without the NUL; allocated */
    bool failed;     /* memory ran out: later calls do nothing; check once at the end */
};

void rad_buf_add(struct rad_buf *b, const char *text);                /* NUL-terminated */
void rad_buf_append(struct rad_buf *b, const void *data, size_t len); /* any bytes */
void rad_buf_printf(struct rad_buf *b, const char *fmt, ...) RAD_PRINTF(2, 3);
void rad_buf_free(struct rad_buf *b); /* and make it empty again */

/* text for a message, in the caller's out[64], which is returned: control bytes become '?', and
 * what is too long ends in "...". Names from files must not reach a terminal in any other way. */
#define RAD_SHOW_MAX 64
const char *rad_show(char out[RAD_SHOW_MAX], const char *text);

#endif
