/* roof.c - see roof.h. */
#include "hw/roof.h"

#include <math.h>
#include <string.h>

bool rad_roof_is_own(const struct rad_fit *fit, const char *software)
{
    char word[sizeof fit->software];
    if (software == NULL || !(fit->rows > 0.0))
        return false;
    const size_t len = strcspn(fit->software, " ");
    memcpy(word, fit->software, len);
    word[len] = '\0';
    return strstr(software, word) != NULL;
}

void rad_roof_keep(const struct rad_chip *chip, const struct rad_work *work, struct rad_cost *c)
{
    const double l2 = chip->l2_bytes, weights = work->weight_bytes > l2 ? work->weight_bytes : 0.0;
    const double cold_bytes = weights + fmax(0.0, work->kv_bytes - l2);
    c->compute_s = fmax(c->compute_s, work->flop / chip->peak_flop_per_s);
    c->memory_s = fmax(c->memory_s, cold_bytes / chip->mem_bytes_per_s);
    c->time_s = fmax(c->time_s, fmax(c->compute_s, c->memory_s));
}
