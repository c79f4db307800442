/* spm.h - private to checkpoint: a sentencepiece vocabulary, read by spm_file.c, indexed by
 * spm_vocab.c, used by tok_spm.c. */
#ifndef RAD_CHECKPOINT_SPM_H
#define RAD_CHECKPOINT_SPM_H

#include "checkpoint/protobuf.h"
#include "checkpoint/tokenizer.h"

/* Types of pieces, numbered as in the file. */
enum rad_spm_type {
    RAD_SPM_NORMAL = 1,
    RAD_SPM_UNKNOWN = 2,
    RAD_SPM_CONTROL = 3,
    RAD_SPM_USER_DEFINED = 4,
    RAD_SPM_UNUSED = 5,
    RAD_SPM_BYTE = 6,
};

struct rad_spm_piece {
    const char *text; /* [len], in the file's bytes */
    uint32_t len;
    float score;
    enum rad_spm_type type;
};

struct rad_spm {
    char *file;
    struct rad_spm_piece *piece; /* [n] by token id */
    int32_t n;
    int32_t *slot; /* [mask + 1] open addressing: id of a piece that text can have, or -1 */
    uint32_t mask;
    int32_t *user; /* [n_user] ids of user-defined pieces, in the order of their bytes */
    int32_t n_user;
    int32_t unk;
    int32_t byte_id[256]; /* if byte_fallback */
    uint32_t longest;     /* bytes of the longest piece that text can have */
    bool byte_fallback;
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
    bool by_word; /* no piece has a mark behind another character: words are independent */
};

/* The id of the normal or user-defined piece with these bytes, or -1. */
int32_t rad_spm_find(const struct rad_spm *spm, const char *text, size_t len);

/* A file being read. */
struct rad_spm_reader {
    struct rad_spm *spm;
    const char *path;
    uint64_t model_type;
    bool as_suffix;
    struct rad_pb_field bos, eos,
        unk; /* names of the pieces, text for unknown; data NULL: default */
    struct rad_err *err;
};

/* Check and index the pieces, fill tok. errors as below */
RAD_MUST_CHECK enum rad_status rad_spm_index(struct rad_spm_reader *r, rad_tokenizer *tok);

/* Read tokenizer.model. errors: RAD_E_PARSE, RAD_E_RANGE, RAD_E_UNSUPPORTED, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_spm_read(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                                            struct rad_err *err);
void rad_spm_free(void *spm); /* a struct rad_spm; NULL is fine */

#endif
