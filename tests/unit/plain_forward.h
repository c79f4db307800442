/* plain_forward.h - an ordinary transformer, layer after layer, by the kernels of tensor.h: what
 * `dense` through the routed engine must equal bit for bit. */
#ifndef RAD_TEST_PLAIN_FORWARD_H
#define RAD_TEST_PLAIN_FORWARD_H

#include "checkpoint/checkpoint.h"

/* Tokens of n_seq sequences side by side: sequence s has rows first[s] .. first[s + 1]. */
struct plain_input {
    const int32_t *token, *first;
    int32_t n_seq;
};

/* Read the weights of folder and write logits [n][vocab] of all rows. */
void plain_forward(const char *folder, const struct plain_input *in, float *logits);

#endif
