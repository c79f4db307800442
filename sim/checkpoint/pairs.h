/* pairs.h - private to checkpoint: the loop of every byte-pair encoding: of all neighbours that may
 * be joined the best are, from the left where ranks are equal, until none is left.
 *
 * What may be joined is the vocabulary's to say. Takes O(n log n) for n symbols. */
#ifndef RAD_CHECKPOINT_PAIRS_H
#define RAD_CHECKPOINT_PAIRS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of text that is, or may become, one token; in a list in the order of the text. */
struct rad_symbol {
    uint32_t at;        /* of its first byte */
    int32_t prev, next; /* -1: none */
    int32_t id;         /* -1: no token has this text */
};

/* One of two neighbours. */
struct rad_side {
    const char *text;
    uint32_t len;
    int32_t id;
};

/* Whether left and right, whose texts follow each other, may be joined: the token that they become,
 * and the rank, the smaller the better. */
typedef bool rad_pair_rank(const void *vocab, const struct rad_side *left,
                           const struct rad_side *right, uint32_t *rank, int32_t *id);

/* One encoding under way; zero but for the first two. Reuse it: the room stays. */
struct rad_pairs {
    rad_pair_rank *rank;
    const void *vocab;
    const char *text;          /* what symbols refer to, borrowed; at most 2^31 - 1 bytes */
    uint32_t end;              /* of the last symbol */
    struct rad_symbol *symbol; /* [n] of n_room; symbol[0] is the first */
    size_t n, n_room;
    uint64_t *heap; /* [n_pair] of pair_room: rank << 32 | left symbol, the smallest first */
    size_t n_pair, pair_room;
};

void rad_pairs_begin(struct rad_pairs *p, const char *text);
/* The next len bytes of the text are a symbol. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_pairs_add(struct rad_pairs *p, uint32_t len, int32_t id,
                                             struct rad_err *err);
/* Join; then walk symbol[0], symbol[.next] ... errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_pairs_join(struct rad_pairs *p, struct rad_err *err);
/* A symbol of the list as text. */
struct rad_side rad_pairs_side(const struct rad_pairs *p, int32_t i);
void rad_pairs_free(struct rad_pairs *p);

#endif
