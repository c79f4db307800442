/* functions.c - statistics that SQLite lacks, for queries. */
#include "store/schema.h"

#include "base/stat.h"

#include <math.h>

static double quantile(double *x, size_t n, double q)
{
    if (!(q >= 0 && q <= 1))
        return nan("");
    rad_sort_doubles(x, n);
    return rad_quantile(x, n, q);
}

static double median(double *x, size_t n, double q)
{
    (void)q;
    return quantile(x, n, 0.5);
}

static double stddev(double *x, size_t n, double q)
{
    (void)q;
    return rad_stddev(x, n);
}

static double geomean(double *x, size_t n, double q)
{
    double sum = 0;
    (void)q;
    for (size_t i = 0; i < n; i++)
        sum += x[i] > 0 ? log(x[i]) : nan("");
    return exp(sum / (double)n);
}

static const struct rad_db_aggregate aggregates[] = {
#define RAD_AGGREGATE(name, has_arg, fn, doc) {#name, has_arg, fn},
#include "store/functions.def"
#undef RAD_AGGREGATE
};

enum rad_status rad_store_functions(rad_db *db, struct rad_err *err)
{
    for (size_t i = 0; i < sizeof aggregates / sizeof aggregates[0]; i++)
        RAD_TRY(rad_db_add_aggregate(db, &aggregates[i], err));
    return rad_pareto_rank_register(db, err);
}
