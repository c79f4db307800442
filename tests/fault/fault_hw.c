/* fault_hw.c - a machine without memory. */
#include "fault.h"

#include "hw/hw.h"

static enum rad_status open_and_cost(struct rad_err *err)
{
    const struct rad_op op = rad_op_gemm(16, 1024, 1024, RAD_F16);
    struct rad_cost cost;
    rad_hw *hw = NULL;
    RAD_TRY(rad_hw_open(&hw, "hwprofiles/a100-sxm-80gb.yaml", err));
    const enum rad_status status = rad_hw_cost(hw, &op, &cost, err);
    rad_hw_close(hw);
    return status;
}

const struct fault hw_faults[] = {
    {"rad_hw_open", open_and_cost, NULL},
    {.name = NULL},
};
