/* law.h - closed forms that are fitted to measured kernels. Private to hw/.
 *
 * A *law* is the time of one class of kernel on a chip with a few physical parameters: one file and
 * one row of laws.def. A *fit* (fit.h) is a law with parameters for one operation, number format
 * and software, plus a correction surface. Laws know no profile, no file and no software. */
#ifndef RAD_HW_LAW_H
#define RAD_HW_LAW_H

#include "hw/hw.h"

/* What a datasheet says, for one number format. */
struct rad_chip {
    double peak_flop_per_s, mem_bytes_per_s, l2_bytes, units;
    double link_bytes_per_s; /* one direction, all links; 0: not known */
};

/* One operation or transfer in doubles. */
struct rad_work {
    double m, n, k;         /* GEMM extents; vector: rows, elements */
    double groups, up, mid; /* of a GEMM, as in struct rad_op; groups >= 1 */
    double batch;           /* sequences of attention */
    double keys;            /* context of one sequence; kv_len = keys of its last query */
    double heads, kv_heads, head_dim;
    double flop, weight_bytes, act_bytes, kv_bytes;
    double bytes, ranks; /* of a transfer */
};

struct rad_law_time {
    double time_s, compute_s, memory_s, overhead_s;
};

enum { RAD_LAW_N_PARAM = 16, RAD_LAW_N_AXIS = 4, RAD_LAW_N_KNOT = 64 };

/* A parameter is positive and fitted on a log scale, drawn to `start` as if a measurement had said
 * so with a relative error of `sd`. */
struct rad_law_param {
    const char *key;
    enum rad_dim dim;
    double min, max, start, sd;
    const char *doc;
};

/* Coordinate of the correction surface and where its knots lie by default (ascending). */
struct rad_law_axis {
    const char *key;
    int n_knot;
    double knots[RAD_LAW_N_KNOT];
};

/* What holds a surface where rows say little; chosen by held-out shapes. */
struct rad_law_hold {
    double smooth, ridge; /* weights of its squared second differences and of its squares */
};

struct rad_law {
    const char *name;
    const struct rad_law_param *params;
    int n_param;
    int n_optional; /* the last of them: p->min in a profile that does not have them */
    struct rad_law_axis axes[RAD_LAW_N_AXIS];
    int n_axis;
    bool steps; /* the first coordinate has sizes at which a library changes its protocol */
    struct rad_law_hold hold;
    /* The same where fine_shapes or more shapes were measured, at many sizes each. 0: never */
    struct rad_law_axis fine_axes[RAD_LAW_N_AXIS];
    size_t fine_shapes;
    struct rad_law_hold fine_hold;
    void (*time)(const double *p, const struct rad_chip *chip, const struct rad_work *work,
                 struct rad_law_time *out);
    void (*place)(const struct rad_work *work, double x[RAD_LAW_N_AXIS]);
    /* The same of the surface of board power; no axis: power is that of its law alone. */
    struct rad_law_axis power_axes[RAD_LAW_N_AXIS];
    int n_power_axis;
    struct rad_law_hold power_hold;
    void (*power_place)(const struct rad_work *work, double x[RAD_LAW_N_AXIS]);
};

/* The law of that name, or NULL. */
const struct rad_law *rad_law_find(const char *name);

struct rad_work rad_work_of(const struct rad_op *op);

/* The name that fits have for the class of an operation: gemm, grouped, decode, prefill, norm, act
 * (two inputs), gelu (one input), add, rope, gather, embed, softmax, sample. */
const char *rad_work_class(const struct rad_op *op);

/* The law that costs a class, never NULL for the names above, nor for those of transfers. */
const struct rad_law *rad_law_of_class(const char *class_name);

#endif
