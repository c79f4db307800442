/* test_sweep.c - which points a spec means, and which specs are refused. */
#include "sweep/sweep.h"

#include "base/io.h"
#include "refuse.h"
#include "sweep_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMP "build/tmp/sweep-"
#define TRACE_A TMP "a.db"
#define TRACE_B TMP "b.db"

/* Once per program: each file is synced to the disk. */
static void make_traces(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    made_file(TRACE_A, &(struct made_file){.policy = "dense", .nll = 1.5});
    made_file(TRACE_B, &(struct made_file){.policy = "skip:frac=0.5", .keep = 2, .nll = 1.7});
}

static rad_sweep_spec *spec_of(const char *text)
{
    rad_sweep_spec *spec = NULL;
    OK(rad_sweep_parse(&spec, text, "s.yaml", &err));
    return spec;
}

static const char *value(const rad_sweep_spec *spec, size_t point, enum rad_sweep_axis axis)
{
    return rad_sweep_points(spec)[point].value[axis];
}

#define HEAD "{trace: [" TRACE_A "], hw: [a100-sxm-80gb, tpu-v4]"

/* ---- specs ----------------------------------------------------------------------------- */

static void grid_takes_every_combination(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: {hw: {values: [a100-sxm-80gb, tpu-v4]},"
                " trace: {values: [\"" TMP "[ab].db\"]}, batch: {values: [1, 2, 4]}}\n"
                "constraints: [\"batch <= 2\"]\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 2 * 2 * 2);
    static const char *const batch[] = {"1", "1", "2", "2", "1", "1", "2", "2"};
    for (size_t i = 0; i < 8; i++) {
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_TRACE), i < 4 ? TRACE_A : TRACE_B);
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_BATCH), batch[i]);
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_HW),
                               i % 2 == 0 ? "a100-sxm-80gb" : "tpu-v4");
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_DTYPE), "auto");
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_POLICY), "");
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(rad_sweep_points(spec)[i].key,
                                       rad_sweep_points(spec)[k].key);
    }
    CU_ASSERT_STRING_EQUAL(rad_sweep_points(spec)[2].text,
                           "trace=" TRACE_A "\nbatch=2\nhw=a100-sxm-80gb\n");
    rad_sweep_close(spec);
}

/* A value given twice, and a default written out, are the same point. */
static void equal_points_are_one(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: " HEAD ", batch: [1, 1, 2], dtype: auto}\n");
    rad_sweep_spec *bare = spec_of("method: grid\nparameters: " HEAD "}\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 4);
    CU_ASSERT_STRING_EQUAL(rad_sweep_points(spec)[0].key, rad_sweep_points(bare)[0].key);
    rad_sweep_close(spec);
    rad_sweep_close(bare);
}

static void ranges_become_lists(void)
{
    static const char *const factor[] = {"1", "2", "4", "8", "16", "32"};
    make_traces();
    rad_sweep_spec *spec = spec_of("method: grid\nparameters: {trace: " TRACE_A ", hw: tpu-v4,"
                                   " batch: {min: 1, max: 32, factor: 2}, seed: {min: 0, max: 6,"
                                   " step: 3}}\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 6 * 3);
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_STRING_EQUAL(value(spec, 3 * i, RAD_AXIS_BATCH), factor[i]);
    CU_ASSERT_STRING_EQUAL(value(spec, 2, RAD_AXIS_SEED), "6");
    rad_sweep_close(spec);
}

static bool has_key(const rad_sweep_spec *spec, const char *key)
{
    for (size_t i = 0; i < rad_sweep_n_point(spec); i++)
        if (strcmp(rad_sweep_points(spec)[i].key, key) == 0)
            return true;
    return false;
}

#define DRAWN(method, points, seed)                                                                \
    "method: " method "\npoints: " points "\nseed: " seed "\nparameters: " HEAD                    \
    ", batch: {min: 1, max: 64, distribution: log_uniform}, seed: {min: 0, max: 999}}\n"           \
    "constraints: [\"batch > 1\"]\n"

/* Same seed, same points; a longer list holds the shorter one; another seed gives others. */
static void check_drawing(const char *few, const char *many, const char *other)
{
    make_traces();
    rad_sweep_spec *a = spec_of(few), *b = spec_of(many), *c = spec_of(few);
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(a), 40);
    CU_ASSERT_EQUAL(rad_sweep_n_point(b), 80);
    for (size_t i = 0; i < 40; i++) {
        const long batch = strtol(value(a, i, RAD_AXIS_BATCH), NULL, 10);
        CU_ASSERT(batch > 1 && batch <= 64);
        CU_ASSERT_STRING_EQUAL(rad_sweep_points(a)[i].key, rad_sweep_points(c)[i].key);
        CU_ASSERT(has_key(b, rad_sweep_points(a)[i].key));
    }
    if (other != NULL) {
        rad_sweep_spec *d = spec_of(other);
        size_t same = 0;
        for (size_t i = 0; i < 40; i++)
            same += has_key(d, rad_sweep_points(a)[i].key);
        CU_ASSERT(same < 10);
        rad_sweep_close(d);
    }
    rad_sweep_close(a);
    rad_sweep_close(b);
    rad_sweep_close(c);
}

static void random_is_repeatable(void)
{
    check_drawing(DRAWN("random", "40", "7"), DRAWN("random", "80", "7"),
                  DRAWN("random", "40", "8"));
}

static void sobol_is_repeatable(void)
{
    check_drawing(DRAWN("sobol", "40", "0"), DRAWN("sobol", "80", "0"), NULL);
}

/* The first 2^k points of a Sobol sequence fill every half equally: that is its point. GSL leaves
 * out the point at 0, so that one value may have one more. */
static void sobol_is_even(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: sobol\npoints: 64\nparameters: " HEAD ", seed: {min: 0, max: 1000000}}\n");
    int first = 0;
    for (size_t i = 0; i < 64; i++)
        first += strcmp(value(spec, i, RAD_AXIS_HW), "tpu-v4") == 0;
    CU_ASSERT(first >= 31 && first <= 33);
    rad_sweep_close(spec);
}

/* A small space is listed whole when more points are asked for than it has. */
static void a_small_space_ends(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: random\npoints: 500\nparameters: " HEAD ", batch: [1, 2, 4]}\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 6);
    rad_sweep_close(spec);
}

/* $depth, $skip and $speedup say the same depth to different policies; dense has none. */
static void depth_goes_into_policies(void)
{
    static const char *const policy[] = {"radial:budget=0.25",
                                         "radial:budget=1",
                                         "skip:frac=0.75,seed=1",
                                         "skip:frac=0,seed=1",
                                         "uls:speedup=4",
                                         "uls:speedup=1",
                                         "dense"};
    rad_sweep_spec *spec = spec_of(
        "method: grid\nparameters: {model: models/none, text: tests/unit/test_sweep.c, hw: tpu-v4,"
        " depth: [0.25, 1], policy: ['radial:budget=$depth', 'skip:frac=$skip,seed=1',"
        " 'uls:speedup=$speedup', dense]}\n");
    CU_ASSERT_EQUAL_FATAL(rad_sweep_n_point(spec), 7);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_STRING_EQUAL(value(spec, i, RAD_AXIS_POLICY), policy[i]);
    CU_ASSERT_STRING_EQUAL(value(spec, 0, RAD_AXIS_DEPTH), "0.25");
    CU_ASSERT_STRING_EQUAL(value(spec, 6, RAD_AXIS_DEPTH), "");
    rad_sweep_close(spec);
}

static void constraints_choose(void)
{
    make_traces();
    rad_sweep_spec *spec =
        spec_of("method: grid\nparameters: " HEAD ", dtype: [fp16, int8], batch: [1, 8]}\n"
                "constraints: [\"hw != tpu-v4 or dtype==int8\", batch>=1e0 or hw == x]\n");
    CU_ASSERT_EQUAL(rad_sweep_n_point(spec), 6);
    for (size_t i = 0; i < rad_sweep_n_point(spec); i++)
        CU_ASSERT(strcmp(value(spec, i, RAD_AXIS_HW), "tpu-v4") != 0 ||
                  strcmp(value(spec, i, RAD_AXIS_DTYPE), "int8") == 0);
    rad_sweep_close(spec);
}

/* ---- refusals -------------------------------------------------------------------------- */

static void bad_specs_are_refused(void)
{
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } rows[] = {
        {"parameters: {}", "method", RAD_E_RANGE},
        {"method: gird\nparameters: {}", "s.yaml:1:9: expected a method", RAD_E_PARSE},
        {"method: grid\nparameters: {traec: [a]}", "did you mean 'trace'", RAD_E_PARSE},
        {"method: grid\npoints: 3\nparameters: " HEAD "}", "remove 'points'", RAD_E_PARSE},
        {"method: random\nparameters: " HEAD "}", "points", RAD_E_RANGE},
        {"method: grid\nparameters: {hw: [tpu-v4]}", "either 'trace' or 'model'", RAD_E_PARSE},
        {"method: grid\nparameters: {trace: [" TRACE_A "]}", "missing parameter 'hw'", RAD_E_PARSE},
        {"method: grid\nparameters: {trace: [build/tmp/none.db], hw: [tpu-v4]}",
         "cannot read 'build/tmp/none.db'", RAD_E_IO},
        {"method: grid\nparameters: {trace: ['build/tmp/none-*.db'], hw: [tpu-v4]}",
         "no file matches", RAD_E_IO},
        {"method: grid\nparameters: " HEAD ", batch: [0]}", "s.yaml:2:", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", batch: [1.5]}", "s.yaml:2:", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {min: 1, max: 8}}", "step or factor",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {values: [1], min: 1}}", "either values",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batch: {min: 9, max: 8, step: 1}}",
         "min is above max", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", dtype: {min: 1, max: 2, step: 1}}", "no number",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", dtype: [fp17]}", "fp16", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", phase: [decoed]}", "decode", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", kv: [holes]}", "hole", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", batcher: [layers]}", "did you mean 'layer'",
         RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", resample: [yes]}", "true or false", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", resample: []}", "list of values", RAD_E_PARSE},
        {"method: grid\nparameters: " HEAD ", policy: [dense]}", "needs 'model'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, hw: x}", "'model' needs 'text'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, depth: [0.5]}",
         "need each other", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, policy: ['a:b=$dept']}",
         "after '$'", RAD_E_PARSE},
        {"method: grid\nparameters: {model: m, text: Makefile, hw: x, depth: [1.5],"
         " policy: ['a:b=$depth']}",
         "s.yaml:2:", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", batch: [1]}\nconstraints: [batch > 4]", "no point",
         RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", seed: {min: 0, max: 99999, step: 1},"
         " batch: {min: 1, max: 99999, step: 1}}",
         "combinations", RAD_E_RANGE},
        {"method: grid\nparameters: " HEAD ", hw: [a]}", "hw", RAD_E_PARSE},
    };
    make_traces();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_sweep_spec *spec = NULL;
        REFUSES(rad_sweep_parse(&spec, rows[i].text, "s.yaml", &err), rows[i].status,
                rows[i].message);
        CU_ASSERT_PTR_NULL(spec);
    }
}

static void bad_constraints_are_refused(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"batch", "expected < <= > >= == or !="},
        {"batch <", "expected a value"},
        {"< 3", "expected the name of a parameter"},
        {"batsh < 3", "did you mean 'batch'"},
        {"batch < three", "expected a number"},
        {"batch < 0x10", "expected a number"},
        {"batch < nan", "expected a number"},
        {"batch < 3 4", "expected `or`"},
        {"batch < 3 or", "expected the name of a parameter"},
        {"batch = 3", "expected < <= > >= == or !="},
        {"hw < 3", "only == and != apply"},
        {"batch < 3 and hw == a", "expected `or`"},
        {"", "expected the name of a parameter"},
    };
    make_traces();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        rad_sweep_spec *spec = NULL;
        snprintf(text, sizeof text, "method: grid\nparameters: " HEAD "}\nconstraints: [\"%s\"]\n",
                 rows[i].text);
        REFUSES(rad_sweep_parse(&spec, text, "s.yaml", &err), RAD_E_PARSE, rows[i].message);
        CU_ASSERT_PTR_NULL(spec);
    }
}

CU_TestInfo sweep_tests[] = {
    {"grid takes every combination", grid_takes_every_combination},
    {"equal points are one", equal_points_are_one},
    {"ranges become lists", ranges_become_lists},
    {"random is repeatable", random_is_repeatable},
    {"sobol is repeatable", sobol_is_repeatable},
    {"sobol is even", sobol_is_even},
    {"a small space ends", a_small_space_ends},
    {"depth goes into policies", depth_goes_into_policies},
    {"constraints choose", constraints_choose},
    {"bad specs are refused", bad_specs_are_refused},
    {"bad constraints are refused", bad_constraints_are_refused},
    CU_TEST_INFO_NULL,
};
