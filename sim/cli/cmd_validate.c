/* cmd_validate.c - `radial validate`: held-out errors of the hardware models on measured kernels.
 */
#include "cli/cmd_hw.h"
#include "cli/validate.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    struct rad_cli_common common;
    const char *folder, *out_path;
};

/* ---- a folder ------------------------------------------------------------------------------ */

static int is_csv(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot != NULL && strcmp(dot, ".csv") == 0;
}

/* ---- donors -------------------------------------------------------------------------------- */

/* All profiles that can be read. The array is malloc'ed. */
static rad_hw **open_profiles(const struct hw_names *names, size_t *n)
{
    rad_hw **hw = calloc(names->n + 1, sizeof *hw);
    *n = 0;
    for (size_t i = 0; hw != NULL && i < names->n; i++) {
        struct rad_err why;
        if (rad_hw_open(&hw[*n], names->name[i], &why) == RAD_OK)
            ++*n;
        else
            rad_cli_warn("validate", "%s; left out", why.msg);
    }
    return hw;
}

static enum rad_status validate(const struct options *o, struct validate_results *results,
                                struct rad_err *err)
{
    struct dirent **file = NULL;
    const int n = scandir(o->folder, &file, is_csv, alphasort);
    if (n <= 0) {
        free(file);
        return rad_fail(err, RAD_E_IO,
                        "%s: expected a folder of .csv files; unpack the measured data there",
                        o->folder);
    }
    struct hw_names names = {0};
    size_t n_hw = 0;
    hw_find_names(&names);
    rad_hw **hw = open_profiles(&names, &n_hw);
    results->failed |= hw == NULL;
    for (int i = 0; i < n; i++) {
        struct rad_err why;
        char path[RAD_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", o->folder, file[i]->d_name);
        if (validate_file(results, path, (struct validate_donors){hw, n_hw}, &why) != RAD_OK)
            rad_cli_warn("validate", "%s; file left out", why.msg);
        free(file[i]);
    }
    free(file);
    for (size_t i = 0; i < n_hw; i++)
        rad_hw_close(hw[i]);
    free(hw);
    hw_free_names(&names);
    return results->failed ? rad_fail(err, RAD_E_NOMEM, "out of memory for the table") : RAD_OK;
}

/* ---- output -------------------------------------------------------------------------------- */

static void put(rad_out *out, const struct validate_result *r)
{
    rad_out_begin_row(out);
    rad_out_text(out, "held_out", validate_test_name(r->test));
    rad_out_text(out, "hw", r->hw);
    rad_out_text(out, "op", r->op);
    rad_out_text(out, "dtype", r->format);
    rad_out_text(out, "software", r->software);
    rad_out_text(out, "model", r->model);
    rad_out_int(out, "head_dim", (int64_t)r->head_dim);
    rad_out_int(out, "rows", (int64_t)r->rows);
    rad_out_real(out, "median_ape", r->median_ape);
    rad_out_real(out, "mape", r->mape);
    rad_out_real(out, "p90_ape", r->p90_ape);
    rad_out_real(out, "bias", r->bias);
    rad_out_real(out, "coverage", r->coverage);
    rad_out_real(out, "ratio_coverage", r->ratio_coverage);
    rad_out_real(out, "energy_median_ape", r->energy_median_ape);
    rad_out_end_row(out);
}

static enum rad_status write_page(const struct validate_results *results, const char *path,
                                  struct rad_err *err)
{
    struct rad_buf page = {0};
    validate_page(&page, results);
    const enum rad_status status = page.failed
                                       ? rad_fail(err, RAD_E_NOMEM, "out of memory for the page")
                                       : rad_cli_write(path, page.data, page.len, err);
    rad_buf_free(&page);
    return status;
}

/* ---- command ------------------------------------------------------------------------------- */

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case 'o':
        o->out_path = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->folder != NULL)
            return ARGP_ERR_UNKNOWN;
        o->folder = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a folder of measured data");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"output", 'o', "F.md", 0, "Write the table there as well, as Markdown", 0},
    {0},
};

static int run(int argc, char *argv[])
{
    struct options o = {0};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "FOLDER",
        .doc =
            "Held-out errors of the hardware models on the measured data in FOLDER (.csv files "
            "in the columns of measured data, with a column hardware): each fit is made again "
            "without a fifth of the shapes, five times; without the largest model; the part is "
            "predicted by its datasheet and the fits of other parts; and with 30 rows of its own.\v"
            "Example:\n  radial validate calib -o docs/validation.md\n",
        .children = rad_cli_children};
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    struct validate_results results = {0};
    struct rad_err err;
    rad_out *out;
    (void)rad_out_open(&out, o.common.format, stdout);
    enum rad_status status = validate(&o, &results, &err);
    for (size_t i = 0; i < results.n; i++)
        put(out, &results.of[i]);
    if (status == RAD_OK && o.out_path != NULL)
        status = write_page(&results, o.out_path, &err);
    const enum rad_status printed = rad_out_close(out, false, status == RAD_OK ? &err : NULL);
    status = status == RAD_OK ? printed : status;
    free(results.of);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("validate", &err);
}

const struct rad_command rad_command_validate = {
    .name = "validate",
    .summary = "held-out errors of the hardware models on measured data",
    .run = run,
};
