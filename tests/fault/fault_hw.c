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

/* Beside a fit of other software, which says where the surface is likely to be. */
static enum rad_status calibrate_beside(struct rad_err *err)
{
    static const char fit[] =
        "\nfits:\n  - op: gemm\n    format: fp16\n    software: x\n    data: d\n    rows: 9999\n"
        "    ape: 0.1\n    lo: 0.9\n    hi: 1.2\n    law: {floor: 9 us, compute_frac: 0.5, "
        "bandwidth_frac: 0.5, overlap: 2, wave: 0.5, partial: 1, ramp: 9, tile_256x128: 1, "
        "tile_128x256: 1, tile_128x128: 1, tile_64x256: 1, tile_64x128: 1, tile_128x64: 1, "
        "tile_64x64: 1}\n    knots: {m: 1 2 3 4 5 6 7 8 9 10 11 12 4096, n: 1024, k: 1024}\n"
        "    surface: 0 0 0 0 0 0 0 0 0 0 0 0 200\n";
    static struct rad_measured rows[32];
    const struct rad_calibration options = {.data = "made up", .fresh = true};
    struct rad_buf yaml = {0}, text = {0};
    rad_hw *bare = NULL, *hw = NULL;
    for (int i = 0; i < 32; i++) {
        const struct rad_op op = rad_op_gemm(1 << i / 4, 1024 << i % 4, 2048, RAD_F16);
        rows[i] = (struct rad_measured){
            .op = op, .latency_s = 3e-6 + op.flop / 1e14, .software = "made", .row = 1};
    }
    enum rad_status status = rad_hw_open(&bare, "tests/oracle/hw_vectors_gpu.yaml", err);
    if (status == RAD_OK) {
        rad_buf_add(&text, rad_hw_text(bare));
        rad_buf_add(&text, fit);
        status = text.failed ? rad_fail(err, RAD_E_NOMEM, "out of memory for a profile") : RAD_OK;
    }
    if (status == RAD_OK)
        status = rad_hw_parse(&hw, text.data, text.len, "beside", err);
    if (status == RAD_OK)
        status = rad_hw_calibrate(hw, rows, 32, &options, &yaml, err);
    rad_buf_free(&yaml);
    rad_buf_free(&text);
    rad_hw_close(hw);
    rad_hw_close(bare);
    return status;
}

/* Class fits of a machine without fits: the mean of two with surfaces. */
static enum rad_status pool(struct rad_err *err)
{
    static const char fit[] =
        "\nfits:\n  - op: norm\n    format: fp16\n    software: x\n    data: d\n    rows: 10\n"
        "    ape: 0.1\n    lo: 0.9\n    hi: 1.2\n    law: {floor: 9 us, bandwidth_frac: 0.5, "
        "l2_gain: 1, l2_share: 1, row: 1e-8 us, overlap: 1}\n"
        "    knots: {rows: 1 16, width: 1024}\n    surface: 0 200\n";
    rad_hw *hw = NULL, *donor[2] = {NULL, NULL};
    struct rad_buf yaml = {0}, text = {0};
    enum rad_status status = rad_hw_open(&hw, "tests/oracle/hw_vectors_gpu.yaml", err);
    if (status == RAD_OK) {
        rad_buf_add(&text, rad_hw_text(hw));
        rad_buf_add(&text, fit);
        status = text.failed ? rad_fail(err, RAD_E_NOMEM, "out of memory for a profile") : RAD_OK;
    }
    for (int i = 0; i < 2 && status == RAD_OK; i++)
        status = rad_hw_parse(&donor[i], text.data, text.len, "donor", err);
    if (status == RAD_OK)
        status = rad_hw_pool(hw, (const rad_hw *const *)donor, 2, true, &yaml, err);
    rad_buf_free(&yaml);
    rad_buf_free(&text);
    for (int i = 0; i < 2; i++)
        rad_hw_close(donor[i]);
    rad_hw_close(hw);
    return status;
}

const struct fault hw_faults[] = {
    {"rad_hw_open", open_and_cost, NULL},
    {"rad_hw_calibrate", calibrate, NULL},
    {"rad_hw_calibrate beside other software", calibrate_beside, NULL},
    {"rad_hw_pool", pool, NULL},
    {.name = NULL},
};
