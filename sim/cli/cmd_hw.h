/* cmd_hw.h - what the files of `radial hw` share. */
#ifndef RAD_CMD_HW_H
#define RAD_CMD_HW_H

#include "cli/subcommand.h"

/* Options of all subcommands together; each takes those of its table. */
struct hw_options {
    struct sub_options sub;
    const char *ops, *out_path;
    bool text;
};

/* Each takes a struct hw_options and returns an exit code. */
int hw_list(const void *options);
int hw_show(const void *options);
int hw_check(const void *options);
int hw_predict(const void *options);
int hw_calibrate(const void *options);

#endif
