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
    double loss, depth, router_loss, n_agree, n_decide;
    int64_t n_loss;
    enum rad_status status;
    struct rad_err err;
};

enum { RAD_PLAN_MAX = 64 };

struct plan {
    int32_t level[RAD_PLAN_MAX]; /* a base of k layers has those whose level is at most k */
    int32_t extra;               /* the layer of highest level: hard tokens visit it in the end */
};

struct trainer {
    const struct rad_train_spec *spec;
    struct net net, teacher;
    bool has_teacher, has_router, has_policy;
    struct rad_route route;
    struct corpus corpus;
    rad_pool *pool;
    struct worker *worker; /* [spec->shards] */
    struct plan plan;      /* of a network with a router */
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

/* Tokens of rows [first, first + n_seq) of the batch, and those that follow: [n_seq * n_ctx]. */
void rad_trainer_rows(const struct trainer *t, int32_t first, int32_t n_seq, int32_t *token,
                      int32_t *next);

/* The weight of the distance to the teacher's states at this step: falls to 0 at 80 % of the run; 0
 * without a teacher of this width, as states of another cannot be compared. */
double rad_trainer_align(const struct trainer *t);

/* Levels of the layers of the network as it is. Needs the worker's arenas and the corpus. */
RAD_MUST_CHECK enum rad_status rad_plan_make(struct trainer *t, struct rad_err *err);

/* A planned path: the `base` layers of lowest level in forward order; then, for hard tokens, one
 * more layer, which costs the others no keys. Which ones shows when the base has been walked. */
struct rad_path {
    int32_t base;
    bool extra;
};

/* The node behind `last` after `hop` hops on a path: a layer or RAD_EXIT. */
int32_t rad_plan_next(const struct trainer *t, struct rad_path path, int32_t hop, int32_t last);

/* Layers of the base of so many quarters of the depth: 1 to 4. */
int32_t rad_plan_base(const struct trainer *t, int quarters);

/* What sequence `row` of this step's batch aims at: a path of `base` layers for its tokens, of
 * which the share `extra`, the hardest ones, visits one more; base + extra layers on average. */
struct rad_aim {
    int32_t base;
    double extra;
};
struct rad_aim rad_plan_aim(const struct trainer *t, int32_t row);

double rad_plan_price(const struct trainer *t, double depth);
bool rad_plan_leads(const struct trainer *t, int32_t row);

/* The distance to the teacher from which on a token belongs to the share `extra` of the farthest
 * ones; sorted [n] ascending. */
float rad_plan_bar(const float *sorted, size_t n, double extra);

/* Hop until every token has left; decide() fills dest of a step. The head is evaluated at the steps
 * where tokens leave. */
struct roam {
    const float *target; /* [n_tok][V] or NULL */
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
