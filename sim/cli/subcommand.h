/* subcommand.h - commands that are families: `radial hw list`, `radial trace info`. */
#ifndef RAD_SUBCOMMAND_H
#define RAD_SUBCOMMAND_H

#include "cli/cli.h"

/* The first member of a family's options, which hold those of all its subcommands. */
struct sub_options {
    struct rad_cli_common common;
    char **arg; /* [n_arg] in argv */
    int n_arg;
};

struct subcommand {
    const char *name; /* "radial hw list" */
    const struct argp_option *options;
    const char *args, *doc; /* of --help; the doc's first phrase is also its line in the list */
    int min_arg, max_arg;
    bool (*ready)(const void *options); /* all needed options are given; NULL: none is */
    const char *needs;                  /* what to say if something is missing */
    int (*run)(const void *options);    /* returns an exit code */
};

struct sub_family {
    const char *name; /* "radial hw" */
    const struct subcommand *sub;
    size_t n_sub;
    argp_parser_t parser; /* of the family's own options; the rest is for sub_parse */
    const char *example;
};

extern const struct argp_option sub_no_options[];

/* What a parser returns for keys that are not its own. */
error_t sub_parse(struct sub_options *o, int key, char *arg, struct argp_state *state);

/* Run the subcommand that argv[1] names. options: the family's, with their defaults, which begin
 * with a struct sub_options. Returns an exit code. */
int sub_run(const struct sub_family *family, void *options, int argc, char *argv[]);

#endif
