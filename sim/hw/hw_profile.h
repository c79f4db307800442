/* hw_profile.h - what a loaded profile is. Private to hw/. */
#ifndef RAD_HW_PROFILE_H
#define RAD_HW_PROFILE_H

#include "hw/fit.h"
#include "hw/hw.h"
#include "hw/hw_energy.h"
#include "hw/hw_price.h"

/* The values that every profile has, whatever its model. */
struct machine {
    double memory_bytes, usd_per_hour, static_w, tdp_w, layer_overhead_s, step_overhead_s;
    double error_frac; /* NaN: that of the class */
    double link_byte_j;
    double burst_gain; /* 1: not known */
};

struct rad_hw {
    const struct rad_hw_model *model;
    char name[RAD_HW_NAME], hash[17];
    char *text, *about;
    struct rad_fit *fits; /* [n_fit] */
    size_t n_fit;
    struct machine machine;
    struct rad_price_own own; /* all NaN without an own: section */
    enum rad_energy_basis energy;
    bool measured;
    max_align_t params[]; /* model->params_bytes */
};

#endif
