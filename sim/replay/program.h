/* program.h - what a machine has to run: steps of groups, each distinct group stored once.
 * Private to replay.
 *
 * A trace of 10,000 tokens makes up to 80,000 groups, but few distinct ones. A *shape* is a
 * distinct group. Its operations are split in two: those that depend on how many tokens there are
 * (shared by all shapes of the same *base*) and attention, which also depends on the keys. Costing
 * therefore asks the machine once per operation of a base and once per shape. */
#ifndef RAD_REPLAY_PROGRAM_H
#define RAD_REPLAY_PROGRAM_H

#include "base/err.h"
#include "replay/parallel.h"
#include "spec/spec.h"
#include "trace/trace.h"

enum rad_work { RAD_WORK_LAYER, RAD_WORK_ROUTER, RAD_WORK_EMBED, RAD_WORK_HEAD, RAD_N_WORK };

struct rad_base {
    enum rad_work work;
    uint32_t op_first, n_op; /* in ops */
    uint32_t m, m_attn, m_mlp;
    double count; /* times run */
};

struct rad_shape {
    enum rad_work work;
    uint32_t base;
    uint32_t key_first, n_key; /* in key_ops */
    uint32_t m;                /* tokens that visit; 0 if K and V are all that it makes */
    double count;              /* times run */
};

/* A shape in a step, `repeat` times over (a layer of the trace may stand for several). */
struct rad_item {
    uint32_t shape, repeat;
};

struct rad_step {
    enum rad_phase phase;
    bool first;      /* of its batch: ends with the first tokens */
    size_t item_end; /* items of the step end here; they start where the last step's ended */
};

/* Sums that no machine changes. */
struct rad_program_sum {
    double flop, weight_bytes, layer_weight_bytes, kv_bytes, act_bytes;
    double n_group;      /* layer groups run */
    double n_launch;     /* of these, one after the other: each pays the layer overhead */
    double layer_loads;  /* of these, groups in which attention or MLP ran */
    double group_tokens; /* tokens that visit, summed over groups */
};

/* What makes two groups the same, packed so that it can be hashed and compared fast. */
struct rad_group_key {
    uint64_t word[5];
};

/* Tokens of a step are counted in 31 bits, layers in 11, keys need more. */
_Static_assert(RAD_MAX_LAYER < 2048, "layers of a grouped launch have 11 bits of a key");
static inline struct rad_group_key rad_group_key(enum rad_work work, const struct rad_group *g)
{
    return (struct rad_group_key){{
        (uint64_t)work | (uint64_t)g->partial << 8 | (uint64_t)g->groups_attn << 9 |
            (uint64_t)g->groups_mlp << 20 | (uint64_t)g->m << 32,
        (uint64_t)g->m_attn | (uint64_t)g->m_mlp << 32,
        (uint64_t)g->m_kv_only | (uint64_t)(uint32_t)g->n_seq << 32,
        (uint64_t)g->n_keys,
        (uint64_t)g->kv_read_keys,
    }};
}

/* A slot tells most strangers by their hash; the key itself is with the shape or base. */
struct rad_group_slot {
    uint32_t tag, index; /* upper half of the hash; of the shape or base, plus 1 (0: empty) */
};

struct rad_group_table { /* open addressing */
    struct rad_group_slot *slot;
    size_t size, used;         /* size: a power of two */
    struct rad_group_key *key; /* [cap_key] of each shape or base */
    size_t cap_key;
};

/* Work of which only the number of tokens matters, found last: kept at m % RAD_N_LAST. */
enum { RAD_N_LAST = 64 };
struct rad_last_tokens {
    uint32_t m, shape; /* m 0: nothing yet */
};

struct rad_program {
    struct rad_card card; /* of one device */
    struct rad_parallel parallel;
    enum rad_dtype dtype;
    struct rad_op *ops, *key_ops;
    struct rad_base *bases;
    struct rad_shape *shapes;
    struct rad_item *items;
    struct rad_step *steps;
    size_t n_ops, n_key_ops, n_bases, n_shapes, n_items, n_steps;
    size_t cap_ops, cap_key_ops, cap_bases, cap_shapes, cap_items, cap_steps;
    struct rad_group_table base_table, shape_table;
    struct rad_op attend;               /* of some group */
    double merged_groups, merged_loads; /* groups, and layer loads, that run in the launch of
                                         * another: set by who merged them */
    struct rad_last_tokens last[RAD_N_WORK][RAD_N_LAST];
    struct rad_program_sum sum; /* after rad_program_finish */
};

void rad_program_init(struct rad_program *p, const struct rad_card *card,
                      const struct rad_parallel *parallel, enum rad_dtype dtype);
void rad_program_free(struct rad_program *p);

/* Append a group to the current step. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_program_add(struct rad_program *p,
                                               const struct rad_group_key *key, uint32_t repeat,
                                               struct rad_err *err);

/* The same for work of which only the number of tokens matters; nothing for m = 0. */
RAD_MUST_CHECK enum rad_status rad_program_add_tokens(struct rad_program *p, enum rad_work work,
                                                      int64_t m, uint32_t repeat,
                                                      struct rad_err *err);

/* End the current step. */
RAD_MUST_CHECK enum rad_status rad_program_end_step(struct rad_program *p, enum rad_phase phase,
                                                    bool first, struct rad_err *err);

/* Drop what only building needs and fill sum. */
void rad_program_finish(struct rad_program *p);

#endif
