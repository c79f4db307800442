/* hash.c - XXH3 of libxxhash. */
#include "base/hash.h"

#include <stdio.h>
#include <xxhash.h>

/* rad_hasher is never completed: a pointer to it is one to XXH3_state_t, which must be aligned to
 * 64 bytes and whose size the library does not tell. */
static XXH3_state_t *state_of(rad_hasher *h)
{
    return (XXH3_state_t *)(void *)h;
}

uint64_t rad_hash(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

enum rad_status rad_hasher_open(rad_hasher **out, uint64_t seed, struct rad_err *err)
{
    XXH3_state_t *state = XXH3_createState();
    *out = (rad_hasher *)(void *)state;
    if (state == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory for a hash");
    XXH3_64bits_reset_withSeed(state, seed);
    return RAD_OK;
}

void rad_hasher_update(rad_hasher *h, const void *data, size_t len)
{
    XXH3_64bits_update(state_of(h), data, len);
}

uint64_t rad_hasher_final(rad_hasher *h)
{
    const uint64_t hash = XXH3_64bits_digest(state_of(h));
    XXH3_freeState(state_of(h));
    return hash;
}

void rad_hash_hex(uint64_t h, char out[17])
{
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

double rad_hash_uniform(uint64_t h)
{
    return (double)(h >> 11) * 0x1p-53;
}
