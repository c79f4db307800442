/* act.h - activations and rotations of other families. Included by tensor.h; do not include it
 * alone. */
#ifndef RAD_TENSOR_ACT_H
#define RAD_TENSOR_ACT_H

#include <stddef.h>
#include <stdint.h>

void rad_relu(size_t n, const float *x, float *y);

/* As rad_kernels()->rope, with pairs (2 i, 2 i + 1) of each head instead of (i, i + d/2). */
void rad_rope_pairs(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                    const float *cs, float *x);

#endif
