/* near.c - edit distance. */
#include "base/near.h"

#include <string.h>

enum { CUT = 63 };

size_t rad_edit_distance(const char *a, const char *b)
{
    size_t row[CUT + 1];
    const size_t nb = strlen(b) < CUT ? strlen(b) : CUT;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; *a != '\0' && i <= CUT; i++, a++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (*a != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[nb];
}

size_t rad_near_limit(const char *name)
{
    const size_t half = strlen(name) / 2;
    return half < 3 ? half : 3;
}

const char *rad_nearest(const char *name, const char *const names[], size_t n)
{
    const char *best = NULL;
    size_t limit = rad_near_limit(name) + 1; /* one above the best so far */
    for (size_t i = 0; i < n; i++) {
        const size_t d = rad_edit_distance(name, names[i]);
        if (d < limit) {
            limit = d;
            best = names[i];
        }
    }
    return best;
}
