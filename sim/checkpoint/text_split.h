/* text_split.h - private to checkpoint: text cut into words by a regular expression, by pcre2.
 *
 * Patterns come from tokenizer files, where they are written for Oniguruma; what that reads
 * otherwise is rewritten: \s is the Unicode property White_Space, and a class may hold another one.
 * Patterns are hostile: one that takes more steps than a bound that grows linearly with the text
 * fails, so a text costs a limited time with any of them. */
#ifndef RAD_CHECKPOINT_TEXT_SPLIT_H
#define RAD_CHECKPOINT_TEXT_SPLIT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rad_split rad_split; /* immutable */

/* Compile pattern[len], UTF-8. keep_gaps: what no match covers is a word too, else it is dropped.
 * errors: RAD_E_PARSE, RAD_E_RANGE (longer than 4096 bytes), RAD_E_UNSUPPORTED, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_split_open(rad_split **out, const char *pattern, size_t len,
                                              bool keep_gaps, struct rad_err *err);
void rad_split_close(rad_split *split); /* NULL is fine */
bool rad_split_keeps_gaps(const rad_split *split);

/* What one thread needs to cut texts of total_len bytes in all. */
typedef struct rad_splitter rad_splitter;
RAD_MUST_CHECK enum rad_status rad_splitter_open(rad_splitter **out, const rad_split *split,
                                                 size_t total_len, struct rad_err *err);
void rad_splitter_close(rad_splitter *s); /* NULL is fine */

/* The first match in text[from..len]: *begin to *end, perhaps empty; both are len if there is none.
 * text[len] is valid UTF-8, and from is the start of a character.
 * errors: RAD_E_RANGE (too many steps), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_splitter_find(rad_splitter *s, const char *text, size_t len,
                                                 size_t from, size_t *begin, size_t *end,
                                                 struct rad_err *err);

#endif
