/* test_arena.c - memory that is given back by rewinding. */
#include "base/arena.h"
#include "test.h"

#include <stdint.h>
#include <string.h>

static void pieces_are_aligned_and_apart(void)
{
    rad_arena *a = NULL;
    OK(rad_arena_open(&a, &err));
    enum { N = 100 };
    char *piece[N];
    for (size_t i = 0; i < N; i++) {
        piece[i] = rad_arena_get(a, i * i * i);
        CU_ASSERT_FATAL(piece[i] != NULL && (uintptr_t)piece[i] % 64 == 0);
        memset(piece[i], (int)i, i * i * i);
    }
    for (size_t i = 1; i < N; i++)
        CU_ASSERT(piece[i][0] == (char)i && piece[i][i * i * i - 1] == (char)i);
    const char *zero = rad_arena_zero(a, 100);
    CU_ASSERT_FATAL(zero != NULL);
    CU_ASSERT(zero[0] == 0 && zero[99] == 0);
    rad_arena_close(a);
}

static void a_reset_gives_the_same_memory_again(void)
{
    rad_arena *a = NULL;
    OK(rad_arena_open(&a, &err));
    const void *before = rad_arena_get(a, 100);
    const struct rad_arena_mark mark = rad_arena_mark(a);
    const void *small = rad_arena_get(a, 100), *large = rad_arena_get(a, (size_t)20 << 20);
    CU_ASSERT(before != small && small != NULL && large != NULL);
    rad_arena_reset(a, mark);
    CU_ASSERT_PTR_EQUAL(rad_arena_get(a, 100), small);
    CU_ASSERT_PTR_EQUAL(rad_arena_get(a, (size_t)20 << 20), large);
    rad_arena_close(a);
}

/* Sizes that would wrap when they are rounded up to a cache line or to a page. */
static void sizes_that_would_wrap_are_refused(void)
{
    rad_arena *a = NULL;
    OK(rad_arena_open(&a, &err));
    for (size_t less = 0; less < (size_t)2 << 20; less += 4093)
        CU_ASSERT_PTR_NULL(rad_arena_get(a, SIZE_MAX - less));
    CU_ASSERT_PTR_NOT_NULL(rad_arena_get(a, 1));
    rad_arena_close(a);
}

CU_TestInfo arena_tests[] = {
    {"pieces are aligned and apart", pieces_are_aligned_and_apart},
    {"a reset gives the same memory again", a_reset_gives_the_same_memory_again},
    {"sizes that would wrap are refused", sizes_that_would_wrap_are_refused},
    CU_TEST_INFO_NULL,
};
