/* param.c - quantities with units, and tables of them. */
#include "base/param.h"

#include "base/buf.h"
#include "base/near.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The first row of a kind is the one that messages and tables show. */
static const struct {
    enum rad_dim dim;
    const char *text;
    double scale;
} units[] = {
    {RAD_DIM_ONE, "", 1.0},
    {RAD_DIM_S, "s", 1.0},
    {RAD_DIM_W, "W", 1.0},
    {RAD_DIM_BYTES, "B", 1.0},
    {RAD_DIM_BYTES_PER_S, "B/s", 1.0},
    {RAD_DIM_BYTES_PER_S, "bit/s", 0.125},
    {RAD_DIM_FLOP_PER_S, "FLOP/s", 1.0},
    {RAD_DIM_FLOP_PER_S, "OP/s", 1.0},
    {RAD_DIM_J_PER_BYTE, "J/B", 1.0},
    {RAD_DIM_J_PER_BYTE, "J/bit", 8.0},
    {RAD_DIM_J_PER_FLOP, "J/FLOP", 1.0},
    {RAD_DIM_J_PER_FLOP, "J/OP", 1.0},
    {RAD_DIM_USD_PER_H, "USD/h", 1.0},
    {RAD_DIM_HZ, "Hz", 1.0},
    {RAD_DIM_J, "J", 1.0},
    {RAD_DIM_USD, "USD", 1.0},
    {RAD_DIM_INT, "", 1.0},
};

/* Divided by where that is exact and the factor is not: 5 us is then 5e-6 to the last bit. */
static const struct {
    const char *text;
    double times, over;
} prefixes[] = {
    {"Ki", 0x1p10, 1}, {"Mi", 0x1p20, 1}, {"Gi", 0x1p30, 1}, {"Ti", 0x1p40, 1}, {"p", 1, 1e12},
    {"n", 1, 1e9},     {"u", 1, 1e6},     {"m", 1, 1e3},     {"k", 1e3, 1},     {"M", 1e6, 1},
    {"G", 1e9, 1},     {"T", 1e12, 1},    {"P", 1e15, 1},    {"", 1, 1},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *rad_dim_unit(enum rad_dim dim)
{
    for (size_t i = 0; i < COUNT(units); i++)
        if (units[i].dim == dim)
            return units[i].text;
    return "";
}

/* Turn number into SI by "[prefix]unit"; false if that is no unit of this kind. */
static bool apply_unit(const char *text, enum rad_dim dim, double *number)
{
    if (dim == RAD_DIM_ONE && strcmp(text, "%") == 0) {
        *number /= 100.0;
        return true;
    }
    if (dim == RAD_DIM_ONE || dim == RAD_DIM_INT)
        return *text == '\0';
    for (size_t i = 0; i < COUNT(units); i++) {
        for (size_t j = 0; units[i].dim == dim && j < COUNT(prefixes); j++) {
            const size_t n = strlen(prefixes[j].text);
            if (strncmp(text, prefixes[j].text, n) == 0 && strcmp(text + n, units[i].text) == 0) {
                *number = *number * prefixes[j].times * units[i].scale / prefixes[j].over;
                return true;
            }
        }
    }
    return false;
}

/* strtod without what it adds to decimal numbers: hexadecimal, "inf", "nan". */
static const char *decimal(const char *text, double *out)
{
    while (isspace((unsigned char)*text))
        text++;
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits) && *digits != '.')
        return NULL;
    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X'))
        return NULL;
    char *rest = NULL;
    *out = strtod(text, &rest);
    return rest != text ? rest : NULL;
}

enum rad_status rad_quantity_parse(const char *text, enum rad_dim dim, double *out,
                                   struct rad_err *err)
{
    char shown[RAD_SHOW_MAX], unit[16] = "";
    double number = 0.0;
    const char *rest = decimal(text, &number);
    if (rest == NULL)
        return rad_fail(err, RAD_E_PARSE, "expected a number but found '%s'",
                        rad_show(shown, text));
    while (isspace((unsigned char)*rest))
        rest++;
    size_t len = strlen(rest);
    while (len > 0 && isspace((unsigned char)rest[len - 1]))
        len--;
    if (len < sizeof unit)
        memcpy(unit, rest, len);
    double value = number;
    if (len >= sizeof unit || !apply_unit(unit, dim, &value))
        return rad_fail(err, RAD_E_PARSE, "expected a value in %s but found '%s'",
                        *rad_dim_unit(dim) ? rad_dim_unit(dim) : "plain numbers",
                        rad_show(shown, text));
    if (!isfinite(value))
        return rad_fail(err, RAD_E_RANGE, "'%s' is too large", rad_show(shown, text));
    if (dim == RAD_DIM_INT && (value != floor(value) || fabs(value) > 0x1p53))
        return rad_fail(err, RAD_E_RANGE, "expected a whole number but found '%s'",
                        rad_show(shown, text));
    *out = value;
    return RAD_OK;
}

/* ---- tables ---------------------------------------------------------------------------- */

static double get(const struct rad_param *p, const void *base)
{
    double value = 0.0;
    memcpy(&value, (const char *)base + p->offset, sizeof value);
    return value;
}

static void put(const struct rad_param *p, void *base, double value)
{
    memcpy((char *)base + p->offset, &value, sizeof value);
}

void rad_params_default(const struct rad_param *table, void *base)
{
    for (const struct rad_param *p = table; p->key != NULL; p++)
        put(p, base, p->def == RAD_REQUIRED ? (double)NAN : p->def);
}

const struct rad_param *rad_param_find(const struct rad_param *table, const char *key)
{
    for (const struct rad_param *p = table; p->key != NULL; p++)
        if (strcmp(p->key, key) == 0)
            return p;
    return NULL;
}

const char *rad_param_nearest(const struct rad_param *table, const char *name)
{
    const char *best = NULL;
    size_t limit = rad_near_limit(name) + 1;
    for (const struct rad_param *p = table; p->key != NULL; p++) {
        const size_t d = rad_edit_distance(name, p->key);
        if (d < limit) {
            limit = d;
            best = p->key;
        }
    }
    return best;
}

static enum rad_status check_range(const struct rad_param *p, double value, struct rad_err *err)
{
    const char *unit = rad_dim_unit(p->dim);
    if (value >= p->min && value <= p->max)
        return RAD_OK;
    return rad_fail(err, RAD_E_RANGE, "'%s' must be in %g..%g%s%s but is %g", p->key, p->min,
                    p->max, *unit ? " " : "", unit, value);
}

enum rad_status rad_params_set(const struct rad_param *table, void *base, const char *key,
                               const char *text, struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    const struct rad_param *p = rad_param_find(table, key);
    if (p == NULL) {
        const char *near = rad_param_nearest(table, key);
        return rad_fail(err, RAD_E_PARSE, "unknown key '%s'%s%s%s", rad_show(shown, key),
                        near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
    double value = 0.0;
    const enum rad_status status = rad_quantity_parse(text, p->dim, &value, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "'%s'", p->key);
    RAD_TRY(check_range(p, value, err));
    put(p, base, value);
    return RAD_OK;
}

enum rad_status rad_params_check(const struct rad_param *table, const void *base,
                                 struct rad_err *err)
{
    for (const struct rad_param *p = table; p->key != NULL; p++) {
        const double value = get(p, base);
        if (isnan(value))
            return rad_fail(err, RAD_E_RANGE, "missing required key '%s' (%s)", p->key, p->doc);
        RAD_TRY(check_range(p, value, err));
    }
    return RAD_OK;
}
