/* test_profiles.c - every shipped profile: it opens, runs what it supports, and obeys the laws. */
#include "test.h"

#include "hw/hw.h"

#include <dirent.h>
#include <string.h>

static const char *const promised[] = {
    "a100-sxm-40gb",
    "a100-sxm-80gb",
    "a100-pcie-80gb",
    "h100-sxm-80gb",
    "h100-pcie-80gb",
    "h200-sxm-141gb",
    "b200-sxm-180gb",
    "l4",
    "l40s",
    "a40",
    "rtx-4090",
    "v100-pcie-32gb",
    "t4",
    "mi210",
    "mi300x",
    "tpu-v3",
    "tpu-v4",
    "tpu-v5e",
    "tpu-v5p",
    "tpu-v6e",
    "u280",
    "u280-spatial",
    "u55c",
    "v80",
    "xeon-8480",
    "epyc-9654",
    "host",
    "a100-pcie-40gb",
    "agilex-m",
    "arc-pro-b60",
    "core-i9-13900k",
    "epyc-7763",
    "gb200",
    "h800",
    "inferentia2",
    "kv260",
    "mi100",
    "mi250",
    "mi250x",
    "p100-pcie-16gb",
    "p4",
    "rtx-3090",
    "rtx-a6000",
    "rtx-pro-6000-server",
    "rtx-pro-6000-ws",
    "tpu-v2",
    "tpu-v4i",
    "trainium2",
    "vck190",
    "vhk158",
};
enum { N_PROMISED = sizeof promised / sizeof promised[0], MAX_PROFILE = 64 };

/* Open every .yaml of hwprofiles/ but the alias table. */
static int open_all(rad_hw *out[MAX_PROFILE])
{
    DIR *dir = opendir("hwprofiles");
    int n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        char name[64];
        if (dot == NULL || strcmp(dot, ".yaml") != 0 || strcmp(e->d_name, "aliases.yaml") == 0)
            continue;
        CU_ASSERT_FATAL(n < MAX_PROFILE && dot - e->d_name < (long)sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)(dot - e->d_name), e->d_name);
        OK(rad_hw_open(&out[n++], name, &err));
        CU_ASSERT_STRING_EQUAL(rad_hw_name(out[n - 1]), name);
    }
    closedir(dir);
    return n;
}

static void close_all(rad_hw *hw[], int n)
{
    for (int i = 0; i < n; i++)
        rad_hw_close(hw[i]);
}

static void promised_profiles_exist(void)
{
    for (size_t i = 0; i < N_PROMISED; i++) {
        rad_hw *hw = NULL;
        OK(rad_hw_open(&hw, promised[i], &err));
        CU_ASSERT_EQUAL(strlen(rad_hw_hash(hw)), 16);
        CU_ASSERT(strlen(rad_hw_about(hw)) > 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(rad_hw_text(hw), "sources:"));
        rad_hw_close(hw);
    }
}

/* One of each kind of operation, sized by the token count m. */
static int operations(struct rad_op *ops, int64_t m, enum rad_dtype dtype)
{
    const struct rad_attend_shape decode = {.m = m,
                                            .n_keys = 700 * m,
                                            .kv_read_keys = 700 * m,
                                            .heads = 32,
                                            .kv_heads = 8,
                                            .head_dim = 128,
                                            .n_seq = (int32_t)m};
    const struct rad_attend_shape prefill = {.m = m,
                                             .n_keys = m * (m + 1) / 2,
                                             .kv_read_keys = m,
                                             .heads = 32,
                                             .kv_heads = 8,
                                             .head_dim = 128,
                                             .n_seq = 1};
    int n = 0;
    ops[n++] = rad_op_gemm(m, 4096, 4096, dtype);
    ops[n++] = rad_op_gemm(m, 9, 160, dtype);
    ops[n] = rad_op_gemm(m, 480, 160, dtype); /* of a model that fits in a cache */
    ops[n++].weight_set_bytes = 3e6;
    ops[n++] = rad_op_attend(&decode, dtype);
    ops[n++] = rad_op_attend(&prefill, dtype);
    for (int kind = RAD_OP_NORM; kind < RAD_N_OP_KIND; kind++)
        ops[n++] = rad_op_vector((enum rad_op_kind)kind, m, 4096, dtype);
    return n;
}

enum { N_OPERATION = 13 };

#define FALL 0.35 /* the most that time may fall with more rows where it follows measurements */

static void check_laws(const rad_hw *hw, const struct rad_op *op, struct rad_cost *last)
{
    struct rad_cost c;
    OK(rad_hw_cost(hw, op, &c, &err));
    const double parts = fmax(fmax(c.compute_s, c.memory_s), c.overhead_s);
    const double joules = c.dynamic_j + c.memory_j + c.static_j;
    const double was = last->dynamic_j + last->memory_j + last->static_j;
    const double named = c.bound == RAD_BOUND_COMPUTE  ? c.compute_s
                         : c.bound == RAD_BOUND_MEMORY ? c.memory_s
                                                       : c.overhead_s;
    CU_ASSERT(isfinite(c.time_s) && isfinite(joules) && c.time_s > 0.0 && c.memory_j > 0.0);
    CU_ASSERT(c.compute_s >= 0.0 && c.memory_s >= 0.0 && c.overhead_s >= 0.0);
    CU_ASSERT(c.time_s >= parts);
    CU_ASSERT(c.time_s <= (c.compute_s + c.memory_s + c.overhead_s) * (1.0 + 1e-12));
    CU_ASSERT_EQUAL(named, parts);
    CU_ASSERT_EQUAL(c.static_j, rad_hw_static_w(hw) * c.time_s);
    CU_ASSERT(joules <= rad_hw_tdp_w(hw) * c.time_s * (1.0 + 1e-9));
    struct rad_prediction p;
    OK(rad_hw_predict(hw, op, NULL, &p, &err));
    CU_ASSERT(p.lo_s > 0.0 && p.lo_s <= p.cost.time_s && p.hi_s >= p.cost.time_s);
    CU_ASSERT_EQUAL(p.cost.time_s, c.time_s);
    /* Measured kernels are not monotone: a library picks another kernel for more rows. */
    const bool other_law = op->kind == RAD_OP_ATTEND && op->n_seq == 1 &&
                           op->m == 2; /* decode at 1 */
    const double least = p.data == NULL ? 1.0 - 1e-12 : other_law ? 0.0 : 1.0 - FALL;
    const bool grows = c.time_s >= last->time_s * least && joules >= was * least;
    if (!grows)
        fprintf(stderr, "\n%s: %s %s of %lld rows takes %g s, fewer took %g s\n", rad_hw_name(hw),
                rad_dtype_name(op->dtype), rad_op_kind_name(op->kind), (long long)op->m, c.time_s,
                last->time_s);
    CU_ASSERT(grows);
    *last = c;
}

/* Laws: time is at least each part and at most their sum; more tokens never cost less (measured
 * kernels excepted, within FALL); the interval holds the prediction; bound names
 * the largest part; no machine draws more than its limit. */
static void profiles_obey_the_laws(void)
{
    static const int64_t rows[] = {1,  2,  3,  4,  5,   7,   8,   9,   15,  16,   17,
                                   31, 33, 64, 65, 127, 128, 129, 255, 257, 1000, 4096};
    rad_hw *hw[MAX_PROFILE];
    const int n = open_all(hw);
    CU_ASSERT(n >= N_PROMISED);
    for (int i = 0; i < n; i++) {
        int supported = 0;
        for (int d = 0; d < RAD_N_DTYPE; d++) {
            struct rad_cost last[N_OPERATION] = {{0}};
            struct rad_op ops[N_OPERATION];
            if (!rad_hw_supports(hw[i], (enum rad_dtype)d))
                continue;
            supported++;
            for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
                CU_ASSERT_EQUAL_FATAL(operations(ops, rows[j], (enum rad_dtype)d), N_OPERATION);
                for (int k = 0; k < N_OPERATION; k++)
                    check_laws(hw[i], &ops[k], &last[k]);
            }
        }
        CU_ASSERT(supported >= 2);
        CU_ASSERT(rad_hw_supports(hw[i], RAD_F32));
    }
    close_all(hw, n);
}

/* A price, where there is one, is a price; a rival must be able to hold some model. */
static void machine_values_are_sane(void)
{
    rad_hw *hw[MAX_PROFILE];
    const int n = open_all(hw);
    for (int i = 0; i < n; i++) {
        const double usd = rad_hw_usd_per_hour(hw[i]);
        CU_ASSERT(isnan(usd) || (usd > 0.01 && usd < 20.0));
        CU_ASSERT(rad_hw_memory_bytes(hw[i]) >= 4e9);
        CU_ASSERT(rad_hw_layer_overhead_s(hw[i]) > 0.0 && rad_hw_layer_overhead_s(hw[i]) < 1e-4);
        CU_ASSERT(rad_hw_step_overhead_s(hw[i]) > 0.0 && rad_hw_step_overhead_s(hw[i]) < 1e-3);
        CU_ASSERT(rad_hw_tdp_w(hw[i]) > rad_hw_static_w(hw[i]));
        const double owned = rad_hw_owned_usd_per_hour(hw[i]);
        CU_ASSERT(isnan(owned) || (owned > 0.01 && owned < 20.0));
        CU_ASSERT(rad_hw_error_frac(hw[i]) >= 0.01);
        CU_ASSERT_PTR_NOT_NULL(strstr(rad_hw_text(hw[i]), "\nbasis: "));
    }
    rad_hw *mi210 = NULL;
    OK(rad_hw_open(&mi210, "mi210", &err));
    CU_ASSERT(isnan(rad_hw_usd_per_hour(mi210)));
    rad_hw_close(mi210);
    close_all(hw, n);
}

/* Figures that are known otherwise: an A100 streams a 4096 x 4096 fp16 matrix in about 25 us (1342
 * GB/s measured) and sustains 200 to 300 TFLOP/s; a TPU v4 GEMV is bound by memory, not by the
 * array; 70B weights in fp16 take about 42 ms through an H100's memory. */
static void profiles_agree_with_known_figures(void)
{
    static const struct {
        const char *hw;
        enum rad_dtype dtype;
        int64_t m, n, k;
        double lo_s, hi_s;
        enum rad_bound bound;
    } rows[] = {
        {"a100-sxm-80gb", RAD_F16, 1, 4096, 4096, 22e-6, 30e-6, RAD_BOUND_MEMORY},
        {"a100-sxm-80gb", RAD_F16, 8192, 8192, 8192, 3.67e-3, 5.5e-3, RAD_BOUND_COMPUTE},
        {"tpu-v4", RAD_BF16, 1, 4096, 4096, 27e-6, 36e-6, RAD_BOUND_MEMORY},
        {"h100-sxm-80gb", RAD_F16, 1, 8192, 8531968, 41e-3, 52e-3, RAD_BOUND_MEMORY},
        {"u280", RAD_INT8, 1, 4096, 4096, 45e-6, 65e-6, RAD_BOUND_MEMORY},
        {"host", RAD_F32, 1, 4096, 4096, 1.9e-3, 2.6e-3, RAD_BOUND_MEMORY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_hw *hw = NULL;
        struct rad_cost c;
        const struct rad_op op = rad_op_gemm(rows[i].m, rows[i].n, rows[i].k, rows[i].dtype);
        OK(rad_hw_open(&hw, rows[i].hw, &err));
        OK(rad_hw_cost(hw, &op, &c, &err));
        CU_ASSERT(c.time_s >= rows[i].lo_s && c.time_s <= rows[i].hi_s);
        CU_ASSERT_EQUAL(c.bound, rows[i].bound);
        rad_hw_close(hw);
    }
}

static void aliases_lead_to_profiles(void)
{
    static const struct {
        const char *measured, *profile;
    } rows[] = {
        {"A100-SXM4-80GB", "a100-sxm-80gb"},
        {"H100-80GB", "h100-sxm-80gb"},
        {"RTX4090", "rtx-4090"},
        {"TPUv6e-1", "tpu-v6e"},
        {"V100-PCIe-32GB", "v100-pcie-32gb"},
        {"a40", "a40"},
        {"no such part", "no such part"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[RAD_HW_NAME];
        rad_hw *hw = NULL;
        OK(rad_hw_alias(rows[i].measured, name, &err));
        CU_ASSERT_STRING_EQUAL(name, rows[i].profile);
        if (strchr(name, ' ') == NULL) {
            OK(rad_hw_open(&hw, name, &err));
        }
        rad_hw_close(hw);
    }
}

CU_TestInfo profiles_tests[] = {
    {"promised profiles exist", promised_profiles_exist},
    {"profiles obey the laws", profiles_obey_the_laws},
    {"machine values are sane", machine_values_are_sane},
    {"profiles agree with known figures", profiles_agree_with_known_figures},
    {"aliases lead to profiles", aliases_lead_to_profiles},
    CU_TEST_INFO_NULL,
};
