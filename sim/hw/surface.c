/* surface.c - see surface.h. */
#include "hw/surface.h"

#include "hw/least.h"

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
        if (axes.reach != NULL) {
            lo = fmin(lo, exp2(axes.reach->knot[a][0]));
            hi = fmax(hi, exp2(axes.reach->knot[a][axes.reach->n_knot[a] - 1]));
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

/* A symmetric matrix of which only the places up to `band` left of the diagonal are not zero: rows
 * of band + 1, the diagonal last. As the first coordinate is the slowest, second differences along
 * it reach farthest. */
struct band {
    size_t n, width;
    double *a; /* [n][width] */
};

static double *at(const struct band *m, size_t i, size_t j)
{
    return &m->a[i * m->width + (m->width - 1 - (i - j))];
}

static void add_to(const struct band *m, size_t i, size_t j, double value)
{
    if (j <= i)
        *at(m, i, j) += value;
}

static size_t band_width(const struct rad_surface *s)
{
    const size_t n = rad_surface_cells(s), reach = 2 * (n / (size_t)s->n_knot[0]);
    return 1 + (reach < n - 1 ? reach : n - 1);
}

/* Row i of m as the Cholesky factor's: the rows before it are done. False: not positive. */
static bool factor_row(const struct band *m, size_t i)
{
    const size_t band = m->width - 1, first = i > band ? i - band : 0;
    double *row = m->a + i * m->width + band - i; /* row[j] is (i, j) */
    for (size_t j = first; j <= i; j++) {
        const size_t from = j > band && j - band > first ? j - band : first;
        const double *other = m->a + j * m->width + band - j;
        double sum[4] = {row[j], 0.0, 0.0, 0.0};
        size_t k = from;
        for (; k + 4 <= j; k += 4)
            for (size_t u = 0; u < 4; u++)
                sum[u] -= row[k + u] * other[k + u];
        for (; k < j; k++)
            sum[0] -= row[k] * other[k];
        const double left = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        if (j == i && !(left > 0.0))
            return false;
        row[j] = j == i ? sqrt(left) : left / other[j];
    }
    return true;
}

/* b becomes the solution of m x = b, m its factor. False: m is not positive definite. */
static bool solve_band(const struct band *m, double *b)
{
    const size_t band = m->width - 1;
    for (size_t i = 0; i < m->n; i++) {
        if (!factor_row(m, i))
            return false;
        for (size_t j = i > band ? i - band : 0; j < i; j++)
            b[i] -= *at(m, i, j) * b[j];
        b[i] /= *at(m, i, i);
    }
    for (size_t i = m->n; i-- > 0;) {
        b[i] /= *at(m, i, i);
        for (size_t j = i > band ? i - band : 0; j < i; j++)
            b[j] -= *at(m, i, j) * b[i];
    }
    return true;
}

/* Knots as near as the two sides of a step count as this far from one another (log2). */
#define LEAST_GAP 0.25

/* What knot i + 1 is off the line between its neighbours, twice. */
static void second_difference(const double *knot, size_t i, double d[3])
{
    const double below = fmax(LEAST_GAP, knot[i + 1] - knot[i]);
    const double above = fmax(LEAST_GAP, knot[i + 2] - knot[i + 1]);
    d[0] = 2.0 * above / (below + above);
    d[1] = -2.0;
    d[2] = 2.0 * below / (below + above);
}

/* Second differences along every axis, smooth times their squares, and ridge added to m. */
static void add_penalty(const struct rad_surface *s, const struct band *m, struct rad_law_hold hold)
{
    size_t stride = 1;
    for (int axis = s->n_axis - 1; axis >= 0; axis--) {
        const size_t knots = (size_t)s->n_knot[axis];
        for (size_t i = 0; i < m->n; i++) {
            const size_t k = i / stride % knots;
            double d[3];
            if (k + 2 >= knots)
                continue;
            second_difference(s->knot[axis], k, d);
            for (size_t u = 0; u < 3; u++)
                for (size_t v = 0; v <= u; v++)
                    add_to(m, i + u * stride, i + v * stride, hold.smooth * d[u] * d[v]);
        }
        stride *= knots;
    }
    for (size_t i = 0; i < m->n; i++)
        add_to(m, i, i, hold.ridge);
}

static void add_row(const struct rad_surface *s, const double *x, double r, double weight,
                    const struct band *m, double *b)
{
    int cell[RAD_SURFACE_CORNERS];
    double share[RAD_SURFACE_CORNERS];
    const int corners = 1 << s->n_axis;
    (void)rad_surface_corners(s, x, cell, share);
    for (int i = 0; i < corners; i++) {
        if (!(share[i] > 0.0))
            continue;
        b[cell[i]] += weight * share[i] * r;
        for (int j = 0; j < corners; j++)
            if (share[j] > 0.0)
                add_to(m, (size_t)cell[i], (size_t)cell[j], weight * share[i] * share[j]);
    }
}

static double value_at(const struct rad_surface *s, const double *x, const double *b)
{
    int cell[RAD_SURFACE_CORNERS];
    double share[RAD_SURFACE_CORNERS], sum = 0.0;
    (void)rad_surface_corners(s, x, cell, share);
    for (int i = 0; i < 1 << s->n_axis; i++)
        sum += share[i] * b[cell[i]];
    return sum;
}

/* One weighted solution into b. False: singular. */
static bool solve(const struct rad_surface *s, const struct rad_surface_rows *rows,
                  struct rad_law_hold hold, const double *weight, const struct band *m, double *b)
{
    memset(m->a, 0, m->n * m->width * sizeof *m->a);
    memset(b, 0, m->n * sizeof *b);
    for (size_t i = 0; i < rows->n; i++)
        add_row(s, rows->x[i], rows->r[i], weight[i], m, b);
    add_penalty(s, m, hold);
    return solve_band(m, b);
}

enum rad_status rad_surface_fit(struct rad_surface *s, const struct rad_surface_rows *rows,
                                struct rad_law_hold hold, struct rad_err *err)
{
    const size_t n = rad_surface_cells(s), width = band_width(s);
    double *memory = malloc((3 * rows->n + n * (width + 1)) * sizeof *memory);
    bool solved = true;
    s->log_ratio = malloc(n * sizeof *s->log_ratio);
    if (memory == NULL || s->log_ratio == NULL) {
        free(memory);
        free(s->log_ratio);
        s->log_ratio = NULL;
        return rad_fail(err, RAD_E_NOMEM, "out of memory for a surface of %zu cells", n);
    }
    double *weight = memory, *left = memory + rows->n, *scratch = left + rows->n;
    double *b = scratch + rows->n;
    const struct band m = {n, width, b + n};
    memcpy(weight, rows->weight, rows->n * sizeof *weight);
    for (int round = 0; round < ROUNDS && solved; round++) {
        solved = solve(s, rows, hold, weight, &m, b);
        for (size_t i = 0; i < rows->n; i++)
            left[i] = rows->r[i] - value_at(s, rows->x[i], b);
        rad_least_huber(left, rows->n, rows->huber, weight, scratch);
        for (size_t i = 0; i < rows->n; i++)
            weight[i] *= rows->weight[i];
    }
    for (size_t i = 0; i < n; i++)
        s->log_ratio[i] = (float)b[i];
    free(memory);
    if (solved)
        return RAD_OK;
    free(s->log_ratio);
    s->log_ratio = NULL;
    return rad_fail(err, RAD_E_RANGE, "surface: singular");
}
