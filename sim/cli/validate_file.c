/* validate_file.c - held-out errors on the measured rows of one file, part by part. */
#include "cli/cmd_hw.h"
#include "cli/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 30, MIN_ROWS = 30, MAX_DONOR = 128 };

/* Rows of a file that count, and where they are in it. */
struct rows {
    struct ops_row *row;
    size_t *at;
    char (*hw)[RAD_HW_NAME];
    struct rad_measured *measured; /* of one part at a time */
    size_t n;
};

struct part {
    struct validate_results *to;
    const struct ops_table *t;
    const struct rows *rows;
    const char *name;
    size_t n; /* of its rows in rows->measured */
    enum validate_test test;
};

static void put(void *ctx, const struct rad_fit_report *report)
{
    const struct part *part = ctx;
    validate_add(part->to, part->test, part->name, report);
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_counted(const struct ops_row *r)
{
    const struct rad_op *op = &r->m.op;
    if (!(r->m.latency_s > 0.0) || r->hot)
        return false;
    return r->m.link.bytes > 0.0 || op->kind != RAD_OP_GEMM || op->groups > 1 ||
           (op->n >= 1024 && op->k >= 1024 && op->m <= 16384);
}

static enum rad_status read_rows(struct ops_table *t, struct rows *rows, struct rad_err *err)
{
    const size_t n = t->csv.n_row + 1;
    rows->row = calloc(n, sizeof *rows->row);
    rows->at = calloc(n, sizeof *rows->at);
    rows->hw = calloc(n, sizeof *rows->hw);
    rows->measured = calloc(n, sizeof *rows->measured);
    if (rows->row == NULL || rows->at == NULL || rows->hw == NULL || rows->measured == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for %zu rows", n);
    for (size_t i = 0; i < t->csv.n_row; i++) {
        const char *name = "";
        bool known = false;
        struct rad_err why; /* rows of operations that no model costs are not counted */
        if (ops_row(t, i, &rows->row[rows->n], &why) != RAD_OK || !is_counted(&rows->row[rows->n]))
            continue;
        RAD_TRY(ops_hardware(t, i, &name, &known, err));
        snprintf(rows->hw[rows->n], RAD_HW_NAME, "%s", name);
        rows->at[rows->n++] = i;
    }
    return RAD_OK;
}

/* ---- tests --------------------------------------------------------------------------------- */

static enum rad_status fit_again(struct part *part, const rad_hw *hw, enum rad_held_out held_out,
                                 struct rad_err *err)
{
    const struct rad_calibration options = {
        .data = "validation", .fresh = true, .held_out = held_out, .report = put, .ctx = part};
    struct rad_buf yaml = {0};
    part->test = held_out == RAD_HELD_OUT_MODEL ? VALIDATE_MODEL : VALIDATE_SHAPES;
    const enum rad_status status =
        rad_hw_calibrate(hw, part->rows->measured, part->n, &options, &yaml, err);
    rad_buf_free(&yaml);
    return status;
}

/* The part's rows as hw predicts them. */
static enum rad_status predict(struct part *part, const rad_hw *hw, enum validate_test test,
                               struct rad_err *err)
{
    struct error_groups *groups = calloc(1, sizeof *groups);
    enum rad_status status = groups ? RAD_OK
                                    : rad_fail(err, RAD_E_NOMEM, "out of memory for errors");
    if (groups != NULL)
        groups->hw = hw;
    for (size_t i = 0; status == RAD_OK && i < part->rows->n; i++) {
        const struct ops_row *row = &part->rows->row[i];
        struct rad_prediction p;
        struct rad_err why;
        const bool counted = row->m.link.bytes > 0.0 || row->m.op.kind != RAD_OP_ATTEND ||
                             row->m.latency_s >= 20e-6;
        if (counted && strcmp(part->rows->hw[i], part->name) == 0 &&
            hw_predict_row(hw, row, &(struct rad_hw_ask){0}, &p, &why) == RAD_OK)
            status = errors_add(groups, part->t, part->rows->at[i], row, &p, err);
    }
    for (size_t i = 0; status == RAD_OK && i < groups->n; i++) {
        const struct rad_fit_report r = errors_report(&groups->of[i]);
        if (r.rows >= MIN_ROWS)
            validate_add(part->to, test, part->name, &r);
    }
    if (groups != NULL)
        errors_free(groups);
    free(groups);
    return status;
}

static enum rad_status parse(rad_hw **out, struct rad_buf *yaml, const char *name,
                             struct rad_err *err)
{
    const enum rad_status status = rad_hw_parse(out, yaml->data, yaml->len, name, err);
    rad_buf_free(yaml);
    return status;
}

/* The profile as if the part had never been measured, and then with 30 rows of each kind. */
static enum rad_status never_seen(struct part *part, const rad_hw *hw,
                                  struct validate_donors donors, struct rad_err *err)
{
    const rad_hw *others[MAX_DONOR];
    const struct rad_calibration options = {.data = "validation", .points = POINTS};
    struct rad_buf yaml = {0};
    rad_hw *unseen = NULL, *few = NULL;
    size_t n = 0;
    for (size_t i = 0; i < donors.n && n < MAX_DONOR; i++)
        if (strcmp(rad_hw_name(donors.hw[i]), part->name) != 0)
            others[n++] = donors.hw[i];
    enum rad_status status = rad_hw_pool(hw, others, n, true, &yaml, err);
    if (status == RAD_OK)
        status = parse(&unseen, &yaml, part->name, err);
    if (status == RAD_OK)
        status = predict(part, unseen, VALIDATE_PART, err);
    if (status == RAD_OK)
        status = rad_hw_calibrate(unseen, part->rows->measured, part->n, &options, &yaml, err);
    if (status == RAD_OK)
        status = parse(&few, &yaml, part->name, err);
    if (status == RAD_OK)
        status = predict(part, few, VALIDATE_POINTS, err);
    rad_buf_free(&yaml);
    rad_hw_close(few);
    rad_hw_close(unseen);
    return status;
}

/* ---- parts --------------------------------------------------------------------------------- */

static enum rad_status validate_part(struct part *part, struct validate_donors donors,
                                     struct rad_err *err)
{
    struct rad_err why = {0};
    rad_hw *hw = NULL;
    part->n = 0;
    for (size_t i = 0; i < part->rows->n; i++)
        if (strcmp(part->rows->hw[i], part->name) == 0)
            part->rows->measured[part->n++] = ops_row_measured(&part->rows->row[i]);
    enum rad_status status = rad_hw_open(&hw, part->name, &why);
    if (status == RAD_OK && part->n < MIN_ROWS)
        status = rad_fail(&why, RAD_E_RANGE, "expected at least %d", MIN_ROWS);
    if (status == RAD_OK)
        status = fit_again(part, hw, RAD_HELD_OUT_SHAPES, &why);
    if (status == RAD_OK)
        status = fit_again(part, hw, RAD_HELD_OUT_MODEL, &why);
    if (status == RAD_OK)
        status = never_seen(part, hw, donors, &why);
    if (status != RAD_OK) /* no profile of that part, or a class that takes no fits */
        rad_cli_warn("validate", "%s: %zu rows not counted: %s", part->name, part->n, why.msg);
    rad_hw_close(hw);
    return status == RAD_E_NOMEM ? rad_fail(err, status, "%s", why.msg) : RAD_OK;
}

/* Whether row i is the first of its part. */
static bool is_first(const struct rows *rows, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(rows->hw[j], rows->hw[i]) == 0)
            return false;
    return true;
}

enum rad_status validate_file(struct validate_results *to, const char *path,
                              struct validate_donors donors, struct rad_err *err)
{
    struct ops_table t = {.path = path};
    struct rows rows = {0};
    enum rad_status status = ops_open(&t, path, err);
    if (status == RAD_OK)
        status = read_rows(&t, &rows, err);
    for (size_t i = 0; status == RAD_OK && i < rows.n; i++) {
        struct part part = {.to = to, .t = &t, .rows = &rows, .name = rows.hw[i]};
        if (rows.hw[i][0] != '\0' && is_first(&rows, i))
            status = validate_part(&part, donors, err);
    }
    free(rows.measured);
    free(rows.hw);
    free(rows.at);
    free(rows.row);
    ops_close(&t);
    return status;
}
