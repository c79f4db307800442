/* rng.h - seeded random numbers (GSL's mt19937) in independent streams. */
#ifndef RAD_BASE_RNG_H
#define RAD_BASE_RNG_H

#include "base/err.h"

#include <stdint.h>

/* Call once at the start of a program. GSL's error handler, which would abort, is switched off:
 * every GSL status is checked by its caller instead. And malloc keeps freed memory instead of
 * handing it to the system and asking for it again: plans of a megabyte come and go by the
 * thousand, and page faults took a third of the time of each. */
void rad_base_init(void);

typedef struct rad_rng rad_rng; /* one thread at a time */

/* The numbers of (seed, stream) are the same in every run and on every machine. For exact resume
 * of a long job take one stream per step instead of storing a state.
 * errors: RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_rng_open(rad_rng **out, uint64_t seed, uint64_t stream,
                                            struct rad_err *err);
void rad_rng_close(rad_rng *r); /* accepts NULL */

double rad_rng_uniform(rad_rng *r);           /* [0, 1), multiples of 2^-32 */
double rad_rng_normal(rad_rng *r);            /* mean 0, variance 1 */
int64_t rad_rng_below(rad_rng *r, int64_t n); /* 0..n-1, all equally likely; 0 for n <= 1 */

#endif
