/* buf.c - growing text; fails once and for all. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for len more bytes and the NUL. */
static bool reserve(struct rad_buf *b, size_t len)
{
    if (b->failed)
        return false;
    if (len < b->cap - b->len) /* cap > len, or both are 0 */
        return true;
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap - b->len <= len && cap <= SIZE_MAX / 2)
        cap *= 2;
    char *data = cap - b->len > len ? realloc(b->data, cap) : NULL;
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void rad_buf_append(struct rad_buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void rad_buf_add(struct rad_buf *b, const char *text)
{
    rad_buf_append(b, text, strlen(text));
}

void rad_buf_printf(struct rad_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0) {
        b->failed = true;
        return;
    }
    if (!reserve(b, (size_t)len))
        return;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
}

void rad_buf_free(struct rad_buf *b)
{
    free(b->data);
    *b = (struct rad_buf){0};
}

const char *rad_show(char out[RAD_SHOW_MAX], const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0' && n < RAD_SHOW_MAX - 1; n++) {
        const unsigned char c = (unsigned char)text[n];
        out[n] = text[n];
        /* 0xc2 before 0x80..0x9f is a C1 control, which some terminals obey as they do ESC. */
        const bool c1 = n > 0 && (unsigned char)text[n - 1] == 0xc2 && c >= 0x80 && c < 0xa0;
        if (c < 0x20 || c == 0x7f || c1)
            out[n] = '?';
    }
    out[n] = '\0';
    if (text[n] == '\0')
        return out;
    /* Cut, and not within a UTF-8 sequence. */
    n = RAD_SHOW_MAX - 4;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(out + n, "...", 4);
    return out;
}
