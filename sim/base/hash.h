/* hash.h - 64-bit hashes (XXH3): identity of files and runs, and stateless randomness.
 *
 * Not for security. The value depends on the bytes only, not on the machine: hash numbers in a
 * fixed layout (little-endian on all supported machines). */
#ifndef RAD_BASE_HASH_H
#define RAD_BASE_HASH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

uint64_t rad_hash(const void *data, size_t len, uint64_t seed);

/* The same hash piece by piece: rad_hash of all updates in a row. */
typedef struct rad_hasher rad_hasher;
RAD_MUST_CHECK enum rad_status rad_hasher_open(rad_hasher **out, uint64_t seed,
                                               struct rad_err *err); /* RAD_E_NOMEM */
void rad_hasher_update(rad_hasher *h, const void *data, size_t len);
uint64_t rad_hasher_final(rad_hasher *h); /* the hash; frees h */

/* 16 lower-case hex digits, most significant first, and a NUL. */
void rad_hash_hex(uint64_t h, char out[17]);

/* The top 53 bits as a number in [0, 1): a random draw that depends on what was hashed only. */
double rad_hash_uniform(uint64_t h);

#endif
