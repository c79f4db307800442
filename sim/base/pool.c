/* pool.c - a generation counter starts a run, a count of what is unfinished ends it.
 *
 * Both are atomics that a waiter first polls for some microseconds: a training step is hundreds of
 * short runs, and a futex round trip for each costs more than the work. Then it sleeps on a
 * condition.
 *
 * In a fixed run every worker has its share and must come. In a shared run everyone claims tasks
 * one by one, first those of the own lane, then those left in others: neighbours stay on one
 * thread, and a worker that the system lets wait holds nobody up. Generation and number of
 * unclaimed tasks of a lane are one word, so a claim cannot hit another run. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPINS = 2000, CACHE_LINE = 64 };
#define GENERATION ((uint64_t)1 << 32)
#define SHARED ((uint64_t)1 << 31)

struct worker {
    rad_pool *pool;
    pthread_t thread;
    int index;
};

struct lane {
    _Alignas(CACHE_LINE) _Atomic uint64_t left; /* generation, unclaimed tasks */
};

struct rad_pool {
    /* Apart from each other, so that finishing workers do not disturb those that poll. */
    _Alignas(CACHE_LINE) _Atomic uint64_t state; /* generation, SHARED or not */
    _Alignas(CACHE_LINE) atomic_int unfinished;
    _Alignas(CACHE_LINE) atomic_int idle; /* workers that sleep */
    atomic_int caller_sleeps;
    pthread_mutex_t mutex;
    pthread_cond_t started, finished;
    _Atomic(rad_pool_fn *) fn;
    _Atomic(void *) ctx;
    atomic_int n_task;
    int size;
    bool stop;
    struct worker *worker; /* [size - 1], threads 1.. */
    struct lane *lane;     /* [size] */
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void run_fixed(rad_pool *pool, int thread)
{
    rad_pool_fn *const fn = atomic_load(&pool->fn);
    void *const ctx = atomic_load(&pool->ctx);
    const int n_task = atomic_load(&pool->n_task);
    for (int task = thread; task < n_task; task += pool->size)
        fn(ctx, task, thread);
}

/* Wake who sleeps on condition, if anyone does. Both sides are sequentially consistent: the waiter
 * counts itself as a sleeper before it looks at the awaited value, the waker changes that value
 * before it looks for sleepers, so at least one of them sees the other. Taking the lock before the
 * signal: a sleeper that saw the old value is within cond_wait by then. */
static void wake(rad_pool *pool, atomic_int *sleepers, pthread_cond_t *condition)
{
    if (atomic_load(sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(condition);
    pthread_mutex_unlock(&pool->mutex);
}

/* Wait until a run of another generation than the last seen one has started; its state. */
static uint64_t await_start(rad_pool *pool, uint64_t seen)
{
    uint64_t now = seen;
    for (int i = 0; i < SPINS; i++) {
        now = atomic_load(&pool->state);
        if (now / GENERATION != seen)
            return now;
        pause_cpu();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->idle, 1);
    while ((now = atomic_load(&pool->state)) / GENERATION == seen)
        pthread_cond_wait(&pool->started, &pool->mutex);
    atomic_fetch_sub(&pool->idle, 1);
    pthread_mutex_unlock(&pool->mutex);
    return now;
}

static void await_finish(rad_pool *pool)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->unfinished) == 0)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, 1);
    while (atomic_load(&pool->unfinished) != 0)
        pthread_cond_wait(&pool->finished, &pool->mutex);
    atomic_store(&pool->caller_sleeps, 0);
    pthread_mutex_unlock(&pool->mutex);
}

static void finish(rad_pool *pool, int n)
{
    if (n > 0 && atomic_fetch_sub(&pool->unfinished, n) == n)
        wake(pool, &pool->caller_sleeps, &pool->finished);
}

/* One past the last task of a lane: the first of the next one. */
static int lane_end(int n_task, int size, int lane)
{
    return (int)((int64_t)n_task * (lane + 1) / size);
}

/* Claim and run tasks of a lane; how many. They are not yet counted as finished: one count for many
 * tasks, because all threads write it. The job is read after a word of its run was, and no other
 * job can be set before the claimed task is done. */
static int run_lane(rad_pool *pool, uint64_t run, int lane, int thread)
{
    int done = 0;
    uint64_t left = atomic_load(&pool->lane[lane].left);
    while (left / GENERATION == run && left % GENERATION > 0) {
        rad_pool_fn *const fn = atomic_load(&pool->fn);
        void *const ctx = atomic_load(&pool->ctx);
        const int end = lane_end(atomic_load(&pool->n_task), pool->size, lane);
        const int task = end - (int)(left % GENERATION);
        if (!atomic_compare_exchange_strong(&pool->lane[lane].left, &left, left - 1))
            continue; /* left is what was found instead */
        left--;
        fn(ctx, task, thread);
        done++;
    }
    return done;
}

static void run_shared(rad_pool *pool, uint64_t run, int thread)
{
    int done = 0;
    for (int i = 0; i < pool->size; i++)
        done += run_lane(pool, run, (thread + i) % pool->size, thread);
    finish(pool, done);
}

static void *work(void *arg)
{
    struct worker *self = arg;
    rad_pool *pool = self->pool;
    for (uint64_t seen = 0;;) {
        const uint64_t state = await_start(pool, seen);
        seen = state / GENERATION;
        if (pool->stop)
            return NULL;
        if (state & SHARED) {
            run_shared(pool, seen, self->index);
            continue;
        }
        run_fixed(pool, self->index);
        finish(pool, 1);
    }
}

static uint64_t next_run(const rad_pool *pool)
{
    return (atomic_load(&pool->state) / GENERATION + 1) % GENERATION;
}

static void start(rad_pool *pool, uint64_t state)
{
    atomic_store(&pool->state, state);
    wake(pool, &pool->idle, &pool->started);
}

static bool run_alone(const rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx)
{
    if (pool != NULL && pool->size > 1 && n_task > 1)
        return false;
    for (int task = 0; task < n_task; task++)
        fn(ctx, task, 0);
    return true;
}

static void set_job(rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx)
{
    atomic_store(&pool->fn, fn);
    atomic_store(&pool->ctx, ctx);
    atomic_store(&pool->n_task, n_task);
}

void rad_pool_run(rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx)
{
    if (run_alone(pool, n_task, fn, ctx))
        return;
    set_job(pool, n_task, fn, ctx);
    atomic_store(&pool->unfinished, pool->size - 1);
    start(pool, next_run(pool) * GENERATION);
    run_fixed(pool, 0);
    await_finish(pool);
}

void rad_pool_share(rad_pool *pool, int n_task, rad_pool_fn *fn, void *ctx)
{
    if (run_alone(pool, n_task, fn, ctx))
        return;
    set_job(pool, n_task, fn, ctx);
    atomic_store(&pool->unfinished, n_task);
    const uint64_t run = next_run(pool);
    for (int i = 0, from = 0; i < pool->size; i++) {
        const int end = lane_end(n_task, pool->size, i);
        atomic_store(&pool->lane[i].left, run * GENERATION + (uint64_t)(end - from));
        from = end;
    }
    start(pool, run * GENERATION + SHARED);
    run_shared(pool, run, 0);
    await_finish(pool);
}

int rad_pool_size(const rad_pool *pool)
{
    return pool != NULL ? pool->size : 1;
}

void rad_pool_close(rad_pool *pool)
{
    if (pool == NULL)
        return;
    pool->stop = true;
    start(pool, next_run(pool) * GENERATION);
    for (int i = 0; i < pool->size - 1; i++)
        pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->started);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->lane);
    free(pool->worker);
    free(pool);
}

static rad_pool *allocate(int n_threads)
{
    rad_pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    if (pool == NULL)
        return NULL;
    memset(pool, 0, sizeof *pool);
    pool->worker = calloc((size_t)n_threads, sizeof *pool->worker);
    pool->lane = aligned_alloc(CACHE_LINE, (size_t)n_threads * sizeof *pool->lane);
    if (pool->worker == NULL || pool->lane == NULL) {
        free(pool->lane);
        free(pool->worker);
        free(pool);
        return NULL;
    }
    for (int i = 0; i < n_threads; i++)
        atomic_init(&pool->lane[i].left, 0);
    atomic_init(&pool->state, 0);
    atomic_init(&pool->fn, NULL);
    atomic_init(&pool->ctx, NULL);
    atomic_init(&pool->n_task, 0);
    atomic_init(&pool->unfinished, 0);
    atomic_init(&pool->idle, 0);
    atomic_init(&pool->caller_sleeps, 0);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->started, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->size = 1;
    return pool;
}

/* size counts the threads that run, so that closing a partly opened pool is right. */
static int start_workers(rad_pool *pool, int n_threads)
{
    sigset_t all, old;
    int error = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 1; i < n_threads && error == 0; i++) {
        struct worker *w = &pool->worker[i - 1];
        *w = (struct worker){.pool = pool, .index = i};
        error = pthread_create(&w->thread, NULL, work, w);
        pool->size += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

enum rad_status rad_pool_open(rad_pool **out, int n_threads, struct rad_err *err)
{
    *out = NULL;
    if (n_threads < 0 || n_threads > RAD_POOL_MAX)
        return rad_fail(err, RAD_E_ARG, "threads: expected 0..%d but found %d", RAD_POOL_MAX,
                        n_threads);
    if (n_threads == 0) {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        n_threads = online < 1 ? 1 : online > RAD_POOL_MAX ? RAD_POOL_MAX : (int)online;
    }
    rad_pool *pool = allocate(n_threads);
    if (pool == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory for a pool of %d threads", n_threads);
    const int error = start_workers(pool, n_threads);
    if (error != 0) {
        const int running = pool->size;
        rad_pool_close(pool);
        return rad_fail(err, RAD_E_IO, "cannot start thread %d of %d: %s; ask for fewer threads",
                        running + 1, n_threads, strerror(error));
    }
    *out = pool;
    return RAD_OK;
}
