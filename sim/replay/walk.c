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
    int64_t n_keys;
    int32_t stage, layer;
    /* Used if queries share keys; else there is a query per sequence, and each reads its own. */
    int64_t kv_read, place_keys; /* place_keys: most keys of a query of the current place */
    int32_t n_seq, place;        /* sequences with queries; the place counted last, plus 1 */
};

struct rad_walk {
    struct rad_walk_options opt;
    int64_t width;      /* slots of a stage: one, or one per layer */
    uint32_t few;       /* smallest repeat */
    struct slot *slots; /* [n_stage][width] */
    uint64_t *touched;  /* one bit per slot */
    int64_t *ends;      /* [n_stage] tokens for which it is the last stage */
    int32_t last_stage; /* of the step so far; -1: none */
    uint32_t *seen;     /* [n_layer] serial of the last token with a cache entry there */
    uint32_t serial;
    int64_t m, live;             /* tokens of the step; of these, with any layer ahead */
    bool share_keys;             /* of the step */
    int64_t visits, half_visits; /* as in rad_walk_sum */
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

enum rad_status rad_walk_open(rad_walk **out, const struct rad_walk_options *opt,
                              struct rad_err *err)
{
    *out = NULL;
    rad_walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a step");
    w->opt = *opt;
    w->few = smallest(opt->repeat, opt->n_layer);
    w->width = opt->batcher->one_layer ? 1 : opt->n_layer;
    const size_t n_stage = (size_t)opt->batcher->n_stage(opt->n_layer, opt->n_hop);
    const size_t n_slot = n_stage * (size_t)w->width;
    w->slots = calloc(n_slot, sizeof *w->slots);
    w->touched = calloc(n_slot / 64 + 1, sizeof *w->touched);
    w->ends = calloc(n_stage, sizeof *w->ends);
    w->seen = calloc((size_t)opt->n_layer, sizeof *w->seen);
    if (w->slots == NULL || w->touched == NULL || w->ends == NULL || w->seen == NULL) {
        rad_walk_close(w);
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a step of %zu groups", n_slot);
    }
    begin_step(w);
    *out = w;
    return RAD_OK;
}

void rad_walk_close(rad_walk *w)
{
    if (w == NULL)
        return;
    free(w->slots);
    free(w->touched);
    free(w->ends);
    free(w->seen);
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
static void add_shared_query(struct slot *slot, int64_t n_keys, int32_t place)
{
    if (slot->place != place + 1) {
        slot->kv_read += slot->place_keys;
        slot->place_keys = 0;
        slot->place = place + 1;
        slot->n_seq++;
    }
    if (n_keys > slot->place_keys)
        slot->place_keys = n_keys;
}

/* Cache entries that a record writes, counting a layer once per token. */
static int64_t entries(rad_walk *w, const struct rad_hop_rec *rec)
{
    const bool writes = (rec->flags & (RAD_HOP_ATTN | RAD_HOP_PROJECT)) != 0;
    const uint32_t before = w->seen[rec->layer];
    w->seen[rec->layer] = writes ? w->serial : before;
    return (int64_t)(writes & (before != w->serial)) * w->opt.repeat[rec->layer];
}

/* Let a record fall into its slot of the stage. */
static struct slot *add_record(rad_walk *w, int32_t stage, const struct rad_hop_rec *rec)
{
    const size_t index = (size_t)stage * (size_t)w->width + (w->width > 1 ? rec->layer : 0);
    const struct tally *more = &tallies[rec->flags % 8];
    struct slot *slot = &w->slots[index];
    w->touched[index / 64] |= UINT64_C(1) << (index % 64);
    slot->stage = stage;
    slot->layer = rec->layer;
    slot->tally.m_kv_only += more->m_kv_only;
    slot->tally.attn_mlp += more->attn_mlp;
    slot->n_keys += rec->flags & RAD_HOP_ATTN ? rec->n_keys : 0;
    return slot;
}

int64_t rad_walk_token(rad_walk *w, const struct rad_hop_rec *hop, int32_t n_hop, int32_t place,
                       bool share_keys)
{
    int32_t visit = 0, last = -1;
    int64_t written = 0;
    w->share_keys = share_keys;
    w->serial++;
    w->m++;
    for (int32_t i = 0; i < n_hop; i++) {
        const unsigned flags = hop[i].flags;
        if ((flags & (RAD_HOP_ATTN | RAD_HOP_MLP | RAD_HOP_PROJECT)) == 0)
            continue;
        const int32_t stage = w->opt.batcher->stage(visit, hop[i].layer);
        struct slot *slot = add_record(w, stage, &hop[i]);
        last = stage > last ? stage : last;
        if (share_keys && (flags & RAD_HOP_ATTN))
            add_shared_query(slot, hop[i].n_keys, place);
        written += entries(w, &hop[i]);
        visit += (flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) != 0;
    }
    if (last >= 0) {
        w->ends[last]++;
        w->live++;
        w->last_stage = last > w->last_stage ? last : w->last_stage;
    }
    return written;
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
    w->live -= w->ends[stage->number];
    w->ends[stage->number] = 0;
    if (!w->opt.has_router)
        return RAD_OK;
    const int64_t all = stage->decide[0] + stage->decide[1];
    RAD_TRY(rad_program_add_tokens(p, RAD_WORK_ROUTER, all, w->few, err));
    return rad_program_add_tokens(p, RAD_WORK_ROUTER, stage->decide[1], 1, err);
}

/* Write a slot and empty it. */
static enum rad_status flush_slot(rad_walk *w, struct slot *slot, struct stage *stage,
                                  struct rad_err *err)
{
    const uint32_t repeat = w->opt.repeat[slot->layer];
    const int64_t m = (int64_t)(slot->tally.m_kv_only & UINT32_MAX);
    const int64_t m_attn = (int64_t)(slot->tally.attn_mlp & UINT32_MAX);
    const struct rad_group group = {
        .m = m,
        .m_attn = m_attn,
        .m_mlp = (int64_t)(slot->tally.attn_mlp >> 32),
        .m_kv_only = (int64_t)(slot->tally.m_kv_only >> 32),
        .n_keys = slot->n_keys,
        .kv_read_keys = w->share_keys ? slot->kv_read + slot->place_keys : slot->n_keys,
        .n_seq = w->share_keys ? slot->n_seq : (int32_t)m_attn,
        .partial = m < w->live,
    };
    stage->decide[repeat - w->few] += m;
    w->visits += m * repeat;
    w->half_visits += (group.m_attn + group.m_mlp) * repeat;
    *slot = (struct slot){0};
    const struct rad_group_key key = rad_group_key(RAD_WORK_LAYER, &group);
    return rad_program_add(w->opt.program, &key, repeat, err);
}

/* Write the slots of a word of touched bits; *stage is the stage of the slot written last. */
static enum rad_status flush_word(rad_walk *w, int64_t word, struct stage *stage,
                                  struct rad_err *err)
{
    uint64_t bits = w->touched[word];
    w->touched[word] = 0;
    while (bits != 0) {
        struct slot *slot = &w->slots[word * 64 + __builtin_ctzll(bits)];
        bits &= bits - 1;
        if (slot->stage != stage->number) {
            RAD_TRY(end_stage(w, stage, err));
            *stage = (struct stage){.number = slot->stage};
        }
        RAD_TRY(flush_slot(w, slot, stage, err));
    }
    return RAD_OK;
}

enum rad_status rad_walk_flush(rad_walk *w, struct rad_err *err)
{
    struct stage stage = {.number = -1};
    if (w->opt.has_router)
        RAD_TRY(rad_program_add_tokens(w->opt.program, RAD_WORK_ROUTER, w->m, 1, err));
    for (int64_t word = 0; word * 64 < (w->last_stage + 1) * w->width; word++)
        RAD_TRY(flush_word(w, word, &stage, err));
    RAD_TRY(end_stage(w, &stage, err));
    begin_step(w);
    return RAD_OK;
}

struct rad_walk_sum rad_walk_sum(const rad_walk *w)
{
    return (struct rad_walk_sum){(double)w->half_visits, (double)w->visits};
}
