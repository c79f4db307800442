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

/* 70 rows: a law, a surface, and both again without each fifth. */
static enum rad_status calibrate(struct rad_err *err)
{
    static struct rad_measured rows[70];
    const struct rad_calibration options = {.data = "made up", .fresh = true};
    struct rad_buf yaml = {0};
    rad_hw *hw = NULL;
    for (int i = 0; i < 70; i++) {
        const struct rad_op op =
            rad_op_vector(RAD_OP_NORM, 1 << i / 7, 1024 * (i % 7 + 1), RAD_F16);
        rows[i] = (struct rad_measured){
            .op = op, .latency_s = 3e-6 + op.act_bytes / 1e12, .software = "made", .row = 1};
    }
    RAD_TRY(rad_hw_open(&hw, "tests/oracle/hw_vectors_gpu.yaml", err));
    const enum rad_status status = rad_hw_calibrate(hw, rows, 70, &options, &yaml, err);
    rad_buf_free(&yaml);
    rad_hw_close(hw);
    return status;
}

/* Class fits of a machine without fits: means of two with surfaces. */
static enum rad_status pool(struct rad_err *err)
{
    rad_hw *hw = NULL, *a = NULL, *b = NULL;
    struct rad_buf yaml = {0};
    enum rad_status status = rad_hw_open(&hw, "tests/oracle/hw_vectors_gpu.yaml", err);
    if (status == RAD_OK)
        status = rad_hw_open(&a, "hwprofiles/rtx-a6000.yaml", err);
    if (status == RAD_OK)
        status = rad_hw_open(&b, "hwprofiles/rtx-3090.yaml", err);
    const rad_hw *const donors[] = {a, b};
    if (status == RAD_OK)
        status = rad_hw_pool(hw, donors, 2, true, &yaml, err);
    rad_buf_free(&yaml);
    rad_hw_close(b);
    rad_hw_close(a);
    rad_hw_close(hw);
    return status;
}

const struct fault hw_faults[] = {
    {"rad_hw_open", open_and_cost, NULL},
    {"rad_hw_calibrate", calibrate, NULL},
    {"rad_hw_pool", pool, NULL},
    {.name = NULL},
};
