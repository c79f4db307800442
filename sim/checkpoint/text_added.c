/* text_added.c - added tokens found in a text. */
#include "checkpoint/text_added.h"

#include "checkpoint/unicode.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    const struct rad_added_token *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

enum rad_status rad_added_open(struct rad_added *out, const struct rad_added_token *token, size_t n,
                               struct rad_err *err)
{
    size_t bytes = 0;
    *out = (struct rad_added){.n = n};
    for (size_t i = 0; i < n; i++)
        bytes += token[i].len;
    out->token = malloc((n + 1) * sizeof *out->token);
    out->text = malloc(bytes + 1);
    if (out->token == NULL || out->text == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate %zu added tokens", n);
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        out->token[i] = token[i];
        out->token[i].text = memcpy(out->text + bytes, token[i].text, token[i].len);
        out->first[(unsigned char)token[i].text[0]] = true;
        bytes += token[i].len;
    }
    qsort(out->token, n, sizeof *out->token, by_bytes);
    for (size_t i = 1; i < n; i++)
        if (by_bytes(&out->token[i - 1], &out->token[i]) == 0)
            return rad_fail(err, RAD_E_PARSE, "added tokens %d and %d have the same text",
                            (int)out->token[i - 1].id, (int)out->token[i].id);
    return RAD_OK;
}

void rad_added_free(struct rad_added *added)
{
    free(added->token);
    free(added->text);
    *added = (struct rad_added){0};
}

/* The first of token[lo..hi) whose byte at place d is at least c; they share their first d bytes.
 */
static size_t first_from(const struct rad_added *a, size_t lo, size_t hi, size_t d, int c)
{
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const struct rad_added_token *t = &a->token[mid];
        const int byte = d < t->len ? (unsigned char)t->text[d] : -1;
        if (byte < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest token that text begins with, or NULL. */
static const struct rad_added_token *longest(const struct rad_added *a, const char *text,
                                             size_t len)
{
    const struct rad_added_token *best = NULL;
    size_t lo = 0, hi = a->n;
    for (size_t d = 0; d < len && lo < hi; d++) {
        const int c = (unsigned char)text[d];
        lo = first_from(a, lo, hi, d, c);
        hi = first_from(a, lo, hi, d, c + 1);
        if (lo < hi && a->token[lo].len == d + 1)
            best = &a->token[lo];
    }
    return best;
}

/* Whether the token may stand at text[at]. */
static bool fits(const struct rad_added_token *t, const char *text, size_t len, size_t at)
{
    if (!t->single_word)
        return true;
    const size_t end = at + t->len;
    return !rad_unicode_word_before(text, at) && !rad_unicode_word_at(text + end, len - end);
}

bool rad_added_next(const struct rad_added *added, const char *text, size_t len, size_t from,
                    struct rad_added_hit *hit)
{
    for (size_t at = from; at < len; at++) {
        if (!added->first[(unsigned char)text[at]])
            continue;
        const struct rad_added_token *t = longest(added, text + at, len - at);
        if (t == NULL)
            continue;
        if (!fits(t, text, len, at)) {
            at += t->len - 1;
            continue;
        }
        *hit = (struct rad_added_hit){at, at + t->len, t->id};
        while (t->lstrip && hit->begin > from) {
            const size_t step = rad_unicode_space_before(text + from, hit->begin - from);
            if (step == 0)
                break;
            hit->begin -= step;
        }
        while (t->rstrip && hit->end < len) {
            const size_t step = rad_unicode_space_at(text + hit->end, len - hit->end);
            if (step == 0)
                break;
            hit->end += step;
        }
        return true;
    }
    return false;
}
