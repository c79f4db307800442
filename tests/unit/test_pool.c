/* test_pool.c - shared runs of the pool; fixed ones are in test_base.c. */
#include "base/pool.h"
#include "test.h"

enum { N_TASK = 23, ROUNDS = 300 };

static void count(void *ctx, int task, int thread)
{
    (void)thread;
    ((int *)ctx)[task]++;
}

/* Every task once per run, any number of them, with fixed runs in between. */
static void shared_runs_take_each_task_once(void)
{
    for (int n = 1; n <= 4; n++) {
        int runs[N_TASK] = {0};
        rad_pool *pool = NULL;
        OK(rad_pool_open(&pool, n, &err));
        for (int i = 0; i < ROUNDS; i++) {
            rad_pool_share(pool, i % (N_TASK + 1), count, runs);
            if (i % 7 == 0)
                rad_pool_run(pool, N_TASK, count, runs);
        }
        for (int task = 0; task < N_TASK; task++) {
            int want = (ROUNDS + 6) / 7;
            for (int i = 0; i < ROUNDS; i++)
                want += task < i % (N_TASK + 1);
            CU_ASSERT_EQUAL(runs[task], want);
        }
        rad_pool_close(pool);
    }
    int runs[N_TASK] = {0};
    rad_pool_share(NULL, N_TASK, count, runs);
    CU_ASSERT_EQUAL(runs[N_TASK - 1], 1);
}

CU_TestInfo pool_tests[] = {
    {"shared runs take each task once", shared_runs_take_each_task_once},
    CU_TEST_INFO_NULL,
};
