/* law.c - the registry of laws, and operations as laws see them. */
#include "hw/law.h"

#include <string.h>

#define RAD_LAW(name) extern const struct rad_law rad_law_##name;
#include "hw/laws.def"
#undef RAD_LAW

static const struct rad_law *const registry[] = {
#define RAD_LAW(name) &rad_law_##name,
#include "hw/laws.def"
#undef RAD_LAW
};

/* Classes and the laws that cost them. */
static const struct {
    const char *name;
    const struct rad_law *law;
} classes[] = {
    {"gemm", &rad_law_gemm},      {"decode", &rad_law_decode},   {"prefill", &rad_law_prefill},
    {"norm", &rad_law_vector},    {"act", &rad_law_vector},      {"gelu", &rad_law_vector},
    {"add", &rad_law_vector},     {"rope", &rad_law_vector},     {"gather", &rad_law_vector},
    {"embed", &rad_law_vector},   {"softmax", &rad_law_vector},  {"allreduce", &rad_law_link},
    {"allgather", &rad_law_link}, {"alltoall", &rad_law_link},   {"reducescatter", &rad_law_link},
    {"sendrecv", &rad_law_link},  {"grouped", &rad_law_grouped}, {"sample", &rad_law_vector},
};

const struct rad_law *rad_law_find(const char *name)
{
    for (size_t i = 0; i < sizeof registry / sizeof registry[0]; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

const struct rad_law *rad_law_of_class(const char *class_name)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i].name, class_name) == 0)
            return classes[i].law;
    return NULL;
}

const char *rad_work_class(const struct rad_op *op)
{
    if (op->kind == RAD_OP_ATTEND)
        return op->m > (op->n_seq > 0 ? op->n_seq : 1) ? "prefill" : "decode";
    if (op->kind == RAD_OP_GEMM && (op->groups > 1 || op->mid > 0))
        return "grouped";
    if (op->kind != RAD_OP_ACT)
        return rad_op_kind_name(op->kind);
    const double moved = op->act_bytes / ((double)op->m * (double)op->n);
    return moved < 2.5 * rad_dtype_bytes(op->dtype) ? "gelu" : "act";
}

struct rad_work rad_work_of(const struct rad_op *op)
{
    const double m = (double)op->m, batch = op->n_seq > 0 ? (double)op->n_seq : 1.0;
    return (struct rad_work){
        .m = m,
        .n = (double)op->n,
        .k = (double)op->k,
        .groups = op->groups > 1 ? (double)op->groups : 1.0,
        .up = (double)op->up,
        .mid = (double)op->mid,
        .batch = batch,
        /* n queries that end at key c attend n c - n (n - 1) / 2 keys */
        .keys = (double)op->n_keys / (m > 0.0 ? m : 1.0) + (m / batch - 1.0) / 2.0,
        .heads = op->heads,
        .kv_heads = op->kv_heads,
        .head_dim = op->head_dim,
        .flop = op->flop,
        .weight_bytes = op->weight_bytes,
        .act_bytes = op->act_bytes,
        .kv_bytes = op->kv_bytes,
    };
}
