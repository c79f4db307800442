/* walk.c - slots fill while tokens are added; a bit per slot says which were touched, so that a
 * step costs as much as it has records, however many slots there are. */
#include "replay/walk.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    int64_t n_keys, kv_read;
    int64_t place_keys; /* most keys of a query of the current place */
    int32_t m, m_attn, m_mlp, m_kv_only;
    int32_t n_seq, last_place; /* sequences with queries; the one counted last */
    int32_t stage, layer;
};

/* Tokens that decide after a stage. A visit to layer l is repeat[l] visits to layers of the card,
 * `few` or `few + 1`, and each is followed by a decision. */
struct stage {
    int64_t decide[2]; /* tokens that decide few, few + 1 times */
    int64_t end;       /* tokens for which this is the last stage */
};

struct rad_walk {
    struct rad_walk_options opt;
    int64_t n_slot, width;
    uint32_t few;                     /* smallest repeat */
    struct slot *slots;               /* [n_slot] */
    struct stage *stages;             /* [n_slot / width] */
    uint64_t *touched;                /* [n_word] one bit per slot */
    int64_t n_word, word_lo, word_hi; /* touched words are in lo..hi */
    uint32_t *seen; /* [n_layer] serial of the last token with a cache entry there */
    uint32_t serial;
    int64_t m, live; /* tokens of the step; of these, with any layer ahead */
    struct rad_walk_sum sum;
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
    w->word_lo = w->n_word;
    w->word_hi = -1;
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
    const int64_t n_stage = opt->batcher->n_stage(opt->n_layer, opt->n_hop);
    const int64_t n_slot = n_stage * w->width;
    w->n_word = n_slot / 64 + 1;
    w->slots = calloc((size_t)n_slot, sizeof *w->slots);
    w->stages = calloc((size_t)n_stage, sizeof *w->stages);
    w->touched = calloc((size_t)w->n_word, sizeof *w->touched);
    w->seen = calloc((size_t)opt->n_layer, sizeof *w->seen);
    if (w->slots == NULL || w->stages == NULL || w->touched == NULL || w->seen == NULL) {
        rad_walk_close(w);
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a step of %lld groups",
                        (long long)n_slot);
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
    free(w->stages);
    free(w->touched);
    free(w->seen);
    free(w);
}

static struct slot *touch(rad_walk *w, int32_t stage, int32_t layer)
{
    const int64_t index = (int64_t)stage * w->width + (w->width > 1 ? layer : 0);
    const int64_t word = index / 64;
    const uint64_t bit = UINT64_C(1) << (index % 64);
    struct slot *slot = &w->slots[index];
    if ((w->touched[word] & bit) == 0) {
        *slot = (struct slot){.last_place = -1, .stage = stage, .layer = layer};
        w->touched[word] |= bit;
        w->word_lo = word < w->word_lo ? word : w->word_lo;
        w->word_hi = word > w->word_hi ? word : w->word_hi;
    }
    return slot;
}

static void add_query(struct slot *slot, int64_t n_keys, int32_t place, bool share_keys)
{
    slot->m_attn++;
    slot->n_keys += n_keys;
    if (slot->last_place != place) {
        slot->kv_read += slot->place_keys;
        slot->place_keys = 0;
        slot->last_place = place;
        slot->n_seq++;
    }
    if (!share_keys)
        slot->kv_read += n_keys;
    else if (n_keys > slot->place_keys)
        slot->place_keys = n_keys;
}

/* Cache entries that a record writes, counting a layer once per token. */
static int64_t entries(rad_walk *w, const struct rad_hop_rec *rec)
{
    if ((rec->flags & (RAD_HOP_ATTN | RAD_HOP_PROJECT)) == 0 || w->seen[rec->layer] == w->serial)
        return 0;
    w->seen[rec->layer] = w->serial;
    return w->opt.repeat[rec->layer];
}

int64_t rad_walk_token(rad_walk *w, const struct rad_hop_rec *hop, int32_t n_hop, int32_t place,
                       bool share_keys)
{
    int32_t visit = 0, last = -1;
    int64_t written = 0, visits = 0, sublayers = 0;
    w->serial++;
    w->m++;
    for (int32_t i = 0; i < n_hop; i++) {
        const unsigned flags = hop[i].flags;
        if ((flags & (RAD_HOP_ATTN | RAD_HOP_MLP | RAD_HOP_PROJECT)) == 0)
            continue;
        const int32_t stage = w->opt.batcher->stage(visit, hop[i].layer);
        const uint32_t repeat = w->opt.repeat[hop[i].layer];
        struct slot *slot = touch(w, stage, hop[i].layer);
        last = stage > last ? stage : last;
        written += entries(w, &hop[i]);
        if ((flags & (RAD_HOP_ATTN | RAD_HOP_PROJECT)) == RAD_HOP_PROJECT)
            slot->m_kv_only++;
        if ((flags & (RAD_HOP_ATTN | RAD_HOP_MLP)) == 0)
            continue;
        slot->m++;
        slot->m_mlp += (flags & RAD_HOP_MLP) != 0;
        if (flags & RAD_HOP_ATTN)
            add_query(slot, hop[i].n_keys, place, share_keys);
        sublayers += repeat * ((flags & 1) + (flags >> 1 & 1));
        visits += repeat;
        w->stages[stage].decide[repeat - w->few]++;
        visit++;
    }
    w->sum.half_visits += (double)sublayers;
    w->sum.visits += (double)visits;
    if (last >= 0) {
        w->stages[last].end++;
        w->live++;
    }
    return written;
}

/* Leave a stage: tokens that end there go, the others meet the router. */
static enum rad_status end_stage(rad_walk *w, struct stage *stage, struct rad_err *err)
{
    struct rad_program *p = w->opt.program;
    const struct stage ended = *stage;
    *stage = (struct stage){0};
    w->live -= ended.end;
    if (!w->opt.has_router)
        return RAD_OK;
    const int64_t all = ended.decide[0] + ended.decide[1];
    RAD_TRY(rad_program_add_tokens(p, RAD_WORK_ROUTER, all, w->few, err));
    return rad_program_add_tokens(p, RAD_WORK_ROUTER, ended.decide[1], 1, err);
}

static enum rad_status flush_slot(rad_walk *w, const struct slot *slot, struct rad_err *err)
{
    const struct rad_group group = {
        .m = slot->m,
        .m_attn = slot->m_attn,
        .m_mlp = slot->m_mlp,
        .m_kv_only = slot->m_kv_only,
        .n_keys = slot->n_keys,
        .kv_read_keys = slot->kv_read + slot->place_keys,
        .n_seq = slot->n_seq,
        .partial = slot->m < w->live,
    };
    return rad_program_add(w->opt.program, RAD_WORK_LAYER, &group, w->opt.repeat[slot->layer], err);
}

/* Write the slots of a word of touched bits; *stage is the stage of the slot written last. */
static enum rad_status flush_word(rad_walk *w, int64_t word, int32_t *stage, struct rad_err *err)
{
    uint64_t bits = w->touched[word];
    w->touched[word] = 0;
    while (bits != 0) {
        const struct slot *slot = &w->slots[word * 64 + __builtin_ctzll(bits)];
        bits &= bits - 1;
        if (*stage >= 0 && slot->stage != *stage)
            RAD_TRY(end_stage(w, &w->stages[*stage], err));
        *stage = slot->stage;
        RAD_TRY(flush_slot(w, slot, err));
    }
    return RAD_OK;
}

enum rad_status rad_walk_flush(rad_walk *w, struct rad_err *err)
{
    int32_t stage = -1;
    if (w->opt.has_router)
        RAD_TRY(rad_program_add_tokens(w->opt.program, RAD_WORK_ROUTER, w->m, 1, err));
    for (int64_t word = w->word_lo; word <= w->word_hi; word++)
        RAD_TRY(flush_word(w, word, &stage, err));
    if (stage >= 0)
        RAD_TRY(end_stage(w, &w->stages[stage], err));
    begin_step(w);
    return RAD_OK;
}

struct rad_walk_sum rad_walk_sum(const rad_walk *w)
{
    return w->sum;
}
