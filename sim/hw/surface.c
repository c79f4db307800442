/* surface.c - see surface.h. */
#include "hw/surface.h"

#include "hw/least.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5 };

/* ---- knots ------------------------------------------------------------------------------ */

static void set_axis(struct rad_surface *s, int a, const struct rad_law_axis *axis, double lo,
                     double hi)
{
    double *knot = s->knot[a];
    const double least = axis->knots[0], most = axis->knots[axis->n_knot - 1];
    int n = 0;
    lo = log2(fmin(fmax(lo, fmin(least, hi)), most));
    hi = log2(fmax(fmin(hi, most), exp2(lo)));
    knot[n++] = lo;
    for (int i = 0; i < axis->n_knot; i++) {
        const double at = log2(axis->knots[i]);
        if (at > lo + 0.2 && at < hi - 0.2)
            knot[n++] = at;
    }
    if (hi > lo + 1e-6)
        knot[n++] = hi;
    s->n_knot[a] = n;
}

/* Drop every second inner knot of the axis with most of them; false if there are none. */
static bool coarsen(struct rad_surface *s)
{
    int most = 0;
    for (int a = 1; a < s->n_axis; a++)
        most = s->n_knot[a] > s->n_knot[most] ? a : most;
    const int n = s->n_knot[most];
    if (n <= 2)
        return false;
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (i % 2 == 0 || i == n - 1)
            s->knot[most][kept++] = s->knot[most][i];
    s->n_knot[most] = kept;
    return true;
}

void rad_surface_knots(struct rad_surface *s, struct rad_surface_axes axes,
                       const struct rad_surface_rows *rows)
{
    *s = (struct rad_surface){.n_axis = axes.n};
    for (int a = 0; a < axes.n; a++) {
        double lo = (double)INFINITY, hi = 0.0;
        for (size_t i = 0; i < rows->n; i++) {
            lo = fmin(lo, rows->x[i][a]);
            hi = fmax(hi, rows->x[i][a]);
        }
        set_axis(s, a, &axes.of[a], lo, hi);
    }
    if (axes.steps && axes.n > 0)
        rad_surface_put_steps(s, rows);
    while (4 * rad_surface_cells(s) > 3 * rows->n || rad_surface_cells(s) > RAD_FIT_MAX_CELL)
        if (!coarsen(s)) {
            s->n_axis = 0;
            return;
        }
}

/* ---- copies ----------------------------------------------------------------------------- */

enum rad_status rad_surface_copy(struct rad_surface *to, const struct rad_surface *from,
                                 struct rad_err *err)
{
    const size_t bytes = rad_surface_cells(from) * sizeof *from->log_ratio;
    *to = *from;
    if (from->log_ratio == NULL)
        return RAD_OK;
    to->log_ratio = malloc(bytes);
    if (to->log_ratio == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for a surface");
    memcpy(to->log_ratio, from->log_ratio, bytes);
    return RAD_OK;
}

/* ---- fit -------------------------------------------------------------------------------- */

/* Second differences along every axis, smooth times their squares, added to a. */
static void add_penalty(const struct rad_surface *s, gsl_matrix *a, double smooth, double ridge)
{
    static const double d[3] = {1.0, -2.0, 1.0};
    const size_t n = rad_surface_cells(s);
    size_t stride = 1;
    for (int axis = s->n_axis - 1; axis >= 0; axis--) {
        const size_t knots = (size_t)s->n_knot[axis];
        for (size_t i = 0; i < n; i++) {
            if (i / stride % knots + 2 >= knots)
                continue;
            for (size_t u = 0; u < 3; u++)
                for (size_t v = 0; v < 3; v++)
                    *gsl_matrix_ptr(a, i + u * stride, i + v * stride) += smooth * d[u] * d[v];
        }
        stride *= knots;
    }
    for (size_t i = 0; i < n; i++)
        *gsl_matrix_ptr(a, i, i) += ridge;
}

static void add_row(const struct rad_surface *s, const double *x, double r, double weight,
                    gsl_matrix *a, gsl_vector *b)
{
    int cell[RAD_SURFACE_CORNERS];
    double share[RAD_SURFACE_CORNERS];
    const int corners = 1 << s->n_axis;
    (void)rad_surface_corners(s, x, cell, share);
    for (int i = 0; i < corners; i++) {
        if (!(share[i] > 0.0))
            continue;
        *gsl_vector_ptr(b, (size_t)cell[i]) += weight * share[i] * r;
        for (int j = 0; j < corners; j++)
            *gsl_matrix_ptr(a, (size_t)cell[i], (size_t)cell[j]) += weight * share[i] * share[j];
    }
}

static double value_at(const struct rad_surface *s, const double *x, const gsl_vector *b)
{
    int cell[RAD_SURFACE_CORNERS];
    double share[RAD_SURFACE_CORNERS], sum = 0.0;
    (void)rad_surface_corners(s, x, cell, share);
    for (int i = 0; i < 1 << s->n_axis; i++)
        sum += share[i] * gsl_vector_get(b, (size_t)cell[i]);
    return sum;
}

struct penalty {
    double smooth, ridge;
};

/* One weighted solution into b. */
static int solve(const struct rad_surface *s, const struct rad_surface_rows *rows,
                 struct penalty penalty, const double *weight, gsl_matrix *a, gsl_vector *b)
{
    gsl_matrix_set_zero(a);
    gsl_vector_set_zero(b);
    for (size_t i = 0; i < rows->n; i++)
        add_row(s, rows->x[i], rows->r[i], weight[i], a, b);
    add_penalty(s, a, penalty.smooth, penalty.ridge);
    const int status = gsl_linalg_cholesky_decomp1(a);
    return status == GSL_SUCCESS ? gsl_linalg_cholesky_svx(a, b) : status;
}

enum rad_status rad_surface_fit(struct rad_surface *s, const struct rad_surface_rows *rows,
                                double smooth, double ridge, struct rad_err *err)
{
    const size_t n = rad_surface_cells(s);
    gsl_set_error_handler_off();
    gsl_matrix *a = gsl_matrix_alloc(n, n);
    gsl_vector *b = gsl_vector_alloc(n);
    double *memory = malloc(3 * rows->n * sizeof *memory + 1);
    s->log_ratio = malloc(n * sizeof *s->log_ratio);
    int code = GSL_ENOMEM;
    if (a != NULL && b != NULL && memory != NULL && s->log_ratio != NULL) {
        double *weight = memory, *left = memory + rows->n, *scratch = left + rows->n;
        memcpy(weight, rows->weight, rows->n * sizeof *weight);
        code = GSL_SUCCESS;
        for (int round = 0; round < ROUNDS && code == GSL_SUCCESS; round++) {
            code = solve(s, rows, (struct penalty){smooth, ridge}, weight, a, b);
            for (size_t i = 0; i < rows->n; i++)
                left[i] = rows->r[i] - value_at(s, rows->x[i], b);
            rad_least_huber(left, rows->n, rows->huber, weight, scratch);
            for (size_t i = 0; i < rows->n; i++)
                weight[i] *= rows->weight[i];
        }
        for (size_t i = 0; i < n; i++)
            s->log_ratio[i] = (float)gsl_vector_get(b, i);
    }
    free(memory);
    gsl_vector_free(b);
    gsl_matrix_free(a);
    if (code == GSL_SUCCESS)
        return RAD_OK;
    free(s->log_ratio);
    s->log_ratio = NULL;
    return rad_fail(err, code == GSL_ENOMEM ? RAD_E_NOMEM : RAD_E_RANGE, "surface: %s",
                    gsl_strerror(code));
}
