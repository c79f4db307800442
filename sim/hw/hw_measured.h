/* hw_measured.h - predictions with intervals, and profiles fitted to measurements. Part of hw.h. */
#ifndef RAD_HW_MEASURED_H
#define RAD_HW_MEASURED_H

#include "base/buf.h"
#include "hw/hw.h"

/* A transfer between `ranks` devices: allreduce allgather reducescatter alltoall sendrecv. */
struct rad_link {
    const char *kind;
    double bytes, ranks;
};

struct rad_fit; /* hw/fit.h */

struct rad_prediction {
    struct rad_cost cost;
    double lo_s, hi_s; /* 80 % of held-out measurements lie between, see the profile's fit */
    bool extrapolated; /* no fit for this operation, or a shape outside those it was fitted on */
    const char *data;  /* what the fit was fitted on; NULL: class defaults */
    const struct rad_fit *fit; /* of the profile, for rad_hw_residual; NULL: class defaults */
};

/* How long the part has been at work. sustained: for seconds, as it serves, under its power limit;
 * burst: a few kernels after a rest, at full clock. Kernels of power-logged runs (those of fits
 * with `power`) were measured sustained, others in bursts. A sustained fit gives bursts by the
 * profile's burst_gain, as far as its board power is at the limit. A burst fit gives sustained
 * times by T = E_dynamic / (tdp - static_power), if that is longer and the energies are those of
 * the board: others do not know when a board meets its limit. Without a fit: that limit, or none.
 */
enum rad_rate { RAD_RATE_SUSTAINED, RAD_RATE_BURST, RAD_N_RATE };
const char *rad_rate_name(enum rad_rate rate); /* "sustained" "burst" */
RAD_MUST_CHECK enum rad_status rad_rate_parse(const char *name, enum rad_rate *out,
                                              struct rad_err *err);

/* rad_hw_cost with an interval. software: words such as "vllm 0.22" that choose among the fits of
 * the profile, NULL for its first. Sustained. errors: RAD_E_UNSUPPORTED */
RAD_MUST_CHECK enum rad_status rad_hw_predict(const rad_hw *hw, const struct rad_op *op,
                                              const char *software, struct rad_prediction *out,
                                              struct rad_err *err);
struct rad_hw_ask {
    const char *software;
    enum rad_rate rate;
};
RAD_MUST_CHECK enum rad_status rad_hw_predict_as(const rad_hw *hw, const struct rad_op *op,
                                                 const struct rad_hw_ask *ask,
                                                 struct rad_prediction *out, struct rad_err *err);
/* errors: RAD_E_UNSUPPORTED (the profile has no fit for such transfers), RAD_E_ARG */
RAD_MUST_CHECK enum rad_status rad_hw_predict_link(const rad_hw *hw, const struct rad_link *link,
                                                   const char *software, struct rad_prediction *out,
                                                   struct rad_err *err);

/* ---- calibrating on measured kernels ------------------------------------------------------ */

struct rad_measured {
    struct rad_op op;
    struct rad_link link; /* instead of op if bytes > 0 */
    double latency_s;
    double energy_j;      /* of the board; 0: not measured */
    const char *software; /* words; rows of equal software are fitted together */
    const char *model;    /* whose layers these are; NULL: of none */
    size_t row;           /* for messages */
};

/* What is held out in turn, never random rows. */
enum rad_held_out {
    RAD_HELD_OUT_SHAPES, /* five parts (GEMM: n and k; attention: heads; vector: width; link: size)
                          */
    RAD_HELD_OUT_MODEL,  /* the largest model of each group; groups without models: nothing */
};

/* Held-out errors of one fit. */
struct rad_fit_report {
    const char *op, *format, *software;               /* valid during the call back */
    double head_dim;                                  /* 0: any */
    const char *model;                                /* that was held out, or NULL */
    size_t rows;                                      /* fitted, or held out with their model */
    double median_ape, mape, p90_ape, bias, coverage; /* fractions; coverage of lo..hi */
    double ratio_coverage;    /* of 80 % intervals of ratios of two rows; NaN: no pairs */
    double energy_median_ape; /* NaN: no energies */
    const char *params;       /* "floor 3.9e-06 (4 %), ..." */
};

struct rad_calibration {
    const char *data; /* name of the data, for the profile */
    bool fresh;       /* start from the law alone, not from the profile's fits */
    size_t points;    /* > 0: fit only on so many rows of each group, evenly spaced */
    enum rad_held_out held_out;
    void (*report)(void *ctx, const struct rad_fit_report *report);
    void (*bad_row)(void *ctx, size_t row, double ratio); /* measured / fitted, far outside */
    void *ctx;
};

/* Fit rows[n] and write to *yaml the profile's text with its fits for those operations replaced.
 * errors: RAD_E_UNSUPPORTED (this class of machine takes no fits), RAD_E_RANGE (too few rows),
 * RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_hw_calibrate(const rad_hw *hw, const struct rad_measured *rows,
                                                size_t n, const struct rad_calibration *options,
                                                struct rad_buf *yaml, struct rad_err *err);

/* Class fits for hw from the measured fits of donors[n], for every kind of fit that hw has none of
 * (none at all if fresh), into *yaml: the profile's text. One donor: its fit as it is, for a board
 * with the same chip. errors: RAD_E_UNSUPPORTED, RAD_E_RANGE (too many kinds), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_hw_pool(const rad_hw *hw, const rad_hw *const *donors, size_t n,
                                           bool fresh, struct rad_buf *yaml, struct rad_err *err);

#endif
