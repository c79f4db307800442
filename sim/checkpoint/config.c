/* config.c - config.json in: the shared keys by table, the rest by the family's row. */
#include "checkpoint/config.h"

#include "checkpoint/family.h"
#include "checkpoint/gguf.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 1 << 20 };

static const struct {
    const char *word;
    enum rad_dtype dtype;
} formats[] = {{"float32", RAD_F32}, {"float16", RAD_F16}, {"bfloat16", RAD_BF16}};
enum { N_FORMAT = sizeof formats / sizeof formats[0] };

const char *rad_config_dtype_word(enum rad_dtype dtype)
{
    for (int i = 0; i < N_FORMAT; i++)
        if (formats[i].dtype == dtype)
            return formats[i].word;
    return NULL;
}

static bool given(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return value != NULL && !json_is_null(value);
}

static enum rad_status read_key(struct rad_model_config *c, const struct rad_config_key *key,
                                const json_t *root, struct rad_err *err)
{
    char first[64];
    const char *other = strchr(key->key, '|');
    snprintf(first, sizeof first, "%.*s", (int)strcspn(key->key, "|"), key->key);
    const char *name = other != NULL && !given(root, first) ? other + 1 : first;
    if (key->optional && !given(root, name))
        return RAD_OK;
    int64_t value = 0;
    RAD_TRY(rad_json_int(root, name, key->min, INT32_MAX, &value, err));
    const int32_t narrow = (int32_t)value;
    memcpy((char *)c + key->offset, &narrow, sizeof narrow);
    return RAD_OK;
}

/* Parameters of a scaled rotation. */
static enum rad_status read_scaling(struct rad_rope_scaling *r, const json_t *home,
                                    struct rad_err *err)
{
    RAD_TRY(rad_json_real(home, "factor", 1.0, 1e6, &r->factor, err));
    if (r->kind == RAD_ROPE_LINEAR)
        return RAD_OK;
    int64_t original = 0;
    RAD_TRY(rad_json_real(home, "low_freq_factor", 1e-6, 1e6, &r->low_freq_factor, err));
    RAD_TRY(rad_json_real(home, "high_freq_factor", 1e-6, 1e6, &r->high_freq_factor, err));
    RAD_TRY(rad_json_int(home, "original_max_position_embeddings", 1, INT32_MAX, &original, err));
    r->original_ctx = (int32_t)original;
    if (!(r->low_freq_factor < r->high_freq_factor))
        return rad_fail(err, RAD_E_RANGE, "expected low_freq_factor below high_freq_factor");
    return RAD_OK;
}

/* rope_theta, in the newer layout within rope_parameters; kinds of scaling that are not known here
 * are refused. */
static enum rad_status read_rope(struct rad_model_config *c, const json_t *root,
                                 struct rad_err *err)
{
    static const char *const homes[] = {"rope_parameters", "rope_scaling"};
    static const char *const kinds[] = {"default", "linear", "llama3", NULL};
    c->rope_theta = 10000.0; /* the layout's default, left out by the first Llama files */
    if (given(root, "rope_theta"))
        RAD_TRY(rad_json_real(root, "rope_theta", 1.0, 1e12, &c->rope_theta, err));
    for (size_t i = 0; i < 2; i++) {
        const json_t *home = json_object_get(root, homes[i]);
        if (home == NULL || json_is_null(home))
            continue;
        if (!json_is_object(home))
            return rad_fail(err, RAD_E_PARSE, "'%s': expected an object or null", homes[i]);
        const char *type_key = given(home, "rope_type") ? "rope_type" : "type";
        const char *type = json_string_value(json_object_get(home, type_key));
        int kind = RAD_ROPE_PLAIN;
        while (type != NULL && kinds[kind] != NULL && strcmp(type, kinds[kind]) != 0)
            kind++;
        if (kinds[kind] == NULL)
            return rad_fail(err, RAD_E_UNSUPPORTED,
                            "'%s': expected type default, linear or llama3 but found '%s'",
                            homes[i], SHOW(type));
        if (type == NULL && strcmp(homes[i], "rope_scaling") == 0)
            return rad_fail(err, RAD_E_UNSUPPORTED, "'rope_scaling': expected null or a type");
        c->rope.kind = (enum rad_rope_kind)kind;
        if (kind != RAD_ROPE_PLAIN) {
            const enum rad_status status = read_scaling(&c->rope, home, err);
            if (status != RAD_OK)
                return rad_fail_in(err, status, "'%s'", homes[i]);
        }
        if (given(home, "rope_theta"))
            RAD_TRY(rad_json_real(home, "rope_theta", 1.0, 1e12, &c->rope_theta, err));
    }
    return RAD_OK;
}

/* A token id, the first of a list of ids, or -1 for null and nothing. */
static enum rad_status read_token(const json_t *root, const char *key, int32_t vocab, int32_t *out,
                                  struct rad_err *err)
{
    *out = -1;
    const json_t *value = json_object_get(root, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (value == NULL || json_is_null(value))
        return RAD_OK;
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= vocab)
        return rad_fail(err, RAD_E_RANGE, "'%s': expected a token id in 0..%" PRId32, key,
                        vocab - 1);
    *out = (int32_t)id;
    return RAD_OK;
}

static enum rad_status read_dtype(struct rad_model_config *c, const json_t *root,
                                  struct rad_err *err)
{
    const char *key = given(root, "torch_dtype") ? "torch_dtype" : "dtype";
    const char *word = NULL;
    c->dtype = RAD_F32;
    if (!given(root, key))
        return RAD_OK;
    RAD_TRY(rad_json_string(root, key, &word, err));
    for (int i = 0; i < N_FORMAT; i++) {
        if (strcmp(formats[i].word, word) == 0) {
            c->dtype = formats[i].dtype;
            return RAD_OK;
        }
    }
    return rad_fail(err, RAD_E_UNSUPPORTED,
                    "'%s': expected float32, float16 or bfloat16 but found '%s'", key, SHOW(word));
}

enum rad_status rad_config_byte_tokens(const json_t *root, bool *out, struct rad_err *err)
{
    const char *word = NULL;
    *out = false;
    if (!given(root, "radial_tokenizer"))
        return RAD_OK;
    RAD_TRY(rad_json_string(root, "radial_tokenizer", &word, err));
    if (strcmp(word, "bytes") != 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "'radial_tokenizer': expected 'bytes' but found '%s'", SHOW(word));
    *out = true;
    return RAD_OK;
}

static enum rad_status read_switches(const struct rad_family *family, const json_t *root,
                                     struct rad_err *err)
{
    const struct rad_config_switch *s = family->switches;
    for (; s != NULL && s->key != NULL; s++) {
        bool value = s->value;
        RAD_TRY(rad_json_bool(root, s->key, s->value, &value, err));
        if (value != s->value)
            return rad_fail(err, RAD_E_UNSUPPORTED, "'%s': expected %s but found %s", s->key,
                            s->value ? "true" : "false", value ? "true" : "false");
    }
    return RAD_OK;
}

enum rad_status rad_config_fill(struct rad_model_config *c, const json_t *root, struct rad_err *err)
{
    const char *type = NULL;
    const struct rad_family *family = NULL;
    RAD_TRY(rad_json_string(root, "model_type", &type, err));
    RAD_TRY(rad_family_find(type, &family, err));
    snprintf(c->model_type, sizeof c->model_type, "%s", family->model_type);
    for (const struct rad_config_key *key = family->keys; key->key != NULL; key++)
        RAD_TRY(read_key(c, key, root, err));
    RAD_TRY(read_switches(family, root, err));
    double eps = family->eps;
    if (eps <= 0.0 || (family->eps_key != NULL && given(root, family->eps_key)))
        RAD_TRY(rad_json_real(root, family->eps_key, 1e-12, 0.1, &eps, err));
    c->rms_eps = (float)eps;
    c->rope_theta = 10000.0;
    if (family->rotary)
        RAD_TRY(read_rope(c, root, err));
    RAD_TRY(read_token(root, "bos_token_id", c->card.vocab, &c->bos, err));
    RAD_TRY(read_token(root, "eos_token_id", c->card.vocab, &c->eos, err));
    RAD_TRY(read_dtype(c, root, err));
    RAD_TRY(rad_json_bool(root, "tie_word_embeddings", family->tied, &c->card.tied, err));
    RAD_TRY(rad_config_byte_tokens(root, &c->byte_tokens, err));
    RAD_TRY(family->read(c, root, err));
    return rad_card_check(&c->card, err);
}

/* Other characters than a card may have become '-'. */
static void name_after(struct rad_card *card, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    rad_hub_name(card->name, sizeof card->name, path);
    for (char *p = card->name; *p != '\0'; p++)
        *p = strchr(plain, *p) != NULL ? *p : '-';
    if (card->name[0] == '\0' || strcmp(card->name, ".") == 0 || strcmp(card->name, "..") == 0)
        snprintf(card->name, sizeof card->name, "model");
}

enum rad_status rad_config_read(struct rad_config_file *out, const char *folder,
                                struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    out->root = NULL;
    RAD_TRY(rad_ckpt_path(out->path, folder, "config.json", err));
    RAD_TRY(rad_ckpt_read(out->path, CONFIG_MAX, &text, &len, err));
    const enum rad_status status = rad_json_parse(&out->root, text, len, out->path, err);
    free(text);
    return status;
}

static enum rad_status open_json(struct rad_model_config *out, const char *folder,
                                 struct rad_err *err)
{
    struct rad_config_file file;
    RAD_TRY(rad_config_read(&file, folder, err));
    const enum rad_status status = rad_config_fill(out, file.root, err);
    json_decref(file.root);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", file.path);
}

static enum rad_status open_gguf(struct rad_model_config *out, const char *path,
                                 struct rad_err *err)
{
    struct rad_gguf_parts parts;
    RAD_TRY(rad_gguf_parts_open(&parts, path, err));
    const enum rad_status status = rad_gguf_config_fill(out, &parts, err);
    rad_gguf_parts_close(&parts);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", path);
}

enum rad_status rad_model_config_open(struct rad_model_config *out, const char *folder,
                                      struct rad_err *err)
{
    *out = (struct rad_model_config){0};
    name_after(&out->card, folder);
    const enum rad_status status = rad_ckpt_is_gguf(folder) ? open_gguf(out, folder, err)
                                                            : open_json(out, folder, err);
    if (status != RAD_OK)
        *out = (struct rad_model_config){0};
    return status;
}
