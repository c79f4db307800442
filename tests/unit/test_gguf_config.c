/* test_gguf_config.c - the metadata of GGUF files as configurations, and every way in which they
 * can be wrong. */
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "gguf_make.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "build/tmp/some model.gguf"

static const float zeros[64];

/* Keys and the tensors that the configuration asks for; without: leave this key out. */
static struct gguf_make llama(const char *without)
{
    static const struct {
        const char *key;
        int64_t x;
    } counts[] = {{"llama.block_count", 2},
                  {"llama.context_length", 16},
                  {"llama.embedding_length", 8},
                  {"llama.feed_forward_length", 12},
                  {"llama.attention.head_count", 2}};
    struct gguf_make m = gguf_begin(3);
    if (strcmp(without, "general.architecture") != 0)
        gguf_string(&m, "general.architecture", "llama");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (strcmp(without, counts[i].key) != 0)
            gguf_int(&m, counts[i].key, MAKE_U32, counts[i].x);
    if (strcmp(without, "llama.attention.layer_norm_rms_epsilon") != 0)
        gguf_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (strcmp(without, "token_embd.weight") != 0)
        gguf_tensor(&m, "token_embd.weight", 0, 2, (uint64_t[]){8, 4}, zeros, 128);
    gguf_tensor(&m, "blk.0.ffn_down.weight", 30, 2, (uint64_t[]){12, 8}, zeros, 192);
    return m;
}

static struct rad_model_config open_made(struct gguf_make *m)
{
    struct rad_model_config c;
    gguf_end(m, FILE_NAME);
    OK(rad_model_config_open(&c, FILE_NAME, &err));
    return c;
}

static void refuses(struct gguf_make *m, enum rad_status status, const char *text)
{
    struct rad_model_config c;
    gguf_end(m, FILE_NAME);
    REFUSES(rad_model_config_open(&c, FILE_NAME, &err), status, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, FILE_NAME));
    CU_ASSERT_EQUAL(c.card.n_layer, 0);
}

/* ---- what is read -------------------------------------------------------------------------- */

static void defaults_are_filled_in(void)
{
    struct gguf_make m = llama("");
    const struct rad_model_config c = open_made(&m);
    CU_ASSERT_STRING_EQUAL(c.card.name, "some-model");
    CU_ASSERT_STRING_EQUAL(c.model_type, "llama");
    CU_ASSERT_EQUAL(c.card.n_layer, 2);
    CU_ASSERT_EQUAL(c.card.n_kv, 2);
    CU_ASSERT_EQUAL(c.card.d_head, 4);
    CU_ASSERT_EQUAL(c.card.vocab, 4); /* the rows of the table */
    CU_ASSERT_EQUAL(c.card.max_hops, 2);
    CU_ASSERT_EQUAL(c.card.bias, RAD_BIAS_NONE);
    CU_ASSERT_EQUAL(c.rope_theta, 10000.0);
    CU_ASSERT_EQUAL(c.bos, -1);
    CU_ASSERT_EQUAL(c.dtype, RAD_BF16);
    CU_ASSERT(c.card.tied && c.rope_pairs && c.gguf && c.window == 0);
    CU_ASSERT_PTR_NOT_NULL(rad_model_layout(&c));
}

static void given_values_are_read(void)
{
    struct gguf_make m = llama("");
    gguf_int(&m, "llama.attention.head_count_kv", MAKE_U32, 1);
    gguf_int(&m, "llama.attention.key_length", MAKE_U32, 6);
    gguf_int(&m, "llama.attention.value_length", MAKE_U32, 6);
    gguf_int(&m, "llama.attention.sliding_window", MAKE_U32, 5);
    gguf_f32(&m, "llama.rope.freq_base", 500000.0f);
    gguf_f32(&m, "llama.rope.scale_linear", 4.0f); /* of older files */
    gguf_int(&m, "llama.expert_count", MAKE_U32, 0);
    gguf_int(&m, "tokenizer.ggml.bos_token_id", MAKE_U32, 1);
    gguf_int(&m, "tokenizer.ggml.eos_token_id", MAKE_U32, UINT32_MAX);
    gguf_tensor(&m, "output.weight", 0, 2, (uint64_t[]){8, 4}, zeros, 128);
    gguf_tensor(&m, "blk.0.attn_q.bias", 0, 1, (uint64_t[]){12}, zeros, 48);
    const struct rad_model_config c = open_made(&m);
    CU_ASSERT_EQUAL(c.card.n_kv, 1);
    CU_ASSERT_EQUAL(c.card.d_head, 6);
    CU_ASSERT_EQUAL(c.window, 5);
    CU_ASSERT_EQUAL(c.rope_theta, 500000.0);
    CU_ASSERT_EQUAL(c.rope.kind, RAD_ROPE_LINEAR);
    CU_ASSERT_EQUAL(c.rope.factor, 4.0);
    CU_ASSERT_EQUAL(c.card.bias, RAD_BIAS_QKV);
    CU_ASSERT_EQUAL(c.bos, 1);
    CU_ASSERT_EQUAL(c.eos, -1);
    CU_ASSERT_FALSE(c.card.tied);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void other_architectures_are_named(void)
{
    struct gguf_make m = llama("general.architecture");
    gguf_string(&m, "general.architecture", "mamba");
    refuses(&m, RAD_E_UNSUPPORTED,
            "architecture 'mamba' is not supported; expected llama (also Mistral), qwen2, gpt2 or "
            "bloom");
    m = llama("general.architecture");
    gguf_string(&m, "general.architecture", "\x1b[31m-an-architecture-with-a-very-long-name");
    refuses(&m, RAD_E_UNSUPPORTED, "architecture '?[31m-an-");
    m = llama("general.architecture");
    refuses(&m, RAD_E_PARSE, "expected a key 'general.architecture'");
}

static void missing_keys_are_named(void)
{
    static const char *const keys[] = {
        "llama.block_count",          "llama.context_length",
        "llama.embedding_length",     "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct gguf_make m = llama(keys[i]);
        refuses(&m, RAD_E_PARSE, keys[i]);
    }
}

static void a_missing_table_is_named(void)
{
    struct gguf_make m = llama("token_embd.weight");
    refuses(&m, RAD_E_RANGE, "expected a tensor 'token_embd.weight'");
}

/* key = x beside the others, in whose place it comes. */
static void refuses_int(const char *key, int64_t x, enum rad_status status, const char *text)
{
    struct gguf_make m = llama(key);
    gguf_int(&m, key, MAKE_I64, x);
    refuses(&m, status, text);
}

static void bad_sizes_are_refused(void)
{
    refuses_int("llama.block_count", 0, RAD_E_RANGE, "'llama.block_count': expected 1..");
    refuses_int("llama.block_count", 1025, RAD_E_RANGE, "n_layer: expected 1..1024");
    refuses_int("llama.embedding_length", -8, RAD_E_RANGE, "'llama.embedding_length'");
    refuses_int("llama.context_length", 1LL << 40, RAD_E_RANGE, "'llama.context_length'");
    refuses_int("llama.embedding_length", 9, RAD_E_RANGE,
                "expected embedding_length 9 to be a multiple of attention.head_count 2");
    struct gguf_make m = llama("llama.block_count");
    gguf_f32(&m, "llama.block_count", 2.0f);
    refuses(&m, RAD_E_PARSE, "'llama.block_count': expected an integer but found f32");
}

static void bad_heads_are_refused(void)
{
    refuses_int("llama.attention.head_count_kv", 3, RAD_E_RANGE, "n_kv: expected 1..2 but found 3");
    refuses_int("llama.attention.value_length", 6, RAD_E_UNSUPPORTED,
                "'llama.attention.value_length': expected that of keys, 4, but found 6");
    struct gguf_make m = llama("llama.attention.head_count");
    gguf_ints(&m, "llama.attention.head_count", (int32_t[]){2, 2}, 2);
    refuses(&m, RAD_E_PARSE, "expected an integer but found an array of i32");
}

static void bad_norms_are_refused(void)
{
    struct gguf_make m = llama("llama.attention.layer_norm_rms_epsilon");
    gguf_f32(&m, "llama.attention.layer_norm_rms_epsilon", NAN);
    refuses(&m, RAD_E_RANGE, "'llama.attention.layer_norm_rms_epsilon'");
}

static void other_rotations_are_refused(void)
{
    refuses_int("llama.rope.dimension_count", 2, RAD_E_UNSUPPORTED,
                "'llama.rope.dimension_count': expected all 4 of a head but found 2");
    struct gguf_make m = llama("");
    gguf_string(&m, "llama.rope.scaling.type", "yarn");
    refuses(&m, RAD_E_UNSUPPORTED, "'llama.rope.scaling.type': expected none or linear");
    m = llama("");
    gguf_string(&m, "llama.rope.scaling.type", "linear");
    refuses(&m, RAD_E_PARSE, "expected a key 'llama.rope.scaling.factor'");
    m = llama("");
    gguf_f32(&m, "llama.rope.scale_linear", 0.5f);
    refuses(&m, RAD_E_RANGE, "'llama.rope.scale_linear': expected 1..1e+06 but found 0.5");
    m = llama("");
    gguf_f32(&m, "llama.rope.freq_base", INFINITY);
    refuses(&m, RAD_E_RANGE, "'llama.rope.freq_base'");
}

/* Keys that would change the arithmetic. */
static void other_arithmetic_is_refused(void)
{
    static const char *const keys[] = {
        "expert_count",     "use_parallel_residual",   "attention.clamp_kqv",
        "logit_scale",      "attn_logit_softcapping",  "attention.max_alibi_bias",
        "attention.causal", "final_logit_softcapping", "residual_scale",
        "embedding_scale",  "rope.scaling.attn_factor"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char key[64];
        struct gguf_make m = llama("");
        snprintf(key, sizeof key, "llama.%s", keys[i]);
        gguf_f32(&m, key, 3.0f);
        refuses(&m, RAD_E_UNSUPPORTED, "but found 3");
    }
    struct gguf_make m = llama("");
    gguf_string(&m, "llama.expert_count", "0");
    refuses(&m, RAD_E_PARSE, "'llama.expert_count': expected a number");
    m = llama("");
    gguf_bool(&m, "llama.attention.causal", 0);
    refuses(&m, RAD_E_UNSUPPORTED, "'llama.attention.causal': expected 1 but found 0");
}

static void adapters_are_refused(void)
{
    struct gguf_make m = llama("");
    gguf_string(&m, "general.type", "adapter");
    refuses(&m, RAD_E_UNSUPPORTED, "'general.type': expected a model");
}

static void bad_token_ids_are_refused(void)
{
    refuses_int("tokenizer.ggml.bos_token_id", 4, RAD_E_RANGE,
                "'tokenizer.ggml.bos_token_id': expected a token id in 0..3 but found 4");
    refuses_int("tokenizer.ggml.eos_token_id", -2, RAD_E_RANGE, "'tokenizer.ggml.eos_token_id'");
}

static void odd_biases_are_refused(void)
{
    struct gguf_make m = llama("");
    gguf_tensor(&m, "blk.0.attn_output.bias", 0, 1, (uint64_t[]){8}, zeros, 32);
    refuses(&m, RAD_E_UNSUPPORTED, "expected biases of Q, K and V, or of the attention, or of all");
}

static void git_lfs_pointers_are_named(void)
{
    struct rad_model_config c;
    rad_tensors *t = NULL;
    write_file(FILE_NAME, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    REFUSES(rad_model_config_open(&c, FILE_NAME, &err), RAD_E_PARSE, "'git lfs pull'");
    REFUSES(rad_tensors_open(&t, FILE_NAME, &err), RAD_E_PARSE, "'git lfs pull'");
}

/* Types that are not computed with are named where a tensor is asked for. */
static void other_tensor_types_are_named(void)
{
    struct gguf_make m = llama("");
    const struct rad_tensor *found = NULL;
    rad_tensors *t = NULL;
    static const unsigned char q5[176];
    gguf_tensor(&m, "w", 13, 1, (uint64_t[]){256}, q5, sizeof q5);
    gguf_end(&m, FILE_NAME);
    OK(rad_tensors_open(&t, FILE_NAME, &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 3);
    CU_ASSERT_PTR_NULL(rad_tensors_metadata(t, "format"));
    REFUSES(rad_tensors_get(t, "w", (struct rad_shape){1, {256}}, &found, &err), RAD_E_UNSUPPORTED,
            "tensor 'w': expected F32, F16, BF16, Q8_0, Q4_0 or Q6_K but found Q5_K");
    rad_tensors_close(t);
}

CU_TestInfo gguf_config_tests[] = {
    {"defaults are filled in", defaults_are_filled_in},
    {"given values are read", given_values_are_read},
    {"other architectures are named", other_architectures_are_named},
    {"missing keys are named", missing_keys_are_named},
    {"a missing table is named", a_missing_table_is_named},
    {"bad sizes are refused", bad_sizes_are_refused},
    {"bad heads are refused", bad_heads_are_refused},
    {"bad norms are refused", bad_norms_are_refused},
    {"other rotations are refused", other_rotations_are_refused},
    {"other arithmetic is refused", other_arithmetic_is_refused},
    {"adapters are refused", adapters_are_refused},
    {"bad token ids are refused", bad_token_ids_are_refused},
    {"odd biases are refused", odd_biases_are_refused},
    {"Git-LFS pointers are named", git_lfs_pointers_are_named},
    {"other tensor types are named", other_tensor_types_are_named},
    CU_TEST_INFO_NULL,
};
