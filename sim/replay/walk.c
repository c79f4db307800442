/* walk.c - slots fill while tokens are added; a bit per slot says which were touched, so that a
 * step costs as much as it has records, however many slots there are.
 *
 * A trace of 10,000 tokens has up to 80,000 records and nearly as many groups, in an order that
 * no processor can predict: adding a record takes no branch that depends on the path. */
#include "replay/walk.h"

#include <stdlib.h>
#include <string.h>

/* Counts in pairs, low and high half of a word, so that a record adds to all of them in two
 * additions: a step has fewer than 2^31 tokens. */
struct tally {
    uint64_t m_kv_only; /* m, m_kv_only */
    uint64_t attn_mlp;  /* m_attn, m_mlp */
};

/* All zero unless touched in this step. */
struct slot {
    struct tally tally;
    uint64_t n_keys;
    int32_t stage, layer; /* constant */
};

/* Beside each slot, used if queries share keys; else there is a query per sequence, and each reads
 * its own. */
struct shared {
    int64_t kv_read, place_keys; /* place_keys: most keys of a query of the current place */
    int32_t n_seq, place;        /* sequences with queries; the place counted last, plus 1 */
};

/* Groups at several layers that run in one launch. */
struct launch {
    struct rad_group group; /* their sum */
    int32_t n, n_load;      /* groups; of these, with tokens that visit */
};

struct rad_walk {
    struct rad_walk_options opt;
    size_t width;              /* slots of a stage: one, or one per layer */
    size_t per_hop, per_layer; /* slots that a visit, a layer further on lies apart */
    uint32_t few;              /* smallest repeat */
    size_t n_slot, n_word;     /* n_word: of n_layer bits */
    struct slot *slots;        /* [n_slot], that is [n_stage][width] */
    struct shared *shared;     /* [n_slot] */
    uint64_t *touched;         /* a bit per slot */
    uint64_t *entries, *wider; /* [n_word], a bit per layer: with a cache entry of the current
                                * token; repeated few + 1 times */
    int64_t *ends;             /* [n_stage] tokens for which it is the last stage */
    int32_t last_stage;        /* of the step so far; -1: none */
    uint32_t serial;
    int64_t m, live;             /* tokens of the step; of these, with any layer ahead */
    bool share_keys;             /* of the step */
    int64_t visits, half_visits; /* as in rad_walk_sum */
    struct launch all, wide;     /* of a grouped batcher, in the current stage: of all groups, and
                                  * of those repeated few + 1 times */
};

static uint32_t smallest(const uint32_t *x, int32_t n)
{
    uint32_t least = x[0];
    for (int32_t i = 1; i < n; i++)
        if (x[i] < least)
            least = x[i];
    return least;
}

static void begin_step(rad_walk *w)
{
    w->m = w->live = 0;
    w->last_stage = -1;
}

/* Slots know their places, layers how often they repeat. */
static void fill_constants(rad_walk *w)
{
    for (size_t i = 0; i < w->n_slot; i++) {
        w->slots[i].stage = (int32_t)(i / w->width);
        w->slots[i].layer = (int32_t)(w->width > 1 ? i % w->width : i / w->per_layer);
    }
    for (int32_t l = 0; l < w->opt.n_layer; l++)
        w->wider[l / 64] |= (uint64_t)(w->opt.repeat[l] - w->few) << (l % 64);
}

static enum rad_status allocate(rad_walk *w, size_t n_stage, struct rad_err *err)
{
    w->n_slot = n_stage * w->width;
    w->n_word = (size_t)w->opt.n_layer / 64 + 1;
    w->slots = calloc(w->n_slot, sizeof *w->slots);
    w->shared = calloc(w->n_slot, sizeof *w->shared);
    w->touched = calloc(w->n_slot / 64 + 1, sizeof *w->touched);
    w->ends = calloc(n_stage, sizeof *w->ends);
    w->entries = calloc(w->n_word, sizeof *w->entries);
    w->wider = calloc(w->n_word, sizeof *w->wider);
    if (w->slots == NULL || w->shared == NULL || w->touched == NULL || w->ends == NULL ||
        w->entries == NULL || w->wider == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a step of %zu groups", w->n_slot);
    return RAD_OK;
}

enum rad_status rad_walk_open(rad_walk **out, const struct rad_walk_options *opt,
                              struct rad_err *err)
{
    const struct rad_batcher *batcher = opt->batcher;
    *out = NULL;
    rad_walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a step");
    w->opt = *opt;
    w->few = smallest(opt->repeat, opt->n_layer);
    w->width = batcher->one_layer ? 1 : (size_t)opt->n_layer;
    w->per_hop = (size_t)batcher->per_hop * w->width;
    w->per_layer = (size_t)batcher->per_layer * w->width + !batcher->one_layer;
    const enum rad_status status =
        allocate(w, (size_t)batcher->n_stage(opt->n_layer, opt->n_hop), err);
    if (status != RAD_OK) {
        rad_walk_close(w);
        return status;
    }
    fill_constants(w);
    begin_step(w);
    *out = w;
    return RAD_OK;
}

void rad_walk_close(rad_walk *w)
{
    if (w == NULL)
        return;
    free(w->slots);
    free(w->shared);
    free(w->touched);
    free(w->ends);
    free(w->entries);
    free(w->wider);
    free(w);
}

/* What a record adds, by its flags. */
static const struct tally tallies[8] = {
#define ONE UINT64_C(1)
#define HIGH (UINT64_C(1) << 32)
    [RAD_HOP_ATTN] = {ONE, ONE},
    [RAD_HOP_MLP] = {ONE, HIGH},
    [RAD_HOP_ATTN | RAD_HOP_MLP] = {ONE, ONE | HIGH},
    [RAD_HOP_PROJECT] = {HIGH, 0},
    [RAD_HOP_PROJECT | RAD_HOP_ATTN] = {ONE, ONE},
    [RAD_HOP_PROJECT | RAD_HOP_MLP] = {ONE | HIGH, HIGH},
    [RAD_HOP_PROJECT | RAD_HOP_ATTN | RAD_HOP_MLP] = {ONE, ONE | HIGH},
#undef HIGH
#undef ONE
};

/* A query that shares the keys of its sequence: the most that any of them attends to are read. */
static void add_shared_query(struct shared *s, int64_t n_keys, int32_t place)
{
    if (s->place != place + 1) {
        s->kv_read += s->place_keys;
        s->place_keys = 0;
        s->place = place + 1;
        s->n_seq++;
    }
    if (n_keys > s->place_keys)
        s->place_keys = n_keys;
}

/* Let a record fall into slot `index`. */
static inline void add_record(struct slot *slot, const struct rad_hop_rec *rec)
{
    const struct tally *more = &tallies[rec->flags % 8];
    slot->tally.m_kv_only += more->m_kv_only;
    slot->tally.attn_mlp += more->attn_mlp;
    slot->n_keys += rec->n_keys & -(uint64_t)(rec->flags & RAD_HOP_ATTN);
}

static inline void set_bit(uint64_t *bits, size_t i, uint64_t value)
{
    bits[i / 64] |= value << (i % 64);
}

/* How many cache entries the token wrote, and forget them. */
static int64_t take_entries(rad_walk *w)
{
    int64_t n = 0;
    for (size_t i = 0; i < w->n_word; i++) {
        n += (int64_t)w->few * __builtin_popcountll(w->entries[i]);
        n += __builtin_popcountll(w->entries[i] & w->wider[i]);
        w->entries[i] = 0;
    }
    return n;
}

int64_t rad_walk_token(rad_walk *w, const struct rad_hop_rec *hop, int32_t n_hop, int32_t place,
                       bool share_keys)
{
    struct slot *const slots = w->slots;
    uint64_t *const touched = w->touched, *const written = w->entries;
    const size_t per_hop = w->per_hop, per_layer = w->per_layer;
    size_t first = 0, last = 0; /* slot of layer 0 at the current hop; the last one touched, + 1 */
    for (const struct rad_hop_rec *rec = hop; rec < hop + n_hop; rec++) {
        const unsigned flags = rec->flags;
        if ((flags & (RAD_HOP_ATTN | RAD_HOP_MLP | RAD_HOP_PROJECT)) == 0)
            continue;
        const size_t index = first + rec->layer * per_layer;
        add_record(&slots[index], rec);
        set_bit(touched, index, 1);
        set_bit(written, rec->layer, (flags & 1) | (flags >> 2 & 1)); /* ATTN or PROJECT */
        if (share_keys && (flags & RAD_HOP_ATTN))
            add_shared_query(&w->shared[index], rec->n_keys, place);
        last = index >= last ? index + 1 : last;
        first += (flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0 ? per_hop : 0;
    }
    w->share_keys = share_keys;
    w->m++;
    if (last > 0) {
        const int32_t stage = slots[last - 1].stage;
        w->ends[stage]++;
        w->live++;
        w->last_stage = stage > w->last_stage ? stage : w->last_stage;
    }
    return take_entries(w);
}

static void add_group(struct launch *to, const struct rad_group *g)
{
    struct rad_group *sum = &to->group;
    sum->m += g->m;
    sum->m_attn += g->m_attn;
    sum->m_mlp += g->m_mlp;
    sum->m_kv_only += g->m_kv_only;
    sum->n_keys += g->n_keys;
    sum->kv_read_keys += g->kv_read_keys;
    sum->n_seq += g->n_seq;
    sum->partial = sum->partial || g->partial;
    sum->groups_attn += g->m_attn > 0;
    sum->groups_mlp += g->m_mlp > 0;
    to->n++;
    to->n_load += g->m > 0;
}

/* Write a launch; one group is no grouped one. */
static enum rad_status end_launch(rad_walk *w, struct launch *launch, uint32_t repeat,
                                  struct rad_err *err)
{
    struct rad_group *g = &launch->group;
    if (launch->n == 0)
        return RAD_OK;
    g->groups_attn = g->groups_attn > 1 ? g->groups_attn : 0;
    g->groups_mlp = g->groups_mlp > 1 ? g->groups_mlp : 0;
    w->opt.program->merged_groups += repeat * (double)(launch->n - 1);
    w->opt.program->merged_loads += repeat * (double)(launch->n_load - (launch->n_load > 0));
    const struct rad_group_key key = rad_group_key(RAD_WORK_LAYER, g);
    return rad_program_add(w->opt.program, &key, repeat, err);
}

/* Out of the way of the other batchers. */
__attribute__((noinline)) static enum rad_status end_launches(rad_walk *w, struct rad_err *err)
{
    RAD_TRY(end_launch(w, &w->all, w->few, err));
    RAD_TRY(end_launch(w, &w->wide, 1, err));
    w->all = w->wide = (struct launch){.n = 0};
    return RAD_OK;
}

__attribute__((noinline)) static void merge_group(rad_walk *w, const struct rad_group *g,
                                                  uint32_t repeat)
{
    add_group(&w->all, g);
    if (repeat > w->few)
        add_group(&w->wide, g);
}

/* Tokens that decide after a stage. A visit to layer l is repeat[l] visits to layers of the card,
 * `few` or `few + 1`, and each is followed by a decision. */
struct stage {
    int32_t number;    /* -1: before the first */
    int64_t decide[2]; /* tokens that decide few, few + 1 times */
};

/* Leave a stage: tokens that end there go, the others meet the router. */
static enum rad_status end_stage(rad_walk *w, const struct stage *stage, struct rad_err *err)
{
    struct rad_program *p = w->opt.program;
    if (stage->number < 0)
        return RAD_OK;
    if (w->opt.batcher->grouped)
        RAD_TRY(end_launches(w, err));
    w->live -= w->ends[stage->number];
    w->ends[stage->number] = 0;
    if (!w->opt.has_router)
        return RAD_OK;
    const int64_t all = stage->decide[0] + stage->decide[1];
    RAD_TRY(rad_program_add_tokens(p, RAD_WORK_ROUTER, all, w->few, err));
    return rad_program_add_tokens(p, RAD_WORK_ROUTER, stage->decide[1], 1, err);
}

static inline void clear(rad_walk *w, struct slot *slot)
{
    slot->tally = (struct tally){0};
    slot->n_keys = 0;
    if (w->share_keys)
        w->shared[slot - w->slots] = (struct shared){0};
}

/* Write a slot and empty it. */
static inline __attribute__((always_inline)) enum rad_status
flush_slot(rad_walk *w, struct slot *slot, struct stage *stage, bool grouped, struct rad_err *err)
{
    const uint32_t repeat = w->opt.repeat[slot->layer];
    const struct shared *shared = &w->shared[slot - w->slots];
    const int64_t m = (int64_t)(slot->tally.m_kv_only & UINT32_MAX);
    const int64_t m_attn = (int64_t)(slot->tally.attn_mlp & UINT32_MAX);
    const int64_t n_keys = (int64_t)slot->n_keys;
    const struct rad_group group = {
        .m = m,
        .m_attn = m_attn,
        .m_mlp = (int64_t)(slot->tally.attn_mlp >> 32),
        .m_kv_only = (int64_t)(slot->tally.m_kv_only >> 32),
        .n_keys = n_keys,
        .kv_read_keys = w->share_keys ? shared->kv_read + shared->place_keys : n_keys,
        .n_seq = w->share_keys ? shared->n_seq : (int32_t)m_attn,
        .partial = m < w->live,
    };
    stage->decide[repeat - w->few] += m;
    w->visits += m * repeat;
    w->half_visits += (group.m_attn + group.m_mlp) * repeat;
    clear(w, slot);
    /* a layer that only makes K and V has other products than the rest: by itself */
    if (grouped && (m_attn > 0 || group.m_kv_only == 0)) {
        const struct rad_group copy = group; /* the other stays in registers */
        merge_group(w, &copy, repeat);
        return RAD_OK;
    }
    const struct rad_group_key key = rad_group_key(RAD_WORK_LAYER, &group);
    return rad_program_add(w->opt.program, &key, repeat, err);
}

/* Write the slots of a word of touched bits; *stage is the stage of the slot written last. */
static inline __attribute__((always_inline)) enum rad_status
flush_word(rad_walk *w, size_t word, struct stage *stage, bool grouped, struct rad_err *err)
{
    uint64_t bits = w->touched[word];
    w->touched[word] = 0;
    while (bits != 0) {
        struct slot *slot = &w->slots[word * 64 + (size_t)__builtin_ctzll(bits)];
        bits &= bits - 1;
        if (slot->stage != stage->number) {
            RAD_TRY(end_stage(w, stage, err));
            *stage = (struct stage){.number = slot->stage};
        }
        RAD_TRY(flush_slot(w, slot, stage, grouped, err));
    }
    return RAD_OK;
}

__attribute__((noinline)) static enum rad_status
flush_grouped(rad_walk *w, size_t n_word, struct stage *stage, struct rad_err *err)
{
    for (size_t word = 0; word < n_word; word++)
        RAD_TRY(flush_word(w, word, stage, true, err));
    return RAD_OK;
}

enum rad_status rad_walk_flush(rad_walk *w, struct rad_err *err)
{
    struct stage stage = {.number = -1};
    if (w->opt.has_router)
        RAD_TRY(rad_program_add_tokens(w->opt.program, RAD_WORK_ROUTER, w->m, 1, err));
    const size_t n_word = ((size_t)(w->last_stage + 1) * w->width + 63) / 64;
    if (w->opt.batcher->grouped) /* two loops: the usual one carries nothing of the other */
        RAD_TRY(flush_grouped(w, n_word, &stage, err));
    for (size_t word = 0; word < n_word && !w->opt.batcher->grouped; word++)
        RAD_TRY(flush_word(w, word, &stage, false, err));
    RAD_TRY(end_stage(w, &stage, err));
    begin_step(w);
    return RAD_OK;
}

struct rad_walk_sum rad_walk_sum(const rad_walk *w)
{
    return (struct rad_walk_sum){(double)w->half_visits, (double)w->visits};
}
