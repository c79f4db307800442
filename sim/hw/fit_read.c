/* fit_read.c - fits in profiles: YAML to struct and back. */
#include "hw/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P(field) offsetof(struct rad_fit, field)

static const struct rad_param values[] = {
    {"head_dim", P(head_dim), RAD_DIM_INT, 0, 4096, 0, "width of a head; 0: any"},
    {"rows", P(rows), RAD_DIM_INT, 0, 1e9, RAD_REQUIRED, "measured rows"},
    {"ape", P(ape_frac), RAD_DIM_ONE, 0, 10, RAD_REQUIRED, "median error of held-out rows"},
    {"lo", P(lo_ratio), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED, "measured / predicted, lower end"},
    {"hi", P(hi_ratio), RAD_DIM_ONE, 1, 100, RAD_REQUIRED, "measured / predicted, upper end"},
    {"common", P(common_frac), RAD_DIM_ONE, -1, 1, -1,
     "share of the variance of residuals that all shapes have in common"},
    {"shape", P(shape_frac), RAD_DIM_ONE, 0, 1, 0, "that the rows of a shape have in common"},
    {"near", P(near_frac), RAD_DIM_ONE, 0, 1, 0, "that rows of near shapes have in common"},
    RAD_PARAM_END,
};

#define W(field) offsetof(struct rad_power, field)

static const struct rad_param power_values[] = {
    {"idle", W(idle_w), RAD_DIM_W, 0, 1e5, RAD_REQUIRED, "drawn by a busy board at no work"},
    {"flop", W(flop_j), RAD_DIM_J_PER_FLOP, 0, 1e-9, RAD_REQUIRED, "per FLOP"},
    {"byte", W(byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-7, RAD_REQUIRED, "per byte"},
    {"cap", W(cap_w), RAD_DIM_W, 0.1, 1e5, RAD_REQUIRED, "the power that sustained work meets"},
    {"settle", W(settle_s), RAD_DIM_S, 0, 1, 0, "kernels much shorter than this draw less"},
    RAD_PARAM_END,
};

static enum rad_status text_of(const rad_yaml_node *map, const char *key, char *out, size_t size,
                               struct rad_err *err)
{
    const rad_yaml_node *node = NULL;
    RAD_TRY(rad_yaml_need(map, key, &node, err));
    const char *text = rad_yaml_text(node);
    if (strlen(text) == 0 || strlen(text) >= size)
        return rad_yaml_fail(node, err, RAD_E_RANGE, "%s: expected 1 to %zu bytes of text", key,
                             size - 1);
    memcpy(out, text, strlen(text) + 1);
    return RAD_OK;
}

/* Values of the keys that `table` has; the map may have others. */
static enum rad_status some(const rad_yaml_node *map, const struct rad_param *table, void *base,
                            struct rad_err *err)
{
    rad_params_default(table, base);
    for (const struct rad_param *p = table; p->key != NULL; p++) {
        const rad_yaml_node *node = rad_yaml_find(map, p->key);
        if (node != NULL)
            RAD_TRY(rad_yaml_quantity(node, p->dim, p->min, p->max,
                                      (double *)((char *)base + p->offset), err));
    }
    struct rad_err why;
    const enum rad_status status = rad_params_check(table, base, &why);
    return status == RAD_OK ? RAD_OK : rad_yaml_fail(map, err, status, "%s", why.msg);
}

static enum rad_status read_law(const rad_yaml_node *map, struct rad_fit *fit, struct rad_err *err)
{
    struct rad_param table[RAD_LAW_N_PARAM + 1] = {{0}};
    const rad_yaml_node *node = NULL;
    const int needed = fit->law->n_param - fit->law->n_optional;
    for (int i = 0; i < fit->law->n_param; i++) {
        const struct rad_law_param *p = &fit->law->params[i];
        table[i] = (struct rad_param){p->key, (size_t)i * sizeof(double),         p->dim, p->min,
                                      p->max, i < needed ? RAD_REQUIRED : p->min, p->doc};
    }
    RAD_TRY(rad_yaml_need(map, "law", &node, err));
    return rad_yaml_params(node, table, fit->p, NULL, err);
}

/* Numbers between blanks; *n of at most max. */
static enum rad_status numbers(const rad_yaml_node *node, double *out, size_t max, size_t *n,
                               struct rad_err *err)
{
    const char *at = rad_yaml_text(node);
    for (*n = 0;; ++*n) {
        char *end = NULL;
        at += strspn(at, " ");
        if (*at == '\0')
            return RAD_OK;
        const double value = strtod(at, &end);
        if (end == at || (*end != ' ' && *end != '\0') || !isfinite(value))
            return rad_yaml_fail(node, err, RAD_E_PARSE, "expected numbers but found '%.16s'", at);
        if (*n >= max)
            return rad_yaml_fail(node, err, RAD_E_RANGE, "expected at most %zu numbers", max);
        out[*n] = value;
        at = end;
    }
}

static enum rad_status read_knots(const rad_yaml_node *node, const struct rad_law_axis *axes,
                                  struct rad_surface *s, struct rad_err *err)
{
    const char *keys[RAD_LAW_N_AXIS];
    for (int a = 0; a < s->n_axis; a++)
        keys[a] = axes[a].key;
    RAD_TRY(rad_yaml_only(node, keys, (size_t)s->n_axis, err));
    for (int a = 0; a < s->n_axis; a++) {
        const rad_yaml_node *list = NULL;
        double *knot = s->knot[a];
        size_t n = 0;
        RAD_TRY(rad_yaml_need(node, keys[a], &list, err));
        RAD_TRY(numbers(list, knot, RAD_FIT_N_KNOT, &n, err));
        for (size_t i = 0; i < n; i++)
            if (!(knot[i] > 0.0) || (i > 0 && knot[i] <= knot[i - 1]))
                return rad_yaml_fail(list, err, RAD_E_RANGE, "%s: expected ascending knots",
                                     keys[a]);
        if (n == 0)
            return rad_yaml_fail(list, err, RAD_E_RANGE, "%s: expected knots", keys[a]);
        for (size_t i = 0; i < n; i++)
            knot[i] = log2(knot[i]);
        s->n_knot[a] = (int)n;
    }
    if (rad_surface_cells(s) > RAD_FIT_MAX_CELL)
        return rad_yaml_fail(node, err, RAD_E_RANGE, "expected at most %d cells", RAD_FIT_MAX_CELL);
    return RAD_OK;
}

/* Numbers of every cell of s. */
static enum rad_status read_cells(const rad_yaml_node *list, struct rad_surface *s,
                                  struct rad_err *err)
{
    const size_t cells = rad_surface_cells(s);
    double *value = malloc(cells * sizeof *value);
    s->log_ratio = malloc(cells * sizeof(float));
    size_t n = 0;
    enum rad_status status =
        value != NULL && s->log_ratio != NULL
            ? numbers(list, value, cells, &n, err)
            : rad_fail(err, RAD_E_NOMEM, "out of memory for a surface of %zu cells", cells);
    for (size_t i = 0; status == RAD_OK && i < n; i++) {
        s->log_ratio[i] = (float)(value[i] / 1000.0);
        if (fabs(value[i]) > 5000.0)
            status = rad_yaml_fail(list, err, RAD_E_RANGE, "surface: expected -5000 to 5000");
    }
    if (status == RAD_OK && n != cells)
        status = rad_yaml_fail(list, err, RAD_E_RANGE,
                               "surface: expected %zu numbers but found %zu", cells, n);
    free(value);
    return status;
}

/* s, whose axes are known, from the keys that are named so; without knots it has no axis. */
static enum rad_status read_surface(const rad_yaml_node *map, const char *const keys[2],
                                    const struct rad_law_axis *axes, struct rad_surface *s,
                                    struct rad_err *err)
{
    const rad_yaml_node *knots = rad_yaml_find(map, keys[0]);
    const rad_yaml_node *list = rad_yaml_find(map, keys[1]);
    if (knots == NULL) {
        s->n_axis = 0;
        return list == NULL
                   ? RAD_OK
                   : rad_yaml_fail(list, err, RAD_E_RANGE, "%s: expected %s too", keys[1], keys[0]);
    }
    RAD_TRY(read_knots(knots, axes, s, err));
    return list == NULL ? RAD_OK : read_cells(list, s, err);
}

static enum rad_status read_one(const rad_yaml_node *map, struct rad_fit *fit, struct rad_err *err)
{
    static const char *const keys[] = {"op",    "format",      "software",     "data",  "head_dim",
                                       "rows",  "ape",         "lo",           "hi",    "common",
                                       "shape", "near",        "law",          "knots", "surface",
                                       "power", "power_knots", "power_surface"};
    static const char *const time_keys[] = {"knots", "surface"};
    static const char *const power_keys[] = {"power_knots", "power_surface"};
    RAD_TRY(rad_yaml_only(map, keys, sizeof keys / sizeof keys[0], err));
    RAD_TRY(text_of(map, "op", fit->op, sizeof fit->op, err));
    RAD_TRY(text_of(map, "format", fit->format, sizeof fit->format, err));
    RAD_TRY(text_of(map, "software", fit->software, sizeof fit->software, err));
    RAD_TRY(text_of(map, "data", fit->data, sizeof fit->data, err));
    fit->law = rad_law_of_class(fit->op);
    if (fit->law == NULL)
        return rad_yaml_fail(rad_yaml_find(map, "op"), err, RAD_E_UNSUPPORTED,
                             "op: no law costs '%.15s'", fit->op);
    RAD_TRY(some(map, values, fit, err));
    RAD_TRY(read_law(map, fit, err));
    const rad_yaml_node *power = rad_yaml_find(map, "power");
    if (power != NULL)
        RAD_TRY(rad_yaml_params(power, power_values, &fit->power, NULL, err));
    fit->surface.n_axis = fit->law->n_axis;
    fit->power_surface.n_axis = fit->law->n_power_axis;
    RAD_TRY(read_surface(map, time_keys, fit->law->axes, &fit->surface, err));
    return read_surface(map, power_keys, fit->law->power_axes, &fit->power_surface, err);
}

void rad_fit_clear(struct rad_fit *fit)
{
    free(fit->surface.log_ratio);
    free(fit->power_surface.log_ratio);
    fit->surface.log_ratio = fit->power_surface.log_ratio = NULL;
}

void rad_fits_free(struct rad_fit *fits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rad_fit_clear(&fits[i]);
    free(fits);
}

enum rad_status rad_fits_read(const rad_yaml_node *node, struct rad_fit **out, size_t *n,
                              struct rad_err *err)
{
    *out = NULL;
    *n = 0;
    if (node == NULL)
        return RAD_OK;
    const size_t count = rad_yaml_count(node);
    if (rad_yaml_kind(node) != RAD_YAML_SEQ || count == 0 || count > RAD_FIT_MAX)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "fits: expected a list of 1 to %d fits",
                             RAD_FIT_MAX);
    struct rad_fit *fits = calloc(count, sizeof *fits);
    if (fits == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu fits", count);
    for (size_t i = 0; i < count; i++) {
        const enum rad_status status = read_one(rad_yaml_at(node, i), &fits[i], err);
        if (status != RAD_OK) {
            rad_fits_free(fits, count);
            return status;
        }
    }
    *out = fits;
    *n = count;
    return RAD_OK;
}
