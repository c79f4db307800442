/* test_class.c - class fits: means of fits of other parts; the law of kernels that work row by row.
 */
#include "test.h"

#include "hw/hw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIT(software, law)                                                                         \
    "  - op: norm\n    format: fp16\n    software: \"" software "\"\n    data: \"d " software      \
    "\"\n    rows: 10\n    ape: 0.1\n    lo: 0.9\n    hi: 1.2\n    law: {" law "}\n"
#define FLOOR(us)                                                                                  \
    "floor: " us " us, bandwidth_frac: 0.5, l2_gain: 1, l2_share: 1, row: 1e-8 us, overlap: 1"

/* The machine of the vectors with these fits. */
static rad_hw *with(const char *name, const char *fits)
{
    rad_hw *hw = NULL, *bare = NULL;
    OK(rad_hw_open(&bare, "tests/oracle/hw_vectors_gpu.yaml", &err));
    const size_t size = strlen(rad_hw_text(bare)) + strlen(fits) + 16;
    char *text = malloc(size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    snprintf(text, size, "%s\nfits:\n%s", rad_hw_text(bare), fits);
    OK(rad_hw_parse(&hw, text, strlen(text), name, &err));
    free(text);
    rad_hw_close(bare);
    return hw;
}

static rad_hw *pool(const rad_hw *hw, const rad_hw *const *donors, size_t n)
{
    struct rad_buf yaml = {0};
    rad_hw *pooled = NULL;
    OK(rad_hw_pool(hw, donors, n, false, &yaml, &err));
    OK(rad_hw_parse(&pooled, yaml.data, yaml.len, "pooled.yaml", &err));
    rad_buf_free(&yaml);
    return pooled;
}

#define SURFACE "    knots: {rows: 1 16, width: 1024}\n    surface: 0 200\n"

/* Floors of 10 and 40 us have the mean 20; a surface of 0 to 0.2 and none that of 0 to 0.1. */
static void classes_are_means(void)
{
    const struct rad_op op = rad_op_vector(RAD_OP_NORM, 16, 1024, RAD_F16);
    rad_hw *bare = NULL;
    rad_hw *a = with("a", FIT("vidur", FLOOR("10")) SURFACE FIT("vidur mean", FLOOR("90")));
    rad_hw *b = with("b", FIT("vidur", FLOOR("40")));
    rad_hw *own = with("own", FIT("vidur 2", FLOOR("70")));
    const rad_hw *const donors[] = {a, b};
    struct rad_prediction p, q;
    OK(rad_hw_open(&bare, "tests/oracle/hw_vectors_gpu.yaml", &err));
    rad_hw *mean = pool(bare, donors, 2), *like_a = pool(bare, donors, 1);
    OK(rad_hw_predict(mean, &op, "vidur", &p, &err));
    CU_ASSERT_STRING_EQUAL(p.data, "class: mean of 2 measured GPUs");
    CU_ASSERT(p.extrapolated);
    const double bytes_s = op.act_bytes / 0.5 / 2e12;
    CU_ASSERT(p.cost.time_s > 20e-6 * exp(0.1) && p.cost.time_s < 20.1e-6 * exp(0.1) + bytes_s);
    /* each is a factor of 4 from the other, and that is the interval */
    CU_ASSERT(p.lo_s < 0.34 * p.cost.time_s && p.hi_s > 3.0 * p.cost.time_s);
    OK(rad_hw_predict(mean, &op, "vidur mean", &q, &err)); /* other kernels: no mean with those */
    CU_ASSERT_STRING_EQUAL(q.data, "class: a alone");
    CU_ASSERT(q.cost.time_s > 90e-6);
    OK(rad_hw_predict(like_a, &op, "vidur", &q, &err));
    CU_ASSERT_STRING_EQUAL(q.data, "like a: d vidur");
    CU_ASSERT(q.lo_s < 0.9 * q.cost.time_s && q.hi_s > 1.2 * q.cost.time_s);
    rad_hw *kept = pool(own, donors, 2); /* what was measured of the part itself stays */
    OK(rad_hw_predict(kept, &op, "vidur", &q, &err));
    CU_ASSERT_STRING_EQUAL(q.data, "d vidur 2");
    rad_hw *const all[] = {bare, a, b, own, mean, like_a, kept};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        rad_hw_close(all[i]);
}

#define DECODE(share)                                                                              \
    "  - op: decode\n    format: fp16\n    software: x\n    data: d\n    head_dim: 64\n"           \
    "    rows: 10\n    ape: 0.1\n    lo: 0.9\n    hi: 1.2\n    law: {floor: 1 us, "                \
    "bandwidth_frac: " share ", l2_gain: 1, depth: 0.1, l2_share: 0.5, head: 1e-3 us, split: 1}\n"

static void rows_that_beat_their_memory_are_no_ground(void)
{
    rad_hw *bare = NULL;
    rad_hw *right = with("right", DECODE("0.9")), *wrong = with("wrong", DECODE("1.5"));
    OK(rad_hw_open(&bare, "tests/oracle/hw_vectors_gpu.yaml", &err));
    rad_hw *from_right = pool(bare, (const rad_hw *const[]){right, wrong}, 2);
    rad_hw *from_wrong = pool(bare, (const rad_hw *const[]){wrong}, 1);
    CU_ASSERT_EQUAL(rad_hw_n_fit(from_right), 1);
    CU_ASSERT_STRING_EQUAL(rad_hw_fit_at(from_right, 0).data, "class: right alone");
    CU_ASSERT_EQUAL(rad_hw_n_fit(from_wrong), 0);
    rad_hw *const all[] = {bare, right, wrong, from_right, from_wrong};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        rad_hw_close(all[i]);
}

/* A block takes a row of 8192 elements at 1 ns each, however few rows there are; many rows take the
 * time of their bytes. */
static void a_row_takes_its_block(void)
{
    rad_hw *hw = with("row", FIT("x", "floor: 1 us, bandwidth_frac: 0.5, l2_gain: 1, l2_share: 1, "
                                      "row: 0.001 us, overlap: 30"));
    struct rad_prediction one, many;
    const struct rad_op few = rad_op_vector(RAD_OP_NORM, 1, 8192, RAD_F16);
    const struct rad_op lots = rad_op_vector(RAD_OP_NORM, 65536, 8192, RAD_F16);
    OK(rad_hw_predict(hw, &few, NULL, &one, &err));
    OK(rad_hw_predict(hw, &lots, NULL, &many, &err));
    NEAR(one.cost.time_s, 1e-6 + 8.192e-6, 1e-3);
    CU_ASSERT(many.cost.time_s > 1e-6 + lots.act_bytes / 0.5 / 2.1e12);
    rad_hw_close(hw);
}

CU_TestInfo class_tests[] = {
    {"classes are means", classes_are_means},
    {"rows that beat their memory are no ground", rows_that_beat_their_memory_are_no_ground},
    {"a row takes its block", a_row_takes_its_block},
    CU_TEST_INFO_NULL,
};
