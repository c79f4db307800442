/* class_probe.h - shapes on which fits of several parts are compared. Private to hw/. */
#ifndef RAD_HW_CLASS_PROBE_H
#define RAD_HW_CLASS_PROBE_H

#include "hw/fit.h"

enum { RAD_MAX_PROBE = 64 };

/* Shapes of that kind of fit, over the range that models have: how many. */
size_t rad_class_probes(const struct rad_fit *kind, enum rad_dtype dtype,
                        struct rad_work work[RAD_MAX_PROBE]);

#endif
