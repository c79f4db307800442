/* gguf_config.c - the metadata of a GGUF file as a model's configuration, and its tensors' names.
 *
 * Keys as in docs/gguf.md of the ggml project; names and order of tensors as its converters write
 * them: matrices [n_out][n_in] in every family, Q, K and V of GPT-2 and BLOOM stacked, rows of Q
 * and K of `llama` reordered so that the pairs that turn together are neighbours. */
#include "checkpoint/config.h"

#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- families ------------------------------------------------------------------------------ */

#define ENDS .prefix = {""}, .embed = "token_embd", .norm_f = "output_norm", .head = "output"
#define LAYER                                                                                      \
    .layer = "blk.%d.", .norm1 = "attn_norm", .o = "attn_output", .norm2 = "ffn_norm",             \
    .up = "ffn_up", .down = "ffn_down"

static const struct rad_layout llama_layout = {ENDS,
                                               LAYER,
                                               .q = "attn_q",
                                               .k = "attn_k",
                                               .v = "attn_v",
                                               .gate = "ffn_gate",
                                               .rope_freqs = "rope_freqs"};
static const struct rad_layout gpt2_layout = {ENDS, LAYER, .q = "attn_qkv", .qkv = RAD_QKV_STACKED,
                                              .position = "position_embd"};
static const struct rad_layout bloom_layout = {ENDS, LAYER, .q = "attn_qkv", .qkv = RAD_QKV_STACKED,
                                               .embed_norm = "token_embd_norm"};

struct family {
    const char *architecture; /* in the file, and model_type here */
    const struct rad_layout *layout;
    const char *eps;
    enum rad_norm norm;
    enum rad_act act;
    bool rope, rope_pairs;
};

static const struct family families[] = {
    {"llama", &llama_layout, "attention.layer_norm_rms_epsilon", RAD_NORM_RMS, RAD_ACT_SWIGLU, true,
     true},
    {"qwen2", &llama_layout, "attention.layer_norm_rms_epsilon", RAD_NORM_RMS, RAD_ACT_SWIGLU, true,
     false},
    {"gpt2", &gpt2_layout, "attention.layer_norm_epsilon", RAD_NORM_LAYER, RAD_ACT_GELU, false,
     false},
    {"bloom", &bloom_layout, "attention.layer_norm_epsilon", RAD_NORM_LAYER, RAD_ACT_GELU, false,
     false},
};
enum { N_FAMILY = sizeof families / sizeof families[0] };

static const struct family *family_named(const char *name)
{
    for (int i = 0; i < N_FAMILY; i++)
        if (strcmp(families[i].architecture, name) == 0)
            return &families[i];
    return NULL;
}

const struct rad_layout *rad_gguf_layout(const char *model_type)
{
    const struct family *f = family_named(model_type);
    return f != NULL ? f->layout : NULL;
}

/* ---- keys of the architecture -------------------------------------------------------------- */

struct reader {
    const struct rad_gguf_parts *parts;
    const struct rad_gguf *g; /* the first of them */
    const struct family *family;
    struct rad_model_config *c;
    struct rad_err *err;
};

enum { KEY_BYTES = 96 };

/* "llama.block_count", as an argument of the call that uses it. */
#define KEY(r, name) full_key((char[KEY_BYTES]){0}, r, name)
static const char *full_key(char out[KEY_BYTES], const struct reader *r, const char *name)
{
    snprintf(out, KEY_BYTES, "%s.%s", r->family->architecture, name);
    return out;
}

static bool given(const struct reader *r, const char *name)
{
    return rad_gguf_find(r->g, KEY(r, name)) != NULL;
}

/* A count of at least 1; the upper limits are rad_card_check's. */
static enum rad_status count(const struct reader *r, const char *name, int32_t *out)
{
    int64_t x = 0;
    RAD_TRY(rad_gguf_int(r->g, KEY(r, name), 1, INT32_MAX, &x, r->err));
    *out = (int32_t)x;
    return RAD_OK;
}

/* The same, or def where the key is absent. */
static enum rad_status count_or(const struct reader *r, const char *name, int32_t def, int32_t *out)
{
    *out = def;
    return given(r, name) ? count(r, name, out) : RAD_OK;
}

static const struct rad_tensor *tensor(const struct reader *r, const char *name)
{
    return rad_st_find(r->parts->tensor, r->parts->n, name);
}

/* ---- what is refused ----------------------------------------------------------------------- */

/* Keys that change the arithmetic, and the value at which they do not. */
static const struct {
    const char *name;
    double neutral;
} switches[] = {
    {"expert_count", 0},
    {"use_parallel_residual", 0},
    {"attention.max_alibi_bias", 8},
    {"attention.clamp_kqv", 0},
    {"attention.causal", 1},
    {"attn_logit_softcapping", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"final_logit_softcapping", 0},
    {"rope.scaling.attn_factor", 1},
};

static enum rad_status check_switches(const struct reader *r)
{
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        const struct rad_gguf_value *v = rad_gguf_find(r->g, KEY(r, switches[i].name));
        if (v == NULL)
            continue;
        if (v->type == RAD_GGUF_STRING || v->type == RAD_GGUF_ARRAY)
            return rad_fail(r->err, RAD_E_PARSE, "'%s': expected a number",
                            KEY(r, switches[i].name));
        const bool real = v->type == RAD_GGUF_F32 || v->type == RAD_GGUF_F64;
        const double x = real ? rad_gguf_real_at(v, 0) : (double)rad_gguf_int_at(v, 0);
        if (!(fabs(x - switches[i].neutral) <= 0.0))
            return rad_fail(r->err, RAD_E_UNSUPPORTED, "'%s': expected %g but found %g",
                            KEY(r, switches[i].name), switches[i].neutral, x);
    }
    return RAD_OK;
}

/* Files that are no model. */
static enum rad_status check_kind(const struct reader *r)
{
    struct rad_gguf_text type;
    if (rad_gguf_find(r->g, "general.type") != NULL) {
        RAD_TRY(rad_gguf_string(r->g, "general.type", &type, r->err));
        if (!rad_gguf_text_is(type, "model"))
            return rad_fail(r->err, RAD_E_UNSUPPORTED,
                            "'general.type': expected a model but found an adapter or the like");
    }
    return RAD_OK;
}

static enum rad_status read_architecture(struct reader *r)
{
    struct rad_gguf_text text;
    char name[32];
    RAD_TRY(rad_gguf_string(r->g, "general.architecture", &text, r->err));
    snprintf(name, sizeof name, "%.*s", (int)(text.len < sizeof name ? text.len : sizeof name - 1),
             text.data);
    r->family = text.len < sizeof name ? family_named(name) : NULL;
    if (r->family == NULL)
        return rad_fail(r->err, RAD_E_UNSUPPORTED,
                        "architecture '%s' is not supported; expected llama (also Mistral), qwen2, "
                        "gpt2 or bloom",
                        SHOW(name));
    snprintf(r->c->model_type, sizeof r->c->model_type, "%s", name);
    return RAD_OK;
}

/* ---- what is read -------------------------------------------------------------------------- */

static enum rad_status read_heads(const struct reader *r)
{
    struct rad_card *card = &r->c->card;
    int32_t value = 0;
    RAD_TRY(count(r, "attention.head_count", &card->n_head));
    RAD_TRY(count_or(r, "attention.head_count_kv", card->n_head, &card->n_kv));
    if (!given(r, "attention.key_length") && card->d_model % card->n_head != 0)
        return rad_fail(r->err, RAD_E_RANGE,
                        "expected embedding_length %d to be a multiple of attention.head_count %d",
                        (int)card->d_model, (int)card->n_head);
    RAD_TRY(count_or(r, "attention.key_length", card->d_model / card->n_head, &card->d_head));
    RAD_TRY(count_or(r, "attention.value_length", card->d_head, &value));
    if (value != card->d_head)
        return rad_fail(r->err, RAD_E_UNSUPPORTED, "'%s': expected that of keys, %d, but found %d",
                        KEY(r, "attention.value_length"), (int)card->d_head, (int)value);
    RAD_TRY(count_or(r, "attention.sliding_window", card->n_ctx, &value));
    r->c->window = value < card->n_ctx ? value : 0;
    return RAD_OK;
}

/* Linear scaling; that of Llama 3 is a tensor of divisors. */
static enum rad_status read_scaling(const struct reader *r)
{
    struct rad_rope_scaling *s = &r->c->rope;
    struct rad_gguf_text type;
    const char *factor = "rope.scale_linear"; /* of older files */
    if (given(r, "rope.scaling.type")) {
        RAD_TRY(rad_gguf_string(r->g, KEY(r, "rope.scaling.type"), &type, r->err));
        if (rad_gguf_text_is(type, "none"))
            return RAD_OK;
        if (!rad_gguf_text_is(type, "linear"))
            return rad_fail(r->err, RAD_E_UNSUPPORTED, "'%s': expected none or linear",
                            KEY(r, "rope.scaling.type"));
        factor = "rope.scaling.factor";
    } else if (!given(r, factor)) {
        return RAD_OK;
    }
    s->kind = RAD_ROPE_LINEAR;
    return rad_gguf_real(r->g, KEY(r, factor), 1.0, 1e6, &s->factor, r->err);
}

static enum rad_status read_rope(const struct reader *r)
{
    const int32_t d = r->c->card.d_head;
    int32_t n = 0;
    r->c->rope_theta = 10000.0;
    r->c->rope_pairs = r->family->rope_pairs;
    if (given(r, "rope.freq_base"))
        RAD_TRY(
            rad_gguf_real(r->g, KEY(r, "rope.freq_base"), 1.0, 1e12, &r->c->rope_theta, r->err));
    RAD_TRY(count_or(r, "rope.dimension_count", d, &n));
    if (n != d)
        return rad_fail(r->err, RAD_E_UNSUPPORTED, "'%s': expected all %d of a head but found %d",
                        KEY(r, "rope.dimension_count"), (int)d, (int)n);
    return read_scaling(r);
}

/* A token id, or -1 if the file has none. */
static enum rad_status read_token(const struct reader *r, const char *key, int32_t *out)
{
    int64_t id = -1;
    if (rad_gguf_find(r->g, key) != NULL)
        RAD_TRY(rad_gguf_int(r->g, key, -1, UINT32_MAX, &id, r->err));
    if (id == UINT32_MAX) /* -1 in a field without sign */
        id = -1;
    if (id >= r->c->card.vocab)
        return rad_fail(r->err, RAD_E_RANGE, "'%s': expected a token id in 0..%d but found %lld",
                        key, (int)r->c->card.vocab - 1, (long long)id);
    *out = (int32_t)id;
    return RAD_OK;
}

/* Which matrices have biases is for the tensors to say. */
static enum rad_status read_bias(const struct reader *r)
{
    const bool q = tensor(r, "blk.0.attn_q.bias") != NULL;
    const bool o = tensor(r, "blk.0.attn_output.bias") != NULL;
    const bool down = tensor(r, "blk.0.ffn_down.bias") != NULL;
    if (r->family->norm == RAD_NORM_LAYER)
        r->c->card.bias = RAD_BIAS_ALL;
    else if ((o || down) && !(q && o))
        return rad_fail(r->err, RAD_E_UNSUPPORTED,
                        "expected biases of Q, K and V, or of the attention, or of all matrices");
    else
        r->c->card.bias = down ? RAD_BIAS_ALL
                          : o  ? RAD_BIAS_ATTN
                          : q  ? RAD_BIAS_QKV
                               : RAD_BIAS_NONE;
    return RAD_OK;
}

/* The rows of the token table are the vocabulary; without a head of its own the model is tied. */
static enum rad_status read_tensors(const struct reader *r)
{
    static const enum rad_dtype of_block[] = {[RAD_BLOCK_NONE] = RAD_F32,
                                              [RAD_BLOCK_Q8_0] = RAD_INT8,
                                              [RAD_BLOCK_Q4_0] = RAD_INT4,
                                              [RAD_BLOCK_Q6_K] = RAD_INT8};
    const struct rad_tensor *embed = tensor(r, "token_embd.weight");
    const struct rad_tensor *down = tensor(r, "blk.0.ffn_down.weight");
    if (embed == NULL || embed->shape.n_dim != 2 || embed->shape.dim[0] > INT32_MAX)
        return rad_fail(r->err, RAD_E_RANGE,
                        "expected a tensor 'token_embd.weight' [vocabulary, "
                        "embedding_length] but found none");
    r->c->card.vocab = (int32_t)embed->shape.dim[0];
    r->c->card.tied = tensor(r, "output.weight") == NULL;
    r->c->dtype = RAD_F32;
    if (down != NULL)
        r->c->dtype = down->dtype != RAD_N_DTYPE ? down->dtype : of_block[down->block];
    return read_bias(r);
}

static enum rad_status read_all(struct reader *r)
{
    struct rad_card *card = &r->c->card;
    double eps = 0.0;
    RAD_TRY(check_kind(r));
    RAD_TRY(read_architecture(r));
    RAD_TRY(check_switches(r));
    RAD_TRY(count(r, "block_count", &card->n_layer));
    RAD_TRY(count(r, "context_length", &card->n_ctx));
    RAD_TRY(count(r, "embedding_length", &card->d_model));
    if (given(r, "feed_forward_length") || r->family->act == RAD_ACT_SWIGLU ||
        card->d_model > INT32_MAX / 4)
        RAD_TRY(count(r, "feed_forward_length", &card->ffn));
    else
        card->ffn = 4 * card->d_model;
    RAD_TRY(read_heads(r));
    RAD_TRY(rad_gguf_real(r->g, KEY(r, r->family->eps), 1e-12, 0.1, &eps, r->err));
    r->c->rms_eps = (float)eps;
    r->c->rope_theta = 10000.0;
    if (r->family->rope)
        RAD_TRY(read_rope(r));
    RAD_TRY(read_tensors(r));
    card->norm = r->family->norm;
    card->act = r->family->act;
    card->alibi = card->embed_norm = r->family->layout->embed_norm != NULL;
    card->learned_positions = r->family->layout->position != NULL ? card->n_ctx : 0;
    card->max_hops = r->c->router.max_hops = card->n_layer;
    RAD_TRY(read_token(r, "tokenizer.ggml.bos_token_id", &r->c->bos));
    RAD_TRY(read_token(r, "tokenizer.ggml.eos_token_id", &r->c->eos));
    return rad_card_check(card, r->err);
}

enum rad_status rad_gguf_config_fill(struct rad_model_config *out,
                                     const struct rad_gguf_parts *parts, struct rad_err *err)
{
    struct reader r = {parts, &parts->part[0], NULL, out, err};
    out->gguf = true;
    return read_all(&r);
}
