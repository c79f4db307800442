/* hw_part.c - checks shared by the hardware models. */
#include "hw/hw_part.h"

static enum rad_status check_pair(struct rad_part_set a, struct rad_part_set b, struct rad_err *err)
{
    for (unsigned i = 0; i < RAD_N_DTYPE; i++) {
        const bool has_a = a.values->of[i] > 0.0, has_b = b.values->of[i] > 0.0;
        if (has_a == has_b)
            continue;
        const char *name = rad_dtype_name((enum rad_dtype)i);
        return rad_fail(err, RAD_E_RANGE, "%s.%s: expected a value because %s.%s is set",
                        has_a ? b.key : a.key, name, has_a ? a.key : b.key, name);
    }
    return RAD_OK;
}

enum rad_status rad_part_check_sets(struct rad_part_set rates, const struct rad_part_set *others,
                                    size_t n, struct rad_err *err)
{
    bool any = false;
    for (unsigned i = 0; i < RAD_N_DTYPE; i++)
        any = any || rates.values->of[i] > 0.0;
    if (!any)
        return rad_fail(err, RAD_E_RANGE, "%s: expected at least one number format but found none",
                        rates.key);
    for (size_t i = 0; i < n; i++)
        RAD_TRY(check_pair(rates, others[i], err));
    return RAD_OK;
}
