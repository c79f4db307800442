/* spec.c - the YAML spec of a training run. */
#include "base/near.h"
#include "base/yaml.h"
#include "train/train.h"

#include <stdio.h>
#include <string.h>

#define TRAIN_INT(node, key, lo, hi, field)                                                        \
    do {                                                                                           \
        const rad_yaml_node *value_ = rad_yaml_find(node, key);                                    \
        int64_t number_ = 0;                                                                       \
        if (value_ != NULL) {                                                                      \
            RAD_TRY(rad_yaml_int(value_, lo, hi, &number_, err));                                  \
            (field) = (__typeof__(field))number_;                                                  \
        }                                                                                          \
    } while (0)
#define TRAIN_REAL(node, key, lo, hi, field)                                                       \
    do {                                                                                           \
        const rad_yaml_node *value_ = rad_yaml_find(node, key);                                    \
        if (value_ != NULL)                                                                        \
            RAD_TRY(rad_yaml_real(value_, lo, hi, &(field), err));                                 \
    } while (0)

static const struct rad_train_spec defaults = {
    .card = {.name = "model",
             .n_layer = 8,
             .d_model = 128,
             .n_head = 4,
             .vocab = 256,
             .n_ctx = 256,
             .tied = true},
    .steps = 1000,
    .batch = 12,
    .shards = 4,
    .seed = 1,
    .lr = {.max = 2e-3, .min = 2e-4, .warmup = 200},
    .beta1 = 0.9,
    .beta2 = 0.95,
    .decay = 0.1,
    .clip = 1.0,
    .gemm = RAD_GEMM_F32,
    .distill = 0.75,
    .align = 4.0,
    .router = {.price_min = 0.004,
               .price_max = 0.3,
               .half = 0.6,
               .full = 0.15,
               .extra = 0.3,
               .lead = 0.7,
               .weight = 1.0},
    .checkpoint_s = 180,
    .save_dtype = RAD_F32,
};

static enum rad_status choice(const rad_yaml_node *map, const char *key, const char *const words[2],
                              int *out, struct rad_err *err)
{
    const rad_yaml_node *node = rad_yaml_find(map, key);
    if (node == NULL)
        return RAD_OK;
    for (int i = 0; i < 2; i++)
        if (strcmp(rad_yaml_text(node), words[i]) == 0) {
            *out = i;
            return RAD_OK;
        }
    return rad_yaml_fail(node, err, RAD_E_PARSE, "'%s' must be %s or %s but is '%s'", key, words[0],
                         words[1], rad_yaml_text(node));
}

static enum rad_status text(const rad_yaml_node *map, const char *key, char *out, size_t size,
                            struct rad_err *err)
{
    const rad_yaml_node *node = rad_yaml_find(map, key);
    if (node == NULL)
        return RAD_OK;
    if ((size_t)snprintf(out, size, "%s", rad_yaml_text(node)) >= size)
        return rad_yaml_fail(node, err, RAD_E_RANGE, "'%s' is longer than %zu bytes", key,
                             size - 1);
    return RAD_OK;
}

static enum rad_status read_model(struct rad_card *c, const rad_yaml_node *map, struct rad_err *err)
{
    static const char *const keys[] = {"n_layer", "d_model", "n_head", "n_kv", "ffn",
                                       "ctx",     "norm",    "act",    "tied"};
    RAD_TRY(rad_yaml_only(map, keys, sizeof keys / sizeof keys[0], err));
    TRAIN_INT(map, "n_layer", 1, 64, c->n_layer);
    TRAIN_INT(map, "d_model", 8, 8192, c->d_model);
    TRAIN_INT(map, "n_head", 1, 256, c->n_head);
    c->n_kv = c->n_head;
    TRAIN_INT(map, "n_kv", 1, 256, c->n_kv);
    TRAIN_INT(map, "ctx", 2, 65536, c->n_ctx);
    if (c->d_model % c->n_head != 0 || c->d_model / c->n_head % 2 != 0)
        return rad_yaml_fail(map, err, RAD_E_RANGE,
                             "d_model %d must split into n_head %d heads of an even size",
                             c->d_model, c->n_head);
    c->d_head = c->d_model / c->n_head;
    int norm = 0, act = 0;
    RAD_TRY(choice(map, "norm", (const char *const[2]){"rms", "layer"}, &norm, err));
    RAD_TRY(choice(map, "act", (const char *const[2]){"swiglu", "gelu"}, &act, err));
    c->norm = norm ? RAD_NORM_LAYER : RAD_NORM_RMS;
    c->act = act ? RAD_ACT_GELU : RAD_ACT_SWIGLU;
    c->ffn = act ? 4 * c->d_model : (8 * c->d_model / 3 + 15) / 16 * 16;
    TRAIN_INT(map, "ffn", 8, 65536, c->ffn);
    const rad_yaml_node *tied = rad_yaml_find(map, "tied");
    return tied == NULL ? RAD_OK : rad_yaml_bool(tied, &c->tied, err);
}

/* Every layer once, the most needed first. */
static enum rad_status read_order(struct rad_train_spec *s, const rad_yaml_node *list,
                                  struct rad_err *err)
{
    bool seen[64] = {false};
    if (list == NULL)
        return RAD_OK;
    if (rad_yaml_count(list) != (size_t)s->card.n_layer)
        return rad_yaml_fail(list, err, RAD_E_PARSE, "'order' must list all %d layers",
                             s->card.n_layer);
    for (int32_t i = 0; i < s->card.n_layer; i++) {
        const rad_yaml_node *node = rad_yaml_at(list, (size_t)i);
        int64_t layer = 0;
        RAD_TRY(rad_yaml_int(node, 0, s->card.n_layer - 1, &layer, err));
        if (seen[layer])
            return rad_yaml_fail(node, err, RAD_E_RANGE, "'order' has layer %d twice", (int)layer);
        seen[layer] = true;
        s->router.order[i] = (int32_t)layer;
    }
    s->router.n_order = s->card.n_layer;
    return RAD_OK;
}

static enum rad_status read_router(struct rad_train_spec *s, const rad_yaml_node *map,
                                   struct rad_err *err)
{
    static const char *const keys[] = {"hidden", "max_hops", "price",  "half", "full",
                                       "extra",  "lead",     "weight", "order"};
    s->card.max_hops = s->card.n_layer;
    if (map == NULL)
        return RAD_OK;
    RAD_TRY(rad_yaml_only(map, keys, sizeof keys / sizeof keys[0], err));
    s->card.router_hidden = 64;
    s->card.max_hops = s->card.n_layer + s->card.n_layer / 4;
    TRAIN_INT(map, "hidden", s->card.n_layer + 1, 4096, s->card.router_hidden);
    TRAIN_INT(map, "max_hops", 1, 256, s->card.max_hops);
    const rad_yaml_node *price = rad_yaml_find(map, "price");
    if (price != NULL) {
        if (rad_yaml_count(price) != 2)
            return rad_yaml_fail(price, err, RAD_E_PARSE, "'price' must be [lowest, highest]");
        RAD_TRY(rad_yaml_real(rad_yaml_at(price, 0), 1e-6, 10, &s->router.price_min, err));
        RAD_TRY(rad_yaml_real(rad_yaml_at(price, 1), s->router.price_min, 10, &s->router.price_max,
                              err));
    }
    RAD_TRY(read_order(s, rad_yaml_find(map, "order"), err));
    TRAIN_REAL(map, "half", 0, 1, s->router.half);
    TRAIN_REAL(map, "full", 0, 1, s->router.full);
    TRAIN_REAL(map, "extra", 0, 1, s->router.extra);
    TRAIN_REAL(map, "lead", 0, 1, s->router.lead);
    TRAIN_REAL(map, "weight", 0, 1000, s->router.weight);
    return RAD_OK;
}

static enum rad_status read_rate(struct rad_train_spec *s, const rad_yaml_node *map,
                                 struct rad_err *err)
{
    static const char *const keys[] = {"max", "min", "warmup"};
    if (map == NULL)
        return RAD_OK;
    RAD_TRY(rad_yaml_only(map, keys, 3, err));
    TRAIN_REAL(map, "max", 0, 1, s->lr.max);
    s->lr.min = s->lr.max / 10;
    TRAIN_REAL(map, "min", 0, 1, s->lr.min);
    TRAIN_INT(map, "warmup", 0, 1000000000, s->lr.warmup);
    return RAD_OK;
}

static enum rad_status read_run(struct rad_train_spec *s, const rad_yaml_node *root,
                                struct rad_err *err)
{
    TRAIN_INT(root, "steps", 1, INT64_C(1000000000), s->steps);
    TRAIN_INT(root, "batch", 1, 4096, s->batch);
    s->shards = s->batch < 4 ? s->batch : 4;
    TRAIN_INT(root, "shards", 1, s->batch, s->shards);
    TRAIN_INT(root, "seed", 0, INT64_MAX, s->seed);
    TRAIN_REAL(root, "beta1", 0, 0.9999, s->beta1);
    TRAIN_REAL(root, "beta2", 0, 0.999999, s->beta2);
    TRAIN_REAL(root, "decay", 0, 10, s->decay);
    TRAIN_REAL(root, "clip", 1e-6, 1e6, s->clip);
    TRAIN_REAL(root, "distill", 0, 1, s->distill);
    TRAIN_REAL(root, "align", 0, 1000, s->align);
    TRAIN_REAL(root, "checkpoint", 1, 86400, s->checkpoint_s);
    int bf16 = 0, save = 0;
    RAD_TRY(choice(root, "precision", (const char *const[2]){"fp32", "bf16"}, &bf16, err));
    RAD_TRY(choice(root, "save", (const char *const[2]){"fp32", "bf16"}, &save, err));
    s->gemm = bf16 ? RAD_GEMM_BF16 : RAD_GEMM_F32;
    s->save_dtype = save ? RAD_BF16 : RAD_F32;
    RAD_TRY(text(root, "teacher", s->teacher, sizeof s->teacher, err));
    RAD_TRY(text(root, "init", s->init, sizeof s->init, err));
    return text(root, "policy", s->policy, sizeof s->policy, err);
}

static enum rad_status read_spec(struct rad_train_spec *s, const rad_yaml_node *root,
                                 struct rad_err *err)
{
    static const char *const keys[] = {"model",  "steps",   "batch",      "shards",  "seed",
                                       "lr",     "beta1",   "beta2",      "decay",   "clip",
                                       "save",   "distill", "checkpoint", "teacher", "init",
                                       "router", "policy",  "precision",  "align"};
    const rad_yaml_node *model = NULL;
    *s = defaults;
    RAD_TRY(rad_yaml_only(root, keys, sizeof keys / sizeof keys[0], err));
    RAD_TRY(rad_yaml_need(root, "model", &model, err));
    RAD_TRY(read_model(&s->card, model, err));
    RAD_TRY(read_router(s, rad_yaml_find(root, "router"), err));
    RAD_TRY(read_rate(s, rad_yaml_find(root, "lr"), err));
    RAD_TRY(read_run(s, root, err));
    if (s->policy[0] != '\0' && s->card.router_hidden > 0)
        return rad_yaml_fail(root, err, RAD_E_RANGE,
                             "'policy' fixes the paths and 'router' learns them; keep one");
    return RAD_OK;
}

enum rad_status rad_train_spec_open(struct rad_train_spec *out, const char *path,
                                    struct rad_err *err)
{
    rad_yaml *doc = NULL;
    RAD_TRY(rad_yaml_open(&doc, path, err));
    const enum rad_status status = read_spec(out, rad_yaml_root(doc), err);
    rad_yaml_close(doc);
    return status;
}
