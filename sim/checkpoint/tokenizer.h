/* tokenizer.h - private to checkpoint: what all tokenizers share, and what each brings.
 *
 * Two tables meet here. A *type* says how text becomes ids (tok_<name>.c). A *source* says what
 * files a model brings and how they become a tokenizer of some type: the rows of tokenizer.c. */
#ifndef RAD_CHECKPOINT_TOKENIZER_H
#define RAD_CHECKPOINT_TOKENIZER_H

#include "checkpoint/checkpoint.h"

/* How text becomes ids. */
struct rad_tokenizer_type {
    const char *kind;
    /* Append the ids of text to out. */
    enum rad_status (*encode)(const rad_tokenizer *tok, const struct rad_text *text,
                              struct rad_ids *out, struct rad_err *err);
    void (*free)(void *state); /* NULL: no state */
};

enum { RAD_TOKENIZER_FILES = 4 };

/* The bytes of one file; data is malloc'ed and NUL-terminated, or NULL: there is no such file. */
struct rad_tokenizer_file {
    char *data;
    size_t len;
    const char *path; /* for messages */
};

/* Files that make a tokenizer. */
struct rad_tokenizer_source {
    const char *file[RAD_TOKENIZER_FILES]; /* names in a model folder; NULL ends */
    int n_needed; /* the first ones, without which this is no such folder; others are optional */
    /* Fill tok, its type first. file[i] holds what `file` names; a reader that keeps the bytes of
     * one sets its data to NULL, all others are freed by the caller. */
    enum rad_status (*read)(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                            struct rad_err *err);
};

enum {
    RAD_TOKEN_BLANK = 1, /* the text begins with a word mark */
    RAD_TOKEN_BYTE = 2,  /* the text is one byte, perhaps of a longer character */
};

struct rad_tokenizer {
    const struct rad_tokenizer_type *type;
    void *state;            /* the type's own */
    int32_t vocab, n_piece; /* the model's ids; those that have a piece */
    int32_t bos, eos;       /* what goes before a text and what ends one; -1: none */
    bool strip_one;         /* decoding takes the blank off the first piece */
    bool strip_all;         /* off every piece before the first text */
    char *surface;          /* texts of the pieces, one after the other */
    uint32_t *surface_at;   /* [n_piece + 1] */
    unsigned char *flags;   /* [n_piece] RAD_TOKEN_* */
};

extern const struct rad_tokenizer_type rad_tokenizer_type_none;
extern const struct rad_tokenizer_type rad_tokenizer_type_bytes;
extern const struct rad_tokenizer_type rad_tokenizer_type_spm;
extern const struct rad_tokenizer_type rad_tokenizer_type_bpe;

extern const struct rad_tokenizer_source rad_tokenizer_source_spm;  /* tokenizer.model */
extern const struct rad_tokenizer_source rad_tokenizer_source_json; /* tokenizer.json */
extern const struct rad_tokenizer_source rad_tokenizer_source_gguf; /* inside a model's file */
extern const struct rad_tokenizer_source rad_tokenizer_source_bpe;  /* vocab.json and merges.txt */

/* The word mark U+2581, which stands for a blank. */
#define RAD_WORD_MARK "\xe2\x96\x81"
enum { RAD_WORD_MARK_LEN = 3 };
bool rad_word_mark_at(const char *text, const char *end);

/* Where text may be cut, if no piece has a mark behind another character (rad_word_mark_inside):
 * before a mark that follows something else. Returns end if there is no such place. */
const char *rad_word_end(const char *text, const char *end);
bool rad_word_mark_inside(const char *text, size_t len);

/* Make a tokenizer of file[], as many as source names; frees all their data, on failure too.
 * errors as rad_tokenizer_open */
RAD_MUST_CHECK enum rad_status rad_tokenizer_read(rad_tokenizer **out,
                                                  const struct rad_tokenizer_source *source,
                                                  struct rad_tokenizer_file *file, int32_t vocab,
                                                  struct rad_err *err);

/* Allocate surface (of so many bytes), surface_at and flags for n pieces. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_room(rad_tokenizer *tok, int32_t n, size_t bytes,
                                                  struct rad_err *err);

/* Make tok, which is new and of 256 ids, one of bytes. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_fill_bytes(rad_tokenizer *tok, struct rad_err *err);

/* Make tok, which is new, one that encodes nothing: "PATH: WHY" is its message.
 * errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_fill_none(rad_tokenizer *tok, const char *path,
                                                       const char *why, struct rad_err *err);

/* Append one id; the room grows by doubling. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_ids_add(struct rad_ids *ids, int32_t id, struct rad_err *err);

/* The byte that a piece called <0x00>..<0xFF> stands for, or -1. */
int rad_byte_piece(const char *text, size_t len);

#endif
