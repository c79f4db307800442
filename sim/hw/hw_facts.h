/* hw_facts.h - what a profile says besides times: a part of hw.h, which includes it. */
#ifndef RAD_HW_FACTS_H
#define RAD_HW_FACTS_H

#include "base/param.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct rad_hw rad_hw;

/* 80 % of operations take between 1/(1 + error) and 1 + error of the predicted time, where no fit
 * says better: by the profile, or that of its class. */
double rad_hw_error_frac(const rad_hw *hw);
bool rad_hw_is_measured(const rad_hw *hw);         /* by "basis: measured"; else class defaults */
const char *rad_hw_energy_basis(const rad_hw *hw); /* "device" "board" "derived": hw_energy.h */

/* To own instead of to rent (hw_price.h): capital per hour in use, and each joule. NaN: no own:
 * section in the profile. */
const struct rad_param *rad_hw_own_params(void);
const void *rad_hw_own(const rad_hw *hw);
double rad_hw_owned_usd_per_hour(const rad_hw *hw);
double rad_hw_usd_per_joule(const rad_hw *hw);

/* Seconds of a transfer of kind allreduce allgather reducescatter alltoall sendrecv among ranks
 * devices by the closed form of the class; false: it has none, or the profile no links. */
bool rad_hw_link_time(const rad_hw *hw, const char *kind, double bytes, double ranks,
                      double *time_s);

/* A skipped layer takes the time of an executed one: a spatial pipeline whose stages tokens cannot
 * go around. The energy of its arithmetic and weights is saved. */
bool rad_hw_skips_pay(const rad_hw *hw);

/* Joules of bytes that leave the device over its links: link_energy of the profile, 0 if none. */
double rad_hw_link_j(const rad_hw *hw, double bytes);

/* A law fitted to measured kernels, one of rad_hw_n_fit in the order of the profile. Texts are the
 * profile's. */
struct rad_hw_fit_fact {
    const char *op, *format, *software, *data, *law;
    double head_dim;           /* of attention; 0: any */
    double rows;               /* that it was fitted to; 0: the mean of other parts */
    double median_ape;         /* of held-out rows */
    double lo_ratio, hi_ratio; /* 80 % of held-out rows: measured over predicted */
};
size_t rad_hw_n_fit(const rad_hw *hw);
struct rad_hw_fit_fact rad_hw_fit_at(const rad_hw *hw, size_t i);

#endif
