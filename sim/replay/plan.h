/* plan.h - what a plan holds, and the pieces it is built from. Private to replay. */
#ifndef RAD_REPLAY_PLAN_H
#define RAD_REPLAY_PLAN_H

#include "replay/program.h"
#include "replay/replay.h"

struct rad_plan {
    struct rad_plan_info info;
    struct rad_program routed, dense;
    double nll, mean_depth, kv_cache_bytes_peak, device_bytes_peak;
    bool transplanted, kv_recomputed, resampled, complete_trace;
};

/* ---- sequences (plan_input.c) ---------------------------------------------------------- */

struct rad_replay_seq {
    int64_t first;        /* index of its first token */
    int64_t n, n_prefill; /* tokens; of these at the start, in prefill */
};

struct rad_replay_seqs {
    struct rad_replay_seq *seq; /* [n]; freed by the caller */
    int64_t n;
    int32_t max_visits; /* most visits of any token */
};

/* Check what rad_replay_input promises and find its sequences, phases as `phase` says.
 * errors: RAD_E_ARG, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_replay_sequences(struct rad_replay_seqs *out,
                                                    const struct rad_replay_input *in,
                                                    enum rad_replay_phase phase,
                                                    struct rad_err *err);

/* ---- batches (plan_input.c) ------------------------------------------------------------ */

/* order[*n] says which sequence runs at which place: batch b has places b * batch and on.
 * malloc'ed for the caller. errors: RAD_E_ARG (batch), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_replay_order(const struct rad_replay_options *opt, int64_t n_seq,
                                                int64_t **order, int64_t *n, struct rad_err *err);

/* ---- KV semantics (plan_keys.c) -------------------------------------------------------- */

/* A copy of the paths with the records and key counts of another KV semantics. */
struct rad_replay_paths {
    struct rad_trace_token *tokens; /* [n_token] */
    struct rad_hop_rec *hops;
    int64_t n_hop;
    bool changed; /* another semantics than the run's, or other counts than recorded */
};

/* max_visits as in rad_replay_seqs. errors: RAD_E_ARG (the paths do not determine it),
 * RAD_E_NOMEM. Free with rad_replay_paths_free, also after a failure. */
RAD_MUST_CHECK enum rad_status rad_replay_rekey(struct rad_replay_paths *out,
                                                const struct rad_replay_input *in,
                                                int32_t max_visits, enum rad_kv kv,
                                                struct rad_err *err);
void rad_replay_paths_free(struct rad_replay_paths *paths);

/* ---- another card (plan_card.c) -------------------------------------------------------- */

/* The card to replay: `wanted`, or the run's if NULL, with the run's router if it has none.
 * *transplanted: it has another shape than the run's. errors: RAD_E_ARG (fewer layers) */
RAD_MUST_CHECK enum rad_status rad_replay_card(struct rad_card *out, bool *transplanted,
                                               const struct rad_trace_run *run,
                                               const struct rad_card *wanted, struct rad_err *err);

/* repeat[l], for each layer of the trace: how many consecutive layers of n_layer it becomes.
 * errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_replay_layer_repeats(uint32_t *repeat,
                                                        const struct rad_replay_input *in,
                                                        int32_t n_layer, struct rad_err *err);

#endif
