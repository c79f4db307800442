/* cmd_plot.c - `radial plot`: pictures of results and traces. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { KEY_X = 0x200, KEY_Y, KEY_COLOR, KEY_WHERE, KEY_TITLE, MAX_DB = 16 };

struct options {
    struct rad_cli_common common;
    struct rad_plot_request request;
    const char *args[MAX_DB + 1];
    size_t n_arg;
};

static const struct argp_option option_rows[] = {
    {"output", 'o', "F.svg|F.png", 0, "The picture; F.tsv and F.gp are written beside it", 0},
    {"x", KEY_X, "C", 0, "Column along x", 0},
    {"y", KEY_Y, "C", 0, "Column along y; residual: ratio_in or ratio_out", 0},
    {"color", KEY_COLOR, "C", 0, "Column shown by colour", 0},
    {"where", KEY_WHERE, "SQL", 0, "Rows to draw: a condition on the columns of view results", 0},
    {"title", KEY_TITLE, "TEXT", 0, "Title instead of the automatic one", 0},
    {0},
};

static bool is_kind(const char *word)
{
    size_t n = 0;
    const struct rad_plot_kind *kinds = rad_plot_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(kinds[i].name, word) == 0)
            return true;
    return false;
}

/* The kind comes last; one that comes first is understood too. */
static error_t end_of_options(struct options *o, struct argp_state *state)
{
    if (o->n_arg < 2)
        argp_error(state, "expected a database and a kind of plot");
    if (o->request.output == NULL)
        argp_error(state, "expected -o F.svg or -o F.png");
    o->request.input = o->args;
    o->request.n_input = o->n_arg - 1;
    const bool first = is_kind(o->args[0]) && !is_kind(o->args[o->n_arg - 1]);
    o->request.kind = o->args[first ? 0 : o->n_arg - 1];
    o->request.input += first;
    return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case 'o':
        o->request.output = arg;
        return 0;
    case KEY_X:
        o->request.x = arg;
        return 0;
    case KEY_Y:
        o->request.y = arg;
        return 0;
    case KEY_COLOR:
        o->request.color = arg;
        return 0;
    case KEY_WHERE:
        o->request.where = arg;
        return 0;
    case KEY_TITLE:
        o->request.title = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->n_arg > MAX_DB)
            argp_error(state, "more than %d databases", MAX_DB);
        o->args[o->n_arg++] = arg;
        return 0;
    case ARGP_KEY_END:
        return end_of_options(o, state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *help_filter(int key, const char *text, void *input)
{
    struct rad_buf all = {0};
    size_t n = 0;
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || text == NULL)
        return strdup(text != NULL ? text : "");
    const struct rad_plot_kind *kinds = rad_plot_kinds(&n);
    rad_buf_add(&all, "Kinds:\n");
    for (size_t i = 0; i < n; i++)
        rad_buf_printf(&all, "  %-9s %s\n", kinds[i].name, kinds[i].summary);
    rad_buf_printf(&all, "\n%s", text);
    char *out = all.failed ? NULL : strdup(all.data);
    rad_buf_free(&all);
    return out;
}

static const struct argp argp = {
    .options = option_rows,
    .parser = parse_option,
    .args_doc = "DB... KIND -o F.svg|F.png",
    .doc = "Draw a results database, or traces for the kinds depth and residual.\v"
           "Example:\n"
           "  radial plot r.db pareto --x j_per_token --where \"batch <= 8\" -o pareto.svg\n"
           "  radial plot r.db heatmap --y hw --color speedup -o speedup.png\n"
           "  radial plot traces/a.db traces/b.db depth -o depth.png\n",
    .children = rad_cli_children,
    .help_filter = help_filter,
};

static enum rad_status print_report(const struct options *o, const struct rad_plot_report *report,
                                    struct rad_err *err)
{
    rad_out *out = NULL;
    rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "output", o->request.output);
    rad_out_int(out, "rows", report->rows);
    rad_out_end_row(out);
    if (report->note[0] != '\0')
        fprintf(stderr, "radial plot: %s\n", report->note);
    return rad_out_close(out, true, err);
}

static int run(int argc, char *argv[])
{
    struct options o = {0};
    struct rad_plot_report report;
    struct rad_err err = {RAD_OK, ""};
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    enum rad_status status = rad_plot_draw(&o.request, &report, &err);
    if (status == RAD_OK)
        status = print_report(&o, &report, &err);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("plot", &err);
}

const struct rad_command rad_command_plot = {
    .name = "plot",
    .summary = "draw results and traces as SVG or PNG",
    .run = run,
};
