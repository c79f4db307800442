/* grouped.c - see grouped.h. */
#include "hw/grouped.h"

static void add(struct rad_cost *to, const struct rad_cost *c, double count)
{
    to->time_s += count * c->time_s;
    to->compute_s += count * c->compute_s;
    to->memory_s += count * c->memory_s;
    to->overhead_s += count * c->overhead_s;
    to->dynamic_j += count * c->dynamic_j;
    to->memory_j += count * c->memory_j;
}

/* Groups of m / G rows, the first m % G of them with one more. */
static enum rad_status one_after_the_other(const struct rad_hw_model *model, const void *params,
                                           const struct rad_op *op, struct rad_cost *out)
{
    const int64_t groups = op->groups, few = op->m / groups, more = op->m % groups;
    const int64_t rows[2] = {few, few + 1}, count[2] = {groups - more, more};
    for (int i = 0; i < 2; i++) {
        struct rad_cost c = {0};
        if (count[i] == 0 || rows[i] == 0)
            continue;
        struct rad_op one = rad_op_gemm(rows[i], op->n, op->k, op->dtype);
        const double share = (double)rows[i] / (double)op->m;
        one.flop = op->flop * share;
        one.act_bytes = op->act_bytes * share;
        one.kv_bytes = op->kv_bytes * share;
        one.weight_bytes = op->weight_bytes / (double)groups;
        one.weight_set_bytes = op->weight_set_bytes;
        const enum rad_status status = model->cost(params, &one, &c);
        if (status != RAD_OK)
            return status;
        add(out, &c, (double)count[i]);
    }
    return RAD_OK;
}

static enum rad_status products(const struct rad_hw_model *model, const void *params,
                                const struct rad_op *op, struct rad_cost *out)
{
    struct rad_cost c = {0};
    if (op->groups > 1 && !model->grouped)
        return one_after_the_other(model, params, op, out);
    const enum rad_status status = model->cost(params, op, &c);
    if (status == RAD_OK)
        add(out, &c, 1.0);
    return status;
}

enum rad_status rad_grouped_cost(const struct rad_hw_model *model, const void *params,
                                 const struct rad_op *op, struct rad_cost *out)
{
    *out = (struct rad_cost){0};
    if (op->mid == 0)
        return products(model, params, op, out);
    const double each = op->weight_bytes / rad_op_weights(op); /* bytes of a weight */
    struct rad_op part[3] = {rad_op_grouped(op->m, op->up, op->k, (int32_t)op->groups, op->dtype),
                             rad_op_vector(RAD_OP_ACT, op->m, op->mid, op->dtype),
                             rad_op_grouped(op->m, op->n, op->mid, (int32_t)op->groups, op->dtype)};
    part[1].act_bytes *= op->up > op->mid ? 1.0 : 2.0 / 3.0; /* gated: two inputs */
    enum rad_status status = RAD_OK;
    for (int i = 0; i < 3 && status == RAD_OK; i++) {
        part[i].weight_bytes = i == 1 ? 0.0 : each * rad_op_weights(&part[i]);
        part[i].weight_set_bytes = op->weight_set_bytes;
        status = products(model, params, &part[i], out);
    }
    return status;
}
