/* program.c - distinct groups and their operations, found by hash. */
#include "replay/program.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

void rad_program_init(struct rad_program *p, const struct rad_card *card, enum rad_dtype dtype)
{
    memset(p, 0, sizeof *p);
    p->card = *card;
    p->dtype = dtype;
}

/* Make room for one more after n elements of `size` bytes; NULL when memory ran out. */
static void *grow(void *data, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return data;
    const size_t more = *cap == 0 ? 256 : *cap * 2;
    if (more > UINT32_MAX / 2)
        return NULL;
    void *larger = realloc(data, more * size);
    if (larger != NULL)
        *cap = more;
    return larger;
}

/* Point to element n of array `name` of program p, or fail with RAD_E_NOMEM. */
#define GROW(p, name, err)                                                                         \
    do {                                                                                           \
        void *larger_ = grow((p)->name, (p)->n_##name, &(p)->cap_##name, sizeof *(p)->name);       \
        if (larger_ == NULL)                                                                       \
            return rad_fail(err, RAD_E_NOMEM, "plan: cannot grow to %zu " #name, (p)->n_##name);   \
        (p)->name = larger_;                                                                       \
    } while (0)

/* Tokens of a step are counted in 31 bits, keys need more. */
static struct rad_group_key key_of(enum rad_work work, const struct rad_group *g)
{
    return (struct rad_group_key){{
        (uint64_t)work | (uint64_t)g->partial << 8 | (uint64_t)g->m << 32,
        (uint64_t)g->m_attn | (uint64_t)g->m_mlp << 32,
        (uint64_t)g->m_kv_only | (uint64_t)(uint32_t)g->n_seq << 32,
        (uint64_t)g->n_keys,
        (uint64_t)g->kv_read_keys,
    }};
}

/* A base is what is left of a group when keys do not matter. */
static struct rad_group_key base_key(enum rad_work work, const struct rad_group *g)
{
    struct rad_group keyless = *g;
    keyless.n_keys = keyless.kv_read_keys = keyless.n_seq = 0;
    return key_of(work, &keyless);
}

/* Written out: it runs for every group of a trace. */
static bool equal(const struct rad_group_key *a, const struct rad_group_key *b)
{
    const uint64_t *x = a->word, *y = b->word;
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

/* Short input hashes three times as fast; what folds together is told apart by equal(). */
static uint64_t hash(const struct rad_group_key *key)
{
    const uint64_t *x = key->word;
    const uint64_t folded[2] = {x[0] ^ x[1] << 9 ^ x[2] << 18, x[3] ^ x[4] << 24};
    return rad_hash(folded, sizeof folded, 0);
}

/* The slot of the table that holds key, or the empty one where it belongs. */
static struct rad_group_slot *probe(const struct rad_group_table *t,
                                    const struct rad_group_key *key, uint64_t h)
{
    const uint32_t tag = (uint32_t)(h >> 32);
    size_t i = (size_t)h & (t->size - 1);
    while (t->slot[i].index != 0 &&
           (t->slot[i].tag != tag || !equal(&t->key[t->slot[i].index - 1], key)))
        i = (i + 1) & (t->size - 1);
    return &t->slot[i];
}

/* Make room for one more in a table that stays at most half full. */
static enum rad_status reserve(struct rad_group_table *t, struct rad_err *err)
{
    struct rad_group_key *key = grow(t->key, t->used, &t->cap_key, sizeof *key);
    if (key == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot grow to %zu shapes", t->used);
    t->key = key;
    if ((t->used + 1) * 2 <= t->size)
        return RAD_OK;
    const size_t size = t->size == 0 ? 1024 : t->size * 4;
    struct rad_group_slot *slot = calloc(size, sizeof *slot);
    if (slot == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a table of %zu", size);
    free(t->slot);
    t->slot = slot;
    t->size = size;
    for (size_t i = 0; i < t->used; i++) {
        const uint64_t h = hash(&t->key[i]);
        *probe(t, &t->key[i], h) = (struct rad_group_slot){(uint32_t)(h >> 32), (uint32_t)i + 1};
    }
    return RAD_OK;
}

/* Number of the key in the table; sets *fresh if it is new and takes the next number. */
static enum rad_status number_of(struct rad_group_table *t, const struct rad_group_key *key,
                                 uint32_t *number, bool *fresh, struct rad_err *err)
{
    const uint64_t h = hash(key);
    struct rad_group_slot *slot = t->size > 0 ? probe(t, key, h) : NULL;
    *fresh = slot == NULL || slot->index == 0;
    if (*fresh) {
        RAD_TRY(reserve(t, err));
        slot = probe(t, key, h);
        t->key[t->used++] = *key;
        *slot = (struct rad_group_slot){(uint32_t)(h >> 32), (uint32_t)t->used};
    }
    *number = slot->index - 1;
    return RAD_OK;
}

static void table_free(struct rad_group_table *t)
{
    free(t->slot);
    free(t->key);
    *t = (struct rad_group_table){0};
}

void rad_program_free(struct rad_program *p)
{
    free(p->ops);
    free(p->key_ops);
    free(p->bases);
    free(p->shapes);
    free(p->items);
    free(p->steps);
    table_free(&p->base_table);
    table_free(&p->shape_table);
}

static int lower(const struct rad_program *p, enum rad_work work, const struct rad_group *g,
                 struct rad_op ops[RAD_LOWER_MAX])
{
    switch (work) {
    case RAD_WORK_LAYER:
        return rad_lower_layer(&p->card, p->dtype, g, ops);
    case RAD_WORK_ROUTER:
        return rad_lower_router(&p->card, p->dtype, g->m, ops);
    case RAD_WORK_EMBED:
        return rad_lower_embed(&p->card, p->dtype, g->m, ops);
    case RAD_WORK_HEAD:
        return rad_lower_head(&p->card, p->dtype, g->m, ops);
    }
    return 0;
}

/* Only attention depends on keys; tests/laws holds the lowering to that. */
static bool depends_on_keys(const struct rad_op *op)
{
    return op->kind == RAD_OP_ATTEND;
}

static enum rad_status add_base(struct rad_program *p, enum rad_work work,
                                const struct rad_group *group, struct rad_err *err)
{
    struct rad_op ops[RAD_LOWER_MAX];
    const int n_op = lower(p, work, group, ops);
    GROW(p, bases, err);
    struct rad_base *base = &p->bases[p->n_bases];
    *base = (struct rad_base){.work = work, .op_first = (uint32_t)p->n_ops};
    for (int i = 0; i < n_op; i++) {
        if (depends_on_keys(&ops[i]))
            continue;
        GROW(p, ops, err);
        p->ops[p->n_ops++] = ops[i];
        base->n_op++;
    }
    p->n_bases++;
    return RAD_OK;
}

/* Find the base of a group, or make it. */
static enum rad_status find_base(struct rad_program *p, enum rad_work work,
                                 const struct rad_group *group, uint32_t *base, struct rad_err *err)
{
    const struct rad_group_key key = base_key(work, group);
    bool fresh = false;
    RAD_TRY(number_of(&p->base_table, &key, base, &fresh, err));
    return fresh ? add_base(p, work, group, err) : RAD_OK;
}

/* Append the operations of a group that depend on keys. They are those of a group in which the
 * attending tokens are alone, which is quicker to lower; tests/laws holds the lowering to that. */
static enum rad_status add_key_ops(struct rad_program *p, struct rad_shape *shape,
                                   const struct rad_group *group, struct rad_err *err)
{
    struct rad_op ops[RAD_LOWER_MAX];
    struct rad_group alone = *group;
    alone.m = alone.m_attn;
    alone.m_mlp = alone.m_kv_only = 0;
    alone.partial = false;
    const int n_op = shape->work == RAD_WORK_LAYER ? lower(p, shape->work, &alone, ops) : 0;
    for (int i = 0; i < n_op; i++) {
        if (!depends_on_keys(&ops[i]))
            continue;
        GROW(p, key_ops, err);
        p->key_ops[p->n_key_ops++] = ops[i];
        shape->n_key++;
    }
    return RAD_OK;
}

static enum rad_status add_shape(struct rad_program *p, enum rad_work work,
                                 const struct rad_group *group, struct rad_err *err)
{
    uint32_t base = 0;
    RAD_TRY(find_base(p, work, group, &base, err));
    GROW(p, shapes, err);
    struct rad_shape *shape = &p->shapes[p->n_shapes];
    *shape = (struct rad_shape){
        .work = work, .base = base, .key_first = (uint32_t)p->n_key_ops, .m = (uint32_t)group->m};
    RAD_TRY(add_key_ops(p, shape, group, err));
    p->n_shapes++;
    return RAD_OK;
}

/* The shape of a group, found or made. A dense step asks for the same one layer after layer. */
static enum rad_status find_shape(struct rad_program *p, enum rad_work work,
                                  const struct rad_group *group, uint32_t *shape,
                                  struct rad_err *err)
{
    const struct rad_group_key key = key_of(work, group);
    if (p->n_items > 0 && equal(&key, &p->last_key)) {
        *shape = p->items[p->n_items - 1].shape;
        return RAD_OK;
    }
    bool fresh = false;
    RAD_TRY(number_of(&p->shape_table, &key, shape, &fresh, err));
    if (fresh)
        RAD_TRY(add_shape(p, work, group, err));
    p->last_key = key;
    return RAD_OK;
}

enum rad_status rad_program_add(struct rad_program *p, enum rad_work work,
                                const struct rad_group *group, uint32_t repeat, struct rad_err *err)
{
    uint32_t shape = 0;
    RAD_TRY(find_shape(p, work, group, &shape, err));
    GROW(p, items, err);
    p->items[p->n_items++] = (struct rad_item){.shape = shape, .repeat = repeat};
    p->shapes[shape].count += repeat;
    return RAD_OK;
}

enum rad_status rad_program_add_tokens(struct rad_program *p, enum rad_work work, int64_t m,
                                       uint32_t repeat, struct rad_err *err)
{
    if (m == 0 || repeat == 0)
        return RAD_OK;
    const struct rad_group group = {.m = m};
    return rad_program_add(p, work, &group, repeat, err);
}

enum rad_status rad_program_end_step(struct rad_program *p, enum rad_phase phase, bool first,
                                     struct rad_err *err)
{
    GROW(p, steps, err);
    p->steps[p->n_steps++] =
        (struct rad_step){.phase = phase, .first = first, .item_end = p->n_items};
    return RAD_OK;
}

static void sum_ops(struct rad_program_sum *sum, enum rad_work work, const struct rad_op *ops,
                    uint32_t n, double count)
{
    for (uint32_t i = 0; i < n; i++) {
        sum->flop += count * ops[i].flop;
        sum->weight_bytes += count * ops[i].weight_bytes;
        sum->kv_bytes += count * ops[i].kv_bytes;
        sum->act_bytes += count * ops[i].act_bytes;
        if (work == RAD_WORK_LAYER)
            sum->layer_weight_bytes += count * ops[i].weight_bytes;
    }
}

void rad_program_finish(struct rad_program *p)
{
    struct rad_program_sum *sum = &p->sum;
    for (size_t i = 0; i < p->n_shapes; i++) {
        const struct rad_shape *s = &p->shapes[i];
        p->bases[s->base].count += s->count;
        sum_ops(sum, s->work, p->key_ops + s->key_first, s->n_key, s->count);
        if (s->work != RAD_WORK_LAYER)
            continue;
        sum->n_group += s->count;
        sum->group_tokens += s->count * s->m;
        if (s->m > 0)
            sum->layer_loads += s->count;
    }
    for (size_t i = 0; i < p->n_bases; i++) {
        const struct rad_base *b = &p->bases[i];
        sum_ops(sum, b->work, p->ops + b->op_first, b->n_op, b->count);
    }
    table_free(&p->base_table);
    table_free(&p->shape_table);
}
