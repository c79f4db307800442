/* op.h - number formats and operations: work in FLOP and bytes. Part of spec.h, which includes it.
 */
#ifndef RAD_SPEC_OP_H
#define RAD_SPEC_OP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- number formats -------------------------------------------------------------------- */

/* TF32: fp32 in memory, products of 10 bits of mantissa at the rate of matrix units. */
enum rad_dtype { RAD_F32, RAD_TF32, RAD_F16, RAD_BF16, RAD_FP8, RAD_INT8, RAD_INT4, RAD_N_DTYPE };

/* "fp32" "tf32" "fp16" "bf16" "fp8" "int8" "int4" */
const char *rad_dtype_name(enum rad_dtype dtype);
double rad_dtype_bytes(enum rad_dtype dtype); /* 4 4 2 2 1 1 0.5 */
RAD_MUST_CHECK enum rad_status rad_dtype_parse(const char *name, enum rad_dtype *out,
                                               struct rad_err *err);

/* The same, and formats whose layers have narrower weights than dtype, which are widened for the
 * product: "w8a16" "w4a16" (fp16; weight_share 0.5, 0.25; their scales are not counted). Tables,
 * router and head stay in dtype. All others: weight_share 1. */
RAD_MUST_CHECK enum rad_status rad_dtype_parse_weights(const char *name, enum rad_dtype *out,
                                                       double *weight_share, struct rad_err *err);
const char *rad_dtype_weights_name(enum rad_dtype dtype, double weight_share);

/* ---- operations ------------------------------------------------------------------------ */

enum rad_op_kind {
    RAD_OP_GEMM,    /* C[m][n] = A[m][k] W[k][n] */
    RAD_OP_ATTEND,  /* m queries, n_keys keys in all, heads/kv_heads/head_dim */
    RAD_OP_NORM,    /* m rows of n */
    RAD_OP_ACT,     /* m rows of n outputs (gated: 2n inputs) */
    RAD_OP_ADD,     /* residual add, m rows of n */
    RAD_OP_ROPE,    /* m rows of n */
    RAD_OP_GATHER,  /* rows copied to or from a group, m rows of n */
    RAD_OP_EMBED,   /* m rows of n read from a table */
    RAD_OP_SOFTMAX, /* m rows of n */
    RAD_OP_SAMPLE,  /* a token drawn from each of m rows of n logits */
    RAD_N_OP_KIND
};

const char *rad_op_kind_name(enum rad_op_kind kind);

/* One unit of work. Counts are exact doubles. flop counts multiply and add as two, and for vector
 * operations per element: add 1, rope 3, relu 1, gelu 8, swiglu 5, rms norm 4, layer norm 7,
 * softmax 5, sample 6, gather 0, embed 0 (1 with learned positions). Sampling reads its logits
 * three times: for the largest (and the threshold of top-k), for the sum of exponentials, and to
 * find where the draw falls; it writes next to nothing. */
struct rad_op {
    enum rad_op_kind kind;
    enum rad_dtype dtype; /* of weights and activations */
    int64_t m, n, k;      /* extents, see the kinds; ATTEND: n = heads * head_dim, k = 0 */
    int64_t n_keys;       /* ATTEND: keys attended, summed over the m queries (per kv head) */
    int32_t heads, kv_heads, head_dim, n_seq; /* ATTEND: sequences that the queries come from */
    int64_t groups;  /* GEMM: one launch, m rows in all, weights of their own for each of so many
                      * groups of rows; 0: one group */
    int64_t up, mid; /* GEMM: the MLP of each group, k -> up -> mid (activation) -> n, in two such
                      * launches and what is between; 0: one product */
    double flop;
    double weight_bytes;     /* streamed once per operation, whatever m */
    double act_bytes;        /* activations read plus written */
    double kv_bytes;         /* KV cache read plus written */
    double weight_set_bytes; /* all weights of the model that it belongs to: what a cache must hold
                              * to serve them again; 0: unknown, larger than any cache */
};

struct rad_op rad_op_gemm(int64_t m, int64_t n, int64_t k, enum rad_dtype dtype);

/* groups products of n x k weights each, in one launch, over m rows in all. */
struct rad_op rad_op_grouped(int64_t m, int64_t n, int64_t k, int32_t groups, enum rad_dtype dtype);

/* MLPs of `groups` experts over m rows in all (a token counts once for each expert that it
 * visits): hidden -> ffn (twice if gated) -> hidden. */
struct rad_expert_shape {
    int64_t m;
    int32_t hidden, ffn, groups;
    bool gated;
};
struct rad_op rad_op_experts(const struct rad_expert_shape *shape, enum rad_dtype dtype);

/* Weights that the operation reads, counted, whatever their format. */
double rad_op_weights(const struct rad_op *op);

/* m queries attending to n_keys keys in all; kv_read_keys distinct cache entries are read and m
 * written. With e bytes per element:  flop = 4 n_keys head_dim heads (QK^T and PV)
 *   kv_bytes = 2 kv_heads head_dim e (kv_read_keys + m)     act_bytes = 2 m heads head_dim e */
struct rad_attend_shape {
    int64_t m, n_keys, kv_read_keys;
    int32_t heads, kv_heads, head_dim, n_seq;
};
struct rad_op rad_op_attend(const struct rad_attend_shape *shape, enum rad_dtype dtype);

/* A vector operation over m rows of n elements: NORM (rms), ACT (swiglu), ADD ... SOFTMAX. */
struct rad_op rad_op_vector(enum rad_op_kind kind, int64_t m, int64_t n, enum rad_dtype dtype);

#endif
