/* gguf_make.h - GGUF files made by tests: keys and tensors one after the other, then the file. */
#ifndef RAD_GGUF_MAKE_H
#define RAD_GGUF_MAKE_H

#include "base/buf.h"

#include <stdint.h>

struct gguf_make {
    uint32_t version;
    uint64_t n_key, n_tensor;
    size_t alignment; /* 32, or what a test sets it to; gguf_end writes no key for it */
    struct rad_buf key, line, data;
};

/* Types of values, by their numbers in the file. */
enum {
    MAKE_U8,
    MAKE_I8,
    MAKE_U16,
    MAKE_I16,
    MAKE_U32,
    MAKE_I32,
    MAKE_F32,
    MAKE_BOOL,
    MAKE_STRING,
    MAKE_ARRAY,
    MAKE_U64,
    MAKE_I64,
    MAKE_F64
};

struct gguf_make gguf_begin(uint32_t version);

/* Little-endian numbers and strings at the end of a buffer, for what is malformed. */
void gguf_put(struct rad_buf *to, uint64_t x, int bytes);
void gguf_put_string(struct rad_buf *to, const char *text);

void gguf_int(struct gguf_make *m, const char *key, int type, int64_t x);
void gguf_f32(struct gguf_make *m, const char *key, float x);
void gguf_bool(struct gguf_make *m, const char *key, int x);
void gguf_string(struct gguf_make *m, const char *key, const char *text);
void gguf_strings(struct gguf_make *m, const char *key, const char *const *text, size_t n);
void gguf_ints(struct gguf_make *m, const char *key, const int32_t *x, size_t n);
void gguf_floats(struct gguf_make *m, const char *key, const float *x, size_t n);

/* dim: as in the file, fastest first. */
void gguf_tensor(struct gguf_make *m, const char *name, uint32_t type, uint32_t n_dim,
                 const uint64_t *dim, const void *data, size_t bytes);

/* The whole file; the caller frees it (rad_buf_free). Frees m's buffers. */
struct rad_buf gguf_bytes(struct gguf_make *m);
/* The same, written to path. */
void gguf_end(struct gguf_make *m, const char *path);

#endif
