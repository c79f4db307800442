/* unicode.h - private to checkpoint: normal forms and classes of characters, by utf8proc. */
#ifndef RAD_CHECKPOINT_UNICODE_H
#define RAD_CHECKPOINT_UNICODE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Normal forms of Unicode Standard Annex 15. */
enum rad_unicode_form { RAD_NFC, RAD_NFD, RAD_NFKC, RAD_NFKD };

/* Append text[len] in a normal form to out; takes time in proportion to len. Bytes that are no
 * UTF-8 are kept, and nothing is composed across them. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_unicode_normalize(enum rad_unicode_form form, const char *text,
                                                     size_t len, struct rad_buf *out,
                                                     struct rad_err *err);

/* Bytes of the white space that text[len] begins with or ends in; 0: something else is there. */
size_t rad_unicode_space_at(const char *text, size_t len);
size_t rad_unicode_space_before(const char *text, size_t len);

/* Whether text[len] begins with, or ends in, a letter, mark, digit or connector such as '_'. */
bool rad_unicode_word_at(const char *text, size_t len);
bool rad_unicode_word_before(const char *text, size_t len);

#endif
