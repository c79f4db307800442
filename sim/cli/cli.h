/* cli.h - what a command is, and the words that all commands share.
 *
 * A command is one file cmd_<name>.c that defines `const struct rad_command rad_command_<name>`
 * and one row of commands.def. It parses with argp, writes results to stdout through out.h and
 * talk to stderr, and returns EXIT_SUCCESS, EXIT_FAILURE or EXIT_USAGE. */
#ifndef RAD_CLI_H
#define RAD_CLI_H

#include "cli/out.h"
#include "radial.h"

#include <argp.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 }; /* EXIT_SUCCESS 0 done, EXIT_FAILURE 1 failed, 2 misused */

struct rad_command {
    const char *name;
    const char *summary;                /* one line for `radial help` */
    int (*run)(int argc, char *argv[]); /* argv[0] is "radial NAME" */
};

/* ---- options that every command has: --format and --progress --------------------------- */

struct rad_cli_common {
    enum rad_format format;          /* RAD_FORMAT_TABLE unless given */
    enum rad_progress_mode progress; /* automatic unless given */
};

/* Use: `.children = rad_cli_children` in the command's struct argp, and at ARGP_KEY_INIT
 * `state->child_inputs[0] = &options->common;`. */
extern const struct argp_child rad_cli_children[];

/* argp_parse with this program's manners: options may stand anywhere, a mistake exits with 2.
 * Write the example of --help after a "\v" in argp->doc: "what it does\vExample:\n  radial ...".
 * Returns 0, or an errno value when the parser failed for another reason than the arguments. */
int rad_cli_parse(const struct argp *argp, int argc, char *argv[], void *options);

/* The number in text; otherwise argp_error (exit 2) with the option's name and the range. */
long rad_cli_int(struct argp_state *state, const char *option, const char *text, long min,
                 long max);
double rad_cli_real(struct argp_state *state, const char *option, const char *text, double min,
                    double max);

/* Print "radial NAME: message" to stderr, with control characters made visible, and return the
 * exit code: EXIT_USAGE for RAD_E_ARG, else EXIT_FAILURE. */
int rad_cli_fail(const char *command, const struct rad_err *err);

/* rad_out_close, and how it went as an exit code; a failure is reported. */
int rad_cli_close(rad_out *out, const char *command, bool single_object);

/* The same failure, but as a mistake on the command line: exit 2. RAD_OK stays. */
enum rad_status rad_cli_blame(enum rad_status status, struct rad_err *err);

/* The card of --card CARD: a name in models/, a .yaml, or a model folder. errors: those of
 * rad_card_open and rad_model_config_open */
RAD_MUST_CHECK enum rad_status rad_cli_card(struct rad_card *out, const char *text,
                                            struct rad_err *err);

/* Make the folder that a file called path is to lie in, if it is not there. errors: RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_cli_make_folder(const char *path, struct rad_err *err);

/* rad_file_write, and its folder. */
RAD_MUST_CHECK enum rad_status rad_cli_write(const char *path, const void *data, size_t len,
                                             struct rad_err *err);

/* An output is never one of the files that it is made from. errors: RAD_E_ARG (they are one) */
RAD_MUST_CHECK enum rad_status rad_cli_apart(const char *in, const char *option, const char *out,
                                             struct rad_err *err);

/* A warning in the same form; the command goes on. */
void rad_cli_warn(const char *command, const char *fmt, ...) RAD_PRINTF(2, 3);

#endif
