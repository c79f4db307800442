/* test_hw_profile.c - wrong profiles say where and what; measured rates become a host profile. */
#include "refuse.h"
#include "test.h"

#include "base/io.h"
#include "hw/hw.h"

#include <stdlib.h>
#include <string.h>

/* The profile at path with the first `from` replaced by `to`, read under the name t.yaml. */
static enum rad_status parse_changed(const char *path, const char *from, const char *to)
{
    char *text = NULL, changed[8192];
    rad_hw *hw = NULL;
    OK(rad_file_read(path, sizeof changed / 2, &text, NULL, &err));
    const char *at = strstr(text, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    const enum rad_status status = rad_hw_parse(&hw, changed, strlen(changed), "t.yaml", &err);
    CU_ASSERT_EQUAL(hw == NULL, status != RAD_OK);
    rad_hw_close(hw);
    free(text);
    return status;
}

/* message: how the message starts (a quoted value may keep the blank before its '@'). */
struct change {
    const char *from, *to, *message;
    enum rad_status status;
};

static void check_changes(const char *path, const struct change *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        err.msg[0] = '\0';
        CU_ASSERT_EQUAL(parse_changed(path, rows[i].from, rows[i].to), rows[i].status);
        const bool same = strncmp(err.msg, rows[i].message, strlen(rows[i].message)) == 0;
        if (!same)
            fprintf(stderr, "\nexpected '%s'\n but found '%s'\n", rows[i].message, err.msg);
        CU_ASSERT(same);
    }
}

#define CHECK_CHANGES(path, rows) check_changes(path, rows, sizeof(rows) / sizeof(rows)[0])

static void profile_errors_say_where_and_what(void)
{
    static const struct change rows[] = {
        {"peak.fp32: 20 TFLOP/s", "peek.fp32: 20 TFLOP/s",
         "t.yaml:13:3: unknown key 'peek.fp32'; did you mean 'peak.fp32'", RAD_E_PARSE},
        {"peak.fp32: 20 TFLOP/s", "peak.fp32: 20 TB/s",
         "t.yaml:13:14: 'peak.fp32': expected a value in FLOP/s but found '20 TB/s", RAD_E_PARSE},
        {"peak.fp32: 20 TFLOP/s @made-up", "peak.fp32: 20 TFLOP/s",
         "t.yaml:13:14: '20 TFLOP/s' names no source; add '@name' after the value", RAD_E_PARSE},
        {"peak.fp32: 20 TFLOP/s @made-up", "peak.fp32: 20 TFLOP/s @datasheet",
         "t.yaml:13:14: '@datasheet' is not among the sources of this file; add it there",
         RAD_E_PARSE},
        {"peak.fp32: 20 TFLOP/s", "peak.fp32: nan TFLOP/s",
         "t.yaml:13:14: 'peak.fp32': expected a number but found 'nan TFLOP/s", RAD_E_PARSE},
        {"peak.fp32: 20 TFLOP/s", "peak.fp32: 20",
         "t.yaml:13:14: 'peak.fp32': expected a value in FLOP/s but found '20", RAD_E_PARSE},
        {"bandwidth: 2 TB/s", "bandwidth: -2 TB/s",
         "t.yaml:19:14: 'bandwidth' must be in 1e+09..1e+15 B/s but is -2e+12", RAD_E_RANGE},
        {"bandwidth_frac: 85 %", "bandwidth_frac: 185 %",
         "t.yaml:20:19: 'bandwidth_frac' must be in 0.01..1 but is 1.85", RAD_E_RANGE},
        {"units: 108 @made-up", "units: 108 @made-up\n  units: 108 @made-up",
         "t.yaml:29:3: 'units' is set twice, first in line 28", RAD_E_PARSE},
        {"units: 108 @made-up", "",
         "t.yaml:13:3: missing required key 'units' (parallel units (SM or CU))", RAD_E_RANGE},
        {"units: 108", "units: 1.5",
         "t.yaml:28:10: 'units': expected a whole number but found '1.5", RAD_E_RANGE},
        {"tdp: 400 W", "tdp: 40 W",
         "t.yaml:9:8: tdp: expected more than static_power 50 W but found 40 W", RAD_E_RANGE},
        {"memory: 80 GB", "memory: 80 G",
         "t.yaml:6:11: 'memory': expected a value in B but found '80 G", RAD_E_PARSE},
        {"  tdp: 400 W @made-up\n", "", "t.yaml:6:3: missing required key 'tdp' (power limit)",
         RAD_E_RANGE},
        {"compute_frac.fp32: 90 % @made-up",
         "compute_frac.fp32: 90 % @made-up\n  peak.fp8: 1 PFLOP/s @made-up",
         "t.yaml:13:3: compute_frac.fp8: expected a value because peak.fp8 is set", RAD_E_RANGE},
        {"flop_energy.fp32: 10 pJ/FLOP @made-up", "",
         "t.yaml:13:3: flop_energy.fp32: expected a value because peak.fp32 is set", RAD_E_RANGE},
        {"l2_bandwidth: 6 TB/s", "l2_bandwidth: 1 TB/s",
         "t.yaml:23:17: l2_bandwidth: expected at least bandwidth 2e+12 B/s but found 1e+12 B/s",
         RAD_E_RANGE},
        {"model: gpu", "model: gpus",
         "t.yaml:2:8: unknown hardware model 'gpus'; did you mean 'gpu'", RAD_E_UNSUPPORTED},
        {"model: gpu", "model: \"gpu\\n\"", "t.yaml:2:8: unknown hardware model 'gpu?'",
         RAD_E_UNSUPPORTED},
        {"model: gpu", "model: fpga", "t.yaml:12:1: unknown key 'gpu'", RAD_E_PARSE},
        {"model: gpu\n", "", "t.yaml:2:1: missing required key 'model'", RAD_E_RANGE},
        {"sources: {made-up: no real part}", "sources: made-up",
         "t.yaml:4:10: sources: expected a mapping of names to texts", RAD_E_PARSE},
        {"about: made-up gpu for the oracle\n", "", "t.yaml:2:1: missing required key 'about'",
         RAD_E_RANGE},
        {"machine:", "machines:", "t.yaml:5:1: unknown key 'machines'; did you mean 'machine'",
         RAD_E_PARSE},
        {"gpu:\n", "gpu: &a\n", "t.yaml:12:6: anchors (&name) are not supported; remove it",
         RAD_E_PARSE},
    };
    CHECK_CHANGES("tests/oracle/hw_vectors_gpu.yaml", rows);
}

static void designs_that_do_not_fit_are_refused(void)
{
    static const struct change rows[] = {
        {"lanes.int8: 8192", "lanes.int8: 20000",
         "t.yaml:14:15: lanes.int8: the design does not fit: it needs 10000 DSP but 6768 can be "
         "used; "
         "at most 13536 lanes fit",
         RAD_E_RANGE},
        {"lanes.fp16: 2048", "lanes.fp16: 3000",
         "t.yaml:13:15: lanes.fp16: the design does not fit: it needs 7500 DSP but 6768 can be "
         "used; at "
         "most 2707 lanes fit",
         RAD_E_RANGE},
        {"lut: 1300000", "lut: 500000",
         "t.yaml:13:15: lanes.fp16: the design does not fit: it needs 507200 LUT but 400000 can be "
         "used",
         RAD_E_RANGE},
        {"act_buffer: 1 MB", "act_buffer: 20 MB",
         "t.yaml:28:15: act_buffer: the design does not fit: buffers and pinned weights need 40.00 "
         "MB of "
         "on-chip RAM but 32.25 MB can be used",
         RAD_E_RANGE},
        {"pack.int8: 2 @made-up", "",
         "t.yaml:13:3: pack.int8: expected a value because lanes.int8 is set", RAD_E_RANGE},
        {"vector_len: 128", "vector_len: 4096",
         "t.yaml:33:15: vector_len: expected at most lanes.fp16 2048 but found 4096", RAD_E_RANGE},
    };
    CHECK_CHANGES("tests/oracle/hw_vectors_fpga.yaml", rows);
}

static void impossible_machines_are_refused(void)
{
    static const struct change cpu[] = {
        {"gemm_n256.m16: 60 GFLOP/s", "gemm_n256.m16: 90 GFLOP/s",
         "t.yaml:42:18: gemm_n256.m16: expected at most 8.8e+10 FLOP/s (the time of m4) but found "
         "9e+10 FLOP/s",
         RAD_E_RANGE},
        {"l3_bandwidth: 50 GB/s", "l3_bandwidth: 20 GB/s",
         "t.yaml:13:3: l2, l3, bandwidth: expected each level larger and slower than the one "
         "before but found 4e+06, 9e+07 B and 2.7e+11, 2e+10, 3e+10 B/s",
         RAD_E_RANGE},
        {"peak.fp32: 350 GFLOP/s @made-up\n", "peak.fp16: 350 GFLOP/s @made-up\n",
         "t.yaml:13:3: peak.fp32: expected a value because flop_energy.fp32 is set", RAD_E_RANGE},
    };
    static const struct change systolic[] = {
        {"vmem_bandwidth: 18 TB/s", "vmem_bandwidth: 18 GB/s",
         "t.yaml:25:19: vmem_bandwidth: expected at least bandwidth 8e+11 B/s but found 1.8e+10 "
         "B/s",
         RAD_E_RANGE},
        {"rows: 128", "rows: 128 B",
         "t.yaml:17:9: 'rows': expected a value in plain numbers but found '128 B", RAD_E_PARSE},
    };
    CHECK_CHANGES("tests/oracle/hw_vectors_cpu.yaml", cpu);
    CHECK_CHANGES("tests/oracle/hw_vectors_systolic.yaml", systolic);
}

static void missing_and_strange_files(void)
{
    rad_hw *hw = NULL;
    REFUSES(rad_hw_open(&hw, "a100-sxm-80", &err), RAD_E_IO,
            "no 'a100-sxm-80.yaml' in hwprofiles; did you mean 'a100-sxm-80gb'");
    REFUSES(rad_hw_open(&hw, "hwprofiles", &err), RAD_E_IO, "hwprofiles");
    REFUSES(rad_hw_open(&hw, "aliases", &err), RAD_E_RANGE, "missing required key 'model'");
    REFUSES(rad_hw_parse(&hw, "a: [", 4, "t.yaml", &err), RAD_E_PARSE, "t.yaml:");
    REFUSES(rad_hw_parse(&hw, "", 0, "t.yaml", &err), RAD_E_PARSE, "t.yaml:");
    CU_ASSERT_PTR_NULL(hw);
}

/* ---- host profile ---------------------------------------------------------------------- */

static struct rad_host_rates some_rates(void)
{
    struct rad_host_rates r = {
        .about = "test \"machine\": \\ 2 cores\n# not a comment",
        .n_threads = 2,
        .memory_bytes = 16e9,
        .peak_flop_per_s = 350e9,
        .bf16_peak_flop_per_s = 2e12,
        .l2_bytes = 4e6,
        .l2_bytes_per_s = 270e9,
        .l3_bytes = 90e6,
        .l3_bytes_per_s = 50e9,
        .dram_bytes_per_s = 30e9,
        .attend_decode_flop_per_s = 12e9,
        .attend_prefill_flop_per_s = 60e9,
        .attend_head_s = 50e-9,
        .op_overhead_s = 0.5e-6,
        .layer_overhead_s = 1.5e-6,
        .step_overhead_s = 7e-6,
    };
    static const double m_rate[RAD_HOST_N_M] = {20e9, 22e9, 60e9, 160e9, 230e9};
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < RAD_HOST_N_SIZE; i++)
            for (int j = 0; j < RAD_HOST_N_M; j++)
                r.gemm_flop_per_s[t][i][j] = m_rate[j] * (t == 1 ? 1.0 : 0.6) * (1 + i) / 3.0;
    for (int i = 0; i < RAD_HOST_N_VECTOR; i++)
        r.vector_bytes_per_s[i] = (10 + i) * 1e9;
    return r;
}

static rad_hw *host_of(const struct rad_host_rates *rates)
{
    rad_hw *hw = NULL;
    char *text = NULL;
    OK(rad_hw_host_profile(rates, &text, &err));
    OK(rad_hw_parse(&hw, text, strlen(text), "host.yaml", &err));
    free(text);
    return hw;
}

/* What was measured comes back: each probe costs what it took, plus the overhead. */
static void host_profile_predicts_its_probes(void)
{
    static const int sizes[] = RAD_HOST_SIZES, rows[] = RAD_HOST_ROWS;
    const struct rad_host_rates r = some_rates();
    rad_hw *hw = host_of(&r);
    struct rad_cost c;
    for (int i = 0; i < RAD_HOST_N_SIZE; i++)
        for (int j = 0; j < RAD_HOST_N_M; j++) {
            struct rad_op op = rad_op_gemm(rows[j], sizes[i], sizes[i], RAD_F32);
            op.weight_set_bytes = op.weight_bytes;
            OK(rad_hw_cost(hw, &op, &c, &err));
            NEAR(c.compute_s, op.flop / r.gemm_flop_per_s[1][i][j], 1e-6);
        }
    const struct rad_op norm = rad_op_vector(RAD_OP_NORM, 10, 100, RAD_F32);
    OK(rad_hw_cost(hw, &norm, &c, &err));
    NEAR(c.time_s, 0.5e-6 + 8000 / 10e9, 1e-6);
    struct rad_op big = rad_op_gemm(1, 4096, 4096, RAD_F32); /* streamed from DRAM */
    OK(rad_hw_cost(hw, &big, &c, &err));
    NEAR(c.memory_s, 4096.0 * 4096 * 4 / 30e9, 1e-6);
    CU_ASSERT_EQUAL(c.bound, RAD_BOUND_MEMORY);
    NEAR(rad_hw_layer_overhead_s(hw), 1.5e-6, 1e-6);
    NEAR(rad_hw_step_overhead_s(hw), 7e-6, 1e-6);
    CU_ASSERT(rad_hw_supports(hw, RAD_BF16) && !rad_hw_supports(hw, RAD_INT8));
    CU_ASSERT(rad_hw_is_measured(hw));
    CU_ASSERT_STRING_EQUAL(rad_hw_about(hw), "test 'machine': ' 2 cores?# not a comment");
    rad_hw_close(hw);
}

/* Matrix units have a table of their own; without it bf16 is fp32 by the ratio of the peaks. */
static void host_profile_has_bf16_rates(void)
{
    static const int sizes[] = RAD_HOST_SIZES, rows[] = RAD_HOST_ROWS;
    struct rad_host_rates r = some_rates();
    struct rad_cost c;
    rad_hw *hw = host_of(&r);
    const struct rad_op small = rad_op_gemm(1, 64, 64, RAD_BF16);
    OK(rad_hw_cost(hw, &small, &c, &err));
    NEAR(c.compute_s, small.flop / r.gemm_flop_per_s[1][0][0] * 350e9 / 2e12, 1e-6);
    rad_hw_close(hw);
    for (int i = 0; i < RAD_HOST_N_SIZE; i++)
        for (int j = 0; j < RAD_HOST_N_M; j++)
            r.bf16_gemm_flop_per_s[i][j] = 4.0 * r.gemm_flop_per_s[0][i][j];
    hw = host_of(&r);
    for (int i = 0; i < RAD_HOST_N_SIZE; i++)
        for (int j = 0; j < RAD_HOST_N_M; j++) {
            const struct rad_op op = rad_op_gemm(rows[j], sizes[i], sizes[i], RAD_BF16);
            OK(rad_hw_cost(hw, &op, &c, &err));
            NEAR(c.compute_s, op.flop / r.bf16_gemm_flop_per_s[i][j], 1e-6);
        }
    rad_hw_close(hw);
    char *text = NULL;
    r.bf16_gemm_flop_per_s[1][3] = 0.0;
    CU_ASSERT_EQUAL(rad_hw_host_profile(&r, &text, &err), RAD_E_RANGE);
    CU_ASSERT_PTR_NULL(text);
}

/* Noise that breaks a law is repaired towards the slower reading. */
static void host_profile_repairs_noise(void)
{
    struct rad_host_rates r = some_rates();
    struct rad_cost four, sixteen;
    r.gemm_flop_per_s[1][1][2] = 1e12; /* 16 rows faster than 4: the time of 4 stands in */
    r.gemm_flop_per_s[0][1][2] = 1e12;
    r.l3_bytes_per_s = 400e9;
    r.dram_bytes_per_s = 500e9;
    r.peak_flop_per_s = 0.0;
    rad_hw *hw = host_of(&r);
    struct rad_op op = rad_op_gemm(4, 256, 256, RAD_F32);
    OK(rad_hw_cost(hw, &op, &four, &err));
    op = rad_op_gemm(16, 256, 256, RAD_F32);
    OK(rad_hw_cost(hw, &op, &sixteen, &err));
    CU_ASSERT(sixteen.compute_s >= four.compute_s);
    NEAR(sixteen.compute_s, four.compute_s, 1e-4);
    rad_hw_close(hw);
}

static void host_profile_refuses_what_was_not_measured(void)
{
    char *text = NULL;
    struct rad_host_rates r = some_rates();
    r.gemm_flop_per_s[1][2][3] = 0.0;
    REFUSES(rad_hw_host_profile(&r, &text, &err), RAD_E_RANGE,
            "host rates: expected a positive gemm_flop_per_s but found 0; measure it");
    r = some_rates();
    r.dram_bytes_per_s = -1.0;
    REFUSES(rad_hw_host_profile(&r, &text, &err), RAD_E_RANGE, "dram_bytes_per_s but found -1");
    r = some_rates();
    r.op_overhead_s = 1.0;
    REFUSES(rad_hw_host_profile(&r, &text, &err), RAD_E_RANGE,
            "host rates: expected op_overhead_s of 0 to 1 ms but found 1 s");
    CU_ASSERT_PTR_NULL(text);
}

CU_TestInfo hw_profile_tests[] = {
    {"profile errors say where and what", profile_errors_say_where_and_what},
    {"designs that do not fit are refused", designs_that_do_not_fit_are_refused},
    {"impossible machines are refused", impossible_machines_are_refused},
    {"missing and strange files", missing_and_strange_files},
    {"host profile predicts its probes", host_profile_predicts_its_probes},
    {"host profile has bf16 rates", host_profile_has_bf16_rates},
    {"host profile repairs noise", host_profile_repairs_noise},
    {"host profile refuses what was not measured", host_profile_refuses_what_was_not_measured},
    CU_TEST_INFO_NULL,
};
