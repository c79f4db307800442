/* hw.c - the values of a profile and the cost of one operation. */
#include "hw/hw.h"

#include "hw/grouped.h"
#include "hw/hw_profile.h"
#include "hw/roof.h"

#include <math.h>
#include <string.h>

static const char *const bound_names[RAD_N_BOUND] = {
    [RAD_BOUND_COMPUTE] = "compute",
    [RAD_BOUND_MEMORY] = "memory",
    [RAD_BOUND_OVERHEAD] = "overhead",
    [RAD_BOUND_LINK] = "link",
};

const char *rad_bound_name(enum rad_bound bound)
{
    return (unsigned)bound < RAD_N_BOUND ? bound_names[bound] : "unknown";
}

static const char *const rate_names[RAD_N_RATE] = {"sustained", "burst"};

const char *rad_rate_name(enum rad_rate rate)
{
    return (unsigned)rate < RAD_N_RATE ? rate_names[rate] : "unknown";
}

enum rad_status rad_rate_parse(const char *name, enum rad_rate *out, struct rad_err *err)
{
    for (int i = 0; i < RAD_N_RATE; i++)
        if (strcmp(name, rate_names[i]) == 0) {
            *out = (enum rad_rate)i;
            return RAD_OK;
        }
    return rad_fail(err, RAD_E_ARG, "rate: expected sustained or burst but found '%.32s'", name);
}

const char *rad_hw_name(const rad_hw *hw)
{
    return hw->name;
}

const char *rad_hw_about(const rad_hw *hw)
{
    return hw->about;
}

const char *rad_hw_text(const rad_hw *hw)
{
    return hw->text;
}

const char *rad_hw_hash(const rad_hw *hw)
{
    return hw->hash;
}

const struct rad_hw_model *rad_hw_model(const rad_hw *hw)
{
    return hw->model;
}

const void *rad_hw_params(const rad_hw *hw)
{
    return hw->params;
}

const void *rad_hw_machine(const rad_hw *hw)
{
    return &hw->machine;
}

double rad_hw_usd_per_hour(const rad_hw *hw)
{
    return hw->machine.usd_per_hour;
}

double rad_hw_memory_bytes(const rad_hw *hw)
{
    return hw->machine.memory_bytes;
}

double rad_hw_layer_overhead_s(const rad_hw *hw)
{
    return hw->machine.layer_overhead_s;
}

double rad_hw_step_overhead_s(const rad_hw *hw)
{
    return hw->machine.step_overhead_s;
}

double rad_hw_static_w(const rad_hw *hw)
{
    return hw->machine.static_w;
}

double rad_hw_tdp_w(const rad_hw *hw)
{
    return hw->machine.tdp_w;
}

double rad_hw_owned_usd_per_hour(const rad_hw *hw)
{
    const struct machine *m = &hw->machine;
    return rad_price_capital_usd_per_hour(&hw->own, m->memory_bytes, m->tdp_w);
}

double rad_hw_usd_per_joule(const rad_hw *hw)
{
    return hw->own.pue * hw->own.kwh_usd / 3.6e6;
}

const struct rad_param *rad_hw_own_params(void)
{
    return rad_price_own_params;
}

const void *rad_hw_own(const rad_hw *hw)
{
    return &hw->own;
}

bool rad_hw_is_measured(const rad_hw *hw)
{
    return hw->measured;
}

const char *rad_hw_energy_basis(const rad_hw *hw)
{
    return rad_energy_basis_name(hw->energy);
}

double rad_hw_error_frac(const rad_hw *hw)
{
    const double by_class = hw->model->error_frac > 0.0 ? hw->model->error_frac : 0.35;
    return isnan(hw->machine.error_frac) ? by_class : hw->machine.error_frac;
}

bool rad_hw_supports(const rad_hw *hw, enum rad_dtype dtype)
{
    return (unsigned)dtype < RAD_N_DTYPE && hw->model->supports(hw->params, dtype);
}

enum rad_dtype rad_hw_default_dtype(const rad_hw *hw)
{
    static const enum rad_dtype order[] = {RAD_F16, RAD_BF16, RAD_F32, RAD_INT8};
    if (strcmp(hw->model->name, "cpu") == 0 && rad_hw_supports(hw, RAD_F32))
        return RAD_F32;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (rad_hw_supports(hw, order[i]))
            return order[i];
    return RAD_F16;
}

double rad_hw_link_j(const rad_hw *hw, double bytes)
{
    return bytes * hw->machine.link_byte_j;
}

bool rad_hw_skips_pay(const rad_hw *hw)
{
    return hw->model->skips_pay != NULL && hw->model->skips_pay(hw->params);
}

bool rad_hw_link_time(const rad_hw *hw, const char *kind, double bytes, double ranks,
                      double *time_s)
{
    return hw->model->link != NULL && bytes > 0.0 && ranks >= 2.0 &&
           hw->model->link(hw->params, kind, bytes, ranks, time_s);
}

/* ---- cost ------------------------------------------------------------------------------ */

static bool op_is_whole(const struct rad_op *op)
{
    if ((unsigned)op->kind >= RAD_N_OP_KIND || (unsigned)op->dtype >= RAD_N_DTYPE || op->m <= 0)
        return false;
    if (op->kind == RAD_OP_ATTEND)
        return op->n_keys > 0 && op->head_dim > 0 && op->kv_heads > 0 && op->heads >= op->kv_heads;
    if (op->kind != RAD_OP_GEMM)
        return op->n > 0;
    return op->n > 0 && op->k > 0 && op->groups >= 0 && op->groups <= op->m && op->mid >= 0 &&
           op->up >= op->mid;
}

static void name_bound(struct rad_cost *c)
{
    c->bound = c->compute_s >= c->memory_s ? RAD_BOUND_COMPUTE : RAD_BOUND_MEMORY;
    if (c->overhead_s > fmax(c->compute_s, c->memory_s))
        c->bound = RAD_BOUND_OVERHEAD;
}

/* The clock drops until the part keeps its power limit. */
static void keep_limit(const struct machine *m, struct rad_cost *c)
{
    const double limit_s = (c->dynamic_j + c->memory_j) / (m->tdp_w - m->static_w);
    if (limit_s > c->time_s) {
        c->time_s = limit_s;
        c->compute_s = fmax(c->compute_s, limit_s - c->overhead_s);
    }
}

/* A sustained time as that of a burst: where the board draws from 0.90 to 0.97 of its limit, a
 * growing share of burst_gain, and all of it beyond. */
static void as_burst(const struct machine *m, double board_w, struct rad_cost *c)
{
    const double share = fmin(1.0, fmax(0.0, (board_w / m->tdp_w - 0.90) / 0.07));
    const double gain = 1.0 + share * (m->burst_gain - 1.0);
    c->time_s /= gain;
    c->compute_s = fmin(c->compute_s / gain, c->time_s);
    c->memory_s = fmin(c->memory_s, c->time_s);
    c->overhead_s = fmin(c->overhead_s, c->time_s);
}

/* Times of the closed form of a class, static energy, bound. The parameters of a profile with a
 * burst_gain were fitted to sustained runs. */
static void finish_cost(const struct machine *m, enum rad_rate rate, struct rad_cost *c)
{
    const double board_w = (c->dynamic_j + c->memory_j) / c->time_s + m->static_w;
    if (rate == RAD_RATE_SUSTAINED)
        keep_limit(m, c);
    else
        as_burst(m, board_w, c);
    c->static_j = m->static_w * c->time_s;
    name_bound(c);
}

static enum rad_status refuse(const rad_hw *hw, const struct rad_op *op, struct rad_err *err)
{
    char list[64] = "";
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        if (!rad_hw_supports(hw, (enum rad_dtype)i))
            continue;
        strcat(list, list[0] != '\0' ? " " : "");
        strcat(list, rad_dtype_name((enum rad_dtype)i)); /* seven names: 35 bytes */
    }
    return rad_fail(err, RAD_E_UNSUPPORTED, "profile '%s': expected one of %s but found %s",
                    hw->name, list, rad_dtype_name(op->dtype));
}

/* What a fit is asked about. */
struct question {
    const struct rad_work *work;
    enum rad_dtype dtype;
    enum rad_rate rate;
    const char *software; /* that the caller names, or NULL */
};

/* From the rate that the fit was measured at to the one that is asked for. */
static void at_rate(const rad_hw *hw, const struct rad_fit *fit, const struct question *q,
                    struct rad_cost *c)
{
    const bool sustained = fit->power.cap_w > 0.0;
    if (sustained && q->rate == RAD_RATE_BURST)
        as_burst(&hw->machine, rad_power_w(&fit->power, q->work, c->time_s), c);
    else if (!sustained && q->rate == RAD_RATE_SUSTAINED && hw->energy == RAD_ENERGY_BOARD)
        keep_limit(&hw->machine, c);
}

/* Times of the fit, and energies that sum to its board power or stay under the limit. */
static void use_fit(const rad_hw *hw, const struct rad_fit *fit, const struct question *q,
                    struct rad_prediction *out)
{
    const struct rad_work *work = q->work;
    struct rad_cost *c = &out->cost;
    struct rad_chip chip = {0};
    struct rad_law_time t;
    hw->model->chip(hw->params, q->dtype, &chip);
    rad_fit_time(fit, &chip, work, &t, &out->extrapolated);
    c->time_s = t.time_s;
    if (work->groups > 1.0) /* whatever a surface says */
        c->time_s = fmax(c->time_s, work->weight_bytes / chip.mem_bytes_per_s);
    c->compute_s = fmin(t.compute_s, t.time_s);
    c->memory_s = fmin(t.memory_s, t.time_s);
    c->overhead_s = fmin(t.overhead_s, t.time_s);
    at_rate(hw, fit, q, c);
    if (!rad_roof_is_own(fit, q->software))
        rad_roof_keep(&chip, work, c);
    c->static_j = hw->machine.static_w * c->time_s;
    const double room_j = hw->machine.tdp_w * c->time_s - c->static_j;
    const double moving_j = c->dynamic_j + c->memory_j;
    double want_j = fmin(moving_j, room_j);
    if (fit->power.cap_w > 0.0)
        want_j = fmin(room_j, rad_fit_power_w(fit, work, c->time_s) * c->time_s - c->static_j);
    want_j = fmax(want_j, 0.02 * room_j); /* more than idle */
    const double scale = moving_j > 0.0 ? want_j / moving_j : 0.0;
    c->dynamic_j *= scale;
    c->memory_j *= scale;
    const double wide = out->extrapolated ? 2.0 : 1.0; /* of the logarithm of the interval */
    out->lo_s = c->time_s * pow(fit->lo_ratio, wide);
    out->hi_s = c->time_s * pow(fit->hi_ratio, wide);
    out->data = fit->data;
    out->fit = fit;
    out->extrapolated = out->extrapolated || !(fit->rows > 0.0); /* the mean of other parts */
}

static const struct rad_fit *fit_for(const rad_hw *hw, const struct rad_op *op,
                                     const char *software)
{
    if (hw->n_fit == 0)
        return NULL;
    struct rad_chip chip = {0};
    hw->model->chip(hw->params, op->dtype, &chip);
    const double set = op->weight_set_bytes + op->act_bytes + op->kv_bytes;
    if (op->weight_set_bytes > 0.0 && set <= chip.l2_bytes)
        return NULL; /* kernels were measured with cold weights */
    const struct rad_fit_key key = {rad_work_class(op), rad_fit_format(op), software, op->head_dim};
    return rad_fit_find(hw->fits, hw->n_fit, &key);
}

enum rad_status rad_hw_predict_as(const rad_hw *hw, const struct rad_op *op,
                                  const struct rad_hw_ask *ask, struct rad_prediction *out,
                                  struct rad_err *err)
{
    *out = (struct rad_prediction){.extrapolated = true};
    if (!op_is_whole(op))
        return rad_fail(err, RAD_E_ARG, "operation '%s': expected positive extents",
                        rad_op_kind_name(op->kind));
    const bool plain = op->kind != RAD_OP_GEMM || (op->groups <= 1 && op->mid == 0);
    if ((plain ? hw->model->cost(hw->params, op, &out->cost)
               : rad_grouped_cost(hw->model, hw->params, op, &out->cost)) != RAD_OK)
        return refuse(hw, op, err);
    const struct rad_fit *fit = fit_for(hw, op, ask->software);
    if (fit == NULL) {
        finish_cost(&hw->machine, ask->rate, &out->cost);
        out->lo_s = out->cost.time_s / (1.0 + rad_hw_error_frac(hw));
        out->hi_s = out->cost.time_s * (1.0 + rad_hw_error_frac(hw));
        return RAD_OK;
    }
    const struct rad_work work = rad_work_of(op);
    use_fit(hw, fit, &(struct question){&work, op->dtype, ask->rate, ask->software}, out);
    name_bound(&out->cost);
    return RAD_OK;
}

enum rad_status rad_hw_predict(const rad_hw *hw, const struct rad_op *op, const char *software,
                               struct rad_prediction *out, struct rad_err *err)
{
    const struct rad_hw_ask ask = {software, RAD_RATE_SUSTAINED};
    return rad_hw_predict_as(hw, op, &ask, out, err);
}

enum rad_status rad_hw_cost(const rad_hw *hw, const struct rad_op *op, struct rad_cost *out,
                            struct rad_err *err)
{
    struct rad_prediction p;
    const enum rad_status status = rad_hw_predict(hw, op, NULL, &p, err);
    *out = p.cost;
    return status;
}

enum rad_status rad_hw_predict_link(const rad_hw *hw, const struct rad_link *link,
                                    const char *software, struct rad_prediction *out,
                                    struct rad_err *err)
{
    *out = (struct rad_prediction){.extrapolated = true};
    if (!(link->bytes > 0.0) || !(link->ranks >= 2.0))
        return rad_fail(err, RAD_E_ARG, "transfer: expected bytes and at least 2 ranks");
    const struct rad_fit_key key = {link->kind, "any", software, 0.0};
    const struct rad_fit *fit = rad_fit_find(hw->fits, hw->n_fit, &key);
    struct rad_cost *c = &out->cost;
    if (fit == NULL && rad_hw_link_time(hw, link->kind, link->bytes, link->ranks, &c->time_s)) {
        c->memory_s = c->time_s;
        c->memory_j = rad_hw_link_j(hw, link->bytes);
        c->static_j = hw->machine.static_w * c->time_s;
        c->bound = RAD_BOUND_LINK;
        out->lo_s = c->time_s / (1.0 + rad_hw_error_frac(hw));
        out->hi_s = c->time_s * (1.0 + rad_hw_error_frac(hw));
        return RAD_OK;
    }
    if (fit == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "profile '%s': no fit for transfers of kind '%.32s'", hw->name, link->kind);
    const struct rad_work work = {.bytes = link->bytes, .ranks = link->ranks};
    use_fit(hw, fit, &(struct question){&work, RAD_F32, RAD_RATE_SUSTAINED, software}, out);
    out->cost.bound = RAD_BOUND_LINK;
    return RAD_OK;
}
