/* yaml.c - a tree from the events of libyaml, refusing what a data file does not need.
 *
 * The event interface is used, not the document one, because size, depth, anchors and tags must be
 * refused before libyaml spends time or memory on them. */
#include "base/yaml_impl.h"

#include "base/buf.h"
#include "base/io.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one, deleted by the next */
    rad_yaml *doc;
    struct rad_err *err;
    int depth;
};

/* ---- reading --------------------------------------------------------------------------- */

static enum rad_status fail_at(const struct reader *r, yaml_mark_t mark, const char *what)
{
    return rad_fail(r->err, RAD_E_PARSE, "%s:%zu:%zu: %s", r->doc->name, mark.line + 1,
                    mark.column + 1, what);
}

static enum rad_status no_memory(const struct reader *r)
{
    return rad_fail(r->err, RAD_E_NOMEM, "%s: no memory to read it", r->doc->name);
}

static enum rad_status next_event(struct reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return RAD_OK;
    if (r->parser.error == YAML_MEMORY_ERROR)
        return no_memory(r);
    const char *problem = r->parser.problem != NULL ? r->parser.problem : "not YAML";
    if (r->parser.error != YAML_READER_ERROR)
        return fail_at(r, r->parser.problem_mark, problem);
    return rad_fail(r->err, RAD_E_PARSE, "%s: byte %zu: %s", r->doc->name, r->parser.problem_offset,
                    problem);
}

static rad_yaml_node *new_node(struct reader *r, enum rad_yaml_kind kind)
{
    rad_yaml_node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->doc = r->doc;
    node->kind = kind;
    node->line = (int)r->event.start_mark.line + 1; /* of 1 MiB: fits */
    node->col = (int)r->event.start_mark.column + 1;
    node->next = r->doc->nodes;
    r->doc->nodes = node;
    return node;
}

static enum rad_status read_scalar(struct reader *r, rad_yaml_node **out)
{
    const char *text = (const char *)r->event.data.scalar.value;
    const size_t len = r->event.data.scalar.length;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            return fail_at(r, r->event.start_mark, "expected text but found a control character");
    }
    rad_yaml_node *node = new_node(r, RAD_YAML_SCALAR);
    if (node == NULL || (node->text = malloc(len + 1)) == NULL)
        return no_memory(r);
    memcpy(node->text, text, len);
    node->text[len] = '\0';
    *out = node;
    return RAD_OK;
}

/* Room for one more pair. */
static bool grow(rad_yaml_node *node)
{
    if (node->n < node->cap)
        return true;
    const size_t cap = node->cap > 0 ? node->cap * 2 : 8;
    rad_yaml_node **value = realloc(node->value, cap * sizeof(rad_yaml_node *));
    if (value == NULL)
        return false;
    node->value = value;
    if (node->kind == RAD_YAML_MAP) {
        rad_yaml_node **key = realloc(node->key, cap * sizeof(rad_yaml_node *));
        if (key == NULL)
            return false;
        node->key = key;
    }
    node->cap = cap;
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct ref *ra = a, *rb = b;
    const int order = strcmp(ra->key, rb->key);
    return order != 0 ? order : ra->i < rb->i ? -1 : ra->i > rb->i;
}

/* Sorting, not comparing all pairs: a hostile file may have 10^5 keys. */
static enum rad_status index_keys(struct reader *r, rad_yaml_node *map)
{
    char shown[RAD_SHOW_MAX];
    if (map->n == 0)
        return RAD_OK;
    map->sorted = malloc(map->n * sizeof *map->sorted);
    if (map->sorted == NULL)
        return no_memory(r);
    for (size_t i = 0; i < map->n; i++)
        map->sorted[i] = (struct ref){map->key[i]->text, i};
    qsort(map->sorted, map->n, sizeof *map->sorted, by_key);
    for (size_t i = 1; i < map->n; i++) {
        const struct ref *first = &map->sorted[i - 1], *again = &map->sorted[i];
        if (strcmp(first->key, again->key) == 0)
            return rad_yaml_fail(map->key[again->i], r->err, RAD_E_PARSE,
                                 "'%s' is set twice, first in line %d", rad_show(shown, again->key),
                                 map->key[first->i]->line);
    }
    return RAD_OK;
}

static enum rad_status read_node(struct reader *r, rad_yaml_node **out);

static enum rad_status read_key(struct reader *r, rad_yaml_node **out)
{
    if (r->event.type == YAML_SEQUENCE_START_EVENT || r->event.type == YAML_MAPPING_START_EVENT)
        return fail_at(r, r->event.start_mark, "expected a word as key but found a list or map");
    RAD_TRY(read_node(r, out));
    return next_event(r);
}

/* The items up to the end event; the current event is the start. */
static enum rad_status read_items(struct reader *r, rad_yaml_node *node)
{
    for (;;) {
        RAD_TRY(next_event(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT || r->event.type == YAML_MAPPING_END_EVENT)
            return node->kind == RAD_YAML_MAP ? index_keys(r, node) : RAD_OK;
        if (!grow(node))
            return no_memory(r);
        if (node->kind == RAD_YAML_MAP)
            RAD_TRY(read_key(r, &node->key[node->n]));
        RAD_TRY(read_node(r, &node->value[node->n]));
        node->n++;
    }
}

static enum rad_status read_collection(struct reader *r, enum rad_yaml_kind kind,
                                       rad_yaml_node **out)
{
    if (r->depth == RAD_YAML_MAX_DEPTH)
        return fail_at(r, r->event.start_mark, "nested deeper than 32 levels");
    rad_yaml_node *node = new_node(r, kind);
    if (node == NULL)
        return no_memory(r);
    r->depth++;
    RAD_TRY(read_items(r, node));
    r->depth--;
    *out = node;
    return RAD_OK;
}

/* The node that starts with the current event. */
static enum rad_status read_node(struct reader *r, rad_yaml_node **out)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    enum rad_yaml_kind kind = RAD_YAML_SCALAR;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        kind = RAD_YAML_SEQ;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        kind = RAD_YAML_MAP;
    } else {
        return fail_at(r, e->start_mark, "aliases (*name) are not supported; repeat the value");
    }
    if (anchor != NULL)
        return fail_at(r, e->start_mark, "anchors (&name) are not supported; remove it");
    if (tag != NULL)
        return fail_at(r, e->start_mark, "tags (!name) are not supported; remove it");
    return kind == RAD_YAML_SCALAR ? read_scalar(r, out) : read_collection(r, kind, out);
}

/* Stream start, at most one document, stream end. */
static enum rad_status read_stream(struct reader *r)
{
    RAD_TRY(next_event(r));
    RAD_TRY(next_event(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        r->doc->root = new_node(r, RAD_YAML_SCALAR);
        return r->doc->root != NULL ? RAD_OK : no_memory(r);
    }
    RAD_TRY(next_event(r));
    RAD_TRY(read_node(r, &r->doc->root));
    RAD_TRY(next_event(r));
    RAD_TRY(next_event(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return fail_at(r, r->event.start_mark, "expected one document but found a second");
    return RAD_OK;
}

/* Does a line start at text[i]? The line breaks of YAML 1.1: LF, CR, NEL, LS, PS. */
static bool starts_line(const char *text, size_t i)
{
    return i == 0 || text[i - 1] == '\n' || text[i - 1] == '\r' ||
           (i >= 2 && memcmp(text + i - 2, "\xc2\x85", 2) == 0) ||
           (i >= 3 && memcmp(text + i - 3, "\xe2\x80\xa8", 3) == 0) ||
           (i >= 3 && memcmp(text + i - 3, "\xe2\x80\xa9", 3) == 0);
}

/* Before libyaml sees them: it compares all pairs of %TAG lines, 14 s for 1 MiB. */
static enum rad_status refuse_directives(const rad_yaml *doc, const char *text, size_t len,
                                         struct rad_err *err)
{
    int line = 1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%' && starts_line(text, i))
            return rad_fail(err, RAD_E_PARSE,
                            "%s:%d:1: directives (%%...) are not supported; remove the line",
                            doc->name, line);
        line += text[i] == '\n';
    }
    return RAD_OK;
}

static enum rad_status read_document(rad_yaml *doc, const char *text, size_t len,
                                     struct rad_err *err)
{
    struct reader r = {.doc = doc, .err = err};
    if (len > RAD_YAML_MAX_BYTES)
        return rad_fail(err, RAD_E_PARSE, "%s: expected at most %zu bytes but found %zu", doc->name,
                        RAD_YAML_MAX_BYTES, len);
    RAD_TRY(refuse_directives(doc, text, len, err));
    if (!yaml_parser_initialize(&r.parser)) {
        yaml_parser_delete(&r.parser);
        return no_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    const enum rad_status status = read_stream(&r);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}

enum rad_status rad_yaml_parse(rad_yaml **out, const char *text, size_t len, const char *name,
                               struct rad_err *err)
{
    *out = NULL;
    rad_yaml *doc = calloc(1, sizeof *doc);
    if (doc == NULL || (doc->name = malloc(strlen(name) + 1)) == NULL) {
        rad_yaml_close(doc);
        return rad_fail(err, RAD_E_NOMEM, "%s: no memory to read it", name);
    }
    strcpy(doc->name, name);
    const enum rad_status status = read_document(doc, text, len, err);
    if (status == RAD_OK)
        *out = doc;
    else
        rad_yaml_close(doc);
    return status;
}

enum rad_status rad_yaml_open(rad_yaml **out, const char *path, struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    RAD_TRY(rad_file_read(path, RAD_YAML_MAX_BYTES, &text, &len, err));
    const enum rad_status status = rad_yaml_parse(out, text, len, path, err);
    free(text);
    return status;
}

void rad_yaml_close(rad_yaml *doc)
{
    if (doc == NULL)
        return;
    for (rad_yaml_node *node = doc->nodes, *next = NULL; node != NULL; node = next) {
        next = node->next;
        free(node->text);
        free(node->key);
        free(node->value);
        free(node->sorted);
        free(node);
    }
    free(doc->name);
    free(doc);
}
