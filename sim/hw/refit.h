/* refit.h - one fit from the rows of one group, with its held-out errors. Private to hw/. */
#ifndef RAD_HW_REFIT_H
#define RAD_HW_REFIT_H

#include "hw/fit.h"
#include "hw/surface.h"

#define RAD_HUBER 1.5 /* of times */

enum { RAD_REFIT_FOLDS = 5, RAD_REFIT_LAW_ROWS = 1000 };

/* Rows of one operation, format and software, as columns. */
struct rad_group_rows {
    size_t n;
    struct rad_work *work;
    double (*x)[RAD_LAW_N_AXIS];
    double *log_s, *weight, *joules;
    double *held_out, *held_joules; /* predicted without the row: ln of its time, its energy or 0 */
    int *fold;                      /* RAD_REFIT_FOLDS and above are never held out */
    uint64_t *shape;                /* equal: held out together */
    size_t *row;
    const char **model, *held_model; /* held_model: the only one that is held out, or NULL */
};

struct rad_refit {
    const struct rad_chip *chip;
    const struct rad_group_rows *rows;
    const struct rad_fit *from; /* parameters and surface to start from, or NULL */
    double param_sd[RAD_LAW_N_PARAM];
    bool fine;                   /* found by rad_refit_group: the finer coordinates of the law */
    const struct rad_fit *prior; /* what the surface is drawn to if it is not fine, or NULL */
    enum rad_dtype dtype;        /* of the rows */
};

/* Law, surface, power and held-out predictions into *fit, whose law is set. Few rows keep the
 * surface of `from`. errors: RAD_E_NOMEM, RAD_E_RANGE */
enum rad_status rad_refit_group(struct rad_refit *r, struct rad_fit *fit, struct rad_err *err);

/* Power and its surface, on those rows index[n] that have an energy; none if they are too few.
 * like: knots, NULL for new ones. errors: RAD_E_NOMEM, RAD_E_RANGE */
enum rad_status rad_refit_power(const struct rad_refit *r, const size_t *index, size_t n,
                                const struct rad_surface *like, struct rad_fit *fit,
                                struct rad_err *err);

/* Whether f says what a surface of `to` is likely to be where its rows are few: of another software
 * on the same part, with finer coordinates. */
bool rad_refit_is_prior(const struct rad_fit *f, const struct rad_fit *to);

/* What r->prior, not NULL, makes likely at the cells of s, whose knots are set, under the law of
 * fit. log_ratio is malloc'ed. errors: RAD_E_NOMEM (refit_prior.c) */
enum rad_status rad_refit_prior(const struct rad_refit *r, const struct rad_fit *fit,
                                struct rad_surface *s, struct rad_err *err);

/* The fit's ln(measured / predicted) of row i. */
double rad_refit_error(const struct rad_refit *r, const struct rad_fit *fit, size_t i);

#endif
