/* sweep_spec.c - a sweep's YAML, checked as a whole, then listed as points. */
#include "sweep/space.h"

#include "base/hash.h"
#include "base/io.h"

#include <stdlib.h>
#include <string.h>

const char *rad_sweep_text(const rad_sweep_spec *spec)
{
    return spec->text;
}
const char *rad_sweep_hash(const rad_sweep_spec *spec)
{
    return spec->hash;
}
size_t rad_sweep_n_point(const rad_sweep_spec *spec)
{
    return spec->n_point;
}
const struct rad_sweep_point *rad_sweep_points(const rad_sweep_spec *spec)
{
    return spec->point;
}

static enum rad_status read_method(rad_sweep_spec *spec, const rad_yaml_node *root,
                                   struct rad_err *err)
{
    static const char *const names[] = {"grid", "random", "sobol"};
    const rad_yaml_node *node = NULL;
    RAD_TRY(rad_yaml_need(root, "method", &node, err));
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(rad_yaml_text(node), names[i]) == 0) {
            spec->method = (enum rad_method)i;
            return RAD_OK;
        }
    return rad_yaml_fail(node, err, RAD_E_PARSE, "expected a method `grid`, `random` or `sobol`");
}

/* points and seed: needed or allowed only where something is drawn. */
static enum rad_status read_draws(rad_sweep_spec *spec, const rad_yaml_node *root,
                                  struct rad_err *err)
{
    const rad_yaml_node *points = rad_yaml_find(root, "points"),
                        *seed = rad_yaml_find(root, "seed");
    const bool grid = spec->method == RAD_METHOD_GRID;
    int64_t number = 0;
    if (grid && (points != NULL || seed != NULL))
        return rad_yaml_fail(points != NULL ? points : seed, err, RAD_E_PARSE,
                             "a grid takes every combination: remove '%s'",
                             points != NULL ? "points" : "seed");
    if (grid)
        return RAD_OK;
    RAD_TRY(rad_yaml_need(root, "points", &points, err));
    RAD_TRY(rad_yaml_int(points, 1, RAD_SWEEP_MAX_POINT, &spec->wanted, err));
    if (seed != NULL)
        RAD_TRY(rad_yaml_int(seed, 0, INT64_MAX, &number, err));
    spec->seed = (uint64_t)number;
    return RAD_OK;
}

static enum rad_status read_axes(rad_sweep_spec *spec, const rad_yaml_node *map,
                                 struct rad_err *err)
{
    const char *names[RAD_N_AXIS];
    for (int i = 0; i < RAD_N_AXIS; i++)
        names[i] = rad_axes[i].name;
    RAD_TRY(rad_yaml_only(map, names, RAD_N_AXIS, err));
    for (size_t i = 0; i < rad_yaml_count(map); i++)
        RAD_TRY(
            rad_axis_read(spec, rad_axis_find(rad_yaml_key(map, i)), rad_yaml_value(map, i), err));
    return RAD_OK;
}

/* Is there a policy with $depth (or another placeholder) in it? */
static bool uses_depth(const rad_sweep_spec *spec)
{
    const struct rad_axis_values *policy = &spec->axis[RAD_AXIS_POLICY];
    for (size_t i = 0; i < policy->n; i++)
        if (strchr(policy->value[i], '$') != NULL)
            return true;
    return false;
}

/* Every '$' of a policy must begin a known placeholder. */
static enum rad_status check_placeholders(const rad_sweep_spec *spec, const rad_yaml_node *map,
                                          struct rad_err *err)
{
    static const char *const names[] = {"$depth", "$skip", "$speedup"};
    const struct rad_axis_values *policy = &spec->axis[RAD_AXIS_POLICY];
    for (size_t i = 0; i < policy->n; i++)
        for (const char *at = strchr(policy->value[i], '$'); at != NULL; at = strchr(at + 1, '$')) {
            bool known = false;
            for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
                known = known || strncmp(at, names[k], strlen(names[k])) == 0;
            if (!known)
                return rad_yaml_fail(rad_yaml_find(map, "policy"), err, RAD_E_PARSE,
                                     "after '$' a policy has depth, skip or speedup");
        }
    return RAD_OK;
}

/* Which axes may stand together. */
static enum rad_status check_axes(const rad_sweep_spec *spec, const rad_yaml_node *map,
                                  struct rad_err *err)
{
    static const enum rad_sweep_axis of_model[] = {RAD_AXIS_POLICY, RAD_AXIS_DEPTH, RAD_AXIS_TEXT,
                                                   RAD_AXIS_CTX};
    const bool model = spec->axis[RAD_AXIS_MODEL].given;
    if (model == spec->axis[RAD_AXIS_TRACE].given)
        return rad_yaml_fail(map, err, RAD_E_PARSE,
                             "expected either 'trace' or 'model' among the parameters");
    for (size_t i = 0; i < sizeof of_model / sizeof of_model[0]; i++)
        if (!model && spec->axis[of_model[i]].given)
            return rad_yaml_fail(rad_yaml_find(map, rad_axes[of_model[i]].name), err, RAD_E_PARSE,
                                 "'%s' needs 'model': a trace has been run already",
                                 rad_axes[of_model[i]].name);
    if (model && !spec->axis[RAD_AXIS_TEXT].given)
        return rad_yaml_fail(map, err, RAD_E_PARSE, "'model' needs 'text' to run on");
    if (!spec->axis[RAD_AXIS_HW].given)
        return rad_yaml_fail(map, err, RAD_E_PARSE, "missing parameter 'hw'");
    RAD_TRY(check_placeholders(spec, map, err));
    if (uses_depth(spec) != spec->axis[RAD_AXIS_DEPTH].given)
        return rad_yaml_fail(map, err, RAD_E_PARSE,
                             "'depth' and a policy with $depth, $skip or $speedup need each other");
    return RAD_OK;
}

static enum rad_status read_constraints(rad_sweep_spec *spec, const rad_yaml_node *list,
                                        struct rad_err *err)
{
    if (list == NULL)
        return RAD_OK;
    if (rad_yaml_kind(list) != RAD_YAML_SEQ)
        return rad_yaml_fail(list, err, RAD_E_PARSE, "expected a list of constraints");
    const size_t n = rad_yaml_count(list);
    spec->constraint = rad_arena_zero(spec->arena, (n + 1) * sizeof *spec->constraint);
    if (spec->constraint == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    for (; spec->n_constraint < n; spec->n_constraint++)
        RAD_TRY(rad_constraint_parse(&spec->constraint[spec->n_constraint],
                                     rad_yaml_at(list, spec->n_constraint), spec->arena, err));
    return RAD_OK;
}

static enum rad_status read_root(rad_sweep_spec *spec, const rad_yaml_node *root,
                                 struct rad_err *err)
{
    static const char *const keys[] = {"name", "description", "method",     "points",
                                       "seed", "parameters",  "constraints"};
    const rad_yaml_node *parameters = NULL;
    RAD_TRY(rad_yaml_only(root, keys, sizeof keys / sizeof keys[0], err));
    RAD_TRY(read_method(spec, root, err));
    RAD_TRY(read_draws(spec, root, err));
    RAD_TRY(rad_yaml_need(root, "parameters", &parameters, err));
    RAD_TRY(read_axes(spec, parameters, err));
    RAD_TRY(check_axes(spec, parameters, err));
    RAD_TRY(read_constraints(spec, rad_yaml_find(root, "constraints"), err));
    return rad_space_list(spec, err);
}

static enum rad_status parse(rad_sweep_spec *spec, const char *text, const char *name,
                             struct rad_err *err)
{
    rad_yaml *doc = NULL;
    RAD_TRY(rad_arena_open(&spec->arena, err));
    spec->text = rad_space_copy(spec->arena, text);
    if (spec->text == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    rad_hash_hex(rad_hash(text, strlen(text), 0), spec->hash);
    RAD_TRY(rad_yaml_parse(&doc, text, strlen(text), name, err));
    const enum rad_status status = read_root(spec, rad_yaml_root(doc), err);
    rad_yaml_close(doc);
    return status;
}

enum rad_status rad_sweep_parse(rad_sweep_spec **out, const char *text, const char *name,
                                struct rad_err *err)
{
    *out = NULL;
    rad_sweep_spec *spec = calloc(1, sizeof *spec);
    if (spec == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    const enum rad_status status = parse(spec, text, name, err);
    if (status != RAD_OK) {
        rad_sweep_close(spec);
        return status;
    }
    *out = spec;
    return RAD_OK;
}

enum rad_status rad_sweep_open(rad_sweep_spec **out, const char *path, struct rad_err *err)
{
    char *text = NULL;
    *out = NULL;
    RAD_TRY(rad_file_read(path, RAD_YAML_MAX_BYTES, &text, NULL, err));
    const enum rad_status status = rad_sweep_parse(out, text, path, err);
    free(text);
    return status;
}

void rad_sweep_close(rad_sweep_spec *spec)
{
    if (spec == NULL)
        return;
    rad_arena_close(spec->arena);
    free(spec->point);
    free(spec->seen);
    free(spec);
}
