/* cmd_hw.h - what the files of `radial hw` share. */
#ifndef RAD_CMD_HW_H
#define RAD_CMD_HW_H

#include "cli/ops_table.h"
#include "cli/subcommand.h"

/* Options of all subcommands together; each takes those of its table. */
struct hw_options {
    struct sub_options sub;
    const char *ops, *out_path, *software, *measured, *data, *like;
    size_t points;  /* 0: all */
    size_t against; /* row from 1 that others are compared with; 0: none */
    enum rad_rate rate;
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

/* Cost a row of a table; ask->software NULL: that of the row. */
enum rad_status hw_predict_row(const rad_hw *hw, const struct ops_row *row,
                               const struct rad_hw_ask *ask, struct rad_prediction *out,
                               struct rad_err *err);

/* Names of the profiles that are found, sorted. */
struct hw_names {
    char **name; /* [n] */
    size_t n;
};
void hw_find_names(struct hw_names *names);
void hw_free_names(struct hw_names *names);

/* `radial hw calibrate HW --measured F.csv` */
int hw_calibrate_measured(const struct hw_options *o);

/* `radial hw calibrate HW --like A,B` */
int hw_calibrate_like(const struct hw_options *o);

#endif
