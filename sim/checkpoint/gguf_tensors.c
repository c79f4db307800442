/* gguf_tensors.c - the tensors of a GGUF file: names, shapes and places checked. */
#include "checkpoint/gguf.h"

#include "checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tensor types by their number: elements and bytes of a block. Types that are not computed with are
 * known too, so that the places of their tensors can be checked and messages can name them.
 * Source: enum ggml_type in docs/gguf.md, block structures in ggml-common.h. */
struct tensor_type {
    const char *name; /* NULL: no such type, or no longer in files */
    int64_t block;
    int64_t bytes;
    enum rad_dtype dtype;
    enum rad_block format;
};
#define OTHER(name, block, bytes)                                                                  \
    {                                                                                              \
        name, block, bytes, RAD_N_DTYPE, RAD_BLOCK_NONE                                            \
    }
static const struct tensor_type tensor_types[] = {
    [0] = {"F32", 1, 4, RAD_F32, RAD_BLOCK_NONE},
    [1] = {"F16", 1, 2, RAD_F16, RAD_BLOCK_NONE},
    [2] = {"Q4_0", 32, 18, RAD_N_DTYPE, RAD_BLOCK_Q4_0},
    [3] = OTHER("Q4_1", 32, 20),
    [6] = OTHER("Q5_0", 32, 22),
    [7] = OTHER("Q5_1", 32, 24),
    [8] = {"Q8_0", 32, 34, RAD_N_DTYPE, RAD_BLOCK_Q8_0},
    [9] = OTHER("Q8_1", 32, 36),
    [10] = OTHER("Q2_K", 256, 84),
    [11] = OTHER("Q3_K", 256, 110),
    [12] = OTHER("Q4_K", 256, 144),
    [13] = OTHER("Q5_K", 256, 176),
    [14] = {"Q6_K", 256, 210, RAD_N_DTYPE, RAD_BLOCK_Q6_K},
    [15] = OTHER("Q8_K", 256, 292),
    [16] = OTHER("IQ2_XXS", 256, 66),
    [17] = OTHER("IQ2_XS", 256, 74),
    [18] = OTHER("IQ3_XXS", 256, 98),
    [19] = OTHER("IQ1_S", 256, 50),
    [20] = OTHER("IQ4_NL", 32, 18),
    [21] = OTHER("IQ3_S", 256, 110),
    [22] = OTHER("IQ2_S", 256, 82),
    [23] = OTHER("IQ4_XS", 256, 136),
    [24] = OTHER("I8", 1, 1),
    [25] = OTHER("I16", 1, 2),
    [26] = OTHER("I32", 1, 4),
    [27] = OTHER("I64", 1, 8),
    [28] = OTHER("F64", 1, 8),
    [29] = OTHER("IQ1_M", 256, 56),
    [30] = {"BF16", 1, 2, RAD_BF16, RAD_BLOCK_NONE},
    [34] = OTHER("TQ1_0", 256, 54),
    [35] = OTHER("TQ2_0", 256, 66),
    [39] = OTHER("MXFP4", 32, 17),
};
enum { N_TENSOR_TYPE = sizeof tensor_types / sizeof tensor_types[0] };

/* ---- one line ------------------------------------------------------------------------------ */

struct line { /* of a tensor, besides what rad_tensor has */
    const struct tensor_type *type;
    uint64_t offset;
};

/* Dimensions come fastest first; those of a tensor here are slowest first. */
static enum rad_status take_shape(struct rad_gguf_cursor *c, struct rad_tensor *t)
{
    uint32_t n = 0;
    RAD_TRY(rad_gguf_u32(c, &n));
    if (n < 1 || n > RAD_TENSOR_DIMS) {
        c->at -= 4;
        return rad_gguf_bad(c, RAD_E_RANGE, "expected 1 to %d dimensions but found %" PRIu32,
                            RAD_TENSOR_DIMS, n);
    }
    t->shape.n_dim = (int32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t dim = 0;
        RAD_TRY(rad_gguf_u64(c, &dim));
        if (dim < 1 || dim > INT64_MAX) {
            c->at -= 8;
            return rad_gguf_bad(c, RAD_E_RANGE,
                                "expected a dimension of 1..2^63-1 but found %" PRIu64, dim);
        }
        t->shape.dim[n - 1 - i] = (int64_t)dim;
    }
    const enum rad_status status = rad_st_elements(&t->shape, &t->n, c->err);
    return status == RAD_OK
               ? RAD_OK
               : rad_fail_in(c->err, status, "%s: tensor '%s'", c->path, SHOW(t->name));
}

static enum rad_status take_tensor_type(struct rad_gguf_cursor *c, const struct tensor_type **out)
{
    uint32_t number = 0;
    RAD_TRY(rad_gguf_u32(c, &number));
    *out = number < N_TENSOR_TYPE ? &tensor_types[number] : NULL;
    if (*out != NULL && (*out)->name != NULL)
        return RAD_OK;
    c->at -= 4;
    return rad_gguf_bad(c, RAD_E_UNSUPPORTED,
                        "expected a known tensor type, best F32, F16, BF16, Q8_0, Q4_0 or "
                        "Q6_K, but found number %" PRIu32,
                        number);
}

/* Whole blocks in every row. */
static enum rad_status set_bytes(const struct rad_gguf_cursor *c, struct rad_tensor *t,
                                 const struct tensor_type *type)
{
    const int64_t row = t->shape.dim[t->shape.n_dim - 1];
    int64_t bytes = 0;
    if (row % type->block != 0)
        return rad_gguf_bad(c, RAD_E_PARSE,
                            "expected rows of a multiple of %" PRId64
                            " elements (%s) but found %" PRId64,
                            type->block, type->name, row);
    if (__builtin_mul_overflow(t->n / type->block, type->bytes, &bytes))
        return rad_gguf_bad(c, RAD_E_RANGE, "the tensor has over 2^63 bytes");
    t->bytes = (size_t)bytes;
    t->dtype_name = type->name;
    t->dtype = type->dtype;
    t->block = type->format;
    return RAD_OK;
}

static enum rad_status take_line(struct rad_gguf_cursor *c, struct rad_tensor *t, struct line *line)
{
    RAD_TRY(take_shape(c, t));
    RAD_TRY(take_tensor_type(c, &line->type));
    RAD_TRY(rad_gguf_u64(c, &line->offset));
    return set_bytes(c, t, line->type);
}

/* ---- all of them --------------------------------------------------------------------------- */

/* The name, copied to *to with a NUL behind it. */
static enum rad_status take_name(struct rad_gguf_cursor *c, struct rad_tensor *t, char **to)
{
    struct rad_gguf_text name;
    RAD_TRY(rad_gguf_take(c, RAD_ST_NAME_MAX, "tensor name", &name));
    memcpy(*to, name.data, name.len);
    (*to)[name.len] = '\0';
    if (memchr(name.data, '\0', name.len) != NULL || !rad_st_name_ok(*to)) {
        c->at -= name.len;
        return rad_gguf_bad(c, RAD_E_RANGE,
                            "expected a tensor name of 1 to %d bytes without control characters",
                            RAD_ST_NAME_MAX);
    }
    t->name = *to;
    *to += name.len + 1;
    return RAD_OK;
}

/* Read all lines; offsets go to place[], for the data begins only behind them. */
static enum rad_status take_lines(struct rad_gguf *g, struct rad_gguf_cursor *c, size_t n,
                                  uint64_t *place)
{
    char *to = g->names;
    for (; g->n_tensor < n; g->n_tensor++) {
        struct rad_tensor *t = &g->tensor[g->n_tensor];
        struct line line = {NULL, 0};
        RAD_TRY(take_name(c, t, &to));
        snprintf(c->in, sizeof c->in, "tensor '%s': ", SHOW(t->name));
        RAD_TRY(take_line(c, t, &line));
        if (line.offset % g->alignment != 0)
            return rad_gguf_bad(
                c, RAD_E_PARSE,
                "expected a data offset that is a multiple of %zu but found %" PRIu64, g->alignment,
                line.offset);
        place[g->n_tensor] = line.offset;
        c->in[0] = '\0';
    }
    return RAD_OK;
}

static enum rad_status place_all(struct rad_gguf *g, const struct rad_gguf_cursor *c,
                                 const uint64_t *place, const unsigned char *file_end)
{
    const size_t header = (size_t)(c->at - c->begin), file = (size_t)(file_end - c->begin);
    const size_t begin = (header + g->alignment - 1) / g->alignment * g->alignment;
    const size_t data = begin < file ? file - begin : 0;
    for (size_t i = 0; i < g->n_tensor; i++) {
        struct rad_tensor *t = &g->tensor[i];
        if (place[i] > data || t->bytes > data - place[i])
            return rad_fail(c->err, RAD_E_PARSE,
                            "%s: tensor '%s': %zu bytes at data offset %" PRIu64
                            " end past the %zu bytes of data; the file is truncated",
                            g->path, SHOW(t->name), t->bytes, place[i], data);
        t->data = c->begin + begin + place[i];
    }
    return RAD_OK;
}

static int by_place(const void *a, const void *b)
{
    const uintptr_t p = (uintptr_t)((const struct rad_tensor *)a)->data;
    const uintptr_t q = (uintptr_t)((const struct rad_tensor *)b)->data;
    return (p > q) - (p < q);
}

/* No tensor is empty, so two of them overlap if and only if two neighbours do. */
static enum rad_status check_apart(const struct rad_gguf *g, struct rad_err *err)
{
    qsort(g->tensor, g->n_tensor, sizeof g->tensor[0], by_place);
    for (size_t i = 1; i < g->n_tensor; i++) {
        const struct rad_tensor *t = &g->tensor[i - 1], *next = t + 1;
        const unsigned char *end = (const unsigned char *)t->data + t->bytes;
        if (end > (const unsigned char *)next->data)
            return rad_fail(err, RAD_E_PARSE, "%s: tensors '%s' and '%s' overlap", g->path,
                            SHOW(t->name), SHOW(next->name));
    }
    return rad_st_sort(g->tensor, g->n_tensor, g->path, err);
}

enum rad_status rad_gguf_read_tensors(struct rad_gguf *g, struct rad_gguf_cursor *c, size_t n,
                                      const unsigned char *file_end)
{
    uint64_t *place = calloc(n + 1, sizeof *place);
    g->tensor = calloc(n + 1, sizeof g->tensor[0]);
    g->names = malloc((RAD_ST_NAME_MAX + 1) * n + 1);
    enum rad_status status = RAD_OK;
    if (place == NULL || g->tensor == NULL || g->names == NULL)
        status = rad_fail(c->err, RAD_E_NOMEM, "%s: cannot index %zu tensors", g->path, n);
    if (status == RAD_OK)
        status = take_lines(g, c, n, place);
    if (status == RAD_OK)
        status = place_all(g, c, place, file_end);
    free(place);
    return status == RAD_OK ? check_apart(g, c->err) : status;
}
