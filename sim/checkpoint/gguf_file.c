/* gguf_file.c - the header of a GGUF file: every number checked before it is used. */
#include "checkpoint/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[RAD_N_GGUF_TYPE] = {
    [RAD_GGUF_U8] = {"u8", 1},       [RAD_GGUF_I8] = {"i8", 1},
    [RAD_GGUF_U16] = {"u16", 2},     [RAD_GGUF_I16] = {"i16", 2},
    [RAD_GGUF_U32] = {"u32", 4},     [RAD_GGUF_I32] = {"i32", 4},
    [RAD_GGUF_F32] = {"f32", 4},     [RAD_GGUF_BOOL] = {"bool", 1},
    [RAD_GGUF_U64] = {"u64", 8},     [RAD_GGUF_I64] = {"i64", 8},
    [RAD_GGUF_F64] = {"f64", 8},     [RAD_GGUF_STRING] = {"string", 0},
    [RAD_GGUF_ARRAY] = {"array", 0},
};

const char *rad_gguf_type_name(enum rad_gguf_type type)
{
    return (unsigned)type < RAD_N_GGUF_TYPE ? types[type].name : "unknown";
}

size_t rad_gguf_type_bytes(enum rad_gguf_type type)
{
    return (unsigned)type < RAD_N_GGUF_TYPE ? types[type].bytes : 0;
}

/* ---- the cursor ---------------------------------------------------------------------------- */

enum rad_status rad_gguf_bad(const struct rad_gguf_cursor *c, enum rad_status status,
                             const char *fmt, ...)
{
    char text[RAD_ERR_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return rad_fail(c->err, status, "%s: offset %td: %s%s", c->path, c->at - c->begin, c->in, text);
}

static size_t left(const struct rad_gguf_cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* n bytes are missing: which of the two ends was met? */
static enum rad_status ended(const struct rad_gguf_cursor *c, uint64_t n, const char *what)
{
    if (c->cut)
        return rad_gguf_bad(c, RAD_E_RANGE, "%s: the header is over %d bytes", what,
                            RAD_GGUF_HEADER_MAX);
    return rad_gguf_bad(c, RAD_E_PARSE,
                        "%s: expected %" PRIu64 " bytes but only %zu follow; the file is truncated",
                        what, n, left(c));
}

static enum rad_status number(struct rad_gguf_cursor *c, size_t n, uint64_t *out)
{
    if (left(c) < n)
        return ended(c, n, "header");
    *out = 0;
    for (size_t i = n; i-- > 0;)
        *out = *out << 8 | c->at[i];
    c->at += n;
    return RAD_OK;
}

enum rad_status rad_gguf_u64(struct rad_gguf_cursor *c, uint64_t *out)
{
    return number(c, 8, out);
}

enum rad_status rad_gguf_u32(struct rad_gguf_cursor *c, uint32_t *out)
{
    uint64_t wide = 0;
    RAD_TRY(number(c, 4, &wide));
    *out = (uint32_t)wide;
    return RAD_OK;
}

enum rad_status rad_gguf_take(struct rad_gguf_cursor *c, size_t max, const char *what,
                              struct rad_gguf_text *out)
{
    uint64_t n = 0;
    RAD_TRY(rad_gguf_u64(c, &n));
    if (n > max) {
        c->at -= 8;
        return rad_gguf_bad(c, RAD_E_RANGE, "%s: expected at most %zu bytes but found %" PRIu64,
                            what, max, n);
    }
    if (n > left(c))
        return ended(c, n, what);
    *out = (struct rad_gguf_text){(const char *)c->at, (size_t)n};
    c->at += n;
    return RAD_OK;
}

/* ---- values -------------------------------------------------------------------------------- */

static enum rad_status take_type(struct rad_gguf_cursor *c, enum rad_gguf_type *out)
{
    uint32_t type = 0;
    RAD_TRY(rad_gguf_u32(c, &type));
    if (type >= RAD_N_GGUF_TYPE) {
        c->at -= 4;
        return rad_gguf_bad(c, RAD_E_PARSE, "expected a value type of 0..%d but found %" PRIu32,
                            RAD_N_GGUF_TYPE - 1, type);
    }
    *out = (enum rad_gguf_type)type;
    return RAD_OK;
}

/* Walk over n items of a type that has no arrays in it. */
static enum rad_status skip_items(struct rad_gguf_cursor *c, enum rad_gguf_type type, uint64_t n)
{
    const size_t bytes = types[type].bytes;
    struct rad_gguf_text text;
    if (type == RAD_GGUF_STRING) {
        for (uint64_t i = 0; i < n; i++)
            RAD_TRY(rad_gguf_take(c, RAD_GGUF_STRING_MAX, "string", &text));
        return RAD_OK;
    }
    if (left(c) < n * bytes)
        return ended(c, n * bytes, "value");
    for (uint64_t i = 0; type == RAD_GGUF_BOOL && i < n; i++)
        if (c->at[i] > 1)
            return rad_gguf_bad(c, RAD_E_PARSE, "expected a bool of 0 or 1 but found %d", c->at[i]);
    c->at += n * bytes;
    return RAD_OK;
}

/* Type and number of an array's items: as many as could follow, each of the smallest size. */
static enum rad_status take_array(struct rad_gguf_cursor *c, enum rad_gguf_type *item, uint64_t *n)
{
    enum { SMALLEST_STRING = 8, SMALLEST_ARRAY = 12 };
    RAD_TRY(take_type(c, item));
    RAD_TRY(rad_gguf_u64(c, n));
    const size_t least = *item == RAD_GGUF_STRING  ? SMALLEST_STRING
                         : *item == RAD_GGUF_ARRAY ? SMALLEST_ARRAY
                                                   : types[*item].bytes;
    if (*n > RAD_GGUF_ITEMS_MAX) {
        c->at -= 8;
        return rad_gguf_bad(c, RAD_E_RANGE,
                            "expected an array of at most %d items but found %" PRIu64,
                            RAD_GGUF_ITEMS_MAX, *n);
    }
    return *n > left(c) / least ? ended(c, *n * least, "array") : RAD_OK;
}

/* Walk over the items of an array; those of arrays within it, too, down to the deepest allowed. */
static enum rad_status skip_array(struct rad_gguf_cursor *c, enum rad_gguf_type item, uint64_t n)
{
    uint64_t left[RAD_GGUF_NESTING_MAX]; /* arrays still to come, by level */
    int depth = 0;
    if (item != RAD_GGUF_ARRAY)
        return skip_items(c, item, n);
    left[0] = n;
    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        RAD_TRY(take_array(c, &item, &n));
        if (item != RAD_GGUF_ARRAY) {
            RAD_TRY(skip_items(c, item, n));
            continue;
        }
        if (++depth == RAD_GGUF_NESTING_MAX - 1)
            return rad_gguf_bad(c, RAD_E_RANGE, "arrays are nested deeper than %d",
                                RAD_GGUF_NESTING_MAX);
        left[depth] = n;
    }
    return RAD_OK;
}

static enum rad_status take_value(struct rad_gguf_cursor *c, struct rad_gguf_value *v)
{
    RAD_TRY(take_type(c, &v->type));
    uint64_t n = 1;
    v->item = v->type;
    if (v->type == RAD_GGUF_ARRAY)
        RAD_TRY(take_array(c, &v->item, &n));
    v->n = (size_t)n;
    v->at = c->at;
    return v->type == RAD_GGUF_ARRAY ? skip_array(c, v->item, n) : skip_items(c, v->type, n);
}

static enum rad_status take_key(struct rad_gguf_cursor *c, struct rad_gguf_text *key)
{
    RAD_TRY(rad_gguf_take(c, RAD_GGUF_KEY_MAX, "key", key));
    bool ok = key->len > 0;
    for (size_t i = 0; i < key->len; i++)
        ok = ok && key->data[i] > ' ' && key->data[i] < 0x7f;
    if (ok)
        return RAD_OK;
    c->at -= key->len;
    return rad_gguf_bad(c, RAD_E_PARSE, "expected a key of 1 to %d printable ASCII characters",
                        RAD_GGUF_KEY_MAX);
}

/* A key as an argument of the call that prints it. */
#define SHOWN(key) show_key((char[RAD_SHOW_MAX]){0}, key)
static const char *show_key(char out[RAD_SHOW_MAX], const struct rad_gguf_text *key)
{
    char text[RAD_GGUF_KEY_MAX + 1];
    memcpy(text, key->data, key->len);
    text[key->len] = '\0';
    return rad_show(out, text);
}

static int by_key(const void *a, const void *b)
{
    const struct rad_gguf_text *x = &((const struct rad_gguf_value *)a)->key;
    const struct rad_gguf_text *y = &((const struct rad_gguf_value *)b)->key;
    const int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static enum rad_status read_values(struct rad_gguf *g, struct rad_gguf_cursor *c, size_t n)
{
    g->value = calloc(n + 1, sizeof g->value[0]);
    if (g->value == NULL)
        return rad_fail(c->err, RAD_E_NOMEM, "%s: cannot index %zu metadata pairs", g->path, n);
    for (; g->n_value < n; g->n_value++) {
        struct rad_gguf_value *v = &g->value[g->n_value];
        RAD_TRY(take_key(c, &v->key));
        snprintf(c->in, sizeof c->in, "key '%.60s': ", SHOWN(&v->key));
        RAD_TRY(take_value(c, v));
        c->in[0] = '\0';
    }
    qsort(g->value, n, sizeof g->value[0], by_key);
    for (size_t i = 1; i < n; i++)
        if (by_key(&g->value[i - 1], &g->value[i]) == 0)
            return rad_fail(c->err, RAD_E_PARSE, "%s: duplicate key '%s'", g->path,
                            SHOWN(&g->value[i].key));
    return RAD_OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static enum rad_status check_version(struct rad_gguf *g, struct rad_gguf_cursor *c)
{
    if (left(c) < 4 || memcmp(c->at, "GGUF", 4) != 0)
        return rad_gguf_bad(c, RAD_E_PARSE, "expected 'GGUF'; is it a GGUF file?");
    c->at += 4;
    RAD_TRY(rad_gguf_u32(c, &g->version));
    c->at -= 4;
    if (g->version == 2 || g->version == 3)
        c->at += 4;
    else if (g->version == 1)
        return rad_gguf_bad(c, RAD_E_UNSUPPORTED,
                            "expected version 2 or 3 but found 1; convert the model again");
    else if (g->version != 0 && (g->version & 0xffff) == 0)
        return rad_gguf_bad(c, RAD_E_UNSUPPORTED,
                            "expected a little-endian file but found a big-endian one");
    else
        return rad_gguf_bad(c, RAD_E_UNSUPPORTED, "expected version 2 or 3 but found %" PRIu32,
                            g->version);
    return RAD_OK;
}

/* A number of things of at least so many bytes each, which follow. */
static enum rad_status take_count(struct rad_gguf_cursor *c, const char *what, size_t max,
                                  size_t least, size_t *out)
{
    uint64_t n = 0;
    RAD_TRY(rad_gguf_u64(c, &n));
    c->at -= 8;
    if (n > max)
        return rad_gguf_bad(c, RAD_E_RANGE, "expected at most %zu %s but found %" PRIu64, max, what,
                            n);
    if (n > left(c) / least)
        return rad_gguf_bad(c, RAD_E_PARSE,
                            "found %" PRIu64
                            " %s, but only %zu bytes follow; the file is truncated",
                            n, what, left(c) - 8);
    c->at += 8;
    *out = (size_t)n;
    return RAD_OK;
}

static enum rad_status read_alignment(struct rad_gguf *g, struct rad_err *err)
{
    static const char key[] = "general.alignment";
    int64_t a = 32;
    enum rad_status status = RAD_OK;
    if (rad_gguf_find(g, key) != NULL)
        status = rad_gguf_int(g, key, 8, RAD_GGUF_ALIGNMENT_MAX, &a, err);
    if (status == RAD_OK && (a & (a - 1)) != 0)
        status =
            rad_fail(err, RAD_E_RANGE, "'%s': expected a power of two but found %" PRId64, key, a);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "%s", g->path);
    g->alignment = (size_t)a;
    return RAD_OK;
}

static enum rad_status read_all(struct rad_gguf *g, const unsigned char *data, size_t len,
                                struct rad_err *err)
{
    enum { SMALLEST_PAIR = 8 + 1 + 4 + 1, SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };
    const bool cut = len > RAD_GGUF_HEADER_MAX;
    struct rad_gguf_cursor c = {
        .begin = data,
        .at = data,
        .end = data + (cut ? RAD_GGUF_HEADER_MAX : len),
        .cut = cut,
        .path = g->path,
        .err = err,
    };
    size_t n_tensor = 0, n_value = 0;
    RAD_TRY(rad_ckpt_refuse_lfs(data, len, g->path, err));
    RAD_TRY(check_version(g, &c));
    RAD_TRY(take_count(&c, "tensors", RAD_GGUF_TENSORS_MAX, SMALLEST_TENSOR, &n_tensor));
    RAD_TRY(take_count(&c, "metadata pairs", RAD_GGUF_PAIRS_MAX, SMALLEST_PAIR, &n_value));
    RAD_TRY(read_values(g, &c, n_value));
    RAD_TRY(read_alignment(g, err));
    return rad_gguf_read_tensors(g, &c, n_tensor, data + len);
}

enum rad_status rad_gguf_parse(struct rad_gguf *out, const void *data, size_t len, const char *path,
                               struct rad_err *err)
{
    *out = (struct rad_gguf){.path = strdup(path)};
    enum rad_status status = RAD_OK;
    if (out->path == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    else
        status = read_all(out, data, len, err);
    if (status != RAD_OK)
        rad_gguf_close(out);
    return status;
}

enum rad_status rad_gguf_open(struct rad_gguf *out, const char *path, struct rad_err *err)
{
    struct rad_map map;
    *out = (struct rad_gguf){0};
    RAD_TRY(rad_map_open(&map, path, "a GGUF file", err));
    const enum rad_status status = rad_gguf_parse(out, map.data, map.len, path, err);
    if (status == RAD_OK)
        out->map = map;
    else
        rad_map_close(&map);
    return status;
}

void rad_gguf_close(struct rad_gguf *g)
{
    free(g->value);
    free(g->tensor);
    free(g->names);
    free(g->path);
    rad_map_close(&g->map);
    *g = (struct rad_gguf){0};
}
