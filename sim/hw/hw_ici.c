/* hw_ici.c - the closed forms of hw_ici.h. */
#include "hw/hw_ici.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    double share; /* of an all-gather's bytes over each link */
    double rounds;
} kinds[] = {
    {"allgather", 1.0, 1.0},
    {"reducescatter", 1.0, 1.0},
    {"allreduce", 2.0, 2.0},
    {"alltoall", 0.25, 1.0},
};

bool rad_ici_time(const struct rad_ici *ici, const char *kind, double bytes, double chips,
                  double *time_s)
{
    if (strcmp(kind, "sendrecv") == 0) {
        *time_s = bytes / ici->link_bytes_per_s + ici->hop_s;
        return true;
    }
    const double line = chips < ici->wrap_chips ? 2.0 : 1.0;
    const double rate = 2.0 * ici->link_bytes_per_s * ici->axes / line;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, kind) == 0) {
            *time_s = kinds[i].share * bytes * (chips - 1.0) / chips / rate +
                      kinds[i].rounds * (chips - 1.0) * ici->hop_s;
            return true;
        }
    return false;
}
