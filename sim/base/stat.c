/* stat.c - GSL's statistics with empty samples made NaN. */
#include "base/stat.h"

#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

void rad_sort_doubles(double *x, size_t n)
{
    gsl_sort(x, 1, n);
}

double rad_quantile(const double *sorted, size_t n, double q)
{
    if (n == 0 || !(q >= 0.0 && q <= 1.0))
        return (double)NAN;
    const double at = q * (double)(n - 1);
    const size_t below = (size_t)at;
    if (!(at > (double)below)) /* on an element: the next one, which may be infinite, has no part */
        return sorted[below];
    return gsl_stats_quantile_from_sorted_data(sorted, 1, n, q);
}

double rad_mean(const double *x, size_t n)
{
    return n > 0 ? gsl_stats_mean(x, 1, n) : (double)NAN;
}

double rad_stddev(const double *x, size_t n)
{
    return n > 1 ? gsl_stats_sd(x, 1, n) : (double)NAN;
}

enum rad_status rad_spearman(const double *x, const double *y, size_t n, double *out,
                             struct rad_err *err)
{
    *out = (double)NAN;
    if (n < 2)
        return RAD_OK;
    double *work = n <= SIZE_MAX / (2 * sizeof *work) ? malloc(2 * n * sizeof *work) : NULL;
    if (work == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory to rank %zu pairs", n);
    *out = gsl_stats_spearman(x, 1, y, 1, n, work);
    free(work);
    return RAD_OK;
}
