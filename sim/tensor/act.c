/* act.c - activations and rotations of other families; see act.h. */
#include "tensor/tensor.h"

void rad_relu(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* Pair i by the angle whose cosine and sine are cs[i] and cs[d/2 + i]. */
static void turn_pairs(int32_t n_pair, const float *restrict cs, float *restrict x)
{
    for (int32_t i = 0; i < n_pair; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], c = cs[i], s = cs[n_pair + i];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = b * c + a * s;
    }
}

void rad_rope_pairs(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                    const float *cs, float *x)
{
    for (size_t r = 0; r < n_row; r++, x += ld)
        for (int32_t h = 0; h < n_head; h++)
            turn_pairs(d_head / 2, cs + (size_t)pos[r] * (size_t)d_head,
                       x + (size_t)h * (size_t)d_head);
}
