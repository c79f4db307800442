/* net_make.h - small random models in Hugging Face layout, for tests of engine and trainer.
 *
 * The weights come from one stream of numbers, so that another program can make the same model
 * (tests/oracle/ref_forward.py does): x = x * 6364136223846793005 + 1442695040888963407 mod 2^64,
 * starting at the seed; each step gives u = (x >> 40) / 2^23 - 1. Tensors take their values in the
 * order of net_make(), row by row: float(offset + scale * u). */
#ifndef RAD_TEST_NET_MAKE_H
#define RAD_TEST_NET_MAKE_H

#include "checkpoint/checkpoint.h"
#include "infer/infer.h"

#include <stdint.h>

enum { NET_TENSORS = 128, NET_VOCAB = 256 };

struct made_net {
    const char *folder; /* created */
    struct rad_model_config config;
    uint64_t seed;
    const char *without; /* leave this tensor out; NULL: none */
    const char *nan;     /* fill this tensor with NaN; NULL: none */
    const char *zero;    /* fill this tensor with zeros; NULL: none */
};

/* A Llama of 4 layers, width 32, 4 heads on 2 key-value heads, bytes; with a router if asked. */
struct rad_model_config net_config(bool router);

/* Write config.json and model.safetensors; a failure ends the test. */
void net_make(const struct made_net *net);

/* net_make, then rad_model_open. */
rad_model *net_open_made(const struct made_net *net);

/* The shortest way to a model: net_config(router) in folder, seed 1. */
rad_model *net_open_plain(const char *folder, bool router);

/* n token ids that look like nothing, the same for the same seed. */
void net_tokens(int32_t *id, int32_t n, uint64_t seed);

/* Options of an engine with one slot for a policy text; a failure ends the test. */
struct rad_engine_options net_options(const rad_model *m, const char *policy, enum rad_kv kv);

#endif
