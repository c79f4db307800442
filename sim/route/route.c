/* route.c - the policy registry, and policies from text. */
#include "route/route.h"

#include "base/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAD_POLICY(name) extern const struct rad_policy rad_policy_##name;
#include "route/policies.def"
#undef RAD_POLICY

static const struct rad_policy *const registry[] = {
#define RAD_POLICY(name) &rad_policy_##name,
#include "route/policies.def"
#undef RAD_POLICY
};
enum { N_REGISTRY = sizeof registry / sizeof registry[0] };

const struct rad_policy *const *rad_policies(size_t *n)
{
    *n = N_REGISTRY;
    return registry;
}

const struct rad_policy *rad_policy_find(const char *name)
{
    for (size_t i = 0; i < N_REGISTRY; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

static enum rad_status unknown_policy(const char *name, struct rad_err *err)
{
    const char *names[N_REGISTRY];
    char list[256] = "";
    for (size_t i = 0; i < N_REGISTRY; i++) {
        names[i] = registry[i]->name;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = rad_nearest(name, names, N_REGISTRY);
    return rad_fail(err, RAD_E_PARSE, "unknown policy '%s'%s%s%s; there are %s", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'" : "", list);
}

/* Parameters that are written as words; their table holds the number. */
static const struct word {
    const char *key, *text, *number;
    double value;
} words[] = {
    {"phase", "decode", "0", 0},
    {"phase", "all", "1", 1},
    {"metric", "ratio_in", "0", 0},
    {"metric", "ratio_out", "1", 1},
};
enum { N_WORD = sizeof words / sizeof words[0] };

static const char *number_of(const char *key, const char *text)
{
    for (size_t i = 0; i < N_WORD; i++)
        if (strcmp(words[i].key, key) == 0 && strcmp(words[i].text, text) == 0)
            return words[i].number;
    return text;
}

static const char *word_of(const struct rad_param *p, double value)
{
    for (size_t i = 0; i < N_WORD; i++)
        if (strcmp(words[i].key, p->key) == 0 && !(words[i].value < value) &&
            !(words[i].value > value))
            return words[i].text;
    return NULL;
}

/* Note that a key was given. errors: RAD_E_PARSE (it was before) */
static enum rad_status note_key(const struct rad_policy *policy, const char *key, uint32_t *given,
                                struct rad_err *err)
{
    uint32_t bit = 1;
    for (const struct rad_param *p = policy->params; p->key != NULL; p++, bit <<= 1) {
        if (strcmp(p->key, key) != 0)
            continue;
        if (*given & bit)
            return rad_fail(err, RAD_E_PARSE, "policy %s: '%s' is given twice", policy->name, key);
        *given |= bit;
    }
    return RAD_OK;
}

/* Split the next "key=value" off *rest (which it advances) and set it. */
static enum rad_status set_one(struct rad_route *route, char **rest, uint32_t *given,
                               struct rad_err *err)
{
    char *pair = *rest, *comma = strchr(pair, ',');
    *rest = comma != NULL ? comma + 1 : NULL;
    if (comma != NULL)
        *comma = '\0';
    char *equals = strchr(pair, '=');
    if (equals == NULL)
        return rad_fail(err, RAD_E_PARSE, "policy %s: expected key=value but found '%s'",
                        route->policy->name, pair);
    *equals = '\0';
    RAD_TRY(note_key(route->policy, pair, given, err));
    const char *value = number_of(pair, equals + 1);
    const enum rad_status status =
        rad_params_set(route->policy->params, route->params, pair, value, err);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "policy %s", route->policy->name);
}

enum rad_status rad_route_parse_seeded(struct rad_route *out, const char *text, int32_t n_layer,
                                       uint64_t seed, struct rad_err *err)
{
    char copy[256];
    uint32_t given = 0; /* a bit for each parameter: policies have a few */
    *out = (struct rad_route){0};
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return rad_fail(err, RAD_E_PARSE, "policy text is longer than %zu bytes", sizeof copy - 1);
    char *rest = strchr(copy, ':');
    if (rest != NULL)
        *rest++ = '\0';
    out->policy = rad_policy_find(copy);
    if (out->policy == NULL)
        return unknown_policy(copy, err);
    rad_params_default(out->policy->params, out->params);
    const struct rad_param *p = rad_param_find(out->policy->params, "seed");
    if (p != NULL)
        out->params[p->offset / sizeof(double)] = (double)seed;
    while (rest != NULL)
        RAD_TRY(set_one(out, &rest, &given, err));
    if (out->policy->check == NULL)
        return RAD_OK;
    return out->policy->check(out->params, n_layer, err);
}

enum rad_status rad_route_parse(struct rad_route *out, const char *text, int32_t n_layer,
                                struct rad_err *err)
{
    return rad_route_parse_seeded(out, text, n_layer, 0, err);
}

/* As few digits as read back to the same double. */
static void number_text(double value, char out[32])
{
    snprintf(out, 32, "%.15g", value);
    if (strtod(out, NULL) < value || strtod(out, NULL) > value)
        snprintf(out, 32, "%.17g", value);
}

void rad_route_text(const struct rad_route *route, char *out, size_t size)
{
    char number[32];
    int used = snprintf(out, size, "%s", route->policy->name);
    const struct rad_param *p = route->policy->params;
    for (char sep = ':'; p->key != NULL && used >= 0 && (size_t)used < size; p++) {
        const double value = route->params[p->offset / sizeof(double)];
        if (isnan(value))
            continue; /* optional and not given */
        const char *word = word_of(p, value);
        number_text(value, number);
        used += snprintf(out + used, size - (size_t)used, "%c%s=%s", sep, p->key,
                         word != NULL ? word : number);
        sep = ',';
    }
}
