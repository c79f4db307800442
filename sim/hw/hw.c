/* hw.c - the values of a profile and the cost of one operation. */
#include "hw/hw.h"

#include "hw/hw_profile.h"

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
    return op->n > 0 && (op->kind != RAD_OP_GEMM || op->k > 0);
}

/* Add static energy; slow the clock where the power limit asks for it; name the bound. */
static void finish_cost(const struct machine *m, struct rad_cost *c)
{
    const double limit_s = (c->dynamic_j + c->memory_j) / (m->tdp_w - m->static_w);
    if (limit_s > c->time_s) {
        c->time_s = limit_s;
        c->compute_s = fmax(c->compute_s, limit_s - c->overhead_s);
    }
    c->static_j = m->static_w * c->time_s;
    c->bound = c->compute_s >= c->memory_s ? RAD_BOUND_COMPUTE : RAD_BOUND_MEMORY;
    if (c->overhead_s > fmax(c->compute_s, c->memory_s))
        c->bound = RAD_BOUND_OVERHEAD;
}

static enum rad_status refuse(const rad_hw *hw, const struct rad_op *op, struct rad_err *err)
{
    char list[64] = "";
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        if (!rad_hw_supports(hw, (enum rad_dtype)i))
            continue;
        strcat(list, list[0] != '\0' ? " " : "");
        strcat(list, rad_dtype_name((enum rad_dtype)i)); /* six names: 30 bytes */
    }
    return rad_fail(err, RAD_E_UNSUPPORTED, "profile '%s': expected one of %s but found %s",
                    hw->name, list, rad_dtype_name(op->dtype));
}

enum rad_status rad_hw_cost(const rad_hw *hw, const struct rad_op *op, struct rad_cost *out,
                            struct rad_err *err)
{
    *out = (struct rad_cost){0};
    if (!op_is_whole(op))
        return rad_fail(err, RAD_E_ARG, "operation '%s': expected positive extents",
                        rad_op_kind_name(op->kind));
    if (hw->model->cost(hw->params, op, out) != RAD_OK)
        return refuse(hw, op, err);
    finish_cost(&hw->machine, out);
    return RAD_OK;
}
