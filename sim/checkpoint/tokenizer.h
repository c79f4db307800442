/* tokenizer.h - private to checkpoint: what all tokenizers share, and what each brings. */
#ifndef RAD_CHECKPOINT_TOKENIZER_H
#define RAD_CHECKPOINT_TOKENIZER_H

#include "checkpoint/checkpoint.h"

/* The bytes of a tokenizer file; data is malloc'ed and NUL-terminated. */
struct rad_tokenizer_file {
    char *data;
    size_t len;
    const char *path; /* for messages */
};

/* A kind of tokenizer: one file tok_<name>.c and a row in tokenizer.c. */
struct rad_tokenizer_type {
    const char *kind;
    const char *file; /* what a model folder holds for it; NULL: nothing */
    /* Fill tok; takes over file->data, on failure too. NULL for a type without a file. */
    enum rad_status (*parse)(rad_tokenizer *tok, const struct rad_tokenizer_file *file,
                             struct rad_err *err);
    /* Append the ids of text to out. */
    enum rad_status (*encode)(const rad_tokenizer *tok, const struct rad_text *text,
                              struct rad_ids *out, struct rad_err *err);
    void (*free)(void *state); /* NULL: no state */
};

enum {
    RAD_TOKEN_BLANK = 1, /* the text begins with a word mark */
    RAD_TOKEN_BYTE = 2,  /* the text is one byte, perhaps of a longer character */
};

struct rad_tokenizer {
    const struct rad_tokenizer_type *type;
    void *state;            /* the type's own */
    int32_t vocab, n_piece; /* the model's ids; those that have a piece */
    int32_t bos, eos;       /* -1: none */
    bool strip_one;         /* decoding takes the blank off the first piece */
    bool strip_all;         /* off every piece before the first text */
    char *surface;          /* texts of the pieces, one after the other */
    uint32_t *surface_at;   /* [n_piece + 1] */
    unsigned char *flags;   /* [n_piece] RAD_TOKEN_* */
};

extern const struct rad_tokenizer_type rad_tokenizer_type_bytes;
extern const struct rad_tokenizer_type rad_tokenizer_type_spm;

/* Read a tokenizer file; takes over file->data, on failure too. errors as rad_tokenizer_open */
RAD_MUST_CHECK enum rad_status rad_tokenizer_parse(rad_tokenizer **out,
                                                   const struct rad_tokenizer_type *type,
                                                   const struct rad_tokenizer_file *file,
                                                   int32_t vocab, struct rad_err *err);

/* Allocate surface (of so many bytes), surface_at and flags for n pieces. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_room(rad_tokenizer *tok, int32_t n, size_t bytes,
                                                  struct rad_err *err);

/* Append one id; the room grows by doubling. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_ids_add(struct rad_ids *ids, int32_t id, struct rad_err *err);

#endif
