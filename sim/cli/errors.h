/* errors.h - private to cli/: errors of predictions, by kind of operation. */
#ifndef RAD_CLI_ERRORS_H
#define RAD_CLI_ERRORS_H

#include "cli/ops_table.h"

enum { ERRORS_MAX_GROUP = 128 };

/* Rows of one operation, number format and software. */
struct error_group {
    char op[32], dtype[16], software[OPS_SOFTWARE];
    double head_dim;   /* 0: not attention */
    double *log_ratio; /* [n] ln(predicted / measured) */
    size_t n, cap, covered, n_energy;
    double *energy_ape;
    struct rad_residual *residual; /* [n], sd 0: of a transfer */
};

struct error_groups {
    const rad_hw *hw; /* that predicts: set before the first row */
    struct error_group of[ERRORS_MAX_GROUP];
    size_t n;
};

/* Row i of the table with its prediction. errors: RAD_E_RANGE (too many groups), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status errors_add(struct error_groups *g, const struct ops_table *t,
                                          size_t i, const struct ops_row *row,
                                          const struct rad_prediction *p, struct rad_err *err);
void errors_free(struct error_groups *g);

/* Sums up a group. ratio_coverage: of pairs of rows - each with the next of the file, and with one
 * half a file on - the share whose measured ratio lies in the predicted one's 80 % interval. Its
 * rows are sorted by it, so that it can be asked once. The texts of the report are those of the
 * group. */
struct rad_fit_report errors_report(struct error_group *g);

#endif
