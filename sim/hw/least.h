/* least.h - robust nonlinear least squares on logarithmic errors. Private to hw/.
 *
 * Minimises sum_i w_i (r_i / RAD_LEAST_SD)^2 + sum_j ((ln p_j - ln start_j) / sd_j)^2 over ln p by
 * Levenberg-Marquardt (GSL), with Huber weights w_i renewed between rounds: P. J. Huber, "Robust
 * estimation of a location parameter", 1964. */
#ifndef RAD_HW_LEAST_H
#define RAD_HW_LEAST_H

#include "hw/law.h"

#define RAD_LEAST_SD 0.05 /* relative error of one measurement */

struct rad_least {
    size_t n_row;
    int n_param, rounds;
    double huber; /* limit of full weight, in robust standard deviations */
    double min[RAD_LAW_N_PARAM], max[RAD_LAW_N_PARAM];
    double start[RAD_LAW_N_PARAM], sd[RAD_LAW_N_PARAM]; /* relative */
    const double *weight;                               /* [n_row] of a row; NULL: all 1 */
    /* ln(predicted / measured) of row i at p */
    double (*residual)(const void *ctx, const double *p, size_t i);
    const void *ctx;
};

/* p: where to begin; overwritten. sd_out[n_param], relative, may be NULL.
 * errors: RAD_E_NOMEM, RAD_E_RANGE (a residual is not finite at the start) */
enum rad_status rad_least_fit(const struct rad_least *problem, double *p, double *sd_out,
                              struct rad_err *err);

/* Huber weight of each of r[n] at `limit` robust standard deviations, into w[n]. scratch[n]. */
void rad_least_huber(const double *r, size_t n, double limit, double *w, double *scratch);

#endif
