/* capture.h - private to cli/: traces that a sweep needs and nobody has made yet. */
#ifndef RAD_CAPTURE_H
#define RAD_CAPTURE_H

#include "radial.h"

/* A rad_sweep_provider's capture: run a model over a text under a policy (teacher-forced, windows
 * in parallel) and write a complete trace. ctx is a rad_pool or NULL. */
RAD_MUST_CHECK enum rad_status capture_trace(void *ctx, const struct rad_sweep_capture *what,
                                             const char *path, struct rad_err *err);

#endif
