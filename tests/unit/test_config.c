/* test_config.c - config.json: read, written, read again; what is not understood is refused. */
#include "base/io.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "refuse.h"

#include <stdlib.h>

#define DIR "build/tmp/config/tiny model"
#define FILE_NAME DIR "/config.json"

static const char llama[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 64, "
    "\"num_hidden_layers\": 5, \"num_attention_heads\": 8, \"num_key_value_heads\": 4, "
    "\"intermediate_size\": 172, \"vocab_size\": 512, \"max_position_embeddings\": 256, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 5000.0, \"hidden_act\": \"silu\", "
    "\"tie_word_embeddings\": true, \"attention_bias\": false, \"bos_token_id\": 1, "
    "\"eos_token_id\": 2, \"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.40.0\"}";

static const char radial[] =
    "{\"model_type\": \"radial\", \"hidden_size\": 48, \"num_hidden_layers\": 6, "
    "\"num_attention_heads\": 4, \"intermediate_size\": 96, \"vocab_size\": 256, "
    "\"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-06, \"hidden_act\": \"gelu\", "
    "\"norm\": \"layer\", \"radial_tokenizer\": \"bytes\", \"router\": {\"hidden\": 16, "
    "\"max_hops\": 12, \"table\": [{\"depth_frac\": 0.25, \"price\": 3.5}, "
    "{\"depth_frac\": 1.5, \"price\": -1}]}}";

/* The file's text is base with key set to value (JSON), or without key if value is NULL. A key
 * "router.x" is one of the router. */
static void put_config(const char *base, const char *key, const char *value)
{
    json_t *root = NULL, *object, *item = NULL;
    char *text = NULL;
    OK(rad_dir_make(DIR, &err));
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
    write_file(FILE_NAME, text);
    free(text);
    json_decref(root);
}

static struct rad_model_config open_config(const char *base, const char *key, const char *value)
{
    struct rad_model_config c;
    put_config(base, key, value);
    OK(rad_model_config_open(&c, DIR, &err));
    return c;
}

static void llama_is_read(void)
{
    const struct rad_model_config c = open_config(llama, "", NULL);
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
    const struct rad_model_config c = open_config(radial, "", NULL);
    CU_ASSERT(c.card.norm == RAD_NORM_LAYER && c.card.act == RAD_ACT_GELU && !c.card.tied);
    CU_ASSERT(c.card.router_hidden == 16 && c.card.max_hops == 12);
    CU_ASSERT(c.router.hidden == 16 && c.router.max_hops == 12 && c.router.n_table == 2);
    CU_ASSERT(c.router.depth_frac[1] == 1.5 && c.router.price[1] == -1.0);
    CU_ASSERT(c.byte_tokens && c.bos == -1 && c.eos == -1 && c.dtype == RAD_F32);
    const struct rad_model_config dense = open_config(radial, "router", "null");
    CU_ASSERT(dense.card.router_hidden == 0 && dense.card.max_hops == 6);
}

/* What other writers leave out, or write elsewhere. */
static void defaults_and_newer_layouts_are_understood(void)
{
    CU_ASSERT_EQUAL(open_config(llama, "num_key_value_heads", NULL).card.n_kv, 8);
    CU_ASSERT_EQUAL(open_config(llama, "num_key_value_heads", "null").card.n_kv, 8);
    CU_ASSERT_EQUAL(open_config(llama, "head_dim", "null").card.d_head, 8);
    CU_ASSERT_EQUAL(open_config(llama, "head_dim", "16").card.d_head, 16);
    CU_ASSERT_EQUAL(open_config(llama, "rope_theta", NULL).rope_theta, 10000.0);
    CU_ASSERT_EQUAL(open_config(llama, "rope_scaling", "null").rope_theta, 5000.0);
    CU_ASSERT_EQUAL(
        open_config(llama, "rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 20000}")
            .rope_theta,
        20000.0);
    CU_ASSERT_EQUAL(open_config(llama, "eos_token_id", "[7, 8]").eos, 7);
    CU_ASSERT_EQUAL(open_config(llama, "eos_token_id", "[]").eos, -1);
    CU_ASSERT_EQUAL(open_config(llama, "bos_token_id", "null").bos, -1);
    CU_ASSERT_EQUAL(open_config(llama, "torch_dtype", NULL).dtype, RAD_F32);
    CU_ASSERT_FALSE(open_config(llama, "tie_word_embeddings", NULL).card.tied);
    put_config(llama, "torch_dtype", NULL);
    CU_ASSERT_EQUAL(open_config(llama, "mlp_bias", "false").card.n_layer, 5);
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
    static const char *const bases[] = {llama, radial};
    for (size_t i = 0; i < 2; i++) {
        struct rad_model_config c = open_config(bases[i], "", NULL), back;
        c.rope_theta = 1e4 / 3.0;
        c.rms_eps = 1.0f / 3e5f;
        c.dtype = RAD_F16;
        c.router.price[0] = i == 0 ? 0.0 : 0.1 + 0.2;
        OK(rad_model_config_write(&c, DIR, &err));
        OK(rad_model_config_open(&back, DIR, &err));
        check_same(&back, &c);
    }
}

/* The keys and words that readers of the Llama layout look for; plain numbers stay plain. */
static void llama_is_written_for_others(void)
{
    const struct rad_model_config c = open_config(llama, "", NULL);
    json_t *root = NULL;
    char *text = NULL;
    OK(rad_model_config_write(&c, DIR, &err));
    OK(rad_json_read(&root, FILE_NAME, 1 << 20, &err));
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
    OK(rad_file_read(FILE_NAME, 1 << 20, &text, NULL, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"rms_norm_eps\": 1e-5,\n"));
    free(text);
}

static const struct {
    const char *base, *key, *value;
    enum rad_status status;
    const char *message;
} bad_configs[] = {
    {llama, "model_type", "\"gptj\"", RAD_E_UNSUPPORTED,
     FILE_NAME ": model_type 'gptj' is not supported; expected one of: llama, radial, mistral"},
    {llama, "model_type", NULL, RAD_E_PARSE, FILE_NAME ": 'model_type'"},
    {llama, "model_type", "\"\\u001b[31m\"", RAD_E_UNSUPPORTED, "'?[31m'"},
    {llama, "hidden_size", NULL, RAD_E_PARSE, FILE_NAME ": 'hidden_size'"},
    {llama, "num_hidden_layers", NULL, RAD_E_PARSE, "'num_hidden_layers'"},
    {llama, "intermediate_size", NULL, RAD_E_PARSE, "'intermediate_size'"},
    {llama, "vocab_size", NULL, RAD_E_PARSE, "'vocab_size'"},
    {llama, "max_position_embeddings", NULL, RAD_E_PARSE, "'max_position_embeddings'"},
    {llama, "rms_norm_eps", NULL, RAD_E_PARSE, "'rms_norm_eps'"},
    {llama, "hidden_size", "0", RAD_E_RANGE, "'hidden_size'"},
    {llama, "hidden_size", "\"64\"", RAD_E_PARSE, "'hidden_size'"},
    {llama, "hidden_size", "64.5", RAD_E_PARSE, "'hidden_size'"},
    {llama, "hidden_size", "65", RAD_E_RANGE,
     "expected hidden_size 65 to be a multiple of num_attention_heads 8"},
    {llama, "hidden_size", "2147483648", RAD_E_RANGE, "'hidden_size'"},
    {llama, "hidden_size", "2147483640", RAD_E_RANGE, FILE_NAME ": d_model: expected"},
    {llama, "num_hidden_layers", "1025", RAD_E_RANGE, "n_layer: expected 1..1024"},
    {llama, "num_key_value_heads", "3", RAD_E_RANGE, "n_kv: expected a divisor of n_head 8"},
    {llama, "head_dim", "7", RAD_E_RANGE, "d_head: expected an even number"},
    {llama, "rms_norm_eps", "0", RAD_E_RANGE, "'rms_norm_eps'"},
    {llama, "rope_theta", "-1", RAD_E_RANGE, "'rope_theta'"},
    {llama, "rope_scaling", "{\"rope_type\": \"yarn\"}", RAD_E_UNSUPPORTED,
     "'rope_scaling': expected type default, linear or llama3 but found 'yarn'"},
    {llama, "rope_scaling", "{\"rope_type\": \"llama3\"}", RAD_E_PARSE, "'rope_scaling': 'factor'"},
    {llama, "rope_scaling",
     "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
     "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}",
     RAD_E_RANGE, "'rope_scaling': expected low_freq_factor below high_freq_factor"},
    {llama, "rope_scaling", "{\"factor\": 2}", RAD_E_UNSUPPORTED, "expected null or a type"},
    {llama, "rope_parameters", "7", RAD_E_PARSE, "expected an object or null"},
    {llama, "hidden_act", "\"relu\"", RAD_E_UNSUPPORTED,
     "'hidden_act': expected silu but found 'relu'"},
    {llama, "hidden_act", "\"gelu\"", RAD_E_UNSUPPORTED, "expected silu"},
    {radial, "attention_bias", "true", RAD_E_UNSUPPORTED,
     "'attention_bias': expected false but found true"},
    {llama, "mlp_bias", "true", RAD_E_UNSUPPORTED, "'mlp_bias'"},
    {llama, "attention_bias", "0", RAD_E_PARSE, "'attention_bias'"},
    {llama, "quantization_config", "{}", RAD_E_UNSUPPORTED, "quantized weights"},
    {llama, "tie_word_embeddings", "1", RAD_E_PARSE, "'tie_word_embeddings'"},
    {llama, "bos_token_id", "512", RAD_E_RANGE, "'bos_token_id': expected a token id in 0..511"},
    {llama, "eos_token_id", "[-1]", RAD_E_RANGE, "'eos_token_id'"},
    {llama, "eos_token_id", "\"2\"", RAD_E_RANGE, "'eos_token_id'"},
    {llama, "torch_dtype", "\"int8\"", RAD_E_UNSUPPORTED,
     "'torch_dtype': expected float32, float16 or bfloat16 but found 'int8'"},
    {llama, "radial_tokenizer", "\"words\"", RAD_E_UNSUPPORTED,
     "'radial_tokenizer': expected 'bytes' but found 'words'"},
    {radial, "norm", NULL, RAD_E_PARSE, "'norm'"},
    {radial, "norm", "\"batch\"", RAD_E_UNSUPPORTED, "expected rms or layer but found 'batch'"},
    {radial, "router", "7", RAD_E_PARSE, FILE_NAME ": router: expected an object"},
    {radial, "router.hidden", NULL, RAD_E_PARSE, "router: 'hidden'"},
    {radial, "router.hidden", "0", RAD_E_RANGE, "router: 'hidden'"},
    {radial, "router.max_hops", "65537", RAD_E_RANGE, "max_hops: expected 1..65536"},
    {radial, "router.tabel", "[]", RAD_E_PARSE, "router: unknown key 'tabel'; did you mean table"},
    {radial, "router.table", "7", RAD_E_RANGE, "'table': expected an array of at most 32 rows"},
    {radial, "router.table", "[7]", RAD_E_PARSE, "'depth_frac'"},
    {radial, "router.table", "[{\"depth_frac\": 0.5}]", RAD_E_PARSE, "'price'"},
    {radial, "router.table", "[{\"depth_frac\": 65, \"price\": 0}]", RAD_E_RANGE, "'depth_frac'"},
    {radial, "router.table",
     "[{\"depth_frac\": 0.5, \"price\": 1}, {\"depth_frac\": 0.5, \"price\": 0}]", RAD_E_RANGE,
     "router: table row 1: expected depth_frac rising within 0..64 but found 0.5 after 0.5"},
};

static void bad_configs_are_refused(void)
{
    for (size_t i = 0; i < sizeof bad_configs / sizeof bad_configs[0]; i++) {
        struct rad_model_config c;
        put_config(bad_configs[i].base, bad_configs[i].key, bad_configs[i].value);
        REFUSES(rad_model_config_open(&c, DIR, &err), bad_configs[i].status,
                bad_configs[i].message);
        CU_ASSERT_EQUAL(c.card.n_layer, 0);
    }
}

static void bad_files_are_refused(void)
{
    struct rad_model_config c;
    OK(rad_dir_make(DIR, &err));
    write_file(FILE_NAME, "{\"model_type\": \"llama\", \"model_type\": \"llama\"}");
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_PARSE, "duplicate");
    write_file(FILE_NAME, "[]");
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_PARSE, FILE_NAME);
    write_file(FILE_NAME, "{\"model_type\": \"\xff\"}");
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_PARSE, FILE_NAME);
    write_file(FILE_NAME, "{\"model_type\"");
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_PARSE, FILE_NAME ":1:");
    write_file(FILE_NAME, "version https://git-lfs.github.com/spec/v1\n");
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_PARSE, "Git-LFS pointer");
    remove(FILE_NAME);
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_IO, "config.json");
    OK(rad_dir_make(FILE_NAME, &err));
    REFUSES(rad_model_config_open(&c, DIR, &err), RAD_E_IO, "config.json");
    remove(FILE_NAME);
}

/* A wrong config is not written, and the message says what is wrong. */
static void bad_writes_are_refused(void)
{
    const struct rad_model_config good = open_config(radial, "", NULL);
    struct rad_model_config c = good;
    remove(FILE_NAME);
    snprintf(c.model_type, sizeof c.model_type, "llama");
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_UNSUPPORTED,
            "a llama has RMS norms, SwiGLU and no router; use model_type 'radial'");
    c = good;
    c.router.max_hops = 11;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_ARG,
            "router and card disagree: hidden 16 and 16, max_hops 11 and 12");
    c = good;
    c.router.price[0] = (double)NAN;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_RANGE, "table row 0: expected price");
    c = good;
    c.rms_eps = NAN;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_RANGE, "rms_eps: expected 1e-12..0.1");
    c = good;
    c.rope_theta = 0.0;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_RANGE, "rope_theta: expected 1..1e12");
    c = good;
    c.bos = 256;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_RANGE, "bos 256, eos -1: expected -1 or");
    c = good;
    c.dtype = RAD_INT4;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_UNSUPPORTED, "dtype: expected fp32, fp16");
    c = good;
    c.card.act = RAD_ACT_RELU;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_UNSUPPORTED, "no such activation");
    c = good;
    c.card.n_kv = 3;
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_RANGE, "n_kv: expected a divisor");
    c = good;
    snprintf(c.model_type, sizeof c.model_type, "mamba");
    REFUSES(rad_model_config_write(&c, DIR, &err), RAD_E_UNSUPPORTED, "model_type 'mamba'");
    CU_ASSERT_PTR_NULL(fopen(FILE_NAME, "r"));
    REFUSES(rad_model_config_write(&good, DIR "/none", &err), RAD_E_IO, "none/config.json");
}

CU_TestInfo config_tests[] = {
    {"llama is read", llama_is_read},
    {"radial is read", radial_is_read},
    {"defaults and newer layouts are understood", defaults_and_newer_layouts_are_understood},
    {"written configs read back", written_configs_read_back},
    {"llama is written for others", llama_is_written_for_others},
    {"bad configs are refused", bad_configs_are_refused},
    {"bad files are refused", bad_files_are_refused},
    {"bad writes are refused", bad_writes_are_refused},
    CU_TEST_INFO_NULL,
};
