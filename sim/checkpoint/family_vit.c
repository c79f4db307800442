/* family_vit.c - Vision Transformers: Dosovitskiy et al., arXiv 2010.11929.
 *
 * Shapes and switches as in the config.json files of google/vit-* on the Hugging Face hub. */
#include "checkpoint/family.h"

#include <stddef.h>

#define CARD(field) offsetof(struct rad_model_config, card.field)

static const struct rad_config_key vit_keys[] = {
    {"hidden_size", CARD(d_model), 1, false},        {"num_hidden_layers", CARD(n_layer), 1, false},
    {"num_attention_heads", CARD(n_head), 1, false}, {"intermediate_size", CARD(ffn), 1, false},
    {"patch_size", CARD(patch), 1, false},           {NULL, 0, 0, false},
};
static const struct rad_config_switch vit_switches[] = {{"qkv_bias", true}, {NULL, false}};

/* Classes are the entries of id2label; the layout leaves it out for two. */
static enum rad_status read_classes(struct rad_model_config *c, const json_t *root,
                                    struct rad_err *err)
{
    const json_t *labels = json_object_get(root, "id2label");
    int64_t n = 2;
    if (json_is_object(labels) && json_object_size(labels) > 0)
        n = (int64_t)json_object_size(labels);
    else if (json_object_get(root, "num_labels") != NULL)
        RAD_TRY(rad_json_int(root, "num_labels", 1, 1 << 24, &n, err));
    c->card.vocab = (int32_t)n;
    return RAD_OK;
}

static enum rad_status read_vit(struct rad_model_config *c, const json_t *root, struct rad_err *err)
{
    static const char *const words[] = {"gelu", "gelu_new", NULL};
    int act = 0;
    int64_t side = 0, channels = 3;
    RAD_TRY(rad_family_word(root, "hidden_act", words, &act, err));
    RAD_TRY(rad_json_int(root, "image_size", 1, 1 << 14, &side, err));
    if (json_object_get(root, "num_channels") != NULL)
        RAD_TRY(rad_json_int(root, "num_channels", 3, 3, &channels, err));
    if (side % c->card.patch != 0)
        return rad_fail(err, RAD_E_RANGE, "'image_size': expected a multiple of patch_size %d",
                        (int)c->card.patch);
    const int32_t across = (int32_t)side / c->card.patch;
    RAD_TRY(read_classes(c, root, err));
    c->card.n_ctx = c->card.learned_positions = across * across + 1;
    c->card.norm = RAD_NORM_LAYER;
    c->card.bias = RAD_BIAS_ALL;
    c->card.act = RAD_ACT_GELU;
    c->card.tied = false;
    c->gelu_exact = act == 0;
    c->all_see_all = true;
    return rad_family_finish(c, root, err);
}

static const struct rad_layout vit_layout = {
    .prefix = {"vit.", ""},
    .cls = "embeddings.cls_token",
    .position = "embeddings.position_embeddings",
    .patch = "embeddings.patch_embeddings.projection",
    .norm_f = "layernorm",
    .head = "classifier",
    .layer = "encoder.layer.%d.",
    .norm1 = "layernorm_before",
    .q = "attention.attention.query",
    .k = "attention.attention.key",
    .v = "attention.attention.value",
    .o = "attention.output.dense",
    .norm2 = "layernorm_after",
    .up = "intermediate.dense",
    .down = "output.dense",
};

const struct rad_family rad_family_vit = {
    .model_type = "vit",
    .architecture = "ViTForImageClassification",
    .keys = vit_keys,
    .switches = vit_switches,
    .layout = &vit_layout,
    .eps_key = "layer_norm_eps",
    .eps = 1e-12,
    .read = read_vit,
};
