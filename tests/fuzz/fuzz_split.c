/* fuzz_split.c - any bytes as a regular expression and a text: refused, or its matches follow each
 * other; and the text's normal forms do not change when they are made again. The first byte says
 * how many of the next are the pattern. */
#include "checkpoint/outside.h"
#include "checkpoint/text_split.h"
#include "checkpoint/unicode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_split(const rad_split *split, const char *text, size_t len)
{
    rad_splitter *s = NULL;
    struct rad_err err = {.msg = ""};
    must(rad_splitter_open(&s, split, len, &err) == RAD_OK);
    for (size_t from = 0, begin, end; from < len;) {
        if (rad_splitter_find(s, text, len, from, &begin, &end, &err) != RAD_OK) {
            must(err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
            break;
        }
        must(from <= begin && begin <= end && end <= len);
        must(begin == len || ((unsigned char)text[begin] & 0xc0) != 0x80);
        from = end > from ? end : from + rad_ckpt_utf8(text + from, text + len);
    }
    rad_splitter_close(s);
}

static void try_form(enum rad_unicode_form form, const char *text, size_t len)
{
    struct rad_buf once = {0}, twice = {0};
    must(rad_unicode_normalize(form, text, len, &once, NULL) == RAD_OK);
    must(once.len == 0 || rad_unicode_normalize(form, once.data, once.len, &twice, NULL) == RAD_OK);
    must(once.len == twice.len && (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
    rad_buf_free(&once);
    rad_buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const size_t len = data[0] < size - 1 ? data[0] : size - 1, rest = size - 1 - len;
    struct rad_err err = {.msg = ""};
    rad_split *split = NULL;
    char *text = malloc(rest + 1); /* of its own size, so that a read past the end is seen */
    if (text == NULL)
        return 0;
    memcpy(text, data + 1 + len, rest);
    if (rad_split_open(&split, (const char *)data + 1, len, true, &err) != RAD_OK)
        must(split == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    else if (rad_ckpt_is_utf8(text, rest))
        try_split(split, text, rest);
    for (int form = RAD_NFC; form <= RAD_NFKD; form++)
        try_form((enum rad_unicode_form)form, text, rest);
    rad_split_close(split);
    free(text);
    return 0;
}
