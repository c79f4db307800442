/* gguf_make.c - GGUF files made by tests. */
#include "gguf_make.h"

#include "base/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gguf_make gguf_begin(uint32_t version)
{
    return (struct gguf_make){.version = version, .alignment = 32};
}

void gguf_put(struct rad_buf *to, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const char byte = (char)(unsigned char)(x >> (8 * i));
        rad_buf_append(to, &byte, 1);
    }
}

void gguf_put_string(struct rad_buf *to, const char *text)
{
    gguf_put(to, strlen(text), 8);
    rad_buf_append(to, text, strlen(text));
}

static void begin_key(struct gguf_make *m, const char *key, int type)
{
    m->n_key++;
    gguf_put_string(&m->key, key);
    gguf_put(&m->key, (uint64_t)type, 4);
}

static void begin_array(struct gguf_make *m, const char *key, int item, size_t n)
{
    begin_key(m, key, MAKE_ARRAY);
    gguf_put(&m->key, (uint64_t)item, 4);
    gguf_put(&m->key, n, 8);
}

static uint64_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void gguf_int(struct gguf_make *m, const char *key, int type, int64_t x)
{
    static const int bytes[] = {[MAKE_U8] = 1,  [MAKE_I8] = 1,  [MAKE_U16] = 2, [MAKE_I16] = 2,
                                [MAKE_U32] = 4, [MAKE_I32] = 4, [MAKE_U64] = 8, [MAKE_I64] = 8};
    begin_key(m, key, type);
    gguf_put(&m->key, (uint64_t)x, bytes[type]);
}

void gguf_f32(struct gguf_make *m, const char *key, float x)
{
    begin_key(m, key, MAKE_F32);
    gguf_put(&m->key, bits_of(x), 4);
}

void gguf_bool(struct gguf_make *m, const char *key, int x)
{
    begin_key(m, key, MAKE_BOOL);
    gguf_put(&m->key, (uint64_t)x, 1);
}

void gguf_string(struct gguf_make *m, const char *key, const char *text)
{
    begin_key(m, key, MAKE_STRING);
    gguf_put_string(&m->key, text);
}

void gguf_strings(struct gguf_make *m, const char *key, const char *const *text, size_t n)
{
    begin_array(m, key, MAKE_STRING, n);
    for (size_t i = 0; i < n; i++)
        gguf_put_string(&m->key, text[i]);
}

void gguf_ints(struct gguf_make *m, const char *key, const int32_t *x, size_t n)
{
    begin_array(m, key, MAKE_I32, n);
    for (size_t i = 0; i < n; i++)
        gguf_put(&m->key, (uint64_t)(int64_t)x[i], 4);
}

void gguf_floats(struct gguf_make *m, const char *key, const float *x, size_t n)
{
    begin_array(m, key, MAKE_F32, n);
    for (size_t i = 0; i < n; i++)
        gguf_put(&m->key, bits_of(x[i]), 4);
}

static void pad(struct rad_buf *to, size_t alignment)
{
    while (to->len % alignment != 0)
        rad_buf_append(to, "", 1);
}

void gguf_tensor(struct gguf_make *m, const char *name, uint32_t type, uint32_t n_dim,
                 const uint64_t *dim, const void *data, size_t bytes)
{
    m->n_tensor++;
    pad(&m->data, m->alignment);
    gguf_put_string(&m->line, name);
    gguf_put(&m->line, n_dim, 4);
    for (uint32_t i = 0; i < n_dim; i++)
        gguf_put(&m->line, dim[i], 8);
    gguf_put(&m->line, type, 4);
    gguf_put(&m->line, m->data.len, 8);
    rad_buf_append(&m->data, data, bytes);
}

struct rad_buf gguf_bytes(struct gguf_make *m)
{
    struct rad_buf out = {0};
    rad_buf_add(&out, "GGUF");
    gguf_put(&out, m->version, 4);
    gguf_put(&out, m->n_tensor, 8);
    gguf_put(&out, m->n_key, 8);
    rad_buf_append(&out, m->key.data, m->key.len);
    rad_buf_append(&out, m->line.data, m->line.len);
    if (m->data.len > 0)
        pad(&out, m->alignment);
    rad_buf_append(&out, m->data.data, m->data.len);
    rad_buf_free(&m->key);
    rad_buf_free(&m->line);
    rad_buf_free(&m->data);
    return out;
}

void gguf_end(struct gguf_make *m, const char *path)
{
    struct rad_err e = {.msg = ""};
    struct rad_buf out = gguf_bytes(m);
    if (out.failed || rad_file_write(path, out.data, out.len, &e) != RAD_OK) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    rad_buf_free(&out);
}
