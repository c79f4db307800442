/* yaml_impl.h - the tree behind yaml.h; not for others. */
#ifndef RAD_BASE_YAML_IMPL_H
#define RAD_BASE_YAML_IMPL_H

#include "base/yaml.h"

/* A key with its place in the file; sorted by both to find keys, and keys written twice. */
struct ref {
    const char *key;
    size_t i;
};

struct rad_yaml_node {
    const rad_yaml *doc;
    rad_yaml_node *next; /* all nodes of the document, for freeing */
    int line, col;       /* from 1 */
    enum rad_yaml_kind kind;
    char *text;            /* scalar */
    size_t n, cap;         /* items of a sequence, pairs of a mapping */
    rad_yaml_node **key;   /* [cap] mapping */
    rad_yaml_node **value; /* [cap] */
    struct ref *sorted;    /* [n] mapping */
};

struct rad_yaml {
    char *name;
    rad_yaml_node *root;
    rad_yaml_node *nodes;
};

#endif
