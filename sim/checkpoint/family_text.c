/* family_text.c - OPT, GPT-2 and BLOOM: layer norms, biases, no rotation.
 *
 * Shapes and switches as in the config.json files of facebook/opt-*, openai-community/gpt2* and
 * bigscience/bloom* on the Hugging Face hub. */
#include "checkpoint/family.h"

#include <stddef.h>

#define CARD(field) offsetof(struct rad_model_config, card.field)
#define END                                                                                        \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

/* What the three have in common. */
static enum rad_status finish(struct rad_model_config *c, const json_t *root, enum rad_act act,
                              struct rad_err *err)
{
    c->card.norm = RAD_NORM_LAYER;
    c->card.bias = RAD_BIAS_ALL;
    c->card.act = act;
    if (c->card.ffn == 0 && c->card.d_model <= INT32_MAX / 4)
        c->card.ffn = 4 * c->card.d_model;
    return rad_family_finish(c, root, err);
}

/* ---- OPT: Zhang et al., arXiv 2205.01068 ----------------------------------------------------- */

static const struct rad_config_key opt_keys[] = {
    {"hidden_size", CARD(d_model), 1, false},
    {"num_hidden_layers", CARD(n_layer), 1, false},
    {"num_attention_heads", CARD(n_head), 1, false},
    {"ffn_dim", CARD(ffn), 1, false},
    {"vocab_size", CARD(vocab), 1, false},
    {"max_position_embeddings", CARD(n_ctx), 1, false},
    {"word_embed_proj_dim", CARD(embed_dim), 1, true},
    END,
};
static const struct rad_config_switch opt_switches[] = {{"enable_bias", true},
                                                        {"layer_norm_elementwise_affine", true},
                                                        {"_remove_final_layer_norm", false},
                                                        {NULL, false}};

/* Position 0 takes row 2 of the table: the first two were meant for padding. */
static enum rad_status read_opt(struct rad_model_config *c, const json_t *root, struct rad_err *err)
{
    static const char *const words[] = {"relu", "gelu", NULL};
    int act = 0;
    bool norm_first = true;
    RAD_TRY(rad_family_word(root, "activation_function", words, &act, err));
    RAD_TRY(rad_json_bool(root, "do_layer_norm_before", true, &norm_first, err));
    c->card.post_norm = !norm_first;
    if (c->card.embed_dim == c->card.d_model)
        c->card.embed_dim = 0;
    c->first_row = 2;
    c->gelu_exact = true;
    if (c->card.n_ctx <= INT32_MAX - 2)
        c->card.learned_positions = c->card.n_ctx + c->first_row;
    return finish(c, root, act == 0 ? RAD_ACT_RELU : RAD_ACT_GELU, err);
}

static const struct rad_layout opt_layout = {
    .prefix = {"model.decoder.", "decoder.", ""},
    .embed = "embed_tokens",
    .position = "embed_positions",
    .project_in = "project_in",
    .project_out = "project_out",
    .norm_f = "final_layer_norm",
    .head = "lm_head",
    .layer = "layers.%d.",
    .norm1 = "self_attn_layer_norm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.out_proj",
    .norm2 = "final_layer_norm",
    .up = "fc1",
    .down = "fc2",
};

const struct rad_family rad_family_opt = {
    .model_type = "opt",
    .architecture = "OPTForCausalLM",
    .keys = opt_keys,
    .switches = opt_switches,
    .layout = &opt_layout,
    .eps = 1e-5,
    .tied = true,
    .read = read_opt,
};

/* ---- GPT-2: Radford et al. 2019 -------------------------------------------------------------- */

static const struct rad_config_key gpt2_keys[] = {
    {"n_embd", CARD(d_model), 1, false},
    {"n_layer", CARD(n_layer), 1, false},
    {"n_head", CARD(n_head), 1, false},
    {"n_inner", CARD(ffn), 1, true},
    {"vocab_size", CARD(vocab), 1, false},
    {"n_positions|n_ctx", CARD(n_ctx), 1, false},
    END,
};
static const struct rad_config_switch gpt2_switches[] = {{"scale_attn_weights", true},
                                                         {"scale_attn_by_inverse_layer_idx", false},
                                                         {"add_cross_attention", false},
                                                         {NULL, false}};

static enum rad_status read_gpt2(struct rad_model_config *c, const json_t *root,
                                 struct rad_err *err)
{
    static const char *const words[] = {"gelu_new", NULL};
    int act = 0;
    if (json_object_get(root, "activation_function") != NULL)
        RAD_TRY(rad_family_word(root, "activation_function", words, &act, err));
    c->card.learned_positions = c->card.n_ctx;
    return finish(c, root, RAD_ACT_GELU, err);
}

static const struct rad_layout gpt2_layout = {
    .prefix = {"transformer.", ""},
    .embed = "wte",
    .position = "wpe",
    .norm_f = "ln_f",
    .head = "lm_head",
    .layer = "h.%d.",
    .norm1 = "ln_1",
    .q = "attn.c_attn",
    .o = "attn.c_proj",
    .norm2 = "ln_2",
    .up = "mlp.c_fc",
    .down = "mlp.c_proj",
    .qkv = RAD_QKV_STACKED,
    .in_out = true,
};

const struct rad_family rad_family_gpt2 = {
    .model_type = "gpt2",
    .architecture = "GPT2LMHeadModel",
    .keys = gpt2_keys,
    .switches = gpt2_switches,
    .layout = &gpt2_layout,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-5,
    .tied = true,
    .read = read_gpt2,
};

/* ---- BLOOM: Le Scao et al., arXiv 2211.05100 ------------------------------------------------- */

static const struct rad_config_key bloom_keys[] = {
    {"hidden_size|n_embed", CARD(d_model), 1, false},
    {"n_layer|num_hidden_layers", CARD(n_layer), 1, false},
    {"n_head|num_attention_heads", CARD(n_head), 1, false},
    {"n_inner", CARD(ffn), 1, true},
    {"vocab_size", CARD(vocab), 1, false},
    {"seq_length", CARD(n_ctx), 1, true},
    END,
};
static const struct rad_config_switch bloom_switches[] = {
    {"apply_residual_connection_post_layernorm", false}, {NULL, false}};

static enum rad_status read_bloom(struct rad_model_config *c, const json_t *root,
                                  struct rad_err *err)
{
    if (c->card.n_ctx == 0)
        c->card.n_ctx = 2048; /* what it was trained with; ALiBi itself has no end */
    c->card.alibi = c->card.embed_norm = true;
    return finish(c, root, RAD_ACT_GELU, err);
}

static const struct rad_layout bloom_layout = {
    .prefix = {"transformer.", ""},
    .embed = "word_embeddings",
    .embed_norm = "word_embeddings_layernorm",
    .norm_f = "ln_f",
    .head = "lm_head",
    .layer = "h.%d.",
    .norm1 = "input_layernorm",
    .q = "self_attention.query_key_value",
    .o = "self_attention.dense",
    .norm2 = "post_attention_layernorm",
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .qkv = RAD_QKV_BY_HEAD,
};

const struct rad_family rad_family_bloom = {
    .model_type = "bloom",
    .architecture = "BloomForCausalLM",
    .keys = bloom_keys,
    .switches = bloom_switches,
    .layout = &bloom_layout,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-5,
    .tied = true,
    .read = read_bloom,
};
