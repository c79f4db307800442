/* refit_prior.c - what a surface is drawn to where rows say little: half of what another software's
 * fit of many shapes on the same part differs from this law by. Half, as two libraries share the
 * part but not the kernels; the share and the ridge were chosen by models and sizes held out. */
#include "hw/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARE 0.5

static struct rad_work work_at(const struct rad_refit *r, const struct rad_surface *s, size_t cell)
{
    double x[RAD_LAW_N_AXIS] = {0};
    for (int a = s->n_axis - 1; a >= 0; a--) {
        x[a] = round(exp2(s->knot[a][cell % (size_t)s->n_knot[a]]));
        cell /= (size_t)s->n_knot[a];
    }
    const struct rad_op op = rad_op_gemm((int64_t)x[0], (int64_t)x[1], (int64_t)x[2], r->dtype);
    return rad_work_of(&op);
}

enum rad_status rad_refit_prior(const struct rad_refit *r, const struct rad_fit *fit,
                                struct rad_surface *s, struct rad_err *err)
{
    const size_t cells = rad_surface_cells(s);
    s->log_ratio = malloc(cells * sizeof *s->log_ratio);
    if (s->log_ratio == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for a surface of %zu cells", cells);
    for (size_t c = 0; c < cells; c++) {
        const struct rad_work work = work_at(r, s, c);
        struct rad_law_time law, other;
        bool outside;
        fit->law->time(fit->p, r->chip, &work, &law);
        rad_fit_time(r->prior, r->chip, &work, &other, &outside);
        s->log_ratio[c] = (float)(SHARE * log(other.time_s / law.time_s));
    }
    return RAD_OK;
}

bool rad_refit_is_prior(const struct rad_fit *f, const struct rad_fit *to)
{
    const struct rad_law *law = to->law;
    return f->law == law && law->fine_shapes > 0 && f->rows > 0.0 && f->surface.log_ratio != NULL &&
           f->surface.n_knot[0] > law->axes[0].n_knot && strcmp(f->op, to->op) == 0 &&
           strcmp(f->software, to->software) != 0 && rad_fit_same_format(f->format, to->format);
}
