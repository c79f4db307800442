/* torch_stack.c - what the pickle machine holds: values, stack, marks, memo. */
#include "checkpoint/torch_pickle.h"

#include <stdlib.h>

typedef struct rad_pickle_machine machine;
typedef struct rad_pickle_value value;

/* ---- lists --------------------------------------------------------------------------------- */

void *rad_pickle_add(struct rad_pickle_list *list, size_t bytes)
{
    if (list->n == list->room) {
        const size_t room = list->room > 0 ? 2 * list->room : 256;
        void *grown = realloc(list->item, room * bytes);
        if (grown == NULL)
            return NULL;
        list->item = grown;
        list->room = room;
    }
    return (char *)list->item + bytes * list->n++;
}

enum rad_status rad_pickle_no_memory(const machine *m)
{
    return rad_fail(m->err, RAD_E_NOMEM, "%s: out of memory", m->src->path);
}

enum rad_status rad_pickle_add_number(machine *m, struct rad_pickle_list *list, uint32_t x)
{
    uint32_t *to = rad_pickle_add(list, sizeof *to);
    if (to == NULL)
        return rad_pickle_no_memory(m);
    *to = x;
    return RAD_OK;
}

static uint32_t *numbers(const struct rad_pickle_list *list)
{
    return list->item;
}

value *rad_pickle_at(const machine *m, uint32_t i)
{
    return (value *)m->value.item + i;
}

enum rad_status rad_pickle_bad(const machine *m, const char *what)
{
    return rad_fail(m->err, RAD_E_PARSE, "%s: data.pkl offset %td: %s", m->src->path,
                    m->at - m->src->data, what);
}

enum rad_status rad_pickle_push(machine *m, value v)
{
    const uint32_t number = (uint32_t)m->value.n;
    if (number == RAD_PICKLE_VALUES_MAX)
        return rad_fail(m->err, RAD_E_RANGE, "%s: data.pkl: over %d values", m->src->path,
                        RAD_PICKLE_VALUES_MAX);
    value *to = rad_pickle_add(&m->value, sizeof v);
    if (to == NULL)
        return rad_pickle_no_memory(m);
    *to = v;
    return rad_pickle_add_number(m, &m->stack, number);
}

/* ---- the stack ----------------------------------------------------------------------------- */

static size_t floor_of(const machine *m)
{
    return m->mark.n > 0 ? numbers(&m->mark)[m->mark.n - 1] : 0;
}

/* n values above the last mark? */
enum rad_status rad_pickle_need(const machine *m, size_t n)
{
    return m->stack.n - floor_of(m) < n ? rad_pickle_bad(m, "a value is missing") : RAD_OK;
}

enum rad_status rad_pickle_pop(machine *m, uint32_t *out)
{
    RAD_TRY(rad_pickle_need(m, 1));
    *out = numbers(&m->stack)[--m->stack.n];
    return RAD_OK;
}

enum rad_status rad_pickle_top(const machine *m, uint32_t *out)
{
    if (m->stack.n == 0)
        return rad_pickle_bad(m, "a value is missing");
    *out = numbers(&m->stack)[m->stack.n - 1];
    return RAD_OK;
}

/* Values above the last mark, which goes. */
enum rad_status rad_pickle_pop_mark(machine *m, size_t *first)
{
    if (m->mark.n == 0)
        return rad_pickle_bad(m, "a mark is missing");
    *first = numbers(&m->mark)[--m->mark.n];
    return RAD_OK;
}

/* The values of the stack from first on become a tuple. */
enum rad_status rad_pickle_make_tuple(machine *m, size_t first)
{
    const value v = {.kind = RAD_PICKLE_TUPLE,
                     .first = (uint32_t)m->item.n,
                     .n = (uint32_t)(m->stack.n - first)};
    for (size_t i = first; i < m->stack.n; i++)
        RAD_TRY(rad_pickle_add_number(m, &m->item, numbers(&m->stack)[i]));
    m->stack.n = first;
    return rad_pickle_push(m, v);
}

enum rad_status rad_pickle_make_small_tuple(machine *m, size_t n)
{
    RAD_TRY(rad_pickle_need(m, n));
    return rad_pickle_make_tuple(m, m->stack.n - n);
}

/* Pairs of the stack from first on go into the dict below. */
enum rad_status rad_pickle_set_items(machine *m, size_t first)
{
    const size_t n = m->stack.n - first;
    if (n % 2 != 0 || first == 0)
        return rad_pickle_bad(m, "a dict's key or value is missing");
    const uint32_t dict = numbers(&m->stack)[first - 1];
    if (rad_pickle_at(m, dict)->kind != RAD_PICKLE_DICT)
        return rad_pickle_bad(m, "expected a dict");
    for (size_t i = 0; i < n; i += 2) {
        struct rad_pickle_pair *to = rad_pickle_add(&m->pair, sizeof *to);
        if (to == NULL)
            return rad_pickle_no_memory(m);
        *to = (struct rad_pickle_pair){dict, numbers(&m->stack)[first + i],
                                       numbers(&m->stack)[first + i + 1]};
    }
    m->stack.n = first;
    return RAD_OK;
}

/* ---- the memo ------------------------------------------------------------------------------ */

enum rad_status rad_pickle_put(machine *m, uint64_t at)
{
    uint32_t v = 0;
    RAD_TRY(rad_pickle_top(m, &v));
    if (at > m->memo.n) /* pickles number their memo without gaps */
        return rad_pickle_bad(m, "its memo has a gap");
    if (at == m->memo.n)
        return rad_pickle_add_number(m, &m->memo, v);
    numbers(&m->memo)[at] = v;
    return RAD_OK;
}

enum rad_status rad_pickle_get(machine *m, uint64_t at)
{
    if (at >= m->memo.n)
        return rad_pickle_bad(m, "its memo has no such value");
    return rad_pickle_add_number(m, &m->stack, numbers(&m->memo)[at]);
}
