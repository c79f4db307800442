/* main.c - find the command and run it. */
#include "cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RAD_COMMAND(name) extern const struct rad_command rad_command_##name;
#include "cli/commands.def"
#undef RAD_COMMAND

static const struct rad_command *const commands[] = {
#define RAD_COMMAND(name) &rad_command_##name,
#include "cli/commands.def"
#undef RAD_COMMAND
};
enum { N_COMMAND = sizeof commands / sizeof commands[0] };

static const struct rad_command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMAND; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void help(FILE *to)
{
    fputs("usage: radial COMMAND [OPTION...] [ARGUMENT...]\n\n", to);
    for (size_t i = 0; i < N_COMMAND; i++)
        fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`radial COMMAND --help` explains a command, with an example.\n"
          "Exit codes: 0 done, 1 failed, 2 misused.\n",
          to);
}

static int version(void)
{
    char blas[256];
    rad_tensor_describe(blas, sizeof blas);
    printf("radial %s\nblas: %s\n", RAD_VERSION, blas);
    printf("compiler: %s %s\n",
#ifdef __clang__
           "clang",
#else
           "gcc",
#endif
           __VERSION__);
    return EXIT_SUCCESS;
}

static int unknown(const char *name)
{
    const char *names[N_COMMAND];
    for (size_t i = 0; i < N_COMMAND; i++)
        names[i] = commands[i]->name;
    const char *near = rad_nearest(name, names, N_COMMAND);
    fputs("radial: unknown command '", stderr);
    rad_out_escape(stderr, name);
    if (near != NULL)
        fprintf(stderr, "'; did you mean '%s'?\n", near);
    else
        fputs("'; see 'radial help'\n", stderr);
    return EXIT_USAGE;
}

/* A command sees "radial NAME" as argv[0], so that its messages begin with it. */
static int run(const struct rad_command *command, int argc, char *argv[])
{
    char name[64];
    snprintf(name, sizeof name, "radial %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

static int help_of(const char *name)
{
    const struct rad_command *command = find(name);
    if (command == NULL)
        return unknown(name);
    char option[] = "--help";
    char *argv[] = {NULL, option, NULL};
    return run(command, 2, argv);
}

/* Runs at exit, also when argp exits after --help: a full disk must not look like success. */
static void check_stdout(void)
{
    static const char message[] = "radial: cannot write to standard output\n";
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    const bool reader_left = poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0; /* | head */
    if (!reader_left && write(STDERR_FILENO, message, sizeof message - 1) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

/* A program that was installed elsewhere than planned (DESTDIR, a copied folder) finds its data
 * beside itself, in ../share/radial, after all other places. */
static void find_data(void)
{
    char here[RAD_PATH_MAX], path[2 * RAD_PATH_MAX];
    const char *given = getenv("RADIAL_PATH");
    const ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    if (n <= 0)
        return;
    here[n] = '\0';
    char *bin = strstr(here, "/bin/radial");
    if (bin == NULL || bin[strlen("/bin/radial")] != '\0')
        return;
    *bin = '\0';
    const bool some = given != NULL && *given != '\0';
    const int len = snprintf(path, sizeof path, "%s%s%s/share/radial", some ? given : "",
                             some ? ":" : "", here);
    if (len > 0 && (size_t)len < sizeof path)
        setenv("RADIAL_PATH", path, 1);
}

int main(int argc, char *argv[])
{
    rad_tensor_repair(argv); /* may run this program again with the right OpenBLAS kernels */
    find_data();
    rad_base_init(); /* GSL reports errors instead of aborting */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    argp_err_exit_status = EXIT_USAGE;
    if (atexit(check_stdout) != 0)
        return EXIT_FAILURE;
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return version();
    if (strcmp(argv[1], "help") == 0 && argc > 2)
        return help_of(argv[2]);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return EXIT_SUCCESS;
    }
    const struct rad_command *command = find(argv[1]);
    return command != NULL ? run(command, argc - 1, argv + 1) : unknown(argv[1]);
}
