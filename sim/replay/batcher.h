/* batcher.h - which batcher a plan uses. Private to replay. */
#ifndef RAD_REPLAY_BATCHER_H
#define RAD_REPLAY_BATCHER_H

#include "replay/replay.h"

/* name NULL or "auto": `layer` for forward-only paths, else `hop`.
 * errors: RAD_E_ARG (unknown name; `layer` on paths of any order) */
RAD_MUST_CHECK enum rad_status rad_batcher_choose(const struct rad_batcher **out, const char *name,
                                                  bool forward_only, struct rad_err *err);

#endif
