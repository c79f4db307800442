/* torch_pickle.c - the steps of a pickle, protocols 2 to 5, as far as files of weights take them.
 */
#include "checkpoint/torch_pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct rad_pickle_machine machine;
typedef struct rad_pickle_value value;

/* ---- operands ------------------------------------------------------------------------------ */

static enum rad_status take(machine *m, size_t bytes, const unsigned char **out)
{
    if (bytes > (size_t)(m->end - m->at))
        return rad_pickle_bad(m, "it is cut off");
    *out = m->at;
    m->at += bytes;
    return RAD_OK;
}

static enum rad_status take_number(machine *m, int bytes, uint64_t *out)
{
    const unsigned char *p = NULL;
    RAD_TRY(take(m, (size_t)bytes, &p));
    *out = 0;
    for (int i = bytes - 1; i >= 0; i--)
        *out = *out << 8 | p[i];
    return RAD_OK;
}

static enum rad_status push_int(machine *m, int64_t i)
{
    return rad_pickle_push(m, (value){.kind = RAD_PICKLE_INT, .i = i});
}

static enum rad_status push_number(machine *m, int bytes)
{
    uint64_t x = 0;
    RAD_TRY(take_number(m, bytes, &x));
    return push_int(m, bytes == 4 ? (int32_t)x : (int64_t)x);
}

/* LONG1: a length and so many bytes, two's complement. */
static enum rad_status push_long(machine *m)
{
    uint64_t n = 0, x = 0;
    RAD_TRY(take_number(m, 1, &n));
    if (n > 8)
        return rad_pickle_bad(m, "an integer of over 64 bits");
    RAD_TRY(take_number(m, (int)n, &x));
    if (n > 0 && n < 8 && x >> (8 * n - 1) != 0)
        x -= UINT64_C(1) << 8 * n;
    return push_int(m, (int64_t)x);
}

static enum rad_status push_text(machine *m, int length_bytes)
{
    uint64_t n = 0;
    const unsigned char *p = NULL;
    RAD_TRY(take_number(m, length_bytes, &n));
    if (n > RAD_PICKLE_MAX)
        return rad_pickle_bad(m, "it is cut off");
    RAD_TRY(take(m, (size_t)n, &p));
    return rad_pickle_push(m,
                           (value){.kind = RAD_PICKLE_TEXT, .text = {(const char *)p, (size_t)n}});
}

static enum rad_status skip(machine *m, size_t bytes)
{
    const unsigned char *p = NULL;
    return take(m, bytes, &p);
}

static enum rad_status take_line(machine *m, struct rad_pickle_text *out)
{
    const unsigned char *nl = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (nl == NULL)
        return rad_pickle_bad(m, "it is cut off");
    *out = (struct rad_pickle_text){(const char *)m->at, (size_t)(nl - m->at)};
    m->at = nl + 1;
    return RAD_OK;
}

/* ---- steps --------------------------------------------------------------------------------- */

static enum rad_status memo_step(machine *m, unsigned char op)
{
    uint64_t at = m->memo.n;
    if (op != 0x94)
        RAD_TRY(take_number(m, op == 'h' || op == 'q' ? 1 : 4, &at));
    return op == 'h' || op == 'j' ? rad_pickle_get(m, at) : rad_pickle_put(m, at);
}

static enum rad_status global(machine *m, bool from_stack)
{
    struct rad_pickle_text module = {NULL, 0}, name = {NULL, 0};
    if (!from_stack) {
        RAD_TRY(take_line(m, &module));
        RAD_TRY(take_line(m, &name));
        return rad_pickle_global(m, module, name);
    }
    uint32_t a = 0, b = 0;
    RAD_TRY(rad_pickle_pop(m, &b));
    RAD_TRY(rad_pickle_pop(m, &a));
    if (rad_pickle_at(m, a)->kind != RAD_PICKLE_TEXT ||
        rad_pickle_at(m, b)->kind != RAD_PICKLE_TEXT)
        return rad_pickle_bad(m, "expected a name");
    return rad_pickle_global(m, rad_pickle_at(m, a)->text, rad_pickle_at(m, b)->text);
}

static enum rad_status call(machine *m, unsigned char op)
{
    uint32_t arguments = 0, class = 0;
    RAD_TRY(rad_pickle_pop(m, &arguments));
    if (op == 'Q')
        return rad_pickle_persistent(m, arguments);
    if (op == 'b') /* attributes of what lies below: not looked at */
        return rad_pickle_top(m, &class);
    RAD_TRY(rad_pickle_pop(m, &class));
    return rad_pickle_call(m, class, arguments);
}

static enum rad_status drop_to(machine *m, size_t first)
{
    m->stack.n = first;
    return RAD_OK;
}

static enum rad_status marked(machine *m, unsigned char op)
{
    size_t first = 0;
    RAD_TRY(rad_pickle_pop_mark(m, &first));
    return op == 't'   ? rad_pickle_make_tuple(m, first)
           : op == 'u' ? rad_pickle_set_items(m, first)
                       : drop_to(m, first);
}

static enum rad_status drop(machine *m)
{
    uint32_t v = 0;
    return rad_pickle_pop(m, &v);
}

static enum rad_status push_kind(machine *m, enum rad_pickle_kind kind)
{
    return rad_pickle_push(m, (value){.kind = kind});
}

static enum rad_status other_step(machine *m, unsigned char op)
{
    uint32_t v = 0;
    switch (op) {
    case 0x80: /* PROTO */
        return skip(m, 1);
    case 0x95: /* FRAME */
        return skip(m, 8);
    case 'G': /* BINFLOAT */
        RAD_TRY(skip(m, 8));
        return push_kind(m, RAD_PICKLE_OTHER);
    case 'N':
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
    case ']':
        return push_kind(m, RAD_PICKLE_OTHER);
    case '2': /* DUP */
        RAD_TRY(rad_pickle_top(m, &v));
        return rad_pickle_add_number(m, &m->stack, v);
    default:
        m->at--;
        return rad_fail(m->err, RAD_E_UNSUPPORTED,
                        "%s: data.pkl offset %td: expected a step of a pickle of weights but found "
                        "byte 0x%02x",
                        m->src->path, m->at - m->src->data, op);
    }
}

static enum rad_status one_step(machine *m, unsigned char op)
{
    switch (op) {
    case '(':
        return rad_pickle_add_number(m, &m->mark, (uint32_t)m->stack.n);
    case '0':
    case 'a': /* APPEND: lists are not looked at */
        return drop(m);
    case '1': /* POP_MARK */
    case 'e': /* APPENDS */
    case 't':
    case 'u':
        return marked(m, op);
    case ')':
        return rad_pickle_make_tuple(m, m->stack.n);
    case 0x85:
    case 0x86:
    case 0x87:
        return rad_pickle_make_small_tuple(m, op - 0x84u);
    case '}':
        return push_kind(m, RAD_PICKLE_DICT);
    case 's':
        RAD_TRY(rad_pickle_need(m, 2));
        return rad_pickle_set_items(m, m->stack.n - 2);
    case 'K':
        return push_number(m, 1);
    case 'M':
        return push_number(m, 2);
    case 'J':
        return push_number(m, 4);
    case 0x8a:
        return push_long(m);
    case 'X':
        return push_text(m, 4);
    case 0x8c:
    case 'U':
        return push_text(m, 1);
    case 'h':
    case 'j':
    case 'q':
    case 'r':
    case 0x94:
        return memo_step(m, op);
    case 'c':
    case 0x93:
        return global(m, op == 0x93);
    case 'Q':
    case 'R':
    case 'b':
        return call(m, op);
    default:
        return other_step(m, op);
    }
}

/* ---- the result ---------------------------------------------------------------------------- */

/* The tensors of the dict that is left, with their names. */
static enum rad_status collect(machine *m, struct rad_pickle *out)
{
    uint32_t root = 0;
    RAD_TRY(rad_pickle_pop(m, &root));
    out->tensor = calloc(m->pair.n + 1, sizeof out->tensor[0]);
    if (out->tensor == NULL)
        return rad_pickle_no_memory(m);
    for (size_t i = 0; i < m->pair.n; i++) {
        const struct rad_pickle_pair *p = (const struct rad_pickle_pair *)m->pair.item + i;
        const value *key = rad_pickle_at(m, p->key), *v = rad_pickle_at(m, p->value);
        if (p->dict != root || key->kind != RAD_PICKLE_TEXT || v->kind != RAD_PICKLE_OF_TENSOR)
            continue;
        struct rad_pickle_tensor *to = &out->tensor[out->n++];
        *to = ((const struct rad_pickle_tensor *)m->tensor.item)[v->first];
        to->name = key->text;
    }
    if (out->n == 0)
        return rad_pickle_bad(m, "expected a dict of tensors but found none in it");
    return RAD_OK;
}

enum rad_status rad_pickle_read(struct rad_pickle *out, const struct rad_st_source *src,
                                struct rad_err *err)
{
    machine m = {.src = src, .err = err, .at = src->data, .end = src->data + src->len};
    enum rad_status status = RAD_OK;
    *out = (struct rad_pickle){0};
    if (src->len > RAD_PICKLE_MAX)
        return rad_fail(err, RAD_E_RANGE, "%s: data.pkl: expected at most %d bytes but found %zu",
                        src->path, RAD_PICKLE_MAX, src->len);
    for (bool stop = false; status == RAD_OK && !stop;) {
        const unsigned char *op = NULL;
        status = take(&m, 1, &op);
        stop = status == RAD_OK && *op == '.';
        if (status == RAD_OK && !stop)
            status = one_step(&m, *op);
    }
    if (status == RAD_OK)
        status = collect(&m, out);
    struct rad_pickle_list *const lists[] = {&m.value, &m.stack, &m.mark,  &m.memo,
                                             &m.item,  &m.pair,  &m.tensor};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        free(lists[i]->item);
    if (status != RAD_OK)
        rad_pickle_free(out);
    return status;
}

void rad_pickle_free(struct rad_pickle *p)
{
    free(p->tensor);
    *p = (struct rad_pickle){0};
}
