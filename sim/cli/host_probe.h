/* host_probe.h - private to cli/: this machine measured for `bench` and `hw calibrate host`. */
#ifndef RAD_CLI_HOST_PROBE_H
#define RAD_CLI_HOST_PROBE_H

#include "radial.h"

/* fp32 GEMM rate of one thread with square weights of `size`, FLOP/s. */
RAD_MUST_CHECK enum rad_status host_sgemm(int32_t m, int32_t size, double budget_s,
                                          double *flop_per_s, struct rad_err *err);

/* A block larger than the caches, as far as memory allows. */
double host_dram_bytes(void);

/* What rad_hw_host_profile needs, on one thread as the engine runs; takes about ten seconds.
 * about must live as long as out. */
RAD_MUST_CHECK enum rad_status host_rates(struct rad_host_rates *out, char about[160],
                                          rad_progress *progress, struct rad_err *err);
enum { HOST_RATES_STEPS = 32 }; /* of the progress */

/* Fill the overheads of rates measured by host_rates: what the engine's time for decoding with a
 * small made-up model, written to a folder under TMPDIR and removed again, exceeds its operations
 * by. */
RAD_MUST_CHECK enum rad_status host_overheads(struct rad_host_rates *rates, struct rad_err *err);

#endif
