/* pairs.c - neighbours joined best first, with a heap of those that may be. */
#include "checkpoint/pairs.h"

#include <stdlib.h>

enum { GONE = -2 }; /* id of a symbol that was joined to its left neighbour */

void rad_pairs_begin(struct rad_pairs *p, const char *text)
{
    p->text = text;
    p->end = 0;
    p->n = p->n_pair = 0;
}

void rad_pairs_free(struct rad_pairs *p)
{
    free(p->symbol);
    free(p->heap);
}

enum rad_status rad_pairs_add(struct rad_pairs *p, uint32_t len, int32_t id, struct rad_err *err)
{
    if (p->n == p->n_room) {
        const size_t room = p->n_room > 0 ? 2 * p->n_room : 256;
        struct rad_symbol *grown = realloc(p->symbol, room * sizeof *grown);
        if (grown == NULL)
            return rad_fail(err, RAD_E_NOMEM, "cannot allocate %zu symbols", room);
        p->symbol = grown;
        p->n_room = room;
    }
    const int32_t i = (int32_t)p->n;
    if (i > 0)
        p->symbol[i - 1].next = i;
    p->symbol[p->n++] = (struct rad_symbol){p->end, i - 1, -1, id};
    p->end += len;
    return RAD_OK;
}

struct rad_side rad_pairs_side(const struct rad_pairs *p, int32_t i)
{
    const struct rad_symbol *s = &p->symbol[i];
    const uint32_t end = s->next >= 0 ? p->symbol[s->next].at : p->end;
    return (struct rad_side){p->text + s->at, end - s->at, s->id};
}

/* ---- the heap -------------------------------------------------------------------------- */

static enum rad_status push(struct rad_pairs *p, uint64_t pair, struct rad_err *err)
{
    if (p->n_pair == p->pair_room) {
        const size_t room = p->pair_room > 0 ? 2 * p->pair_room : 256;
        uint64_t *grown = realloc(p->heap, room * sizeof *grown);
        if (grown == NULL)
            return rad_fail(err, RAD_E_NOMEM, "cannot allocate %zu pairs", room);
        p->heap = grown;
        p->pair_room = room;
    }
    size_t i = p->n_pair++;
    for (; i > 0 && pair < p->heap[(i - 1) / 2]; i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = pair;
    return RAD_OK;
}

static uint64_t pop(struct rad_pairs *p)
{
    const uint64_t top = p->heap[0], last = p->heap[--p->n_pair];
    size_t i = 0;
    for (size_t child = 1; child < p->n_pair; child = 2 * i + 1) {
        if (child + 1 < p->n_pair && p->heap[child + 1] < p->heap[child])
            child++;
        if (p->heap[child] >= last)
            break;
        p->heap[i] = p->heap[child];
        i = child;
    }
    p->heap[i] = last;
    return top;
}

/* ---- joining --------------------------------------------------------------------------- */

/* Whether the symbol and the one behind it may be joined. */
static bool ranked(const struct rad_pairs *p, int32_t left, uint32_t *rank, int32_t *id)
{
    const int32_t right = p->symbol[left].next;
    if (right < 0)
        return false;
    const struct rad_side a = rad_pairs_side(p, left), b = rad_pairs_side(p, right);
    return p->rank(p->vocab, &a, &b, rank, id);
}

static enum rad_status offer(struct rad_pairs *p, int32_t left, struct rad_err *err)
{
    uint32_t rank = 0;
    int32_t id = -1;
    if (left < 0 || !ranked(p, left, &rank, &id))
        return RAD_OK;
    return push(p, (uint64_t)rank << 32 | (uint32_t)left, err);
}

/* A pair is stale once a side has changed: what stands there now is ranked again. */
static enum rad_status join(struct rad_pairs *p, uint64_t pair, struct rad_err *err)
{
    struct rad_symbol *a = &p->symbol[(uint32_t)pair];
    const int32_t left = (int32_t)(uint32_t)pair;
    uint32_t rank = 0;
    int32_t id = -1;
    if (a->id == GONE || !ranked(p, left, &rank, &id) || rank != pair >> 32)
        return RAD_OK;
    struct rad_symbol *b = &p->symbol[a->next];
    a->id = id;
    a->next = b->next;
    if (b->next >= 0)
        p->symbol[b->next].prev = left;
    b->id = GONE;
    RAD_TRY(offer(p, a->prev, err));
    return offer(p, left, err);
}

enum rad_status rad_pairs_join(struct rad_pairs *p, struct rad_err *err)
{
    for (size_t i = 0; i + 1 < p->n; i++)
        RAD_TRY(offer(p, (int32_t)i, err));
    while (p->n_pair > 0)
        RAD_TRY(join(p, pop(p), err));
    return RAD_OK;
}
