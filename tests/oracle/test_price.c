/* test_price.c - dies, ownership and the basis of energies, against published check values. */
#include "hw/hw.h"
#include "hw/hw_price.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static struct rad_price_own defaults(void)
{
    struct rad_price_own own;
    rad_params_default(rad_price_own_params, &own);
    return own;
}

/* LLMCompass's area model: 7 nm, 0.0015 defects per mm2, alpha 3, 9346 USD a wafer of 300 mm. */
static void dies_cost_what_was_published(void)
{
    static const struct {
        double mm2, usd;
    } dies[] = {{827, 423}, {666, 276}, {478, 151}, {787, 382}, {363, 97}};
    struct rad_price_own own = defaults();
    for (size_t i = 0; i < sizeof dies / sizeof dies[0]; i++) {
        own.die_mm2 = dies[i].mm2;
        CU_ASSERT_DOUBLE_EQUAL(rad_price_die_usd(&own), dies[i].usd, 1.0);
    }
    CU_ASSERT_EQUAL(floor(rad_price_dies_per_wafer(827, 300)), 62);
    CU_ASSERT_DOUBLE_EQUAL(rad_price_yield(827, 0.0015, 3), 0.35, 0.005);
    CU_ASSERT_EQUAL(rad_price_dies_per_wafer(50000, 300), 0);
    CU_ASSERT_EQUAL(rad_price_yield(827, 0, 3), 1);
    own.die_mm2 = 827;
    own.test_frac = 0.5;
    CU_ASSERT_DOUBLE_EQUAL(rad_price_die_usd(&own), 1.5 * 423.7, 1.0);
}

/* 1000 USD at 12 % over a year: twelve payments of 88.85. */
static void interest_is_that_of_an_annuity(void)
{
    CU_ASSERT_DOUBLE_EQUAL(rad_price_interest(1000, 0.12, 1), 12 * 88.8488 - 1000, 0.01);
    CU_ASSERT_EQUAL(rad_price_interest(1000, 0, 3), 0);
}

static void ownership_adds_up(void)
{
    struct rad_price_own own = defaults();
    CU_ASSERT(isnan(rad_price_capital_usd_per_hour(&own, 80e9, 700)));
    own.purchase_usd = 30000;
    own.interest_frac = 0;
    own.dc_opex_usd_per_w_month = 0;
    /* 30000 * 1.05 + 700 W * 10 USD/W * 1.5 / 12, over 13140 hours */
    NEAR(rad_price_capital_usd_per_hour(&own, 80e9, 700), (31500 + 875) / 13140.0, 1e-12);
    const double cheap = rad_price_capital_usd_per_hour(&own, 80e9, 700);
    own.interest_frac = 0.08;
    CU_ASSERT(rad_price_capital_usd_per_hour(&own, 80e9, 700) > cheap);
    own.interest_frac = 0;
    own.utilisation_frac = 0.5;
    NEAR(rad_price_capital_usd_per_hour(&own, 80e9, 700), 2 * cheap, 1e-12);
    own = defaults();
    own.die_mm2 = 827;
    own.memory_usd_per_gb = 10;
    own.rest_usd = 1000;
    CU_ASSERT_DOUBLE_EQUAL(rad_price_hardware_usd(&own, 80e9), 423.7 + 800 + 1000, 1.0);
}

#define FILE_PROFILE "hwprofiles/u280.yaml"
#define OWN "own:\n  purchase: 7500 USD @buy\n"

/* A profile's text with `from` replaced by `to`; malloc'ed. */
static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static enum rad_status parse(rad_hw **hw, const char *from, const char *to)
{
    rad_hw *u280 = NULL;
    OK(rad_hw_open(&u280, FILE_PROFILE, &err));
    char *text = edited(rad_hw_text(u280), from, to);
    const enum rad_status status = rad_hw_parse(hw, text, strlen(text), "edited.yaml", &err);
    free(text);
    rad_hw_close(u280);
    return status;
}

/* Must not: a board's 74 pJ/B beside a table's 1.25 pJ/B of SRAM. */
static void board_and_device_energies_do_not_mix(void)
{
    rad_hw *hw = NULL;
    OK(parse(&hw, "  boards: \"", "  boards: \"derived from: "));
    CU_ASSERT_STRING_EQUAL(rad_hw_energy_basis(hw), "device");
    rad_hw_close(hw);
    CU_ASSERT_EQUAL(parse(&hw, "  boards: \"", "  boards: \"board: "), RAD_E_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "must not be mixed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "edited.yaml:"));
    CU_ASSERT_PTR_NULL(hw);
}

static void own_and_basis_are_checked(void)
{
    rad_hw *hw = NULL;
    OK(parse(&hw, OWN, "own: {die_mm2: 800 @memory}\n"));
    CU_ASSERT(!rad_hw_is_measured(hw));
    CU_ASSERT(rad_hw_owned_usd_per_hour(hw) > 0.0);
    NEAR(rad_hw_usd_per_joule(hw), 1.5 * 0.067 / 3.6e6, 1e-12);
    rad_hw_close(hw);
    OK(parse(&hw, OWN, ""));
    CU_ASSERT(isnan(rad_hw_owned_usd_per_hour(hw)));
    rad_hw_close(hw);
    CU_ASSERT_EQUAL(parse(&hw, "basis: datasheet", "basis: guess"), RAD_E_PARSE);
    CU_ASSERT_EQUAL(parse(&hw, OWN, "own: {pue: 1.2 @memory}\n"), RAD_E_RANGE);
    CU_ASSERT_EQUAL(parse(&hw, OWN, "own: {die_mm2: 9999 @memory, wafer_mm: 100 @memory}\n"),
                    RAD_E_RANGE);
    CU_ASSERT_EQUAL(parse(&hw, OWN, "own: {purchase: 100 W @memory}\n"), RAD_E_PARSE);
}

CU_TestInfo price_tests[] = {
    {"dies cost what was published", dies_cost_what_was_published},
    {"interest is that of an annuity", interest_is_that_of_an_annuity},
    {"ownership adds up", ownership_adds_up},
    {"board and device energies do not mix", board_and_device_energies_do_not_mix},
    {"own and basis are checked", own_and_basis_are_checked},
    CU_TEST_INFO_NULL,
};
