/* cmd_hw.h - what the files of `radial hw` share. */
#ifndef RAD_CMD_HW_H
#define RAD_CMD_HW_H

#include "cli/ops_table.h"
#include "cli/subcommand.h"

/* Options of all subcommands together; each takes those of its table. */
struct hw_options {
    struct sub_options sub;
    const char *ops, *out_path, *software, *measured, *data;
    size_t points; /* 0: all */
    bool text;
};

/* Each takes a struct hw_options and returns an exit code. */
int hw_list(const void *options);
int hw_show(const void *options);
int hw_check(const void *options);
int hw_predict(const void *options);
int hw_calibrate(const void *options);
int hw_kit(const void *options);
int hw_validate(const void *options);

/* Cost a row of a table; software NULL: that of the row. */
enum rad_status hw_predict_row(const rad_hw *hw, const struct ops_row *row, const char *software,
                               struct rad_prediction *out, struct rad_err *err);

/* `radial hw calibrate HW --measured F.csv` */
int hw_calibrate_measured(const struct hw_options *o);

#endif
