/* replay_make.h - routing made up in memory, for tests and benchmarks of replay. */
#ifndef RAD_TEST_REPLAY_MAKE_H
#define RAD_TEST_REPLAY_MAKE_H

#include "replay/replay.h"

enum { MADE_PATH_MAX = 64 };

/* Writes the path of a token (n_keys is filled in afterwards) and returns its length, at most
 * MADE_PATH_MAX. */
typedef int32_t (*made_path)(void *ctx, int64_t seq, int32_t pos, struct rad_hop_rec *out);

struct made {
    struct rad_trace_run run;
    struct rad_trace_token *tokens;
    struct rad_hop_rec *hops;
    struct rad_replay_input in; /* of the above */
};

struct made_shape {
    int64_t n_seq;
    int32_t n_prefill, n_decode; /* tokens per sequence */
    bool forward_only, has_router;
};

/* 8 layers, d_model 64, a router of 16; any-order paths may take 16 hops. */
struct rad_card made_card(void);

/* Fill m, keys counted by the rule of definitions.md for KV hole, token by token and pair by pair:
 * the slow way, independent of the library. Aborts if memory runs out. */
void made_open(struct made *m, const struct rad_card *card, const struct made_shape *shape,
               made_path path, void *ctx);
void made_close(struct made *m);

/* Paths: all layers; each layer with probability keep; hops layers at random. Draws depend on
 * (seed, seq, pos, ...) only. */
struct made_draw {
    uint64_t seed;
    double keep;  /* made_skip */
    int32_t hops; /* made_wander */
    int32_t n_layer;
};
int32_t made_dense(void *draw, int64_t seq, int32_t pos, struct rad_hop_rec *out);
int32_t made_skip(void *draw, int64_t seq, int32_t pos, struct rad_hop_rec *out);
int32_t made_wander(void *draw, int64_t seq, int32_t pos, struct rad_hop_rec *out);

#endif
