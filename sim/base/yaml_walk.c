/* yaml_walk.c - moving about in a tree that was read. */
#include "base/yaml_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rad_status rad_yaml_fail(const rad_yaml_node *node, struct rad_err *err,
                              enum rad_status status, const char *fmt, ...)
{
    char msg[RAD_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (node == NULL)
        return rad_fail(err, status, "%s", msg);
    return rad_fail(err, status, "%s:%d:%d: %s", node->doc->name, node->line, node->col, msg);
}

const rad_yaml_node *rad_yaml_root(const rad_yaml *doc)
{
    return doc->root;
}

enum rad_yaml_kind rad_yaml_kind(const rad_yaml_node *node)
{
    return node != NULL ? node->kind : RAD_YAML_SCALAR;
}

size_t rad_yaml_count(const rad_yaml_node *node)
{
    return node != NULL ? node->n : 0;
}

const rad_yaml_node *rad_yaml_at(const rad_yaml_node *seq, size_t i)
{
    return rad_yaml_kind(seq) == RAD_YAML_SEQ && i < seq->n ? seq->value[i] : NULL;
}

const rad_yaml_node *rad_yaml_key_node(const rad_yaml_node *map, size_t i)
{
    return rad_yaml_kind(map) == RAD_YAML_MAP && i < map->n ? map->key[i] : NULL;
}

const char *rad_yaml_key(const rad_yaml_node *map, size_t i)
{
    return rad_yaml_text(rad_yaml_key_node(map, i));
}

const rad_yaml_node *rad_yaml_value(const rad_yaml_node *map, size_t i)
{
    return rad_yaml_kind(map) == RAD_YAML_MAP && i < map->n ? map->value[i] : NULL;
}

static int by_name(const void *name, const void *element)
{
    const struct ref *ref = element;
    return strcmp(name, ref->key);
}

const rad_yaml_node *rad_yaml_find(const rad_yaml_node *map, const char *key)
{
    if (rad_yaml_kind(map) != RAD_YAML_MAP || map->n == 0)
        return NULL;
    const struct ref *ref = bsearch(key, map->sorted, map->n, sizeof *map->sorted, by_name);
    return ref != NULL ? map->value[ref->i] : NULL;
}

const char *rad_yaml_text(const rad_yaml_node *scalar)
{
    return scalar != NULL && scalar->text != NULL ? scalar->text : "";
}

int rad_yaml_line(const rad_yaml_node *node)
{
    return node != NULL ? node->line : 0;
}
