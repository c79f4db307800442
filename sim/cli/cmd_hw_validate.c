/* cmd_hw_validate.c - `radial hw validate`: errors of a profile on measured rows. */
#include "cli/cmd_hw.h"
#include "cli/errors.h"

#include <stdlib.h>

static void put(rad_out *out, const struct hw_options *o, struct error_group *g)
{
    const struct rad_fit_report r = errors_report(g);
    rad_out_begin_row(out);
    rad_out_text(out, "hw", o->sub.arg[0]);
    rad_out_text(out, "op", r.op);
    rad_out_text(out, "dtype", r.format);
    rad_out_text(out, "software", r.software);
    rad_out_int(out, "rows", (int64_t)r.rows);
    rad_out_real(out, "median_ape", r.median_ape);
    rad_out_real(out, "mape", r.mape);
    rad_out_real(out, "p90_ape", r.p90_ape);
    rad_out_real(out, "bias", r.bias);
    rad_out_real(out, "coverage", r.coverage);
    rad_out_real(out, "ratio_coverage", r.ratio_coverage);
    rad_out_real(out, "energy_median_ape", r.energy_median_ape);
    rad_out_end_row(out);
}

static enum rad_status gather(const struct hw_options *o, const rad_hw *hw,
                              const struct ops_table *t, struct error_groups *groups,
                              struct rad_err *err)
{
    size_t left_out = 0;
    for (size_t i = 0; i < t->csv.n_row; i++) {
        struct ops_row row;
        struct rad_prediction p;
        struct rad_err why;
        if (ops_row(t, i, &row, &why) != RAD_OK || !(row.m.latency_s > 0.0) || row.hot ||
            hw_predict_row(hw, &row, &(struct rad_hw_ask){o->software, o->rate}, &p, &why) !=
                RAD_OK)
            left_out++;
        else
            RAD_TRY(errors_add(groups, t, i, &row, &p, err));
    }
    if (left_out > 0)
        rad_cli_warn("hw validate",
                     "%s: %zu of %zu rows left out: not measured, hot in L2, or of "
                     "operations that the profile cannot cost",
                     t->path, left_out, t->csv.n_row);
    return RAD_OK;
}

int hw_validate(const void *options)
{
    const struct hw_options *o = options;
    struct error_groups *groups = calloc(1, sizeof *groups);
    struct ops_table t = {.path = o->measured};
    struct rad_err err;
    rad_hw *hw = NULL;
    rad_out *out = NULL;
    enum rad_status status = groups ? rad_hw_open(&hw, o->sub.arg[0], &err)
                                    : rad_fail(&err, RAD_E_NOMEM, "out of memory");
    if (status == RAD_OK)
        status = ops_open(&t, o->measured, &err);
    if (groups != NULL)
        groups->hw = hw;
    if (status == RAD_OK)
        status = gather(o, hw, &t, groups, &err);
    if (status == RAD_OK) {
        (void)rad_out_open(&out, o->sub.common.format, stdout);
        for (size_t i = 0; i < groups->n; i++)
            put(out, o, &groups->of[i]);
        status = rad_out_close(out, false, &err);
    }
    if (groups != NULL)
        errors_free(groups);
    free(groups);
    ops_close(&t);
    rad_hw_close(hw);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw validate", &err);
}
