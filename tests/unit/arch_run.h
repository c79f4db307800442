/* arch_run.h - a model held against the NLLs of an independent reference: whole, token by token,
 * with layers skipped, on one thread and on two. For tests/oracle. */
#ifndef RAD_ARCH_RUN_H
#define RAD_ARCH_RUN_H

#include "infer/infer.h"

enum { ARCH_MAX_TOKEN = 32 };

struct arch_run {
    const char *name; /* for messages */
    const rad_model *net;
    int n_token, n_value;
    int32_t token[ARCH_MAX_TOKEN];
    double value[ARCH_MAX_TOKEN]; /* NLL of token[i + 1], or a logit */
};

struct rad_engine_options arch_options(const rad_model *m, const char *policy);

/* The largest difference of n_value numbers from those of the reference. */
double arch_distance(const struct arch_run *m, const float *got);

/* Within 1e-4 nats of the reference, however the tokens are fed. */
void arch_check_text(const struct arch_run *m);
/* Skipped layers, under every KV semantics: decoding is prefill. */
void arch_check_skips(const struct arch_run *m);
/* Two sequences on one thread and on two: the same bits. */
void arch_check_threads(const struct arch_run *m);

#endif
