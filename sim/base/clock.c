/* clock.c - POSIX clocks as seconds. */
#include "base/clock.h"

#include <time.h>

static double read_clock(clockid_t id)
{
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double rad_now_s(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double rad_cpu_s(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}
