/* validate.h - what the files of `radial validate` share. */
#ifndef RAD_CLI_VALIDATE_H
#define RAD_CLI_VALIDATE_H

#include "cli/errors.h"

/* What a row of the table was held out as. */
enum validate_test {
    VALIDATE_SHAPES, /* shapes of a known part */
    VALIDATE_MODEL,  /* the largest model */
    VALIDATE_PART,   /* the whole part: class fits of the others */
    VALIDATE_POINTS, /* the whole part but 30 rows of each kind */
    VALIDATE_N_TEST,
};
const char *validate_test_name(enum validate_test test);

struct validate_result {
    enum validate_test test;
    char hw[RAD_HW_NAME], op[32], format[16], software[OPS_SOFTWARE], model[OPS_MODEL];
    double head_dim; /* 0: any */
    size_t rows;
    double median_ape, mape, p90_ape, bias, coverage, ratio_coverage,
        energy_median_ape; /* NaN: not measured */
};

struct validate_results {
    struct validate_result *of; /* [n] */
    size_t n, cap;
    bool failed; /* out of memory */
};

void validate_add(struct validate_results *to, enum validate_test test, const char *hw,
                  const struct rad_fit_report *report);

/* All tests on the rows of one file; donors[n]: profiles whose measured fits make class fits.
 * errors: RAD_E_IO, RAD_E_PARSE, RAD_E_NOMEM */
struct validate_donors {
    rad_hw *const *hw;
    size_t n;
};
RAD_MUST_CHECK enum rad_status validate_file(struct validate_results *to, const char *path,
                                             struct validate_donors donors, struct rad_err *err);

/* The page docs/validation.md. */
void validate_page(struct rad_buf *to, const struct validate_results *results);

#endif
