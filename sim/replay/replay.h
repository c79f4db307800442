/* replay.h - a trace through a machine: seconds, joules, dollars.
 *
 * Two steps. A *plan* groups the tokens of a batch that need the same layer at the same time; it
 * depends on the trace, the batch and the phase, not on the machine, so that a sweep builds it
 * once for many machines. *Costing* a plan asks the hardware model once for each distinct
 * operation. Forward-only paths run in layer order, each layer's weights streamed once per step if
 * any token needs it; any-order paths run hop by hop, once per (hop, layer): one layer after the
 * other, or with batcher `grouped` all of a hop in one grouped launch.
 * Replay never asks which policy made a trace.
 *
 * What a step is. Consecutive sequences by id form a batch. All prompt tokens of a batch are one
 * prefill step, without padding. Decode runs in lockstep: step i takes the i-th decode token of
 * every sequence that is still alive; a finished sequence leaves and is not replaced.
 *
 * What a step costs: the embedding of all its tokens; every group of tokens at a layer, lowered by
 * spec (a group smaller than the tokens still on their way is gathered and scattered); the router,
 * if the run had one, before the first layer and again for the tokens that have just run a layer;
 * the head and the drawing of a token from its logits (not for images), for every token in decode
 * and for the last token of each sequence in prefill; the
 * machine's layer overhead per group and step overhead per step, with static power drawn meanwhile.
 * Entries that stand in by reference (KV copy) cost nothing until they are read as attended keys.
 */
#ifndef RAD_REPLAY_H
#define RAD_REPLAY_H

#include "base/err.h"
#include "hw/hw.h"
#include "spec/spec.h"
#include "trace/trace.h"

/* recorded: tokens in the phase that they ran in; prefill: all tokens of a sequence are its
 * prompt; decode: every token as if generated one by one (definitions.md, Replay). */
enum rad_replay_phase { RAD_REPLAY_RECORDED, RAD_REPLAY_PREFILL, RAD_REPLAY_DECODE };

const char *rad_replay_phase_name(enum rad_replay_phase phase); /* "recorded" ... */
RAD_MUST_CHECK enum rad_status rad_replay_phase_parse(const char *name, enum rad_replay_phase *out,
                                                      struct rad_err *err);

#define RAD_REPLAY_MAX_BATCH 65536 /* sequences */

struct rad_replay_options {
    int32_t batch;               /* sequences per batch, >= 1 */
    enum rad_replay_phase phase; /* decode: as if generated token by token (definitions.md) */
    enum rad_dtype dtype;        /* of arithmetic, activations, KV cache and weights */
    double weight_share;   /* bytes of the layers' weights over those of dtype; 0 and 1: as many.
                            * Weight-only formats, rad_dtype_parse_weights */
    bool resample;         /* draw sequences with repetition to fill the last batch */
    uint64_t seed;         /* of resampling */
    const char *batcher;   /* NULL or "auto": by the paths; "layer" | "hop" | "grouped" */
    enum rad_rate rate;    /* sustained, or what a single burst would take */
    int32_t tp, pp;        /* devices that share each matrix; stages of consecutive layers, one
                            * step under way at a time (parallel.h). 0 and 1: one */
    const enum rad_kv *kv; /* NULL: as recorded; else recomputed from the paths */
    const struct rad_card *card; /* NULL: the trace's; else transplanted: nll becomes NaN */
};

/* ---- plans ----------------------------------------------------------------------------- */

typedef struct rad_plan rad_plan; /* immutable once built; shared by threads */

/* Build a plan; it keeps no pointer into trace or opt.
 *
 * resample: all sequences run once, in order of their ids, and the places left in the last batch
 * are filled by draws with repetition from rng(seed). A sequence drawn twice takes the same path
 * twice, so that a resampled batch diverges less than a real one: the result is flagged.
 *
 * kv: keys attended are counted again from the explicit paths (definitions.md, KV cache). The
 * result is flagged kv_recomputed, unless kv is the run's own and every count is as recorded.
 *
 * card: every layer of the trace stands for consecutive layers of the card, which the token visits
 * one after the other, by the rule of rad_trace_transplant: depth_frac is kept exactly if the
 * trace's number of layers divides the card's. A card without a router gets the trace's, widened
 * in proportion to d_model.
 *
 * errors: RAD_E_ARG (batch larger than the distinct sequences without resample, unknown batcher,
 * batcher `layer` or kv project/copy on paths of any order, card with fewer layers, trace without
 * tokens), RAD_E_RANGE (a card that spec refuses), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_plan_build(rad_plan **out, const rad_trace *trace,
                                              const struct rad_replay_options *opt,
                                              struct rad_err *err);
void rad_plan_free(rad_plan *plan); /* accepts NULL */

/* Routing that is in memory instead of a file; arrays as rad_trace_tokens and rad_trace_hops
 * return them, borrowed for the call. */
struct rad_replay_input {
    const struct rad_trace_run *run;
    const struct rad_trace_token
        *tokens;                    /* [n_token] by seq, then pos; prompts before new tokens */
    const struct rad_hop_rec *hops; /* [n_hop], indexed by tokens[].hop_first */
    int64_t n_token, n_hop;
    bool complete; /* the run reached its end */
};

/* As rad_plan_build; RAD_E_ARG also if the arrays break what is said above. */
RAD_MUST_CHECK enum rad_status rad_plan_build_from(rad_plan **out,
                                                   const struct rad_replay_input *in,
                                                   const struct rad_replay_options *opt,
                                                   struct rad_err *err);

/* What a plan is, before any machine. Counts are of the routed program unless they say dense. */
struct rad_plan_info {
    const char *batcher;  /* the one that ran */
    struct rad_card card; /* the architecture replayed */
    enum rad_dtype dtype;
    double weight_share; /* of the layers' weights, at most 1 */
    enum rad_kv kv;      /* semantics of the keys */
    enum rad_rate rate;
    int32_t tp, pp; /* devices: tp * pp */
    int64_t n_seq;  /* sequences run, drawn ones included */
    int64_t n_batch;
    int64_t n_step, n_prefill_step, n_decode_step;
    int64_t n_token, n_prefill_token, n_decode_token;
    double n_visit;      /* (token, layer) visits with attention or MLP, on the card's layers */
    double n_group;      /* (step, layer) or (step, hop, layer) groups, on the card's layers */
    double n_launch;     /* of these, run one after the other: fewer with batcher `grouped` */
    double group_tokens; /* tokens that visit, summed over groups: must equal n_visit */
    int64_t n_shape, n_op, dense_n_op; /* distinct ones: what costing evaluates */
};
const struct rad_plan_info *rad_plan_info(const rad_plan *plan);

/* ---- costs ----------------------------------------------------------------------------- */

/* The rows of metrics.def: keys of `radial replay --format json`, columns of table result. Every
 * metric is a double; NaN is written as null. Text keys (bound) and flags are beside them. */
struct rad_replay_result {
#define RAD_METRIC(name, doc) double name;
#include "replay/metrics.def"
#undef RAD_METRIC
    enum rad_bound bound_kind; /* the largest share of time */
    bool transplanted, kv_recomputed, resampled, complete_trace;
};

/* Cost a plan on a machine, with its dense counterpart: the same tokens in the same steps, each
 * through all layers of the card once, keys = position + 1, no router. Pure; threads may share
 * plan and hw. errors: RAD_E_UNSUPPORTED (the machine cannot run an operation), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_replay_cost(const rad_plan *plan, const rad_hw *hw,
                                               struct rad_replay_result *out, struct rad_err *err);

/* Both steps at once. */
RAD_MUST_CHECK enum rad_status rad_replay(const rad_trace *trace, const rad_hw *hw,
                                          const struct rad_replay_options *opt,
                                          struct rad_replay_result *out, struct rad_err *err);

/* Metric table for printing and storing: name, one-line doc with unit, offset of the double. */
struct rad_metric {
    const char *name, *doc;
    size_t offset;
};
const struct rad_metric *rad_replay_metrics(size_t *n);

/* ---- batchers -------------------------------------------------------------------------- */

/* Where tokens of a step meet: visits to the same layer in the same stage form a group. Stages run
 * in increasing order; the tokens that ran in one are routed again after it.
 * One batch_<name>.c and one row of batchers.def each. */
struct rad_batcher {
    const char *name, *summary;
    bool any_order; /* works on paths that go back or repeat */
    bool one_layer; /* all visits of a stage are to the same layer */
    bool grouped;   /* groups of a stage run in one grouped launch, else one after the other */
    int32_t (*n_stage)(int32_t n_layer, int32_t n_hop); /* n_hop: most visits of any token */
    int32_t per_hop,
        per_layer; /* stage = per_hop * visits of the token before + per_layer * layer */
};

const struct rad_batcher *const *rad_batchers(size_t *n);

#endif
