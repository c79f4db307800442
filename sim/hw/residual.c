/* residual.c - see residual.h: what residuals have in common. */
#include "hw/residual.h"

#include "base/stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t rad_residual_shape(const char *op, const struct rad_work *w)
{
    double shape = w->n;
    if (strcmp(op, "gemm") == 0)
        shape = w->n * 1048573.0 + w->k;
    else if (strcmp(op, "grouped") == 0)
        shape = w->n * 1048573.0 + (w->mid > 0.0 ? w->mid : w->k);
    else if (w->heads > 0.0)
        shape = w->heads * 4099.0 + w->kv_heads;
    else if (w->bytes > 0.0)
        shape = w->bytes;
    uint64_t bits;
    memcpy(&bits, &shape, sizeof bits);
    return rad_scatter(bits);
}

uint64_t rad_residual_near(uint64_t shape, const double x[RAD_LAW_N_AXIS], int n_axis)
{
    uint64_t h = shape;
    for (int a = 0; a < n_axis; a++) {
        int octave; /* cells reach from 0.7 to 1.4 times a power of two */
        const bool low = frexp(x[a], &octave) < 0.70710678118654752;
        h = h * UINT64_C(1099511628211) + (uint64_t)(octave - low + 1024);
    }
    return rad_scatter(h);
}

/* ---- shares ----------------------------------------------------------------------------- */

/* A held-out row. */
struct point {
    uint64_t shape, near;
    double r;
};

static int by_place(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->shape != y->shape)
        return x->shape < y->shape ? -1 : 1;
    if (x->near != y->near)
        return x->near < y->near ? -1 : 1;
    return (x->r > y->r) - (x->r < y->r);
}

/* Held-out rows of full weight in folds first..last, by shape and place. */
static size_t collect(const struct rad_group_rows *g, const struct rad_fit *fit, int first,
                      int last, struct point *out)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->fold[i] >= first && g->fold[i] <= last && g->weight[i] > 0.5) {
            const uint64_t shape = rad_residual_shape(fit->op, &g->work[i]);
            const uint64_t near = rad_residual_near(shape, g->x[i], fit->law->n_axis);
            out[n++] = (struct point){shape, near, g->log_s[i] - g->held_out[i]};
        }
    qsort(out, n, sizeof *out, by_place);
    return n;
}

/* Quantiles of their residuals: half the width of the 80 % interval over z. scratch[n] */
static double spread_of(const struct point *p, size_t n, double *scratch)
{
    for (size_t i = 0; i < n; i++)
        scratch[i] = p[i].r;
    rad_sort_doubles(scratch, n);
    const double width = rad_quantile(scratch, n, 0.9) - rad_quantile(scratch, n, 0.1);
    return 0.5 * width / RAD_RESIDUAL_Z80;
}

/* Sums of products of pairs within runs of equal keys. */
struct pairs {
    double sum, n;
};

static void end_run(struct pairs *to, double *sum, double *squares, double *n)
{
    to->sum += *sum * *sum - *squares;
    to->n += *n * (*n - 1.0);
    *sum = *squares = *n = 0.0;
}

enum { ALL, SHAPE, NEAR };

static double mean_product(const struct point *p, size_t n, double cut, int level)
{
    struct pairs pairs = {0, 0};
    double sum = 0.0, squares = 0.0, count = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double r = fmin(cut, fmax(-cut, p[i].r));
        if (i > 0 && level != ALL &&
            (p[i].shape != p[i - 1].shape || (level == NEAR && p[i].near != p[i - 1].near)))
            end_run(&pairs, &sum, &squares, &count);
        sum += r;
        squares += r * r;
        count += 1.0;
    }
    end_run(&pairs, &sum, &squares, &count);
    return pairs.n >= 30.0 ? pairs.sum / pairs.n : 0.0;
}

struct shares {
    double sd, of[RAD_N_RESIDUAL];
};

static struct shares shares_of(const struct point *p, size_t n, double *scratch)
{
    struct shares s = {.sd = spread_of(p, n, scratch), .of = {0, 0, 0, 1}};
    const double cut = 2.5 * s.sd;
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double r = fmin(cut, fmax(-cut, p[i].r));
        squares += r * r;
    }
    if (!(squares > 0.0))
        return s;
    double before = 0.0;
    for (int level = ALL; level <= NEAR; level++) {
        const double share = mean_product(p, n, cut, level) / (squares / (double)n);
        const double upto = fmin(1.0, fmax(before, share));
        s.of[level] = upto - before;
        before = upto;
    }
    s.of[RAD_RESIDUAL_OWN] = 1.0 - before;
    return s;
}

enum rad_status rad_residual_shares(const struct rad_group_rows *g, struct rad_fit *fit,
                                    double *ratio_coverage, struct rad_err *err)
{
    struct point *p = malloc(g->n * sizeof *p + 1);
    double *scratch = malloc(g->n * sizeof *scratch + 1);
    enum rad_status status = RAD_OK;
    if (p == NULL || scratch == NULL) {
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", g->n);
    } else {
        size_t n = collect(g, fit, 0, RAD_REFIT_FOLDS - 1, p);
        const struct shares all = shares_of(p, n, scratch);
        fit->common_frac = all.of[RAD_RESIDUAL_FIT];
        fit->shape_frac = all.of[RAD_RESIDUAL_SHAPE];
        fit->near_frac = all.of[RAD_RESIDUAL_NEAR];
        n = collect(g, fit, 0, 2, p);
        const struct shares known = shares_of(p, n, scratch);
        n = collect(g, fit, 3, RAD_REFIT_FOLDS - 1, p);
        double in = 0.0, of = 0.0;
        for (size_t i = 0; g->held_model == NULL && i < n; i++)
            for (int far = 0; far < 2; far++) {
                const struct point *a = &p[i], *b = &p[(i + (far ? n / 2 : 1)) % n];
                if (a == b || (!far && a->shape != b->shape))
                    continue;
                const double apart = known.of[RAD_RESIDUAL_OWN] +
                                     (a->near != b->near) * known.of[RAD_RESIDUAL_NEAR] +
                                     (a->shape != b->shape) * known.of[RAD_RESIDUAL_SHAPE];
                const double sd = known.sd * sqrt(2.0 * apart);
                in += fabs(a->r - b->r) <= RAD_RESIDUAL_Z80 * sd;
                of += 1.0;
            }
        *ratio_coverage = of > 0.0 ? in / of : (double)NAN;
    }
    free(scratch);
    free(p);
    return status;
}
