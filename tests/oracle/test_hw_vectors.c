/* test_hw_vectors.c - the hardware models against vectors of an independent script.
 *
 * hw_vectors.py recomputes the equations from their documents and writes hw_vectors.tsv and the
 * made-up profiles; both are committed, so that this test needs no Python. */
#include "hw/hw.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/oracle/hw_vectors"

enum { N_CELL = 19, LINE_BYTES = 1024 };

static enum rad_op_kind kind_of(const char *name)
{
    unsigned kind = 0;
    while (kind < RAD_N_OP_KIND && strcmp(rad_op_kind_name((enum rad_op_kind)kind), name) != 0)
        kind++;
    CU_ASSERT_FATAL(kind < RAD_N_OP_KIND);
    return (enum rad_op_kind)kind;
}

/* Cells: model kind dtype m n k keys heads kv_heads dim seqs set, then the expected cost. */
static struct rad_op op_of(char *const cell[N_CELL])
{
    enum rad_dtype dtype = RAD_F32;
    struct rad_op op;
    long long x[9];
    OK(rad_dtype_parse(cell[2], &dtype, &err));
    for (int i = 0; i < 9; i++)
        x[i] = strtoll(cell[3 + i], NULL, 10);
    const enum rad_op_kind kind = kind_of(cell[1]);
    if (kind == RAD_OP_GEMM) {
        op = rad_op_gemm(x[0], x[1], x[2], dtype);
    } else if (kind == RAD_OP_ATTEND) {
        const struct rad_attend_shape shape = {.m = x[0],
                                               .n_keys = x[3],
                                               .kv_read_keys = x[3],
                                               .heads = (int32_t)x[4],
                                               .kv_heads = (int32_t)x[5],
                                               .head_dim = (int32_t)x[6],
                                               .n_seq = (int32_t)x[7]};
        op = rad_op_attend(&shape, dtype);
    } else {
        op = rad_op_vector(kind, x[0], x[1], dtype);
    }
    op.weight_set_bytes = (double)x[8];
    return op;
}

static int split(char *line, char *cell[N_CELL])
{
    int n = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *p = line; p != NULL && n < N_CELL; n++) {
        cell[n] = p;
        p = strchr(p, '\t');
        if (p != NULL)
            *p++ = '\0';
    }
    return n;
}

static void compare(const rad_hw *hw, char *const cell[N_CELL], int line)
{
    const struct rad_op op = op_of(cell);
    struct rad_cost c;
    OK(rad_hw_cost(hw, &op, &c, &err));
    const double got[7] = {c.time_s,    c.compute_s, c.memory_s, c.overhead_s,
                           c.dynamic_j, c.memory_j,  c.static_j};
    for (int i = 0; i < 7; i++) {
        const double want = strtod(cell[12 + i], NULL);
        const bool same = fabs(got[i] - want) <= 1e-12 * fabs(want);
        if (!same)
            fprintf(stderr, "\n%s.tsv:%d: column %d: expected %.17g but found %.17g\n", FOLDER,
                    line, 13 + i, want, got[i]);
        CU_ASSERT(same);
    }
}

/* All rows of one model; returns how many there were. */
static int compare_model(const char *model)
{
    char path[64], line[LINE_BYTES], *cell[N_CELL];
    rad_hw *hw = NULL;
    int n = 0;
    snprintf(path, sizeof path, FOLDER "_%s.yaml", model);
    OK(rad_hw_open(&hw, path, &err));
    FILE *file = fopen(FOLDER ".tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        CU_ASSERT_EQUAL_FATAL(split(line, cell), N_CELL);
        if (strcmp(cell[0], model) != 0)
            continue;
        compare(hw, cell, number);
        n++;
    }
    fclose(file);
    rad_hw_close(hw);
    return n;
}

static void gpu_matches_the_oracle(void)
{
    CU_ASSERT_EQUAL(compare_model("gpu"), 128);
}

static void systolic_matches_the_oracle(void)
{
    CU_ASSERT_EQUAL(compare_model("systolic"), 128);
}

static void fpga_matches_the_oracle(void)
{
    CU_ASSERT_EQUAL(compare_model("fpga"), 128);
}

static void cpu_matches_the_oracle(void)
{
    CU_ASSERT_EQUAL(compare_model("cpu"), 128);
}

CU_TestInfo hw_vectors_tests[] = {
    {"gpu matches the oracle", gpu_matches_the_oracle},
    {"systolic matches the oracle", systolic_matches_the_oracle},
    {"fpga matches the oracle", fpga_matches_the_oracle},
    {"cpu matches the oracle", cpu_matches_the_oracle},
    CU_TEST_INFO_NULL,
};
