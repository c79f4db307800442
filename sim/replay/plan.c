/* plan.c - from a trace to the steps of two programs: the routed one and its dense counterpart. */
#include "replay/plan.h"

#include "replay/batcher.h"
#include "replay/walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything that building needs and a plan does not. */
struct build {
    const struct rad_replay_options *opt;
    struct rad_replay_input in; /* with keys counted again, if asked for */
    struct rad_replay_paths paths;
    struct rad_replay_seqs seqs;
    int64_t *order; /* [n_place] sequence at each place */
    int64_t n_place;
    uint32_t *repeat; /* [n_layer of the trace] */
    const struct rad_batcher *batcher;
    rad_walk *walk;
    rad_plan *plan;
    int64_t *entries; /* [batch] KV cache entries of a sequence of the batch */
    int32_t *alive;   /* [batch] places of the batch that still decode */
    int64_t all_keys; /* images: tokens of the sequence at hand, which all see all; else 0 */
    int64_t cached;   /* sum of entries of the sequences that have not left */
    int64_t peak;
    struct rad_group dense; /* the dense group of the step being built */
};

static const struct rad_replay_seq *seq_at(const struct build *b, int64_t first, int32_t place)
{
    return &b->seqs.seq[b->order[first + place]];
}

/* Add a token to the step, routed and dense. The next of its sequence comes with the next step:
 * the processor does not guess that, but has until then to fetch it. */
static void add_token(struct build *b, int64_t token, int32_t place, bool share_keys)
{
    const struct rad_trace_token *t = &b->in.tokens[token];
    __builtin_prefetch(t + 2);
    __builtin_prefetch(b->in.hops + t->hop_first + t->n_hop);
    __builtin_prefetch(b->in.hops + t->hop_first + t->n_hop + 8);
    const int64_t written =
        rad_walk_token(b->walk, b->in.hops + t->hop_first, t->n_hop, place, share_keys);
    b->entries[place] += written;
    b->cached += written;
    b->dense.m++;
    b->dense.n_keys += b->all_keys > 0 ? b->all_keys : (int64_t)t->pos + 1;
    if (!share_keys)
        b->dense.kv_read_keys += (int64_t)t->pos + 1;
}

/* Write the step: embedding, layers with their router, head for n_head tokens. */
static enum rad_status flush(struct build *b, enum rad_phase phase, bool first, int64_t n_head,
                             struct rad_err *err)
{
    struct rad_program *routed = &b->plan->routed, *dense = &b->plan->dense;
    struct rad_group *g = &b->dense;
    g->m_attn = g->m_mlp = g->m;
    g->n_seq = (int32_t)n_head; /* one per sequence, in both phases */
    const struct rad_group_key key = rad_group_key(RAD_WORK_LAYER, g);
    RAD_TRY(rad_program_add_tokens(routed, RAD_WORK_EMBED, g->m, 1, err));
    RAD_TRY(rad_walk_flush(b->walk, err));
    RAD_TRY(rad_program_add_tokens(routed, RAD_WORK_HEAD, n_head, 1, err));
    RAD_TRY(rad_program_end_step(routed, phase, first, err));
    RAD_TRY(rad_program_add_tokens(dense, RAD_WORK_EMBED, g->m, 1, err));
    RAD_TRY(rad_program_add(dense, &key, (uint32_t)dense->card.n_layer, err));
    RAD_TRY(rad_program_add_tokens(dense, RAD_WORK_HEAD, n_head, 1, err));
    RAD_TRY(rad_program_end_step(dense, phase, first, err));
    b->peak = b->cached > b->peak ? b->cached : b->peak;
    struct rad_plan_info *info = &b->plan->info;
    *(phase == RAD_PHASE_PREFILL ? &info->n_prefill_token : &info->n_decode_token) += g->m;
    *(phase == RAD_PHASE_PREFILL ? &info->n_prefill_step : &info->n_decode_step) += 1;
    *g = (struct rad_group){0};
    return RAD_OK;
}

/* All prompt tokens of the batch at places first..first + n. */
static enum rad_status build_prefill(struct build *b, int64_t first, int32_t n, struct rad_err *err)
{
    int64_t n_head = 0;
    for (int32_t place = 0; place < n; place++) {
        const struct rad_replay_seq *seq = seq_at(b, first, place);
        b->all_keys = b->in.run->card.patch > 0 ? seq->n_prefill : 0;
        for (int64_t i = 0; i < seq->n_prefill; i++)
            add_token(b, seq->first + i, place, true);
        if (seq->n_prefill == 0)
            continue;
        /* Positions increase: the last prompt token sees the most keys, the others no more. */
        b->dense.kv_read_keys += (int64_t)b->in.tokens[seq->first + seq->n_prefill - 1].pos + 1;
        n_head++;
    }
    return n_head == 0 ? RAD_OK : flush(b, RAD_PHASE_PREFILL, true, n_head, err);
}

/* Keep the places with a decode token number `step`; the others leave with their cache. */
static int32_t keep_alive(struct build *b, int64_t first, int32_t n_alive, int64_t step)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < n_alive; i++) {
        const struct rad_replay_seq *seq = seq_at(b, first, b->alive[i]);
        if (seq->n_prefill + step < seq->n)
            b->alive[kept++] = b->alive[i];
        else
            b->cached -= b->entries[b->alive[i]];
    }
    return kept;
}

static enum rad_status build_batch(struct build *b, int64_t first, int32_t n, struct rad_err *err)
{
    b->cached = 0;
    for (int32_t place = 0; place < n; place++) {
        b->entries[place] = 0;
        b->alive[place] = place;
    }
    const size_t before = b->plan->routed.n_steps;
    RAD_TRY(build_prefill(b, first, n, err));
    int32_t n_alive = keep_alive(b, first, n, 0);
    for (int64_t step = 0; n_alive > 0; n_alive = keep_alive(b, first, n_alive, ++step)) {
        for (int32_t i = 0; i < n_alive; i++) {
            const struct rad_replay_seq *seq = seq_at(b, first, b->alive[i]);
            add_token(b, seq->first + seq->n_prefill + step, b->alive[i], false);
        }
        RAD_TRY(flush(b, RAD_PHASE_DECODE, b->plan->routed.n_steps == before, n_alive, err));
    }
    b->plan->info.n_batch++;
    return RAD_OK;
}

static enum rad_status open_walk(struct build *b, struct rad_err *err)
{
    const struct rad_card *from = &b->in.run->card, *to = &b->plan->routed.card;
    const int32_t batch = b->opt->batch;
    b->repeat = malloc((size_t)from->n_layer * sizeof *b->repeat);
    b->entries = malloc((size_t)batch * sizeof *b->entries);
    b->alive = malloc((size_t)batch * sizeof *b->alive);
    if (b->repeat == NULL || b->entries == NULL || b->alive == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate a batch of %d", batch);
    RAD_TRY(rad_replay_layer_repeats(b->repeat, &b->in, to->n_layer, err));
    const struct rad_walk_options options = {
        .batcher = b->batcher,
        .program = &b->plan->routed,
        .n_layer = from->n_layer,
        .n_hop = b->seqs.max_visits,
        .repeat = b->repeat,
        .has_router = b->in.run->has_router,
    };
    return rad_walk_open(&b->walk, &options, err);
}

/* Check the options against the trace; sequences, paths and batches are known afterwards. */
static enum rad_status prepare(struct build *b, struct rad_err *err)
{
    const struct rad_replay_options *opt = b->opt;
    const struct rad_trace_run *run = b->in.run;
    rad_plan *plan = b->plan;
    struct rad_card card, shard;
    struct rad_parallel parallel;
    RAD_TRY(rad_card_check(&run->card, err));
    RAD_TRY(rad_replay_card(&card, &plan->transplanted, run, opt->card, err));
    RAD_TRY(rad_card_check(&card, err));
    RAD_TRY(rad_batcher_choose(&b->batcher, opt->batcher, run->forward_only, err));
    RAD_TRY(rad_parallel_open(&parallel, &shard, &card, opt, run->forward_only, err));
    plan->info.card = card;
    rad_program_init(&plan->routed, &shard, &parallel, opt->dtype);
    rad_program_init(&plan->dense, &shard, &parallel, opt->dtype);
    RAD_TRY(rad_replay_sequences(&b->seqs, &b->in, opt->phase, err));
    RAD_TRY(rad_replay_order(opt, b->seqs.n, &b->order, &b->n_place, err));
    if (opt->kv != NULL) {
        RAD_TRY(rad_replay_rekey(&b->paths, &b->in, b->seqs.max_visits, *opt->kv, err));
        b->in.tokens = b->paths.tokens;
        b->in.hops = b->paths.hops;
        b->in.n_hop = b->paths.n_hop;
    }
    plan->kv_recomputed = b->paths.changed;
    plan->resampled = b->n_place > b->seqs.n;
    return open_walk(b, err);
}

static bool has_source(const struct rad_trace_run *run, const char *source)
{
    return run->source != NULL && strcmp(run->source, source) == 0;
}

/* Has the routing its model's quality? Not without a model, nor on another card. */
static double nll_of(const rad_plan *plan, const struct rad_trace_run *run)
{
    return plan->transplanted || has_source(run, "synth") ? (double)NAN : run->nll;
}

static void finish(struct build *b)
{
    rad_plan *plan = b->plan;
    struct rad_plan_info *info = &plan->info;
    const struct rad_walk_sum sum = rad_walk_sum(b->walk);
    rad_program_finish(&plan->routed);
    rad_program_finish(&plan->dense);
    const struct rad_program *p = &plan->routed;
    info->batcher = b->batcher->name;
    info->tp = p->parallel.tp;
    info->pp = p->parallel.pp;
    info->dtype = p->dtype;
    info->weight_share = p->parallel.layer_weight_bytes / p->parallel.weight_bytes;
    info->rate = b->opt->rate;
    info->kv = b->opt->kv != NULL ? *b->opt->kv : b->in.run->kv;
    info->n_seq = b->n_place;
    info->n_step = info->n_prefill_step + info->n_decode_step;
    info->n_token = info->n_prefill_token + info->n_decode_token;
    info->n_visit = sum.visits;
    info->n_group = p->sum.n_group;
    info->n_launch = p->sum.n_launch;
    info->group_tokens = p->sum.group_tokens;
    info->n_shape = (int64_t)p->n_shapes;
    info->n_op = (int64_t)(p->n_ops + p->n_key_ops);
    info->dense_n_op = (int64_t)(plan->dense.n_ops + plan->dense.n_key_ops);
    plan->mean_depth = sum.half_visits / 2.0 / (double)info->n_token;
    plan->kv_cache_bytes_peak = (double)b->peak * 2.0 * (double)p->card.n_kv * info->tp *
                                (double)p->card.d_head * rad_dtype_bytes(p->dtype);
    plan->device_bytes_peak =
        rad_parallel_device_bytes(&p->parallel, &p->card, plan->kv_cache_bytes_peak / info->tp);
    plan->transplanted = plan->transplanted || has_source(b->in.run, "transplant");
    plan->nll = nll_of(plan, b->in.run);
    plan->complete_trace = b->in.complete;
}

static enum rad_status build_all(struct build *b, struct rad_err *err)
{
    RAD_TRY(prepare(b, err));
    for (int64_t first = 0; first < b->n_place; first += b->opt->batch) {
        const int64_t left = b->n_place - first;
        const int32_t n = left < b->opt->batch ? (int32_t)left : b->opt->batch;
        RAD_TRY(build_batch(b, first, n, err));
    }
    finish(b);
    return RAD_OK;
}

enum rad_status rad_plan_build_from(rad_plan **out, const struct rad_replay_input *in,
                                    const struct rad_replay_options *opt, struct rad_err *err)
{
    *out = NULL;
    struct build b = {.opt = opt, .in = *in, .plan = calloc(1, sizeof **out)};
    if (b.plan == NULL)
        return rad_fail(err, RAD_E_NOMEM, "plan: cannot allocate");
    const enum rad_status status = build_all(&b, err);
    rad_replay_paths_free(&b.paths);
    rad_walk_close(b.walk);
    free(b.seqs.seq);
    free(b.order);
    free(b.repeat);
    free(b.entries);
    free(b.alive);
    if (status != RAD_OK)
        rad_plan_free(b.plan);
    else
        *out = b.plan;
    return status;
}

enum rad_status rad_plan_build(rad_plan **out, const rad_trace *trace,
                               const struct rad_replay_options *opt, struct rad_err *err)
{
    const struct rad_replay_input in = {
        .run = rad_trace_run(trace),
        .tokens = rad_trace_tokens(trace),
        .hops = rad_trace_hops(trace),
        .n_token = rad_trace_n_token(trace),
        .n_hop = rad_trace_n_hop(trace),
        .complete = rad_trace_complete(trace),
    };
    return rad_plan_build_from(out, &in, opt, err);
}

void rad_plan_free(rad_plan *plan)
{
    if (plan == NULL)
        return;
    rad_program_free(&plan->routed);
    rad_program_free(&plan->dense);
    free(plan);
}

const struct rad_plan_info *rad_plan_info(const rad_plan *plan)
{
    return &plan->info;
}
