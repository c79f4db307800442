/* safetensors.h - private to checkpoint: one safetensors file in memory, checked.
 *
 * The format: a header length (8 bytes, little endian), a JSON object name -> {dtype, shape,
 * data_offsets [begin, end)}, then the data, to which the offsets refer. Tensors cover the data
 * without holes or overlaps. Source: the format section of the safetensors README. */
#ifndef RAD_CHECKPOINT_SAFETENSORS_H
#define RAD_CHECKPOINT_SAFETENSORS_H

#include "base/json.h"
#include "checkpoint/checkpoint.h"

enum {
    RAD_ST_HEADER_MAX = 16 << 20, /* a model of 70 G parameters needs 78 KB */
    RAD_ST_TENSORS_MAX = 65536,
    RAD_ST_NAME_MAX = 256,
};

/* A number format of the file. */
struct rad_st_dtype {
    const char *name;
    size_t bytes;
    enum rad_dtype dtype; /* RAD_N_DTYPE: skipped over, not computed with */
};
const struct rad_st_dtype *rad_st_dtype_named(const char *name);  /* NULL: unknown */
const struct rad_st_dtype *rad_st_dtype_of(enum rad_dtype dtype); /* NULL: none */

/* The bytes of a file and the name it has in messages; all borrowed. */
struct rad_st_source {
    const unsigned char *data;
    size_t len;
    const char *path;
};

struct rad_st {
    json_t *root;              /* the header; owns all names */
    struct rad_tensor *tensor; /* [n], in the order of names */
    size_t n;
};

/* Check everything, then index. The source's data must outlive *out. errors as rad_tensors_open */
RAD_MUST_CHECK enum rad_status rad_st_parse(struct rad_st *out, const struct rad_st_source *src,
                                            struct rad_err *err);
void rad_st_free(struct rad_st *st);

/* A name fit for a tensor: 1 to 256 bytes, no control characters. */
bool rad_st_name_ok(const char *name);

/* Elements of a shape into *n. errors: RAD_E_RANGE (more than 4 dimensions, one below 0, product
 * over int64) */
RAD_MUST_CHECK enum rad_status rad_st_elements(const struct rad_shape *shape, int64_t *n,
                                               struct rad_err *err);

/* Put an index in the order of names. errors: RAD_E_PARSE (two have one name), with path */
RAD_MUST_CHECK enum rad_status rad_st_sort(struct rad_tensor *tensor, size_t n, const char *path,
                                           struct rad_err *err);
/* The tensor called name in such an index, or NULL. */
const struct rad_tensor *rad_st_find(const struct rad_tensor *tensor, size_t n, const char *name);

/* Round to the nearest BF16, ties to even; a NaN stays one. */
uint16_t rad_bf16_from_f32(float x);

#endif
