/* config_make.c - config.json files made by tests. */
#include "config_make.h"

#include "base/io.h"
#include "base/json.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

const char config_llama[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 64, "
    "\"num_hidden_layers\": 5, \"num_attention_heads\": 8, \"num_key_value_heads\": 4, "
    "\"intermediate_size\": 172, \"vocab_size\": 512, \"max_position_embeddings\": 256, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 5000.0, \"hidden_act\": \"silu\", "
    "\"tie_word_embeddings\": true, \"attention_bias\": false, \"bos_token_id\": 1, "
    "\"eos_token_id\": 2, \"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.40.0\"}";

const char config_radial[] =
    "{\"model_type\": \"radial\", \"hidden_size\": 48, \"num_hidden_layers\": 6, "
    "\"num_attention_heads\": 4, \"intermediate_size\": 96, \"vocab_size\": 256, "
    "\"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-06, \"hidden_act\": \"gelu\", "
    "\"norm\": \"layer\", \"radial_tokenizer\": \"bytes\", \"router\": {\"hidden\": 16, "
    "\"max_hops\": 12, \"table\": [{\"depth_frac\": 0.25, \"price\": 3.5}, "
    "{\"depth_frac\": 1.5, \"price\": -1}]}}";

const char config_opt[] =
    "{\"model_type\": \"opt\", \"hidden_size\": 32, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"ffn_dim\": 64, \"vocab_size\": 256, "
    "\"max_position_embeddings\": 64, \"activation_function\": \"relu\"}";

const char config_gpt2[] = "{\"model_type\": \"gpt2\", \"n_embd\": 32, \"n_layer\": 2, "
                           "\"n_head\": 4, \"vocab_size\": 256, \"n_positions\": 64}";

const char config_bloom[] = "{\"model_type\": \"bloom\", \"hidden_size\": 32, \"n_layer\": 2, "
                            "\"n_head\": 4, \"vocab_size\": 256}";

const char config_vit[] =
    "{\"model_type\": \"vit\", \"hidden_size\": 32, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"intermediate_size\": 64, \"patch_size\": 4, "
    "\"image_size\": 12, \"hidden_act\": \"gelu\"}";

void config_put(const char *base, const char *key, const char *value)
{
    json_t *root = NULL, *object, *item = NULL;
    char *text = NULL;
    OK(rad_dir_make(CONFIG_DIR, &err));
    OK(rad_json_parse(&root, base, strlen(base), "base", &err));
    object = root;
    if (strncmp(key, "router.", 7) == 0)
        object = json_object_get(root, "router");
    key += object == root ? 0 : 7;
    if (value != NULL)
        item = json_loads(value, JSON_DECODE_ANY, NULL);
    if (item != NULL)
        CU_ASSERT_EQUAL_FATAL(json_object_set_new(object, key, item), 0);
    if (value == NULL)
        json_object_del(object, key);
    OK(rad_json_dump(root, &text, &err));
    write_file(CONFIG_FILE, text);
    free(text);
    json_decref(root);
}
