/* gnuplot.c - table, script and picture on the disk; gnuplot as a child without a shell. */
#include "plot/chart.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const rad_plot_colors[RAD_N_COLOR] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                  "#E69F00", "#56B4E9", "#404040", "#B8A800"};

void rad_chart_quote(struct rad_buf *script, const char *text)
{
    rad_buf_add(script, "'");
    for (; *text != '\0'; text++)
        if (*text == '\'')
            rad_buf_add(script, "''");
        else if ((unsigned char)*text >= 0x20 && *text != 0x7f)
            rad_buf_append(script, text, 1);
    rad_buf_add(script, "'");
}

void rad_chart_field(struct rad_buf *table, const char *text)
{
    if (text[0] == '\0')
        rad_buf_add(table, "-");
    for (; *text != '\0'; text++)
        rad_buf_append(table, (unsigned char)*text >= 0x20 && *text != '"' ? text : " ", 1);
}

void rad_chart_number(struct rad_buf *table, double value)
{
    if (isnan(value))
        rad_buf_add(table, "NaN");
    else
        rad_buf_printf(table, "%.10g", value);
}

/* ---- the script's head ----------------------------------------------------------------- */

/* The output's path in parts; texts point into path. */
struct place {
    char path[RAD_PATH_MAX]; /* the folder, cut off at its last '/' */
    const char *folder, *name;
    char stem[RAD_PATH_MAX];
    bool svg;
};

static enum rad_status split(const char *output, struct place *p, struct rad_err *err)
{
    const size_t n = strlen(output);
    if (n >= sizeof p->path)
        return rad_fail(err, RAD_E_ARG, "the output's path is too long");
    memcpy(p->path, output, n + 1);
    char *slash = strrchr(p->path, '/');
    p->name = slash != NULL ? slash + 1 : p->path;
    p->folder = slash == NULL ? "." : slash == p->path ? "/" : p->path;
    if (slash != NULL)
        *slash = '\0';
    p->svg = strcmp(output + n - 4, ".svg") == 0;
    memcpy(p->stem, output, n - 4);
    p->stem[n - 4] = '\0';
    return RAD_OK;
}

/* The file beside the picture as a string of gnuplot: with "./" before it, or a name that begins
 * with '-', '|' or '<' would be an option or a command to run. */
static void quote_file(struct rad_buf *s, const struct place *p, const char *ending)
{
    struct rad_buf file = {0};
    rad_buf_printf(&file, "./%.*s%s", (int)strlen(p->name) - 4, p->name, ending);
    if (file.failed)
        s->failed = true;
    else
        rad_chart_quote(s, file.data);
    rad_buf_free(&file);
}

static void write_head(struct rad_buf *s, const struct place *p)
{
    rad_buf_printf(s, "# Draws %s: run gnuplot on this file in its folder.\n", p->name);
    rad_buf_add(s, "if (!exists('out')) out = ");
    quote_file(s, p, p->svg ? ".svg" : ".png");
    rad_buf_printf(s,
                   "\nset encoding utf8\nset terminal %s size 1600,1000 enhanced font '%s'"
                   " linewidth 2 background '#ffffff'\nset output out\n"
                   "PS = %s # point sizes; terminals differ\n"
                   "font(size) = sprintf(',%%d', size * %s)\ndata = ",
                   p->svg ? "svg" : "pngcairo", p->svg ? "sans-serif,27" : "Sans,22",
                   p->svg ? "0.42" : "1.0", p->svg ? "1.23" : "1.0");
    quote_file(s, p, ".tsv");
    rad_buf_add(s, "\nset datafile separator tab\nset datafile missing NaN\narray C[8] = [");
    for (int i = 0; i < RAD_N_COLOR; i++)
        rad_buf_printf(s, "%s0x%s", i > 0 ? ", " : "", rad_plot_colors[i] + 1);
    rad_buf_add(s, "]\narray P[6] = [7, 5, 9, 13, 11, 15]\n"
                   "set border 3 linewidth 0.8 linecolor rgb '#404040'\n"
                   "set tics nomirror out scale 0.6 noenhanced\n"
                   "set grid linecolor rgb '#dddddd' linetype 1 linewidth 0.5\n"
                   "set style fill solid noborder\n"
                   "set key outside right top Left reverse samplen 1.2 spacing 1.15 noenhanced\n");
}

/* ---- the child ------------------------------------------------------------------------- */

enum { EXIT_NO_GNUPLOT = 127, EXIT_NO_FOLDER = 126, TALK_MAX = 4096 };

/* Between fork and exec only what is safe in a copy of a threaded program. */
static void become_gnuplot(const char *folder, const char *set_out, const char *script, int talk)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    const int null = open("/dev/null", O_RDWR);
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGXFSZ, &normal, NULL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(talk, 2) < 0)
        _exit(EXIT_NO_FOLDER);
    if (chdir(folder) != 0)
        _exit(EXIT_NO_FOLDER);
    execlp("gnuplot", "gnuplot", "-e", set_out, script, (char *)NULL);
    _exit(EXIT_NO_GNUPLOT);
}

/* Read what gnuplot says until it closes its end; more than fits is dropped. */
static void read_talk(int fd, char out[TALK_MAX])
{
    char rest[256];
    size_t n = 0;
    for (;;) {
        const bool room = n < TALK_MAX - 1;
        const ssize_t got = room ? read(fd, out + n, TALK_MAX - 1 - n)
                                 : read(fd, rest, sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += room ? (size_t)got : 0;
    }
    out[n] = '\0';
}

static int wait_for(pid_t pid)
{
    int state = 0;
    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

/* The line of gnuplot's talk that says what is wrong: the last that is not blank. */
static const char *last_line(char *talk)
{
    char *line = talk;
    for (char *part = strtok_r(talk, "\n", &talk); part != NULL; part = strtok_r(NULL, "\n", &talk))
        line = strspn(part, " \t^") == strlen(part) ? line : part;
    return line + strspn(line, " \t");
}

static enum rad_status run_gnuplot(const struct place *p, const char *set_out, const char *script,
                                   struct rad_err *err)
{
    int talk[2];
    char said[TALK_MAX];
    if (pipe(talk) != 0)
        return rad_fail(err, RAD_E_IO, "cannot start gnuplot: %s", strerror(errno));
    const pid_t pid = fork();
    if (pid == 0)
        become_gnuplot(p->folder, set_out, script, talk[1]);
    const int fork_errno = errno;
    close(talk[1]);
    said[0] = '\0';
    if (pid > 0)
        read_talk(talk[0], said);
    close(talk[0]);
    if (pid < 0)
        return rad_fail(err, RAD_E_IO, "cannot start gnuplot: %s", strerror(fork_errno));
    const int code = wait_for(pid);
    if (code == EXIT_NO_GNUPLOT)
        return rad_fail(err, RAD_E_IO, "gnuplot is not installed; install the package gnuplot-nox");
    if (code != 0)
        return rad_fail(err, RAD_E_IO, "gnuplot failed on '%s': %s", script,
                        said[0] != '\0' ? last_line(said) : "it gave no reason; is the disk full?");
    return RAD_OK;
}

/* gnuplot draws under another name, so that a failure leaves no half picture. */
static enum rad_status draw(const struct place *p, const char *output, struct rad_err *err)
{
    struct rad_buf set_out = {0}, part = {0}, script = {0};
    rad_buf_printf(&part, "%s.part", output);
    rad_buf_printf(&script, "./%.*s.gp", (int)strlen(p->name) - 4, p->name);
    rad_buf_add(&set_out, "out = ");
    quote_file(&set_out, p, p->svg ? ".svg.part" : ".png.part");
    enum rad_status status = RAD_OK;
    if (set_out.failed || part.failed || script.failed)
        status = rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    if (status == RAD_OK)
        status = run_gnuplot(p, set_out.data, script.data, err);
    if (status == RAD_OK && rename(part.data, output) != 0)
        status = rad_fail(err, RAD_E_IO, "cannot write '%s': %s", output, strerror(errno));
    if (status != RAD_OK && !part.failed)
        (void)unlink(part.data);
    rad_buf_free(&set_out);
    rad_buf_free(&part);
    rad_buf_free(&script);
    return status;
}

static enum rad_status write_beside(const struct place *p, const char *ending,
                                    const struct rad_buf *text, struct rad_err *err)
{
    struct rad_buf path = {0};
    rad_buf_printf(&path, "%s%s", p->stem, ending);
    enum rad_status status = RAD_OK;
    if (path.failed || text->failed)
        status = rad_fail(err, RAD_E_NOMEM, "plot: out of memory");
    else
        status = rad_file_write(path.data, text->data, text->len, err);
    rad_buf_free(&path);
    return status;
}

enum rad_status rad_chart_draw(struct rad_chart *chart, struct rad_err *err)
{
    struct place place;
    struct rad_buf script = {0};
    RAD_TRY(split(chart->request->output, &place, err));
    write_head(&script, &place);
    if (chart->script.failed || chart->script.data == NULL)
        script.failed = true;
    else
        rad_buf_add(&script, chart->script.data);
    enum rad_status status = rad_dir_make(place.folder, err);
    if (status == RAD_OK)
        status = write_beside(&place, ".tsv", &chart->table, err);
    if (status == RAD_OK)
        status = write_beside(&place, ".gp", &script, err);
    rad_buf_free(&script);
    return status == RAD_OK ? draw(&place, chart->request->output, err) : status;
}
