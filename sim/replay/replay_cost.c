/* replay_cost.c - a program through a machine.
 *
 *   time of a base  = sum of its operations            time of a shape = its base + its attention
 *   time of a step  = sum over its items of repeat * (shape + layer overhead) + step overhead
 *   energy          = sum over operations of count * (dynamic + memory + static)
 *                     + static power * overheads
 *
 * With several devices (parallel.h) operations are those of one of tp * pp; what they send each
 * other adds to the time of bases and steps; energies and money are those of all devices.
 *
 * The interval of the speedup: ln(dense / routed) moves with what residuals of operations have in
 * common, as far as the two runs do not share it (hw/hw_residual.h); overheads err as the closed
 * forms of their class do, in both alike.
 *
 * Sums run over bases, shapes and steps in the order of the program, so that a result does not
 * depend on threads. Rounding differs from adding up operation by operation by a few parts in 1e14
 * (tests/laws). */
#include "replay/plan.h"

#include "base/stat.h"

#include <math.h>
#include <stdlib.h>

/* What costing a program gives. */
struct total {
    double bound_s[RAD_N_BOUND]; /* time by what bounds it */
    double dynamic_j, memory_j, static_j;
    double router_s, overhead_s, link_s; /* parts of the time */
    double prefill_s, decode_s, first_s;
    int64_t n_first, n_decode;
};

/* Room for one program: the only allocation of a call, shared by both programs. */
struct scratch {
    double *base_s, *shape_s, *step_s;  /* [n_bases] [n_shapes] [n_steps], decode steps only */
    struct rad_residual_sum *residuals; /* of both, or NULL */
    int side;                           /* 0: dense, 1: routed */
    struct rad_hw_ask ask;
};

struct ops {
    const struct rad_op *op; /* [n] */
    uint32_t n;
    double count; /* times run */
};

/* Add `count` runs of operations; *time_s is that of one run. */
static enum rad_status cost_ops(const struct ops *of, const rad_hw *hw, const struct scratch *s,
                                struct total *sum, double *time_s, struct rad_err *err)
{
    const struct rad_op *ops = of->op;
    const double count = of->count;
    *time_s = 0;
    for (uint32_t i = 0; i < of->n; i++) {
        struct rad_prediction p;
        RAD_TRY(rad_hw_predict_as(hw, &ops[i], &s->ask, &p, err));
        const struct rad_cost c = p.cost;
        if (s->residuals != NULL && count > 0) {
            struct rad_residual r;
            rad_hw_residual(hw, &ops[i], &p, &r);
            rad_residual_add(s->residuals, &r, s->side, count * c.time_s);
        }
        *time_s += c.time_s;
        sum->bound_s[c.bound] += count * c.time_s;
        sum->dynamic_j += count * c.dynamic_j;
        sum->memory_j += count * c.memory_j;
        sum->static_j += count * c.static_j;
        sum->overhead_s += count * (ops[i].kind == RAD_OP_GATHER ? c.time_s : c.overhead_s);
    }
    return RAD_OK;
}

/* Add what `count` runs of transfers cost to the sums. */
static void add_transfers(struct total *sum, const struct rad_cost *c, double count)
{
    sum->link_s += count * c->time_s;
    sum->bound_s[RAD_BOUND_LINK] += count * c->time_s;
    sum->memory_j += count * c->memory_j;
    sum->static_j += count * c->static_j;
}

/* What tensor parallel devices send each other in a base; *time_s grows. */
static enum rad_status cost_links(const struct rad_program *p, const struct rad_base *b,
                                  const rad_hw *hw, struct total *sum, double *time_s,
                                  struct rad_err *err)
{
    const struct rad_parallel *of = &p->parallel;
    const double tp = of->tp;
    struct rad_cost c = {.time_s = 0.0};
    if (of->tp == 1 || b->work == RAD_WORK_ROUTER)
        return RAD_OK;
    const bool layer = b->work == RAD_WORK_LAYER, head = b->work == RAD_WORK_HEAD;
    const struct rad_link first = {head ? "allgather" : "allreduce",
                                   head    ? b->m * of->logit_bytes
                                   : layer ? b->m_attn * of->row_bytes
                                           : b->m * of->row_bytes,
                                   tp};
    const struct rad_link second = {"allreduce", layer ? b->m_mlp * of->row_bytes : 0.0, tp};
    RAD_TRY(rad_parallel_transfer(hw, &first, &c, err));
    RAD_TRY(rad_parallel_transfer(hw, &second, &c, err));
    add_transfers(sum, &c, b->count);
    *time_s += c.time_s;
    return RAD_OK;
}

static enum rad_status cost_shapes(const struct rad_program *p, const rad_hw *hw,
                                   const struct scratch *s, struct total *sum, struct rad_err *err)
{
    const double layer_s = rad_hw_layer_overhead_s(hw);
    for (size_t i = 0; i < p->n_bases; i++) {
        const struct rad_base *b = &p->bases[i];
        double *time_s = &s->base_s[i];
        RAD_TRY(cost_ops(&(struct ops){p->ops + b->op_first, b->n_op, b->count}, hw, s, sum, time_s,
                         err));
        RAD_TRY(cost_links(p, b, hw, sum, time_s, err));
        if (b->work == RAD_WORK_ROUTER)
            sum->router_s += b->count * *time_s;
    }
    for (size_t i = 0; i < p->n_shapes; i++) {
        const struct rad_shape *shape = &p->shapes[i];
        double *time_s = &s->shape_s[i];
        RAD_TRY(cost_ops(&(struct ops){p->key_ops + shape->key_first, shape->n_key, shape->count},
                         hw, s, sum, time_s, err));
        *time_s += s->base_s[shape->base];
        if (shape->work == RAD_WORK_LAYER)
            *time_s += layer_s;
    }
    return RAD_OK;
}

/* Send the rows of a step from stage to stage; *time_s grows. */
static enum rad_status cost_stages(const struct rad_program *p, const rad_hw *hw, double rows,
                                   struct total *sum, double *time_s, struct rad_err *err)
{
    const struct rad_link link = {"sendrecv", rows * p->parallel.row_bytes, 2};
    const double count = p->parallel.pp - 1;
    struct rad_cost c = {.time_s = 0.0};
    if (p->parallel.pp == 1)
        return RAD_OK;
    RAD_TRY(rad_parallel_transfer(hw, &link, &c, err));
    add_transfers(sum, &c, count);
    *time_s += count * c.time_s;
    return RAD_OK;
}

static void add_step(struct total *sum, const struct rad_step *step, const struct scratch *s,
                     double time_s)
{
    if (step->phase == RAD_PHASE_DECODE) {
        s->step_s[sum->n_decode++] = time_s;
        sum->decode_s += time_s;
    } else {
        sum->prefill_s += time_s;
    }
    if (step->first) {
        sum->first_s += time_s;
        sum->n_first++;
    }
}

static enum rad_status cost_steps(const struct rad_program *p, const rad_hw *hw,
                                  const struct scratch *s, struct total *sum, struct rad_err *err)
{
    const double step_overhead_s = rad_hw_step_overhead_s(hw);
    size_t item = 0;
    for (size_t i = 0; i < p->n_steps; i++) {
        double time_s = step_overhead_s, rows = 0.0;
        for (; item < p->steps[i].item_end; item++) {
            const struct rad_shape *shape = &p->shapes[p->items[item].shape];
            time_s += p->items[item].repeat * s->shape_s[p->items[item].shape];
            rows += shape->work == RAD_WORK_EMBED ? shape->m : 0.0;
        }
        RAD_TRY(cost_stages(p, hw, rows, sum, &time_s, err));
        add_step(sum, &p->steps[i], s, time_s);
    }
    return RAD_OK;
}

static enum rad_status cost_program(const struct rad_program *p, const rad_hw *hw,
                                    const struct scratch *s, struct total *sum, struct rad_err *err)
{
    *sum = (struct total){0};
    RAD_TRY(cost_shapes(p, hw, s, sum, err));
    RAD_TRY(cost_steps(p, hw, s, sum, err));
    const double each_s[2] = {p->sum.n_launch * rad_hw_layer_overhead_s(hw),
                              (double)p->n_steps * rad_hw_step_overhead_s(hw)};
    const double idle_s = each_s[0] + each_s[1];
    for (int i = 0; s->residuals != NULL && i < 2; i++) {
        struct rad_residual r;
        rad_hw_residual_overhead(hw, i, &r);
        rad_residual_add(s->residuals, &r, s->side, each_s[i] + (i == 0 ? sum->link_s : 0.0));
    }
    sum->bound_s[RAD_BOUND_OVERHEAD] += idle_s;
    sum->overhead_s += idle_s;
    sum->static_j += idle_s * rad_hw_static_w(hw);
    sum->dynamic_j *= p->parallel.tp;
    sum->memory_j *= p->parallel.tp;
    sum->static_j *= p->parallel.tp * p->parallel.pp; /* stages that wait draw it too */
    return RAD_OK;
}

static enum rad_bound largest(const double bound_s[RAD_N_BOUND])
{
    int best = 0;
    for (int i = 1; i < RAD_N_BOUND; i++)
        if (bound_s[i] > bound_s[best])
            best = i;
    return (enum rad_bound)best;
}

static double energy(const struct total *t)
{
    return t->dynamic_j + t->memory_j + t->static_j;
}

/* Seconds, joules, dollars of the routed program. step_s holds its decode steps; sorted here. */
static void fill_costs(struct rad_replay_result *r, const struct total *t, const rad_hw *hw,
                       const struct rad_plan_info *info, double *step_s)
{
    const double devices = info->tp * info->pp;
    const size_t n = (size_t)t->n_decode;
    r->prefill_s = t->prefill_s;
    r->decode_s = t->decode_s;
    r->latency_s = t->prefill_s + t->decode_s;
    r->ttft_s = t->first_s / (double)t->n_first;
    rad_sort_doubles(step_s, n);
    r->tpot_s = n > 0 ? t->decode_s / (double)n : (double)NAN;
    r->tpot_s_p50 = rad_quantile(step_s, n, 0.5);
    r->tpot_s_p99 = rad_quantile(step_s, n, 0.99);
    r->tokens_per_s = r->tokens / r->latency_s;
    r->energy_j = energy(t);
    r->dynamic_j = t->dynamic_j;
    r->memory_j = t->memory_j;
    r->static_j = t->static_j;
    r->j_per_token = r->energy_j / r->tokens;
    r->cost_usd = devices * r->latency_s / 3600.0 * rad_hw_usd_per_hour(hw);
    r->usd_per_mtok = r->cost_usd / r->tokens * 1e6;
    r->owned_usd = devices * r->latency_s / 3600.0 * rad_hw_owned_usd_per_hour(hw) +
                   r->energy_j * rad_hw_usd_per_joule(hw);
    r->owned_usd_per_mtok = r->owned_usd / r->tokens * 1e6;
    r->router_s = t->router_s;
    r->overhead_s = t->overhead_s;
    r->link_s = t->link_s;
    r->device_memory_frac = r->device_bytes_peak / rad_hw_memory_bytes(hw);
    r->bound_kind = largest(t->bound_s);
}

/* What no machine changes. */
static void fill_counts(struct rad_replay_result *r, const rad_plan *plan)
{
    const struct rad_program_sum *sum = &plan->routed.sum, *dense = &plan->dense.sum;
    const double n_step = (double)plan->info.n_step;
    r->tokens = (double)plan->info.n_token;
    const double tp = plan->info.tp;
    r->flop = sum->flop * tp;
    r->weight_bytes = sum->weight_bytes * tp;
    r->kv_bytes = sum->kv_bytes * tp;
    r->act_bytes = sum->act_bytes * tp;
    r->kv_cache_bytes_peak = plan->kv_cache_bytes_peak;
    r->device_bytes_peak = plan->device_bytes_peak;
    r->mean_depth = plan->mean_depth;
    r->depth_frac = plan->mean_depth / plan->info.card.n_layer;
    r->layer_loads_per_step = sum->layer_loads / n_step;
    r->nll = plan->nll;
    r->dense_layer_loads_per_step = dense->layer_loads / n_step;
    r->flop_frac = sum->flop / dense->flop;
    r->weight_bytes_frac = sum->weight_bytes / dense->weight_bytes;
    r->layer_weight_bytes_frac = sum->layer_weight_bytes / dense->layer_weight_bytes;
    r->transplanted = plan->transplanted;
    r->kv_recomputed = plan->kv_recomputed;
    r->resampled = plan->resampled;
    r->complete_trace = plan->complete_trace;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Cells for the residuals of n operations; most share their parts with others. */
static size_t cells_for(size_t n)
{
    size_t size = 1024;
    while (size < 2 * n)
        size *= 2;
    return size;
}

static double *scratch_open(struct scratch *s, struct rad_residual_sum *residuals,
                            const rad_plan *plan)
{
    const struct rad_program *a = &plan->routed, *b = &plan->dense;
    const size_t n_base = larger(a->n_bases, b->n_bases);
    const size_t n_shape = larger(a->n_shapes, b->n_shapes);
    const size_t n_double = n_base + n_shape + a->n_steps;
    const size_t size = cells_for(a->n_ops + a->n_key_ops + b->n_ops + b->n_key_ops);
    double *room = malloc(n_double * sizeof *room + size * sizeof *residuals->cell);
    if (room == NULL)
        return NULL;
    *residuals = (struct rad_residual_sum){.cell = (void *)(room + n_double), .size = size};
    rad_residual_clear(residuals);
    *s = (struct scratch){room, room + n_base,          room + n_base + n_shape, residuals,
                          0,    {NULL, plan->info.rate}};
    return room;
}

/* Tokens pass through the stages of the layers that they skip: the time is that of the dense run,
 * the energy of arithmetic and bytes stays that of the routed one. */
static enum rad_status pass_all_stages(const rad_plan *plan, const rad_hw *hw, struct scratch *s,
                                       struct total *t, struct rad_err *err)
{
    s->residuals = NULL; /* the same time to the last operation: a ratio without an error */
    const double dynamic_j = t->dynamic_j, memory_j = t->memory_j, router_s = t->router_s;
    RAD_TRY(cost_program(&plan->dense, hw, s, t, err));
    t->dynamic_j = dynamic_j;
    t->memory_j = memory_j;
    t->router_s = router_s;
    return RAD_OK;
}

static void fill_speedup(struct rad_replay_result *r, const struct rad_residual_sum *residuals)
{
    const double total_s[2] = {r->dense_latency_s, r->latency_s};
    const double sd = residuals != NULL ? rad_residual_ratio_sd(residuals, total_s) : 0.0;
    const double wide = exp(RAD_RESIDUAL_Z80 * sd);
    r->speedup = r->dense_latency_s / r->latency_s;
    r->speedup_lo = r->speedup / wide;
    r->speedup_hi = r->speedup * wide;
}

/* A result of zero latency would mean a machine that costs nothing: refused by profiles. */
static enum rad_status cost(struct rad_replay_result *r, const rad_plan *plan, const rad_hw *hw,
                            struct scratch *s, struct rad_err *err)
{
    struct total t, dense;
    RAD_TRY(cost_program(&plan->dense, hw, s, &dense, err));
    r->dense_latency_s = dense.prefill_s + dense.decode_s;
    r->dense_energy_j = energy(&dense);
    s->side = 1;
    RAD_TRY(cost_program(&plan->routed, hw, s, &t, err));
    if (rad_hw_skips_pay(hw) && t.prefill_s + t.decode_s < r->dense_latency_s)
        RAD_TRY(pass_all_stages(plan, hw, s, &t, err));
    fill_costs(r, &t, hw, &plan->info, s->step_s);
    fill_speedup(r, s->residuals);
    return RAD_OK;
}

enum rad_status rad_replay_cost(const rad_plan *plan, const rad_hw *hw,
                                struct rad_replay_result *out, struct rad_err *err)
{
    struct scratch s;
    struct rad_residual_sum residuals;
    double *room = scratch_open(&s, &residuals, plan);
    if (room == NULL)
        return rad_fail(err, RAD_E_NOMEM, "replay: cannot allocate the times of %zu steps",
                        plan->routed.n_steps);
    *out = (struct rad_replay_result){0};
    fill_counts(out, plan);
    const enum rad_status status = cost(out, plan, hw, &s, err);
    free(room);
    return status;
}
