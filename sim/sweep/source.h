/* source.h - private to sweep: the trace behind a point, and the identity of what made it. */
#ifndef RAD_SWEEP_SOURCE_H
#define RAD_SWEEP_SOURCE_H

#include "sweep/space.h"

/* Hashes of files and folders read so far, so that each is read once per sweep. */
typedef struct rad_identities rad_identities;
RAD_MUST_CHECK enum rad_status rad_identities_open(rad_identities **out, struct rad_err *err);
void rad_identities_close(rad_identities *ids);

/* A hash of the content of a file, or of the model in a folder: its .json, .safetensors, .gguf,
 * .bin, .model and .txt files. errors: RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_identity(rad_identities *ids, const char *path, uint64_t *out,
                                            struct rad_err *err);

/* Two points have the same trace behind them. */
bool rad_source_equal(const struct rad_sweep_point *a, const struct rad_sweep_point *b);

/* A hash of all that the trace behind a point is made from. provider may be NULL. */
RAD_MUST_CHECK enum rad_status rad_source_identity(rad_identities *ids,
                                                   const struct rad_sweep_provider *provider,
                                                   const struct rad_sweep_point *point,
                                                   uint64_t *out, struct rad_err *err);

/* Where the trace behind a point comes from. */
struct rad_source {
    const struct rad_sweep_provider *provider;
    const struct rad_sweep_point *point;
    uint64_t identity; /* by rad_source_identity */
};

/* Load the trace, capturing it first if the provider's folder does not have it. *path is
 * malloc'ed, also on failure. errors: those of the provider and rad_trace_open */
RAD_MUST_CHECK enum rad_status rad_source_load(const struct rad_source *source, rad_trace **out,
                                               char **path, struct rad_err *err);

#endif
