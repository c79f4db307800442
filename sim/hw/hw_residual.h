/* hw_residual.h - what predictions for one machine err by together, for intervals of ratios. Part
 * of hw.h, which includes it.
 *
 * ln(measured / predicted) of an operation is taken as the sum of independent normal parts: one of
 * its whole fit, one of its shape (of weights, heads or width; whatever the rows), one of near
 * shapes (the same shape, and the same octave of every coordinate of the fit), and its own. Their
 * shares of the variance are estimated from held-out rows when a fit is made. In a ratio of two
 * sums of operations, A / B, the logarithm moves by sum over parts of r (seconds with that part in
 * A / A - seconds with that part in B / B) to first order, so that what both sides share cancels:
 * no draws, a closed form. */
#ifndef RAD_HW_RESIDUAL_H
#define RAD_HW_RESIDUAL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct rad_hw rad_hw;
struct rad_op;
struct rad_prediction;

enum rad_residual_part {
    RAD_RESIDUAL_FIT,
    RAD_RESIDUAL_SHAPE,
    RAD_RESIDUAL_NEAR,
    RAD_RESIDUAL_OWN,
    RAD_N_RESIDUAL
};

/* 80 % of a normal error lie within so many standard deviations. */
#define RAD_RESIDUAL_Z80 1.2815515655446004

struct rad_residual {
    double sd;                         /* of ln(measured / predicted) */
    double share_frac[RAD_N_RESIDUAL]; /* of sd^2; sum 1 */
    uint64_t key[RAD_N_RESIDUAL];      /* operations with the same key share that part */
};

/* The residual of a prediction that rad_hw_predict made for op on hw. No allocation. */
void rad_hw_residual(const rad_hw *hw, const struct rad_op *op, const struct rad_prediction *p,
                     struct rad_residual *out);

/* That of an overhead of the profile, `which` of several: it errs by the class's interval, the
 * same way wherever it occurs. */
void rad_hw_residual_overhead(const rad_hw *hw, int which, struct rad_residual *out);

/* Standard deviation of ln(a / b) of two operations. */
double rad_residual_pair_sd(const struct rad_residual *a, const struct rad_residual *b);

/* Sums of seconds by part, for two sides. cell[size], zeroed by rad_residual_clear, is the
 * caller's; size a power of two, best at least twice the operations. Where it is full, further
 * parts are taken as shared by nobody. */
struct rad_residual_cell {
    uint64_t key; /* 0: empty */
    double sum[2];
};
struct rad_residual_sum {
    struct rad_residual_cell *cell;
    size_t size, used;
    double alone[2]; /* squares of what found no cell */
};
void rad_residual_clear(struct rad_residual_sum *s);
void rad_residual_add(struct rad_residual_sum *s, const struct rad_residual *r, int side,
                      double seconds);

/* Standard deviation of ln(A / B), total_s[2] being the seconds of A and B. */
double rad_residual_ratio_sd(const struct rad_residual_sum *s, const double total_s[2]);

#endif
