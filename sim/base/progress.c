/* progress.c - a line about a long job, thinned out to ten a second. */
#include "base/progress.h"

#include "base/buf.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PERIOD_S 0.1

enum { NAME_BYTES = 48, NOTE_BYTES = 64 };

struct rad_progress {
    pthread_mutex_t mutex;
    FILE *out;
    enum rad_progress_mode mode; /* AUTO: a terminal, after opening */
    char name[NAME_BYTES], note[NOTE_BYTES];
    int64_t done, total, first_done;
    double started_s, written_s;
    double first_s; /* of the first step, 0 before: a resumed job does not start at 0 */
    bool pending;   /* something was stepped since the last line */
};

/* Printable ASCII without what would need escapes in JSON or upset a terminal. */
static void copy_plain(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; from[n] != '\0' && n + 1 < size; n++) {
        const unsigned char c = (unsigned char)from[n];
        const bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        to[n] = plain ? from[n] : '?';
    }
    to[n] = '\0';
}

rad_progress *rad_progress_open(FILE *out, const char *name, int64_t total,
                                enum rad_progress_mode mode)
{
    if (mode == RAD_PROGRESS_AUTO && (fileno(out) < 0 || !isatty(fileno(out))))
        mode = RAD_PROGRESS_NONE;
    rad_progress *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    pthread_mutex_init(&p->mutex, NULL);
    p->out = out;
    p->mode = mode;
    p->total = total > 0 ? total : 0;
    p->started_s = rad_now_s();
    copy_plain(p->name, sizeof p->name, name);
    return p;
}

/* Seconds left if the rate since the first step stays; negative if that cannot be told. */
static double left_s(const rad_progress *p, double now_s)
{
    if (p->total == 0 || p->done <= p->first_done)
        return -1.0;
    const double rate = (now_s - p->first_s) / (double)(p->done - p->first_done);
    return rate * (double)(p->total - p->done);
}

static void add_time(struct rad_buf *b, double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s >= 3600)
        rad_buf_printf(b, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else
        rad_buf_printf(b, "%ldm%02lds", s / 60, s % 60);
}

/* One string, written at once: lines of several processes do not mix. */
static void write_terminal(const rad_progress *p, double now_s)
{
    struct rad_buf b = {0};
    const double elapsed_s = now_s - p->started_s, left = left_s(p, now_s);
    rad_buf_printf(&b, "\r%s ", p->name);
    if (p->total > 0)
        rad_buf_printf(&b, "%3.0f%% %lld/%lld ", 100.0 * (double)p->done / (double)p->total,
                       (long long)p->done, (long long)p->total);
    else
        rad_buf_printf(&b, "%lld ", (long long)p->done);
    add_time(&b, elapsed_s);
    if (left >= 0.0) {
        rad_buf_add(&b, ", left ");
        add_time(&b, left);
    }
    rad_buf_printf(&b, "  %s\033[K", p->note);
    if (!b.failed)
        fputs(b.data, p->out);
    rad_buf_free(&b);
}

static void write_json(const rad_progress *p, double now_s)
{
    struct rad_buf b = {0};
    const double elapsed_s = now_s - p->started_s, left = left_s(p, now_s);
    rad_buf_printf(&b, "{\"progress\": \"%s\", \"done\": %lld, ", p->name, (long long)p->done);
    if (p->total > 0)
        rad_buf_printf(&b, "\"total\": %lld, \"frac\": %.4f, ", (long long)p->total,
                       (double)p->done / (double)p->total);
    else
        rad_buf_add(&b, "\"total\": null, \"frac\": null, ");
    rad_buf_printf(&b, "\"elapsed_s\": %.1f, \"left_s\": ", elapsed_s);
    if (left >= 0.0)
        rad_buf_printf(&b, "%.1f", left);
    else
        rad_buf_add(&b, "null");
    rad_buf_printf(&b, ", \"note\": \"%s\"}\n", p->note);
    if (!b.failed)
        fputs(b.data, p->out);
    rad_buf_free(&b);
}

static void write_line(rad_progress *p, double now_s)
{
    if (p->mode == RAD_PROGRESS_JSON)
        write_json(p, now_s);
    else
        write_terminal(p, now_s);
    fflush(p->out);
    p->written_s = now_s;
    p->pending = false;
}

void rad_progress_step(rad_progress *p, int64_t done, const char *note)
{
    if (p == NULL || p->mode == RAD_PROGRESS_NONE)
        return;
    pthread_mutex_lock(&p->mutex);
    const double now_s = rad_now_s();
    if (p->first_s == 0.0) {
        p->first_s = now_s;
        p->first_done = done;
    }
    p->done = done;
    copy_plain(p->note, sizeof p->note, note != NULL ? note : "");
    p->pending = true;
    if (now_s - p->written_s >= PERIOD_S)
        write_line(p, now_s);
    pthread_mutex_unlock(&p->mutex);
}

void rad_progress_close(rad_progress *p)
{
    if (p == NULL)
        return;
    if (p->mode != RAD_PROGRESS_NONE && p->pending)
        write_line(p, rad_now_s());
    if (p->mode == RAD_PROGRESS_AUTO && p->written_s > 0.0) {
        fputc('\n', p->out);
        fflush(p->out);
    }
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

bool rad_progress_mode_parse(const char *word, enum rad_progress_mode *out)
{
    static const struct {
        const char *word;
        enum rad_progress_mode mode;
    } modes[] = {
        {"auto", RAD_PROGRESS_AUTO}, {"none", RAD_PROGRESS_NONE}, {"json", RAD_PROGRESS_JSON}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(word, modes[i].word) == 0) {
            *out = modes[i].mode;
            return true;
        }
    }
    return false;
}
