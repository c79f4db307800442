/* replay_words.h - the words that tests of replay are written in. */
#ifndef RAD_TEST_REPLAY_WORDS_H
#define RAD_TEST_REPLAY_WORDS_H

#include "replay_make.h"

#define WORDS_MACHINE "a100-sxm-80gb"

/* Made traces of 4 sequences with 5 prompt tokens and 6 new ones: layers skipped at random, or 7
 * hops in any order with a router. Close with made_close. */
void open_skips(struct made *m, bool has_router);
void open_wander(struct made *m);

/* Build, and cost on WORDS_MACHINE; a failure stops the test. */
rad_plan *plan_of(const struct rad_replay_input *in, const struct rad_replay_options *opt);
struct rad_plan_info info_of(const struct rad_replay_input *in,
                             const struct rad_replay_options *opt);
struct rad_replay_result replay(const struct rad_replay_input *in,
                                const struct rad_replay_options *opt);

/* Building fails with this status and message. */
void check_refused(const struct rad_replay_input *in, const struct rad_replay_options *opt,
                   enum rad_status status, const char *message);

/* Bytes of one cache entry: K and V of a token in a layer of the made card. */
double entry_bytes(enum rad_dtype dtype);

/* The made card with other dimensions, no router, and so many layers. */
struct rad_card deeper_card(int32_t n_layer);

#endif
