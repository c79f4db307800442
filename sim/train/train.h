/* train.h - training of dense transformers and of Radial Networks on one machine.
 *
 * One trainer serves four jobs, told apart by the spec: a dense network from scratch; a network
 * distilled from a teacher; a Radial Network (layers plus router) distilled from a teacher or
 * co-trained; and adaptation of a network to a fixed skipping policy (the controls). The losses
 * and tricks are described in docs/training.md. Same spec and seed give the same bits at any
 * thread count, and a resumed run the same bits as an uninterrupted one. */
#ifndef RAD_TRAIN_H
#define RAD_TRAIN_H

#include "base/err.h"
#include "route/route.h"
#include "spec/spec.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

#define RAD_TRAIN_PATH 512

/* What a spec file says (YAML; keys in docs/training.md and `radial train --help`). */
struct rad_train_spec {
    struct rad_card card; /* model: {...}; router: {hidden, max_hops} */
    int64_t steps;
    int32_t batch;  /* sequences of card.n_ctx tokens per step */
    int32_t shards; /* parts of a batch that are summed in fixed order */
    uint64_t seed;
    struct {
        double max, min; /* cosine from max to min after warmup steps */
        int64_t warmup;
    } lr;
    double beta1, beta2, decay, clip; /* AdamW, global gradient norm */
    enum rad_gemm_mode gemm;          /* precision: fp32 | bf16 (products in bfloat16 on AMX) */
    char teacher[RAD_TRAIN_PATH];     /* model folder, "" none */
    char init[RAD_TRAIN_PATH];        /* model folder to start from, "" random */
    double distill;                   /* share of the teacher's distribution in the target */
    char policy[128];                 /* fixed paths, "" for dense or router */
    double align;                     /* weight of the distance to the teacher's states */
    struct {
        double price_min, price_max; /* the knob: prices of a layer that ask for most and least */
        int32_t order[64], n_order;  /* layers by worth; 0: measured, see planned.c */
        double half, full; /* shares of sequences that aim at half the layers, and at all */
        double extra;  /* share of tokens that visit one more layer, drawn from a third of it on */
        double lead;   /* share of the run in which planned paths are walked */
        double weight; /* of the router's loss */
    } router;
    double checkpoint_s;       /* seconds between resumable checkpoints */
    enum rad_dtype save_dtype; /* F32 or BF16 */
};

struct rad_train_io {
    const char *const *text; /* corpus files */
    int n_text;
    double val_frac; /* the last share of every file, never trained on */
    const char *out; /* model folder to write */
    int threads;     /* 0: one per CPU */
    /* Called after every step, from the calling thread; false stops the run at a checkpoint. */
    bool (*progress)(void *ctx, int64_t step, int64_t steps, double loss, double tokens_per_s);
    void *ctx;
    const char *note; /* a line for the model card: who made it, from what */
};

struct rad_train_report {
    int64_t steps, tokens; /* done, this run and those before it */
    double seconds;        /* training time, this run and those before it */
    double train_nll, val_nll, val_bytes, mean_depth; /* nats per token, on all of val; NaN */
    bool resumed, stopped;
    int32_t n_table; /* measured budget table of a router */
    double depth_frac[32], price[32], nll[32];
};

/* Read and check a spec. errors: RAD_E_IO, RAD_E_PARSE (file:line:col), RAD_E_RANGE */
RAD_MUST_CHECK enum rad_status rad_train_spec_open(struct rad_train_spec *out, const char *path,
                                                   struct rad_err *err);

/* Train, resuming from out/train.state if it is there and of the same spec. Writes config.json,
 * model.safetensors and README.md (the model card) into out. */
RAD_MUST_CHECK enum rad_status rad_train_run(const struct rad_train_spec *spec,
                                             const struct rad_train_io *io,
                                             struct rad_train_report *report, struct rad_err *err);

#endif
