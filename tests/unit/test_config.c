/* test_config.c - config.json: read, written, read again; what is not understood is refused. */
#include "base/io.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "config_make.h"
#include "refuse.h"

#include <stdlib.h>

static struct rad_model_config open_config(const char *base, const char *key, const char *value)
{
    struct rad_model_config c;
    config_put(base, key, value);
    OK(rad_model_config_open(&c, CONFIG_DIR, &err));
    return c;
}

static void llama_is_read(void)
{
    const struct rad_model_config c = open_config(config_llama, "", NULL);
    CU_ASSERT_STRING_EQUAL(c.card.name, "tiny-model");
    CU_ASSERT_STRING_EQUAL(c.model_type, "llama");
    CU_ASSERT(c.card.d_model == 64 && c.card.n_layer == 5 && c.card.n_head == 8);
    CU_ASSERT(c.card.n_kv == 4 && c.card.d_head == 8 && c.card.ffn == 172);
    CU_ASSERT(c.card.vocab == 512 && c.card.n_ctx == 256 && c.card.tied);
    CU_ASSERT(c.card.norm == RAD_NORM_RMS && c.card.act == RAD_ACT_SWIGLU);
    CU_ASSERT(c.card.router_hidden == 0 && c.card.max_hops == 5);
    CU_ASSERT(c.rms_eps == 1e-5f && c.rope_theta == 5000.0);
    CU_ASSERT(c.bos == 1 && c.eos == 2 && c.dtype == RAD_BF16 && !c.byte_tokens);
    CU_ASSERT(c.router.hidden == 0 && c.router.max_hops == 5 && c.router.n_table == 0);
}

static void radial_is_read(void)
{
    const struct rad_model_config c = open_config(config_radial, "", NULL);
    CU_ASSERT(c.card.norm == RAD_NORM_LAYER && c.card.act == RAD_ACT_GELU && !c.card.tied);
    CU_ASSERT(c.card.router_hidden == 16 && c.card.max_hops == 12);
    CU_ASSERT(c.router.hidden == 16 && c.router.max_hops == 12 && c.router.n_table == 2);
    CU_ASSERT(c.router.depth_frac[1] == 1.5 && c.router.price[1] == -1.0);
    CU_ASSERT(c.byte_tokens && c.bos == -1 && c.eos == -1 && c.dtype == RAD_F32);
    const struct rad_model_config dense = open_config(config_radial, "router", "null");
    CU_ASSERT(dense.card.router_hidden == 0 && dense.card.max_hops == 6);
}

/* What other writers leave out, or write elsewhere. */
static void defaults_and_newer_layouts_are_understood(void)
{
    CU_ASSERT_EQUAL(open_config(config_llama, "num_key_value_heads", NULL).card.n_kv, 8);
    CU_ASSERT_EQUAL(open_config(config_llama, "num_key_value_heads", "null").card.n_kv, 8);
    CU_ASSERT_EQUAL(open_config(config_llama, "head_dim", "null").card.d_head, 8);
    CU_ASSERT_EQUAL(open_config(config_llama, "head_dim", "16").card.d_head, 16);
    CU_ASSERT_EQUAL(open_config(config_llama, "rope_theta", NULL).rope_theta, 10000.0);
    CU_ASSERT_EQUAL(open_config(config_llama, "rope_scaling", "null").rope_theta, 5000.0);
    CU_ASSERT_EQUAL(open_config(config_llama, "rope_parameters",
                                "{\"rope_type\": \"default\", \"rope_theta\": 20000}")
                        .rope_theta,
                    20000.0);
    CU_ASSERT_EQUAL(open_config(config_llama, "max_position_embeddings", NULL).card.n_ctx, 2048);
    CU_ASSERT_EQUAL(open_config(config_llama, "eos_token_id", "[7, 8]").eos, 7);
    CU_ASSERT_EQUAL(open_config(config_llama, "eos_token_id", "[]").eos, -1);
    CU_ASSERT_EQUAL(open_config(config_llama, "bos_token_id", "null").bos, -1);
    CU_ASSERT_EQUAL(open_config(config_llama, "torch_dtype", NULL).dtype, RAD_F32);
    CU_ASSERT_FALSE(open_config(config_llama, "tie_word_embeddings", NULL).card.tied);
    config_put(config_llama, "torch_dtype", NULL);
    CU_ASSERT_EQUAL(open_config(config_llama, "mlp_bias", "false").card.n_layer, 5);
}

static void check_same(const struct rad_model_config *a, const struct rad_model_config *b)
{
    CU_ASSERT_STRING_EQUAL(a->model_type, b->model_type);
    CU_ASSERT_STRING_EQUAL(a->card.name, b->card.name);
    CU_ASSERT(a->card.n_layer == b->card.n_layer && a->card.d_model == b->card.d_model);
    CU_ASSERT(a->card.n_head == b->card.n_head && a->card.n_kv == b->card.n_kv);
    CU_ASSERT(a->card.d_head == b->card.d_head && a->card.ffn == b->card.ffn);
    CU_ASSERT(a->card.vocab == b->card.vocab && a->card.n_ctx == b->card.n_ctx);
    CU_ASSERT(a->card.norm == b->card.norm && a->card.act == b->card.act);
    CU_ASSERT(a->card.tied == b->card.tied && a->card.max_hops == b->card.max_hops);
    CU_ASSERT(a->card.router_hidden == b->card.router_hidden);
    CU_ASSERT(a->rms_eps == b->rms_eps && a->rope_theta == b->rope_theta);
    CU_ASSERT(a->bos == b->bos && a->eos == b->eos && a->dtype == b->dtype);
    CU_ASSERT(a->byte_tokens == b->byte_tokens);
    CU_ASSERT(a->router.hidden == b->router.hidden && a->router.max_hops == b->router.max_hops);
    CU_ASSERT_EQUAL_FATAL(a->router.n_table, b->router.n_table);
    for (int32_t i = 0; i < a->router.n_table; i++)
        CU_ASSERT(a->router.depth_frac[i] == b->router.depth_frac[i] &&
                  a->router.price[i] == b->router.price[i]);
}

/* Every value survives, to the last bit. */
static void written_configs_read_back(void)
{
    static const char *const bases[] = {config_llama, config_radial};
    for (size_t i = 0; i < 2; i++) {
        struct rad_model_config c = open_config(bases[i], "", NULL), back;
        c.rope_theta = 1e4 / 3.0;
        c.rms_eps = 1.0f / 3e5f;
        c.dtype = RAD_F16;
        c.router.price[0] = i == 0 ? 0.0 : 0.1 + 0.2;
        OK(rad_model_config_write(&c, CONFIG_DIR, &err));
        OK(rad_model_config_open(&back, CONFIG_DIR, &err));
        check_same(&back, &c);
    }
}

/* The keys and words that readers of the Llama layout look for; plain numbers stay plain. */
static void llama_is_written_for_others(void)
{
    const struct rad_model_config c = open_config(config_llama, "", NULL);
    json_t *root = NULL;
    char *text = NULL;
    OK(rad_model_config_write(&c, CONFIG_DIR, &err));
    OK(rad_json_read(&root, CONFIG_FILE, 1 << 20, &err));
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_array_get(json_object_get(root, "architectures"), 0)),
        "LlamaForCausalLM");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(root, "torch_dtype")), "bfloat16");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(root, "hidden_act")), "silu");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(root, "num_key_value_heads")), 4);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(root, "head_dim")), 8);
    CU_ASSERT_EQUAL(json_real_value(json_object_get(root, "rms_norm_eps")), 1e-5);
    CU_ASSERT(json_is_false(json_object_get(root, "attention_bias")));
    CU_ASSERT(json_is_true(json_object_get(root, "tie_word_embeddings")));
    CU_ASSERT_PTR_NULL(json_object_get(root, "router"));
    json_decref(root);
    OK(rad_file_read(CONFIG_FILE, 1 << 20, &text, NULL, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"rms_norm_eps\": 1e-5,\n"));
    free(text);
}

/* A wrong config is not written, and the message says what is wrong. */
static void bad_writes_are_refused(void)
{
    const struct rad_model_config good = open_config(config_radial, "", NULL);
    struct rad_model_config c = good;
    remove(CONFIG_FILE);
    snprintf(c.model_type, sizeof c.model_type, "llama");
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_UNSUPPORTED,
            "a llama has RMS norms, SwiGLU and no router; use model_type 'radial'");
    c = good;
    c.router.max_hops = 11;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_ARG,
            "router and card disagree: hidden 16 and 16, max_hops 11 and 12");
    c = good;
    c.router.price[0] = (double)NAN;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_RANGE,
            "table row 0: expected price");
    c = good;
    c.rms_eps = NAN;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_RANGE,
            "rms_eps: expected 1e-12..0.1");
    c = good;
    c.rope_theta = 0.0;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_RANGE,
            "rope_theta: expected 1..1e12");
    c = good;
    c.bos = 256;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_RANGE,
            "bos 256, eos -1: expected -1 or");
    c = good;
    c.dtype = RAD_INT4;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_UNSUPPORTED,
            "dtype: expected fp32, fp16");
    c = good;
    c.card.act = RAD_ACT_RELU;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_UNSUPPORTED, "no such activation");
    c = good;
    c.card.n_kv = 3;
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_RANGE, "n_kv: expected a divisor");
    c = good;
    snprintf(c.model_type, sizeof c.model_type, "mamba");
    REFUSES(rad_model_config_write(&c, CONFIG_DIR, &err), RAD_E_UNSUPPORTED, "model_type 'mamba'");
    CU_ASSERT_PTR_NULL(fopen(CONFIG_FILE, "r"));
    REFUSES(rad_model_config_write(&good, CONFIG_DIR "/none", &err), RAD_E_IO, "none/config.json");
}

CU_TestInfo config_tests[] = {
    {"llama is read", llama_is_read},
    {"radial is read", radial_is_read},
    {"defaults and newer layouts are understood", defaults_and_newer_layouts_are_understood},
    {"written configs read back", written_configs_read_back},
    {"llama is written for others", llama_is_written_for_others},
    {"bad writes are refused", bad_writes_are_refused},
    CU_TEST_INFO_NULL,
};
