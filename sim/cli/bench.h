/* bench.h - private to cli/: what `radial bench` is made of. */
#ifndef RAD_CLI_BENCH_H
#define RAD_CLI_BENCH_H

#include "cli/cli.h"
#include "cli/model_args.h"

enum { BENCH_REPEAT_MAX = 100 };

struct bench_options {
    struct rad_cli_common common;
    struct model_args model;
    int prompt, n_new, batch, repeat; /* prompt, n_new: 0 by the model's context */
    bool shapes;                      /* the standard shapes instead of a model */
};

/* ---- what the rows of a phase did ---- */

struct bench_work {
    double tokens, depth, keys, flop, weight_bytes;
    double kv_bytes; /* of the keys and values that rows attend to */
};

struct bench_count { /* how to count it */
    const struct rad_card *card;
    double param_bytes; /* of a weight */
    bool any_order, router;
};

/* Add n rows of the last forward call. Weights are read once per layer (forward-only paths) or once
 * per hop and layer, however many rows need them. */
void bench_work_add(struct bench_work *w, const struct bench_count *how, const rad_engine *e,
                    int32_t n);
/* The LM head for so many rows. */
void bench_work_head(struct bench_work *w, const struct bench_count *how, int32_t rows);
/* min(batch x bandwidth / bytes, GEMM rate / FLOP) in tokens per second (definitions.md): work of
 * `steps` steps, bytes those of the weights. */
double bench_roof(const struct bench_work *w, double steps, double bytes_per_s, double flop_per_s);

/* ---- the two forms of the command ---- */
RAD_MUST_CHECK enum rad_status bench_model(struct bench_options *o, const struct model_run *run,
                                           struct rad_err *err);
RAD_MUST_CHECK enum rad_status bench_shapes(const struct bench_options *o, struct rad_err *err);

#endif
