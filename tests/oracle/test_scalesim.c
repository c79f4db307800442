/* test_scalesim.c - cycle counts of systolic arrays against those of SCALE-Sim v3; their links.
 *
 * The committed rows were counted by hand from the schedule: every fold loads its operand (R
 * cycles, not for outputs), streams T elements through R + C - 2 cycles of skew, and the last cycle
 * of the run is not counted. The simulator's own runs are read from ../shared where there is one.
 */
#include "hw/hw.h"
#include "hw/hw_cycles.h"
#include "hw/hw_ici.h"
#include "test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct run {
    int64_t rows, cols;
    enum rad_dataflow dataflow;
    int64_t m, n, k;
    double cycles;
};

static double serial(const struct run *r)
{
    const struct rad_array a = {r->rows, r->cols, 1, r->dataflow, 0};
    return rad_systolic_cycles(&a, r->m, r->n, r->k, 1);
}

static void counts_match_the_schedule(void)
{
    static const struct run runs[] = {
        /* 8 x 4: load 8, stream T with skew 10 */
        {8, 4, RAD_WEIGHT_STATIONARY, 5, 4, 8, 1 * (8 + 5 + 10) - 1},
        {8, 4, RAD_WEIGHT_STATIONARY, 5, 9, 17, 9 * (8 + 5 + 10) - 1},
        {8, 4, RAD_OUTPUT_STATIONARY, 5, 4, 8, 1 * (8 + 10) - 1},
        {8, 4, RAD_OUTPUT_STATIONARY, 17, 9, 100, 9 * (100 + 10) - 1},
        {8, 4, RAD_INPUT_STATIONARY, 5, 4, 8, 2 * (8 + 4 + 10) - 1},
        {8, 4, RAD_INPUT_STATIONARY, 17, 9, 100, 65 * (8 + 9 + 10) - 1},
        {1, 1, RAD_WEIGHT_STATIONARY, 3, 2, 2, 4 * (1 + 3) - 1},
        {16, 32, RAD_INPUT_STATIONARY, 33, 1, 16, 2 * (16 + 1 + 46) - 1},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        CU_ASSERT_EQUAL(serial(&runs[i]), runs[i].cycles);
}

/* Must not: charging weight load and drain on every fold makes a GEMV on a TPU v4 look bound by
 * its arrays (46.7 us) where the memory takes 27.3 us; real ones pipeline the loads (15.6 us). */
static void pipelining_keeps_a_gemv_bound_by_memory(void)
{
    const double clock = 1.05e9;
    struct rad_array a = {128, 128, 8, RAD_WEIGHT_STATIONARY, 1};
    const double pipelined_s = rad_systolic_cycles(&a, 1, 4096, 4096, 1) / clock;
    a.pipelined = 0;
    const double serial_s = rad_systolic_cycles(&a, 1, 4096, 4096, 1) / clock;
    const double memory_s = 2.0 * 4096 * 4096 / 1228e9;
    CU_ASSERT_DOUBLE_EQUAL(pipelined_s, 15.6e-6, 0.8e-6);
    CU_ASSERT_DOUBLE_EQUAL(serial_s, 46.7e-6, 0.5e-6);
    CU_ASSERT(pipelined_s < memory_s && memory_s < serial_s);
}

/* In every dataflow one array more never takes longer, and pipelining never does. */
static void more_arrays_and_pipelining_never_hurt(void)
{
    for (int flow = 0; flow < 3; flow++)
        for (int64_t m = 1; m < 5000; m = m * 3 + 1)
            for (int64_t count = 1; count < 9; count++) {
                const enum rad_dataflow d = (enum rad_dataflow)flow;
                const struct rad_array serial = {128, 64, count, d, 0};
                const struct rad_array piped = {128, 64, count, d, 1};
                const struct rad_array more = {128, 64, count + 1, d, 1};
                const double cycles = rad_systolic_cycles(&piped, m, 4096, 1000, 1);
                CU_ASSERT(cycles >= rad_systolic_cycles(&more, m, 4096, 1000, 1));
                CU_ASSERT(cycles <= rad_systolic_cycles(&serial, m, 4096, 1000, 1) + 260.0);
            }
}

static enum rad_dataflow flow_of(const char *name)
{
    CU_ASSERT_FATAL(strcmp(name, "ws") == 0 || strcmp(name, "os") == 0 || strcmp(name, "is") == 0);
    return name[0] == 'w'   ? RAD_WEIGHT_STATIONARY
           : name[0] == 'o' ? RAD_OUTPUT_STATIONARY
                            : RAD_INPUT_STATIONARY;
}

static void simulator_runs_are_met_exactly(void)
{
    const char *shared = getenv("SHARED");
    char path[512], line[256], flow[8];
    long long x[6];
    int n = 0;
    snprintf(path, sizeof path, "%s/reference/scalesim-sample.csv", shared ? shared : "../shared");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        printf("skipped: no %s ", path);
        return;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file) != NULL) {
        const int got = sscanf(line, "%lld,%lld,%7[a-z],%lld,%lld,%lld,%lld", &x[0], &x[1], flow,
                               &x[2], &x[3], &x[4], &x[5]);
        CU_ASSERT_EQUAL_FATAL(got, 7);
        const struct run r = {x[0], x[1], flow_of(flow), x[2], x[3], x[4], (double)x[5]};
        const bool same = serial(&r) == r.cycles;
        if (!same)
            fprintf(stderr, "\n%s: expected %g but found %g\n", line, r.cycles, serial(&r));
        CU_ASSERT(same);
        n++;
    }
    fclose(file);
    CU_ASSERT(n >= 50);
}

/* 64 chips in rings of 50 GB/s: 1 GB gathered over one axis takes 1e9 63/64 / 100e9 s, reduced
 * twice that; below 16 chips the ring is open. */
static void collectives_by_hand(void)
{
    const struct rad_ici ring = {50e9, 1, 0, 16}, hops = {50e9, 1, 1e-6, 16};
    double t = 0, u = 0;
    CU_ASSERT(rad_ici_time(&ring, "allgather", 1e9, 64, &t));
    NEAR(t, 63.0 / 64.0 / 100.0, 1e-12);
    CU_ASSERT(rad_ici_time(&ring, "allreduce", 1e9, 64, &u));
    NEAR(u, 2.0 * t, 1e-12);
    CU_ASSERT(rad_ici_time(&ring, "alltoall", 1e9, 64, &u));
    NEAR(u, t / 4.0, 1e-12);
    CU_ASSERT(rad_ici_time(&ring, "allgather", 1e9, 8, &t));
    NEAR(t, 2.0 * 7.0 / 8.0 / 100.0, 1e-12);
    CU_ASSERT(rad_ici_time(&hops, "allreduce", 1, 8, &t));
    NEAR(t, 14e-6, 1e-4);
    CU_ASSERT(rad_ici_time(&ring, "sendrecv", 1e9, 2, &t));
    NEAR(t, 0.02, 1e-12);
    CU_ASSERT(!rad_ici_time(&ring, "broadcast", 1e9, 8, &t));
}

static void only_linked_chips_have_collectives(void)
{
    rad_hw *v4 = NULL, *u280 = NULL;
    double t = 0;
    OK(rad_hw_open(&v4, "tpu-v4", &err));
    OK(rad_hw_open(&u280, "u280", &err));
    CU_ASSERT(rad_hw_link_time(v4, "allreduce", 1e6, 64, &t) && t > 0.0);
    CU_ASSERT(!rad_hw_link_time(v4, "allreduce", 1e6, 1, &t));
    CU_ASSERT(!rad_hw_link_time(v4, "gossip", 1e6, 8, &t));
    CU_ASSERT(!rad_hw_link_time(u280, "allreduce", 1e6, 8, &t));
    NEAR(rad_hw_link_j(v4, 1e9), 9.36e-3, 1e-12);
    CU_ASSERT_EQUAL(rad_hw_link_j(u280, 1e9), 0.0);
    rad_hw_close(v4);
    rad_hw_close(u280);
}

CU_TestInfo scalesim_tests[] = {
    {"counts match the schedule", counts_match_the_schedule},
    {"pipelining keeps a GEMV bound by memory", pipelining_keeps_a_gemv_bound_by_memory},
    {"more arrays and pipelining never hurt", more_arrays_and_pipelining_never_hurt},
    {"simulator runs are met exactly", simulator_runs_are_met_exactly},
    {"collectives by hand", collectives_by_hand},
    {"only linked chips have collectives", only_linked_chips_have_collectives},
    CU_TEST_INFO_NULL,
};
