/* near.h - "did you mean": the closest name by edit distance. */
#ifndef RAD_BASE_NEAR_H
#define RAD_BASE_NEAR_H

#include <stddef.h>

/* Levenshtein distance, counting inserted, deleted and replaced bytes; both names are cut at 63
 * bytes. */
size_t rad_edit_distance(const char *a, const char *b);

/* The largest distance at which a name is still worth suggesting: half of the length of name, at
 * most 3. */
size_t rad_near_limit(const char *name);

/* The first of the nearest of names[n], or NULL if none is near (see rad_near_limit). */
const char *rad_nearest(const char *name, const char *const names[], size_t n);

#endif
