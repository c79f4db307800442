/* tensors_write.c - safetensors files written whole or not at all. */
#include "base/io.h"
#include "checkpoint/outside.h"
#include "checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A tensor and its place in the data. */
struct placed {
    const struct rad_tensor_out *t;
    const struct rad_st_dtype *dtype;
    int64_t n;
    uint64_t begin, end;
};

/* A file in the making. */
struct image {
    struct placed *placed; /* [n], in the order of the data */
    size_t n;
    uint64_t data_bytes;
};

/* Larger elements first, so that every tensor is aligned to its element; then by name. */
static int by_layout(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->dtype->bytes != y->dtype->bytes)
        return x->dtype->bytes > y->dtype->bytes ? -1 : 1;
    return strcmp(x->t->name, y->t->name);
}

static bool name_ok(const char *name)
{
    return name != NULL && rad_st_name_ok(name) && rad_ckpt_is_utf8(name, strlen(name)) &&
           strcmp(name, "__metadata__") != 0;
}

static enum rad_status check_one(struct placed *p, struct rad_err *err)
{
    const struct rad_tensor_out *t = p->t;
    if (!name_ok(t->name))
        return rad_fail(err, RAD_E_ARG,
                        "tensor '%s': expected a name of 1 to %d bytes of UTF-8 without control "
                        "characters",
                        t->name != NULL ? SHOW(t->name) : "", RAD_ST_NAME_MAX);
    p->dtype = rad_st_dtype_of(t->dtype);
    if (p->dtype == NULL || t->dtype == RAD_F16)
        return rad_fail(err, RAD_E_ARG, "tensor '%s': only fp32 and bf16 can be written", t->name);
    struct rad_shape shape = {.n_dim = t->n_dim};
    memcpy(shape.dim, t->dim, sizeof shape.dim);
    if (rad_st_elements(&shape, &p->n, err) != RAD_OK)
        return rad_fail_in(err, RAD_E_ARG, "tensor '%s'", t->name);
    if (t->data == NULL && p->n > 0)
        return rad_fail(err, RAD_E_ARG, "tensor '%s' has no data", t->name);
    return RAD_OK;
}

/* Check all tensors and give each its place. */
static enum rad_status lay_out(struct image *image, struct rad_err *err)
{
    for (size_t i = 0; i < image->n; i++)
        RAD_TRY(check_one(&image->placed[i], err));
    qsort(image->placed, image->n, sizeof image->placed[0], by_layout);
    uint64_t at = 0;
    for (size_t i = 0; i < image->n; i++) {
        struct placed *p = &image->placed[i];
        uint64_t bytes = 0;
        p->begin = at;
        if (__builtin_mul_overflow((uint64_t)p->n, p->dtype->bytes, &bytes) ||
            __builtin_add_overflow(at, bytes, &at) || at > SIZE_MAX / 2)
            return rad_fail(err, RAD_E_ARG, "tensor '%s': too large", p->t->name);
        p->end = at;
    }
    image->data_bytes = at;
    return RAD_OK;
}

/* NULL if memory ran out. */
static json_t *describe(const struct placed *p)
{
    json_t *shape = json_array();
    int bad = shape == NULL;
    for (int32_t i = 0; i < p->t->n_dim; i++)
        bad |= json_array_append_new(shape, json_integer(p->t->dim[i]));
    if (bad) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", p->dtype->name, "shape", shape,
                     "data_offsets", (json_int_t)p->begin, (json_int_t)p->end);
}

static enum rad_status add_metadata(json_t *root, const char *text, struct rad_err *err)
{
    json_t *meta = NULL, *value;
    const char *key;
    const enum rad_status status = rad_json_parse(&meta, text, strlen(text), "metadata", err);
    if (status != RAD_OK)
        return status == RAD_E_NOMEM ? status : rad_fail_in(err, RAD_E_ARG, "argument");
    bool ok = json_is_object(meta);
    json_object_foreach(meta, key, value) ok = ok && json_is_string(value);
    if (!ok) {
        json_decref(meta);
        return rad_fail(err, RAD_E_ARG, "metadata: expected a JSON object of strings");
    }
    if (json_object_set_new(root, "__metadata__", meta) != 0)
        return rad_fail(err, RAD_E_NOMEM, "metadata: out of memory");
    return RAD_OK;
}

static enum rad_status build_header(json_t *root, const struct image *image,
                                    const char *metadata_json, struct rad_err *err)
{
    if (metadata_json != NULL)
        RAD_TRY(add_metadata(root, metadata_json, err));
    for (size_t i = 0; i < image->n; i++) {
        const struct placed *p = &image->placed[i];
        const char *name = p->t->name;
        if (json_object_get(root, name) != NULL)
            return rad_fail(err, RAD_E_ARG, "tensor '%s' is given twice", SHOW(name));
        if (json_object_set_new(root, name, describe(p)) != 0)
            return rad_fail(err, RAD_E_NOMEM, "tensor '%s': out of memory", SHOW(name));
    }
    return RAD_OK;
}

static void put_tensor(unsigned char *at, const struct placed *p)
{
    if (p->t->dtype == RAD_F32 && p->n > 0)
        memcpy(at, p->t->data, (size_t)(p->end - p->begin));
    for (int64_t i = 0; p->t->dtype == RAD_BF16 && i < p->n; i++) {
        const uint16_t h = rad_bf16_from_f32(p->t->data[i]);
        memcpy(at + 2 * i, &h, sizeof h);
    }
}

/* Header length, header, blanks up to a multiple of 8 as the reference pads, data. */
static enum rad_status write_image(const char *path, const struct image *image,
                                   const struct rad_buf *header, struct rad_err *err)
{
    const size_t text = header->len, padded = (text + 7) / 8 * 8;
    const size_t len = 8 + padded + (size_t)image->data_bytes;
    if (padded > RAD_ST_HEADER_MAX)
        return rad_fail(err, RAD_E_ARG, "%s: header of %zu bytes is over the limit of %d", path,
                        padded, RAD_ST_HEADER_MAX);
    unsigned char *bytes = malloc(len);
    if (bytes == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot allocate %zu bytes", path, len);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(padded >> (8 * i));
    memcpy(bytes + 8, header->data, text);
    memset(bytes + 8 + text, ' ', padded - text);
    for (size_t i = 0; i < image->n; i++)
        put_tensor(bytes + 8 + padded + image->placed[i].begin, &image->placed[i]);
    const enum rad_status status = rad_file_write(path, bytes, len, err);
    free(bytes);
    return status;
}

static enum rad_status write_laid_out(const char *path, struct image *image,
                                      const char *metadata_json, struct rad_err *err)
{
    struct rad_buf header = {0};
    RAD_TRY(lay_out(image, err));
    json_t *root = json_object();
    if (root == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    enum rad_status status = build_header(root, image, metadata_json, err);
    if (status == RAD_OK && !rad_ckpt_dump(&header, root, 0))
        status = rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    json_decref(root);
    if (status == RAD_OK)
        status = write_image(path, image, &header, err);
    rad_buf_free(&header);
    return status;
}

enum rad_status rad_tensors_write(const char *path, const struct rad_tensor_out *tensor, size_t n,
                                  const char *metadata_json, struct rad_err *err)
{
    if (n > RAD_ST_TENSORS_MAX)
        return rad_fail(err, RAD_E_ARG, "%s: %zu tensors are over the limit of %d", path, n,
                        RAD_ST_TENSORS_MAX);
    struct image image = {calloc(n + 1, sizeof *image.placed), n, 0};
    if (image.placed == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot lay out %zu tensors", path, n);
    for (size_t i = 0; i < n; i++)
        image.placed[i].t = &tensor[i];
    const enum rad_status status = write_laid_out(path, &image, metadata_json, err);
    free(image.placed);
    return status;
}
