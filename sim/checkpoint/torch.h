/* torch.h - private to checkpoint: one file of torch.save (pytorch_model.bin) in memory, checked.
 *
 * The format since torch 1.6: a zip archive whose entries are stored, not compressed. NAME/data.pkl
 * is a pickle of name -> tensor, where a tensor is a call of torch._utils._rebuild_tensor_v2 with a
 * storage, named by its key, and a place, size and strides in it; NAME/data/KEY is the storage's
 * bytes. A pickle is a program: the machine here knows the few steps and the few names that such
 * files need, builds nothing but the table of tensors, and refuses all else by name.
 * Sources: torch/serialization.py, Lib/pickletools.py of CPython, APPNOTE.TXT of PKWARE. */
#ifndef RAD_CHECKPOINT_TORCH_H
#define RAD_CHECKPOINT_TORCH_H

#include "checkpoint/safetensors.h"

enum {
    RAD_PICKLE_MAX = 16 << 20, /* bytes; one of 70 G parameters has 200 KB */
    RAD_ZIP_ENTRIES_MAX = 2 * RAD_ST_TENSORS_MAX,
};

/* Whether a file should be one of torch.save: it is a zip archive, or called .bin. */
bool rad_torch_is(const unsigned char *data, size_t len, const char *path);

struct rad_torch {
    struct rad_tensor *tensor; /* [n], in the order of names; several may share their data */
    size_t n;
    char *names;
};

/* Check everything, then index. The source's data must outlive *out. errors as rad_tensors_open */
RAD_MUST_CHECK enum rad_status
rad_torch_parse(struct rad_torch *out, const struct rad_st_source *src, struct rad_err *err);
void rad_torch_free(struct rad_torch *t); /* leaves it empty; an empty one is fine */

/* ---- the archive --------------------------------------------------------------------------- */

struct rad_zip_entry {
    const char *name; /* not NUL-terminated: the part behind the archive's own folder */
    size_t name_len;
    const unsigned char *data;
    size_t len;
};
struct rad_zip {
    struct rad_zip_entry *entry; /* [n], in the order of names */
    size_t n;
};

/* The entries of an archive whose names all begin with the same folder. errors: RAD_E_PARSE,
 * RAD_E_RANGE, RAD_E_UNSUPPORTED (compressed, encrypted), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_zip_parse(struct rad_zip *out, const struct rad_st_source *src,
                                             struct rad_err *err);
void rad_zip_free(struct rad_zip *zip);
/* NULL: there is none */
const struct rad_zip_entry *rad_zip_find(const struct rad_zip *zip, const char *name, size_t len);

/* ---- the pickle ---------------------------------------------------------------------------- */

/* What a pickle says of one tensor; text is in its bytes. */
struct rad_pickle_text {
    const char *data;
    size_t len;
};
struct rad_pickle_tensor {
    struct rad_pickle_text name, key; /* key: of the storage */
    const struct rad_st_dtype *dtype;
    int64_t first, n_storage; /* elements: where it begins, how many the storage has */
    struct rad_shape shape;
    int64_t stride[RAD_TENSOR_DIMS];
};
struct rad_pickle {
    struct rad_pickle_tensor *tensor; /* [n], as in the file */
    size_t n;
};

/* Run the pickle. errors: RAD_E_PARSE (malformed; the offset is named), RAD_E_RANGE (over a limit),
 * RAD_E_UNSUPPORTED (a step or a name that weights do not need), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status
rad_pickle_read(struct rad_pickle *out, const struct rad_st_source *src, struct rad_err *err);
void rad_pickle_free(struct rad_pickle *p);

#endif
