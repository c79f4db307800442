/* test_laws_roof.c - no operation of a model takes less than its datasheet allows. */
#include "test.h"

#include "hw/hw_profile.h"
#include "hw/roof.h"

#include <glob.h>
#include <string.h>

static double larger_than_l2(double bytes, const struct rad_chip *chip)
{
    return bytes > chip->l2_bytes ? bytes : 0.0;
}

static void check_op(const rad_hw *hw, const struct rad_op *op, enum rad_rate rate)
{
    const struct rad_hw_ask ask = {NULL, rate};
    struct rad_chip chip = {0};
    struct rad_prediction p;
    if (!rad_hw_supports(hw, op->dtype))
        return;
    hw->model->chip(hw->params, op->dtype, &chip);
    OK(rad_hw_predict_as(hw, op, &ask, &p, &err));
    const double cold = larger_than_l2(op->weight_bytes, &chip) +
                        (op->kv_bytes > chip.l2_bytes ? op->kv_bytes - chip.l2_bytes : 0.0);
    const double most = 1.0 + 1e-12;
    if (p.cost.time_s * most < cold / chip.mem_bytes_per_s ||
        p.cost.time_s * most < op->flop / chip.peak_flop_per_s)
        fprintf(stderr, "%s %s %s: %g s, %g bytes, %g FLOP\n", rad_hw_name(hw),
                rad_op_kind_name(op->kind), rad_dtype_name(op->dtype), p.cost.time_s, cold,
                op->flop);
    CU_ASSERT(p.cost.time_s * most >= cold / chip.mem_bytes_per_s);
    CU_ASSERT(p.cost.time_s * most >= op->flop / chip.peak_flop_per_s);
    CU_ASSERT(p.lo_s <= p.cost.time_s && p.cost.time_s <= p.hi_s);
    CU_ASSERT(rate == RAD_RATE_BURST || p.cost.dynamic_j + p.cost.memory_j + p.cost.static_j <=
                                            rad_hw_tdp_w(hw) * p.cost.time_s * (1.0 + 1e-9));
}

static void check_both(const rad_hw *hw, const struct rad_op *op)
{
    check_op(hw, op, RAD_RATE_SUSTAINED);
    check_op(hw, op, RAD_RATE_BURST);
}

/* Decoding of `batch` sequences of `keys` each, and prefill of one. */
static void check_attention(const rad_hw *hw, enum rad_dtype dtype)
{
    for (int32_t batch = 1; batch <= 256; batch *= 4)
        for (int64_t keys = 64; keys <= 65536; keys *= 8)
            for (int32_t kv_heads = 1; kv_heads <= 32; kv_heads *= 8) {
                const struct rad_attend_shape decode = {batch,    batch * keys, batch * keys, 32,
                                                        kv_heads, 128,          batch};
                const struct rad_attend_shape prefill = {
                    keys, keys * (keys + 1) / 2, keys, 32, kv_heads, 128, 1};
                const struct rad_op ops[] = {rad_op_attend(&decode, dtype),
                                             rad_op_attend(&prefill, dtype)};
                check_both(hw, &ops[0]);
                check_both(hw, &ops[1]);
            }
}

static void check_gemms(const rad_hw *hw, enum rad_dtype dtype)
{
    for (int64_t m = 1; m <= 16384; m *= 4)
        for (int64_t n = 512; n <= 65536; n *= 4)
            for (int64_t k = 512; k <= 32768; k *= 4) {
                struct rad_op op = rad_op_gemm(m, n, k, dtype);
                check_both(hw, &op);
                op.weight_bytes *= 0.25; /* w4a16 */
                check_both(hw, &op);
            }
}

/* Fits of every shipped profile, far beyond their rows too. */
static void nothing_beats_the_datasheet(void)
{
    glob_t found;
    int checked = 0;
    CU_ASSERT_FATAL(glob("hwprofiles/*.yaml", 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        rad_hw *hw = NULL;
        if (strstr(found.gl_pathv[i], "aliases") != NULL)
            continue;
        OK(rad_hw_open(&hw, found.gl_pathv[i], &err));
        for (int d = 0; hw->n_fit > 0 && d < RAD_N_DTYPE; d++) {
            check_attention(hw, (enum rad_dtype)d);
            check_gemms(hw, (enum rad_dtype)d);
        }
        checked += hw->n_fit > 0;
        rad_hw_close(hw);
    }
    globfree(&found);
    CU_ASSERT(checked >= 20);
}

/* Rows that name the software of a measured fit get what that fit says, right or wrong. */
static void own_rows_are_as_measured(void)
{
    const struct rad_fit measured = {.rows = 30.0, .software = "vidur 7d47"};
    const struct rad_fit of_class = {.rows = 0.0, .software = "vidur 7d47"};
    CU_ASSERT(rad_roof_is_own(&measured, "vidur"));
    CU_ASSERT(!rad_roof_is_own(&measured, "vllm 0.22"));
    CU_ASSERT(!rad_roof_is_own(&measured, NULL));
    CU_ASSERT(!rad_roof_is_own(&of_class, "vidur"));
}

CU_TestInfo laws_roof_tests[] = {
    {"nothing beats the datasheet", nothing_beats_the_datasheet},
    {"own rows are as measured", own_rows_are_as_measured},
    CU_TEST_INFO_NULL,
};
