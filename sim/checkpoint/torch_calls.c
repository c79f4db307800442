/* torch_calls.c - the names that a pickle of weights may use, and what calling them gives. */
#include "checkpoint/torch_pickle.h"

#include <string.h>

static const struct name {
    const char *module, *name;
    enum rad_pickle_class class;
    const char *dtype; /* of a storage, as in safetensors files */
} names[] = {
    {"collections", "OrderedDict", RAD_PICKLE_ORDERED_DICT, NULL},
    {"torch._utils", "_rebuild_tensor_v2", RAD_PICKLE_REBUILD_TENSOR, NULL},
    {"torch._utils", "_rebuild_parameter", RAD_PICKLE_REBUILD_PARAMETER, NULL},
    {"torch", "Size", RAD_PICKLE_SIZE, NULL},
    {"torch", "FloatStorage", RAD_PICKLE_STORAGE, "F32"},
    {"torch", "HalfStorage", RAD_PICKLE_STORAGE, "F16"},
    {"torch", "BFloat16Storage", RAD_PICKLE_STORAGE, "BF16"},
    {"torch", "DoubleStorage", RAD_PICKLE_STORAGE, "F64"},
    {"torch", "LongStorage", RAD_PICKLE_STORAGE, "I64"},
    {"torch", "IntStorage", RAD_PICKLE_STORAGE, "I32"},
    {"torch", "ShortStorage", RAD_PICKLE_STORAGE, "I16"},
    {"torch", "CharStorage", RAD_PICKLE_STORAGE, "I8"},
    {"torch", "ByteStorage", RAD_PICKLE_STORAGE, "U8"},
    {"torch", "BoolStorage", RAD_PICKLE_STORAGE, "BOOL"},
    {"torch", "ComplexFloatStorage", RAD_PICKLE_STORAGE, "C64"},
};

static bool is(struct rad_pickle_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

enum rad_status rad_pickle_global(struct rad_pickle_machine *m, struct rad_pickle_text module,
                                  struct rad_pickle_text name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is(module, names[i].module) && is(name, names[i].name))
            return rad_pickle_push(
                m, (struct rad_pickle_value){.kind = RAD_PICKLE_CLASS,
                                             .class = names[i].class,
                                             .dtype = names[i].dtype != NULL
                                                          ? rad_st_dtype_named(names[i].dtype)
                                                          : NULL});
    char text[2 * RAD_SHOW_MAX];
    snprintf(text, sizeof text, "%.*s.%.*s", (int)(module.len < 64 ? module.len : 64), module.data,
             (int)(name.len < 64 ? name.len : 64), name.data);
    return rad_fail(
        m->err, RAD_E_UNSUPPORTED,
        "%s: data.pkl offset %td: expected weights only but found a call for '%s'; such "
        "a file can run programs, and is not run here",
        m->src->path, m->at - m->src->data, SHOW(text));
}

/* Item i of a tuple if it is of that kind. */
static const struct rad_pickle_value *item(const struct rad_pickle_machine *m, uint32_t tuple,
                                           uint32_t i, enum rad_pickle_kind kind)
{
    const struct rad_pickle_value *t = rad_pickle_at(m, tuple);
    if (t->kind != RAD_PICKLE_TUPLE || i >= t->n)
        return NULL;
    const struct rad_pickle_value *v =
        rad_pickle_at(m, ((const uint32_t *)m->item.item)[t->first + i]);
    return v->kind == kind ? v : NULL;
}

/* ('storage', class, key, place, elements) */
enum rad_status rad_pickle_persistent(struct rad_pickle_machine *m, uint32_t id)
{
    const struct rad_pickle_value *word = item(m, id, 0, RAD_PICKLE_TEXT);
    const struct rad_pickle_value *class = item(m, id, 1, RAD_PICKLE_CLASS);
    const struct rad_pickle_value *key = item(m, id, 2, RAD_PICKLE_TEXT);
    const struct rad_pickle_value *n = item(m, id, 4, RAD_PICKLE_INT);
    if (word == NULL || class == NULL || key == NULL || n == NULL || !is(word->text, "storage") ||
        class->class != RAD_PICKLE_STORAGE || n->i < 0)
        return rad_pickle_bad(m, "expected ('storage', type, key, place, elements)");
    return rad_pickle_push(
        m, (struct rad_pickle_value){
               .kind = RAD_PICKLE_OF_STORAGE, .dtype = class->dtype, .text = key->text, .i = n->i});
}

/* A tuple of integers of at least 0 into out; false if it is none, or too long. */
static bool integers(const struct rad_pickle_machine *m, const struct rad_pickle_value *tuple,
                     int64_t out[RAD_TENSOR_DIMS])
{
    if (tuple->n > RAD_TENSOR_DIMS)
        return false;
    for (uint32_t i = 0; i < tuple->n; i++) {
        const struct rad_pickle_value *v =
            rad_pickle_at(m, ((const uint32_t *)m->item.item)[tuple->first + i]);
        if (v->kind != RAD_PICKLE_INT || v->i < 0)
            return false;
        out[i] = v->i;
    }
    return true;
}

/* (storage, first, size, stride, ...) */
static enum rad_status rebuild(struct rad_pickle_machine *m, uint32_t arguments)
{
    const struct rad_pickle_value *storage = item(m, arguments, 0, RAD_PICKLE_OF_STORAGE);
    const struct rad_pickle_value *first = item(m, arguments, 1, RAD_PICKLE_INT);
    const struct rad_pickle_value *size = item(m, arguments, 2, RAD_PICKLE_TUPLE);
    const struct rad_pickle_value *stride = item(m, arguments, 3, RAD_PICKLE_TUPLE);
    struct rad_pickle_tensor t = {.name = {NULL, 0}};
    if (storage == NULL || first == NULL || size == NULL || stride == NULL || first->i < 0 ||
        size->n != stride->n)
        return rad_pickle_bad(m, "expected a tensor's storage, place, size and strides");
    if (!integers(m, size, t.shape.dim) || !integers(m, stride, t.stride))
        return rad_pickle_bad(m, "expected a tensor of at most 4 dimensions and strides of at "
                                 "least 0");
    t.key = storage->text;
    t.dtype = storage->dtype;
    t.n_storage = storage->i;
    t.first = first->i;
    t.shape.n_dim = (int32_t)size->n;
    const uint32_t at = (uint32_t)m->tensor.n;
    struct rad_pickle_tensor *to = rad_pickle_add(&m->tensor, sizeof t);
    if (to == NULL)
        return rad_pickle_no_memory(m);
    *to = t;
    return rad_pickle_push(m, (struct rad_pickle_value){.kind = RAD_PICKLE_OF_TENSOR, .first = at});
}

enum rad_status rad_pickle_call(struct rad_pickle_machine *m, uint32_t class, uint32_t arguments)
{
    const struct rad_pickle_value *c = rad_pickle_at(m, class);
    if (c->kind != RAD_PICKLE_CLASS || rad_pickle_at(m, arguments)->kind != RAD_PICKLE_TUPLE)
        return rad_pickle_bad(m, "expected a call");
    const struct rad_pickle_value *inner;
    switch (c->class) {
    case RAD_PICKLE_ORDERED_DICT:
        return rad_pickle_push(m, (struct rad_pickle_value){.kind = RAD_PICKLE_DICT});
    case RAD_PICKLE_REBUILD_TENSOR:
        return rebuild(m, arguments);
    case RAD_PICKLE_REBUILD_PARAMETER:
        inner = item(m, arguments, 0, RAD_PICKLE_OF_TENSOR);
        return inner != NULL ? rad_pickle_push(m, *inner)
                             : rad_pickle_bad(m, "expected a parameter's tensor");
    case RAD_PICKLE_SIZE:
        inner = item(m, arguments, 0, RAD_PICKLE_TUPLE);
        return inner != NULL ? rad_pickle_push(m, *inner) : rad_pickle_bad(m, "expected a size");
    default:
        return rad_pickle_bad(m, "a storage is not called");
    }
}
