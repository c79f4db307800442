/* checkpoint.h - models of others: folders in Hugging Face layout (config.json, weights, tokenizer)
 * and GGUF files, which have all three in them.
 *
 * A model comes from outside: every file is checked in full before a number of it is used, and a
 * refused file costs one message "file: what was found, what is allowed". Opened handles are
 * immutable and may be shared by threads. Families, norms, tokenizers and number formats are rows
 * of tables; adding one needs no change here. */
#ifndef RAD_CHECKPOINT_H
#define RAD_CHECKPOINT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "spec/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- where a model is --------------------------------------------------------------------- */

/* The folder or the GGUF file that model means; the functions below take what is found here:
 *   a .gguf file                          itself
 *   a folder without other weights that has exactly one .gguf file          that file
 *   models--ORG--NAME as in the cache of the Hugging Face hub    the snapshot that refs/main names
 *   any other folder                      itself
 *   ORG/NAME, if there is no such folder: models--ORG--NAME in $HF_HUB_CACHE, else in
 *                                         $HF_HOME/hub, else in ~/.cache/huggingface/hub
 * errors: RAD_E_IO (nothing there; says where it was looked for), RAD_E_PARSE (a malformed
 * refs/main), RAD_E_ARG (several .gguf files, a path that is too long) */
RAD_MUST_CHECK enum rad_status rad_model_find(char out[RAD_PATH_MAX], const char *model,
                                              struct rad_err *err);

/* ---- weights: safetensors, torch.save, GGUF -------------------------------------------------- */

#define RAD_TENSOR_DIMS 4

struct rad_shape {
    int32_t n_dim;                /* 0 for a scalar */
    int64_t dim[RAD_TENSOR_DIMS]; /* slowest first; entries from n_dim on are ignored */
};

/* Formats of GGUF files in which a block of values of one row shares a scale (as in tensor/mat.h).
 */
enum rad_block { RAD_BLOCK_NONE, RAD_BLOCK_Q8_0, RAD_BLOCK_Q4_0, RAD_BLOCK_Q6_K };

/* One tensor of an open folder; everything it points to lives until rad_tensors_close. */
struct rad_tensor {
    const char *name;
    const char *dtype_name; /* as in the file: "F32", "BF16", "I64" ... */
    enum rad_dtype dtype;   /* RAD_N_DTYPE for blocks and for formats that are no weights */
    enum rad_block block;   /* RAD_BLOCK_NONE but for Q8_0, Q4_0, Q6_K */
    struct rad_shape shape;
    int64_t n; /* elements */
    size_t bytes;
    const void
        *data; /* [n] little endian, row major, NOT aligned: read it with rad_tensor_to_f32 */
};

typedef struct rad_tensors rad_tensors;

/* Open the weights at path: a folder with model.safetensors or model.safetensors.index.json and
 * its shards, or else pytorch_model.bin or its index and shards (files of torch.save; their pickles
 * are read, not run), or one file of these kinds or .gguf. The files are mapped, not read: they
 * must not be shortened while open (writing beside and renaming, as rad_tensors_write does, is
 * safe). errors: RAD_E_IO, RAD_E_PARSE (malformed, or a Git-LFS pointer), RAD_E_RANGE (over a
 * limit: header 16 MiB, of GGUF 64 MiB, 65536 tensors, 4 dimensions, names of 256 bytes),
 * RAD_E_UNSUPPORTED (GGUF: another version, big endian), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tensors_open(rad_tensors **out, const char *path,
                                                struct rad_err *err);
void rad_tensors_close(rad_tensors *t); /* NULL is fine */

/* Say that small parts of the files will be read next (sparse), or whole tensors again, as after
 * opening: unless told, the system reads megabytes around every byte that is touched. */
void rad_tensors_expect(const rad_tensors *t, bool sparse);
/* Begin to read bytes of a tensor that will be needed soon; returns at once. */
void rad_tensors_prefetch(const void *data, size_t bytes);

size_t rad_tensors_count(const rad_tensors *t);
/* The i-th tensor in the order of names (bytewise); NULL past the end. */
const struct rad_tensor *rad_tensors_at(const rad_tensors *t, size_t i);
/* The tensor called name, whatever its shape and format; NULL if there is none. */
const struct rad_tensor *rad_tensors_find(const rad_tensors *t, const char *name);
/* The value of key in the metadata of a safetensors file (first shard), or NULL. */
const char *rad_tensors_metadata(const rad_tensors *t, const char *key);

/* The tensor called name, which must have this shape and be F32, F16, BF16, Q8_0, Q4_0 or
 * Q6_K.
 * errors: RAD_E_RANGE (missing, or another shape), RAD_E_UNSUPPORTED (another format) */
RAD_MUST_CHECK enum rad_status rad_tensors_get(const rad_tensors *t, const char *name,
                                               struct rad_shape shape,
                                               const struct rad_tensor **out, struct rad_err *err);

/* Convert all elements to float; exact for all six formats. dst holds tensor->n floats.
 * errors: RAD_E_UNSUPPORTED (another format) */
RAD_MUST_CHECK enum rad_status rad_tensor_to_f32(float *dst, const struct rad_tensor *tensor,
                                                 struct rad_err *err);

/* rad_tensors_get, then rad_tensor_to_f32. dst holds the product of shape. */
RAD_MUST_CHECK enum rad_status rad_tensors_read(const rad_tensors *t, const char *name,
                                                struct rad_shape shape, float *dst,
                                                struct rad_err *err);

/* A tensor to be written. */
struct rad_tensor_out {
    const char *name;     /* UTF-8, 1 to 256 bytes, no control characters */
    enum rad_dtype dtype; /* RAD_F32, or RAD_BF16 (rounded to nearest, ties to even) */
    int32_t n_dim;
    int64_t dim[RAD_TENSOR_DIMS];
    const float *data; /* [product of dim], borrowed */
};

/* Write one safetensors file, whole or not at all. metadata_json is NULL or the text of a JSON
 * object whose values are strings. Equal content gives equal bytes: tensors are laid out by
 * falling element size, then by name, whatever the order given.
 * errors: RAD_E_ARG (bad name, format or shape, a name twice, metadata not as above), RAD_E_IO,
 *         RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tensors_write(const char *path,
                                                 const struct rad_tensor_out *tensor, size_t n,
                                                 const char *metadata_json, struct rad_err *err);

/* ---- config.json ----------------------------------------------------------------------- */

#define RAD_KNOB_MAX 32
#define RAD_MODEL_TYPE 32

/* The router of a `radial` model: an MLP d_model -> hidden -> n_layer + 1. The table maps the
 * expected share of executed layers to the price per hop that makes the router spend it. */
struct rad_router_config {
    int32_t hidden;                  /* 0: no router */
    int32_t max_hops;                /* the model's n_layer without a router */
    int32_t n_table;                 /* 0 until measured */
    double depth_frac[RAD_KNOB_MAX]; /* strictly increasing */
    double price[RAD_KNOB_MAX];
};

/* Rotation slowed down for longer contexts (infer/rope.c has the equations). */
enum rad_rope_kind { RAD_ROPE_PLAIN, RAD_ROPE_LINEAR, RAD_ROPE_LLAMA3 };
struct rad_rope_scaling {
    enum rad_rope_kind kind;
    double factor, low_freq_factor, high_freq_factor;
    int32_t original_ctx;
};

/* What config.json says. `card` has n_head, d_head, norm, act, tied...; card.router_hidden and
 * card.max_hops equal those of `router`. Plain value: copy freely. */
struct rad_model_config {
    struct rad_card card;
    char model_type[RAD_MODEL_TYPE]; /* "llama", "radial", "opt" ...: rows of family.c */
    float rms_eps;                   /* added to the mean square (RMS) or variance (layer norm) */
    double rope_theta;
    int32_t bos, eos;     /* token ids, -1: none; of a list of eos ids the first */
    enum rad_dtype dtype; /* of the weights, as announced; RAD_F32 if it does not say */
    bool byte_tokens;     /* "radial_tokenizer": "bytes": token ids are bytes */
    struct rad_router_config router;
    struct rad_rope_scaling rope;
    int32_t window;    /* keys that a query sees at most, itself included; 0: all before it */
    int32_t first_row; /* of the position table that position 0 takes (OPT: 2) */
    bool gelu_exact;   /* GELU by erf; the tanh form if not */
    bool rope_pairs;   /* pairs (2i, 2i + 1) of a head turn; (i, i + d_head/2) if not */
    bool gguf;         /* tensors are called as in GGUF files */
    bool all_see_all;  /* attention is not causal (images) */
};

/* How Q, K and V lie in a file: one matrix each, one matrix of the three stacked, or one matrix in
 * which every head has its own three. */
enum rad_qkv { RAD_QKV_APART, RAD_QKV_STACKED, RAD_QKV_BY_HEAD };

/* What a family calls its tensors: ".weight" and ".bias" follow, but for those marked. NULL: it
 * has no such tensor. Names of layers follow `layer`, a printf format of the index. */
struct rad_layout {
    const char *prefix[4]; /* of all names but `head`: the first that fits a file; NULL ends */
    const char *embed, *embed_norm, *position, *project_in, *project_out, *norm_f, *head;
    const char *cls, *patch; /* cls, and position if cls is not NULL, are whole names */
    const char *rope_freqs;  /* divisors of the rotations [d_head / 2]; a file may lack it */
    const char *layer, *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down; /* q: of all three if
                                                                             they are in one */
    enum rad_qkv qkv;
    bool in_out; /* matrices of layers are stored [n_in][n_out] */
};
/* The layout of a family; NULL for an unknown model_type. */
const struct rad_layout *rad_model_layout(const struct rad_model_config *config);

/* Read folder/config.json, or the metadata of a .gguf file, and check it with rad_card_check.
 * card.name is the folder's or file's own name ("model" for "." and ".."; ORG--NAME in the cache of
 * the hub). errors: RAD_E_IO, RAD_E_PARSE, RAD_E_RANGE (value outside its limits,
 * missing key), RAD_E_UNSUPPORTED (unknown model_type, or a variant that is not supported) */
RAD_MUST_CHECK enum rad_status rad_model_config_open(struct rad_model_config *out,
                                                     const char *folder, struct rad_err *err);

/* Write folder/config.json (the folder exists), whole or not at all. A `llama` is written so that
 * other readers of that layout load it. errors: RAD_E_ARG (card and router disagree), RAD_E_RANGE,
 * RAD_E_UNSUPPORTED (the family cannot hold this norm, activation or router), RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_model_config_write(const struct rad_model_config *config,
                                                      const char *folder, struct rad_err *err);

/* ---- tokenizers ------------------------------------------------------------------------ */

typedef struct rad_tokenizer rad_tokenizer;

/* Open the tokenizer of a model: of a .gguf file the vocabulary inside; of a folder bytes, if its
 * config.json says "radial_tokenizer": "bytes", or else the first of these that it has:
 *   tokenizer.model              sentencepiece BPE
 *   tokenizer.json               a BPE model, of bytes (GPT-2, OPT, BLOOM, Llama 3, Qwen2) or of
 *                                characters (Llama 2, Mistral), with its normalizer (NFC, NFD,
 *                                NFKC, NFKD, Prepend, Replace), words (ByteLevel, Split, Digits,
 *                                Metaspace), added tokens, and one BOS by TemplateProcessing
 *   vocab.json and merges.txt    bytes, as GPT-2 and OPT have them
 *   nothing                      bytes, if vocab is 256, or else "none", like a .gguf file that
 *                                says so: encoding fails and says what was expected
 * tokenizer_config.json and special_tokens_map.json beside them name BOS and EOS where the files do
 * not. Parts of a tokenizer.json that would change ids and are not known are refused. vocab is the
 * model's: no token id reaches it.
 * errors: RAD_E_IO, RAD_E_PARSE, RAD_E_RANGE (more pieces than vocab, over a limit: files of 64
 * MiB, 2^20 pieces of 1024 bytes), RAD_E_UNSUPPORTED, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_open(rad_tokenizer **out, const char *model,
                                                  int32_t vocab, struct rad_err *err);

/* A byte vocabulary without a folder. */
RAD_MUST_CHECK enum rad_status rad_tokenizer_open_bytes(rad_tokenizer **out, struct rad_err *err);
void rad_tokenizer_close(rad_tokenizer *tok); /* NULL is fine */

const char *rad_tokenizer_kind(const rad_tokenizer *tok); /* bytes sentencepiece bpe none */
int32_t rad_tokenizer_vocab(const rad_tokenizer *tok);    /* the model's */
int32_t rad_tokenizer_bos(const rad_tokenizer *tok); /* what goes before a text; -1: nothing does */
int32_t rad_tokenizer_eos(const rad_tokenizer *tok); /* -1: none is named */

/* Text to encode; any bytes, NUL too. A byte that is no UTF-8 counts as U+FFFD for sentencepiece,
 * as in the original implementation; bpe keeps it. The texts of special tokens become these tokens
 * in bpe, as elsewhere, and are plain text in sentencepiece. */
struct rad_text {
    const char *data;
    size_t len; /* at most 64 MiB */
    bool bos;   /* begin with the BOS id, if the tokenizer has one */
};

/* Token ids, malloc'ed; free with rad_ids_free. */
struct rad_ids {
    int32_t *id; /* [n] */
    size_t n;
};

/* Takes a time that grows about linearly with the text, whatever the tokenizer's files say.
 * errors: RAD_E_RANGE (too long; a byte that has no token; a pattern of the tokenizer takes too
 * many steps, as with over 64 Ki blanks in a row), RAD_E_NOMEM; *out is empty then */
RAD_MUST_CHECK enum rad_status rad_tokenizer_encode(const rad_tokenizer *tok,
                                                    const struct rad_text *text,
                                                    struct rad_ids *out, struct rad_err *err);
void rad_ids_free(struct rad_ids *ids); /* leaves it empty */

/* Append the text of n ids to out: bytes, not always valid UTF-8 (byte tokens). Control tokens have
 * no text; the blank that encoding puts before the first word is taken off the first piece.
 * errors: RAD_E_RANGE (an id outside 0..vocab-1), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_tokenizer_decode(const rad_tokenizer *tok, const int32_t *id,
                                                    size_t n, struct rad_buf *out,
                                                    struct rad_err *err);

/* The text of one token, nothing taken off; *len bytes, not NUL-terminated, borrowed. Empty for
 * control tokens and for ids outside the vocabulary. */
const char *rad_tokenizer_token(const rad_tokenizer *tok, int32_t id, size_t *len);

#include "checkpoint/image.h" /* images as models see them */

#endif
