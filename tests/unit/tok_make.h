/* tok_make.h - tokenizers made of texts in memory. */
#ifndef RAD_TEST_TOK_MAKE_H
#define RAD_TEST_TOK_MAKE_H

#include "checkpoint/tokenizer.h"

/* The tokenizer of these files, in the order of source->file; NULL: there is no such file. Messages
 * call them file0, file1 ... */
enum rad_status made_tokenizer(rad_tokenizer **out, const struct rad_tokenizer_source *source,
                               const char *const text[RAD_TOKENIZER_FILES], int32_t vocab,
                               struct rad_err *err);

/* A tokenizer.json by its parts; NULL: the value of made_json_parts, "-": left out. */
struct made_json {
    const char *model, *added, *normalizer, *pre, *post, *decoder, *config;
};
enum rad_status made_json_tokenizer(rad_tokenizer **out, const struct made_json *parts,
                                    struct rad_err *err);

/* Whether text becomes these ids, written with blanks in between; says so if not. */
bool made_encodes(const rad_tokenizer *tok, const char *text, const char *ids);

/* For fuzzers: data is a length, a text of so many bytes, and the files of source, with a byte 0x1e
 * in between if there are several. Aborts unless they are refused in one line, or the text becomes
 * ids in range that decode. */
void made_fuzz(const struct rad_tokenizer_source *source, const uint8_t *data, size_t size);

#endif
