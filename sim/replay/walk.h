/* walk.h - one batch step: tokens in, groups out. Private to replay.
 *
 * Tokens of the step are added sequence by sequence; each of their records falls into the slot
 * that the batcher gives it. At the end of the step the slots become groups of the program, in
 * increasing order, with the router between the stages. */
#ifndef RAD_REPLAY_WALK_H
#define RAD_REPLAY_WALK_H

#include "replay/program.h"
#include "replay/replay.h"

typedef struct rad_walk rad_walk;

struct rad_walk_options {
    const struct rad_batcher *batcher;
    struct rad_program *program;
    int32_t n_layer;        /* of the trace */
    int32_t n_hop;          /* most visits of any token */
    const uint32_t *repeat; /* [n_layer] layers of the card that each stands for, two neighbouring
                             * numbers; borrowed */
    bool has_router;
};

/* Sums over all tokens walked. */
struct rad_walk_sum {
    double half_visits; /* sublayers run, on the card's layers: twice the summed depth */
    double visits;      /* (token, layer) visits, on the card's layers */
};

RAD_MUST_CHECK enum rad_status rad_walk_open(rad_walk **out, const struct rad_walk_options *opt,
                                             struct rad_err *err);
void rad_walk_close(rad_walk *w); /* accepts NULL */

/* Add a token to the step. place: which sequence of the batch, tokens of a place come together.
 * share_keys: queries of a sequence in one group read its keys once (prefill), else a place has one
 * token (decode); the same for all tokens of a step.
 * Returns the KV cache entries it writes: one per layer of the card, however often visited. */
int64_t rad_walk_token(rad_walk *w, const struct rad_hop_rec *hop, int32_t n_hop, int32_t place,
                       bool share_keys);

/* Write the router and the groups of the step to the program. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_walk_flush(rad_walk *w, struct rad_err *err);

struct rad_walk_sum rad_walk_sum(const rad_walk *w);

#endif
