/* yaml_get.c - values of a YAML tree as types, with the place in every message. */
#include "base/buf.h"
#include "base/near.h"
#include "base/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(const rad_yaml_node *node)
{
    switch (rad_yaml_kind(node)) {
    case RAD_YAML_SEQ:
        return "a list";
    case RAD_YAML_MAP:
        return "a mapping";
    case RAD_YAML_SCALAR:
        break;
    }
    return *rad_yaml_text(node) != '\0' ? "a single value" : "nothing";
}

/* The text of a scalar that is not empty. */
static enum rad_status need_text(const rad_yaml_node *node, const char *what, const char **out,
                                 struct rad_err *err)
{
    *out = rad_yaml_text(node);
    if (**out == '\0')
        return rad_yaml_fail(node, err, RAD_E_PARSE, "expected %s but found %s", what,
                             kind_name(node));
    return RAD_OK;
}

enum rad_status rad_yaml_int(const rad_yaml_node *node, int64_t min, int64_t max, int64_t *out,
                             struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    const char *text = NULL;
    char *rest = NULL;
    RAD_TRY(need_text(node, "a whole number", &text, err));
    errno = 0;
    const long long value = strtoll(text, &rest, 10);
    const char first = text[*text == '-' || *text == '+'];
    if (first < '0' || first > '9' || *rest != '\0')
        return rad_yaml_fail(node, err, RAD_E_PARSE, "expected a whole number but found '%s'",
                             rad_show(shown, text));
    if (errno == ERANGE || value < min || value > max)
        return rad_yaml_fail(node, err, RAD_E_RANGE, "must be in %lld..%lld but is %s",
                             (long long)min, (long long)max, rad_show(shown, text));
    *out = value;
    return RAD_OK;
}

enum rad_status rad_yaml_quantity(const rad_yaml_node *node, enum rad_dim dim, double min,
                                  double max, double *out, struct rad_err *err)
{
    const char *text = NULL, *unit = rad_dim_unit(dim);
    struct rad_err inner = {0};
    double value = 0.0;
    RAD_TRY(need_text(node, "a value", &text, err));
    const enum rad_status status = rad_quantity_parse(text, dim, &value, &inner);
    if (status != RAD_OK)
        return rad_yaml_fail(node, err, status, "%s", inner.msg);
    if (!(value >= min && value <= max))
        return rad_yaml_fail(node, err, RAD_E_RANGE, "must be in %g..%g%s%s but is %g", min, max,
                             *unit ? " " : "", unit, value);
    *out = value;
    return RAD_OK;
}

enum rad_status rad_yaml_real(const rad_yaml_node *node, double min, double max, double *out,
                              struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    const char *text = rad_yaml_text(node);
    if (strchr(text, '%') != NULL)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "expected a plain number but found '%s'",
                             rad_show(shown, text));
    return rad_yaml_quantity(node, RAD_DIM_ONE, min, max, out, err);
}

enum rad_status rad_yaml_bool(const rad_yaml_node *node, bool *out, struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    const char *text = NULL;
    RAD_TRY(need_text(node, "true or false", &text, err));
    const bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "expected true or false but found '%s'",
                             rad_show(shown, text));
    *out = yes;
    return RAD_OK;
}

static enum rad_status need_map(const rad_yaml_node *node, struct rad_err *err)
{
    if (rad_yaml_kind(node) == RAD_YAML_MAP)
        return RAD_OK;
    return rad_yaml_fail(node, err, RAD_E_PARSE, "expected a mapping (key: value) but found %s",
                         kind_name(node));
}

enum rad_status rad_yaml_need(const rad_yaml_node *map, const char *key, const rad_yaml_node **out,
                              struct rad_err *err)
{
    *out = NULL;
    RAD_TRY(need_map(map, err));
    *out = rad_yaml_find(map, key);
    if (*out == NULL)
        return rad_yaml_fail(map, err, RAD_E_RANGE, "missing required key '%s'", key);
    return RAD_OK;
}

/* near is the name meant, or NULL. */
static enum rad_status unknown_key(const rad_yaml_node *key, const char *name, const char *near,
                                   struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    return rad_yaml_fail(key, err, RAD_E_PARSE, "unknown key '%s'%s%s%s", rad_show(shown, name),
                         near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

enum rad_status rad_yaml_only(const rad_yaml_node *map, const char *const keys[], size_t n,
                              struct rad_err *err)
{
    RAD_TRY(need_map(map, err));
    for (size_t i = 0; i < rad_yaml_count(map); i++) {
        const char *key = rad_yaml_key(map, i);
        size_t k = 0;
        while (k < n && strcmp(keys[k], key) != 0)
            k++;
        if (k == n)
            return unknown_key(rad_yaml_key_node(map, i), key, rad_nearest(key, keys, n), err);
    }
    return RAD_OK;
}

/* ---- parameter tables ------------------------------------------------------------------ */

enum { KEY_BYTES = 128, VALUE_BYTES = 128 };

struct filler {
    const struct rad_param *table;
    void *base;
    const rad_yaml_node *sources;
    bool *seen; /* [rows of table] */
    struct rad_err *err;
};

/* Copy the value without "@name" to value[VALUE_BYTES] and check the name. */
static enum rad_status split_source(const struct filler *f, const rad_yaml_node *node, char *value)
{
    char shown[RAD_SHOW_MAX];
    const char *text = NULL;
    RAD_TRY(need_text(node, "a value", &text, f->err));
    const char *at = strrchr(text, '@');
    size_t len = at != NULL ? (size_t)(at - text) : strlen(text);
    while (at != NULL && len > 0 && text[len - 1] == ' ')
        len--;
    if (len >= VALUE_BYTES)
        return rad_yaml_fail(node, f->err, RAD_E_PARSE, "expected a short value but found '%s'",
                             rad_show(shown, text));
    memcpy(value, text, len);
    value[len] = '\0';
    if (f->sources == NULL && at != NULL)
        return rad_yaml_fail(node, f->err, RAD_E_PARSE, "no sources are expected here; remove '%s'",
                             rad_show(shown, at));
    if (f->sources == NULL)
        return RAD_OK;
    if (at == NULL)
        return rad_yaml_fail(node, f->err, RAD_E_PARSE,
                             "'%s' names no source; add '@name' after the value",
                             rad_show(shown, text));
    if (rad_yaml_find(f->sources, at + 1) == NULL)
        return rad_yaml_fail(node, f->err, RAD_E_PARSE,
                             "'%s' is not among the sources of this file; add it there",
                             rad_show(shown, at));
    return RAD_OK;
}

static enum rad_status fill_value(const struct filler *f, const rad_yaml_node *key,
                                  const rad_yaml_node *node, const char *name)
{
    char value[VALUE_BYTES];
    struct rad_err inner = {0};
    const struct rad_param *p = rad_param_find(f->table, name);
    if (p == NULL)
        return unknown_key(key, name, rad_param_nearest(f->table, name), f->err);
    bool *seen = &f->seen[p - f->table];
    if (*seen)
        return rad_yaml_fail(key, f->err, RAD_E_PARSE, "'%s' is set twice", name);
    *seen = true;
    RAD_TRY(split_source(f, node, value));
    const enum rad_status status = rad_params_set(f->table, f->base, name, value, &inner);
    return status == RAD_OK ? RAD_OK : rad_yaml_fail(node, f->err, status, "%s", inner.msg);
}

/* Is there a key "name.something"? */
static bool has_group(const struct rad_param *table, const char *name)
{
    const size_t n = strlen(name);
    for (const struct rad_param *p = table; p->key != NULL; p++)
        if (strncmp(p->key, name, n) == 0 && p->key[n] == '.')
            return true;
    return false;
}

/* prefix is "" or "peak.". Recursion is bounded by the depth of the document. */
static enum rad_status fill_map(const struct filler *f, const rad_yaml_node *map,
                                const char *prefix)
{
    for (size_t i = 0; i < rad_yaml_count(map); i++) {
        char name[KEY_BYTES];
        const rad_yaml_node *key = rad_yaml_key_node(map, i), *value = rad_yaml_value(map, i);
        const int len = snprintf(name, sizeof name - 1, "%s%s", prefix, rad_yaml_text(key));
        if (len < 0 || len >= KEY_BYTES - 1)
            return unknown_key(key, rad_yaml_text(key), NULL, f->err);
        if (rad_yaml_kind(value) != RAD_YAML_MAP) {
            RAD_TRY(fill_value(f, key, value, name));
            continue;
        }
        if (rad_param_find(f->table, name) != NULL)
            return rad_yaml_fail(value, f->err, RAD_E_PARSE, "'%s': expected a value but found %s",
                                 name, kind_name(value));
        if (!has_group(f->table, name))
            return unknown_key(key, name, rad_param_nearest(f->table, name), f->err);
        strcat(name, ".");
        RAD_TRY(fill_map(f, value, name));
    }
    return RAD_OK;
}

enum rad_status rad_yaml_params(const rad_yaml_node *map, const struct rad_param *table, void *base,
                                const rad_yaml_node *sources, struct rad_err *err)
{
    size_t n = 0;
    while (table[n].key != NULL)
        n++;
    RAD_TRY(need_map(map, err));
    bool *seen = calloc(n + 1, sizeof *seen);
    if (seen == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory for %zu parameters", n);
    const struct filler f = {table, base, sources, seen, err};
    rad_params_default(table, base);
    enum rad_status status = fill_map(&f, map, "");
    for (size_t i = 0; i < n && status == RAD_OK; i++)
        if (!seen[i] && table[i].def == RAD_REQUIRED)
            status = rad_yaml_fail(map, err, RAD_E_RANGE, "missing required key '%s' (%s)",
                                   table[i].key, table[i].doc);
    free(seen);
    return status;
}
