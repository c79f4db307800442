/* torch_file.c - the tensors of a file of torch.save: the archive and its pickle put together. */
#include "checkpoint/outside.h"
#include "checkpoint/torch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool rad_torch_is(const unsigned char *data, size_t len, const char *path)
{
    const size_t n = strlen(path), ext = strlen(".bin");
    return (len >= 4 && memcmp(data, "PK\3\4", 4) == 0) ||
           (n > ext && strcmp(path + n - ext, ".bin") == 0);
}

/* The elements lie one after the other, in order. */
static bool contiguous(const struct rad_pickle_tensor *t)
{
    int64_t next = 1;
    for (int32_t i = 0; i < t->shape.n_dim; i++)
        if (t->shape.dim[i] == 0)
            return true; /* no elements, whatever the strides say */
    for (int32_t i = t->shape.n_dim - 1; i >= 0; i--) {
        if (t->shape.dim[i] != 1 && t->stride[i] != next)
            return false;
        if (__builtin_mul_overflow(next, t->shape.dim[i], &next))
            return false;
    }
    return true;
}

/* Where the tensor's elements are, if they are all in the storage and that in the file. */
static enum rad_status place(const struct rad_zip *zip, const struct rad_pickle_tensor *from,
                             struct rad_tensor *to, struct rad_err *err)
{
    char name[128];
    const int len = snprintf(name, sizeof name, "data/%.*s",
                             (int)(from->key.len < 100 ? from->key.len : 100), from->key.data);
    const struct rad_zip_entry *e = rad_zip_find(zip, name, (size_t)len);
    if (e == NULL)
        return rad_fail(err, RAD_E_PARSE, "expected its storage '%s' but found none", SHOW(name));
    const int64_t size = (int64_t)from->dtype->bytes;
    if (from->n_storage > (int64_t)(e->len / from->dtype->bytes))
        return rad_fail(err, RAD_E_PARSE,
                        "expected %" PRId64 " elements of %" PRId64
                        " bytes in its storage but found %zu bytes",
                        from->n_storage, size, e->len);
    if (from->first > from->n_storage || to->n > from->n_storage - from->first)
        return rad_fail(err, RAD_E_PARSE,
                        "%" PRId64 " elements from %" PRId64 " on end past the %" PRId64
                        " of its storage",
                        to->n, from->first, from->n_storage);
    to->data = e->data + from->first * size;
    to->bytes = (size_t)(to->n * size);
    return RAD_OK;
}

static enum rad_status take_tensor(const struct rad_zip *zip, const struct rad_pickle_tensor *from,
                                   struct rad_tensor *to, struct rad_err *err)
{
    if (!rad_st_name_ok(to->name) || strlen(to->name) != from->name.len)
        return rad_fail(err, RAD_E_RANGE,
                        "expected a name of 1 to %d bytes without control characters",
                        RAD_ST_NAME_MAX);
    to->shape = from->shape;
    to->dtype = from->dtype->dtype;
    to->dtype_name = from->dtype->name;
    RAD_TRY(rad_st_elements(&to->shape, &to->n, err));
    if (!contiguous(from))
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "expected elements in order but found other strides; save it with "
                        ".contiguous()");
    return place(zip, from, to, err);
}

static enum rad_status take_all(struct rad_torch *t, const struct rad_zip *zip,
                                const struct rad_pickle *p, const struct rad_st_source *src,
                                struct rad_err *err)
{
    if (p->n > RAD_ST_TENSORS_MAX)
        return rad_fail(err, RAD_E_RANGE, "%s: expected at most %d tensors but found %zu",
                        src->path, RAD_ST_TENSORS_MAX, p->n);
    t->tensor = calloc(p->n, sizeof t->tensor[0]);
    t->names = malloc((RAD_ST_NAME_MAX + 1) * p->n + 1);
    if (t->tensor == NULL || t->names == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot index %zu tensors", src->path, p->n);
    char *to = t->names;
    for (; t->n < p->n; t->n++) {
        const struct rad_pickle_text *name = &p->tensor[t->n].name;
        const size_t len = name->len <= RAD_ST_NAME_MAX ? name->len : RAD_ST_NAME_MAX;
        memcpy(to, name->data, len); /* a name that is cut is refused by take_tensor */
        to[len] = '\0';
        t->tensor[t->n].name = to;
        const enum rad_status status = take_tensor(zip, &p->tensor[t->n], &t->tensor[t->n], err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "%s: tensor '%s'", src->path, SHOW(to));
        to += name->len + 1;
    }
    return rad_st_sort(t->tensor, t->n, src->path, err);
}

static enum rad_status read_archive(struct rad_torch *t, const struct rad_zip *zip,
                                    const struct rad_st_source *src, struct rad_err *err)
{
    static const char pickle_name[] = "data.pkl", order_name[] = "byteorder";
    const struct rad_zip_entry *pickle = rad_zip_find(zip, pickle_name, sizeof pickle_name - 1);
    const struct rad_zip_entry *order = rad_zip_find(zip, order_name, sizeof order_name - 1);
    if (pickle == NULL)
        return rad_fail(err, RAD_E_PARSE, "%s: expected data.pkl in the archive but found none",
                        src->path);
    if (order != NULL && (order->len != 6 || memcmp(order->data, "little", 6) != 0))
        return rad_fail(err, RAD_E_UNSUPPORTED, "%s: expected byte order 'little'", src->path);
    struct rad_pickle p;
    const struct rad_st_source text = {pickle->data, pickle->len, src->path};
    RAD_TRY(rad_pickle_read(&p, &text, err));
    const enum rad_status status = take_all(t, zip, &p, src, err);
    rad_pickle_free(&p);
    return status;
}

enum rad_status rad_torch_parse(struct rad_torch *out, const struct rad_st_source *src,
                                struct rad_err *err)
{
    struct rad_zip zip;
    *out = (struct rad_torch){0};
    if (src->len < 2 || src->data[0] != 'P')
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "%s: expected a zip archive as torch.save writes since version 1.6 but "
                        "found something else; load and save an older file again",
                        src->path);
    RAD_TRY(rad_zip_parse(&zip, src, err));
    const enum rad_status status = read_archive(out, &zip, src, err);
    rad_zip_free(&zip);
    if (status != RAD_OK)
        rad_torch_free(out);
    return status;
}

void rad_torch_free(struct rad_torch *t)
{
    free(t->tensor);
    free(t->names);
    *t = (struct rad_torch){0};
}
