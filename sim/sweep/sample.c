/* sample.c - which points a spec means: all combinations, random draws, or a Sobol sequence.
 *
 * Random draws are hashes of (seed, draw, axis), so that a longer list begins with the shorter
 * one; Sobol points (Bratley & Fox 1988, by GSL) have that property by themselves. Drawn points
 * are then put in an order in which equal traces and plans are neighbours. */
#include "sweep/space.h"

#include "base/buf.h"
#include "base/hash.h"

#include <gsl/gsl_qrng.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Draws in a row that give nothing new, after which the space counts as exhausted. */
enum { MAX_IDLE = 100000, MAX_SOBOL_DIM = 40 };

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
}

/* ---- one point ------------------------------------------------------------------------- */

/* The policy with its share of depth d filled in: $depth d, $skip 1 - d, $speedup 1 / d. */
static void fill_policy(struct rad_buf *out, const char *policy, double depth)
{
    const struct {
        const char *name;
        double value;
    } rows[] = {{"$depth", depth}, {"$skip", 1 - depth}, {"$speedup", 1 / depth}};
    while (*policy != '\0') {
        size_t i = 0, n = 0;
        for (; i < sizeof rows / sizeof rows[0]; i++) {
            n = strlen(rows[i].name);
            if (strncmp(policy, rows[i].name, n) == 0)
                break;
        }
        if (i < sizeof rows / sizeof rows[0]) {
            rad_buf_printf(out, "%.10g", rows[i].value);
            policy += n;
        } else {
            rad_buf_append(out, policy++, 1);
        }
    }
}

/* Complete the values of a point: defaults, and "" for axes that do not apply to it. */
static enum rad_status complete(rad_sweep_spec *spec, const char *const given[RAD_N_AXIS],
                                const char *value[RAD_N_AXIS], struct rad_err *err)
{
    const bool model = spec->axis[RAD_AXIS_MODEL].given;
    for (int i = 0; i < RAD_N_AXIS; i++)
        value[i] = given[i] != NULL ? given[i] : rad_axes[i].def;
    if (!model)
        value[RAD_AXIS_POLICY] = value[RAD_AXIS_CTX] = "";
    if (strchr(value[RAD_AXIS_POLICY], '$') == NULL) {
        value[RAD_AXIS_DEPTH] = "";
        return RAD_OK;
    }
    struct rad_buf policy = {0};
    fill_policy(&policy, value[RAD_AXIS_POLICY], strtod(value[RAD_AXIS_DEPTH], NULL));
    value[RAD_AXIS_POLICY] = policy.failed ? NULL : rad_space_copy(spec->arena, policy.data);
    rad_buf_free(&policy);
    return value[RAD_AXIS_POLICY] != NULL ? RAD_OK : no_memory(err);
}

/* Values at their defaults are left out, so that an axis added later changes no key. */
static enum rad_status canonical(rad_sweep_spec *spec, struct rad_sweep_point *point,
                                 struct rad_err *err)
{
    struct rad_buf text = {0};
    for (int i = 0; i < RAD_N_AXIS; i++)
        if (point->value[i][0] != '\0' && strcmp(point->value[i], rad_axes[i].def) != 0)
            rad_buf_printf(&text, "%s=%s\n", rad_axes[i].name, point->value[i]);
    point->text = text.failed ? NULL : rad_space_copy(spec->arena, text.len > 0 ? text.data : "");
    rad_buf_free(&text);
    if (point->text == NULL)
        return no_memory(err);
    rad_hash_hex(rad_hash(point->text, strlen(point->text), 0), point->key);
    return RAD_OK;
}

/* ---- the set of keys ------------------------------------------------------------------- */

static bool insert(uint64_t *set, size_t n, uint64_t key)
{
    key += key == 0; /* 0 marks a free place */
    for (size_t i = (size_t)key & (n - 1);; i = (i + 1) & (n - 1)) {
        if (set[i] == key)
            return false;
        if (set[i] == 0) {
            set[i] = key;
            return true;
        }
    }
}

/* Keep the set at most half full. */
static enum rad_status grow_seen(rad_sweep_spec *spec, struct rad_err *err)
{
    if (2 * (spec->n_point + 1) <= spec->n_seen)
        return RAD_OK;
    const size_t n = spec->n_seen > 0 ? 2 * spec->n_seen : 1024;
    uint64_t *more = calloc(n, sizeof *more);
    if (more == NULL)
        return no_memory(err);
    for (size_t i = 0; i < spec->n_seen; i++)
        if (spec->seen[i] != 0)
            (void)insert(more, n, spec->seen[i]);
    free(spec->seen);
    spec->seen = more;
    spec->n_seen = n;
    return RAD_OK;
}

static enum rad_status grow_points(rad_sweep_spec *spec, struct rad_err *err)
{
    if (spec->n_point < spec->max_point)
        return RAD_OK;
    if (spec->n_point >= RAD_SWEEP_MAX_POINT)
        return rad_fail(err, RAD_E_RANGE,
                        "sweep: more than %d points; use method random or constraints",
                        RAD_SWEEP_MAX_POINT);
    const size_t max = spec->max_point > 0 ? 2 * spec->max_point : 256;
    struct rad_sweep_point *more = realloc(spec->point, max * sizeof *more);
    if (more == NULL)
        return no_memory(err);
    spec->point = more;
    spec->max_point = max;
    return RAD_OK;
}

/* Make a point of one value per axis (NULL: not given) and append it, unless a constraint forbids
 * it or it is there already. */
static enum rad_status add_point(rad_sweep_spec *spec, const char *const value[RAD_N_AXIS],
                                 struct rad_err *err)
{
    struct rad_sweep_point point;
    const struct rad_arena_mark mark = rad_arena_mark(spec->arena);
    RAD_TRY(complete(spec, value, point.value, err));
    for (size_t i = 0; i < spec->n_constraint; i++)
        if (!rad_constraint_holds(&spec->constraint[i], point.value)) {
            rad_arena_reset(spec->arena, mark);
            return RAD_OK;
        }
    RAD_TRY(canonical(spec, &point, err));
    RAD_TRY(grow_seen(spec, err));
    RAD_TRY(grow_points(spec, err));
    if (insert(spec->seen, spec->n_seen, rad_hash(point.text, strlen(point.text), 0)))
        spec->point[spec->n_point++] = point;
    else
        rad_arena_reset(spec->arena, mark);
    return RAD_OK;
}

/* ---- methods --------------------------------------------------------------------------- */

static enum rad_status list_grid(rad_sweep_spec *spec, struct rad_err *err)
{
    size_t index[RAD_N_AXIS] = {0};
    const char *value[RAD_N_AXIS];
    for (;;) {
        for (int i = 0; i < RAD_N_AXIS; i++)
            value[i] = spec->axis[i].n > 0 ? spec->axis[i].value[index[i]] : NULL;
        RAD_TRY(add_point(spec, value, err));
        int i = RAD_N_AXIS - 1;
        while (i >= 0 && index[i] + 1 >= spec->axis[i].n)
            index[i--] = 0;
        if (i < 0)
            return RAD_OK;
        index[i]++;
    }
}

/* Refuse a grid that would run for hours before its constraints leave something. */
static enum rad_status check_grid(const rad_sweep_spec *spec, struct rad_err *err)
{
    double n = 1;
    for (int i = 0; i < RAD_N_AXIS; i++)
        n *= spec->axis[i].n > 0 ? (double)spec->axis[i].n : 1;
    if (n > 100.0 * RAD_SWEEP_MAX_POINT)
        return rad_fail(err, RAD_E_RANGE,
                        "sweep: the grid has %.3g combinations; use method random or sobol", n);
    return RAD_OK;
}

static bool is_free(const struct rad_axis_values *axis)
{
    return axis->ranged || axis->n > 1;
}

/* The value of an axis at u in [0, 1). */
static const char *pick(rad_sweep_spec *spec, int axis, double u)
{
    const struct rad_axis_values *a = &spec->axis[axis];
    const bool whole = rad_axes[axis].kind == RAD_KIND_COUNT;
    char text[32];
    if (!a->ranged)
        return a->n == 0 ? NULL : a->value[(size_t)(u * (double)a->n)];
    const double top = a->max + (whole ? 1 : 0);
    double x = a->log ? exp(log(a->min) + u * (log(top) - log(a->min)))
                      : a->min + u * (top - a->min);
    if (whole) /* exp(log()) may land one bit beside a whole number */
        x = fmin(fmax(floor(x), a->min), a->max);
    snprintf(text, sizeof text, whole ? "%.0f" : "%.4g", x);
    return rad_space_copy(spec->arena, text);
}

/* *idle counts the draws since the last one that gave a new point. */
static enum rad_status add_draw(rad_sweep_spec *spec, const double u[RAD_N_AXIS], int *idle,
                                struct rad_err *err)
{
    const char *value[RAD_N_AXIS];
    const struct rad_arena_mark mark = rad_arena_mark(spec->arena);
    const size_t before = spec->n_point;
    for (int i = 0; i < RAD_N_AXIS; i++) {
        value[i] = pick(spec, i, u[i]);
        if (value[i] == NULL && (spec->axis[i].n > 0 || spec->axis[i].ranged))
            return no_memory(err);
    }
    RAD_TRY(add_point(spec, value, err));
    *idle = spec->n_point > before ? 0 : *idle + 1;
    if (*idle > 0)
        rad_arena_reset(spec->arena, mark);
    return RAD_OK;
}

static bool enough(const rad_sweep_spec *spec, int idle)
{
    return (int64_t)spec->n_point >= spec->wanted || idle > MAX_IDLE;
}

static enum rad_status list_random(rad_sweep_spec *spec, struct rad_err *err)
{
    uint64_t name[RAD_N_AXIS];
    for (int i = 0; i < RAD_N_AXIS; i++)
        name[i] = rad_hash(rad_axes[i].name, strlen(rad_axes[i].name), spec->seed);
    int idle = 0;
    for (int64_t t = 0; !enough(spec, idle); t++) {
        double u[RAD_N_AXIS];
        for (int i = 0; i < RAD_N_AXIS; i++)
            u[i] = rad_hash_uniform(rad_hash(&t, sizeof t, name[i]));
        RAD_TRY(add_draw(spec, u, &idle, err));
    }
    return RAD_OK;
}

static enum rad_status draw_sobol(rad_sweep_spec *spec, gsl_qrng *q, struct rad_err *err)
{
    double raw[MAX_SOBOL_DIM], u[RAD_N_AXIS];
    int idle = 0;
    while (!enough(spec, idle)) {
        if (gsl_qrng_get(q, raw) != 0)
            return rad_fail(err, RAD_E_RANGE, "sweep: the Sobol sequence is exhausted");
        for (int i = 0, dim = 0; i < RAD_N_AXIS; i++)
            u[i] = is_free(&spec->axis[i]) ? raw[dim++] : 0;
        RAD_TRY(add_draw(spec, u, &idle, err));
    }
    return RAD_OK;
}

static enum rad_status list_sobol(rad_sweep_spec *spec, struct rad_err *err)
{
    unsigned dim = 0;
    for (int i = 0; i < RAD_N_AXIS; i++)
        dim += is_free(&spec->axis[i]) ? 1 : 0;
    gsl_qrng *q = gsl_qrng_alloc(gsl_qrng_sobol, dim > 0 ? dim : 1);
    if (q == NULL)
        return no_memory(err);
    const enum rad_status status = draw_sobol(spec, q, err);
    gsl_qrng_free(q);
    return status;
}

static int by_values(const void *a, const void *b)
{
    const struct rad_sweep_point *p = a, *q = b;
    for (int i = 0; i < RAD_N_AXIS; i++) {
        const int order = strcmp(p->value[i], q->value[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

enum rad_status rad_space_list(rad_sweep_spec *spec, struct rad_err *err)
{
    switch (spec->method) {
    case RAD_METHOD_GRID:
        RAD_TRY(check_grid(spec, err));
        RAD_TRY(list_grid(spec, err));
        break;
    case RAD_METHOD_RANDOM:
        RAD_TRY(list_random(spec, err));
        break;
    case RAD_METHOD_SOBOL:
        RAD_TRY(list_sobol(spec, err));
        break;
    }
    free(spec->seen);
    spec->seen = NULL;
    spec->n_seen = 0;
    if (spec->n_point == 0)
        return rad_fail(err, RAD_E_RANGE, "sweep: no point satisfies all constraints");
    if (spec->method != RAD_METHOD_GRID)
        qsort(spec->point, spec->n_point, sizeof *spec->point, by_values);
    return RAD_OK;
}
