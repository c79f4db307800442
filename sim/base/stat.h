/* stat.h - statistics of samples held in memory. Empty samples give NaN. */
#ifndef RAD_BASE_STAT_H
#define RAD_BASE_STAT_H

#include "base/err.h"

#include <stddef.h>

void rad_sort_doubles(double *x, size_t n); /* ascending; no NaN among them */

/* Quantile q in 0..1 of an ascending sample, linear between neighbours: position q * (n - 1)
 * (Hyndman & Fan 1996, type 7; the default of R, NumPy and SQL's percentile_cont). */
double rad_quantile(const double *sorted, size_t n, double q);

double rad_mean(const double *x, size_t n);
double rad_stddev(const double *x, size_t n); /* of a sample: divided by n - 1; NaN for n < 2 */

/* Spearman's rank correlation of n pairs, ties at their mean rank; NaN for n < 2 or a constant
 * sample. errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_spearman(const double *x, const double *y, size_t n, double *out,
                                            struct rad_err *err);

#endif
