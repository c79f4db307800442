/* surface.h - fitting the correction surface of a fit. Private to hw/. */
#ifndef RAD_HW_SURFACE_H
#define RAD_HW_SURFACE_H

#include "hw/fit.h"

struct rad_surface_rows {
    size_t n;
    const double (*x)[RAD_LAW_N_AXIS]; /* [n] coordinates */
    const double *r, *weight;          /* [n] ln(measured / law), weights */
    double huber;                      /* limit of full weight, in robust standard deviations */
};

/* Coordinates of a surface and where their knots lie by default. */
struct rad_surface_axes {
    const struct rad_law_axis *of; /* [n] */
    int n;
    bool steps; /* look for steps along the first, and put a knot on either side */
    const struct rad_surface *reach; /* of the same axes, as far as whose ends knots go, or NULL */
};

/* Knots of the axes that lie within the data or axes.reach, their ends at its ends; then fewer
 * until there are at least four rows for three cells. No axis is left if there are too few rows for
 * any surface. */
void rad_surface_knots(struct rad_surface *s, struct rad_surface_axes axes,
                       const struct rad_surface_rows *rows);

/* Where r steps along the first coordinate, a knot on either side. (surface_step.c) */
void rad_surface_put_steps(struct rad_surface *s, const struct rad_surface_rows *rows);

/* errors: RAD_E_NOMEM */
enum rad_status rad_surface_copy(struct rad_surface *to, const struct rad_surface *from,
                                 struct rad_err *err);

/* Penalised least squares with Huber weights: minimises sum w (r - s(x))^2 + hold.smooth sum
 * (second differences along each axis)^2 + hold.ridge sum s^2. A second difference is twice what a
 * knot is off the line between its neighbours. log_ratio is malloc'ed. (P. Eilers, B. Marx,
 * "Flexible smoothing with B-splines and penalties", 1996; here of degree 1.) errors: RAD_E_NOMEM,
 * RAD_E_RANGE (singular) */
enum rad_status rad_surface_fit(struct rad_surface *s, const struct rad_surface_rows *rows,
                                struct rad_law_hold hold, struct rad_err *err);

#endif
