/* test_spec.c - number formats, operations and lowering against hand arithmetic. */
#include "spec/spec.h"
#include "test.h"

#include <string.h>

/* A gated model with grouped heads: d 8, two query heads and one KV head of 4, ffn 16. */
static struct rad_card tiny(void)
{
    return (struct rad_card){
        .name = "tiny",
        .n_layer = 3,
        .d_model = 8,
        .n_head = 2,
        .n_kv = 1,
        .d_head = 4,
        .ffn = 16,
        .vocab = 32,
        .n_ctx = 64,
        .norm = RAD_NORM_RMS,
        .act = RAD_ACT_SWIGLU,
        .router_hidden = 5,
        .max_hops = 7,
    };
}

/* The GPT-2 way: layer norms, biases everywhere, tied head, learned positions. */
static struct rad_card tiny_gelu(void)
{
    struct rad_card c = tiny();
    c.n_kv = 2;
    c.norm = RAD_NORM_LAYER;
    c.act = RAD_ACT_GELU;
    c.bias = RAD_BIAS_ALL;
    c.tied = true;
    c.learned_positions = 64;
    c.router_hidden = 0;
    c.max_hops = 3;
    return c;
}

static void dtypes_have_names_and_sizes(void)
{
    static const double bytes[RAD_N_DTYPE] = {4, 4, 2, 2, 1, 1, 0.5};
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        enum rad_dtype back = RAD_N_DTYPE;
        OK(rad_dtype_parse(rad_dtype_name((enum rad_dtype)i), &back, &err));
        CU_ASSERT_EQUAL((unsigned)back, i);
        CU_ASSERT_EQUAL(rad_dtype_bytes((enum rad_dtype)i), bytes[i]);
    }
    enum rad_dtype d;
    CU_ASSERT_EQUAL(rad_dtype_parse("fp64", &d, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "expected a number format (fp32 tf32 fp16 bf16 fp8 int8 int4) but "
                           "found 'fp64'; did you mean 'fp32'");
}

static void gemm_counts(void)
{
    const struct rad_op op = rad_op_gemm(3, 5, 7, RAD_INT4);
    CU_ASSERT_EQUAL(op.flop, 210.0);
    CU_ASSERT_EQUAL(op.weight_bytes, 17.5);
    CU_ASSERT_EQUAL(op.act_bytes, 18.0); /* (3*7 + 3*5) / 2 */
    CU_ASSERT_EQUAL(op.weight_set_bytes, 0.0);
}

/* What one operation of a lowering must be. */
struct want {
    enum rad_op_kind kind;
    int64_t m, n, k;
    double flop, weight, act, kv; /* in elements, not bytes */
};

static void compare(const struct rad_op *ops, int n, const struct want *want, int n_want,
                    double elem)
{
    CU_ASSERT_EQUAL_FATAL(n, n_want);
    for (int i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(ops[i].kind, want[i].kind);
        CU_ASSERT_EQUAL(ops[i].m, want[i].m);
        CU_ASSERT_EQUAL(ops[i].n, want[i].n);
        CU_ASSERT_EQUAL(ops[i].k, want[i].k);
        CU_ASSERT_EQUAL(ops[i].flop, want[i].flop);
        CU_ASSERT_EQUAL(ops[i].weight_bytes, want[i].weight * elem);
        CU_ASSERT_EQUAL(ops[i].act_bytes, want[i].act * elem);
        CU_ASSERT_EQUAL(ops[i].kv_bytes, want[i].kv * elem);
    }
}

#define COMPARE(ops, n, want, elem)                                                                \
    compare(ops, n, want, (int)(sizeof(want) / sizeof(want)[0]), elem)

/* Six tokens of two sequences, all live: QKV is one GEMM of n = (2 + 2) * 4. */
static void gated_layer_by_hand(void)
{
    static const struct want want[] = {
        {RAD_OP_NORM, 6, 8, 0, 4 * 48, 8, 96, 0},
        {RAD_OP_GEMM, 6, 16, 8, 2 * 6 * 16 * 8, 128, 6 * 8 + 6 * 16, 0},
        {RAD_OP_ROPE, 6, 12, 0, 3 * 72, 0, 144, 0},
        {RAD_OP_ATTEND, 6, 8, 0, 4 * 21 * 4 * 2, 0, 2 * 6 * 8, 2 * 4 * (6 + 6)},
        {RAD_OP_GEMM, 6, 8, 8, 2 * 6 * 8 * 8, 64, 96, 0},
        {RAD_OP_ADD, 6, 8, 0, 48, 0, 3 * 48, 0},
        {RAD_OP_NORM, 6, 8, 0, 4 * 48, 8, 96, 0},
        {RAD_OP_GEMM, 6, 32, 8, 2 * 6 * 32 * 8, 256, 6 * 8 + 6 * 32, 0},
        {RAD_OP_ACT, 6, 16, 0, 5 * 96, 0, 3 * 96, 0},
        {RAD_OP_GEMM, 6, 8, 16, 2 * 6 * 8 * 16, 128, 6 * 16 + 6 * 8, 0},
        {RAD_OP_ADD, 6, 8, 0, 48, 0, 3 * 48, 0},
    };
    const struct rad_card card = tiny();
    const struct rad_group g = {
        .m = 6, .m_attn = 6, .m_mlp = 6, .n_keys = 21, .kv_read_keys = 6, .n_seq = 2};
    struct rad_op ops[RAD_LOWER_MAX];
    const int n = rad_lower_layer(&card, RAD_F16, &g, ops);
    COMPARE(ops, n, want, 2.0);
    CU_ASSERT_EQUAL(ops[3].n_keys, 21);
    CU_ASSERT_EQUAL(ops[3].heads, 2);
    CU_ASSERT_EQUAL(ops[3].kv_heads, 1);
    CU_ASSERT_EQUAL(ops[3].head_dim, 4);
    CU_ASSERT_EQUAL(ops[3].n_seq, 2);
    for (int i = 0; i < n; i++)
        CU_ASSERT_EQUAL(ops[i].weight_set_bytes, 2.0 * (double)rad_card_params(&card));
}

/* Layer norm, biases, two FFN matrices, no rope. */
static void gelu_layer_by_hand(void)
{
    static const struct want want[] = {
        {RAD_OP_NORM, 1, 8, 0, 7 * 8, 16, 16, 0},
        {RAD_OP_GEMM, 1, 24, 8, 2 * 24 * 8 + 24, 192 + 24, 8 + 24, 0},
        {RAD_OP_ATTEND, 1, 8, 0, 4 * 9 * 4 * 2, 0, 16, 2 * 2 * 4 * (9 + 1)},
        {RAD_OP_GEMM, 1, 8, 8, 2 * 64 + 8, 64 + 8, 16, 0},
        {RAD_OP_ADD, 1, 8, 0, 8, 0, 24, 0},
        {RAD_OP_NORM, 1, 8, 0, 7 * 8, 16, 16, 0},
        {RAD_OP_GEMM, 1, 16, 8, 2 * 128 + 16, 128 + 16, 8 + 16, 0},
        {RAD_OP_ACT, 1, 16, 0, 8 * 16, 0, 32, 0},
        {RAD_OP_GEMM, 1, 8, 16, 2 * 128 + 8, 128 + 8, 16 + 8, 0},
        {RAD_OP_ADD, 1, 8, 0, 8, 0, 24, 0},
    };
    struct rad_card card = tiny_gelu();
    const struct rad_group g = {
        .m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = 9, .kv_read_keys = 9, .n_seq = 1};
    struct rad_op ops[RAD_LOWER_MAX];
    COMPARE(ops, rad_lower_layer(&card, RAD_F32, &g, ops), want, 4.0);
    card.act = RAD_ACT_RELU;
    rad_lower_layer(&card, RAD_F32, &g, ops);
    CU_ASSERT_EQUAL(ops[7].flop, 16.0);
}

/* Three tokens gathered, two attend, one runs the MLP; four more only fill the cache. */
static void partial_group_by_hand(void)
{
    static const struct want want[] = {
        {RAD_OP_GATHER, 3, 8, 0, 0, 0, 48, 0},
        {RAD_OP_NORM, 6, 8, 0, 4 * 48, 8, 96, 0},
        {RAD_OP_GEMM, 2, 8, 8, 2 * 2 * 64, 64, 32, 0},
        {RAD_OP_GEMM, 6, 8, 8, 2 * 6 * 64, 64, 96, 2 * 4 * 4},
        {RAD_OP_ROPE, 2, 12, 0, 3 * 24, 0, 48, 0},
        {RAD_OP_ROPE, 4, 4, 0, 3 * 16, 0, 32, 0},
        {RAD_OP_ATTEND, 2, 8, 0, 4 * 10 * 4 * 2, 0, 32, 2 * 4 * (10 + 2)},
        {RAD_OP_GEMM, 2, 8, 8, 2 * 2 * 64, 64, 32, 0},
        {RAD_OP_ADD, 2, 8, 0, 16, 0, 48, 0},
        {RAD_OP_NORM, 1, 8, 0, 32, 8, 16, 0},
        {RAD_OP_GEMM, 1, 32, 8, 2 * 256, 256, 40, 0},
        {RAD_OP_ACT, 1, 16, 0, 80, 0, 48, 0},
        {RAD_OP_GEMM, 1, 8, 16, 2 * 128, 128, 24, 0},
        {RAD_OP_ADD, 1, 8, 0, 8, 0, 24, 0},
        {RAD_OP_GATHER, 3, 8, 0, 0, 0, 48, 0},
    };
    const struct rad_card card = tiny();
    const struct rad_group g = {.m = 3,
                                .m_attn = 2,
                                .m_mlp = 1,
                                .m_kv_only = 4,
                                .n_keys = 10,
                                .kv_read_keys = 10,
                                .n_seq = 2,
                                .partial = true};
    struct rad_op ops[RAD_LOWER_MAX];
    COMPARE(ops, rad_lower_layer(&card, RAD_INT8, &g, ops), want, 1.0);
}

static void cache_only_and_empty_groups(void)
{
    static const struct want want[] = {
        {RAD_OP_NORM, 4, 8, 0, 4 * 32, 8, 64, 0},
        {RAD_OP_GEMM, 4, 8, 8, 2 * 4 * 64, 64, 64, 2 * 4 * 4},
        {RAD_OP_ROPE, 4, 4, 0, 3 * 16, 0, 32, 0},
    };
    const struct rad_card card = tiny();
    const struct rad_group only = {.m_kv_only = 4, .partial = true};
    const struct rad_group none = {.partial = true};
    struct rad_op ops[RAD_LOWER_MAX];
    COMPARE(ops, rad_lower_layer(&card, RAD_INT8, &only, ops), want, 1.0);
    CU_ASSERT_EQUAL(rad_lower_layer(&card, RAD_INT8, &none, ops), 0);
    CU_ASSERT_EQUAL(rad_lower_router(&card, RAD_INT8, 0, ops), 0);
    CU_ASSERT_EQUAL(rad_lower_embed(&card, RAD_INT8, 0, ops), 0);
    CU_ASSERT_EQUAL(rad_lower_head(&card, RAD_INT8, 0, ops), 0);
}

static void router_embed_and_head_by_hand(void)
{
    static const struct want router[] = {
        {RAD_OP_GEMM, 2, 5, 8, 2 * 2 * 5 * 8, 40, 16 + 10, 0},
        {RAD_OP_ACT, 2, 5, 0, 80, 0, 20, 0},
        {RAD_OP_GEMM, 2, 4, 5, 2 * 2 * 4 * 5, 20, 10 + 8, 0},
    };
    static const struct want head[] = {
        {RAD_OP_NORM, 2, 8, 0, 64, 8, 32, 0},
        {RAD_OP_GEMM, 2, 32, 8, 2 * 2 * 32 * 8, 256, 16 + 64, 0},
    };
    static const struct want embed[] = {{RAD_OP_EMBED, 2, 8, 0, 0, 0, 32, 0}};
    static const struct want learned[] = {{RAD_OP_EMBED, 2, 8, 0, 16, 0, 48, 0}};
    const struct rad_card card = tiny(), gelu = tiny_gelu();
    struct rad_op ops[RAD_LOWER_MAX];
    COMPARE(ops, rad_lower_router(&card, RAD_BF16, 2, ops), router, 2.0);
    COMPARE(ops, rad_lower_head(&card, RAD_BF16, 2, ops), head, 2.0);
    COMPARE(ops, rad_lower_embed(&card, RAD_BF16, 2, ops), embed, 2.0);
    COMPARE(ops, rad_lower_embed(&gelu, RAD_BF16, 2, ops), learned, 2.0);
    CU_ASSERT_EQUAL(rad_lower_router(&gelu, RAD_BF16, 2, ops), 0);
}

static void parameter_counts_by_hand(void)
{
    struct rad_card c = tiny();
    CU_ASSERT_EQUAL(rad_card_layer_params(&c), 8 * 16 + 8 * 8 + 3 * 8 * 16 + 2 * 8);
    CU_ASSERT_EQUAL(rad_card_router_params(&c), 5 * 8 + 4 * 5);
    CU_ASSERT_EQUAL(rad_card_params(&c), 2 * 32 * 8 + 3 * 592 + 8 + 60);
    c = tiny_gelu();
    CU_ASSERT_EQUAL(rad_card_layer_params(&c), 8 * 24 + 64 + 2 * 8 * 16 + 24 + 8 + 16 + 8 + 4 * 8);
    CU_ASSERT_EQUAL(rad_card_params(&c), (32 + 64) * 8 + 3 * 600 + 16);
}

/* Law: whatever the group, a layer's weights are streamed once; FLOP grow with tokens. */
static void weights_are_streamed_once(void)
{
    static const char *const names[] = {"llama-3.1-8b", "qwen2-7b", "opt-13b", "gpt2-xl"};
    static const struct rad_group groups[] = {
        {.m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = 5, .kv_read_keys = 5, .n_seq = 1},
        {.m = 64, .m_attn = 64, .m_mlp = 64, .n_keys = 2080, .kv_read_keys = 64, .n_seq = 1},
        {.m = 9,
         .m_attn = 7,
         .m_mlp = 8,
         .m_kv_only = 30,
         .n_keys = 70,
         .kv_read_keys = 70,
         .n_seq = 7,
         .partial = true},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct rad_card c;
        OK(rad_card_open(&c, names[i], &err));
        for (size_t j = 0; j < sizeof groups / sizeof groups[0]; j++) {
            struct rad_op ops[RAD_LOWER_MAX];
            const int n = rad_lower_layer(&c, RAD_F16, &groups[j], ops);
            double bytes = 0.0;
            for (int k = 0; k < n; k++)
                bytes += ops[k].weight_bytes;
            CU_ASSERT_EQUAL(bytes, 2.0 * (double)rad_card_layer_params(&c));
        }
    }
}

/* A dense token costs two FLOP per matrix weight, and a little for norms and the like. */
static void flop_are_twice_the_weights(void)
{
    struct rad_card c;
    struct rad_op ops[RAD_LOWER_MAX];
    const struct rad_group g = {
        .m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = 1, .kv_read_keys = 1, .n_seq = 1};
    OK(rad_card_open(&c, "llama-2-7b", &err));
    const int n = rad_lower_layer(&c, RAD_F16, &g, ops);
    double gemm = 0.0, all = 0.0;
    for (int i = 0; i < n; i++) {
        all += ops[i].flop;
        gemm += ops[i].kind == RAD_OP_GEMM ? ops[i].flop : 0.0;
    }
    CU_ASSERT_EQUAL(gemm, 2.0 * (double)(rad_card_layer_params(&c) - 2 * c.d_model));
    CU_ASSERT(all > gemm && all < gemm * 1.001);
}

/* ---- what other families do ---------------------------------------------------------------- */

static int count_kind(const struct rad_op *ops, int n, enum rad_op_kind kind)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        found += ops[i].kind == kind;
    return found;
}

/* OPT-350m: a narrower token table, projections in and out, norms behind the additions. */
static void projections_and_post_norms_are_counted(void)
{
    struct rad_op ops[RAD_LOWER_MAX];
    struct rad_card c = tiny_gelu();
    c.act = RAD_ACT_RELU;
    c.embed_dim = 4;
    c.post_norm = true;
    OK(rad_card_check(&c, &err));
    const int64_t layer = 4 * 8 * 8 + 4 * 8 + 2 * 8 * 16 + 16 + 8 + 4 * 8;
    CU_ASSERT_EQUAL(rad_card_params(&c), 32 * 4 + 2 * 8 * 4 + 64 * 8 + 3 * layer);
    int n = rad_lower_embed(&c, RAD_F32, 3, ops);
    CU_ASSERT_EQUAL(n, 2); /* rows of 4, then 4 -> 8 and the positions */
    CU_ASSERT(ops[0].n == 4 && ops[1].n == 8 && ops[1].k == 4);
    CU_ASSERT_EQUAL(ops[1].flop, 2.0 * 3 * 8 * 4 + 3 * 8);
    n = rad_lower_head(&c, RAD_F32, 3, ops);
    CU_ASSERT_EQUAL(n, 2); /* no final norm */
    CU_ASSERT(ops[0].n == 4 && ops[0].k == 8 && ops[1].n == 32 && ops[1].k == 4);
    const struct rad_group g = {.m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = 1, .n_seq = 1};
    n = rad_lower_layer(&c, RAD_F32, &g, ops);
    CU_ASSERT_EQUAL(count_kind(ops, n, RAD_OP_NORM), 2);
    CU_ASSERT_EQUAL(count_kind(ops, n, RAD_OP_GEMM), 4); /* two of the FFN, not three */
}

static void alibi_turns_nothing_and_embedding_norms_count(void)
{
    struct rad_op ops[RAD_LOWER_MAX];
    struct rad_card c = tiny_gelu();
    c.learned_positions = 0;
    c.alibi = c.embed_norm = true;
    c.d_head = 3; /* an odd one is fine without rotation */
    OK(rad_card_check(&c, &err));
    const struct rad_group g = {.m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = 1, .n_seq = 1};
    CU_ASSERT_EQUAL(count_kind(ops, rad_lower_layer(&c, RAD_F32, &g, ops), RAD_OP_ROPE), 0);
    CU_ASSERT_EQUAL(count_kind(ops, rad_lower_embed(&c, RAD_F32, 2, ops), RAD_OP_NORM), 1);
    c.learned_positions = 64;
    CU_ASSERT_EQUAL(rad_card_check(&c, &err), RAD_E_RANGE);
}

static void images_enter_by_a_product(void)
{
    struct rad_op ops[RAD_LOWER_MAX];
    struct rad_card c = tiny_gelu();
    c.tied = false;
    c.patch = 2;
    c.n_ctx = c.learned_positions = 10;
    OK(rad_card_check(&c, &err));
    CU_ASSERT_EQUAL(rad_lower_embed(&c, RAD_F32, 10, ops), 1);
    CU_ASSERT(ops[0].kind == RAD_OP_GEMM && ops[0].k == 12 && ops[0].n == 8);
    CU_ASSERT_EQUAL(rad_lower_head(&c, RAD_F32, 1, ops), 2);
    CU_ASSERT_EQUAL(ops[1].flop, 2.0 * 32 * 8 + 32); /* with a bias */
    c.learned_positions = 11;
    CU_ASSERT_EQUAL(rad_card_check(&c, &err), RAD_E_RANGE);
}

CU_TestInfo spec_tests[] = {
    {"dtypes have names and sizes", dtypes_have_names_and_sizes},
    {"gemm counts", gemm_counts},
    {"gated layer by hand", gated_layer_by_hand},
    {"gelu layer by hand", gelu_layer_by_hand},
    {"partial group by hand", partial_group_by_hand},
    {"cache only and empty groups", cache_only_and_empty_groups},
    {"router, embed and head by hand", router_embed_and_head_by_hand},
    {"parameter counts by hand", parameter_counts_by_hand},
    {"weights are streamed once", weights_are_streamed_once},
    {"flop are twice the weights", flop_are_twice_the_weights},
    {"projections and post-norms are counted", projections_and_post_norms_are_counted},
    {"ALiBi turns nothing, embedding norms count", alibi_turns_nothing_and_embedding_norms_count},
    {"images enter by a product", images_enter_by_a_product},
    CU_TEST_INFO_NULL,
};
