/* family.h - private to checkpoint: one row per model_type of config.json. */
#ifndef RAD_CHECKPOINT_FAMILY_H
#define RAD_CHECKPOINT_FAMILY_H

#include "base/json.h"
#include "checkpoint/checkpoint.h"

/* An integer key and the int32_t of struct rad_model_config that it fills. */
struct rad_config_key {
    const char *key; /* NULL ends a table; "a|b": b where a is absent */
    size_t offset;
    int32_t min;   /* the upper limits are rad_card_check's */
    bool optional; /* absent or null: 0, which the family's read() replaces */
};

/* A switch that changes the arithmetic: refused unless it has (or lacks) the value read here. */
struct rad_config_switch {
    const char *key; /* NULL ends a table */
    bool value;
};

/* What a family is. read() runs after the keys, eps, theta, tokens and format were read; write()
 * after they were written (NULL: the family is read only). Both check what only this family
 * knows. */
struct rad_family {
    const char *model_type, *architecture;
    const struct rad_config_key *keys;
    const struct rad_config_switch *switches; /* NULL: none */
    const struct rad_layout *layout;
    const char *eps_key;
    double eps;        /* where the key is absent; 0: it must be there */
    bool rotary, tied; /* has rope_theta; ties the head where config.json does not say */
    enum rad_status (*read)(struct rad_model_config *c, const json_t *root, struct rad_err *err);
    enum rad_status (*write)(const struct rad_model_config *c, json_t *root, struct rad_err *err);
};

/* The family called model_type. errors: RAD_E_UNSUPPORTED (message lists those known) */
RAD_MUST_CHECK enum rad_status rad_family_find(const char *model_type,
                                               const struct rad_family **out, struct rad_err *err);

/* Rows of the registry that have files of their own. */
extern const struct rad_family rad_family_opt, rad_family_gpt2, rad_family_bloom, rad_family_vit;

/* Refuse quantization_config; fill what the keys left out: n_kv, d_head, hops. */
RAD_MUST_CHECK enum rad_status rad_family_finish(struct rad_model_config *c, const json_t *root,
                                                 struct rad_err *err);

/* The string at key must be one of words (def where absent; NULL: it must be there); its index
 * goes to *out. errors: RAD_E_UNSUPPORTED */
RAD_MUST_CHECK enum rad_status rad_family_word(const json_t *root, const char *key,
                                               const char *const words[], int *out,
                                               struct rad_err *err);

/* Check the knob table: 0 to RAD_KNOB_MAX finite rows, depths in (0, 64] and rising.
 * errors: RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_router_check(const struct rad_router_config *r,
                                                struct rad_err *err);

#endif
