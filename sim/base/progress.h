/* progress.h - one line of talk about a long job.
 *
 * Any thread may step; lines are written at most ten times a second, and the last one always. */
#ifndef RAD_BASE_PROGRESS_H
#define RAD_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum rad_progress_mode {
    RAD_PROGRESS_AUTO, /* a line that is rewritten if out is a terminal, else nothing */
    RAD_PROGRESS_NONE,
    RAD_PROGRESS_JSON, /* one object per line: progress done total frac elapsed_s left_s note */
};

typedef struct rad_progress rad_progress;

/* name is copied; total <= 0: unknown; out stays the caller's. NULL if memory ran out: progress is
 * never worth failing for, and the functions below accept NULL. */
rad_progress *rad_progress_open(FILE *out, const char *name, int64_t total,
                                enum rad_progress_mode mode);

/* done of total; note (may be NULL) is put behind, for example "loss 1.43". */
void rad_progress_step(rad_progress *p, int64_t done, const char *note);

/* Write the last state if it has not been written yet, end the line and free. */
void rad_progress_close(rad_progress *p);

/* "auto", "none" or "json". Returns false for other words. */
bool rad_progress_mode_parse(const char *word, enum rad_progress_mode *out);

#endif
