/* unicode.c - normal forms and classes of characters.
 *
 * utf8proc orders combining marks by exchanging neighbours, which takes quadratic time for a long
 * run of them; so it decomposes and composes here, and the marks are ordered in between. */
#include "checkpoint/unicode.h"

#include "checkpoint/outside.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Characters of a piece of text that no character outside of it interacts with. */
struct piece {
    int32_t *c; /* [n] of room; room for ordering marks behind room */
    size_t n, room;
};

static bool grow(struct piece *p)
{
    enum { LONGEST = 18 }; /* characters that one may become, U+FDFA */
    if (p->n + LONGEST <= p->room)
        return true;
    const size_t room = p->room > 0 ? 2 * p->room : 256;
    int32_t *c = realloc(p->c, 2 * room * sizeof *c);
    if (c == NULL)
        return false;
    p->c = c;
    p->room = room;
    return true;
}

static bool add(struct piece *p, enum rad_unicode_form form, int32_t c)
{
    const bool compat = form == RAD_NFKC || form == RAD_NFKD;
    const int options = UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0);
    if (!grow(p))
        return false;
    const utf8proc_ssize_t n = utf8proc_decompose_char(
        c, p->c + p->n, (utf8proc_ssize_t)(p->room - p->n), (utf8proc_option_t)options, NULL);
    p->n += n > 0 ? (size_t)n : 0;
    return true;
}

static int mark_class(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Order c[n], all of them marks, by class, equal ones as they stand. */
static void order_run(int32_t *c, size_t n, int32_t *scratch)
{
    size_t place[257] = {0}; /* [k]: of the next mark of class k */
    for (size_t i = 0; i < n; i++)
        place[mark_class(c[i]) + 1]++;
    for (int k = 1; k < 257; k++)
        place[k] += place[k - 1];
    for (size_t i = 0; i < n; i++)
        scratch[place[mark_class(c[i])]++] = c[i];
    memcpy(c, scratch, n * sizeof *c);
}

static void order_marks(struct piece *p)
{
    for (size_t i = 0, end; i < p->n; i = end) {
        bool ordered = true;
        for (end = i; end < p->n && mark_class(p->c[end]) != 0; end++)
            ordered = ordered && (end == i || mark_class(p->c[end - 1]) <= mark_class(p->c[end]));
        if (!ordered)
            order_run(p->c + i, end - i, p->c + p->room);
        end += end == i;
    }
}

static void put_piece(struct piece *p, enum rad_unicode_form form, struct rad_buf *out)
{
    const bool compose = form == RAD_NFC || form == RAD_NFKC;
    utf8proc_ssize_t n = (utf8proc_ssize_t)p->n;
    if (n == 0)
        return;
    order_marks(p);
    if (compose)
        n = utf8proc_normalize_utf32(p->c, n,
                                     (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        rad_buf_append(out, bytes, (size_t)utf8proc_encode_char(p->c[i], bytes));
    }
    p->n = 0;
}

/* Nothing composes with an ASCII character before it, so a piece begins at one. */
enum rad_status rad_unicode_normalize(enum rad_unicode_form form, const char *text, size_t len,
                                      struct rad_buf *out, struct rad_err *err)
{
    struct piece p = {.c = NULL};
    bool ok = true;
    for (size_t at = 0; ok && at < len;) {
        const size_t step = rad_ckpt_utf8(text + at, text + len);
        const bool next_ascii = at + 1 >= len || (unsigned char)text[at + 1] < 0x80;
        if (step <= 1)
            put_piece(&p, form, out);
        if (step == 0 || (step == 1 && next_ascii)) {
            rad_buf_append(out, text + at, 1);
        } else {
            utf8proc_int32_t c = 0;
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)step, &c);
            ok = add(&p, form, c);
        }
        at += step > 0 ? step : 1;
    }
    put_piece(&p, form, out);
    free(p.c);
    return ok && !out->failed
               ? RAD_OK
               : rad_fail(err, RAD_E_NOMEM, "cannot normalize %zu bytes of text", len);
}

/* ---- classes --------------------------------------------------------------------------- */

/* The character that text[len] begins with, and its bytes; 0 bytes: none. */
static size_t char_at(const char *text, size_t len, int32_t *c)
{
    const size_t step = len > 0 ? rad_ckpt_utf8(text, text + len) : 0;
    if (step > 0)
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)step, c);
    return step;
}

static size_t char_before(const char *text, size_t len, int32_t *c)
{
    for (size_t n = 1; n <= 4 && n <= len; n++)
        if (char_at(text + len - n, n, c) == n)
            return n;
    return 0;
}

/* White_Space of the Unicode character database (PropList.txt). */
static bool is_space(int32_t c)
{
    const utf8proc_category_t category = utf8proc_category(c);
    return (c >= 9 && c <= 13) || c == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

static bool is_word(int32_t c)
{
    const utf8proc_category_t category = utf8proc_category(c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ND) ||
           category == UTF8PROC_CATEGORY_PC;
}

size_t rad_unicode_space_at(const char *text, size_t len)
{
    int32_t c = 0;
    const size_t n = char_at(text, len, &c);
    return n > 0 && is_space(c) ? n : 0;
}

size_t rad_unicode_space_before(const char *text, size_t len)
{
    int32_t c = 0;
    const size_t n = char_before(text, len, &c);
    return n > 0 && is_space(c) ? n : 0;
}

bool rad_unicode_word_at(const char *text, size_t len)
{
    int32_t c = 0;
    return char_at(text, len, &c) > 0 && is_word(c);
}

bool rad_unicode_word_before(const char *text, size_t len)
{
    int32_t c = 0;
    return char_before(text, len, &c) > 0 && is_word(c);
}
