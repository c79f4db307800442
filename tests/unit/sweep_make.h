/* sweep_make.h - small trace files for tests of sweep, store and plot. */
#ifndef RAD_TEST_SWEEP_MAKE_H
#define RAD_TEST_SWEEP_MAKE_H

#include "trace/trace.h"

#include <stdbool.h>

struct made_file {
    const char *policy;
    const char *text_hash;
    int32_t n_layer;      /* 0: 4 */
    int32_t keep;         /* a token runs keep of every 4 layers; 0: 4 */
    int32_t n_seq, n_pos; /* 0: 4 sequences of 12 tokens */
    bool backwards;       /* layers from the last to the first */
    bool stats;           /* |f| = |x| / (layer + 1) in attention, half of that in the MLP */
    double nll;           /* 0: none */
};

/* Write a complete trace at path; stops the test if that fails. */
void made_file(const char *path, const struct made_file *what);

#endif
