/* json.c - jansson with messages, limits and checked getters. */
#include "base/json.h"

#include "base/buf.h"
#include "base/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in and out ------------------------------------------------------------------------ */

enum rad_status rad_json_parse(json_t **out, const char *text, size_t len, const char *name,
                               struct rad_err *err)
{
    json_error_t why;
    char shown[JSON_ERROR_TEXT_LENGTH];
    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (*out != NULL)
        return RAD_OK;
    /* Most failed allocations leave no text at all. */
    if (json_error_code(&why) == json_error_out_of_memory || why.text[0] == '\0')
        return rad_fail(err, RAD_E_NOMEM, "%s: no memory to read it", name);
    /* jansson quotes what it found, which may hold anything. */
    memcpy(shown, why.text, sizeof shown);
    for (char *c = shown; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return rad_fail(err, RAD_E_PARSE, "%s:%d:%d: %s", name, why.line, why.column, shown);
}

enum rad_status rad_json_read(json_t **out, const char *path, size_t max_bytes, struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    RAD_TRY(rad_file_read(path, max_bytes, &text, &len, err));
    const enum rad_status status = rad_json_parse(out, text, len, path, err);
    free(text);
    return status;
}

enum rad_status rad_json_dump(const json_t *value, char **out, struct rad_err *err)
{
    *out = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    return *out != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "no memory to write JSON");
}

/* ---- building -------------------------------------------------------------------------- */

json_t *rad_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Bytes of the well-formed UTF-8 sequence at s, 0 if there is none (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    if (s[0] < 0x80)
        return 1;
    const size_t n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                     : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                     : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                    : 0;
    if (n == 0 || n > len)
        return 0;
    const unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return n;
}

json_t *rad_json_text(const char *bytes, size_t len)
{
    struct rad_buf b = {0};
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length((const unsigned char *)bytes + i, len - i);
        if (n > 0)
            rad_buf_append(&b, bytes + i, n);
        else
            rad_buf_add(&b, "\xef\xbf\xbd");
        i += n > 0 ? n : 1;
    }
    json_t *text = b.failed ? NULL : json_stringn_nocheck(b.data != NULL ? b.data : "", b.len);
    rad_buf_free(&b);
    return text;
}

/* ---- checked access -------------------------------------------------------------------- */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static enum rad_status wrong_type(const char *key, const char *expected, const json_t *value,
                                  struct rad_err *err)
{
    return rad_fail(err, RAD_E_PARSE, "'%s': expected %s but found %s", key, expected,
                    value != NULL ? type_name(value) : "nothing");
}

enum rad_status rad_json_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                             int64_t *out, struct rad_err *err)
{
    const json_t *value = json_object_get(obj, key);
    if (!json_is_integer(value))
        return wrong_type(key, "an integer", value, err);
    const int64_t number = json_integer_value(value);
    if (number < min || number > max)
        return rad_fail(err, RAD_E_RANGE, "'%s': expected %lld..%lld but found %lld", key,
                        (long long)min, (long long)max, (long long)number);
    *out = number;
    return RAD_OK;
}

enum rad_status rad_json_real(const json_t *obj, const char *key, double min, double max,
                              double *out, struct rad_err *err)
{
    const json_t *value = json_object_get(obj, key);
    if (!json_is_number(value))
        return wrong_type(key, "a number", value, err);
    const double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return rad_fail(err, RAD_E_RANGE, "'%s': expected %g..%g but found %g", key, min, max,
                        number);
    *out = number;
    return RAD_OK;
}

enum rad_status rad_json_string(const json_t *obj, const char *key, const char **out,
                                struct rad_err *err)
{
    const json_t *value = json_object_get(obj, key);
    if (!json_is_string(value))
        return wrong_type(key, "a string", value, err);
    *out = json_string_value(value);
    return RAD_OK;
}

enum rad_status rad_json_bool(const json_t *obj, const char *key, bool def, bool *out,
                              struct rad_err *err)
{
    const json_t *value = json_object_get(obj, key);
    if (value != NULL && !json_is_boolean(value))
        return wrong_type(key, "true or false", value, err);
    *out = value != NULL ? json_is_true(value) : def;
    return RAD_OK;
}
