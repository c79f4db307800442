/* cmd_validate.c - `radial validate`: held-out errors of the hardware models on measured kernels.
 */
#include "cli/cli.h"
#include "cli/ops_table.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HW = 32, MAX_FILE = 256 };

struct options {
    struct rad_cli_common common;
    const char *folder, *out_path;
};

struct job {
    const struct options *o;
    const char *hw; /* profile of the rows at hand */
    rad_out *out;
    struct rad_buf markdown;
};

/* ---- output -------------------------------------------------------------------------------- */

static void put(void *ctx, const struct rad_fit_report *r)
{
    struct job *job = ctx;
    rad_out *out = job->out;
    rad_out_begin_row(out);
    rad_out_text(out, "hw", job->hw);
    rad_out_text(out, "op", r->op);
    rad_out_text(out, "dtype", r->format);
    rad_out_text(out, "software", r->software);
    rad_out_int(out, "head_dim", (int64_t)r->head_dim);
    rad_out_int(out, "rows", (int64_t)r->rows);
    rad_out_real(out, "median_ape", r->median_ape);
    rad_out_real(out, "mape", r->mape);
    rad_out_real(out, "p90_ape", r->p90_ape);
    rad_out_real(out, "bias", r->bias);
    rad_out_real(out, "coverage", r->coverage);
    rad_out_real(out, "energy_median_ape", r->energy_median_ape);
    rad_out_end_row(out);
    rad_buf_printf(&job->markdown, "| %s | %s%s | %s | %s | %zu | %.1f | %.1f | %.1f | %+.1f |",
                   job->hw, r->op,
                   r->head_dim > 100.0 ? " 128"
                   : r->head_dim > 0.0 ? " 64"
                                       : "",
                   r->format, r->software, r->rows, 100.0 * r->median_ape, 100.0 * r->mape,
                   100.0 * r->p90_ape, 100.0 * r->bias);
    if (isfinite(r->coverage))
        rad_buf_printf(&job->markdown, " %.0f |", 100.0 * r->coverage);
    else
        rad_buf_add(&job->markdown, " - |");
    if (isfinite(r->energy_median_ape))
        rad_buf_printf(&job->markdown, " %.1f |\n", 100.0 * r->energy_median_ape);
    else
        rad_buf_add(&job->markdown, " - |\n");
}

static const char head[] =
    "# Validation of the hardware models\n\n"
    "Written by `radial validate FOLDER -o docs/validation.md`, where FOLDER holds the unpacked\n"
    "calibration half of the measured data. Every error is of a row that was held out: rows are\n"
    "left out by shape, five parts in turn (GEMM: N and K; attention: heads and kv heads; vector\n"
    "operations: width; transfers: size), and the whole fit - law and surface - is made again\n"
    "without them. GEMM rows: N, K >= 1024, M <= 16384, weights cold. Attention rows under 20 us\n"
    "are fitted with less weight and not counted. Numbers are per cent of the measured time; bias "
    "is\n"
    "the median of predicted / measured - 1; cover: the share of the rows of two parts within the\n"
    "80 % interval of the other three; energy: rows of at least 100 us.\n\n"
    "| hw | op | dtype | software | rows | median | mean | p90 | bias | cover | energy |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n";

/* ---- one file ------------------------------------------------------------------------------ */

struct rows {
    struct ops_row *row;
    char (*hw)[RAD_HW_NAME];
    size_t n;
};

static bool is_counted(const struct ops_row *r)
{
    const struct rad_op *op = &r->m.op;
    if (!(r->m.latency_s > 0.0) || r->hot)
        return false;
    return r->m.link.bytes > 0.0 || op->kind != RAD_OP_GEMM ||
           (op->n >= 1024 && op->k >= 1024 && op->m <= 16384);
}

static enum rad_status read_rows(const struct ops_table *t, struct rows *rows, struct rad_err *err)
{
    const int hardware = csv_find(&t->csv, "hardware");
    const char *last = "";
    rows->row = calloc(t->csv.n_row + 1, sizeof *rows->row);
    rows->hw = calloc(t->csv.n_row + 1, sizeof *rows->hw);
    if (rows->row == NULL || rows->hw == NULL || hardware < 0)
        return rad_fail(err, hardware < 0 ? RAD_E_PARSE : RAD_E_NOMEM,
                        "%s: expected a column hardware, and memory for it", t->path);
    for (size_t i = 0; i < t->csv.n_row; i++) {
        const char *name = csv_cell(&t->csv, i, (size_t)hardware);
        struct rad_err why; /* rows of operations that no model costs are not counted */
        if (ops_row(t, i, &rows->row[rows->n], &why) != RAD_OK || !is_counted(&rows->row[rows->n]))
            continue;
        if (strcmp(name, last) != 0 || rows->n == 0)
            RAD_TRY(rad_hw_alias(name, rows->hw[rows->n], err));
        else
            memcpy(rows->hw[rows->n], rows->hw[rows->n - 1], RAD_HW_NAME);
        last = name;
        rows->n++;
    }
    return RAD_OK;
}

/* The rows of one profile, taken out of rows (their hw becomes empty). */
static enum rad_status validate_hw(struct job *job, struct rows *rows, const char *name,
                                   struct rad_err *err)
{
    struct rad_measured *m = calloc(rows->n + 1, sizeof *m);
    struct rad_buf yaml = {0};
    const struct rad_calibration options = {
        .data = "validation", .fresh = true, .report = put, .ctx = job};
    struct rad_err why = {0};
    rad_hw *hw = NULL;
    size_t n = 0;
    if (m == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", rows->n);
    for (size_t i = 0; i < rows->n; i++) {
        if (strcmp(rows->hw[i], name) != 0)
            continue;
        m[n] = rows->row[i].m;
        m[n++].software = rows->row[i].software;
        rows->hw[i][0] = '\0';
    }
    job->hw = name;
    enum rad_status status = rad_hw_open(&hw, name, &why);
    if (status == RAD_OK && n >= 30)
        status = rad_hw_calibrate(hw, m, n, &options, &yaml, &why);
    if (status != RAD_OK) /* no profile of that part, or a class that takes no fits */
        rad_cli_warn("validate", "%s: %zu rows not counted: %s", name, n, why.msg);
    rad_buf_free(&yaml);
    rad_hw_close(hw);
    free(m);
    return status == RAD_E_NOMEM ? rad_fail(err, status, "%s", why.msg) : RAD_OK;
}

static enum rad_status validate_file(struct job *job, const char *path, struct rad_err *err)
{
    struct ops_table t = {.path = path};
    struct rows rows = {0};
    enum rad_status status = ops_open(&t, path, err);
    if (status == RAD_OK)
        status = read_rows(&t, &rows, err);
    for (size_t i = 0; status == RAD_OK && i < rows.n; i++) {
        char name[RAD_HW_NAME];
        memcpy(name, rows.hw[i], sizeof name);
        if (name[0] != '\0')
            status = validate_hw(job, &rows, name, err);
    }
    free(rows.hw);
    free(rows.row);
    ops_close(&t);
    return status;
}

/* ---- a folder ------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Paths of the .csv files of a folder, sorted. */
static size_t list_files(const char *folder, char *path[MAX_FILE])
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e != NULL && n < MAX_FILE;
         e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot != NULL && strcmp(dot, ".csv") == 0 &&
            asprintf(&path[n], "%s/%s", folder, e->d_name) > 0)
            n++;
    }
    if (dir != NULL)
        closedir(dir);
    if (n > 1)
        qsort(path, n, sizeof *path, by_name);
    return n;
}

static enum rad_status validate(struct job *job, struct rad_err *err)
{
    char *path[MAX_FILE];
    const size_t n = list_files(job->o->folder, path);
    enum rad_status status = RAD_OK;
    rad_buf_add(&job->markdown, head);
    if (n == 0)
        status = rad_fail(err, RAD_E_IO,
                          "%s: expected a folder of .csv files; unpack the measured data there",
                          job->o->folder);
    for (size_t i = 0; i < n; i++) {
        struct rad_err why;
        if (status == RAD_OK && validate_file(job, path[i], &why) != RAD_OK)
            rad_cli_warn("validate", "%s; file left out", why.msg);
        free(path[i]);
    }
    if (status == RAD_OK && job->markdown.failed)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for the table");
    if (status == RAD_OK && job->o->out_path != NULL)
        status = rad_file_write(job->o->out_path, job->markdown.data, job->markdown.len, err);
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
        .doc = "Held-out errors of the hardware models on the measured data in FOLDER (.csv files "
               "in the columns of measured data, with a column hardware): each fit is made again "
               "without a fifth of the shapes, five times.\v"
               "Example:\n  radial validate calib -o docs/validation.md\n",
        .children = rad_cli_children};
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    struct job job = {.o = &o};
    struct rad_err err;
    (void)rad_out_open(&job.out, o.common.format, stdout);
    enum rad_status status = validate(&job, &err);
    const enum rad_status printed = rad_out_close(job.out, false);
    if (status == RAD_OK && printed != RAD_OK)
        status = rad_fail(&err, printed, "cannot write the result");
    rad_buf_free(&job.markdown);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("validate", &err);
}

const struct rad_command rad_command_validate = {
    .name = "validate",
    .summary = "held-out errors of the hardware models on measured data",
    .run = run,
};
