/* parallel.h - a model spread over several devices of one kind. Private to replay.
 *
 * Tensor parallel (Shoeybi et al., Megatron-LM, arXiv 1909.08053, section 3): each of tp devices
 * has 1/tp of the heads, of the MLP and of the vocabulary, and all of the norms, the router and
 * the residual stream. Attention and MLP of every layer group that runs end in an all-reduce of
 * their rows, so do the rows of the token table; logits are gathered. With fewer KV heads than
 * devices each head is on several. What a token skips it does not reduce either.
 *
 * Pipeline parallel (Huang et al., GPipe, arXiv 1811.06965): pp devices have consecutive layers,
 * the rows of a step are sent on pp - 1 times. One step is under way at a time, so that stages wait
 * for each other: the latency of one batch, not the throughput of many.
 *
 * Rows are sent in 16 bits or the wider format of the run. */
#ifndef RAD_REPLAY_PARALLEL_H
#define RAD_REPLAY_PARALLEL_H

#include "hw/hw.h"
#include "replay/replay.h"

struct rad_parallel {
    int32_t tp, pp;                          /* at least 1 */
    double row_bytes;                        /* of the residual stream */
    double logit_bytes;                      /* of a row of logits */
    int32_t vocab;                           /* of the whole card */
    double weight_bytes, layer_weight_bytes; /* of one weight outside of the layers, and in them */
};

/* The options' devices for this card, and the card of one of them. errors: RAD_E_ARG (heads, KV
 * heads or MLP do not divide; more stages than layers; stages with paths in any order) */
RAD_MUST_CHECK enum rad_status rad_parallel_open(struct rad_parallel *out, struct rad_card *shard,
                                                 const struct rad_card *card,
                                                 const struct rad_replay_options *opt,
                                                 bool forward_only, struct rad_err *err);

/* Bytes that the fullest device holds: weights of its layers, of the tables and of the router, and
 * its part of a KV cache of cache_bytes on all stages. The stages have as many layers but for one;
 * the first has the token table, the last the head. */
double rad_parallel_device_bytes(const struct rad_parallel *of, const struct rad_card *shard,
                                 double cache_bytes);

/* Add one transfer of kind allreduce, allgather or sendrecv to what is spent on them (time_s,
 * memory_j, static_j, of one device). Nothing for no bytes or one rank.
 * errors: RAD_E_UNSUPPORTED (the profile knows no links) */
RAD_MUST_CHECK enum rad_status rad_parallel_transfer(const rad_hw *hw, const struct rad_link *link,
                                                     struct rad_cost *sum, struct rad_err *err);

#endif
