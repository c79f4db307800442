/* least.c - see least.h. */
#include "hw/least.h"

#include "base/stat.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>
#include <stdlib.h>

struct state {
    const struct rad_least *problem;
    double *robust; /* [n_row] square roots of weights */
};

static void natural(const struct rad_least *l, const gsl_vector *q, double *p)
{
    for (int j = 0; j < l->n_param; j++)
        p[j] = fmin(l->max[j], fmax(l->min[j], exp(gsl_vector_get(q, (size_t)j))));
}

static int residuals(const gsl_vector *q, void *ctx, gsl_vector *f)
{
    const struct state *s = ctx;
    const struct rad_least *l = s->problem;
    double p[RAD_LAW_N_PARAM];
    natural(l, q, p);
    for (size_t i = 0; i < l->n_row; i++) {
        const double r = l->residual(l->ctx, p, i) / RAD_LEAST_SD * s->robust[i];
        if (!isfinite(r))
            return GSL_EDOM;
        gsl_vector_set(f, i, r);
    }
    for (int j = 0; j < l->n_param; j++) /* outside the limits the data say nothing */
        gsl_vector_set(f, l->n_row + (size_t)j,
                       (gsl_vector_get(q, (size_t)j) - log(l->start[j])) / l->sd[j]);
    return GSL_SUCCESS;
}

void rad_least_huber(const double *r, size_t n, double limit, double *w, double *scratch)
{
    for (size_t i = 0; i < n; i++)
        scratch[i] = fabs(r[i]);
    rad_sort_doubles(scratch, n);
    limit *= 1.4826 * rad_quantile(scratch, n, 0.5) + 1e-9;
    for (size_t i = 0; i < n; i++)
        w[i] = fabs(r[i]) > limit ? limit / fabs(r[i]) : 1.0;
}

/* Weights from the residuals at p. r and scratch have n_row elements. */
static void reweigh(const struct state *s, const double *p, double *r, double *scratch)
{
    const struct rad_least *l = s->problem;
    for (size_t i = 0; i < l->n_row; i++)
        r[i] = l->residual(l->ctx, p, i);
    rad_least_huber(r, l->n_row, l->huber, s->robust, scratch);
    for (size_t i = 0; i < l->n_row; i++)
        s->robust[i] = sqrt(s->robust[i] * (l->weight ? l->weight[i] : 1.0));
}

static int deviations(const gsl_multifit_nlinear_workspace *w, int n, double *sd)
{
    gsl_matrix *covar = gsl_matrix_alloc((size_t)n, (size_t)n);
    for (int j = 0; j < n; j++)
        sd[j] = (double)NAN;
    if (covar == NULL)
        return GSL_ENOMEM;
    const int status = gsl_multifit_nlinear_covar(gsl_multifit_nlinear_jac(w), 0.0, covar);
    if (status == GSL_SUCCESS)
        for (int j = 0; j < n; j++)
            sd[j] = sqrt(gsl_matrix_get(covar, (size_t)j, (size_t)j));
    gsl_matrix_free(covar);
    return status == GSL_ENOMEM ? status : GSL_SUCCESS; /* without deviations it is still a fit */
}

/* Rounds of Levenberg-Marquardt from q; GSL_SUCCESS or why not. */
static int solve(struct state *s, gsl_multifit_nlinear_workspace *w, gsl_vector *q, double *memory)
{
    const struct rad_least *l = s->problem;
    gsl_multifit_nlinear_fdf fdf = {
        .f = residuals, .n = l->n_row + (size_t)l->n_param, .p = (size_t)l->n_param, .params = s};
    int status = GSL_SUCCESS;
    for (int round = 0; round < l->rounds && status == GSL_SUCCESS; round++) {
        double p[RAD_LAW_N_PARAM];
        int info = 0;
        natural(l, q, p);
        reweigh(s, p, memory, memory + l->n_row);
        status = gsl_multifit_nlinear_init(q, &fdf, w);
        int code = GSL_SUCCESS;
        if (status == GSL_SUCCESS)
            code = gsl_multifit_nlinear_driver(12, 1e-5, 1e-6, 1e-6, NULL, NULL, &info, w);
        if (code == GSL_ENOMEM) /* running out of steps is no failure: the next round goes on */
            status = code;
        if (status == GSL_SUCCESS)
            gsl_vector_memcpy(q, gsl_multifit_nlinear_position(w));
    }
    return status;
}

enum rad_status rad_least_fit(const struct rad_least *l, double *p, double *sd_out,
                              struct rad_err *err)
{
    gsl_set_error_handler_off();
    gsl_multifit_nlinear_parameters how = gsl_multifit_nlinear_default_parameters();
    how.h_df = 1e-4; /* laws have steps: tiles, waves */
    gsl_multifit_nlinear_workspace *w = gsl_multifit_nlinear_alloc(
        gsl_multifit_nlinear_trust, &how, l->n_row + (size_t)l->n_param, (size_t)l->n_param);
    gsl_vector *q = gsl_vector_alloc((size_t)l->n_param);
    double *memory = malloc(3 * l->n_row * sizeof *memory + 1);
    enum rad_status status = RAD_OK;
    if (w == NULL || q == NULL || memory == NULL) {
        status = rad_fail(err, RAD_E_NOMEM, "out of memory to fit %zu rows", l->n_row);
    } else {
        struct state s = {l, memory + 2 * l->n_row};
        for (int j = 0; j < l->n_param; j++)
            gsl_vector_set(q, (size_t)j, log(p[j]));
        int code = solve(&s, w, q, memory);
        natural(l, q, p);
        if (code == GSL_SUCCESS && sd_out != NULL)
            code = deviations(w, l->n_param, sd_out);
        if (code != GSL_SUCCESS)
            status = rad_fail(err, code == GSL_ENOMEM ? RAD_E_NOMEM : RAD_E_RANGE, "fit: %s",
                              gsl_strerror(code));
    }
    free(memory);
    gsl_vector_free(q);
    gsl_multifit_nlinear_free(w);
    return status;
}
