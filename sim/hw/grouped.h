/* grouped.h - products of several groups, and experts, by the closed forms of a class. Private. */
#ifndef RAD_HW_GROUPED_H
#define RAD_HW_GROUPED_H

#include "hw/hw.h"

/* model->cost of an operation whatever its groups: experts are two products and an activation; a
 * class without grouped kernels runs the groups one after the other, all with as many rows as
 * another, or one more. errors: RAD_E_UNSUPPORTED */
enum rad_status rad_grouped_cost(const struct rad_hw_model *model, const void *params,
                                 const struct rad_op *op, struct rad_cost *out);

#endif
