/* bpe.h - private to checkpoint: byte-pair encodings with a list of merges, as of GPT-2, OPT,
 * BLOOM, Llama 3 and Qwen2 (of bytes), and of Llama 2 and Mistral without tokenizer.model (of
 * characters).
 *
 * Whoever reads files fills a rad_bpe_spec (bpe_files.c, bpe_json.c, tok_gguf.c); bpe_vocab.c
 * checks it and builds a rad_bpe; tok_bpe.c encodes. The way of a text: added tokens -> normalizer
 * -> added tokens that want it normalized -> prefix, blanks to marks
 *   -> words by regular expressions, one after the other -> symbols -> merges.
 * Source: Sennrich et al., ACL 2016; Radford et al. 2019 (bytes); the behaviour of Hugging Face
 * tokenizers, whose words are used. */
#ifndef RAD_CHECKPOINT_BPE_H
#define RAD_CHECKPOINT_BPE_H

#include "checkpoint/text_added.h"
#include "checkpoint/text_split.h"
#include "checkpoint/tokenizer.h"
#include "checkpoint/unicode.h"

enum { RAD_BPE_STEPS = 8, RAD_BPE_PIECE = 1024, RAD_BPE_PIECES = 1 << 20 };

/* Text of a file, borrowed. */
struct rad_slice {
    const char *data; /* NULL: nothing */
    size_t len;
};

/* ---- steps before the merges ----------------------------------------------------------- */

/* A step of the normalizer. */
struct rad_bpe_normal {
    enum { RAD_NORMAL_FORM, RAD_NORMAL_PREPEND, RAD_NORMAL_REPLACE } kind;
    enum rad_unicode_form form;
    char *from, *to; /* owned: what is replaced (not empty), and with what, or prepended */
};

/* When a text gets a blank in front, unless it begins with one. */
enum rad_bpe_prefix { RAD_PREFIX_NEVER, RAD_PREFIX_FIRST, RAD_PREFIX_ALWAYS };

struct rad_bpe_steps {
    struct rad_bpe_normal normal[RAD_BPE_STEPS];
    int n_normal;
    enum rad_bpe_prefix prefix; /* FIRST: only at the beginning of the whole text */
    bool marks;                 /* blanks become word marks (Metaspace) */
    bool split_marks;           /* every mark begins a word */
    rad_split *split[RAD_BPE_STEPS];
    int n_split;
};

enum { RAD_BPE_NORMAL_MAX = 256 << 20 }; /* bytes that a text may become */

/* Append text, normalized, to out. errors: RAD_E_RANGE (out would be longer), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_bpe_normalize(const struct rad_bpe_steps *steps,
                                                 const char *text, size_t len, struct rad_buf *out,
                                                 struct rad_err *err);

/* Append a split. errors as rad_split_open, RAD_E_RANGE (too many) */
RAD_MUST_CHECK enum rad_status rad_bpe_add_split(struct rad_bpe_steps *steps,
                                                 struct rad_slice regex, bool keep_gaps,
                                                 struct rad_err *err);

/* What ByteLevel splits by, unless told not to. */
extern const char rad_bpe_gpt2_regex[];

/* ---- what files say -------------------------------------------------------------------- */

struct rad_bpe_merge {
    struct rad_slice left, right;
};

struct rad_bpe_spec {
    const char *path;        /* for messages */
    struct rad_slice *piece; /* [n_piece] by id, as the file writes them; malloc'ed */
    int32_t n_piece;
    struct rad_bpe_merge *merge; /* [n_merge], the best first; malloc'ed */
    size_t n_merge;
    struct rad_added_token *added; /* [n_added], borrowed texts; malloc'ed */
    size_t n_added;
    struct rad_bpe_steps steps;
    bool byte_level;    /* pieces are written in the alphabet of GPT-2 */
    bool byte_fallback; /* a character without a piece becomes pieces <0x00>..<0xFF> */
    bool ignore_merges; /* a word that is a piece is taken as it is */
    bool fuse_unk;
    struct rad_slice unk; /* name of the piece for unknown text */
    int32_t bos, eos;     /* as in rad_tokenizer */
    bool strip_one;       /* decoding takes one blank off the front */
};
void rad_bpe_spec_free(struct rad_bpe_spec *spec);

/* Room for pieces 0..max_id. errors: RAD_E_RANGE, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_bpe_spec_room(struct rad_bpe_spec *spec, int64_t max_id,
                                                 struct rad_err *err);
/* Room for n merges. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_bpe_spec_merges(struct rad_bpe_spec *spec, size_t n,
                                                   struct rad_err *err);
/* "left right" as a merge: one blank in between. errors: RAD_E_PARSE */
RAD_MUST_CHECK enum rad_status rad_bpe_merge_of(struct rad_bpe_merge *out, struct rad_slice text,
                                                struct rad_err *err);

/* ---- what encoding uses ---------------------------------------------------------------- */

struct rad_bpe_join { /* left 0 and right 0 with id -1: an empty slot */
    int32_t left, right, id;
    uint32_t rank;
};

struct rad_bpe {
    char *text;   /* of all pieces: bytes as they stand in a word */
    uint32_t *at; /* [n + 1] */
    int32_t n;
    int32_t *slot; /* [mask + 1] open addressing: a piece of the merges, or -1 */
    uint32_t mask;
    struct rad_bpe_join *join; /* [join_mask + 1] open addressing */
    uint32_t join_mask;
    int32_t byte_id[256]; /* the piece of a byte, or -1: by its text or <0x..> */
    int32_t unk;          /* or -1 */
    bool byte_level, byte_fallback, ignore_merges, fuse_unk;
    bool by_word;           /* no piece has a mark behind another character */
    struct rad_added added; /* looked for in the text itself */
    struct rad_added added_normal;
    struct rad_bpe_steps steps;
};

/* The id of the piece with these bytes, or -1. */
int32_t rad_bpe_find(const struct rad_bpe *bpe, const char *text, size_t len);
/* The merge of two ids, or NULL. */
const struct rad_bpe_join *rad_bpe_join_of(const struct rad_bpe *bpe, int32_t left, int32_t right);

/* Fill tok with what the spec says; takes its steps. errors: RAD_E_PARSE, RAD_E_RANGE, RAD_E_NOMEM
 */
RAD_MUST_CHECK enum rad_status rad_bpe_build(rad_tokenizer *tok, struct rad_bpe_spec *spec,
                                             struct rad_err *err);
void rad_bpe_free(void *bpe); /* NULL is fine */

/* The part of it that knows pieces and merges: pieces of bpe and tok. errors: the same */
RAD_MUST_CHECK enum rad_status rad_bpe_index(struct rad_bpe *bpe, struct rad_bpe_spec *spec,
                                             rad_tokenizer *tok, struct rad_err *err);

#endif
