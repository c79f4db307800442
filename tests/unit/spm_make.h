/* spm_make.h - small sentencepiece models made up in memory, and merging done the slow way. */
#ifndef RAD_TEST_SPM_MAKE_H
#define RAD_TEST_SPM_MAKE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK "\xe2\x96\x81" /* stands for a blank */

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6 };

struct made_piece {
    const char *text;
    float score;
    int type;
};

/* The pieces behind <unk> <s> </s> and, with byte_fallback, <0x00>..<0xFF>. */
extern const struct made_piece made_pieces[];
extern const int n_made_pieces;

struct made_spm {
    bool byte_fallback, add_dummy_prefix, remove_extra_whitespaces, span_words;
};

/* Fields of a message. */
void made_varint(struct rad_buf *b, uint32_t field, uint64_t value);
void made_bytes(struct rad_buf *b, uint32_t field, const void *data, size_t len);
void made_piece(struct rad_buf *b, const char *text, float score, int type);

/* The bytes of a tokenizer.model; *tail is where the last message (the normalizer) begins. */
struct rad_buf made_model(const struct made_spm *m, size_t *tail);

/* Encode text over the letters of made_pieces by looking for the best pair again and again. Writes
 * the indexes into made_pieces and returns how many. */
int made_merge(const char *text, int *out, bool span_words);

#endif
