/* hw_ici.h - collectives on a torus of direct links (ICI). Private to hw/, and to its tests.
 *
 * n chips in a ring per axis, x axes that share the data, W bytes/s of one link one way, h seconds
 * per hop; a ring sends both ways at once. Without wraparound (fewer than `wrap` chips) a line
 * takes twice as long: its ends have one neighbour. all-gather, reduce-scatter   bytes (n - 1) / n
 * / (2 W x) c + (n - 1) h      c = 1, or 2: a line all-reduce                   twice that
 *   all-to-all                   a quarter of the all-gather's bytes: each crosses n / 4 links in
 *                                the mean where an all-gather's cross n - 1
 *   send and receive             bytes / W + h
 * Source: jax-ml scaling book, sharding and tpus. */
#ifndef RAD_HW_ICI_H
#define RAD_HW_ICI_H

#include <stdbool.h>

struct rad_ici {
    double link_bytes_per_s; /* of one link, one way */
    double axes;             /* of the torus that a collective uses */
    double hop_s;
    double wrap_chips; /* fewer than this in a ring: no wraparound */
};

/* Seconds of `kind` (allreduce allgather reducescatter alltoall sendrecv) with `bytes` on each chip
 * after an all-gather, or before a reduce-scatter. false: no such kind. */
bool rad_ici_time(const struct rad_ici *ici, const char *kind, double bytes, double chips,
                  double *time_s);

#endif
