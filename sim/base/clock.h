/* clock.h - seconds that passed. */
#ifndef RAD_BASE_CLOCK_H
#define RAD_BASE_CLOCK_H

double rad_now_s(void); /* since some fixed moment; never steps back */
double rad_cpu_s(void); /* CPU time of the process, all threads */

#endif
