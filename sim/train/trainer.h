/* trainer.h - private to train/: the state of a run and the parts of a step. */
#ifndef RAD_TRAIN_TRAINER_H
#define RAD_TRAIN_TRAINER_H

#include "base/pool.h"
#include "train/net.h"
#include "train/train.h"

struct corpus {
    struct corpus_file {
        int32_t *token;
        int64_t n, n_train; /* tokens; the first n_train may be trained on */
    } file[64];
    int n_file;
    int64_t n_train, n_val;
};

RAD_MUST_CHECK enum rad_status rad_corpus_open(struct corpus *c, const struct rad_train_io *io,
                                               int32_t ctx, struct rad_err *err);
void rad_corpus_close(struct corpus *c);

/* out [batch][ctx + 1]: windows drawn from the training parts, a function of (seed, step). */
RAD_MUST_CHECK enum rad_status rad_corpus_batch(const struct corpus *c, uint64_t seed, int64_t step,
                                                const int32_t size[2], int32_t *out,
                                                struct rad_err *err);

/* The w-th validation window: up to ctx tokens into out; returns how many, 0 past the end. */
int32_t rad_corpus_val_window(const struct corpus *c, int32_t ctx, int64_t w, int32_t *out);

struct worker { /* what a shard of a step owns */
    rad_gemm *gemm;
    rad_arena *arena;
    float *grad; /* [n_param] */
    double loss, depth, router_loss;
    int64_t n_loss;
    enum rad_status status;
    struct rad_err err;
};

struct trainer {
    const struct rad_train_spec *spec;
    struct net net, teacher;
    bool has_teacher, has_router, has_policy;
    struct rad_route route;
    struct corpus corpus;
    rad_pool *pool;
    struct worker *worker; /* [spec->shards] */
    struct net_tensor tensor[1024];
    int n_tensor;
    float *m, *v;   /* [n_param] moments */
    int32_t *batch; /* [batch][ctx + 1] */
    int64_t step;
    double seconds, ema_loss;
};

/* One optimiser step on all shards. */
RAD_MUST_CHECK enum rad_status rad_trainer_step(struct trainer *t, double *loss,
                                                struct rad_err *err);

/* The forward and backward pass of shard `task`, into worker[task]. */
void rad_trainer_shard(void *ctx, int task, int thread);

/* Hop until every token has left; decide() fills dest of a step. A step's head is evaluated at
 * every hop if the net has a router, else only where tokens leave. */
struct roam {
    const float *target; /* [n_tok][V] or NULL */
    bool with_head;      /* keep the softmax at every state */
    enum rad_status (*decide)(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                              struct rad_err *err);
    void *ctx;
};
RAD_MUST_CHECK enum rad_status rad_shard_roam(struct shard *s, const struct roam *r,
                                              struct rad_err *err);

/* Decisions without exploration: by the router at the shard's prices, by a policy, or dense. */
RAD_MUST_CHECK enum rad_status rad_decide_greedy(void *trainer, struct shard *s,
                                                 struct hop_step *st, int32_t hop,
                                                 struct rad_err *err);

/* Mean NLL and depth over the validation parts (every stride-th window) at a router price. */
struct val_result {
    double nll, depth;
    int64_t n;
};
RAD_MUST_CHECK enum rad_status rad_trainer_validate(struct trainer *t, double price, int64_t stride,
                                                    struct val_result *out, struct rad_err *err);

/* Checkpoints: resumable state, and the model folder. */
RAD_MUST_CHECK enum rad_status rad_state_save(const struct trainer *t, const char *out,
                                              struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_state_load(struct trainer *t, const char *out, bool *found,
                                              struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_model_save(const struct trainer *t,
                                              const struct rad_train_io *io,
                                              const struct rad_train_report *report,
                                              struct rad_err *err);
/* Read the weights of a model folder whose card must fit; router weights only if both have one. */
RAD_MUST_CHECK enum rad_status rad_model_load(struct net *net, const char *folder,
                                              struct rad_err *err);
RAD_MUST_CHECK enum rad_status rad_model_card(const char *folder, struct rad_card *card,
                                              struct rad_err *err);

#endif
