/* family.c - the model families: what each puts into config.json beside the shared keys. */
#include "checkpoint/family.h"

#include "base/near.h"
#include "checkpoint/config.h"
#include "checkpoint/outside.h"

#include <math.h>
#include <string.h>

#define CARD(field) offsetof(struct rad_model_config, card.field)

#define LLAMA_KEYS(optional)                                                                       \
    {"hidden_size", CARD(d_model), 1, false}, {"num_hidden_layers", CARD(n_layer), 1, false},      \
        {"num_attention_heads", CARD(n_head), 1, false},                                           \
        {"num_key_value_heads", CARD(n_kv), 1, true}, {"head_dim", CARD(d_head), 1, true},         \
        {"intermediate_size", CARD(ffn), 1, false}, {"vocab_size", CARD(vocab), 1, false},         \
    {                                                                                              \
        "max_position_embeddings", CARD(n_ctx), 1, optional                                        \
    }

static const struct rad_config_key llama_keys[] = {LLAMA_KEYS(true), {NULL, 0, 0, false}};
static const struct rad_config_key later_keys[] = {LLAMA_KEYS(false), {NULL, 0, 0, false}};
static const struct rad_config_key mistral_keys[] = {
    LLAMA_KEYS(false),
    {"sliding_window", offsetof(struct rad_model_config, window), 1, true},
    {NULL, 0, 0, false},
};

/* ---- words of the shared keys ---------------------------------------------------------- */

struct word {
    const char *word;
    int value;
};

enum rad_status rad_family_word(const json_t *root, const char *key, const char *const words[],
                                int *out, struct rad_err *err)
{
    const char *text = NULL;
    RAD_TRY(rad_json_string(root, key, &text, err));
    for (*out = 0; words[*out] != NULL; ++*out)
        if (strcmp(words[*out], text) == 0)
            return RAD_OK;
    return rad_fail(err, RAD_E_UNSUPPORTED, "'%s': expected %s but found '%s'", key, words[0],
                    SHOW(text));
}

static const struct word norms[] = {{"rms", RAD_NORM_RMS}, {"layer", RAD_NORM_LAYER}, {NULL, 0}};
static const struct word acts[] = {{"silu", RAD_ACT_SWIGLU}, {"gelu", RAD_ACT_GELU}, {NULL, 0}};

static enum rad_status read_word(const json_t *root, const char *key, const struct word *words,
                                 int *out, struct rad_err *err)
{
    const char *text = NULL;
    RAD_TRY(rad_json_string(root, key, &text, err));
    for (const struct word *w = words; w->word != NULL; w++) {
        if (strcmp(w->word, text) == 0) {
            *out = w->value;
            return RAD_OK;
        }
    }
    return rad_fail(err, RAD_E_UNSUPPORTED, "'%s': expected %s or %s but found '%s'", key,
                    words[0].word, words[1].word, SHOW(text));
}

static const char *word_of(const struct word *words, int value)
{
    while (words->word != NULL && words->value != value)
        words++;
    return words->word;
}

/* ---- llama ----------------------------------------------------------------------------- */

/* Defaults of the layout, and what no family can have. */
enum rad_status rad_family_finish(struct rad_model_config *c, const json_t *root,
                                  struct rad_err *err)
{
    if (c->card.n_kv == 0)
        c->card.n_kv = c->card.n_head;
    if (c->card.d_head == 0 && c->card.d_model % c->card.n_head != 0)
        return rad_fail(err, RAD_E_RANGE,
                        "expected hidden_size %d to be a multiple of num_attention_heads %d",
                        (int)c->card.d_model, (int)c->card.n_head);
    if (c->card.d_head == 0)
        c->card.d_head = c->card.d_model / c->card.n_head;
    c->card.max_hops = c->router.max_hops = c->card.n_layer;
    const json_t *quant = json_object_get(root, "quantization_config");
    if (quant != NULL && !json_is_null(quant))
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "'quantization_config': quantized weights cannot be read");
    return RAD_OK;
}

/* What both families share: no biases, rotary positions, one of the known activations. */
static enum rad_status write_shared(const struct rad_model_config *c, json_t *root,
                                    struct rad_err *err)
{
    const char *act = word_of(acts, (int)c->card.act);
    if (act == NULL || c->card.bias != RAD_BIAS_NONE || c->card.learned_positions != 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "model_type '%s' has no such activation, biases or learned positions",
                        c->model_type);
    if (json_object_set_new(root, "hidden_act", json_string(act)) != 0 ||
        json_object_set_new(root, "attention_bias", json_false()) != 0)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    return RAD_OK;
}

/* SwiGLU and RMS norms; the biases as read. */
static enum rad_status finish_llama(struct rad_model_config *c, const json_t *root,
                                    struct rad_err *err)
{
    static const char *const silu[] = {"silu", NULL};
    int act = 0;
    RAD_TRY(rad_family_word(root, "hidden_act", silu, &act, err));
    c->card.act = RAD_ACT_SWIGLU;
    c->card.norm = RAD_NORM_RMS;
    return rad_family_finish(c, root, err);
}

static enum rad_status read_llama(struct rad_model_config *c, const json_t *root,
                                  struct rad_err *err)
{
    bool attention = false, mlp = false;
    RAD_TRY(rad_json_bool(root, "attention_bias", false, &attention, err));
    RAD_TRY(rad_json_bool(root, "mlp_bias", false, &mlp, err));
    if (mlp && !attention)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "'mlp_bias': expected false without attention_bias but found true");
    c->card.bias = mlp ? RAD_BIAS_ALL : attention ? RAD_BIAS_ATTN : RAD_BIAS_NONE;
    if (c->card.n_ctx == 0)
        c->card.n_ctx = 2048; /* Llama 1, whose files do not all say (Touvron et al. 2023) */
    return finish_llama(c, root, err);
}

/* A window as long as the context hides nothing. */
static enum rad_status read_mistral(struct rad_model_config *c, const json_t *root,
                                    struct rad_err *err)
{
    if (c->window >= c->card.n_ctx)
        c->window = 0;
    return finish_llama(c, root, err);
}

static enum rad_status read_qwen2(struct rad_model_config *c, const json_t *root,
                                  struct rad_err *err)
{
    c->card.bias = RAD_BIAS_QKV;
    return finish_llama(c, root, err);
}

static enum rad_status write_llama(const struct rad_model_config *c, json_t *root,
                                   struct rad_err *err)
{
    if (c->card.norm != RAD_NORM_RMS || c->card.act != RAD_ACT_SWIGLU || c->router.hidden != 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "a llama has RMS norms, SwiGLU and no router; use model_type 'radial'");
    return write_shared(c, root, err);
}

/* ---- radial ---------------------------------------------------------------------------- */

enum rad_status rad_router_check(const struct rad_router_config *r, struct rad_err *err)
{
    if (r->n_table < 0 || r->n_table > RAD_KNOB_MAX)
        return rad_fail(err, RAD_E_RANGE, "router: expected a table of 0..%d rows but found %d",
                        RAD_KNOB_MAX, (int)r->n_table);
    double last = 0.0;
    for (int32_t i = 0; i < r->n_table; i++) {
        const double depth = r->depth_frac[i];
        if (!(depth > last && depth <= 64.0))
            return rad_fail(err, RAD_E_RANGE,
                            "router: table row %d: expected depth_frac rising within 0..64 but "
                            "found %g after %g",
                            (int)i, depth, last);
        if (!(fabs(r->price[i]) <= 1e9))
            return rad_fail(err, RAD_E_RANGE,
                            "router: table row %d: expected price in -1e9..1e9 but found %g",
                            (int)i, r->price[i]);
        last = depth;
    }
    return RAD_OK;
}

static enum rad_status read_table(struct rad_router_config *r, const json_t *table,
                                  struct rad_err *err)
{
    if (table == NULL)
        return RAD_OK;
    if (!json_is_array(table) || json_array_size(table) > RAD_KNOB_MAX)
        return rad_fail(err, RAD_E_RANGE, "'table': expected an array of at most %d rows",
                        RAD_KNOB_MAX);
    r->n_table = (int32_t)json_array_size(table);
    for (int32_t i = 0; i < r->n_table; i++) {
        const json_t *row = json_array_get(table, (size_t)i);
        RAD_TRY(rad_json_real(row, "depth_frac", 0.0, 64.0, &r->depth_frac[i], err));
        RAD_TRY(rad_json_real(row, "price", -1e9, 1e9, &r->price[i], err));
    }
    return rad_router_check(r, err);
}

static enum rad_status read_router(struct rad_router_config *r, json_t *router, struct rad_err *err)
{
    static const char *const known[] = {"hidden", "max_hops", "table"};
    const char *key;
    json_t *value;
    if (!json_is_object(router))
        return rad_fail(err, RAD_E_PARSE, "expected an object");
    json_object_foreach(router, key, value)
    {
        const char *near = rad_nearest(key, known, 3);
        if (near == NULL || strcmp(near, key) != 0)
            return rad_fail(err, RAD_E_PARSE, "unknown key '%s'%s%s", SHOW(key),
                            near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    }
    int64_t hidden = 0, max_hops = 0;
    RAD_TRY(rad_json_int(router, "hidden", 1, INT32_MAX, &hidden, err));
    RAD_TRY(rad_json_int(router, "max_hops", 1, INT32_MAX, &max_hops, err));
    r->hidden = (int32_t)hidden;
    r->max_hops = (int32_t)max_hops;
    return read_table(r, json_object_get(router, "table"), err);
}

static enum rad_status read_radial(struct rad_model_config *c, const json_t *root,
                                   struct rad_err *err)
{
    int norm = 0, act = 0;
    RAD_TRY(read_word(root, "norm", norms, &norm, err));
    RAD_TRY(read_word(root, "hidden_act", acts, &act, err));
    c->card.norm = (enum rad_norm)norm;
    c->card.act = (enum rad_act)act;
    RAD_TRY(rad_family_finish(c, root, err));
    json_t *router = json_object_get(root, "router");
    if (router == NULL || json_is_null(router))
        return RAD_OK;
    const enum rad_status status = read_router(&c->router, router, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "router");
    c->card.router_hidden = c->router.hidden;
    c->card.max_hops = c->router.max_hops;
    return RAD_OK;
}

/* NULL if memory ran out. */
static json_t *router_json(const struct rad_router_config *r)
{
    json_t *table = json_array();
    int bad = table == NULL;
    for (int32_t i = 0; i < r->n_table; i++)
        bad |= json_array_append_new(
            table, json_pack("{s:f, s:f}", "depth_frac", r->depth_frac[i], "price", r->price[i]));
    if (bad) {
        json_decref(table);
        return NULL;
    }
    return json_pack("{s:i, s:i, s:o}", "hidden", (int)r->hidden, "max_hops", (int)r->max_hops,
                     "table", table);
}

static enum rad_status write_radial(const struct rad_model_config *c, json_t *root,
                                    struct rad_err *err)
{
    const char *norm = word_of(norms, (int)c->card.norm);
    if (norm == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "norm: neither rms nor layer");
    RAD_TRY(write_shared(c, root, err));
    int bad = json_object_set_new(root, "norm", json_string(norm));
    if (c->router.hidden > 0)
        bad |= json_object_set_new(root, "router", router_json(&c->router));
    return bad ? rad_fail(err, RAD_E_NOMEM, "out of memory") : RAD_OK;
}

/* ---- registry -------------------------------------------------------------------------- */

static const struct rad_layout llama_layout = {
    .prefix = {"model.", ""},
    .embed = "embed_tokens",
    .norm_f = "norm",
    .head = "lm_head",
    .layer = "layers.%d.",
    .norm1 = "input_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.o_proj",
    .norm2 = "post_attention_layernorm",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};

static const struct rad_config_switch radial_switches[] = {
    {"attention_bias", false}, {"mlp_bias", false}, {NULL, false}};
static const struct rad_config_switch qwen2_switches[] = {{"use_sliding_window", false},
                                                          {NULL, false}};

static const struct rad_family llama = {"llama",       "LlamaForCausalLM", llama_keys, NULL,
                                        &llama_layout, "rms_norm_eps",     0.0,        true,
                                        false,         read_llama,         write_llama};
static const struct rad_family radial = {
    "radial",      "RadialForCausalLM", later_keys,  radial_switches,
    &llama_layout, "rms_norm_eps",      0.0,         true,
    false,         read_radial,         write_radial};
static const struct rad_family mistral = {"mistral",     "MistralForCausalLM", mistral_keys, NULL,
                                          &llama_layout, "rms_norm_eps",       0.0,          true,
                                          false,         read_mistral,         NULL};
static const struct rad_family qwen2 = {
    "qwen2",       "Qwen2ForCausalLM", later_keys, qwen2_switches,
    &llama_layout, "rms_norm_eps",     0.0,        true,
    false,         read_qwen2,         NULL};

static const struct rad_family *const families[] = {
    &llama,          &radial,          &mistral,          &qwen2,
    &rad_family_opt, &rad_family_gpt2, &rad_family_bloom, &rad_family_vit,
};
enum { N_FAMILY = sizeof families / sizeof families[0] };

const struct rad_layout *rad_model_layout(const struct rad_model_config *config)
{
    if (config->gguf)
        return rad_gguf_layout(config->model_type);
    for (int i = 0; i < N_FAMILY; i++)
        if (strcmp(families[i]->model_type, config->model_type) == 0)
            return families[i]->layout;
    return NULL;
}

enum rad_status rad_family_find(const char *model_type, const struct rad_family **out,
                                struct rad_err *err)
{
    struct rad_buf known = {0};
    for (int i = 0; i < N_FAMILY; i++) {
        if (strcmp(families[i]->model_type, model_type) == 0) {
            *out = families[i];
            return RAD_OK;
        }
    }
    for (int i = 0; i < N_FAMILY; i++)
        rad_buf_printf(&known, "%s%s", i > 0 ? ", " : "", families[i]->model_type);
    rad_fail(err, RAD_E_UNSUPPORTED, "model_type '%s' is not supported; expected one of: %s",
             SHOW(model_type), known.data != NULL ? known.data : "");
    rad_buf_free(&known);
    return RAD_E_UNSUPPORTED;
}
