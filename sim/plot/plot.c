/* plot.c - the registry of plots, and a request checked before it is drawn. */
#include "plot/chart.h"

#include "base/near.h"

#include <string.h>

struct kind {
    struct rad_plot_kind row;
    unsigned options;
    enum rad_status (*draw)(struct rad_chart *chart, struct rad_err *err);
};

static const struct kind kinds[] = {
#define RAD_PLOT(name, options, summary) {{#name, summary}, options, rad_plot_##name},
#include "plot/plots.def"
#undef RAD_PLOT
};
enum { N_KIND = sizeof kinds / sizeof kinds[0] };

static const struct rad_plot_kind rows[] = {
#define RAD_PLOT(name, options, summary) {#name, summary},
#include "plot/plots.def"
#undef RAD_PLOT
};

const struct rad_plot_kind *rad_plot_kinds(size_t *n)
{
    *n = N_KIND;
    return rows;
}

static enum rad_status find_kind(const char *name, const struct kind **out, struct rad_err *err)
{
    const char *names[N_KIND];
    char show[RAD_SHOW_MAX];
    for (size_t i = 0; i < N_KIND; i++) {
        names[i] = kinds[i].row.name;
        *out = &kinds[i];
        if (strcmp(names[i], name) == 0)
            return RAD_OK;
    }
    const char *near = rad_nearest(name, names, N_KIND);
    if (near != NULL)
        return rad_fail(err, RAD_E_ARG, "unknown kind of plot '%s'; did you mean '%s'?",
                        rad_show(show, name), near);
    char all[128] = "";
    for (size_t i = 0, n = 0; i < N_KIND && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? ", " : "", names[i]);
    return rad_fail(err, RAD_E_ARG, "unknown kind of plot '%s'; there are %s", rad_show(show, name),
                    all);
}

static enum rad_status check_options(const struct kind *kind, const struct rad_plot_request *r,
                                     struct rad_err *err)
{
    const struct {
        const char *name, *value;
        unsigned option;
    } given[] = {{"--x", r->x, RAD_OPT_X},
                 {"--y", r->y, RAD_OPT_Y},
                 {"--color", r->color, RAD_OPT_COLOR},
                 {"--where", r->where, RAD_OPT_WHERE}};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        if (given[i].value != NULL && (kind->options & given[i].option) == 0)
            return rad_fail(err, RAD_E_ARG, "plot '%s' has no option %s", kind->row.name,
                            given[i].name);
    return RAD_OK;
}

static enum rad_status check_output(const char *output, struct rad_err *err)
{
    const size_t n = strlen(output);
    if (n <= 4 || output[n - 5] == '/' ||
        (strcmp(output + n - 4, ".svg") != 0 && strcmp(output + n - 4, ".png") != 0))
        return rad_fail(err, RAD_E_ARG, "expected an output ending in .svg or .png but found '%s'",
                        output);
    for (const char *c = output; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return rad_fail(err, RAD_E_ARG, "the output's name must not have control characters");
    return RAD_OK;
}

enum rad_status rad_plot_draw(const struct rad_plot_request *request, struct rad_plot_report *out,
                              struct rad_err *err)
{
    const struct kind *kind = NULL;
    struct rad_chart chart = {.request = request, .report = out};
    *out = (struct rad_plot_report){0};
    RAD_TRY(find_kind(request->kind, &kind, err));
    RAD_TRY(check_options(kind, request, err));
    RAD_TRY(check_output(request->output, err));
    if (request->n_input == 0)
        return rad_fail(err, RAD_E_ARG, "expected a database to plot from");
    enum rad_status status = kind->draw(&chart, err);
    if (status == RAD_OK)
        status = rad_chart_draw(&chart, err);
    rad_buf_free(&chart.table);
    rad_buf_free(&chart.script);
    return status;
}
