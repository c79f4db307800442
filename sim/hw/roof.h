/* roof.h - the least that an operation takes, whatever a fit says. Private to hw/.
 *
 * A fit repeats what it was fitted on, right or wrong, and its surface goes on beyond the last row:
 * rows of decoding on the RTX A6000 (LLMServingSim v0) read keys at ten times the bandwidth of its
 * memory, so their sequences must have shared one cache. A model's sequences do not. */
#ifndef RAD_HW_ROOF_H
#define RAD_HW_ROOF_H

#include "hw/fit.h"

/* Whether a caller asks for what the fit's own rows say, right or wrong: `software` (NULL: none is
 * named) has the first word of the fit's. */
bool rad_roof_is_own(const struct rad_fit *fit, const char *software);

/* Raise the times to FLOP / peak, and to weights larger than L2 and the keys that L2 cannot hold
 * over the bandwidth of memory. */
void rad_roof_keep(const struct rad_chip *chip, const struct rad_work *work, struct rad_cost *c);

#endif
