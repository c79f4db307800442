/* test_config_hostile.c - every way in which a config.json can be wrong. */
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "config_make.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *group, *base, *key, *value;
    enum rad_status status;
    const char *message;
} bad_configs[] = {
    {"family", config_llama, "model_type", "\"gptj\"", RAD_E_UNSUPPORTED,
     CONFIG_FILE ": model_type 'gptj' is not supported; expected one of: llama, radial, mistral"},
    {"family", config_llama, "model_type", NULL, RAD_E_PARSE, CONFIG_FILE ": 'model_type'"},
    {"family", config_llama, "model_type", "\"\\u001b[31m\"", RAD_E_UNSUPPORTED, "'?[31m'"},
    {"missing", config_llama, "hidden_size", NULL, RAD_E_PARSE, CONFIG_FILE ": 'hidden_size'"},
    {"missing", config_llama, "num_hidden_layers", NULL, RAD_E_PARSE, "'num_hidden_layers'"},
    {"missing", config_llama, "intermediate_size", NULL, RAD_E_PARSE, "'intermediate_size'"},
    {"missing", config_llama, "vocab_size", NULL, RAD_E_PARSE, "'vocab_size'"},
    {"missing", config_llama, "hidden_size", NULL, RAD_E_PARSE, "'hidden_size'"},
    {"missing", config_llama, "rms_norm_eps", NULL, RAD_E_PARSE, "'rms_norm_eps'"},
    {"size", config_llama, "hidden_size", "0", RAD_E_RANGE, "'hidden_size'"},
    {"size", config_llama, "hidden_size", "\"64\"", RAD_E_PARSE, "'hidden_size'"},
    {"size", config_llama, "hidden_size", "64.5", RAD_E_PARSE, "'hidden_size'"},
    {"size", config_llama, "hidden_size", "65", RAD_E_RANGE,
     "expected hidden_size 65 to be a multiple of num_attention_heads 8"},
    {"size", config_llama, "hidden_size", "2147483648", RAD_E_RANGE, "'hidden_size'"},
    {"size", config_llama, "hidden_size", "2147483640", RAD_E_RANGE,
     CONFIG_FILE ": d_model: expected"},
    {"size", config_llama, "num_hidden_layers", "1025", RAD_E_RANGE, "n_layer: expected 1..1024"},
    {"heads", config_llama, "num_key_value_heads", "3", RAD_E_RANGE,
     "n_kv: expected a divisor of n_head 8"},
    {"heads", config_llama, "head_dim", "7", RAD_E_RANGE, "d_head: expected an even number"},
    {"norm", config_llama, "rms_norm_eps", "0", RAD_E_RANGE, "'rms_norm_eps'"},
    {"rope", config_llama, "rope_theta", "-1", RAD_E_RANGE, "'rope_theta'"},
    {"rope", config_llama, "rope_scaling", "{\"rope_type\": \"yarn\"}", RAD_E_UNSUPPORTED,
     "'rope_scaling': expected type default, linear or llama3 but found 'yarn'"},
    {"rope", config_llama, "rope_scaling", "{\"rope_type\": \"llama3\"}", RAD_E_PARSE,
     "'rope_scaling': 'factor'"},
    {"rope", config_llama, "rope_scaling",
     "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
     "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}",
     RAD_E_RANGE, "'rope_scaling': expected low_freq_factor below high_freq_factor"},
    {"rope", config_llama, "rope_scaling", "{\"factor\": 2}", RAD_E_UNSUPPORTED,
     "expected null or a type"},
    {"rope", config_llama, "rope_parameters", "7", RAD_E_PARSE, "expected an object or null"},
    {"activation", config_llama, "hidden_act", "\"relu\"", RAD_E_UNSUPPORTED,
     "'hidden_act': expected silu but found 'relu'"},
    {"activation", config_llama, "hidden_act", "\"gelu\"", RAD_E_UNSUPPORTED, "expected silu"},
    {"switch", config_radial, "attention_bias", "true", RAD_E_UNSUPPORTED,
     "'attention_bias': expected false but found true"},
    {"switch", config_llama, "mlp_bias", "true", RAD_E_UNSUPPORTED, "'mlp_bias'"},
    {"switch", config_llama, "attention_bias", "0", RAD_E_PARSE, "'attention_bias'"},
    {"switch", config_llama, "quantization_config", "{}", RAD_E_UNSUPPORTED, "quantized weights"},
    {"switch", config_llama, "tie_word_embeddings", "1", RAD_E_PARSE, "'tie_word_embeddings'"},
    {"token", config_llama, "bos_token_id", "512", RAD_E_RANGE,
     "'bos_token_id': expected a token id in 0..511"},
    {"token", config_llama, "eos_token_id", "[-1]", RAD_E_RANGE, "'eos_token_id'"},
    {"token", config_llama, "eos_token_id", "\"2\"", RAD_E_RANGE, "'eos_token_id'"},
    {"format", config_llama, "torch_dtype", "\"int8\"", RAD_E_UNSUPPORTED,
     "'torch_dtype': expected float32, float16 or bfloat16 but found 'int8'"},
    {"format", config_llama, "radial_tokenizer", "\"words\"", RAD_E_UNSUPPORTED,
     "'radial_tokenizer': expected 'bytes' but found 'words'"},
    {"missing", config_radial, "norm", NULL, RAD_E_PARSE, "'norm'"},
    {"norm", config_radial, "norm", "\"batch\"", RAD_E_UNSUPPORTED,
     "expected rms or layer but found 'batch'"},
    {"router", config_radial, "router", "7", RAD_E_PARSE,
     CONFIG_FILE ": router: expected an object"},
    {"router", config_radial, "router.hidden", NULL, RAD_E_PARSE, "router: 'hidden'"},
    {"router", config_radial, "router.hidden", "0", RAD_E_RANGE, "router: 'hidden'"},
    {"router", config_radial, "router.max_hops", "65537", RAD_E_RANGE,
     "max_hops: expected 1..65536"},
    {"router", config_radial, "router.tabel", "[]", RAD_E_PARSE,
     "router: unknown key 'tabel'; did you mean table"},
    {"router", config_radial, "router.table", "7", RAD_E_RANGE,
     "'table': expected an array of at most 32 rows"},
    {"router", config_radial, "router.table", "[7]", RAD_E_PARSE, "'depth_frac'"},
    {"router", config_radial, "router.table", "[{\"depth_frac\": 0.5}]", RAD_E_PARSE, "'price'"},
    {"router", config_radial, "router.table", "[{\"depth_frac\": 65, \"price\": 0}]", RAD_E_RANGE,
     "'depth_frac'"},
    {"router", config_radial, "router.table",
     "[{\"depth_frac\": 0.5, \"price\": 1}, {\"depth_frac\": 0.5, \"price\": 0}]", RAD_E_RANGE,
     "router: table row 1: expected depth_frac rising within 0..64 but found 0.5 after 0.5"},
    {"family switch", config_opt, "enable_bias", "false", RAD_E_UNSUPPORTED,
     "'enable_bias': expected true but found false"},
    {"family switch", config_opt, "layer_norm_elementwise_affine", "false", RAD_E_UNSUPPORTED,
     "'layer_norm_elementwise_affine': expected true"},
    {"family switch", config_opt, "_remove_final_layer_norm", "true", RAD_E_UNSUPPORTED,
     "'_remove_final_layer_norm': expected false"},
    {"family switch", config_gpt2, "scale_attn_weights", "false", RAD_E_UNSUPPORTED,
     "'scale_attn_weights': expected true"},
    {"family switch", config_gpt2, "scale_attn_by_inverse_layer_idx", "true", RAD_E_UNSUPPORTED,
     "expected false but found true"},
    {"family switch", config_gpt2, "add_cross_attention", "true", RAD_E_UNSUPPORTED,
     "'add_cross_attention'"},
    {"family switch", config_bloom, "apply_residual_connection_post_layernorm", "true",
     RAD_E_UNSUPPORTED, "'apply_residual_connection_post_layernorm': expected false"},
    {"family switch", config_vit, "qkv_bias", "false", RAD_E_UNSUPPORTED,
     "'qkv_bias': expected true"},
    {"activation", config_opt, "activation_function", "\"silu\"", RAD_E_UNSUPPORTED,
     "'activation_function': expected relu but found 'silu'"},
    {"activation", config_gpt2, "activation_function", "\"gelu\"", RAD_E_UNSUPPORTED,
     "expected gelu_new but found 'gelu'"},
    {"activation", config_vit, "hidden_act", "\"silu\"", RAD_E_UNSUPPORTED, "'hidden_act'"},
    {"image", config_vit, "image_size", "13", RAD_E_RANGE,
     "'image_size': expected a multiple of patch_size 4"},
    {"image", config_vit, "image_size", "16385", RAD_E_RANGE, "'image_size'"},
    {"image", config_vit, "num_channels", "1", RAD_E_RANGE, "'num_channels'"},
    {"image", config_vit, "num_labels", "0", RAD_E_RANGE, "'num_labels'"},
    {"size", config_gpt2, "n_positions", "2147483647", RAD_E_RANGE, "n_ctx: expected"},
    {"size", config_opt, "max_position_embeddings", "2147483647", RAD_E_RANGE, "n_ctx: expected"},
    {"size", config_bloom, "hidden_size", "2147483644", RAD_E_RANGE, "d_model: expected"},
};

/* The rows of a group. */
static void refuse_group(const char *group)
{
    int n = 0;
    for (size_t i = 0; i < sizeof bad_configs / sizeof bad_configs[0]; i++) {
        struct rad_model_config c;
        if (strcmp(bad_configs[i].group, group) != 0)
            continue;
        n++;
        config_put(bad_configs[i].base, bad_configs[i].key, bad_configs[i].value);
        REFUSES(rad_model_config_open(&c, CONFIG_DIR, &err), bad_configs[i].status,
                bad_configs[i].message);
        CU_ASSERT_EQUAL(c.card.n_layer, 0);
    }
    CU_ASSERT(n > 0);
}

#define GROUP(test, group)                                                                         \
    static void test(void)                                                                         \
    {                                                                                              \
        refuse_group(group);                                                                       \
    }
GROUP(unknown_families_are_refused, "family")
GROUP(missing_keys_are_refused, "missing")
GROUP(bad_sizes_are_refused, "size")
GROUP(bad_heads_are_refused, "heads")
GROUP(bad_norms_are_refused, "norm")
GROUP(bad_rotations_are_refused, "rope")
GROUP(other_activations_are_refused, "activation")
GROUP(bad_switches_are_refused, "switch")
GROUP(bad_token_ids_are_refused, "token")
GROUP(other_formats_are_refused, "format")
GROUP(bad_routers_are_refused, "router")
GROUP(other_switches_of_families_are_refused, "family switch")
GROUP(bad_images_are_refused, "image")

static void refuse_text(const char *text, enum rad_status status, const char *message)
{
    struct rad_model_config c;
    OK(rad_dir_make(CONFIG_DIR, &err));
    write_file(CONFIG_FILE, text);
    REFUSES(rad_model_config_open(&c, CONFIG_DIR, &err), status, message);
}

static void duplicate_keys_are_refused(void)
{
    refuse_text("{\"model_type\": \"llama\", \"model_type\": \"llama\"}", RAD_E_PARSE, "duplicate");
}

static void other_json_than_an_object_is_refused(void)
{
    refuse_text("[]", RAD_E_PARSE, CONFIG_FILE);
    refuse_text("7", RAD_E_PARSE, CONFIG_FILE);
}

static void bad_utf8_is_refused(void)
{
    refuse_text("{\"model_type\": \"\xff\"}", RAD_E_PARSE, CONFIG_FILE);
}

static void truncated_files_are_refused(void)
{
    refuse_text("{\"model_type\"", RAD_E_PARSE, CONFIG_FILE ":1:");
    refuse_text("", RAD_E_PARSE, CONFIG_FILE);
}

static void git_lfs_pointers_are_named(void)
{
    refuse_text("version https://git-lfs.github.com/spec/v1\n", RAD_E_PARSE,
                "Git-LFS pointer to it; fetch it with 'git lfs pull'");
}

static void large_files_are_refused(void)
{
    char *text = malloc((1 << 20) + 2);
    memset(text, ' ', (1 << 20) + 1);
    text[(1 << 20) + 1] = '\0';
    refuse_text(text, RAD_E_RANGE, CONFIG_FILE);
    free(text);
}

static void missing_files_are_named(void)
{
    struct rad_model_config c;
    remove(CONFIG_FILE);
    REFUSES(rad_model_config_open(&c, CONFIG_DIR, &err), RAD_E_IO, "config.json");
    OK(rad_dir_make(CONFIG_FILE, &err));
    REFUSES(rad_model_config_open(&c, CONFIG_DIR, &err), RAD_E_IO, "config.json");
    remove(CONFIG_FILE);
}

CU_TestInfo config_hostile_tests[] = {
    {"unknown families are refused", unknown_families_are_refused},
    {"missing keys are refused", missing_keys_are_refused},
    {"bad sizes are refused", bad_sizes_are_refused},
    {"bad heads are refused", bad_heads_are_refused},
    {"bad norms are refused", bad_norms_are_refused},
    {"bad rotations are refused", bad_rotations_are_refused},
    {"other activations are refused", other_activations_are_refused},
    {"bad switches are refused", bad_switches_are_refused},
    {"bad token ids are refused", bad_token_ids_are_refused},
    {"other formats are refused", other_formats_are_refused},
    {"bad routers are refused", bad_routers_are_refused},
    {"duplicate keys are refused", duplicate_keys_are_refused},
    {"other JSON than an object is refused", other_json_than_an_object_is_refused},
    {"bad UTF-8 is refused", bad_utf8_is_refused},
    {"truncated files are refused", truncated_files_are_refused},
    {"Git-LFS pointers are named", git_lfs_pointers_are_named},
    {"large files are refused", large_files_are_refused},
    {"missing files are named", missing_files_are_named},
    {"other switches of families are refused", other_switches_of_families_are_refused},
    {"bad images are refused", bad_images_are_refused},
    CU_TEST_INFO_NULL,
};
