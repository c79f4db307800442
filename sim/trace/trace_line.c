/* trace_line.c - one line of routing recorded elsewhere.
 *
 * Jansson says where a line stops being JSON, but not where a value is. The keys of a line are
 * known and others are refused, so the column of a wrong value is found again by its key. */
#include "trace/trace_line.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/near.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- columns --------------------------------------------------------------------------- */

/* The comma or bracket that ends the item at s, in JSON known to be valid. */
static const char *skip_item(const char *s, const char *end)
{
    int depth = 0;
    bool quoted = false;
    for (; s < end; s++) {
        if (quoted && *s == '\\') {
            s++;
        } else if (*s == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            const bool closes = *s == ']' || *s == '}';
            if (depth == 0 && (closes || *s == ','))
                return s;
            depth += *s == '[' || *s == '{';
            depth -= closes;
        }
    }
    return end;
}

static const char *skip_blanks(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r' || *s == ':'))
        s++;
    return s;
}

/* Column, from 1, of the value of a key of the line's object, or of an item of that array. */
static int column_of(const struct rad_trace_line *line, const char *key, size_t item)
{
    const char *end = line->text + line->len, *s = skip_blanks(line->text, end);
    const size_t len = strlen(key);
    while (s < end) {
        s = skip_blanks(s + 1, end); /* behind the '{' or ',' */
        const bool found = (size_t)(end - s) > len + 2 && s[0] == '"' && s[len + 1] == '"' &&
                           memcmp(s + 1, key, len) == 0;
        if (found)
            break;
        s = skip_item(s, end);
    }
    if (s >= end)
        return 1;
    s = skip_blanks(s + len + 2, end);
    for (size_t i = 0; item != RAD_TRACE_WHOLE && i <= item && s < end; i++)
        s = skip_blanks((i == 0 ? s : skip_item(s, end)) + 1, end); /* behind the '[' or ',' */
    return (int)(s - line->text) + 1;
}

enum rad_status rad_trace_line_bad(const struct rad_trace_line *line, const char *key, size_t item,
                                   const char *fmt, ...)
{
    char text[320], shown[RAD_SHOW_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return rad_fail(line->err, RAD_E_PARSE, "%s:%lld:%d: %s: %s", line->path,
                    (long long)line->number, column_of(line, key, item), rad_show(shown, key),
                    text);
}

/* ---- values ---------------------------------------------------------------------------- */

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {"an object", "an array", "text",  "an integer",
                                        "a real",    "true",     "false", "null"};
    return value != NULL ? names[json_typeof(value)] : "nothing";
}

/* A whole number from 0 to max. */
static enum rad_status get_int(const struct rad_trace_line *line, const char *key, size_t item,
                               const json_t *value, int64_t max, int64_t *out)
{
    if (!json_is_integer(value))
        return rad_trace_line_bad(line, key, item, "expected a whole number but found %s",
                                  type_name(value));
    *out = json_integer_value(value);
    if (*out < 0 || *out > max)
        return rad_trace_line_bad(line, key, item, "expected 0 to %lld but found %lld",
                                  (long long)max, (long long)*out);
    return RAD_OK;
}

static enum rad_status get_nll(const struct rad_trace_line *line, const json_t *value, float *out)
{
    *out = NAN;
    if (value == NULL || json_is_null(value))
        return RAD_OK;
    if (!json_is_number(value))
        return rad_trace_line_bad(line, "nll", RAD_TRACE_WHOLE,
                                  "expected a number or null but found %s", type_name(value));
    const double nll = json_number_value(value);
    if (fabs(nll) > (double)FLT_MAX)
        return rad_trace_line_bad(line, "nll", RAD_TRACE_WHOLE,
                                  "expected a number that a float32 can hold but found %g", nll);
    *out = (float)nll;
    return RAD_OK;
}

static enum rad_status get_phase(const struct rad_trace_line *line, const json_t *value,
                                 enum rad_phase *out)
{
    char shown[RAD_SHOW_MAX];
    const char *text = json_string_value(value);
    if (text != NULL && rad_phase_parse(text, out))
        return RAD_OK;
    return rad_trace_line_bad(line, "phase", RAD_TRACE_WHOLE,
                              "expected \"prefill\" or \"decode\" but found %s",
                              text != NULL ? rad_show(shown, text) : type_name(value));
}

static enum rad_status only_keys(const struct rad_trace_line *line, json_t *object, size_t item,
                                 const char *const keys[], size_t n)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < n; i++)
            known = known || strcmp(key, keys[i]) == 0;
        if (known)
            continue;
        const char *near = rad_nearest(key, keys, n);
        return rad_trace_line_bad(line, item == RAD_TRACE_WHOLE ? key : "path", item,
                                  "unknown key%s%s%s%s%s", item == RAD_TRACE_WHOLE ? "" : " '",
                                  item == RAD_TRACE_WHOLE ? "" : key,
                                  item == RAD_TRACE_WHOLE ? "" : "'",
                                  near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    }
    return RAD_OK;
}

/* ---- paths ----------------------------------------------------------------------------- */

static enum rad_status get_flag(const struct rad_trace_line *line, size_t item, const json_t *entry,
                                const char *key, unsigned flag, unsigned *flags)
{
    const json_t *value = json_object_get(entry, key);
    if (value != NULL && !json_is_boolean(value))
        return rad_trace_line_bad(line, "path", item, "%s: expected true or false but found %s",
                                  key, type_name(value));
    if (value == NULL || json_is_true(value))
        *flags |= flag;
    return RAD_OK;
}

/* An entry without a visit: {"layer": 3, "kv": "project"}. */
static enum rad_status get_entry(const struct rad_trace_line *line, size_t item,
                                 const json_t *entry, unsigned *flags)
{
    const char *kv = json_string_value(json_object_get(entry, "kv"));
    if (kv != NULL && strcmp(kv, "project") == 0)
        *flags = RAD_HOP_PROJECT;
    else if (kv != NULL && strcmp(kv, "copy") == 0)
        *flags = RAD_HOP_COPY;
    else
        return rad_trace_line_bad(line, "path", item, "kv: expected \"project\" or \"copy\"");
    if (json_object_get(entry, "attn") != NULL || json_object_get(entry, "mlp") != NULL)
        return rad_trace_line_bad(line, "path", item,
                                  "expected either kv (no visit) or attn and mlp, but found both");
    return RAD_OK;
}

static enum rad_status get_hop(const struct rad_trace_line *line, size_t item, json_t *entry,
                               int32_t n_layer, struct rad_hop_rec *out)
{
    static const char *const keys[] = {"layer", "attn", "mlp", "kv"};
    const bool object = json_is_object(entry);
    unsigned flags = 0;
    int64_t layer = 0;
    if (object)
        RAD_TRY(only_keys(line, entry, item, keys, sizeof keys / sizeof keys[0]));
    RAD_TRY(get_int(line, "path", item, object ? json_object_get(entry, "layer") : entry, INT64_MAX,
                    &layer));
    if (layer >= n_layer)
        return rad_trace_line_bad(line, "path", item,
                                  "expected a layer below %d, as the card has, but found %lld",
                                  (int)n_layer, (long long)layer);
    if (object && json_object_get(entry, "kv") != NULL) {
        RAD_TRY(get_entry(line, item, entry, &flags));
    } else {
        RAD_TRY(get_flag(line, item, entry, "attn", RAD_HOP_ATTN, &flags));
        RAD_TRY(get_flag(line, item, entry, "mlp", RAD_HOP_MLP, &flags));
    }
    *out = (struct rad_hop_rec){.layer = (uint16_t)layer, .flags = (uint16_t)flags};
    return RAD_OK;
}

static enum rad_status get_path(const struct rad_trace_line *line, const json_t *path,
                                int32_t n_layer, struct rad_trace_parsed *out)
{
    const size_t n = json_array_size(path);
    if (!json_is_array(path))
        return rad_trace_line_bad(line, "path", RAD_TRACE_WHOLE, "expected an array but found %s",
                                  type_name(path));
    if (n > RAD_TRACE_PATH_MAX)
        return rad_trace_line_bad(line, "path", RAD_TRACE_WHOLE,
                                  "expected at most %d hops but found %zu", RAD_TRACE_PATH_MAX, n);
    if (n > out->max_hop) {
        struct rad_hop_rec *more = realloc(out->hop, 2 * n * sizeof *more);
        if (more == NULL)
            return rad_fail(line->err, RAD_E_NOMEM, "%s: out of memory", line->path);
        out->hop = more;
        out->max_hop = 2 * n;
    }
    for (size_t i = 0; i < n; i++) {
        RAD_TRY(get_hop(line, i, json_array_get(path, i), n_layer, &out->hop[i]));
        const unsigned entry = out->hop[i].flags & (RAD_HOP_PROJECT | RAD_HOP_COPY);
        out->has_entries = out->has_entries || entry != 0;
    }
    out->tok.n_hop = (int32_t)n;
    return RAD_OK;
}

static enum rad_status get_keys(const struct rad_trace_line *line, const json_t *keys,
                                struct rad_trace_parsed *out)
{
    out->has_keys = keys != NULL;
    if (keys == NULL)
        return RAD_OK;
    if (!json_is_array(keys) || json_array_size(keys) != (size_t)out->tok.n_hop)
        return rad_trace_line_bad(line, "n_keys", RAD_TRACE_WHOLE,
                                  "expected an array of %d numbers, as the path has hops",
                                  (int)out->tok.n_hop);
    for (size_t i = 0; i < (size_t)out->tok.n_hop; i++) {
        int64_t n = 0;
        RAD_TRY(get_int(line, "n_keys", i, json_array_get(keys, i), UINT32_MAX, &n));
        out->hop[i].n_keys = (uint32_t)n;
    }
    return RAD_OK;
}

static enum rad_status get_line(const struct rad_trace_line *line, json_t *object, int32_t n_layer,
                                struct rad_trace_parsed *out)
{
    static const char *const keys[] = {"seq", "pos", "phase", "path", "token", "nll", "n_keys"};
    int64_t seq = 0, pos = 0, token = -1;
    const json_t *id = json_object_get(object, "token");
    out->tok = (struct rad_trace_token){.token = -1};
    out->has_entries = false;
    RAD_TRY(only_keys(line, object, RAD_TRACE_WHOLE, keys, sizeof keys / sizeof keys[0]));
    RAD_TRY(get_int(line, "seq", RAD_TRACE_WHOLE, json_object_get(object, "seq"), INT64_MAX, &seq));
    RAD_TRY(
        get_int(line, "pos", RAD_TRACE_WHOLE, json_object_get(object, "pos"), INT32_MAX - 1, &pos));
    RAD_TRY(get_phase(line, json_object_get(object, "phase"), &out->tok.phase));
    RAD_TRY(get_path(line, json_object_get(object, "path"), n_layer, out));
    RAD_TRY(get_keys(line, json_object_get(object, "n_keys"), out));
    RAD_TRY(get_nll(line, json_object_get(object, "nll"), &out->tok.nll));
    if (id != NULL && !json_is_null(id))
        RAD_TRY(get_int(line, "token", RAD_TRACE_WHOLE, id, INT32_MAX, &token));
    out->tok.seq = seq;
    out->tok.pos = (int32_t)pos;
    out->tok.token = (int32_t)token;
    return RAD_OK;
}

enum rad_status rad_trace_line_parse(const struct rad_trace_line *line, int32_t n_layer,
                                     struct rad_trace_parsed *out)
{
    json_error_t where;
    char shown[RAD_SHOW_MAX];
    json_t *object = json_loadb(line->text, line->len, JSON_REJECT_DUPLICATES, &where);
    if (object == NULL)
        return rad_fail(line->err, RAD_E_PARSE, "%s:%lld:%d: expected a JSON object: %s",
                        line->path, (long long)line->number, where.column > 0 ? where.column : 1,
                        rad_show(shown, where.text));
    enum rad_status status = RAD_OK;
    if (!json_is_object(object))
        status = rad_fail(line->err, RAD_E_PARSE, "%s:%lld:1: expected a JSON object but found %s",
                          line->path, (long long)line->number, type_name(object));
    if (status == RAD_OK)
        status = get_line(line, object, n_layer, out);
    json_decref(object);
    return status;
}
