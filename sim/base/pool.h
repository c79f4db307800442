/* pool.h - a few threads that run numbered tasks in a fixed partition.
 *
 * In rad_pool_run task i always runs on thread i % size, so results that each task computes alone,
 * and reductions done in task order, have the same bits in every run. The caller is thread 0. Idle
 * threads spin for some microseconds, then sleep. */
#ifndef RAD_BASE_POOL_H
#define RAD_BASE_POOL_H

#include "base/err.h"

#define RAD_POOL_MAX 1024 /* threads */

typedef struct rad_pool rad_pool;

/* Start n_threads - 1 threads (0: one per CPU that is online). They block all signals, so that
 * handlers run in the program's own threads.
 * errors: RAD_E_ARG (not in 0..RAD_POOL_MAX), RAD_E_NOMEM, RAD_E_IO (the system has no more) */
RAD_MUST_CHECK enum rad_status rad_pool_open(rad_pool **out, int n_threads, struct rad_err *err);
void rad_pool_close(rad_pool *pool); /* not during rad_pool_run; accepts NULL */

int rad_pool_size(const rad_pool *pool); /* 1 for NULL */

/* Called as fn(ctx, task, thread). */
typedef void rad_pool_fn(void *ctx, int task, int thread);

/* Run tasks 0..n_task-1 and return when all are done; all that they wrote is visible then. One run
 * at a time per pool: not from within a task, nor from two threads. NULL: all in the caller, in
 * order. */
void rad_pool_run(rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx);

/* The same for tasks that do not care who runs them: a thread starts with tasks in a row of its own
 * and goes on with what others have left. Nobody waits for a thread that the system has not let run
 * yet. */
void rad_pool_share(rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx);

#endif
