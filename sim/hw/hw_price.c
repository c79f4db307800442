/* hw_price.c - the equations of hw_price.h. */
#include "hw/hw_price.h"

#include <math.h>

#define P(field) offsetof(struct rad_price_own, field)
#define NONE ((double)NAN)

const struct rad_param rad_price_own_params[] = {
    {"purchase", P(purchase_usd), RAD_DIM_USD, 1, 1e7, NONE,
     "price of one device with its share of the server"},
    {"die_mm2", P(die_mm2), RAD_DIM_ONE, 1, 20000, NONE, "area of one die, mm2"},
    {"dies", P(dies), RAD_DIM_INT, 1, 64, 1, "dies of this kind in a device"},
    {"defects_per_mm2", P(defects_per_mm2), RAD_DIM_ONE, 0, 0.1, 0.0015, "defect density"},
    {"clustering", P(clustering), RAD_DIM_ONE, 0.1, 100, 3, "clustering of defects, alpha"},
    {"wafer", P(wafer_usd), RAD_DIM_USD, 100, 1e5, 9346, "price of a wafer"},
    {"wafer_mm", P(wafer_mm), RAD_DIM_ONE, 100, 450, 300, "diameter of a wafer, mm"},
    {"test", P(test_frac), RAD_DIM_ONE, 0, 10, 0, "test and package as a share of the die"},
    {"memory_usd_per_gb", P(memory_usd_per_gb), RAD_DIM_ONE, 0, 1e3, 0, "USD per GB of memory"},
    {"rest", P(rest_usd), RAD_DIM_USD, 0, 1e6, 0, "board and share of the server"},
    {"life_years", P(life_y), RAD_DIM_ONE, 0.1, 20, 1.5, "life of the server"},
    {"opex", P(opex_frac), RAD_DIM_ONE, 0, 1, 0.05, "upkeep over the life, share of the price"},
    {"interest", P(interest_frac), RAD_DIM_ONE, 0, 1, 0.08, "interest per year"},
    {"utilisation", P(utilisation_frac), RAD_DIM_ONE, 0.01, 1, 1, "share of hours in use"},
    {"dc_capex_usd_per_w", P(dc_capex_usd_per_w), RAD_DIM_ONE, 0, 1e3, 10,
     "price of a data centre per watt, USD"},
    {"dc_life_years", P(dc_life_y), RAD_DIM_ONE, 1, 50, 12, "life of the data centre"},
    {"dc_opex_usd_per_w_month", P(dc_opex_usd_per_w_month), RAD_DIM_ONE, 0, 10, 0.04,
     "upkeep of the data centre per watt and month, USD"},
    {"pue", P(pue), RAD_DIM_ONE, 1, 5, 1.5, "power of the data centre over that of its servers"},
    {"usd_per_kwh", P(kwh_usd), RAD_DIM_ONE, 0, 10, 0.067, "price of electricity"},
    RAD_PARAM_END,
};

static const double pi = 3.14159265358979323846;

double rad_price_dies_per_wafer(double area_mm2, double wafer_mm)
{
    const double radius = wafer_mm / 2.0;
    const double dies = pi * radius * radius / area_mm2 - pi * wafer_mm / sqrt(2.0 * area_mm2);
    return fmax(dies, 0.0);
}

double rad_price_yield(double area_mm2, double defects_per_mm2, double clustering)
{
    return pow(1.0 + area_mm2 * defects_per_mm2 / clustering, -clustering);
}

double rad_price_interest(double principal, double rate_per_year, double years)
{
    const double month = rate_per_year / 12.0, n = 12.0 * years;
    if (!(month > 0.0))
        return 0.0;
    return n * principal * month / (1.0 - pow(1.0 + month, -n)) - principal;
}

double rad_price_die_usd(const struct rad_price_own *own)
{
    const double good = rad_price_dies_per_wafer(own->die_mm2, own->wafer_mm) *
                        rad_price_yield(own->die_mm2, own->defects_per_mm2, own->clustering);
    return own->wafer_usd / good * (1.0 + own->test_frac);
}

double rad_price_hardware_usd(const struct rad_price_own *own, double memory_bytes)
{
    if (!isnan(own->purchase_usd))
        return own->purchase_usd;
    return own->dies * rad_price_die_usd(own) + memory_bytes / 1e9 * own->memory_usd_per_gb +
           own->rest_usd;
}

double rad_price_capital_usd_per_hour(const struct rad_price_own *own, double memory_bytes,
                                      double tdp_w)
{
    const double hardware = rad_price_hardware_usd(own, memory_bytes), years = own->life_y;
    const double housing = tdp_w * own->dc_capex_usd_per_w * years / own->dc_life_y;
    const double total = hardware * (1.0 + own->opex_frac) +
                         rad_price_interest(hardware, own->interest_frac, years) + housing +
                         rad_price_interest(housing, own->interest_frac, years) +
                         tdp_w * own->dc_opex_usd_per_w_month * 12.0 * years;
    return total / (8760.0 * years * own->utilisation_frac);
}
