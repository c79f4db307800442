/* config_write.c - config.json out, in the layout that other readers of it expect. */
#include "checkpoint/config.h"
#include "checkpoint/family.h"
#include "checkpoint/outside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The double nearest to the shortest decimal that reads back as x: 1e-05, not 9.99999975e-06. */
static double shortest(float x)
{
    double y = (double)x;
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)x);
        y = strtod(text, NULL);
        if ((float)y == x)
            return y;
    }
    return (double)x;
}

static json_t *token(int32_t id)
{
    return id >= 0 ? json_integer(id) : json_null();
}

static enum rad_status check(const struct rad_model_config *c, struct rad_err *err)
{
    RAD_TRY(rad_card_check(&c->card, err));
    RAD_TRY(rad_router_check(&c->router, err));
    if (c->router.hidden != c->card.router_hidden || c->router.max_hops != c->card.max_hops)
        return rad_fail(err, RAD_E_ARG,
                        "router and card disagree: hidden %d and %d, max_hops %d and %d",
                        (int)c->router.hidden, (int)c->card.router_hidden, (int)c->router.max_hops,
                        (int)c->card.max_hops);
    if (!(c->rms_eps >= 1e-12f && c->rms_eps <= 0.1f))
        return rad_fail(err, RAD_E_RANGE, "rms_eps: expected 1e-12..0.1 but found %g",
                        (double)c->rms_eps);
    if (!(c->rope_theta >= 1.0 && c->rope_theta <= 1e12))
        return rad_fail(err, RAD_E_RANGE, "rope_theta: expected 1..1e12 but found %g",
                        c->rope_theta);
    if (c->bos < -1 || c->bos >= c->card.vocab || c->eos < -1 || c->eos >= c->card.vocab)
        return rad_fail(err, RAD_E_RANGE,
                        "bos %d, eos %d: expected -1 or a token id under vocab %d", (int)c->bos,
                        (int)c->eos, (int)c->card.vocab);
    return RAD_OK;
}

static int put_keys(json_t *root, const struct rad_model_config *c, const struct rad_family *family)
{
    int bad = 0;
    for (const struct rad_config_key *key = family->keys; key->key != NULL; key++) {
        int32_t value;
        memcpy(&value, (const char *)c + key->offset, sizeof value);
        bad |= json_object_set_new(root, key->key, json_integer(value));
    }
    return bad;
}

static enum rad_status fill(json_t *root, const struct rad_model_config *c, struct rad_err *err)
{
    const struct rad_family *family = NULL;
    RAD_TRY(rad_family_find(c->model_type, &family, err));
    if (family->write == NULL || c->rope.kind != RAD_ROPE_PLAIN || c->window != 0)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "model_type '%s', or its rope scaling or window, can be read only",
                        c->model_type);
    const char *dtype = rad_config_dtype_word(c->dtype);
    if (dtype == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "dtype: expected fp32, fp16 or bf16 but found %s",
                        rad_dtype_name(c->dtype));
    int bad = json_object_set_new(root, "architectures", json_pack("[s]", family->architecture));
    bad |= json_object_set_new(root, "model_type", json_string(family->model_type));
    bad |= put_keys(root, c, family);
    bad |= json_object_set_new(root, "rms_norm_eps", json_real(shortest(c->rms_eps)));
    bad |= json_object_set_new(root, "rope_theta", json_real(c->rope_theta));
    bad |= json_object_set_new(root, "tie_word_embeddings", json_boolean(c->card.tied));
    bad |= json_object_set_new(root, "bos_token_id", token(c->bos));
    bad |= json_object_set_new(root, "eos_token_id", token(c->eos));
    bad |= json_object_set_new(root, "torch_dtype", json_string(dtype));
    if (c->byte_tokens)
        bad |= json_object_set_new(root, "radial_tokenizer", json_string("bytes"));
    if (bad)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    return family->write(c, root, err);
}

/* The fewest digits that read back to the same numbers, so that people see 1e-5 for 1e-5. One key
 * per line: a committed file shows its changes line by line. False if memory ran out. */
static bool dump(struct rad_buf *out, const json_t *root)
{
    bool same = false;
    for (size_t digits = 15; digits <= 17 && !same; digits++) {
        rad_buf_free(out);
        if (!rad_ckpt_dump(out, root, JSON_INDENT(1) | JSON_REAL_PRECISION(digits)))
            return false;
        json_t *back = json_loadb(out->data, out->len, 0, NULL);
        same = back != NULL && json_equal(root, back);
        json_decref(back);
    }
    rad_buf_add(out, "\n");
    return same && !out->failed;
}

static enum rad_status save(const json_t *root, const char *path, struct rad_err *err)
{
    struct rad_buf out = {0};
    enum rad_status status = RAD_OK;
    if (!dump(&out, root))
        status = rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    else
        status = rad_file_write(path, out.data, out.len, err);
    rad_buf_free(&out);
    return status;
}

enum rad_status rad_model_config_write(const struct rad_model_config *config, const char *folder,
                                       struct rad_err *err)
{
    char path[RAD_PATH_MAX];
    RAD_TRY(rad_ckpt_path(path, folder, "config.json", err));
    json_t *root = json_object();
    if (root == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    enum rad_status status = check(config, err);
    if (status == RAD_OK)
        status = fill(root, config, err);
    if (status != RAD_OK)
        rad_fail_in(err, status, "%s", path);
    else
        status = save(root, path, err);
    json_decref(root);
    return status;
}
