/* text_added.h - private to checkpoint: tokens that are found in a text before it is cut into
 * words, such as <|endoftext|>. Of those that begin at the first place where any does, the longest
 * counts. Source: the documentation of AddedToken in Hugging Face tokenizers. */
#ifndef RAD_CHECKPOINT_TEXT_ADDED_H
#define RAD_CHECKPOINT_TEXT_ADDED_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAD_ADDED_LEN = 256 }; /* most bytes of one */

struct rad_added_token {
    const char *text; /* [len], 1 to RAD_ADDED_LEN bytes */
    size_t len;
    int32_t id;
    bool single_word;    /* only where no letter, digit or '_' is beside it */
    bool lstrip, rstrip; /* takes the white space before or behind it */
    bool normalized;     /* looked for in the normalized text */
    bool special;        /* control: has no text of its own */
};

/* A set of them. */
struct rad_added {
    struct rad_added_token *token; /* [n], ordered by bytes; each text once */
    size_t n;
    char *text;      /* of all tokens */
    bool first[256]; /* bytes that one begins with */
};

/* Copy token[n], texts too. errors: RAD_E_PARSE (a text twice), RAD_E_NOMEM; free it then too */
RAD_MUST_CHECK enum rad_status rad_added_open(struct rad_added *out,
                                              const struct rad_added_token *token, size_t n,
                                              struct rad_err *err);
void rad_added_free(struct rad_added *added);

/* The next one in text[from..len): where it begins and ends, stripped white space included. What is
 * left of from belongs to the text, but is never stripped. False: there is none. */
struct rad_added_hit {
    size_t begin, end;
    int32_t id;
};
bool rad_added_next(const struct rad_added *added, const char *text, size_t len, size_t from,
                    struct rad_added_hit *hit);

#endif
