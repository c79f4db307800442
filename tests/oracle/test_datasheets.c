/* test_datasheets.c - profiles against datasheet figures, and mistakes of other tools' tables.
 *
 * The committed rows are figures that other tools got wrong. All rows of hwspecs.csv are compared
 * where ../shared is there. */
#include "hw/hw.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* A parameter of the profile's own model; NaN if it has none of that name. */
static double param(const rad_hw *hw, const char *key)
{
    double value = (double)NAN;
    const struct rad_param *p = rad_param_find(rad_hw_model(hw)->params, key);
    if (p != NULL)
        memcpy(&value, (const char *)rad_hw_params(hw) + p->offset, sizeof value);
    return value;
}

static double param_of(const char *name, const char *key)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    const double value = param(hw, key);
    rad_hw_close(hw);
    return value;
}

/* Must not: 2039 GB/s taken as GiB (7 % more), or 820 GiB/s as GB (7 % less); the H100 SXM at the
 * 3072 GB/s of two tools; MI250X and H100 with int4 at twice int8, which they do not have; an OPT
 * or a Llama layer is not the profile's business. */
static void figures_that_others_got_wrong(void)
{
    static const char *const no_int4[] = {"h100-sxm-80gb", "h200-sxm-141gb", "mi250x", "mi210",
                                          "b200-sxm-180gb"};
    CU_ASSERT_EQUAL(param_of("a100-sxm-80gb", "bandwidth"), 2039e9);
    CU_ASSERT_EQUAL(param_of("h100-sxm-80gb", "bandwidth"), 3350e9);
    CU_ASSERT_EQUAL(param_of("inferentia2", "bandwidth"), 820.0 * 1073741824.0);
    CU_ASSERT_EQUAL(param_of("a100-sxm-80gb", "peak.fp16"), 312e12);
    for (size_t i = 0; i < sizeof no_int4 / sizeof no_int4[0]; i++) {
        rad_hw *hw = NULL;
        OK(rad_hw_open(&hw, no_int4[i], &err));
        CU_ASSERT(!rad_hw_supports(hw, RAD_INT4));
        rad_hw_close(hw);
    }
}

/* Must not: static power as percent (100 times the energy); a 6.3 ms step at 400 W is at most
 * 2.5 J, not 126. Must not: bytes counted in elements (a GEMM bound by memory twice too fast):
 * 64 x 12288 x 12288 in fp16 takes 149.7 us of an A100's bandwidth, not 74.8. */
static void energy_and_bytes_have_their_units(void)
{
    rad_hw *hw = NULL;
    struct rad_cost c;
    const struct rad_op op = rad_op_gemm(64, 12288, 12288, RAD_F16);
    OK(rad_hw_open(&hw, "a100-sxm-80gb", &err));
    OK(rad_hw_cost(hw, &op, &c, &err));
    CU_ASSERT(c.time_s >= 149.7e-6);
    CU_ASSERT(c.static_j + c.dynamic_j + c.memory_j <= 400.0 * c.time_s * (1.0 + 1e-9));
    CU_ASSERT(c.static_j + c.dynamic_j + c.memory_j >= 50.0 * c.time_s);
    rad_hw_close(hw);
}

/* Above the power limit time stretches to T = E_dynamic / (TDP - P_static), in every class. */
static void time_stretches_at_the_power_limit(void)
{
    static const char *const names[] = {"h100-sxm-80gb", "tpu-v4", "u280", "epyc-9654"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rad_hw *hw = NULL, *whole = NULL, *starved = NULL;
        struct rad_cost c, s;
        OK(rad_hw_open(&whole, names[i], &err));
        const double static_w = rad_hw_static_w(whole);
        char *text = strdup(rad_hw_text(whole)), tdp[32];
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        char *fits = strstr(text, "\nfits:"); /* measured times hold the limit already */
        if (fits != NULL)
            fits[1] = '\0';
        OK(rad_hw_parse(&hw, text, strlen(text), "whole.yaml", &err));
        char *at = strstr(text, "  tdp: ");
        while (at != NULL && (at[7] < '0' || at[7] > '9')) /* a source may be called so too */
            at = strstr(at + 1, "  tdp: ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        const size_t len = strcspn(at, "W");
        snprintf(tdp, sizeof tdp, "  tdp: %-*.4g", (int)len - 7, static_w + 5.0);
        memcpy(at, tdp, len);
        OK(rad_hw_parse(&starved, text, strlen(text), "starved.yaml", &err));
        const struct rad_op op = rad_op_gemm(4096, 4096, 4096, RAD_F32);
        OK(rad_hw_cost(hw, &op, &c, &err));
        OK(rad_hw_cost(starved, &op, &s, &err));
        CU_ASSERT(s.time_s > c.time_s);
        const double room_w = rad_hw_tdp_w(starved) - static_w;
        NEAR(s.time_s, (s.dynamic_j + s.memory_j) / room_w, 1e-9);
        free(text);
        rad_hw_close(whole);
        rad_hw_close(hw);
        rad_hw_close(starved);
    }
}

enum { N_COLUMN = 10 };

static void compare(const char *profile, char *const cell[N_COLUMN])
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, profile, &err));
    const struct {
        const char *what;
        double want, got;
    } rows[] = {
        {"fp16", strtod(cell[1], NULL) * 1e12, param(hw, "peak.fp16")},
        {"bandwidth", strtod(cell[4], NULL) * 1e9, param(hw, "bandwidth")},
        {"tdp", strtod(cell[7], NULL), rad_hw_tdp_w(hw)},
        {"memory", strtod(cell[8], NULL) * 1e9, rad_hw_memory_bytes(hw)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!(rows[i].want > 0.0))
            continue;
        const bool same = fabs(rows[i].got / rows[i].want - 1.0) < 0.005;
        if (!same)
            fprintf(stderr, "\n%s: %s: expected %g but found %g\n", profile, rows[i].what,
                    rows[i].want, rows[i].got);
        CU_ASSERT(same);
    }
    rad_hw_close(hw);
}

/* The variants that share a profile (A100-80GB is the SXM part) agree with it too. */
static void every_device_of_the_table_has_a_profile(void)
{
    const char *shared = getenv("SHARED");
    char path[512], line[512], *cell[N_COLUMN];
    int n = 0;
    snprintf(path, sizeof path, "%s/measured/hwspecs.csv", shared ? shared : "../shared");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        printf("skipped: no %s ", path);
        return;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file) != NULL) {
        char name[RAD_HW_NAME], *p = line;
        for (int i = 0; i < N_COLUMN; i++) {
            cell[i] = p;
            p += strcspn(p, ",");
            CU_ASSERT_FATAL(*p == ',');
            *p++ = '\0';
        }
        OK(rad_hw_alias(cell[0], name, &err));
        compare(name, cell);
        n++;
    }
    fclose(file);
    CU_ASSERT(n >= 29);
}

CU_TestInfo datasheets_tests[] = {
    {"figures that others got wrong", figures_that_others_got_wrong},
    {"energy and bytes have their units", energy_and_bytes_have_their_units},
    {"time stretches at the power limit", time_stretches_at_the_power_limit},
    {"every device of the table has a profile", every_device_of_the_table_has_a_profile},
    CU_TEST_INFO_NULL,
};
