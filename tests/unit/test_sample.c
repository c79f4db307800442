/* test_sample.c - drawing tokens from logits: an operation of every class, and of every step that
 * makes logits. */
#include "replay_make.h"
#include "test.h"

#include <string.h>

static rad_hw *open_hw(const char *name)
{
    rad_hw *hw = NULL;
    OK(rad_hw_open(&hw, name, &err));
    return hw;
}

static void it_reads_the_logits_three_times(void)
{
    const struct rad_op op = rad_op_vector(RAD_OP_SAMPLE, 3, 32000, RAD_BF16);
    CU_ASSERT(op.flop == 6.0 * 3 * 32000 && op.act_bytes == 3.0 * 3 * 32000 * 2);
    CU_ASSERT(op.weight_bytes == 0.0 && op.kv_bytes == 0.0);
    CU_ASSERT_STRING_EQUAL(rad_op_kind_name(RAD_OP_SAMPLE), "sample");
    struct rad_card card = made_card();
    struct rad_op ops[RAD_LOWER_MAX];
    CU_ASSERT(rad_lower_sample(&card, RAD_BF16, 0, ops) == 0);
    CU_ASSERT(rad_lower_sample(&card, RAD_BF16, 5, ops) == 1);
    CU_ASSERT(ops[0].m == 5 && ops[0].n == card.vocab && ops[0].kind == RAD_OP_SAMPLE);
    card.patch = 16; /* images are classified */
    CU_ASSERT(rad_lower_sample(&card, RAD_BF16, 5, ops) == 0);
}

/* At the rate of softmax, over 3/2 of its bytes; never for nothing. */
static void every_class_costs_it(void)
{
    static const char *const names[] = {
        "tests/oracle/hw_vectors_gpu.yaml", "tests/oracle/hw_vectors_cpu.yaml",
        "tests/oracle/hw_vectors_fpga.yaml", "tests/oracle/hw_vectors_systolic.yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rad_hw *hw = open_hw(names[i]);
        const enum rad_dtype dtype = rad_hw_default_dtype(hw);
        double last_s = 0.0;
        for (int64_t m = 16; m <= 4096; m *= 4) {
            const struct rad_op sample = rad_op_vector(RAD_OP_SAMPLE, m, 128000, dtype);
            const struct rad_op softmax = rad_op_vector(RAD_OP_SOFTMAX, m, 128000, dtype);
            struct rad_cost a, b;
            OK(rad_hw_cost(hw, &sample, &a, &err));
            OK(rad_hw_cost(hw, &softmax, &b, &err));
            CU_ASSERT(a.time_s >= b.time_s * (1.0 - 1e-12) && a.time_s <= 2.5 * b.time_s);
            CU_ASSERT(a.time_s > last_s && a.dynamic_j + a.memory_j > 0.0);
            last_s = a.time_s;
        }
        rad_hw_close(hw);
    }
    rad_hw *hw = open_hw(names[0]); /* 1300 GB/s behind 2.8 us */
    const struct rad_op op = rad_op_vector(RAD_OP_SAMPLE, 64, 128000, RAD_F16);
    struct rad_cost c;
    OK(rad_hw_cost(hw, &op, &c, &err));
    NEAR(c.time_s, 2.8e-6 + 3.0 * 64 * 128000 * 2 / 1300e9, 1e-12);
    rad_hw_close(hw);
}

/* A run of P prompt and N new tokens draws 1 + N times for each sequence: what is added to the sum
 * of all other operations. */
static void replay_draws_where_logits_are(void)
{
    enum { N_SEQ = 4, PROMPT = 6, NEW = 20 };
    struct made_draw draw = {.n_layer = 8};
    const struct made_shape shape = {N_SEQ, PROMPT, NEW, true, false};
    struct rad_card card = made_card();
    double flop[2];
    for (int image = 0; image < 2; image++) {
        const struct rad_replay_options opt = {.batch = N_SEQ, .dtype = RAD_F16};
        rad_hw *hw = open_hw("tests/oracle/hw_vectors_gpu.yaml");
        struct rad_replay_result r;
        rad_plan *plan = NULL;
        struct made m;
        card.vocab = image ? 500 : 1000;
        made_open(&m, &card, &shape, made_dense, &draw);
        OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
        OK(rad_replay_cost(plan, hw, &r, &err));
        flop[image] = r.flop;
        rad_plan_free(plan);
        made_close(&m);
        rad_hw_close(hw);
    }
    const double rows = N_SEQ * (1.0 + NEW);
    NEAR(flop[0] - flop[1], rows * 500 * (2.0 * card.d_model + 6.0), 1e-9); /* head and sampling */
}

CU_TestInfo sample_tests[] = {
    {"it reads the logits three times", it_reads_the_logits_three_times},
    {"every class costs it", every_class_costs_it},
    {"replay draws where logits are", replay_draws_where_logits_are},
    CU_TEST_INFO_NULL,
};
