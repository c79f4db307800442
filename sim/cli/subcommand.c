/* subcommand.c - finds the subcommand, parses its options, checks that nothing is missing. */
#include "cli/subcommand.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SUB = 16 };

const struct argp_option sub_no_options[] = {{0}};

error_t sub_parse(struct sub_options *o, int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case ARGP_KEY_ARG:
        o->arg[o->n_arg++] = arg; /* argv is longer */
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *short_name(const struct subcommand *sub)
{
    return strrchr(sub->name, ' ') + 1;
}

static bool complete(const struct subcommand *sub, const struct sub_options *o)
{
    return o->n_arg >= sub->min_arg && o->n_arg <= sub->max_arg &&
           (sub->ready == NULL || sub->ready(o));
}

static int run_sub(const struct sub_family *family, const struct subcommand *sub, void *options,
                   int argc, char *argv[])
{
    char name[64];
    struct sub_options *o = options;
    const struct argp argp = {.options = sub->options,
                              .parser = family->parser,
                              .args_doc = sub->args,
                              .doc = sub->doc,
                              .children = rad_cli_children};
    o->arg = calloc((size_t)argc + 1, sizeof *o->arg);
    snprintf(name, sizeof name, "%s", sub->name);
    argv[0] = name;
    int code = EXIT_USAGE;
    if (o->arg == NULL || rad_cli_parse(&argp, argc, argv, options) != 0)
        code = EXIT_FAILURE;
    else if (complete(sub, o))
        code = sub->run(options);
    else
        fprintf(stderr, "%s: expected %s; see '%s --help'\n", sub->name, sub->needs, sub->name);
    free(o->arg);
    return code;
}

static void help(const struct sub_family *f, FILE *to)
{
    int width = 0;
    for (size_t i = 0; i < f->n_sub; i++)
        if ((int)strlen(short_name(&f->sub[i])) > width)
            width = (int)strlen(short_name(&f->sub[i]));
    fprintf(to, "usage: %s SUBCOMMAND [OPTION...] [ARGUMENT...]\n\n", f->name);
    for (size_t i = 0; i < f->n_sub; i++)
        fprintf(to, "  %-*s  %.*s\n", width, short_name(&f->sub[i]),
                (int)strcspn(f->sub[i].doc, ".(:\v"), f->sub[i].doc);
    fprintf(to, "\nExample:\n  %s\n`%s SUBCOMMAND --help` explains one.\n", f->example, f->name);
}

static int unknown(const struct sub_family *f, const char *name)
{
    const char *names[MAX_SUB];
    const size_t n = f->n_sub < MAX_SUB ? f->n_sub : MAX_SUB;
    for (size_t i = 0; i < n; i++)
        names[i] = short_name(&f->sub[i]);
    const char *near = rad_nearest(name, names, n);
    fprintf(stderr, "%s: unknown subcommand '", f->name);
    rad_out_escape(stderr, name);
    fprintf(stderr, "'%s%s%s; see '%s --help'\n", near != NULL ? "; did you mean '" : "",
            near != NULL ? near : "", near != NULL ? "'?" : "", f->name);
    return EXIT_USAGE;
}

int sub_run(const struct sub_family *f, void *options, int argc, char *argv[])
{
    if (argc < 2) {
        help(f, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0) {
        help(f, stdout);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < f->n_sub; i++)
        if (strcmp(short_name(&f->sub[i]), argv[1]) == 0)
            return run_sub(f, &f->sub[i], options, argc - 1, argv + 1);
    return unknown(f, argv[1]);
}
