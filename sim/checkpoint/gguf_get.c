/* gguf_get.c - metadata of a GGUF file by key. */
#include "checkpoint/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool rad_gguf_text_is(struct rad_gguf_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static int compare_key(const void *key, const void *value)
{
    const struct rad_gguf_text *have = &((const struct rad_gguf_value *)value)->key;
    const size_t len = strlen(key);
    const int order = memcmp(key, have->data, len < have->len ? len : have->len);
    return order != 0 ? order : (len > have->len) - (len < have->len);
}

const struct rad_gguf_value *rad_gguf_find(const struct rad_gguf *g, const char *key)
{
    return g->n_value == 0 ? NULL
                           : bsearch(key, g->value, g->n_value, sizeof g->value[0], compare_key);
}

/* ---- items --------------------------------------------------------------------------------- */

static uint64_t bits_at(const unsigned char *at, size_t bytes)
{
    uint64_t x = 0;
    for (size_t i = bytes; i-- > 0;)
        x = x << 8 | at[i];
    return x;
}

int64_t rad_gguf_int_at(const struct rad_gguf_value *v, size_t i)
{
    const size_t bytes = rad_gguf_type_bytes(v->item);
    const uint64_t x = bits_at(v->at + i * bytes, bytes);
    const bool with_sign = v->item == RAD_GGUF_I8 || v->item == RAD_GGUF_I16 ||
                           v->item == RAD_GGUF_I32 || v->item == RAD_GGUF_I64;
    if (!with_sign)
        return x > INT64_MAX ? INT64_MAX : (int64_t)x;
    const uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    /* Two's complement without a cast that overflows: x - 2 sign for those with the sign set. */
    return (x & sign) == 0 ? (int64_t)x : (int64_t)(x & (sign - 1)) - (int64_t)(sign - 1) - 1;
}

double rad_gguf_real_at(const struct rad_gguf_value *v, size_t i)
{
    if (v->item == RAD_GGUF_F64) {
        double wide;
        const uint64_t bits = bits_at(v->at + 8 * i, 8);
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    float narrow;
    const uint32_t bits = (uint32_t)bits_at(v->at + 4 * i, 4);
    memcpy(&narrow, &bits, sizeof narrow);
    return (double)narrow;
}

struct rad_gguf_text rad_gguf_next(const unsigned char **at)
{
    const struct rad_gguf_text text = {(const char *)*at + 8, (size_t)bits_at(*at, 8)};
    *at += 8 + text.len;
    return text;
}

/* ---- by key -------------------------------------------------------------------------------- */

static bool is_int(enum rad_gguf_type type)
{
    return type <= RAD_GGUF_I32 || type == RAD_GGUF_U64 || type == RAD_GGUF_I64;
}

static bool is_real(enum rad_gguf_type type)
{
    return type == RAD_GGUF_F32 || type == RAD_GGUF_F64;
}

static bool is_bool(enum rad_gguf_type type)
{
    return type == RAD_GGUF_BOOL;
}

static bool is_string(enum rad_gguf_type type)
{
    return type == RAD_GGUF_STRING;
}

/* A value whose items are what is_it says: an array of them, or a single one. */
static enum rad_status get(const struct rad_gguf *g, const char *key, bool array,
                           bool (*is_it)(enum rad_gguf_type), const char *what,
                           const struct rad_gguf_value **out, struct rad_err *err)
{
    const struct rad_gguf_value *v = rad_gguf_find(g, key);
    *out = NULL;
    if (v == NULL)
        return rad_fail(err, RAD_E_PARSE, "expected a key '%s' but found none", key);
    if (array != (v->type == RAD_GGUF_ARRAY) || !is_it(v->item))
        return rad_fail(err, RAD_E_PARSE, "'%s': expected %s%s but found %s%s", key,
                        array ? "an array of " : "", what,
                        v->type == RAD_GGUF_ARRAY ? "an array of " : "",
                        rad_gguf_type_name(v->item));
    *out = v;
    return RAD_OK;
}

enum rad_status rad_gguf_int(const struct rad_gguf *g, const char *key, int64_t min, int64_t max,
                             int64_t *out, struct rad_err *err)
{
    const struct rad_gguf_value *v = NULL;
    RAD_TRY(get(g, key, false, is_int, "an integer", &v, err));
    const int64_t x = rad_gguf_int_at(v, 0);
    if (x < min || x > max)
        return rad_fail(err, RAD_E_RANGE,
                        "'%s': expected %" PRId64 "..%" PRId64 " but found %" PRId64, key, min, max,
                        x);
    *out = x;
    return RAD_OK;
}

enum rad_status rad_gguf_real(const struct rad_gguf *g, const char *key, double min, double max,
                              double *out, struct rad_err *err)
{
    const struct rad_gguf_value *v = NULL;
    RAD_TRY(get(g, key, false, is_real, "a float", &v, err));
    const double x = rad_gguf_real_at(v, 0);
    if (!(x >= min && x <= max))
        return rad_fail(err, RAD_E_RANGE, "'%s': expected %g..%g but found %g", key, min, max, x);
    *out = x;
    return RAD_OK;
}

enum rad_status rad_gguf_bool(const struct rad_gguf *g, const char *key, bool *out,
                              struct rad_err *err)
{
    const struct rad_gguf_value *v = NULL;
    RAD_TRY(get(g, key, false, is_bool, "a bool", &v, err));
    *out = v->at[0] != 0;
    return RAD_OK;
}

enum rad_status rad_gguf_string(const struct rad_gguf *g, const char *key,
                                struct rad_gguf_text *out, struct rad_err *err)
{
    const struct rad_gguf_value *v = NULL;
    RAD_TRY(get(g, key, false, is_string, "a string", &v, err));
    const unsigned char *at = v->at;
    *out = rad_gguf_next(&at);
    return RAD_OK;
}

enum rad_status rad_gguf_strings(const struct rad_gguf *g, const char *key,
                                 const struct rad_gguf_value **out, struct rad_err *err)
{
    return get(g, key, true, is_string, "strings", out, err);
}

enum rad_status rad_gguf_ints(const struct rad_gguf *g, const char *key,
                              const struct rad_gguf_value **out, struct rad_err *err)
{
    return get(g, key, true, is_int, "integers", out, err);
}

enum rad_status rad_gguf_reals(const struct rad_gguf *g, const char *key,
                               const struct rad_gguf_value **out, struct rad_err *err)
{
    return get(g, key, true, is_real, "floats", out, err);
}
