/* arena.h - scratch memory with one lifetime: allocate while a step runs, drop all at once. */
#ifndef RAD_BASE_ARENA_H
#define RAD_BASE_ARENA_H

#include "base/err.h"

#include <stddef.h>

typedef struct rad_arena rad_arena; /* one thread at a time */

RAD_MUST_CHECK enum rad_status rad_arena_open(rad_arena **out, struct rad_err *err);
void rad_arena_close(rad_arena *a); /* accepts NULL */

/* n bytes, 64-byte aligned, not cleared; NULL if memory ran out. */
void *rad_arena_get(rad_arena *a, size_t n);
void *rad_arena_zero(rad_arena *a, size_t n); /* cleared */

/* Where the arena stands, and back to it: all that came later is free again. */
struct rad_arena_mark {
    size_t chunk, used;
};
struct rad_arena_mark rad_arena_mark(const rad_arena *a);
void rad_arena_reset(rad_arena *a, struct rad_arena_mark mark);

#endif
