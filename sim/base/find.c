/* find.c - where profiles, cards and other data files are. */
#include "base/buf.h"
#include "base/io.h"
#include "base/near.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { N_NEAR = 4, NAME_BYTES = 128 };

/* A name that is there instead, and how far it is from the one asked for. */
struct candidate {
    size_t rank;
    char name[NAME_BYTES];
};

struct search {
    const char *folder, *name, *suffix;
    char *out;
    size_t size;
    struct rad_buf looked; /* the folders, for the message */
    struct candidate near[N_NEAR];
    int n_near;
    bool found, too_long;
};

/* Put c among the nearest; names break ties, as readdir has no order. */
static void note(struct search *s, const struct candidate *c)
{
    int at = 0;
    while (at < s->n_near &&
           (s->near[at].rank < c->rank ||
            (s->near[at].rank == c->rank && strcmp(s->near[at].name, c->name) < 0)))
        at++;
    if (at == N_NEAR || (at < s->n_near && strcmp(s->near[at].name, c->name) == 0))
        return;
    const int keep = s->n_near < N_NEAR ? s->n_near : N_NEAR - 1;
    memmove(&s->near[at + 1], &s->near[at], (size_t)(keep - at) * sizeof *s->near);
    s->near[at] = *c;
    s->n_near = keep + 1;
}

/* A short name is often the start or a part of a long one: "h100" of "h100-sxm-80gb". */
static void consider(struct search *s, const char *file)
{
    struct candidate c = {0};
    const size_t len = strlen(file), tail = strlen(s->suffix);
    if (file[0] == '.' || len <= tail || len - tail >= sizeof c.name ||
        strcmp(file + len - tail, s->suffix) != 0)
        return;
    memcpy(c.name, file, len - tail);
    const size_t distance = rad_edit_distance(s->name, c.name);
    if (strstr(c.name, s->name) != NULL)
        c.rank = 1;
    else if (distance <= rad_near_limit(s->name))
        c.rank = 1 + distance;
    else
        return;
    note(s, &c);
}

static void list_near(struct search *s, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        consider(s, e->d_name);
    closedir(dir);
}

/* Look in one folder. */
static void look(void *ctx, const char *folder)
{
    struct search *s = ctx;
    struct stat st;
    if (s->found || s->too_long)
        return;
    const int len = snprintf(s->out, s->size, "%s/%s%s", folder, s->name, s->suffix);
    if (len < 0 || (size_t)len >= s->size) {
        s->too_long = true;
        return;
    }
    s->found = stat(s->out, &st) == 0 && !S_ISDIR(st.st_mode);
    if (s->found || stat(folder, &st) != 0)
        return;
    rad_buf_printf(&s->looked, "%s%s", s->looked.len > 0 ? ", " : "", folder);
    list_near(s, folder);
}

void rad_data_folders(const char *folder, void (*visit)(void *ctx, const char *path), void *ctx)
{
    char within[RAD_PATH_MAX];
    visit(ctx, folder);
#ifdef RADIAL_DATADIR
    snprintf(within, sizeof within, "%s/%s", RADIAL_DATADIR, folder);
    visit(ctx, within);
#endif
    const char *path = getenv("RADIAL_PATH");
    while (path != NULL && *path != '\0') {
        const size_t n = strcspn(path, ":");
        const int len = snprintf(within, sizeof within, "%.*s/%s", (int)n, path, folder);
        if (n > 0 && len > 0 && (size_t)len < sizeof within) {
            visit(ctx, within);
            within[n] = '\0';
            visit(ctx, within);
        }
        path += n + (path[n] == ':');
    }
}

static enum rad_status not_found(struct search *s, struct rad_err *err)
{
    char shown[RAD_SHOW_MAX], near[RAD_SHOW_MAX];
    struct rad_buf hint = {0};
    for (int i = 0; i < s->n_near; i++)
        rad_buf_printf(&hint, "%s'%s'", i == 0 ? "; did you mean " : " or ",
                       rad_show(near, s->near[i].name));
    const bool anywhere = s->looked.data != NULL;
    rad_fail(err, RAD_E_IO, "no '%s%s' in %s%.200s%s", rad_show(shown, s->name), s->suffix,
             anywhere ? "" : s->folder,
             anywhere ? s->looked.data
                      : " (there is no such folder: run where it is, or name the one above it in "
                        "RADIAL_PATH)",
             hint.data != NULL ? hint.data : "");
    rad_buf_free(&hint);
    return RAD_E_IO;
}

enum rad_status rad_data_find(char *out, size_t size, const char *folder, const char *name,
                              const char *suffix, struct rad_err *err)
{
    char shown[RAD_SHOW_MAX];
    const size_t len = strlen(name), tail = strlen(suffix);
    if (len == 0)
        return rad_fail(err, RAD_E_IO, "expected a name in %s or a path but found ''", folder);
    const bool is_path = strchr(name, '/') != NULL ||
                         (tail > 0 && len > tail && strcmp(name + len - tail, suffix) == 0);
    if (is_path && len < size) {
        memcpy(out, name, len + 1);
        return RAD_OK;
    }
    struct search s = {.folder = folder, .name = name, .suffix = suffix, .out = out, .size = size};
    if (is_path)
        s.too_long = true;
    else
        rad_data_folders(folder, look, &s);
    enum rad_status status = RAD_OK;
    if (s.too_long)
        status = rad_fail(err, RAD_E_RANGE, "'%s': the path is too long", rad_show(shown, name));
    else if (!s.found)
        status = not_found(&s, err);
    rad_buf_free(&s.looked);
    return status;
}
