/* space.h - private to sweep: axes with their values, constraints, and the list of points. */
#ifndef RAD_SWEEP_SPACE_H
#define RAD_SWEEP_SPACE_H

#include "base/arena.h"
#include "base/yaml.h"
#include "sweep/sweep.h"

enum { RAD_SWEEP_MAX_POINT = 1000000 }; /* about 0.4 GB of text */

enum rad_method { RAD_METHOD_GRID, RAD_METHOD_RANDOM, RAD_METHOD_SOBOL };

/* How the values of an axis are read. COUNT and REAL are numbers: they have ranges. */
enum rad_axis_kind {
    RAD_KIND_NAME,
    RAD_KIND_PATH,
    RAD_KIND_HW,
    RAD_KIND_CARD,
    RAD_KIND_COUNT,
    RAD_KIND_REAL,
    RAD_KIND_BOOL,
    RAD_KIND_KV,
    RAD_KIND_PHASE,
    RAD_KIND_DTYPE,
    RAD_KIND_BATCHER,
    RAD_KIND_RATE,
};

struct rad_axis {
    const char *name, *def, *doc; /* def: "" if there is none */
    enum rad_axis_kind kind;
};
extern const struct rad_axis rad_axes[RAD_N_AXIS];

/* The axis called name; RAD_N_AXIS if there is none. */
enum rad_sweep_axis rad_axis_find(const char *name);
bool rad_axis_is_number(enum rad_sweep_axis axis);
/* An axis with a name near to this one, or NULL. */
const char *rad_axis_near(const char *name);

/* The values that a spec gives to one axis. A range without step or factor is drawn from. */
struct rad_axis_values {
    bool given, ranged, log;
    double min, max;
    const char **value; /* [n] canonical */
    size_t n, cap;
};

/* One comparison "axis op value", and alternatives joined by "or". */
enum rad_compare { RAD_LT, RAD_LE, RAD_GT, RAD_GE, RAD_EQ, RAD_NE };
struct rad_term {
    enum rad_sweep_axis axis;
    enum rad_compare op;
    double number;    /* of a numeric axis */
    const char *text; /* of the others: only == and != */
};
enum { RAD_MAX_TERM = 16 };
struct rad_constraint {
    struct rad_term term[RAD_MAX_TERM];
    size_t n;
};

struct rad_sweep_spec {
    rad_arena *arena; /* owns all strings */
    const char *text;
    char hash[17];
    enum rad_method method;
    int64_t wanted; /* points of random and sobol */
    uint64_t seed;
    struct rad_axis_values axis[RAD_N_AXIS];
    struct rad_constraint *constraint; /* [n_constraint] */
    size_t n_constraint;
    struct rad_sweep_point *point; /* [n_point], malloc'ed */
    size_t n_point, max_point;
    uint64_t *seen; /* [n_seen] open addressing: keys of the points; 0 is free */
    size_t n_seen;
};

/* A copy in the arena, NULL without memory. */
const char *rad_space_copy(rad_arena *arena, const char *text);

/* Read the values of an axis. errors: RAD_E_PARSE, RAD_E_RANGE, RAD_E_IO (no such file) */
RAD_MUST_CHECK enum rad_status rad_axis_read(rad_sweep_spec *spec, enum rad_sweep_axis axis,
                                             const rad_yaml_node *node, struct rad_err *err);

/* Parse a constraint; node is for the place in messages. */
RAD_MUST_CHECK enum rad_status rad_constraint_parse(struct rad_constraint *out,
                                                    const rad_yaml_node *node, rad_arena *arena,
                                                    struct rad_err *err);

/* Do values[RAD_N_AXIS] satisfy it? An axis that does not apply ("") satisfies any term. */
bool rad_constraint_holds(const struct rad_constraint *c, const char *const value[RAD_N_AXIS]);

/* List the points of spec by its method. */
RAD_MUST_CHECK enum rad_status rad_space_list(rad_sweep_spec *spec, struct rad_err *err);

#endif
