/* test_formats.c - TF32: fp32 in memory, at the rate of matrix units, where a part has it. */
#include "test.h"

#include "hw/hw.h"

#include <string.h>

static rad_hw *open_hw(const char *name)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    return hw;
}

static double time_of(const rad_hw *hw, const struct rad_op *op)
{
    struct rad_cost c;
    OK(rad_hw_cost(hw, op, &c, &err));
    return c.time_s;
}

static void tf32_lies_between_fp32_and_16_bits(void)
{
    static const char *const names[] = {"a100-sxm-80gb",   "a100-pcie-40gb", "h100-sxm-80gb",
                                        "h200-sxm-141gb",  "b200-sxm-180gb", "l40s",
                                        "rtx-pro-6000-ws", "mi300x"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rad_hw *hw = open_hw(names[i]);
        const struct rad_op op[3] = {rad_op_gemm(8192, 8192, 8192, RAD_F32),
                                     rad_op_gemm(8192, 8192, 8192, RAD_TF32),
                                     rad_op_gemm(8192, 8192, 8192, RAD_F16)};
        CU_ASSERT(op[1].weight_bytes == op[0].weight_bytes && op[1].act_bytes == op[0].act_bytes);
        CU_ASSERT(time_of(hw, &op[0]) > 1.5 * time_of(hw, &op[1]));
        CU_ASSERT(time_of(hw, &op[1]) > 1.5 * time_of(hw, &op[2]));
        CU_ASSERT(time_of(hw, &op[1]) < 3.0 * time_of(hw, &op[2]));
        const struct rad_op gemv[2] = {rad_op_gemm(1, 8192, 8192, RAD_TF32),
                                       rad_op_gemm(1, 8192, 8192, RAD_F16)};
        CU_ASSERT(time_of(hw, &gemv[0]) > 1.5 * time_of(hw, &gemv[1])); /* twice the bytes */
        rad_hw_close(hw);
    }
}

/* Only products: everything else is fp32. */
static void the_rest_is_fp32(void)
{
    rad_hw *hw = open_hw("a100-pcie-40gb");
    for (int kind = RAD_OP_NORM; kind < RAD_N_OP_KIND; kind++) {
        const struct rad_op a = rad_op_vector((enum rad_op_kind)kind, 512, 4096, RAD_TF32);
        const struct rad_op b = rad_op_vector((enum rad_op_kind)kind, 512, 4096, RAD_F32);
        CU_ASSERT(a.act_bytes == b.act_bytes && time_of(hw, &a) == time_of(hw, &b));
    }
    rad_hw_close(hw);
}

static void parts_without_it_refuse(void)
{
    static const char *const names[] = {"v100-pcie-32gb", "t4",   "p100-pcie-16gb", "mi210",
                                        "tpu-v5e",        "u280", "xeon-8480",      "mi250x"};
    const struct rad_op op = rad_op_gemm(16, 1024, 1024, RAD_TF32);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rad_hw *hw = open_hw(names[i]);
        struct rad_cost c;
        CU_ASSERT(!rad_hw_supports(hw, RAD_TF32));
        CU_ASSERT(rad_hw_cost(hw, &op, &c, &err) == RAD_E_UNSUPPORTED);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "expected one of "));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "but found tf32"));
        rad_hw_close(hw);
    }
}

CU_TestInfo formats_tests[] = {
    {"tf32 lies between fp32 and 16 bits", tf32_lies_between_fp32_and_16_bits},
    {"the rest is fp32", the_rest_is_fp32},
    {"parts without it refuse", parts_without_it_refuse},
    CU_TEST_INFO_NULL,
};
