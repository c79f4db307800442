/* card.c - parameter counts and checks of model cards. */
#include "spec/spec.h"

#include <string.h>

/* Biases of one layer. */
static int64_t bias_params(const struct rad_card *c, int64_t up)
{
    const int64_t qkv = ((int64_t)c->n_head + 2 * (int64_t)c->n_kv) * c->d_head;
    const int64_t of[] = {[RAD_BIAS_NONE] = 0,
                          [RAD_BIAS_QKV] = qkv,
                          [RAD_BIAS_ATTN] = qkv + c->d_model,
                          [RAD_BIAS_ALL] = qkv + c->d_model + up + c->d_model};
    return of[c->bias];
}

static int64_t norm_params(const struct rad_card *c)
{
    return c->norm == RAD_NORM_LAYER ? 2 * (int64_t)c->d_model : c->d_model;
}

int64_t rad_card_layer_params(const struct rad_card *c)
{
    const int64_t d = c->d_model, q = (int64_t)c->n_head * c->d_head;
    const int64_t kv = (int64_t)c->n_kv * c->d_head;
    const int64_t up = c->act == RAD_ACT_SWIGLU ? 2 * (int64_t)c->ffn : c->ffn;
    const int64_t attention = d * (q + 2 * kv) + q * d;
    const int64_t mlp = d * up + c->ffn * d;
    return attention + mlp + bias_params(c, up) + 2 * norm_params(c);
}

int64_t rad_card_router_params(const struct rad_card *c)
{
    return (int64_t)c->router_hidden * (c->d_model + (int64_t)c->n_layer + 1);
}

/* Token table, projections and head. */
static int64_t text_tables(const struct rad_card *c)
{
    const int64_t wide = c->embed_dim > 0 ? c->embed_dim : c->d_model;
    const int64_t projections = c->embed_dim > 0 ? 2 * wide * c->d_model : 0;
    return (c->tied ? 1 : 2) * (int64_t)c->vocab * wide + projections;
}

/* Patch embedding and head, both with bias, and the class token. */
static int64_t image_tables(const struct rad_card *c)
{
    const int64_t pixels = 3 * (int64_t)c->patch * c->patch;
    return (pixels + 1) * c->d_model + c->d_model + (int64_t)c->vocab * (c->d_model + 1);
}

int64_t rad_card_params(const struct rad_card *c)
{
    const int64_t norms = (c->post_norm ? 0 : 1) + (c->embed_norm ? 1 : 0);
    return (c->patch > 0 ? image_tables(c) : text_tables(c)) +
           (int64_t)c->learned_positions * c->d_model + c->n_layer * rad_card_layer_params(c) +
           norms * norm_params(c) + rad_card_router_params(c);
}

/* Names go into file names, messages and SQL: keep them plain. */
static enum rad_status check_name(const char *name, struct rad_err *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const void *end = memchr(name, '\0', RAD_CARD_NAME);
    if (end == NULL || name[0] == '\0' || name[strspn(name, plain)] != '\0')
        return rad_fail(err, RAD_E_RANGE,
                        "name: expected 1 to %d of letters, digits, '.', '_' and '-'",
                        RAD_CARD_NAME - 1);
    return RAD_OK;
}

static enum rad_status check_ranges(const struct rad_card *c, struct rad_err *err)
{
    const struct {
        const char *key;
        int64_t value, min, max;
    } rows[] = {
        {"n_layer", c->n_layer, 1, RAD_MAX_LAYER},
        {"d_model", c->d_model, 1, 1 << 17},
        {"n_head", c->n_head, 1, 1 << 12},
        {"n_kv", c->n_kv, 1, c->n_head},
        {"d_head", c->d_head, 1, 1 << 12},
        {"ffn", c->ffn, 1, 1 << 20},
        {"vocab", c->vocab, 1, 1 << 24},
        {"n_ctx", c->n_ctx, 1, 1 << 28},
        {"learned_positions", c->learned_positions, 0, 1 << 28},
        {"router_hidden", c->router_hidden, 0, 1 << 17},
        {"max_hops", c->max_hops, 1, 1 << 16},
        {"params_expected", c->params_expected, 0, INT64_MAX},
        {"norm", (int64_t)c->norm, RAD_NORM_RMS, RAD_NORM_LAYER},
        {"act", (int64_t)c->act, RAD_ACT_SWIGLU, RAD_ACT_RELU},
        {"bias", (int64_t)c->bias, RAD_BIAS_NONE, RAD_BIAS_ATTN},
        {"embed_dim", c->embed_dim, 0, 1 << 17},
        {"patch", c->patch, 0, 1 << 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
            return rad_fail(err, RAD_E_RANGE, "%s: expected %lld..%lld but found %lld", rows[i].key,
                            (long long)rows[i].min, (long long)rows[i].max,
                            (long long)rows[i].value);
    return RAD_OK;
}

/* What goes with what. */
static enum rad_status check_parts(const struct rad_card *c, struct rad_err *err)
{
    if (c->alibi && c->learned_positions > 0)
        return rad_fail(err, RAD_E_RANGE, "alibi: expected false with learned_positions");
    if (c->patch > 0 && (c->learned_positions != c->n_ctx || c->tied || c->embed_dim > 0))
        return rad_fail(err, RAD_E_RANGE,
                        "patch: expected learned_positions equal to n_ctx, and neither tied nor "
                        "embed_dim");
    return RAD_OK;
}

enum rad_status rad_card_check(const struct rad_card *c, struct rad_err *err)
{
    RAD_TRY(check_name(c->name, err));
    RAD_TRY(check_ranges(c, err));
    if (c->n_head % c->n_kv != 0)
        return rad_fail(err, RAD_E_RANGE, "n_kv: expected a divisor of n_head %d but found %d",
                        c->n_head, c->n_kv);
    RAD_TRY(check_parts(c, err));
    if (c->learned_positions == 0 && !c->alibi && c->d_head % 2 != 0)
        return rad_fail(err, RAD_E_RANGE,
                        "d_head: expected an even number for rotary positions but found %d",
                        c->d_head);
    if (c->router_hidden == 0 && c->max_hops != c->n_layer)
        return rad_fail(err, RAD_E_RANGE,
                        "max_hops: expected n_layer %d without a router but found %d; set "
                        "router_hidden",
                        c->n_layer, c->max_hops);
    const int64_t params = rad_card_params(c);
    if (c->params_expected > 0 && c->params_expected != params)
        return rad_fail(err, RAD_E_RANGE,
                        "params_expected: expected %lld parameters but the shape has %lld; one "
                        "field is wrong",
                        (long long)c->params_expected, (long long)params);
    return RAD_OK;
}
