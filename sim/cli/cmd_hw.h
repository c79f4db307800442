/* cmd_hw.h - what the files of `radial hw` share. */
#ifndef RAD_CMD_HW_H
#define RAD_CMD_HW_H

#include "cli/cli.h"
#include "cli/ops_table.h"

/* Options of all subcommands together; each takes those of its table. */
struct hw_options {
    struct rad_cli_common common;
    char **arg; /* [n_arg] in argv */
    int n_arg;
    const char *ops, *out_path, *software, *measured, *data;
    size_t points; /* 0: all */
    bool text;
};

/* Each returns an exit code. */
int hw_list(const struct hw_options *o);
int hw_show(const struct hw_options *o);
int hw_check(const struct hw_options *o);
int hw_predict(const struct hw_options *o);
int hw_calibrate(const struct hw_options *o);
int hw_kit(const struct hw_options *o);
int hw_validate(const struct hw_options *o);

/* Cost a row of a table; software NULL: that of the row. */
enum rad_status hw_predict_row(const rad_hw *hw, const struct ops_row *row, const char *software,
                               struct rad_prediction *out, struct rad_err *err);

/* `radial hw calibrate HW --measured F.csv` */
int hw_calibrate_measured(const struct hw_options *o);

#endif
