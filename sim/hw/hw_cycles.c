/* hw_cycles.c - the closed forms of hw_cycles.h. */
#include "hw/hw_cycles.h"
#include "hw/hw_part.h"

static double serial_cycles(const struct rad_array *a, double folds, double stream)
{
    const double r = (double)a->rows, c = (double)a->cols;
    const double load = a->dataflow == RAD_OUTPUT_STATIONARY ? 0.0 : r;
    return folds * (stream + load + r + c - 2.0) - 1.0;
}

static double pipelined_cycles(const struct rad_array *a, double folds, double stream)
{
    const double r = (double)a->rows, c = (double)a->cols;
    if (a->dataflow == RAD_OUTPUT_STATIONARY)
        return (folds - 1.0) * fmax(stream, r) + stream + r + c - 2.0;
    const double beat = fmax(stream, 4.0);
    return (2.0 * r - 1.0) + (folds - 1.0) * fmax(beat, r) + r + c - 2.0 + beat;
}

double rad_systolic_cycles(const struct rad_array *a, int64_t m, int64_t n, int64_t k,
                           int64_t n_gemm)
{
    const int64_t extents[][3] = {
        /* along the rows, along the columns, streamed */
        [RAD_WEIGHT_STATIONARY] = {k, n, m},
        [RAD_OUTPUT_STATIONARY] = {m, n, k},
        [RAD_INPUT_STATIONARY] = {k, m, n},
    };
    const int64_t *e = extents[a->dataflow];
    const double folds = rad_part_folds(e[0], a->rows) * rad_part_folds(e[1], a->cols) *
                         (double)n_gemm;
    const double stream = (double)e[2];
    const double mine = ceil(folds / (double)a->count);
    return a->pipelined ? pipelined_cycles(a, mine, stream) : serial_cycles(a, mine, stream);
}
