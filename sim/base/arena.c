/* arena.c - chunks that are kept between resets, so that a steady step allocates nothing. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNKS = 256, ALIGN = 64 };
static const size_t chunk_bytes = (size_t)16 << 20, huge_page = (size_t)2 << 20;

struct rad_arena {
    char *chunk[CHUNKS];
    size_t size[CHUNKS], n_chunk, at, used; /* filling chunk[at] from used */
};

enum rad_status rad_arena_open(rad_arena **out, struct rad_err *err)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "cannot allocate an arena");
}

void rad_arena_close(rad_arena *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n_chunk; i++)
        free(a->chunk[i]);
    free(a);
}

static void *new_chunk(rad_arena *a, size_t n)
{
    if (a->n_chunk == CHUNKS)
        return NULL;
    const size_t want = n > chunk_bytes ? n : chunk_bytes;
    const size_t size = (want + huge_page - 1) / huge_page * huge_page;
    char *p = aligned_alloc(huge_page, size);
    if (p == NULL)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(p, size, MADV_HUGEPAGE); /* 4 KB pages cost 12-25 % of the bandwidth */
#endif
    a->chunk[a->n_chunk] = p;
    a->size[a->n_chunk] = size;
    a->at = a->n_chunk++;
    a->used = n;
    return p;
}

void *rad_arena_get(rad_arena *a, size_t n)
{
    if (n > SIZE_MAX - huge_page) /* would wrap when it is rounded up */
        return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    while (a->at < a->n_chunk && n > a->size[a->at] - a->used) {
        a->at++;
        a->used = 0;
    }
    if (a->at >= a->n_chunk)
        return new_chunk(a, n);
    void *p = a->chunk[a->at] + a->used;
    a->used += n;
    return p;
}

void *rad_arena_zero(rad_arena *a, size_t n)
{
    void *p = rad_arena_get(a, n);
    return p == NULL ? NULL : memset(p, 0, n);
}

struct rad_arena_mark rad_arena_mark(const rad_arena *a)
{
    return (struct rad_arena_mark){a->at, a->used};
}

void rad_arena_reset(rad_arena *a, struct rad_arena_mark mark)
{
    a->at = mark.chunk;
    a->used = mark.used;
}
