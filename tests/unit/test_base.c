/* test_base.c - quantities, names, hashes, random numbers, threads, statistics, text, progress. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/near.h"
#include "base/param.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/stat.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- quantities and tables ------------------------------------------------------------- */

/* Equal to the last bit to what a C programmer would write. */
static void quantities_become_si(void)
{
    static const struct {
        const char *text;
        enum rad_dim dim;
        double value;
    } rows[] = {
        {"989 TFLOP/s", RAD_DIM_FLOP_PER_S, 989e12},
        {"1979 TOP/s", RAD_DIM_FLOP_PER_S, 1979e12},
        {"3.35TB/s", RAD_DIM_BYTES_PER_S, 3.35e12},
        {"400 Gbit/s", RAD_DIM_BYTES_PER_S, 50e9},
        {"80 GB", RAD_DIM_BYTES, 80e9},
        {"50 MiB", RAD_DIM_BYTES, 50.0 * 1048576.0},
        {"40 %", RAD_DIM_ONE, 0.4},
        {" -1.5e3 ", RAD_DIM_ONE, -1500.0},
        {"5 us", RAD_DIM_S, 5e-6},
        {"31 pJ/B", RAD_DIM_J_PER_BYTE, 31e-12},
        {"3.9 pJ/bit", RAD_DIM_J_PER_BYTE, 8.0 * 3.9e-12},
        {"0.4 pJ/FLOP", RAD_DIM_J_PER_FLOP, 0.4e-12},
        {"2.5 USD/h", RAD_DIM_USD_PER_H, 2.5},
        {"1.41 GHz", RAD_DIM_HZ, 1.41e9},
        {"20 mJ", RAD_DIM_J, 20e-3},
        {"108", RAD_DIM_INT, 108.0},
        {"1e3", RAD_DIM_INT, 1000.0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double value = 0.0;
        OK(rad_quantity_parse(rows[i].text, rows[i].dim, &value, &err));
        NEAR(value, rows[i].value, 3e-16);
    }
}

static void bad_quantities_are_refused(void)
{
    static const struct {
        const char *text;
        enum rad_dim dim;
        enum rad_status status;
        const char *message;
    } rows[] = {
        {"", RAD_DIM_ONE, RAD_E_PARSE, "expected a number but found ''"},
        {"nan", RAD_DIM_ONE, RAD_E_PARSE, "expected a number but found 'nan'"},
        {"inf", RAD_DIM_ONE, RAD_E_PARSE, "expected a number but found 'inf'"},
        {"0x10", RAD_DIM_ONE, RAD_E_PARSE, "expected a number but found '0x10'"},
        {".", RAD_DIM_ONE, RAD_E_PARSE, "expected a number but found '.'"},
        {"1 TB/s", RAD_DIM_FLOP_PER_S, RAD_E_PARSE,
         "expected a value in FLOP/s but found '1 TB/s'"},
        {"1", RAD_DIM_W, RAD_E_PARSE, "expected a value in W but found '1'"},
        {"3 k", RAD_DIM_ONE, RAD_E_PARSE, "expected a value in plain numbers but found '3 k'"},
        {"40 %", RAD_DIM_INT, RAD_E_PARSE, "expected a value in plain numbers but found '40 %'"},
        {"1 W @x", RAD_DIM_W, RAD_E_PARSE, "expected a value in W but found '1 W @x'"},
        {"1e400", RAD_DIM_ONE, RAD_E_RANGE, "'1e400' is too large"},
        {"1e300 PB", RAD_DIM_BYTES, RAD_E_RANGE, "'1e300 PB' is too large"},
        {"1.5", RAD_DIM_INT, RAD_E_RANGE, "expected a whole number but found '1.5'"},
        {"1 \033[31mW", RAD_DIM_W, RAD_E_PARSE, "expected a value in W but found '1 ?[31mW'"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double value = 7.0;
        CU_ASSERT_EQUAL(rad_quantity_parse(rows[i].text, rows[i].dim, &value, &err),
                        rows[i].status);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
        CU_ASSERT_EQUAL(value, 7.0);
    }
}

struct machine {
    double peak, power_w, cores;
};
static const struct rad_param machine_table[] = {
    {"peak", offsetof(struct machine, peak), RAD_DIM_FLOP_PER_S, 1e6, 1e18, RAD_REQUIRED,
     "peak rate"},
    {"power", offsetof(struct machine, power_w), RAD_DIM_W, 0, 1e4, 60, "static power"},
    {"cores", offsetof(struct machine, cores), RAD_DIM_INT, 1, 1024, 1, "cores"},
    RAD_PARAM_END,
};

static void tables_default_set_and_check(void)
{
    struct machine m;
    rad_params_default(machine_table, &m);
    CU_ASSERT(isnan(m.peak));
    CU_ASSERT_EQUAL(m.power_w, 60.0);
    CU_ASSERT_EQUAL(rad_params_check(machine_table, &m, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "missing required key 'peak' (peak rate)");
    OK(rad_params_set(machine_table, &m, "peak", "1 TFLOP/s", &err));
    OK(rad_params_set(machine_table, &m, "cores", "8", &err));
    OK(rad_params_check(machine_table, &m, &err));
    CU_ASSERT_EQUAL(m.peak, 1e12);
    CU_ASSERT_EQUAL(m.cores, 8.0);

    CU_ASSERT_EQUAL(rad_params_set(machine_table, &m, "peek", "1", &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "unknown key 'peek'; did you mean 'peak'");
    CU_ASSERT_EQUAL(rad_params_set(machine_table, &m, "bandwidth", "1", &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "unknown key 'bandwidth'");
    CU_ASSERT_EQUAL(rad_params_set(machine_table, &m, "power", "1 kB", &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'power': expected a value in W but found '1 kB'");
    CU_ASSERT_EQUAL(rad_params_set(machine_table, &m, "power", "20 kW", &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'power' must be in 0..10000 W but is 20000");
    CU_ASSERT_EQUAL(m.power_w, 60.0);
    CU_ASSERT_STRING_EQUAL(rad_dim_unit(RAD_DIM_BYTES_PER_S), "B/s");
    CU_ASSERT_STRING_EQUAL(rad_dim_unit(RAD_DIM_INT), "");
}

static void nearest_name_is_found(void)
{
    static const char *const names[] = {"dense", "radial", "mod", "oracle"};
    CU_ASSERT_EQUAL(rad_edit_distance("kitten", "sitting"), 3);
    CU_ASSERT_EQUAL(rad_edit_distance("", "abc"), 3);
    CU_ASSERT_STRING_EQUAL(rad_nearest("radail", names, 4), "radial");
    CU_ASSERT_STRING_EQUAL(rad_nearest("mod", names, 4), "mod");
    CU_ASSERT_PTR_NULL(rad_nearest("uls", names, 4));
    CU_ASSERT_PTR_NULL(rad_nearest("", names, 4));
    CU_ASSERT_PTR_NULL(rad_nearest("x", names, 0));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    CU_ASSERT_EQUAL(rad_edit_distance(longest, longest), 0);
}

/* ---- hashes and random numbers --------------------------------------------------------- */

/* Reference value: xxh3 of the empty string with seed 0, as published with the algorithm. */
static void hashes_agree_in_pieces(void)
{
    const char text[] = "every token chooses its own depth";
    char hex[17];
    rad_hasher *h = NULL;
    CU_ASSERT_EQUAL(rad_hash("", 0, 0), UINT64_C(0x2d06800538d394c2));
    OK(rad_hasher_open(&h, 5, &err));
    for (size_t i = 0; i < sizeof text; i++)
        rad_hasher_update(h, text + i, 1);
    CU_ASSERT_EQUAL(rad_hasher_final(h), rad_hash(text, sizeof text, 5));
    CU_ASSERT_NOT_EQUAL(rad_hash(text, sizeof text, 5), rad_hash(text, sizeof text, 6));
    rad_hash_hex(UINT64_C(0x00ab00000000cdef), hex);
    CU_ASSERT_STRING_EQUAL(hex, "00ab00000000cdef");
    CU_ASSERT_EQUAL(rad_hash_uniform(0), 0.0);
    CU_ASSERT(rad_hash_uniform(UINT64_MAX) < 1.0);
}

static void same_seed_same_numbers(void)
{
    rad_rng *a = NULL, *b = NULL, *c = NULL;
    OK(rad_rng_open(&a, 1, 2, &err));
    OK(rad_rng_open(&b, 1, 2, &err));
    OK(rad_rng_open(&c, 1, 3, &err));
    int equal = 0;
    for (int i = 0; i < 100; i++) {
        const double u = rad_rng_uniform(a);
        CU_ASSERT(u >= 0.0 && u < 1.0);
        CU_ASSERT_EQUAL(u, rad_rng_uniform(b));
        equal += u == rad_rng_uniform(c);
    }
    CU_ASSERT(equal < 3);
    rad_rng_close(a);
    rad_rng_close(b);
    rad_rng_close(c);
    rad_rng_close(NULL);
}

/* Means and counts of 20000 draws, with limits of five standard errors. */
static void draws_have_their_distribution(void)
{
    enum { N = 20000, SIDES = 6 };
    rad_rng *r = NULL;
    double sum = 0.0, squares = 0.0, high = 0.0;
    int count[SIDES] = {0};
    OK(rad_rng_open(&r, 42, 0, &err));
    for (int i = 0; i < N; i++) {
        const double x = rad_rng_normal(r);
        sum += x;
        squares += x * x;
        count[rad_rng_below(r, SIDES)]++;
        const int64_t wide = rad_rng_below(r, INT64_C(1) << 40);
        CU_ASSERT(wide >= 0 && wide < INT64_C(1) << 40);
        high += wide >= INT64_C(1) << 39;
    }
    CU_ASSERT(fabs(sum / N) < 5 * sqrt(1.0 / N));
    CU_ASSERT(fabs(squares / N - 1.0) < 5 * sqrt(2.0 / N));
    CU_ASSERT(fabs(high / N - 0.5) < 5 * sqrt(0.25 / N));
    for (int i = 0; i < SIDES; i++)
        CU_ASSERT(fabs((double)count[i] / N - 1.0 / SIDES) < 5 * sqrt(5.0 / 36 / N));
    CU_ASSERT_EQUAL(rad_rng_below(r, 1), 0);
    rad_rng_close(r);
}

/* ---- threads --------------------------------------------------------------------------- */

enum { N_TASK = 23 };
struct job {
    int runs[N_TASK], thread[N_TASK];
};

static void note_task(void *ctx, int task, int thread)
{
    struct job *job = ctx;
    job->runs[task]++;
    job->thread[task] = thread;
}

/* Every task runs once per call, on thread task % size, for many calls in a row. */
static void check_pool(int n_threads)
{
    enum { ROUNDS = 300 };
    struct job job = {{0}, {0}};
    rad_pool *pool = NULL;
    OK(rad_pool_open(&pool, n_threads, &err));
    CU_ASSERT_EQUAL(rad_pool_size(pool), n_threads);
    for (int i = 0; i < ROUNDS; i++) {
        rad_pool_run(pool, N_TASK, note_task, &job);
        rad_pool_run(pool, 0, note_task, &job);
    }
    rad_pool_run(pool, 1, note_task, &job);
    for (int i = 0; i < N_TASK; i++) {
        CU_ASSERT_EQUAL(job.runs[i], ROUNDS + (i == 0));
        CU_ASSERT_EQUAL(job.thread[i], i % n_threads);
    }
    rad_pool_close(pool);
}

static void pool_runs_each_task_once(void)
{
    for (int n = 1; n <= 4; n++)
        check_pool(n);
    struct job job = {{0}, {0}};
    rad_pool_run(NULL, N_TASK, note_task, &job);
    CU_ASSERT_EQUAL(job.runs[N_TASK - 1], 1);
    CU_ASSERT_EQUAL(rad_pool_size(NULL), 1);
    rad_pool_close(NULL);
}

static void idle(void *ctx, int task, int thread)
{
    (void)task;
    const double until_s = rad_now_s() + (thread == *(int *)ctx ? 2e-3 : 0.0);
    while (rad_now_s() < until_s)
        continue;
}

/* Long enough apart that workers, and then the caller, fall asleep. */
static void pool_wakes_sleepers(void)
{
    rad_pool *pool = NULL;
    OK(rad_pool_open(&pool, 3, &err));
    for (int slow = 0; slow < 3; slow++)
        for (int i = 0; i < 5; i++)
            rad_pool_run(pool, 3, idle, &slow);
    rad_pool_close(pool);
    CU_ASSERT_EQUAL(rad_pool_open(&pool, -1, &err), RAD_E_ARG);
    CU_ASSERT_PTR_NULL(pool);
    CU_ASSERT_EQUAL(rad_pool_open(&pool, RAD_POOL_MAX + 1, &err), RAD_E_ARG);
    CU_ASSERT_STRING_EQUAL(err.msg, "threads: expected 0..1024 but found 1025");
    OK(rad_pool_open(&pool, 0, &err));
    CU_ASSERT(rad_pool_size(pool) >= 1);
    rad_pool_close(pool);
}

/* ---- statistics ------------------------------------------------------------------------ */

/* Type 7 of Hyndman & Fan: position q (n - 1) of 1 2 4 8 is 3 q. */
static void statistics_of_small_samples(void)
{
    double x[] = {8, 1, 4, 2};
    const double tied[] = {1, 2, 2, 3}, up[] = {10, 20, 30, 40}, down[] = {4, 3, 2, 1};
    const double flat[] = {5, 5, 5, 5};
    double rho = 0.0;
    rad_sort_doubles(x, 4);
    CU_ASSERT_EQUAL(x[0], 1.0);
    CU_ASSERT_EQUAL(x[3], 8.0);
    CU_ASSERT_EQUAL(rad_quantile(x, 4, 0.0), 1.0);
    CU_ASSERT_EQUAL(rad_quantile(x, 4, 0.5), 3.0);
    CU_ASSERT_EQUAL(rad_quantile(x, 4, 1.0), 8.0);
    NEAR(rad_quantile(x, 4, 0.9), 6.8, 1e-15);
    CU_ASSERT(isnan(rad_quantile(x, 0, 0.5)) && isnan(rad_quantile(x, 4, 1.5)));
    const double open_end[] = {1.0, 2.0, (double)INFINITY};
    CU_ASSERT_EQUAL(rad_quantile(open_end, 3, 0.5), 2.0);
    CU_ASSERT(isinf(rad_quantile(open_end, 3, 0.6)) && isinf(rad_quantile(open_end, 3, 1.0)));
    CU_ASSERT_EQUAL(rad_mean(x, 4), 3.75);
    NEAR(rad_stddev(x, 4), sqrt(28.75 / 3.0), 1e-14);
    CU_ASSERT(isnan(rad_mean(x, 0)) && isnan(rad_stddev(x, 1)));
    OK(rad_spearman(up, down, 4, &rho, &err));
    NEAR(rho, -1.0, 1e-14);
    OK(rad_spearman(up, tied, 4, &rho, &err)); /* ranks 1 2.5 2.5 4: 4.5 / sqrt(5 * 4.5) */
    NEAR(rho, 4.5 / sqrt(22.5), 1e-14);
    OK(rad_spearman(up, flat, 4, &rho, &err));
    CU_ASSERT(isnan(rho));
    OK(rad_spearman(up, down, 1, &rho, &err));
    CU_ASSERT(isnan(rho));
}

/* ---- text and progress ----------------------------------------------------------------- */

static void buffers_grow(void)
{
    struct rad_buf b = {0};
    rad_buf_append(&b, NULL, 0);
    CU_ASSERT_STRING_EQUAL(b.data, "");
    for (int i = 0; i < 1000; i++)
        rad_buf_printf(&b, "%d,", i % 10);
    rad_buf_add(&b, "end");
    CU_ASSERT(!b.failed && b.len == 2003 && strlen(b.data) == 2003);
    CU_ASSERT_STRING_EQUAL(b.data + 1994, "7,8,9,end");
    rad_buf_append(&b, "x", SIZE_MAX); /* fails before it reads */
    CU_ASSERT(b.failed && b.len == 2003);
    rad_buf_add(&b, "ignored");
    CU_ASSERT_EQUAL(b.len, 2003);
    rad_buf_free(&b);
    CU_ASSERT(b.data == NULL && !b.failed);
}

static void shown_names_are_harmless(void)
{
    char out[RAD_SHOW_MAX], name[200];
    CU_ASSERT_STRING_EQUAL(rad_show(out, "plain n\xc3\xa4me"), "plain n\xc3\xa4me");
    CU_ASSERT_STRING_EQUAL(rad_show(out, "a\033[2J\nb\177"), "a?[2J?b?");
    CU_ASSERT_STRING_EQUAL(rad_show(out, "\xc2\x9b"), "\xc2?");
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CU_ASSERT_EQUAL(strlen(rad_show(out, name)), RAD_SHOW_MAX - 1);
    CU_ASSERT_STRING_EQUAL(out + RAD_SHOW_MAX - 5, "a...");
    name[RAD_SHOW_MAX - 1] = '\0'; /* fits exactly */
    CU_ASSERT_STRING_EQUAL(rad_show(out, name), name);
}

static void progress_writes_json_lines(void)
{
    const char *path = "build/tmp/progress.txt";
    enum rad_progress_mode mode = RAD_PROGRESS_NONE;
    char *text = NULL;
    OK(rad_dir_make("build/tmp", &err));
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    rad_progress *p = rad_progress_open(file, "a \"job\"", 4, RAD_PROGRESS_JSON);
    rad_progress_step(p, 1, "loss 2");
    rad_progress_step(p, 2, "too soon to be written");
    rad_progress_step(p, 4, NULL);
    rad_progress_close(p);
    p = rad_progress_open(file, "not a terminal", 4, RAD_PROGRESS_AUTO);
    rad_progress_step(p, 1, NULL);
    rad_progress_close(p);
    rad_progress_step(NULL, 1, NULL);
    rad_progress_close(NULL);
    fclose(file);
    OK(rad_file_read(path, 10000, &text, NULL, &err));
    CU_ASSERT_STRING_EQUAL(text,
                           "{\"progress\": \"a ?job?\", \"done\": 1, \"total\": 4, \"frac\": "
                           "0.2500, \"elapsed_s\": 0.0, \"left_s\": null, \"note\": \"loss 2\"}\n"
                           "{\"progress\": \"a ?job?\", \"done\": 4, \"total\": 4, \"frac\": "
                           "1.0000, \"elapsed_s\": 0.0, \"left_s\": 0.0, \"note\": \"\"}\n");
    free(text);
    CU_ASSERT(rad_progress_mode_parse("json", &mode) && mode == RAD_PROGRESS_JSON);
    CU_ASSERT(!rad_progress_mode_parse("Json", &mode));
}

static void clocks_go_forward(void)
{
    const double wall_s = rad_now_s(), cpu_s = rad_cpu_s();
    while (rad_cpu_s() - cpu_s < 1e-3)
        continue;
    CU_ASSERT(rad_now_s() > wall_s && rad_now_s() < wall_s + 60.0);
}

CU_TestInfo base_tests[] = {
    {"quantities become SI", quantities_become_si},
    {"bad quantities are refused", bad_quantities_are_refused},
    {"tables default, set and check", tables_default_set_and_check},
    {"nearest name is found", nearest_name_is_found},
    {"hashes agree in pieces", hashes_agree_in_pieces},
    {"same seed, same numbers", same_seed_same_numbers},
    {"draws have their distribution", draws_have_their_distribution},
    {"pool runs each task once", pool_runs_each_task_once},
    {"pool wakes sleepers", pool_wakes_sleepers},
    {"statistics of small samples", statistics_of_small_samples},
    {"buffers grow", buffers_grow},
    {"shown names are harmless", shown_names_are_harmless},
    {"progress writes JSON lines", progress_writes_json_lines},
    {"clocks go forward", clocks_go_forward},
    CU_TEST_INFO_NULL,
};
