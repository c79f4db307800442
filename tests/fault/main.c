/* main.c - every allocation of an operation is made to fail, one at a time.
 *
 * The linker sends malloc, calloc and realloc of this program to the functions below (-Wl,--wrap),
 * so the library itself carries no test hooks. SQLite and jansson are told to allocate here too;
 * they allocate thousands of times, so of theirs an even sample fails, unless FAULT=all is set.
 * Rules: an operation whose own allocation failed answers RAD_E_NOMEM with a message; when a
 * library's allocation failed it may get over it (SQLite does for caches) or answer any error;
 * it never crashes, and under SAN=address it never leaks. usage: fault [PART...] */
#include "fault.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum whose { OURS, THEIRS, N_WHOSE }; /* the library's own, or of a library below it */
enum { SAMPLE = 60 };                 /* of their allocations fail, in even steps */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long count[N_WHOSE];              /* allocations so far in this run */
static long fail_at[N_WHOSE] = {-1, -1}; /* the one that fails, from 0; -1 none */

static bool fails_now(enum whose whose)
{
    pthread_mutex_lock(&lock);
    const bool now = count[whose]++ == fail_at[whose];
    pthread_mutex_unlock(&lock);
    return now;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now(OURS) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now(OURS) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now(OURS) ? NULL : __real_realloc(old, size);
}

static void *json_allocate(size_t size)
{
    return fails_now(THEIRS) ? NULL : __real_malloc(size);
}

static void *sql_malloc(int size)
{
    return fails_now(THEIRS) ? NULL : __real_malloc((size_t)size);
}

static void *sql_realloc(void *old, int size)
{
    return fails_now(THEIRS) ? NULL : __real_realloc(old, (size_t)size);
}

static int sql_size(void *p)
{
    return p == NULL ? 0 : (int)malloc_usable_size(p);
}

static int sql_roundup(int size)
{
    return (size + 7) & ~7;
}

static int sql_init(void *data)
{
    (void)data;
    return SQLITE_OK;
}

static void sql_shutdown(void *data)
{
    (void)data;
}

static const sqlite3_mem_methods sql_memory = {.xMalloc = sql_malloc,
                                               .xFree = free,
                                               .xRealloc = sql_realloc,
                                               .xSize = sql_size,
                                               .xRoundup = sql_roundup,
                                               .xInit = sql_init,
                                               .xShutdown = sql_shutdown};

/* One run in which the nth allocation of one side fails (-1: none does). Returns false and says
 * why if a rule is broken. */
static bool holds(const struct fault *fault, enum whose whose, long nth)
{
    struct rad_err err = {.msg = ""};
    count[OURS] = count[THEIRS] = 0;
    fail_at[whose] = nth;
    const enum rad_status status = fault->run(&err);
    fail_at[whose] = -1;
    const bool hit = nth >= 0 && count[whose] > nth;
    if (status != RAD_OK && err.msg[0] == '\0')
        printf("  %s: allocation %ld failed without a message\n", fault->name, nth);
    else if (status != RAD_OK && !hit)
        printf("  %s: fails by itself: %s\n", fault->name, err.msg);
    else if (hit && whose == OURS && status != RAD_E_NOMEM)
        printf("  %s: allocation %ld failed, but the answer is '%s' %s\n", fault->name, nth,
               rad_status_name(status), status == RAD_OK ? "" : err.msg);
    else if (status == RAD_OK && fault->sound != NULL && !fault->sound(&err))
        printf("  %s: allocation %ld failed, the answer is ok, but what it made is broken: %s\n",
               fault->name, nth, err.msg);
    else
        return true;
    return false;
}

static bool survives(const struct fault *fault)
{
    bool good = holds(fault, OURS, -1) &&
                holds(fault, OURS, -1); /* libraries warm up, then count */
    const long ours = count[OURS], theirs = count[THEIRS];
    const long step = getenv("FAULT") != NULL || theirs < SAMPLE ? 1 : theirs / SAMPLE;
    long failed = ours;
    for (long nth = 0; good && nth < ours; nth++)
        good = holds(fault, OURS, nth);
    for (long nth = 0; good && nth < theirs; nth += step, failed++)
        good = holds(fault, THEIRS, nth);
    good = good && holds(fault, OURS, -1); /* it works again, and leaves whole files */
    if (good && ours + theirs == 0) {
        printf("  %s: allocates nothing: it does not belong here\n", fault->name);
        good = false;
    }
    if (good)
        printf("  %s survives %ld failed allocation(s), %ld of them its own\n", fault->name, failed,
               ours);
    return good;
}

#define FAULT(name) extern const struct fault name##_faults[];
#include "faults.def"
#undef FAULT

static const struct fault *const tables[] = {
#define FAULT(name) name##_faults,
#include "faults.def"
#undef FAULT
    NULL,
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]) != NULL)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    mkdir("build", 0777);
    mkdir("build/tmp", 0777);
    json_set_alloc_funcs(json_allocate, free);
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &sql_memory) != SQLITE_OK)
        return EXIT_FAILURE;
    for (int i = 0; tables[i] != NULL; i++)
        for (const struct fault *fault = tables[i]; fault->name != NULL; fault++)
            if (wanted(fault->name, argc, argv))
                *(survives(fault) ? &passed : &failed) += 1;
    printf("fault: %d passed, %d failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
