/* gguf.h - private to checkpoint: one GGUF file in memory, checked.
 *
 * The format, little endian: "GGUF", version (u32; 2 and 3 are laid out alike), number of tensors
 * and of metadata pairs (u64 each); the pairs: key, type (u32), value; the tensors: name, number of
 * dimensions (u32), dimensions (u64, fastest first), type (u32), offset into the data (u64); then
 * the data, which begins at the next multiple of general.alignment (32 if absent). Strings are a
 * length (u64) and bytes; arrays the type of their items (u32), their number (u64) and the items.
 * Source: docs/gguf.md of the ggml project.
 *
 * All of the header is checked when a file is opened, so that the functions which read single
 * values below cannot fail. */
#ifndef RAD_CHECKPOINT_GGUF_H
#define RAD_CHECKPOINT_GGUF_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/outside.h"

enum {
    /* Larger than that of safetensors, because vocabularies are in it: one of 262,144 tokens with
     * scores, types and 514,906 merges needs 20 MB. */
    RAD_GGUF_HEADER_MAX = 64 << 20,
    RAD_GGUF_TENSORS_MAX = 65536,
    RAD_GGUF_PAIRS_MAX = 65536,
    RAD_GGUF_KEY_MAX = 256,
    RAD_GGUF_STRING_MAX = 1 << 20,
    RAD_GGUF_ITEMS_MAX = 1 << 24, /* of one array */
    RAD_GGUF_NESTING_MAX = 4,     /* of arrays; published files have 1 */
    RAD_GGUF_ALIGNMENT_MAX = 1 << 16,
};

enum rad_gguf_type { /* numbers of the file */
                     RAD_GGUF_U8,
                     RAD_GGUF_I8,
                     RAD_GGUF_U16,
                     RAD_GGUF_I16,
                     RAD_GGUF_U32,
                     RAD_GGUF_I32,
                     RAD_GGUF_F32,
                     RAD_GGUF_BOOL,
                     RAD_GGUF_STRING,
                     RAD_GGUF_ARRAY,
                     RAD_GGUF_U64,
                     RAD_GGUF_I64,
                     RAD_GGUF_F64,
                     RAD_N_GGUF_TYPE
};
const char *rad_gguf_type_name(enum rad_gguf_type type); /* "u8" ... "string" */
size_t rad_gguf_type_bytes(enum rad_gguf_type type);     /* 0 for strings and arrays */

/* Bytes of the file, not NUL-terminated; any bytes but in keys, which are printable ASCII. */
struct rad_gguf_text {
    const char *data;
    size_t len;
};

struct rad_gguf_value {
    struct rad_gguf_text key;
    enum rad_gguf_type type;
    enum rad_gguf_type item; /* of an array's items; of any other value its own type */
    size_t n;                /* items of an array; 1 for any other value */
    const unsigned char *at; /* the first item, NOT aligned */
};

struct rad_gguf {
    struct rad_map map; /* empty after rad_gguf_parse */
    char *path;         /* for messages */
    uint32_t version;
    size_t alignment;
    struct rad_gguf_value *value; /* [n_value], in the order of keys */
    size_t n_value;
    struct rad_tensor *tensor; /* [n_tensor], in the order of names, shapes slowest first */
    size_t n_tensor;
    char *names; /* of the tensors */
};

/* Map and check the file. errors: RAD_E_IO, RAD_E_PARSE (malformed, big endian, a Git-LFS pointer),
 * RAD_E_RANGE (over a limit), RAD_E_UNSUPPORTED (version 1, an unknown tensor type), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_gguf_open(struct rad_gguf *out, const char *path,
                                             struct rad_err *err);

/* The same for a file in memory: data[len] must outlive *out. errors: all but RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_gguf_parse(struct rad_gguf *out, const void *data, size_t len,
                                              const char *path, struct rad_err *err);
void rad_gguf_close(struct rad_gguf *g); /* leaves it empty; an empty one is fine */

/* ---- parts --------------------------------------------------------------------------------- */

/* All files of a model. */
struct rad_gguf_parts {
    struct rad_gguf *part; /* [n_part], the first one has the metadata */
    size_t n_part;
    struct rad_tensor *tensor; /* [n] of all parts, in the order of names */
    size_t n;
    struct rad_tensor *joined; /* tensor if there are several parts, else NULL */
};

/* The file, and if it is the first of several parts (NAME-00001-of-00003.gguf, split.count), those
 * beside it. errors: those of rad_gguf_open; RAD_E_ARG (not the first part, or a name that does not
 * say so), RAD_E_PARSE (parts of other models, a tensor twice, not as many as the first part says)
 */
RAD_MUST_CHECK enum rad_status rad_gguf_parts_open(struct rad_gguf_parts *out, const char *path,
                                                   struct rad_err *err);
void rad_gguf_parts_close(struct rad_gguf_parts *p); /* leaves it empty; an empty one is fine */

/* ---- metadata ------------------------------------------------------------------------------ */

/* The value of key, or NULL. */
const struct rad_gguf_value *rad_gguf_find(const struct rad_gguf *g, const char *key);

/* Values, checked. A missing key is an error: ask rad_gguf_find first where it may be. Integers of
 * any width count as integers, both widths of floats as reals. Messages name the key; put the file
 * in front with rad_fail_in.
 * errors: RAD_E_PARSE (no such key, another type), RAD_E_RANGE (outside min..max) */
RAD_MUST_CHECK enum rad_status rad_gguf_int(const struct rad_gguf *g, const char *key, int64_t min,
                                            int64_t max, int64_t *out, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_gguf_real(const struct rad_gguf *g, const char *key, double min,
                                             double max, double *out, struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_gguf_bool(const struct rad_gguf *g, const char *key, bool *out,
                                             struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_gguf_string(const struct rad_gguf *g, const char *key,
                                               struct rad_gguf_text *out, struct rad_err *err);

/* An array whose items can be read by the function named. errors: RAD_E_PARSE */
RAD_MUST_CHECK enum rad_status rad_gguf_strings(const struct rad_gguf *g, const char *key,
                                                const struct rad_gguf_value **out,
                                                struct rad_err *err); /* rad_gguf_next */
RAD_MUST_CHECK enum rad_status rad_gguf_ints(const struct rad_gguf *g, const char *key,
                                             const struct rad_gguf_value **out,
                                             struct rad_err *err); /* rad_gguf_int_at */
RAD_MUST_CHECK enum rad_status rad_gguf_reals(const struct rad_gguf *g, const char *key,
                                              const struct rad_gguf_value **out,
                                              struct rad_err *err); /* rad_gguf_real_at */

/* Item i < n; those over INT64_MAX count as INT64_MAX. */
int64_t rad_gguf_int_at(const struct rad_gguf_value *v, size_t i);
double rad_gguf_real_at(const struct rad_gguf_value *v, size_t i); /* NaN and inf are possible */
/* Strings one after the other: *at begins at v->at; call it n times. */
struct rad_gguf_text rad_gguf_next(const unsigned char **at);

bool rad_gguf_text_is(struct rad_gguf_text text, const char *word);

/* ---- for gguf_file.c, gguf_tensors.c ------------------------------------------------------- */

/* What is left of the header. */
struct rad_gguf_cursor {
    const unsigned char *begin, *at, *end; /* end: of the file, or of the largest header */
    bool cut;                              /* the file goes on behind end */
    const char *path;
    char in[96]; /* what is being read: "key 'a.b': ", "" */
    struct rad_err *err;
};

/* Fail with "path: offset N: " and c->in before the message. */
enum rad_status rad_gguf_bad(const struct rad_gguf_cursor *c, enum rad_status status,
                             const char *fmt, ...) RAD_PRINTF(3, 4);
RAD_MUST_CHECK enum rad_status rad_gguf_u32(struct rad_gguf_cursor *c, uint32_t *out);
RAD_MUST_CHECK enum rad_status rad_gguf_u64(struct rad_gguf_cursor *c, uint64_t *out);
/* A string of at most max bytes; what: "key" or the like, for messages. */
RAD_MUST_CHECK enum rad_status rad_gguf_take(struct rad_gguf_cursor *c, size_t max,
                                             const char *what, struct rad_gguf_text *out);

/* Read the tensors' lines at the cursor and check them against the data[len] behind the header.
 * g->alignment is known. */
RAD_MUST_CHECK enum rad_status rad_gguf_read_tensors(struct rad_gguf *g, struct rad_gguf_cursor *c,
                                                     size_t n, const unsigned char *file_end);

#endif
