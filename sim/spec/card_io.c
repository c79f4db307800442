/* card_io.c - model cards as YAML files and as JSON text.
 *
 * One table of fields serves both, so that what a trace stores is what a card file says. */
#include "base/io.h"
#include "base/json.h"
#include "base/near.h"
#include "base/yaml.h"
#include "spec/spec.h"

#include <stdlib.h>
#include <string.h>

enum { FIELD_REQUIRED = -1, FIELD_N_HEAD = -2, FIELD_D_HEAD = -3, FIELD_N_LAYER = -4 };

static const struct field {
    const char *key;
    size_t offset;
    int32_t def; /* a number >= 0, or one of FIELD_*: what stands in for an absent key */
} fields[] = {
    {"n_layer", offsetof(struct rad_card, n_layer), FIELD_REQUIRED},
    {"d_model", offsetof(struct rad_card, d_model), FIELD_REQUIRED},
    {"n_head", offsetof(struct rad_card, n_head), FIELD_REQUIRED},
    {"n_kv", offsetof(struct rad_card, n_kv), FIELD_N_HEAD},
    {"d_head", offsetof(struct rad_card, d_head), FIELD_D_HEAD},
    {"ffn", offsetof(struct rad_card, ffn), FIELD_REQUIRED},
    {"vocab", offsetof(struct rad_card, vocab), FIELD_REQUIRED},
    {"n_ctx", offsetof(struct rad_card, n_ctx), FIELD_REQUIRED},
    {"learned_positions", offsetof(struct rad_card, learned_positions), 0},
    {"router_hidden", offsetof(struct rad_card, router_hidden), 0},
    {"max_hops", offsetof(struct rad_card, max_hops), FIELD_N_LAYER},
    {"embed_dim", offsetof(struct rad_card, embed_dim), 0},
    {"patch", offsetof(struct rad_card, patch), 0},
};
enum { N_FIELD = sizeof fields / sizeof fields[0], N_FIRST = N_FIELD - 2 /* always in JSON */ };

/* Yes or no, absent for no. */
static const struct flag {
    const char *key;
    size_t offset;
} flags[] = {
    {"post_norm", offsetof(struct rad_card, post_norm)},
    {"alibi", offsetof(struct rad_card, alibi)},
    {"embed_norm", offsetof(struct rad_card, embed_norm)},
};
enum { N_FLAG = sizeof flags / sizeof flags[0] };

/* The words of an enumeration, in its order. */
static const struct words {
    const char *key, *list[4], *all;
    unsigned n;
} norms = {"norm", {"rms", "layer"}, "rms or layer", 2},
  acts = {"act", {"swiglu", "gelu", "relu"}, "swiglu, gelu or relu", 3},
  biases = {"bias", {"none", "qkv", "all", "attn"}, "none, qkv, all or attn", 4};

static int32_t *int_field(struct rad_card *c, const struct field *f)
{
    return (int32_t *)(void *)((char *)c + f->offset);
}

static bool *flag_field(struct rad_card *c, const struct flag *f)
{
    return (bool *)(void *)((char *)c + f->offset);
}

/* The index of word among words[n], or n. */
static unsigned word_index(const char *const words[], unsigned n, const char *word)
{
    unsigned i = 0;
    while (i < n && strcmp(words[i], word) != 0)
        i++;
    return i;
}

static int32_t field_default(const struct rad_card *c, int32_t def)
{
    switch (def) {
    case FIELD_N_HEAD:
        return c->n_head;
    case FIELD_D_HEAD:
        return c->n_head > 0 ? c->d_model / c->n_head : 0;
    case FIELD_N_LAYER:
        return c->n_layer;
    default:
        return def;
    }
}

/* ---- YAML ------------------------------------------------------------------------------ */

static const char *const yaml_keys[] = {
    "name",      "about", "sources",    "n_layer", "d_model",           "n_head",        "n_kv",
    "d_head",    "ffn",   "vocab",      "n_ctx",   "learned_positions", "router_hidden", "max_hops",
    "norm",      "act",   "bias",       "tied",    "params_expected",   "embed_dim",     "patch",
    "post_norm", "alibi", "embed_norm",
};

static enum rad_status yaml_word(const rad_yaml_node *root, const struct words *w, unsigned *out,
                                 struct rad_err *err)
{
    const rad_yaml_node *node = NULL;
    RAD_TRY(rad_yaml_need(root, w->key, &node, err));
    *out = word_index(w->list, w->n, rad_yaml_text(node));
    if (*out == w->n)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "%s: expected %s but found '%.32s'", w->key,
                             w->all, rad_yaml_text(node));
    return RAD_OK;
}

static enum rad_status yaml_ints(struct rad_card *c, const rad_yaml_node *root, struct rad_err *err)
{
    for (size_t i = 0; i < N_FIELD; i++) {
        const rad_yaml_node *node = rad_yaml_find(root, fields[i].key);
        int64_t value = 0;
        if (node == NULL && fields[i].def == FIELD_REQUIRED)
            RAD_TRY(rad_yaml_need(root, fields[i].key, &node, err));
        if (node == NULL)
            value = field_default(c, fields[i].def);
        else
            RAD_TRY(rad_yaml_int(node, 0, INT32_MAX, &value, err));
        *int_field(c, &fields[i]) = (int32_t)value;
    }
    const rad_yaml_node *expected = rad_yaml_find(root, "params_expected");
    if (expected != NULL)
        RAD_TRY(rad_yaml_int(expected, 0, INT64_MAX, &c->params_expected, err));
    return RAD_OK;
}

static enum rad_status yaml_words(struct rad_card *c, const rad_yaml_node *root,
                                  struct rad_err *err)
{
    unsigned norm = 0, act = 0, bias = RAD_BIAS_NONE;
    RAD_TRY(yaml_word(root, &norms, &norm, err));
    RAD_TRY(yaml_word(root, &acts, &act, err));
    if (rad_yaml_find(root, "bias") != NULL)
        RAD_TRY(yaml_word(root, &biases, &bias, err));
    c->norm = (enum rad_norm)norm;
    c->act = (enum rad_act)act;
    c->bias = (enum rad_bias)bias;
    for (size_t i = 0; i < N_FLAG; i++) {
        const rad_yaml_node *flag = rad_yaml_find(root, flags[i].key);
        if (flag != NULL)
            RAD_TRY(rad_yaml_bool(flag, flag_field(c, &flags[i]), err));
    }
    const rad_yaml_node *tied = rad_yaml_find(root, "tied");
    return tied != NULL ? rad_yaml_bool(tied, &c->tied, err) : RAD_OK;
}

static enum rad_status set_name(struct rad_card *c, const char *name, struct rad_err *err)
{
    const size_t len = strlen(name);
    if (len >= sizeof c->name)
        return rad_fail(err, RAD_E_RANGE, "name: expected at most %d bytes but found %zu",
                        RAD_CARD_NAME - 1, len);
    memcpy(c->name, name, len + 1);
    return RAD_OK;
}

/* The value that a message "key: ..." is about. */
static const rad_yaml_node *blamed(const rad_yaml_node *root, const char *msg)
{
    char key[32] = "";
    const size_t len = strcspn(msg, ":");
    if (len < sizeof key)
        memcpy(key, msg, len); /* the rest is zero */
    const rad_yaml_node *node = rad_yaml_find(root, key);
    return node ? node : root;
}

static enum rad_status card_from_yaml(struct rad_card *c, const rad_yaml_node *root,
                                      struct rad_err *err)
{
    const rad_yaml_node *name = NULL, *sources = NULL;
    RAD_TRY(rad_yaml_only(root, yaml_keys, sizeof yaml_keys / sizeof yaml_keys[0], err));
    RAD_TRY(rad_yaml_need(root, "name", &name, err));
    RAD_TRY(rad_yaml_need(root, "sources", &sources, err));
    if (rad_yaml_kind(sources) != RAD_YAML_MAP || rad_yaml_count(sources) == 0)
        return rad_yaml_fail(sources, err, RAD_E_PARSE,
                             "sources: expected a mapping of names to texts; say where the shape "
                             "is from");
    RAD_TRY(yaml_ints(c, root, err));
    RAD_TRY(yaml_words(c, root, err));
    struct rad_err why;
    enum rad_status status = set_name(c, rad_yaml_text(name), &why);
    if (status == RAD_OK)
        status = rad_card_check(c, &why);
    return status == RAD_OK ? status
                            : rad_yaml_fail(blamed(root, why.msg), err, status, "%s", why.msg);
}

enum rad_status rad_card_open(struct rad_card *out, const char *path, struct rad_err *err)
{
    char file[RAD_PATH_MAX];
    rad_yaml *doc = NULL;
    memset(out, 0, sizeof *out);
    RAD_TRY(rad_data_find(file, sizeof file, "models", path, ".yaml", err));
    RAD_TRY(rad_yaml_open(&doc, file, err));
    struct rad_card card = {0};
    const enum rad_status status = card_from_yaml(&card, rad_yaml_root(doc), err);
    rad_yaml_close(doc);
    if (status == RAD_OK)
        *out = card;
    return status;
}

/* ---- JSON ------------------------------------------------------------------------------ */

static bool json_put(json_t *obj, const char *key, json_t *value)
{
    return json_object_set_new(obj, key, value) == 0; /* NULL is refused by jansson */
}

static bool json_fill(json_t *obj, const struct rad_card *card)
{
    struct rad_card c = *card;
    bool ok = json_put(obj, "name", json_string(c.name));
    for (size_t i = 0; i < N_FIELD; i++) {
        const int32_t value = *int_field(&c, &fields[i]);
        if (i < N_FIRST || value != 0)
            ok = ok && json_put(obj, fields[i].key, json_integer(value));
    }
    for (size_t i = 0; i < N_FLAG; i++)
        if (*flag_field(&c, &flags[i]))
            ok = ok && json_put(obj, flags[i].key, json_true());
    return ok && json_put(obj, "norm", json_string(norms.list[c.norm])) &&
           json_put(obj, "act", json_string(acts.list[c.act])) &&
           json_put(obj, "bias", json_string(biases.list[c.bias])) &&
           json_put(obj, "tied", json_boolean(c.tied)) &&
           json_put(obj, "params_expected", json_integer(c.params_expected));
}

enum rad_status rad_card_to_json(const struct rad_card *card, char **out, struct rad_err *err)
{
    *out = NULL;
    RAD_TRY(rad_card_check(card, err));
    json_t *obj = json_object();
    if (obj == NULL || !json_fill(obj, card)) {
        json_decref(obj);
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate the JSON of card '%s'", card->name);
    }
    const enum rad_status status = rad_json_dump(obj, out, err);
    json_decref(obj);
    return status;
}

static enum rad_status json_word(const json_t *obj, const struct words *w, unsigned *out,
                                 struct rad_err *err)
{
    const char *text = NULL;
    RAD_TRY(rad_json_string(obj, w->key, &text, err));
    *out = word_index(w->list, w->n, text);
    if (*out == w->n)
        return rad_fail(err, RAD_E_PARSE, "'%s': expected %s but found '%.32s'", w->key, w->all,
                        text);
    return RAD_OK;
}

/* A card written by another version must not lose a field in silence. */
static enum rad_status json_only(json_t *obj, struct rad_err *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    const size_t n = sizeof yaml_keys / sizeof yaml_keys[0];
    if (!json_is_object(obj))
        return rad_fail(err, RAD_E_PARSE, "expected an object");
    json_object_foreach(obj, key, value)
    {
        if (word_index(yaml_keys, (unsigned)n, key) < n)
            continue;
        const char *near = rad_nearest(key, yaml_keys, n);
        return rad_fail(err, RAD_E_PARSE, "unknown key '%.32s'%s%s%s", key,
                        near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
    return RAD_OK;
}

static enum rad_status card_from_json(struct rad_card *c, json_t *obj, struct rad_err *err)
{
    const char *name = NULL;
    unsigned norm = 0, act = 0, bias = 0;
    RAD_TRY(json_only(obj, err));
    RAD_TRY(rad_json_string(obj, "name", &name, err));
    RAD_TRY(set_name(c, name, err));
    for (size_t i = 0; i < N_FIELD; i++) {
        int64_t value = 0;
        if (i >= N_FIRST && json_object_get(obj, fields[i].key) == NULL)
            continue;
        RAD_TRY(rad_json_int(obj, fields[i].key, 0, INT32_MAX, &value, err));
        *int_field(c, &fields[i]) = (int32_t)value;
    }
    for (size_t i = 0; i < N_FLAG; i++)
        RAD_TRY(rad_json_bool(obj, flags[i].key, false, flag_field(c, &flags[i]), err));
    RAD_TRY(json_word(obj, &norms, &norm, err));
    RAD_TRY(json_word(obj, &acts, &act, err));
    RAD_TRY(json_word(obj, &biases, &bias, err));
    c->norm = (enum rad_norm)norm;
    c->act = (enum rad_act)act;
    c->bias = (enum rad_bias)bias;
    RAD_TRY(rad_json_bool(obj, "tied", false, &c->tied, err));
    RAD_TRY(rad_json_int(obj, "params_expected", 0, INT64_MAX, &c->params_expected, err));
    return rad_card_check(c, err);
}

enum rad_status rad_card_from_json(struct rad_card *out, const char *text, struct rad_err *err)
{
    memset(out, 0, sizeof *out);
    json_t *obj = NULL;
    RAD_TRY(rad_json_parse(&obj, text, strlen(text), "card", err));
    struct rad_card card = {0};
    enum rad_status status = card_from_json(&card, obj, err);
    json_decref(obj);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "card");
    *out = card;
    return RAD_OK;
}
