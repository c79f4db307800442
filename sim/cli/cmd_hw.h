/* cmd_hw.h - what the files of `radial hw` share. */
#ifndef RAD_CMD_HW_H
#define RAD_CMD_HW_H

#include "cli/cli.h"

/* Options of all subcommands together; each takes those of its table. */
struct hw_options {
    struct rad_cli_common common;
    char **arg; /* [n_arg] in argv */
    int n_arg;
    const char *ops, *out_path;
    bool text;
};

/* Each returns an exit code. */
int hw_list(const struct hw_options *o);
int hw_show(const struct hw_options *o);
int hw_check(const struct hw_options *o);
int hw_predict(const struct hw_options *o);
int hw_calibrate(const struct hw_options *o);
int hw_kit(const struct hw_options *o);

#endif
