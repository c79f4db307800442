/* axis.c - the axes of a sweep, and their values as a spec writes them. */
#include "sweep/space.h"

#include "base/buf.h"
#include "base/near.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct rad_axis rad_axes[RAD_N_AXIS] = {
#define RAD_AXIS(id, name, kind, def, doc) {#name, def, doc, RAD_KIND_##kind},
#include "sweep/axes.def"
#undef RAD_AXIS
};

const char *rad_sweep_axis_name(enum rad_sweep_axis axis)
{
    return rad_axes[axis].name;
}
const char *rad_sweep_axis_doc(enum rad_sweep_axis axis)
{
    return rad_axes[axis].doc;
}
const char *rad_sweep_axis_default(enum rad_sweep_axis axis)
{
    return rad_axes[axis].def;
}

enum rad_sweep_axis rad_axis_find(const char *name)
{
    unsigned i = 0;
    while (i < RAD_N_AXIS && strcmp(rad_axes[i].name, name) != 0)
        i++;
    return (enum rad_sweep_axis)i;
}

bool rad_axis_is_number(enum rad_sweep_axis axis)
{
    return rad_axes[axis].kind == RAD_KIND_COUNT || rad_axes[axis].kind == RAD_KIND_REAL;
}

const char *rad_axis_near(const char *name)
{
    const char *names[RAD_N_AXIS];
    for (size_t i = 0; i < RAD_N_AXIS; i++)
        names[i] = rad_axes[i].name;
    return rad_nearest(name, names, RAD_N_AXIS);
}

const char *rad_space_copy(rad_arena *arena, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = rad_arena_get(arena, size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
}

static enum rad_status append(rad_sweep_spec *spec, enum rad_sweep_axis axis, const char *text,
                              struct rad_err *err)
{
    struct rad_axis_values *values = &spec->axis[axis];
    if (values->n == values->cap) {
        const size_t cap = values->cap > 0 ? 2 * values->cap : 8;
        const char **more = rad_arena_get(spec->arena, cap * sizeof *more);
        if (more == NULL)
            return no_memory(err);
        if (values->n > 0)
            memcpy(more, values->value, values->n * sizeof *more);
        values->value = more;
        values->cap = cap;
    }
    const char *copy = rad_space_copy(spec->arena, text);
    if (copy == NULL)
        return no_memory(err);
    values->value[values->n++] = copy;
    return RAD_OK;
}

/* ---- values of each kind --------------------------------------------------------------- */

/* Smallest and largest number of an axis. */
static void limits(enum rad_sweep_axis axis, double *min, double *max)
{
    *min = axis == RAD_AXIS_BATCH ? 1 : 0;
    *max = rad_axes[axis].kind == RAD_KIND_REAL ? 1 : INT32_MAX;
    if (axis == RAD_AXIS_DEPTH)
        *min = 1e-3;
}

/* Whole numbers as they are, shares with the digits that a person would write. */
static const char *number_text(enum rad_sweep_axis axis, double x, char out[32])
{
    snprintf(out, 32, rad_axes[axis].kind == RAD_KIND_COUNT ? "%.0f" : "%.10g", x);
    return out;
}

static enum rad_status read_number(enum rad_sweep_axis axis, const rad_yaml_node *node, double *out,
                                   struct rad_err *err)
{
    double min = 0, max = 0;
    limits(axis, &min, &max);
    if (rad_axes[axis].kind == RAD_KIND_REAL)
        return rad_yaml_real(node, min, max, out, err);
    int64_t whole = 0;
    RAD_TRY(rad_yaml_int(node, (int64_t)min, (int64_t)max, &whole, err));
    *out = (double)whole;
    return RAD_OK;
}

static enum rad_status check_batcher(const char *text, struct rad_err *err)
{
    enum { MAX = 64 };
    const char *names[MAX] = {"auto"};
    size_t n = 0, n_name = 1;
    const struct rad_batcher *const *rows = rad_batchers(&n);
    for (size_t i = 0; i < n && n_name < MAX; i++)
        names[n_name++] = rows[i]->name;
    for (size_t i = 0; i < n_name; i++)
        if (strcmp(names[i], text) == 0)
            return RAD_OK;
    const char *near = rad_nearest(text, names, n_name);
    return rad_fail(err, RAD_E_PARSE, "unknown batcher '%s'%s%s%s", text,
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
}

/* Check a word of a kind that has a list of them. */
static enum rad_status check_word(enum rad_axis_kind kind, const char *text, struct rad_err *err)
{
    enum rad_kv kv;
    enum rad_replay_phase phase;
    enum rad_dtype dtype;
    double share;
    enum rad_rate rate;
    switch (kind) {
    case RAD_KIND_KV:
        return strcmp(text, "recorded") == 0 ? RAD_OK : rad_kv_parse(text, &kv, err);
    case RAD_KIND_PHASE:
        return rad_replay_phase_parse(text, &phase, err);
    case RAD_KIND_DTYPE:
        return strcmp(text, "auto") == 0 ? RAD_OK
                                         : rad_dtype_parse_weights(text, &dtype, &share, err);
    case RAD_KIND_RATE:
        return rad_rate_parse(text, &rate, err);
    case RAD_KIND_BATCHER:
        return check_batcher(text, err);
    case RAD_KIND_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return RAD_OK;
        return rad_fail(err, RAD_E_PARSE, "expected true or false but found '%s'", text);
    default:
        return RAD_OK;
    }
}

/* Values end up in keys, one per line, and in messages. */
static enum rad_status check_text(const rad_yaml_node *node, struct rad_err *err)
{
    const char *text = rad_yaml_text(node);
    if (rad_yaml_kind(node) != RAD_YAML_SCALAR || text[0] == '\0')
        return rad_yaml_fail(node, err, RAD_E_PARSE, "expected a value but found %s",
                             rad_yaml_kind(node) == RAD_YAML_SCALAR ? "nothing" : "a list or map");
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return rad_yaml_fail(node, err, RAD_E_PARSE,
                                 "a value must not have control characters");
    return RAD_OK;
}

/* Files by pattern in alphabetical order; a path without one must exist. */
static enum rad_status add_files(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                 const rad_yaml_node *node, struct rad_err *err)
{
    char show[RAD_SHOW_MAX];
    const char *pattern = rad_yaml_text(node);
    if (strpbrk(pattern, "*?[") == NULL) {
        if (access(pattern, R_OK) != 0)
            return rad_yaml_fail(node, err, RAD_E_IO, "cannot read '%s'", rad_show(show, pattern));
        return append(spec, axis, pattern, err);
    }
    glob_t found;
    const int rc = glob(pattern, 0, NULL, &found);
    if (rc == GLOB_NOSPACE)
        return no_memory(err);
    if (rc != 0)
        return rad_yaml_fail(node, err, RAD_E_IO, "no file matches '%s'", rad_show(show, pattern));
    enum rad_status status = RAD_OK;
    for (size_t i = 0; i < found.gl_pathc && status == RAD_OK; i++)
        status = append(spec, axis, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

static enum rad_status add_value(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                 const rad_yaml_node *node, struct rad_err *err)
{
    const enum rad_axis_kind kind = rad_axes[axis].kind;
    RAD_TRY(check_text(node, err));
    const char *text = rad_yaml_text(node);
    if (kind == RAD_KIND_PATH || (kind == RAD_KIND_HW && strpbrk(text, "*?[") != NULL))
        return add_files(spec, axis, node, err);
    if (rad_axis_is_number(axis)) {
        double x = 0;
        char digits[32];
        RAD_TRY(read_number(axis, node, &x, err));
        return append(spec, axis, number_text(axis, x, digits), err);
    }
    struct rad_err why = {RAD_OK, ""};
    if (check_word(kind, text, &why) != RAD_OK)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "%s", why.msg);
    return append(spec, axis, text, err);
}

/* ---- ranges ---------------------------------------------------------------------------- */

/* min..max by a step or a factor: a list for any method. */
static enum rad_status add_range(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                 const rad_yaml_node *map, struct rad_err *err)
{
    const rad_yaml_node *step_node = rad_yaml_find(map, "step");
    const rad_yaml_node *factor_node = rad_yaml_find(map, "factor");
    const struct rad_axis_values *values = &spec->axis[axis];
    double step = 0, factor = 1;
    if (step_node != NULL)
        RAD_TRY(rad_yaml_real(step_node, 1e-6, 1e9, &step, err));
    if (factor_node != NULL)
        RAD_TRY(rad_yaml_real(factor_node, 1.001, 1e9, &factor, err));
    if (step > 0 && factor > 1)
        return rad_yaml_fail(map, err, RAD_E_PARSE, "give either step or factor, not both");
    if (factor > 1 && values->min <= 0)
        return rad_yaml_fail(map, err, RAD_E_RANGE, "a factor needs a min above 0");
    char digits[32];
    for (int i = 0; i < RAD_SWEEP_MAX_POINT; i++) {
        const double x = step > 0 ? values->min + i * step : values->min * pow(factor, i);
        if (x > values->max * (1 + 1e-12))
            return RAD_OK;
        const double whole = rad_axes[axis].kind == RAD_KIND_COUNT ? round(x) : x;
        RAD_TRY(append(spec, axis, number_text(axis, whole, digits), err));
    }
    return rad_yaml_fail(map, err, RAD_E_RANGE, "more than %d values", RAD_SWEEP_MAX_POINT);
}

static enum rad_status read_distribution(struct rad_axis_values *values, const rad_yaml_node *map,
                                         struct rad_err *err)
{
    const rad_yaml_node *node = rad_yaml_find(map, "distribution");
    const char *name = node != NULL ? rad_yaml_text(node) : "uniform";
    values->log = strcmp(name, "log_uniform") == 0;
    if (!values->log && strcmp(name, "uniform") != 0)
        return rad_yaml_fail(node, err, RAD_E_PARSE,
                             "expected a distribution `uniform` or `log_uniform`");
    if (values->log && values->min <= 0)
        return rad_yaml_fail(map, err, RAD_E_RANGE, "log_uniform needs a min above 0");
    return RAD_OK;
}

static enum rad_status read_range(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                  const rad_yaml_node *map, struct rad_err *err)
{
    struct rad_axis_values *values = &spec->axis[axis];
    const rad_yaml_node *min = NULL, *max = NULL;
    if (!rad_axis_is_number(axis))
        return rad_yaml_fail(map, err, RAD_E_PARSE, "'%s' is no number: give values, not a range",
                             rad_axes[axis].name);
    RAD_TRY(rad_yaml_need(map, "min", &min, err));
    RAD_TRY(rad_yaml_need(map, "max", &max, err));
    RAD_TRY(read_number(axis, min, &values->min, err));
    RAD_TRY(read_number(axis, max, &values->max, err));
    if (values->min > values->max)
        return rad_yaml_fail(map, err, RAD_E_RANGE, "min is above max");
    if (rad_yaml_find(map, "step") != NULL || rad_yaml_find(map, "factor") != NULL)
        return add_range(spec, axis, map, err);
    if (spec->method == RAD_METHOD_GRID)
        return rad_yaml_fail(map, err, RAD_E_PARSE,
                             "a grid needs values, or a step or factor for min..max");
    values->ranged = true;
    return read_distribution(values, map, err);
}

static enum rad_status read_list(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                 const rad_yaml_node *list, struct rad_err *err)
{
    if (rad_yaml_kind(list) == RAD_YAML_SCALAR)
        return add_value(spec, axis, list, err);
    if (rad_yaml_kind(list) != RAD_YAML_SEQ || rad_yaml_count(list) == 0)
        return rad_yaml_fail(list, err, RAD_E_PARSE, "expected a list of values");
    for (size_t i = 0; i < rad_yaml_count(list); i++)
        RAD_TRY(add_value(spec, axis, rad_yaml_at(list, i), err));
    return RAD_OK;
}

enum rad_status rad_axis_read(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                              const rad_yaml_node *node, struct rad_err *err)
{
    static const char *const keys[] = {"values", "min", "max", "step", "factor", "distribution"};
    spec->axis[axis].given = true;
    if (rad_yaml_kind(node) != RAD_YAML_MAP)
        return read_list(spec, axis, node, err);
    RAD_TRY(rad_yaml_only(node, keys, sizeof keys / sizeof keys[0], err));
    const rad_yaml_node *list = rad_yaml_find(node, "values");
    if (list == NULL)
        return read_range(spec, axis, node, err);
    if (rad_yaml_count(node) > 1)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "give either values or a range, not both");
    return read_list(spec, axis, list, err);
}
