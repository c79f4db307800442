/* act.h - activations of older families. Included by tensor.h; do not include it alone. */
#ifndef RAD_TENSOR_ACT_H
#define RAD_TENSOR_ACT_H

#include <stddef.h>

void rad_relu(size_t n, const float *x, float *y);
void rad_gelu_exact(size_t n, const float *x, float *y); /* x/2 (1 + erf(x / sqrt 2)) */

#endif
