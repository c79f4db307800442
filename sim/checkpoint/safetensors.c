/* safetensors.c - the header of one safetensors file: every number checked before it is used. */
#include "checkpoint/safetensors.h"

#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* All formats that the reference implementation writes with whole bytes per element. */
static const struct rad_st_dtype dtypes[] = {
    {"F32", 4, RAD_F32},         {"F16", 2, RAD_F16},         {"BF16", 2, RAD_BF16},
    {"BOOL", 1, RAD_N_DTYPE},    {"U8", 1, RAD_N_DTYPE},      {"I8", 1, RAD_N_DTYPE},
    {"F8_E5M2", 1, RAD_N_DTYPE}, {"F8_E4M3", 1, RAD_N_DTYPE}, {"F8_E8M0", 1, RAD_N_DTYPE},
    {"I16", 2, RAD_N_DTYPE},     {"U16", 2, RAD_N_DTYPE},     {"I32", 4, RAD_N_DTYPE},
    {"U32", 4, RAD_N_DTYPE},     {"I64", 8, RAD_N_DTYPE},     {"U64", 8, RAD_N_DTYPE},
    {"F64", 8, RAD_N_DTYPE},     {"C64", 8, RAD_N_DTYPE},
};
static const size_t n_dtypes = sizeof dtypes / sizeof dtypes[0];

static const char metadata_key[] = "__metadata__";

const struct rad_st_dtype *rad_st_dtype_named(const char *name)
{
    for (size_t i = 0; i < n_dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

const struct rad_st_dtype *rad_st_dtype_of(enum rad_dtype dtype)
{
    for (size_t i = 0; i < n_dtypes; i++)
        if (dtypes[i].dtype == dtype && dtype != RAD_N_DTYPE)
            return &dtypes[i];
    return NULL;
}

bool rad_st_name_ok(const char *name)
{
    const size_t len = strlen(name);
    if (len == 0 || len > RAD_ST_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rad_tensor *)a)->name, ((const struct rad_tensor *)b)->name);
}

enum rad_status rad_st_sort(struct rad_tensor *tensor, size_t n, const char *path,
                            struct rad_err *err)
{
    if (n > 1)
        qsort(tensor, n, sizeof *tensor, by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&tensor[i - 1], &tensor[i]) == 0)
            return rad_fail(err, RAD_E_PARSE, "%s: two tensors are called '%s'", path,
                            SHOW(tensor[i].name));
    return RAD_OK;
}

const struct rad_tensor *rad_st_find(const struct rad_tensor *tensor, size_t n, const char *name)
{
    const struct rad_tensor key = {.name = name};
    return n == 0 ? NULL : bsearch(&key, tensor, n, sizeof *tensor, by_name);
}

enum rad_status rad_st_elements(const struct rad_shape *shape, int64_t *n, struct rad_err *err)
{
    if (shape->n_dim < 0 || shape->n_dim > RAD_TENSOR_DIMS)
        return rad_fail(err, RAD_E_RANGE, "expected at most %d dimensions but found %" PRId32,
                        RAD_TENSOR_DIMS, shape->n_dim);
    int64_t product = 1;
    for (int32_t i = 0; i < shape->n_dim; i++) {
        if (shape->dim[i] < 0)
            return rad_fail(err, RAD_E_RANGE, "dimension %" PRId32 " is %" PRId64 ", below 0", i,
                            shape->dim[i]);
        if (__builtin_mul_overflow(product, shape->dim[i], &product))
            return rad_fail(err, RAD_E_RANGE, "the product of the dimensions is over 2^63");
    }
    *n = product;
    return RAD_OK;
}

/* The header's length into *len; the file is long enough to hold it. */
static enum rad_status check_length(const struct rad_st_source *src, size_t *len,
                                    struct rad_err *err)
{
    RAD_TRY(rad_ckpt_refuse_lfs(src->data, src->len, src->path, err));
    if (src->len < 8)
        return rad_fail(err, RAD_E_PARSE,
                        "%s: expected at least 8 bytes of a safetensors file but found %zu",
                        src->path, src->len);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | src->data[i];
    if (n > RAD_ST_HEADER_MAX)
        return rad_fail(err, RAD_E_RANGE,
                        "%s: offset 0: expected a header of at most %d bytes but found %" PRIu64
                        "; is it a safetensors file?",
                        src->path, RAD_ST_HEADER_MAX, n);
    if (n > src->len - 8)
        return rad_fail(err, RAD_E_PARSE,
                        "%s: offset 0: expected a header of %" PRIu64
                        " bytes but only %zu follow; the file is truncated",
                        src->path, n, src->len - 8);
    *len = (size_t)n;
    return RAD_OK;
}

/* Read [first, ...] of at most max integers >= 0; *n of them. */
static enum rad_status read_integers(const json_t *array, int64_t *out, int32_t max, int32_t *n,
                                     struct rad_err *err)
{
    if (!json_is_array(array) || json_array_size(array) > (size_t)max)
        return rad_fail(err, RAD_E_RANGE, "expected an array of at most %" PRId32 " integers", max);
    *n = (int32_t)json_array_size(array);
    for (int32_t i = 0; i < *n; i++) {
        const json_t *item = json_array_get(array, (size_t)i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return rad_fail(err, RAD_E_RANGE, "expected integers of at least 0");
        out[i] = json_integer_value(item);
    }
    return RAD_OK;
}

static enum rad_status read_shape(struct rad_tensor *t, const json_t *info, struct rad_err *err)
{
    enum rad_status status = read_integers(json_object_get(info, "shape"), t->shape.dim,
                                           RAD_TENSOR_DIMS, &t->shape.n_dim, err);
    if (status == RAD_OK)
        status = rad_st_elements(&t->shape, &t->n, err);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "shape");
}

/* data_offsets: inside the data and as long as the shape asks for. */
static enum rad_status read_range(struct rad_tensor *t, const json_t *info, uint64_t data_len,
                                  uint64_t begin_end[2], struct rad_err *err)
{
    int64_t range[2] = {0, 0};
    int32_t n = 0;
    if (read_integers(json_object_get(info, "data_offsets"), range, 2, &n, NULL) != RAD_OK ||
        n != 2 || range[0] > range[1])
        return rad_fail(err, RAD_E_PARSE,
                        "data_offsets: expected [begin, end] with 0 <= begin <= end");
    if ((uint64_t)range[1] > data_len)
        return rad_fail(err, RAD_E_PARSE,
                        "data_offsets: end %" PRId64 " is past the %" PRIu64
                        " bytes of data; the file is truncated",
                        range[1], data_len);
    int64_t bytes = 0;
    const int64_t size = (int64_t)rad_st_dtype_named(t->dtype_name)->bytes;
    if (__builtin_mul_overflow(t->n, size, &bytes) || bytes != range[1] - range[0])
        return rad_fail(err, RAD_E_PARSE,
                        "data_offsets: expected %" PRId64 " elements of %" PRId64
                        " bytes but found %" PRId64 " bytes",
                        t->n, size, range[1] - range[0]);
    begin_end[0] = (uint64_t)range[0];
    begin_end[1] = (uint64_t)range[1];
    return RAD_OK;
}

static enum rad_status read_tensor(struct rad_tensor *t, const json_t *info,
                                   const struct rad_st_source *data, struct rad_err *err)
{
    if (!rad_st_name_ok(t->name))
        return rad_fail(err, RAD_E_RANGE,
                        "expected a name of 1 to %d bytes without control characters",
                        RAD_ST_NAME_MAX);
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    const struct rad_st_dtype *row = dtype != NULL ? rad_st_dtype_named(dtype) : NULL;
    if (row == NULL)
        return rad_fail(err, dtype != NULL ? RAD_E_UNSUPPORTED : RAD_E_PARSE,
                        "dtype: expected a safetensors number format but found '%s'",
                        dtype != NULL ? SHOW(dtype) : "nothing");
    t->dtype_name = row->name;
    t->dtype = row->dtype;
    RAD_TRY(read_shape(t, info, err));
    uint64_t range[2] = {0, 0};
    RAD_TRY(read_range(t, info, data->len, range, err));
    t->data = data->data + range[0];
    t->bytes = (size_t)(range[1] - range[0]);
    return RAD_OK;
}

static enum rad_status check_metadata(const json_t *root, const char *path, struct rad_err *err)
{
    json_t *meta = json_object_get(root, metadata_key);
    bool ok = meta == NULL || json_is_object(meta);
    const char *key;
    json_t *value;
    json_object_foreach(meta, key, value) ok = ok && json_is_string(value);
    if (!ok)
        return rad_fail(err, RAD_E_PARSE, "%s: expected %s to be an object of strings", path,
                        metadata_key);
    return RAD_OK;
}

static enum rad_status read_tensors(struct rad_st *st, const struct rad_st_source *data,
                                    struct rad_err *err)
{
    const char *name;
    json_t *info;
    size_t n = 0;
    json_object_foreach(st->root, name, info)
    {
        if (strcmp(name, metadata_key) == 0)
            continue;
        struct rad_tensor *t = &st->tensor[n++];
        t->name = name;
        const enum rad_status status = read_tensor(t, info, data, err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "%s: tensor '%s'", data->path, SHOW(name));
    }
    return RAD_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct rad_tensor *x = a, *y = b;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors cover the data once: overlaps would let one weight alias another, holes would let a
 * file carry what no reader sees. */
static enum rad_status check_cover(const struct rad_st *st, const struct rad_st_source *data,
                                   struct rad_err *err)
{
    const unsigned char *at = data->data;
    const char *last = "the header";
    for (size_t i = 0; i < st->n; i++) {
        const struct rad_tensor *t = &st->tensor[i];
        const unsigned char *begin = t->data;
        if (begin != at)
            return rad_fail(err, RAD_E_PARSE,
                            "%s: tensor '%s' begins at data offset %td but '%s' ends at %td; "
                            "%s",
                            data->path, SHOW(t->name), begin - data->data, SHOW(last),
                            at - data->data, begin < at ? "tensors overlap" : "there is a hole");
        at = begin + t->bytes;
        last = t->name;
    }
    const size_t used = (size_t)(at - data->data);
    if (used != data->len)
        return rad_fail(err, RAD_E_PARSE,
                        "%s: expected the data to end with the last tensor at %zu but found %zu "
                        "bytes",
                        data->path, used, data->len);
    return RAD_OK;
}

static enum rad_status index_header(struct rad_st *st, const struct rad_st_source *data,
                                    struct rad_err *err)
{
    if (!json_is_object(st->root))
        return rad_fail(err, RAD_E_PARSE, "%s: expected the header to be a JSON object",
                        data->path);
    RAD_TRY(check_metadata(st->root, data->path, err));
    st->n = json_object_size(st->root);
    if (json_object_get(st->root, metadata_key) != NULL)
        st->n--;
    if (st->n > RAD_ST_TENSORS_MAX)
        return rad_fail(err, RAD_E_RANGE, "%s: expected at most %d tensors but found %zu",
                        data->path, RAD_ST_TENSORS_MAX, st->n);
    st->tensor = calloc(st->n + 1, sizeof st->tensor[0]);
    if (st->tensor == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot index %zu tensors", data->path, st->n);
    RAD_TRY(read_tensors(st, data, err));
    qsort(st->tensor, st->n, sizeof st->tensor[0], by_place);
    RAD_TRY(check_cover(st, data, err));
    return rad_st_sort(st->tensor, st->n, data->path, err);
}

enum rad_status rad_st_parse(struct rad_st *out, const struct rad_st_source *src,
                             struct rad_err *err)
{
    *out = (struct rad_st){0};
    size_t len = 0;
    RAD_TRY(check_length(src, &len, err));
    const char *text = (const char *)src->data + 8;
    const struct rad_st_source data = {src->data + 8 + len, src->len - 8 - len, src->path};
    enum rad_status status = rad_json_parse(&out->root, text, len, src->path, err);
    if (status == RAD_OK)
        status = index_header(out, &data, err);
    if (status != RAD_OK)
        rad_st_free(out);
    return status;
}

void rad_st_free(struct rad_st *st)
{
    free(st->tensor);
    json_decref(st->root);
    *st = (struct rad_st){0};
}
