/* op.c - work counts of single operations.
 *
 * m rows, n columns, k reduction; e = bytes of one element. */
#include "spec/spec.h"

static const char *const kind_names[RAD_N_OP_KIND] = {
    [RAD_OP_GEMM] = "gemm",     [RAD_OP_ATTEND] = "attend", [RAD_OP_NORM] = "norm",
    [RAD_OP_ACT] = "act",       [RAD_OP_ADD] = "add",       [RAD_OP_ROPE] = "rope",
    [RAD_OP_GATHER] = "gather", [RAD_OP_EMBED] = "embed",   [RAD_OP_SOFTMAX] = "softmax",
    [RAD_OP_SAMPLE] = "sample",
};

/* Work of one element of a vector operation in its commonest form: FLOP, and elements moved. */
static const struct {
    double flop, moved;
} vector_work[RAD_N_OP_KIND] = {
    [RAD_OP_NORM] = {4, 2}, /* x*x, sum, *scale, *weight; read and write */
    [RAD_OP_ACT] = {5, 3},  /* swiglu: exp, add, divide, two products; two inputs, one output */
    [RAD_OP_ADD] = {1, 3},  /* two inputs, one output */
    [RAD_OP_ROPE] = {3, 2}, /* four products and two sums per pair */
    [RAD_OP_GATHER] = {0, 2},  [RAD_OP_EMBED] = {0, 2},
    [RAD_OP_SOFTMAX] = {5, 2}, /* max, subtract, exp, sum, divide */
    [RAD_OP_SAMPLE] = {6, 3},  /* temperature, max, subtract, exp, sum, running sum */
};

const char *rad_op_kind_name(enum rad_op_kind kind)
{
    return (unsigned)kind < RAD_N_OP_KIND ? kind_names[kind] : "unknown";
}

struct rad_op rad_op_gemm(int64_t m, int64_t n, int64_t k, enum rad_dtype dtype)
{
    const double dm = (double)m, dn = (double)n, dk = (double)k, e = rad_dtype_bytes(dtype);
    return (struct rad_op){
        .kind = RAD_OP_GEMM,
        .dtype = dtype,
        .m = m,
        .n = n,
        .k = k,
        .flop = 2.0 * dm * dn * dk,
        .weight_bytes = dk * dn * e,
        .act_bytes = (dm * dk + dm * dn) * e,
    };
}

struct rad_op rad_op_grouped(int64_t m, int64_t n, int64_t k, int32_t groups, enum rad_dtype dtype)
{
    struct rad_op op = rad_op_gemm(m, n, k, dtype);
    op.groups = groups;
    op.weight_bytes *= groups > 1 ? (double)groups : 1.0;
    return op;
}

/* Between the products: their results written and read, and the activation. */
struct rad_op rad_op_experts(const struct rad_expert_shape *s, enum rad_dtype dtype)
{
    const int32_t up = s->gated ? 2 * s->ffn : s->ffn;
    const struct rad_op in = rad_op_grouped(s->m, up, s->hidden, s->groups, dtype);
    const struct rad_op act = rad_op_vector(RAD_OP_ACT, s->m, s->ffn, dtype);
    struct rad_op op = rad_op_grouped(s->m, s->hidden, s->ffn, s->groups, dtype);
    op.k = s->hidden;
    op.up = up;
    op.mid = s->ffn;
    op.flop += in.flop + act.flop;
    op.weight_bytes += in.weight_bytes;
    op.act_bytes += in.act_bytes + act.act_bytes * (s->gated ? 1.0 : 2.0 / 3.0);
    return op;
}

double rad_op_weights(const struct rad_op *op)
{
    const double groups = op->groups > 1 ? (double)op->groups : 1.0;
    const double n = (double)op->n, k = (double)op->k;
    return groups * (op->mid > 0 ? k * (double)op->up + (double)op->mid * n : k * n);
}

struct rad_op rad_op_attend(const struct rad_attend_shape *s, enum rad_dtype dtype)
{
    const double e = rad_dtype_bytes(dtype), dim = s->head_dim, heads = s->heads;
    const int64_t n = (int64_t)s->heads * s->head_dim;
    return (struct rad_op){
        .kind = RAD_OP_ATTEND,
        .dtype = dtype,
        .m = s->m,
        .n = n,
        .n_keys = s->n_keys,
        .heads = s->heads,
        .kv_heads = s->kv_heads,
        .head_dim = s->head_dim,
        .n_seq = s->n_seq > 0 ? s->n_seq : 1,
        .flop = 4.0 * (double)s->n_keys * dim * heads,
        .act_bytes = 2.0 * (double)s->m * (double)n * e,
        .kv_bytes = 2.0 * s->kv_heads * dim * e * ((double)s->kv_read_keys + (double)s->m),
    };
}

struct rad_op rad_op_vector(enum rad_op_kind kind, int64_t m, int64_t n, enum rad_dtype dtype)
{
    const double elems = (double)m * (double)n;
    return (struct rad_op){
        .kind = kind,
        .dtype = dtype,
        .m = m,
        .n = n,
        .flop = vector_work[kind].flop * elems,
        .act_bytes = vector_work[kind].moved * elems * rad_dtype_bytes(dtype),
    };
}
