/* args.c - the options that every command has, and numbers in options. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_FORMAT = 0x1000, KEY_PROGRESS };

static const struct argp_option common_options[] = {
    {"format", KEY_FORMAT, "F", 0, "Output: table (default), json, csv or md", 90},
    {"progress", KEY_PROGRESS, "P", 0,
     "Progress on standard error: auto (default, on a terminal), none or json", 90},
    {0},
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct rad_cli_common *common = state->input;
    switch (key) {
    case KEY_FORMAT:
        if (!rad_format_parse(arg, &common->format))
            argp_error(state, "--format: expected table, json, csv or md but found '%s'", arg);
        return 0;
    case KEY_PROGRESS:
        if (!rad_progress_mode_parse(arg, &common->progress))
            argp_error(state, "--progress: expected auto, none or json but found '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common_argp = {.options = common_options, .parser = parse_common};
const struct argp_child rad_cli_children[] = {{&common_argp, 0, NULL, 0}, {0}};

/* argp puts a second line, "Try ... --help", behind every mistake, and getopt writes to stderr by
 * itself. A mistake is one line here: while argp parses, stderr is memory. */
static struct {
    FILE *real; /* NULL unless argp is parsing */
    char *text;
    size_t len;
} talk;

static void talk_end(void)
{
    if (talk.real == NULL)
        return;
    fclose(stderr);
    stderr = talk.real;
    talk.real = NULL;
    const char *newline = talk.text != NULL ? strchr(talk.text, '\n') : NULL;
    if (newline != NULL)
        fprintf(stderr, "%.*s; see --help\n", (int)(newline - talk.text), talk.text);
    free(talk.text);
}

int rad_cli_parse(const struct argp *argp, int argc, char *argv[], void *options)
{
    FILE *memory = open_memstream(&talk.text, &talk.len);
    if (memory != NULL && atexit(talk_end) == 0) {
        talk.real = stderr;
        stderr = memory;
    }
    const int status = argp_parse(argp, argc, argv, 0, NULL, options);
    talk_end();
    return status;
}

long rad_cli_int(struct argp_state *state, const char *option, const char *text, long min, long max)
{
    char *end = NULL;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < min || value > max)
        argp_error(state, "%s: expected a whole number from %ld to %ld but found '%s'", option, min,
                   max, text);
    return value;
}

double rad_cli_real(struct argp_state *state, const char *option, const char *text, double min,
                    double max)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < min || value > max)
        argp_error(state, "%s: expected a number from %g to %g but found '%s'", option, min, max,
                   text);
    return value;
}

int rad_cli_fail(const char *command, const struct rad_err *err)
{
    if (ferror(stdout)) /* main says so, once */
        return EXIT_FAILURE;
    fprintf(stderr, "radial %s: ", command);
    rad_out_escape(stderr, err->msg);
    fputc('\n', stderr);
    return err->status == RAD_E_ARG ? EXIT_USAGE : EXIT_FAILURE;
}

int rad_cli_close(rad_out *out, const char *command, bool single_object)
{
    struct rad_err err;
    return rad_out_close(out, single_object, &err) == RAD_OK ? EXIT_SUCCESS
                                                             : rad_cli_fail(command, &err);
}

enum rad_status rad_cli_blame(enum rad_status status, struct rad_err *err)
{
    if (status != RAD_OK)
        err->status = status = RAD_E_ARG;
    return status;
}

enum rad_status rad_cli_card(struct rad_card *out, const char *text, struct rad_err *err)
{
    struct rad_model_config config;
    char folder[RAD_PATH_MAX];
    struct stat st;
    const int len = snprintf(folder, sizeof folder, "models/%s", text);
    const bool named = strchr(text, '/') == NULL && len > 0 && (size_t)len < sizeof folder;
    if (stat(text, &st) != 0 || !S_ISDIR(st.st_mode)) {
        if (!named || stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
            return rad_card_open(out, text, err);
        text = folder;
    }
    RAD_TRY(rad_model_config_open(&config, text, err));
    *out = config.card;
    return RAD_OK;
}

enum rad_status rad_cli_apart(const char *in, const char *option, const char *out,
                              struct rad_err *err)
{
    struct stat a, b;
    if (stat(in, &a) != 0 || stat(out, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return RAD_OK;
    return rad_fail(err, RAD_E_ARG, "%s: '%s' is the input itself; choose another name", option,
                    out);
}

enum rad_status rad_cli_make_folder(const char *path, struct rad_err *err)
{
    char folder[RAD_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    if (n == 0 || n >= sizeof folder)
        return RAD_OK; /* here, or in the root; too long a name is for the writer to tell */
    memcpy(folder, path, n);
    folder[n] = '\0';
    return rad_dir_make(folder, err);
}

enum rad_status rad_cli_write(const char *path, const void *data, size_t len, struct rad_err *err)
{
    RAD_TRY(rad_cli_make_folder(path, err));
    return rad_file_write(path, data, len, err);
}

void rad_cli_warn(const char *command, const char *fmt, ...)
{
    char text[RAD_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "radial %s: warning: ", command);
    rad_out_escape(stderr, text);
    fputc('\n', stderr);
}
