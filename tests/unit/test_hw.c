/* test_hw.c - hardware models against hand arithmetic and published simulator runs. */
#include "refuse.h"
#include "test.h"

#include "hw/hw.h"
#include "hw/hw_cycles.h"

#include <string.h>

#define MACHINE                                                                                    \
    "about: round numbers\n"                                                                       \
    "sources: {r: round}\n"                                                                        \
    "machine: {memory: 1 GB @r, static_power: 50 W @r, tdp: 10 kW @r, layer_overhead: 0 s @r, "    \
    "step_overhead: 0 s @r}\n"

/* 100 TFLOP/s, 1 TB/s, 5 us, no overlap: times add up. %s: extra keys. */
#define GPU                                                                                        \
    "model: gpu\n" MACHINE "gpu:\n"                                                                \
    "  peak: {fp16: 100 TFLOP/s @r}\n"                                                             \
    "  compute_frac: {fp16: 1 @r}\n"                                                               \
    "  flop_energy: {fp16: 1 pJ/FLOP @r}\n"                                                        \
    "  bandwidth: 1 TB/s @r\n"                                                                     \
    "  bandwidth_frac: 1 @r\n"                                                                     \
    "  byte_energy: 10 pJ/B @r\n"                                                                  \
    "  l2: 10 MB @r\n"                                                                             \
    "  l2_bandwidth: 4 TB/s @r\n"                                                                  \
    "  l2_byte_energy: 1 pJ/B @r\n"                                                                \
    "  op_floor: 5 us @r\n"                                                                        \
    "  vector_peak: 1 TFLOP/s @r\n"                                                                \
    "  attend_frac: 0.5 @r\n"                                                                      \
    "  attend_floor: 8 us @r\n"                                                                    \
    "  attend_split: 256 @r\n"                                                                     \
    "  vector: {norm: 500 GB/s @r, act: 1 TB/s @r, add: 1 TB/s @r, rope: 1 TB/s @r, "              \
    "gather: 1 TB/s @r, embed: 1 TB/s @r, softmax: 1 TB/s @r}\n"                                   \
    "  vector_floor: {norm: 2 us @r, act: 2 us @r, add: 1 us @r, rope: 1 us @r, gather: 1 us @r, " \
    "embed: 1 us @r, softmax: 1 us @r}\n"

static rad_hw *open_text(const char *text)
{
    rad_hw *hw = NULL;
    OK(rad_hw_parse(&hw, text, strlen(text), "t.yaml", &err));
    return hw;
}

static struct rad_cost cost_of(const rad_hw *hw, struct rad_op op)
{
    struct rad_cost c = {0};
    OK(rad_hw_cost(hw, &op, &c, &err));
    return c;
}

/* 4096^3 in fp16: 137.438953472 GFLOP in 1.37438953472 ms, 100.663296 MB in 0.100663296 ms. */
static void gpu_gemm_by_hand(void)
{
    rad_hw *sum = open_text(GPU "  overlap: 1 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n"
                                "  tiles: 0 @r\n");
    rad_hw *two = open_text(GPU "  overlap: 2 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n"
                                "  tiles: 0 @r\n");
    const struct rad_op op = rad_op_gemm(4096, 4096, 4096, RAD_F16);
    struct rad_cost c = cost_of(sum, op);
    NEAR(c.compute_s, 1.37438953472e-3, 1e-14);
    NEAR(c.memory_s, 0.100663296e-3, 1e-14);
    NEAR(c.time_s, 5e-6 + 1.37438953472e-3 + 0.100663296e-3, 1e-14);
    NEAR(c.dynamic_j, 0.137438953472, 1e-14);
    NEAR(c.memory_j, 1.00663296e-3, 1e-14);
    NEAR(c.static_j, 50.0 * c.time_s, 1e-14);
    CU_ASSERT_EQUAL(c.bound, RAD_BOUND_COMPUTE);
    c = cost_of(two, op);
    NEAR(c.time_s,
         5e-6 + sqrt(1.37438953472e-3 * 1.37438953472e-3 + 0.100663296e-3 * 0.100663296e-3), 1e-14);
    rad_hw_close(sum);
    rad_hw_close(two);
}

/* M <= 8 is a matrix times vectors: only memory counts. Weights of a model that fits in l2. */
static void gpu_gemv_and_cache_by_hand(void)
{
    rad_hw *hw = open_text(GPU "  overlap: 1 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n"
                               "  tiles: 1 @r\n");
    struct rad_op op = rad_op_gemm(8, 1000, 1000, RAD_F16);
    struct rad_cost c = cost_of(hw, op);
    NEAR(c.time_s, 5e-6 + (2e6 + 32e3) / 1e12, 1e-14);
    CU_ASSERT_EQUAL(c.bound, RAD_BOUND_OVERHEAD);
    op.weight_set_bytes = 10e6 - 32e3;
    c = cost_of(hw, op);
    NEAR(c.memory_s, (2e6 + 32e3) / 4e12, 1e-14);
    NEAR(c.memory_j, 2.032e-6, 1e-14);
    op.weight_set_bytes += 1.0;
    c = cost_of(hw, op);
    NEAR(c.memory_s, (2e6 + 32e3) / 1e12, 1e-14);
    rad_hw_close(hw);
}

/* 128 x 128 x 64 on 4 units of 25 TFLOP/s, 10 % lost per halving of the tile. The 64 x 64 tile
 * needs 4 blocks, one wave of 2 * 64 * 64 * 64 FLOP at 70 %: 29.959 ns; the whole 128 x 128 tile
 * keeps one unit busy for 2 * 128 * 128 * 64 FLOP at 90 %: 93.2 ns. */
static void gpu_tiles_by_hand(void)
{
    rad_hw *hw = open_text(GPU "  overlap: 1 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n"
                               "  tiles: 1 @r\n  tile_loss: 10 % @r\n");
    struct rad_cost c = cost_of(hw, rad_op_gemm(128, 128, 64, RAD_F16));
    NEAR(c.compute_s, 2.0 * 64 * 64 * 64 / 25e12 / 0.7, 1e-14);
    /* One more row: 3 x 2 blocks of 64 x 64 are two waves (59.9 ns), two of 128 x 64 rows by two
     * columns are one wave of 2 * 128 * 64 * 64 at 80 % (52.4 ns). */
    c = cost_of(hw, rad_op_gemm(129, 128, 64, RAD_F16));
    NEAR(c.compute_s, 2.0 * 128 * 64 * 64 / 25e12 / 0.8, 1e-14);
    rad_hw_close(hw);
}

/* Decode of 2 sequences with 512 keys: 2 * 4 kv heads * 2 splits = 16 blocks fill 4 units.
 * KV: 2 * 4 * 64 * 2 B * (1024 + 2); Q and O: 2 * 2 * 512 * 2 B. */
static void gpu_attention_by_hand(void)
{
    const struct rad_attend_shape shape = {.m = 2,
                                           .n_keys = 1024,
                                           .kv_read_keys = 1024,
                                           .heads = 8,
                                           .kv_heads = 4,
                                           .head_dim = 64,
                                           .n_seq = 2};
    rad_hw *few = open_text(GPU "  overlap: 1 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n"
                                "  tiles: 0 @r\n");
    rad_hw *many = open_text(GPU "  overlap: 1 @r\n  launch_gap: 0 s @r\n  units: 64 @r\n"
                                 "  tiles: 0 @r\n");
    const double bytes = 2.0 * 4 * 64 * 2 * 1026 + 2.0 * 2 * 512 * 2;
    const double flop = 4.0 * 1024 * 64 * 8;
    struct rad_cost c = cost_of(few, rad_op_attend(&shape, RAD_F16));
    NEAR(c.time_s, 8e-6 + flop / 50e12 + bytes / 1e12, 1e-14);
    c = cost_of(many, rad_op_attend(&shape, RAD_F16)); /* 16 blocks keep a quarter of them busy */
    NEAR(c.time_s, 8e-6 + 4.0 * (flop / 50e12 + bytes / 1e12), 1e-14);
    rad_hw_close(few);
    rad_hw_close(many);
}

static void gpu_vector_and_launch_gap_by_hand(void)
{
    rad_hw *hw = open_text(GPU "  overlap: 1 @r\n  launch_gap: 4 us @r\n  units: 4 @r\n"
                               "  tiles: 0 @r\n");
    struct rad_cost c = cost_of(hw, rad_op_vector(RAD_OP_NORM, 1000, 1000, RAD_F16));
    NEAR(c.memory_s, 4e6 / 500e9, 1e-14);
    NEAR(c.compute_s, 4e6 / 1e12, 1e-14);
    NEAR(c.time_s, 2e-6 + 8e-6, 1e-14);
    c = cost_of(hw, rad_op_vector(RAD_OP_ADD, 1, 1000, RAD_F16)); /* 1 us + 6 ns: host-bound */
    NEAR(c.time_s, 4e-6, 1e-14);
    NEAR(c.overhead_s, 4e-6 - 6e-9, 1e-14);
    rad_hw_close(hw);
}

/* 1 kW of dynamic power under a limit of 150 W takes ten times as long. */
static void power_limit_slows_the_clock(void)
{
    const char *text = "model: gpu\nabout: round numbers\nsources: {r: round}\n"
                       "machine: {memory: 1 GB @r, static_power: 50 W @r, tdp: 150 W @r, "
                       "layer_overhead: 0 s @r, step_overhead: 0 s @r}\n";
    char full[4096];
    snprintf(full, sizeof full, "%s%s", text,
             strstr(GPU "  overlap: 20 @r\n  launch_gap: 0 s @r\n  units: 4 @r\n  tiles: 0 @r\n",
                    "gpu:\n"));
    rad_hw *hw = open_text(full);
    const struct rad_cost c = cost_of(hw, rad_op_gemm(4096, 4096, 4096, RAD_F16));
    NEAR(c.time_s, (c.dynamic_j + c.memory_j) / 100.0, 1e-14);
    CU_ASSERT(c.time_s > 1.38e-3);
    NEAR(c.compute_s, c.time_s - 5e-6, 1e-14);
    NEAR((c.dynamic_j + c.memory_j + c.static_j) / c.time_s, 150.0, 1e-12);
    CU_ASSERT_EQUAL(c.bound, RAD_BOUND_COMPUTE);
    rad_hw_close(hw);
}

/* Cycle counts of SCALE-Sim v3 runs (a sample of 150; one array). Columns:
 * R, C, dataflow (0 weight, 1 output stationary), M, N, K, cycles. */
static const int64_t scale_sim[][7] = {
    {128, 128, 0, 128, 128, 128, 509},    {128, 128, 0, 100, 300, 200, 2891},
    {128, 128, 0, 33, 1000, 77, 3319},    {128, 128, 0, 512, 128, 512, 3575},
    {128, 128, 0, 16, 1024, 1024, 25471}, {128, 128, 0, 1, 4096, 1024, 98047},
    {128, 128, 1, 512, 512, 512, 12255},  {128, 128, 1, 257, 513, 127, 5714},
    {128, 128, 1, 8, 1024, 1024, 10223},  {128, 128, 1, 1, 4096, 4096, 139199},
    {256, 256, 0, 100, 300, 200, 1731},   {256, 256, 0, 64, 4096, 256, 13279},
    {256, 256, 1, 257, 513, 127, 3821},   {256, 256, 1, 1, 128, 2048, 2557},
};

static void serial_arrays_match_scale_sim(void)
{
    for (size_t i = 0; i < sizeof scale_sim / sizeof scale_sim[0]; i++) {
        const int64_t *x = scale_sim[i];
        const struct rad_array a = {
            .rows = x[0], .cols = x[1], .count = 1, .dataflow = (enum rad_dataflow)x[2]};
        CU_ASSERT_EQUAL(rad_systolic_cycles(&a, x[3], x[4], x[5], 1), (double)x[6]);
    }
}

/* M = 1, 4096 x 4096 on the 8 arrays of a TPU v4: 1024 folds, 128 per array; the serial form
 * would take three times as long and make a memory-bound operation compute-bound. */
static void pipelined_arrays_by_hand(void)
{
    struct rad_array a = {.rows = 128, .cols = 128, .count = 8, .pipelined = 1};
    CU_ASSERT_EQUAL(rad_systolic_cycles(&a, 1, 4096, 4096, 1), 255.0 + 127 * 128 + 254 + 4);
    CU_ASSERT_EQUAL(rad_systolic_cycles(&a, 500, 4096, 4096, 1), 255.0 + 127 * 500 + 254 + 500);
    CU_ASSERT_EQUAL(rad_systolic_cycles(&a, 128, 128, 128, 8), 255.0 + 254 + 128);
    a.pipelined = 0;
    CU_ASSERT_EQUAL(rad_systolic_cycles(&a, 1, 4096, 4096, 1), 128.0 * (1 + 256 + 126) - 1);
    a = (struct rad_array){
        .rows = 16, .cols = 8, .count = 1, .pipelined = 1, .dataflow = RAD_OUTPUT_STATIONARY};
    CU_ASSERT_EQUAL(rad_systolic_cycles(&a, 32, 16, 10, 1), 3.0 * 16 + 10 + 16 + 8 - 2);
}

/* A 4 x 4 array at 1 GHz, serial: M 3 is padded to 4 rows of 4 B, N 6 to 8, K 5 to 8. */
static void systolic_gemm_by_hand(void)
{
    rad_hw *hw = open_text("model: systolic\n" MACHINE "systolic:\n  peak: {fp32: 32 GFLOP/s @r}\n"
                           "  flop_energy: {fp32: 1 pJ/FLOP @r}\n"
                           "  rows: 4 @r\n  cols: 4 @r\n  arrays: 1 @r\n  pipelined: 0 @r\n"
                           "  row_pad: 16 B @r\n  bandwidth: 1 GB/s @r\n  bandwidth_frac: 0.5 @r\n"
                           "  byte_energy: 10 pJ/B @r\n  vmem_bandwidth: 2 GB/s @r\n"
                           "  vmem_byte_energy: 1 pJ/B @r\n  vpu_rate: 1 GFLOP/s @r\n"
                           "  op_overhead: 1 us @r\n");
    const struct rad_cost c = cost_of(hw, rad_op_gemm(3, 6, 5, RAD_F32));
    const double hbm = 8 * 8 * 4 + (3 * 5 + 3 * 6) * 4 * 4.0 / 3.0;
    NEAR(c.compute_s, (4 * (4 + 8 + 4 - 2) - 1) * 1e-9, 1e-14);
    NEAR(c.memory_s, hbm / 0.5e9, 1e-14);
    NEAR(c.time_s, 1e-6 + hbm / 0.5e9, 1e-14);
    NEAR(c.memory_j, hbm * 10e-12 + (hbm + 4 * 5 * 4) * 1e-12, 1e-14);
    const struct rad_cost norm = cost_of(hw, rad_op_vector(RAD_OP_NORM, 10, 100, RAD_F32));
    NEAR(norm.compute_s, 2 * 1000 / 1e9, 1e-14);
    rad_hw_close(hw);
}

static void registry_is_well_formed(void)
{
    size_t n = 0;
    const struct rad_hw_model *const *models = rad_hw_models(&n);
    CU_ASSERT_EQUAL(n, 4);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT(models[i]->cost != NULL && models[i]->supports != NULL);
        CU_ASSERT(strlen(models[i]->summary) > 0 && strlen(models[i]->source) > 0);
        for (const struct rad_param *p = models[i]->params; p->key != NULL; p++)
            CU_ASSERT(p->offset + sizeof(double) <= models[i]->params_bytes);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(models[i]->name, models[j]->name);
    }
    CU_ASSERT_STRING_EQUAL(rad_bound_name(RAD_BOUND_LINK), "link");
}

/* Operations that no lowering writes are refused, not divided by zero. */
static void empty_operations_are_refused(void)
{
    rad_hw *hw = NULL;
    struct rad_cost c;
    OK(rad_hw_open(&hw, "a100-sxm-80gb", &err));
    const struct rad_op ops[] = {rad_op_gemm(0, 8, 8, RAD_F16),
                                 rad_op_gemm(8, 8, 0, RAD_F16),
                                 rad_op_vector(RAD_OP_ADD, 4, 0, RAD_F16),
                                 {.kind = RAD_OP_ATTEND, .dtype = RAD_F16, .m = 1, .n_keys = 1}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        REFUSES(rad_hw_cost(hw, &ops[i], &c, &err), RAD_E_ARG, "expected positive extents");
    const struct rad_op fp8 = rad_op_gemm(8, 8, 8, RAD_FP8);
    REFUSES(rad_hw_cost(hw, &fp8, &c, &err), RAD_E_UNSUPPORTED,
            "profile 'a100-sxm-80gb': expected one of fp32 tf32 fp16 bf16 int8 but found fp8");
    CU_ASSERT_FALSE(rad_hw_supports(hw, RAD_FP8));
    rad_hw_close(hw);
}

CU_TestInfo hw_tests[] = {
    {"gpu gemm by hand", gpu_gemm_by_hand},
    {"gpu gemv and cache by hand", gpu_gemv_and_cache_by_hand},
    {"gpu tiles by hand", gpu_tiles_by_hand},
    {"gpu attention by hand", gpu_attention_by_hand},
    {"gpu vector and launch gap by hand", gpu_vector_and_launch_gap_by_hand},
    {"power limit slows the clock", power_limit_slows_the_clock},
    {"serial arrays match SCALE-Sim", serial_arrays_match_scale_sim},
    {"pipelined arrays by hand", pipelined_arrays_by_hand},
    {"systolic gemm by hand", systolic_gemm_by_hand},
    {"registry is well formed", registry_is_well_formed},
    {"empty operations are refused", empty_operations_are_refused},
    CU_TEST_INFO_NULL,
};
