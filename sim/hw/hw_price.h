/* hw_price.h - what a machine costs its owner. Private to hw/, and to its tests.
 *
 * Die (area A mm2, wafer of diameter d mm, D0 defects per mm2, clustering a):
 *   dies per wafer = pi (d/2)^2 / A - pi d / sqrt(2 A)          yield = (1 + A D0 / a)^-a
 *   die cost = wafer / (dies yield) (1 + test)
 * Hardware of one device:
 *   hardware = purchase, or dies die_cost + memory memory_price + rest (board, its share of server)
 * Ownership over the life L (years), P the power limit:
 *   capital = hardware (1 + opex) + interest(hardware, L)
 *           + P dc_capex L / dc_life + interest of that part + P dc_opex 12 L
 *   interest(x, L): of an annuity of monthly payments, 12 L x i / (1 - (1 + i)^(-12 L)) - x,
 *   i = interest / 12
 *   owned = capital / (8760 h L utilisation) per hour in use, and the energy drawn PUE kWh price
 *
 * Sources: yield (negative binomial) and wafer prices: ttm-cas; ownership: reallm, with the
 * figures of its defaults; dc_opex recalled from Barroso and Hoelzle, unverified. */
#ifndef RAD_HW_PRICE_H
#define RAD_HW_PRICE_H

#include "base/param.h"

/* Dies that one wafer of this diameter holds, edges lost. 0 if the die is too large. */
double rad_price_dies_per_wafer(double area_mm2, double wafer_mm);
double rad_price_yield(double area_mm2, double defects_per_mm2, double clustering);

/* Interest paid until `principal` is paid back in equal monthly payments over `years`. */
double rad_price_interest(double principal, double rate_per_year, double years);

/* The `own:` section of a profile; NaN: not given. Areas in mm2, times in years. */
struct rad_price_own {
    double purchase_usd;
    double die_mm2, dies, defects_per_mm2, clustering, wafer_usd, wafer_mm, test_frac;
    double memory_usd_per_gb, rest_usd;
    double life_y, opex_frac, interest_frac, utilisation_frac;
    double dc_capex_usd_per_w, dc_life_y, dc_opex_usd_per_w_month;
    double pue, kwh_usd;
};

extern const struct rad_param rad_price_own_params[];

double rad_price_die_usd(const struct rad_price_own *own); /* NaN: no die in the profile */
double rad_price_hardware_usd(const struct rad_price_own *own, double memory_bytes);

/* Capital per hour in use. NaN if there is no hardware price. */
double rad_price_capital_usd_per_hour(const struct rad_price_own *own, double memory_bytes,
                                      double tdp_w);

#endif
