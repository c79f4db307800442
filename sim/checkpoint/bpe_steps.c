/* bpe_steps.c - the normalizer of a byte-pair encoding: one step after the other. */
#include "checkpoint/bpe.h"

#include <string.h>

static enum rad_status too_long(struct rad_err *err)
{
    return rad_fail(err, RAD_E_RANGE, "the normalized text is longer than %d bytes",
                    RAD_BPE_NORMAL_MAX);
}

/* Replace every `from`, from the left. */
static enum rad_status replace(const struct rad_bpe_normal *step, struct rad_slice text,
                               struct rad_buf *out, struct rad_err *err)
{
    const char *at = text.data, *end = text.data + text.len;
    const size_t n_from = strlen(step->from), n_to = strlen(step->to);
    while (at < end && out->len <= RAD_BPE_NORMAL_MAX && !out->failed) {
        const char *next = memchr(at, step->from[0], (size_t)(end - at));
        if (next == NULL)
            next = end;
        rad_buf_append(out, at, (size_t)(next - at));
        const bool hit = (size_t)(end - next) >= n_from && memcmp(next, step->from, n_from) == 0;
        if (hit)
            rad_buf_append(out, step->to, n_to);
        else if (next < end)
            rad_buf_append(out, next, 1);
        at = next + (hit ? n_from : 1);
    }
    return out->len <= RAD_BPE_NORMAL_MAX ? RAD_OK : too_long(err);
}

static enum rad_status apply(const struct rad_bpe_normal *step, struct rad_slice text,
                             struct rad_buf *out, struct rad_err *err)
{
    switch (step->kind) {
    case RAD_NORMAL_FORM:
        return rad_unicode_normalize(step->form, text.data, text.len, out, err);
    case RAD_NORMAL_REPLACE:
        return replace(step, text, out, err);
    case RAD_NORMAL_PREPEND:
        break;
    }
    if (text.len > 0)
        rad_buf_add(out, step->to);
    rad_buf_append(out, text.data, text.len);
    return RAD_OK;
}

enum rad_status rad_bpe_normalize(const struct rad_bpe_steps *steps, const char *text, size_t len,
                                  struct rad_buf *out, struct rad_err *err)
{
    struct rad_buf buf[2] = {{.data = NULL}, {.data = NULL}};
    struct rad_slice now = {text, len};
    enum rad_status status = RAD_OK;
    for (int i = 0; i < steps->n_normal && status == RAD_OK; i++) {
        struct rad_buf *next = &buf[i % 2];
        next->len = 0;
        status = apply(&steps->normal[i], now, next, err);
        if (status == RAD_OK && (next->failed || next->len > RAD_BPE_NORMAL_MAX))
            status = next->failed
                         ? rad_fail(err, RAD_E_NOMEM, "cannot normalize %zu bytes of text", len)
                         : too_long(err);
        now = (struct rad_slice){next->len > 0 ? next->data : "", next->len};
    }
    if (status == RAD_OK && out->len + now.len > RAD_BPE_NORMAL_MAX)
        status = too_long(err);
    if (status == RAD_OK)
        rad_buf_append(out, now.data, now.len);
    if (status == RAD_OK && out->failed)
        status = rad_fail(err, RAD_E_NOMEM, "cannot normalize %zu bytes of text", len);
    rad_buf_free(&buf[0]);
    rad_buf_free(&buf[1]);
    return status;
}
