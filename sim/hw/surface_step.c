/* surface_step.c - steps along the first coordinate: where a library changes its protocol, times
 * double from one size to the next, and a surface needs a knot on either side. */
#include "hw/surface.h"

#include <math.h>
#include <string.h>

/* Between two neighbours: SIDE rows on either side, all of the one side STEP_LOG or more above all
 * of the other. */
struct step {
    double below, above; /* log2 of the coordinate */
    double gap;          /* 0: no step */
};

#define STEP_LOG 0.2
#define NEIGHBOUR_RATIO 1.35 /* rows further apart than that say nothing of a step */
#define ROOM 0.25            /* default knots nearer than that to a step give way */

enum { MAX_STEP = 3, SIDE = 3, MAX_ROWS = 2000, MOST_KNOTS = 16 };

/* The rows of one side, nearest first. */
struct side {
    size_t row[SIDE], n;
    double min_r, max_r;
};

static void insert(struct side *side, const struct rad_surface_rows *rows, size_t j, double x)
{
    size_t at = side->n;
    while (at > 0 && fabs(rows->x[side->row[at - 1]][0] - x) > fabs(rows->x[j][0] - x))
        at--;
    if (at == SIDE)
        return;
    side->n = side->n < SIDE ? side->n + 1 : SIDE;
    for (size_t i = side->n - 1; i > at; i--)
        side->row[i] = side->row[i - 1];
    side->row[at] = j;
}

static void span(struct side *side, const struct rad_surface_rows *rows)
{
    side->min_r = (double)INFINITY;
    side->max_r = -(double)INFINITY;
    for (size_t i = 0; i < side->n; i++) {
        side->min_r = fmin(side->min_r, rows->r[side->row[i]]);
        side->max_r = fmax(side->max_r, rows->r[side->row[i]]);
    }
}

/* The step above row i, among rows that differ in the first coordinate alone. */
static struct step step_above(const struct rad_surface_rows *rows, int n_axis, size_t i)
{
    struct side low = {.n = 0}, high = {.n = 0};
    const double x = rows->x[i][0];
    for (size_t j = 0; j < rows->n; j++) {
        bool same = true;
        for (int a = 1; a < n_axis; a++)
            same = same && !(fabs(rows->x[j][a] - rows->x[i][a]) > 0.0);
        if (same)
            insert(rows->x[j][0] > x ? &high : &low, rows, j, x);
    }
    if (low.n < SIDE || high.n < SIDE || rows->x[high.row[0]][0] > NEIGHBOUR_RATIO * x)
        return (struct step){0};
    span(&low, rows);
    span(&high, rows);
    const double gap = fmax(high.min_r - low.max_r, low.min_r - high.max_r);
    return (struct step){log2(x), log2(rows->x[high.row[0]][0]), gap > STEP_LOG ? gap : 0.0};
}

/* The largest steps, each once. */
static int find(const struct rad_surface_rows *rows, int n_axis, struct step steps[MAX_STEP])
{
    int n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const struct step s = step_above(rows, n_axis, i);
        int at = n < MAX_STEP ? n : 0;
        for (int k = 0; k < n && n == MAX_STEP; k++)
            at = steps[k].gap < steps[at].gap ? k : at; /* the smallest gives way */
        for (int k = 0; k < n; k++)
            at = fabs(steps[k].below - s.below) < ROOM / 2.0 ? k : at; /* or itself */
        if (!(s.gap > 0.0) || (at < n && s.gap <= steps[at].gap))
            continue;
        steps[at] = s;
        n += at == n;
    }
    return n;
}

/* Distance of a knot to the nearest side of a step. */
static double distance(double knot, const struct step *steps, int n)
{
    double least = (double)INFINITY;
    for (int i = 0; i < n; i++)
        least = fmin(least, fmin(fabs(knot - steps[i].below), fabs(knot - steps[i].above)));
    return least;
}

/* The inner knot that gives way to steps: too near to one, or the nearest if they are too many.
 * -1: none. */
static int in_the_way(const struct rad_surface *s, const struct step *steps, int n, int most)
{
    int nearest = -1;
    for (int i = 1; i + 1 < s->n_knot[0]; i++)
        if (nearest < 0 ||
            distance(s->knot[0][i], steps, n) < distance(s->knot[0][nearest], steps, n))
            nearest = i;
    const bool room = nearest < 0 ||
                      (distance(s->knot[0][nearest], steps, n) >= ROOM && s->n_knot[0] <= most);
    return room ? -1 : nearest;
}

static void put(struct rad_surface *s, double knot)
{
    int at = s->n_knot[0];
    for (; at > 0 && s->knot[0][at - 1] > knot; at--)
        s->knot[0][at] = s->knot[0][at - 1];
    s->knot[0][at] = knot;
    s->n_knot[0]++;
}

void rad_surface_put_steps(struct rad_surface *s, const struct rad_surface_rows *rows)
{
    struct step steps[MAX_STEP];
    const int n = rows->n <= MAX_ROWS ? find(rows, s->n_axis, steps) : 0;
    if (n == 0 || s->n_knot[0] < 2)
        return;
    for (int i; (i = in_the_way(s, steps, n, MOST_KNOTS - 2 * n)) >= 0;) {
        s->n_knot[0]--;
        memmove(&s->knot[0][i], &s->knot[0][i + 1],
                (size_t)(s->n_knot[0] - i) * sizeof s->knot[0][0]);
    }
    for (int i = 0; i < n; i++) {
        if (steps[i].below > s->knot[0][0] + 1e-3)
            put(s, steps[i].below);
        if (steps[i].above < s->knot[0][s->n_knot[0] - 1] - 1e-3)
            put(s, steps[i].above);
    }
}
