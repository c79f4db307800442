/* fit_write.c - a fit as the YAML that fit_read.c reads. */
#include "hw/fit.h"

#include <math.h>
#include <string.h>

/* Scales that keep the numbers readable. */
static const struct {
    enum rad_dim dim;
    double scale;
    const char *unit;
} units[] = {
    {RAD_DIM_S, 1e6, " us"},
    {RAD_DIM_W, 1.0, " W"},
    {RAD_DIM_J_PER_FLOP, 1e12, " pJ/FLOP"},
    {RAD_DIM_J_PER_BYTE, 1e12, " pJ/B"},
};

static void put_value(struct rad_buf *to, enum rad_dim dim, double value)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].dim == dim) {
            rad_buf_printf(to, "%.5g%s", value * units[i].scale, units[i].unit);
            return;
        }
    rad_buf_printf(to, "%.5g", value);
}

static void put_surface(struct rad_buf *to, const char *prefix, const struct rad_law_axis *axes,
                        const struct rad_surface *s)
{
    if (s->n_axis == 0)
        return;
    rad_buf_printf(to, "    %sknots:\n", prefix);
    for (int a = 0; a < s->n_axis; a++) {
        rad_buf_printf(to, "      %s:", axes[a].key);
        for (int i = 0; i < s->n_knot[a]; i++)
            rad_buf_printf(to, " %.10g", exp2(s->knot[a][i]));
        rad_buf_add(to, "\n");
    }
    if (s->log_ratio == NULL)
        return;
    rad_buf_printf(to, "    %ssurface: >-", prefix);
    const int row = s->n_knot[s->n_axis - 1];
    for (size_t i = 0, wide = 0; i < rad_surface_cells(s); i++, wide += 5) {
        const bool fresh = i % (size_t)row == 0 && (wide > 70 || i == 0);
        wide = fresh ? 0 : wide;
        rad_buf_printf(to, "%s%.0f", fresh ? "\n      " : " ",
                       round(1000.0 * (double)s->log_ratio[i]) + 0.0);
    }
    rad_buf_add(to, "\n");
}

void rad_fit_write(struct rad_buf *to, const struct rad_fit *fit)
{
    rad_buf_printf(to, "  - op: %s\n    format: %s\n    software: \"%s\"\n    data: \"%s\"\n",
                   fit->op, fit->format, fit->software, fit->data);
    if (fit->head_dim > 0.0)
        rad_buf_printf(to, "    head_dim: %.0f\n", fit->head_dim);
    rad_buf_printf(to, "    rows: %.0f\n    ape: %.4g\n    lo: %.4g\n    hi: %.4g\n", fit->rows,
                   fit->ape_frac, fit->lo_ratio, fit->hi_ratio);
    if (fit->common_frac >= 0.0)
        rad_buf_printf(to, "    common: %.3g\n    shape: %.3g\n    near: %.3g\n", fit->common_frac,
                       fit->shape_frac, fit->near_frac);
    rad_buf_add(to, "    law:\n");
    for (int i = 0; i < fit->law->n_param; i++) {
        rad_buf_printf(to, "      %s: ", fit->law->params[i].key);
        put_value(to, fit->law->params[i].dim, fit->p[i]);
        rad_buf_add(to, "\n");
    }
    if (fit->power.cap_w > 0.0) {
        const struct {
            const char *key;
            enum rad_dim dim;
            double value;
        } rows[] = {{"idle", RAD_DIM_W, fit->power.idle_w},
                    {"flop", RAD_DIM_J_PER_FLOP, fit->power.flop_j},
                    {"byte", RAD_DIM_J_PER_BYTE, fit->power.byte_j},
                    {"cap", RAD_DIM_W, fit->power.cap_w},
                    {"settle", RAD_DIM_S, fit->power.settle_s}};
        rad_buf_add(to, "    power:\n");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            rad_buf_printf(to, "      %s: ", rows[i].key);
            put_value(to, rows[i].dim, rows[i].value);
            rad_buf_add(to, "\n");
        }
    }
    put_surface(to, "power_", fit->law->power_axes, &fit->power_surface);
    put_surface(to, "", fit->law->axes, &fit->surface);
}

static bool has(struct rad_fit_list list, const struct rad_fit *kind)
{
    for (size_t i = 0; i < list.n; i++) {
        const struct rad_fit *f = &list.of[i];
        if (strcmp(f->op, kind->op) == 0 && strcmp(f->format, kind->format) == 0 &&
            strcmp(f->software, kind->software) == 0 && !(fabs(f->head_dim - kind->head_dim) > 0.0))
            return true;
    }
    return false;
}

enum rad_status rad_fits_text(struct rad_buf *to, const char *text, struct rad_fit_list first,
                              struct rad_fit_list then, struct rad_err *err)
{
    const char *fits = strstr(text, "\nfits:");
    const size_t len = fits ? (size_t)(fits - text) + 1 : strlen(text);
    rad_buf_append(to, text, len);
    if (len > 0 && text[len - 1] != '\n')
        rad_buf_add(to, "\n");
    if (first.n + then.n > 0)
        rad_buf_add(to, "fits:\n");
    for (size_t i = 0; i < first.n; i++)
        rad_fit_write(to, &first.of[i]);
    for (size_t i = 0; i < then.n; i++)
        if (!has(first, &then.of[i]))
            rad_fit_write(to, &then.of[i]);
    return to->failed ? rad_fail(err, RAD_E_NOMEM, "out of memory for the profile") : RAD_OK;
}
