/* residual.h - shares of the variance of residuals, from held-out rows. Private to hw/. */
#ifndef RAD_HW_RESIDUAL_FIT_H
#define RAD_HW_RESIDUAL_FIT_H

#include "hw/refit.h"

/* murmur3's finaliser: neighbours fall apart. */
static inline uint64_t rad_scatter(uint64_t bits)
{
    bits ^= bits >> 33;
    bits *= UINT64_C(0xff51afd7ed558ccd);
    bits ^= bits >> 29;
    bits *= UINT64_C(0xc4ceb9fe1a85ec53);
    return bits ^ (bits >> 32);
}

/* Which rows are of the same shape, and of near shapes (of the same shape, and in the same octave
 * of every coordinate). */
uint64_t rad_residual_shape(const char *op, const struct rad_work *work);
uint64_t rad_residual_near(uint64_t shape, const double x[RAD_LAW_N_AXIS], int n_axis);

/* Shares of the parts fit, shape and near into *fit, from the held-out rows of full weight: mean
 * products of the residuals of two rows, about nothing, over their mean square, both cut at 2.5
 * standard deviations. *ratio_coverage: of pairs of held-out rows - each with another of its shape,
 * and with one anywhere - the share whose measured ratio lies within the 80 % interval of the
 * predicted one; shares and interval from folds 0 to 2, pairs from the others; NaN without such
 * rows. errors: RAD_E_NOMEM */
enum rad_status rad_residual_shares(const struct rad_group_rows *g, struct rad_fit *fit,
                                    double *ratio_coverage, struct rad_err *err);

#endif
