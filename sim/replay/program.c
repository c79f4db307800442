/* program.c - distinct groups and their operations, found by hash. */
#include "replay/program.h"

#include <stdlib.h>
#include <string.h>

void rad_program_init(struct rad_program *p, const struct rad_card *card,
                      const struct rad_parallel *parallel, enum rad_dtype dtype)
{
    memset(p, 0, sizeof *p);
    p->card = *card;
    p->parallel = *parallel;
    p->dtype = dtype;
}

/* Twice the room; NULL when memory ran out. */
static void *grow(void *data, size_t *cap, size_t size)
{
    const size_t more = *cap == 0 ? 256 : *cap * 2;
    if (more > UINT32_MAX / 2)
        return NULL;
    void *larger = realloc(data, more * size);
    if (larger != NULL)
        *cap = more;
    return larger;
}

/* Make room for element n of array `name` of program p, or fail with RAD_E_NOMEM. */
#define GROW(p, name, err)                                                                         \
    do {                                                                                           \
        if ((p)->n_##name < (p)->cap_##name)                                                       \
            break;                                                                                 \
        void *larger_ = grow((p)->name, &(p)->cap_##name, sizeof *(p)->name);                      \
        if (larger_ == NULL)                                                                       \
            return rad_fail(err, RAD_E_NOMEM, "plan: cannot grow to %zu " #name, (p)->n_##name);   \
        (p)->name = larger_;                                                                       \
    } while (0)

/* The group that a key was made of. */
static struct rad_group group_of(const struct rad_group_key *key)
{
    const uint64_t *x = key->word;
    return (struct rad_group){
        .m = (int64_t)(x[0] >> 32),
        .m_attn = (int64_t)(x[1] & UINT32_MAX),
        .m_mlp = (int64_t)(x[1] >> 32),
        .m_kv_only = (int64_t)(x[2] & UINT32_MAX),
        .n_keys = (int64_t)x[3],
        .kv_read_keys = (int64_t)x[4],
        .n_seq = (int32_t)(x[2] >> 32),
        .partial = (x[0] >> 8 & 1) != 0,
        .groups_attn = (int32_t)(x[0] >> 9 & 0x7ff),
        .groups_mlp = (int32_t)(x[0] >> 20 & 0x7ff),
    };
}

static enum rad_work work_of(const struct rad_group_key *key)
{
    return (enum rad_work)(key->word[0] & 0xff);
}

/* A base is what is left of a group when keys do not matter. */
static struct rad_group_key base_key(const struct rad_group_key *key)
{
    const uint64_t *x = key->word;
    return (struct rad_group_key){{x[0], x[1], x[2] & UINT32_MAX, 0, 0}};
}

/* Written out: it runs for every group of a trace. */
static bool equal(const struct rad_group_key *a, const struct rad_group_key *b)
{
    const uint64_t *x = a->word, *y = b->word;
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

/* Inline as it runs for every group: fold, then two rounds of multiply and shift. What folds
 * together is told apart by equal(). */
static uint64_t hash(const struct rad_group_key *key)
{
    const uint64_t *x = key->word;
    uint64_t h = (x[0] ^ x[1] << 9 ^ x[2] << 18) * UINT64_C(0x9fb21c651e98df25) ^ x[3] ^ x[4] << 24;
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

/* The slot of the table that holds key, or the empty one where it belongs. */
static inline struct rad_group_slot *probe(const struct rad_group_table *t,
                                           const struct rad_group_key *key, uint64_t h)
{
    const uint32_t tag = (uint32_t)h;
    size_t i = (size_t)(h >> 32) & (t->size - 1);
    while (t->slot[i].index != 0 &&
           (t->slot[i].tag != tag || !equal(&t->key[t->slot[i].index - 1], key)))
        i = (i + 1) & (t->size - 1);
    return &t->slot[i];
}

/* Make room for one more in a table that stays at most a quarter full: strangers seldom meet. */
static enum rad_status reserve(struct rad_group_table *t, struct rad_err *err)
{
    if (t->used == t->cap_key) {
        struct rad_group_key *key = grow(t->key, &t->cap_key, sizeof *key);
        if (key == NULL)
            return rad_fail(err, RAD_E_NOMEM, "plan: cannot grow to %zu shapes", t->used);
        t->key = key;
    }
    if ((t->used + 1) * 4 <= t->size)
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
        *probe(t, &t->key[i], h) = (struct rad_group_slot){(uint32_t)h, (uint32_t)i + 1};
    }
    return RAD_OK;
}

/* Where in the table the key is, plus 1; 0 if it is not there. */
static uint32_t find(const struct rad_group_table *t, const struct rad_group_key *key)
{
    return t->size > 0 ? probe(t, key, hash(key))->index : 0;
}

/* Give a key that is not in the table the next number. */
static enum rad_status insert(struct rad_group_table *t, const struct rad_group_key *key,
                              struct rad_err *err)
{
    RAD_TRY(reserve(t, err));
    const uint64_t h = hash(key);
    t->key[t->used++] = *key;
    *probe(t, key, h) = (struct rad_group_slot){(uint32_t)h, (uint32_t)t->used};
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
    struct rad_card whole = p->card;
    int n = 0;
    switch (work) {
    case RAD_WORK_LAYER:
        n = rad_lower_layer(&p->card, p->dtype, g, ops);
        for (int i = 0; i < n; i++)
            if (ops[i].kind == RAD_OP_GEMM)
                ops[i].weight_bytes *= p->parallel.layer_weight_bytes / p->parallel.weight_bytes;
        return n;
    case RAD_WORK_ROUTER:
        return rad_lower_router(&p->card, p->dtype, g->m, ops);
    case RAD_WORK_EMBED:
        return rad_lower_embed(&p->card, p->dtype, g->m, ops);
    case RAD_WORK_HEAD:
        n = rad_lower_head(&p->card, p->dtype, g->m, ops);
        whole.vocab = p->parallel.vocab; /* logits were gathered */
        return n + rad_lower_sample(&whole, p->dtype, g->m, ops + n);
    case RAD_N_WORK:
        break;
    }
    return 0;
}

/* Only attention depends on keys; tests/laws holds the lowering to that. */
static bool depends_on_keys(const struct rad_op *op)
{
    return op->kind == RAD_OP_ATTEND;
}

static enum rad_status add_base(struct rad_program *p, const struct rad_group_key *key,
                                struct rad_err *err)
{
    struct rad_op ops[RAD_LOWER_MAX];
    const struct rad_group group = group_of(key);
    const int n_op = lower(p, work_of(key), &group, ops);
    RAD_TRY(insert(&p->base_table, key, err));
    GROW(p, bases, err);
    struct rad_base *base = &p->bases[p->n_bases];
    *base = (struct rad_base){.work = work_of(key),
                              .op_first = (uint32_t)p->n_ops,
                              .m = (uint32_t)group.m,
                              .m_attn = (uint32_t)group.m_attn,
                              .m_mlp = (uint32_t)group.m_mlp};
    for (int i = 0; i < n_op; i++) {
        if (depends_on_keys(&ops[i])) {
            p->attend = ops[i];
            continue;
        }
        GROW(p, ops, err);
        p->ops[p->n_ops++] = ops[i];
        base->n_op++;
    }
    p->n_bases++;
    return RAD_OK;
}

/* The attention of a group: all that depends on keys. It is that of any other group but for its
 * tokens and keys, which is quicker than to lower the group; tests/laws holds the lowering to it.
 */
static struct rad_op attend(const struct rad_program *p, const struct rad_group *group)
{
    const struct rad_attend_shape shape = {
        .m = group->m_attn,
        .n_keys = group->n_keys,
        .kv_read_keys = group->kv_read_keys,
        .heads = p->attend.heads,
        .kv_heads = p->attend.kv_heads,
        .head_dim = p->attend.head_dim,
        .n_seq = group->n_seq,
    };
    struct rad_op op = rad_op_attend(&shape, p->dtype);
    op.weight_set_bytes = p->attend.weight_set_bytes;
    return op;
}

static enum rad_status add_shape(struct rad_program *p, const struct rad_group_key *key,
                                 struct rad_err *err)
{
    const struct rad_group_key keyless = base_key(key);
    const struct rad_group group = group_of(key);
    uint32_t base = find(&p->base_table, &keyless);
    if (base == 0) {
        RAD_TRY(add_base(p, &keyless, err));
        base = (uint32_t)p->n_bases;
    }
    RAD_TRY(insert(&p->shape_table, key, err));
    GROW(p, shapes, err);
    GROW(p, key_ops, err);
    struct rad_shape *shape = &p->shapes[p->n_shapes++];
    *shape = (struct rad_shape){.work = work_of(key),
                                .base = base - 1,
                                .key_first = (uint32_t)p->n_key_ops,
                                .n_key = group.m_attn > 0,
                                .m = (uint32_t)group.m};
    if (shape->n_key > 0)
        p->key_ops[p->n_key_ops++] = attend(p, &group);
    return RAD_OK;
}

/* Room for it there must be. */
static inline void add_item(struct rad_program *p, uint32_t shape, uint32_t repeat)
{
    p->items[p->n_items++] = (struct rad_item){.shape = shape, .repeat = repeat};
    p->shapes[shape].count += repeat;
}

/* A group that is new, or for which there is no room: seldom. Not inlined, so that finding a shape
 * neither saves registers for it nor loads the key, just stored, in the wide pieces that copying it
 * takes, as no processor forwards those from narrow stores. */
__attribute__((noinline)) static enum rad_status add_slowly(struct rad_program *p,
                                                            const struct rad_group_key *key,
                                                            uint32_t repeat, struct rad_err *err)
{
    GROW(p, items, err);
    uint32_t shape = find(&p->shape_table, key);
    if (shape == 0) {
        RAD_TRY(add_shape(p, key, err));
        shape = (uint32_t)p->n_shapes;
    }
    add_item(p, shape - 1, repeat);
    return RAD_OK;
}

enum rad_status rad_program_add(struct rad_program *p, const struct rad_group_key *key,
                                uint32_t repeat, struct rad_err *err)
{
    const uint32_t shape = find(&p->shape_table, key);
    if (shape == 0 || p->n_items == p->cap_items)
        return add_slowly(p, key, repeat, err);
    add_item(p, shape - 1, repeat);
    return RAD_OK;
}

/* Remember the shape of m tokens of this work. */
__attribute__((noinline)) static enum rad_status add_tokens_slowly(struct rad_program *p,
                                                                   enum rad_work work, uint32_t m,
                                                                   uint32_t repeat,
                                                                   struct rad_err *err)
{
    const struct rad_group group = {.m = m};
    const struct rad_group_key key = rad_group_key(work, &group);
    RAD_TRY(rad_program_add(p, &key, repeat, err));
    p->last[work][m % RAD_N_LAST] = (struct rad_last_tokens){m, p->items[p->n_items - 1].shape};
    return RAD_OK;
}

enum rad_status rad_program_add_tokens(struct rad_program *p, enum rad_work work, int64_t m,
                                       uint32_t repeat, struct rad_err *err)
{
    if (m == 0 || repeat == 0)
        return RAD_OK;
    const struct rad_last_tokens *last = &p->last[work][m % RAD_N_LAST];
    if (last->m != m || p->n_items == p->cap_items)
        return add_tokens_slowly(p, work, (uint32_t)m, repeat, err);
    add_item(p, last->shape, repeat);
    return RAD_OK;
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
        sum->n_launch += s->count;
        sum->group_tokens += s->count * s->m;
        if (s->m > 0)
            sum->layer_loads += s->count;
    }
    sum->n_group = sum->n_launch + p->merged_groups;
    sum->layer_loads += p->merged_loads;
    for (size_t i = 0; i < p->n_bases; i++) {
        const struct rad_base *b = &p->bases[i];
        sum_ops(sum, b->work, p->ops + b->op_first, b->n_op, b->count);
    }
    table_free(&p->base_table);
    table_free(&p->shape_table);
}
