/* rng.c - GSL generators behind a handle. */
#include "base/rng.h"

#include "base/hash.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

struct rad_rng {
    gsl_rng *gsl;
};

void rad_base_init(void)
{
    gsl_set_error_handler_off();
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 16 << 20); /* a refusal costs time only */
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

enum rad_status rad_rng_open(rad_rng **out, uint64_t seed, uint64_t stream, struct rad_err *err)
{
    *out = NULL;
    rad_rng *r = malloc(sizeof *r);
    gsl_rng *gsl = r != NULL ? gsl_rng_alloc(gsl_rng_mt19937) : NULL;
    if (gsl == NULL) {
        free(r);
        return rad_fail(err, RAD_E_NOMEM, "no memory for a random number generator");
    }
    /* mt19937 takes 32 bits: hash the pair instead of cutting it, so that neighbouring seeds and
     * streams have nothing to do with each other. */
    const uint64_t key[2] = {seed, stream};
    gsl_rng_set(gsl, (unsigned long)(rad_hash(key, sizeof key, 0) & UINT32_MAX));
    r->gsl = gsl;
    *out = r;
    return RAD_OK;
}

void rad_rng_close(rad_rng *r)
{
    if (r == NULL)
        return;
    gsl_rng_free(r->gsl);
    free(r);
}

double rad_rng_uniform(rad_rng *r)
{
    return gsl_rng_uniform(r->gsl);
}

double rad_rng_normal(rad_rng *r)
{
    return gsl_ran_gaussian_ziggurat(r->gsl, 1.0);
}

int64_t rad_rng_below(rad_rng *r, int64_t n)
{
    if (n <= 1)
        return 0;
    if (n <= UINT32_MAX)
        return (int64_t)gsl_rng_uniform_int(r->gsl, (unsigned long)n);
    /* Two draws make 64 bits; those above the last whole multiple of n are drawn again. */
    const uint64_t range = (uint64_t)n, limit = UINT64_MAX - UINT64_MAX % range;
    uint64_t draw = 0;
    do {
        const uint64_t high = gsl_rng_get(r->gsl);
        draw = high << 32 | gsl_rng_get(r->gsl);
    } while (draw >= limit);
    return (int64_t)(draw % range);
}
