/* test_gguf.c - GGUF files: what is read from good ones.
 */
#include "base/io.h"
#include "checkpoint/gguf.h"
#include "gguf_make.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "build/tmp/test.gguf"

/* ---- good files ---------------------------------------------------------------------------- */

static const float six[6] = {1.0f, -2.5f, 3e-8f, 0.0f, 1e30f, -0.0f};

static struct gguf_make small(uint32_t version)
{
    static const char *const words[] = {"a", "", "long \xe2\x96\x81 word"};
    static const int32_t kinds[] = {1, -2, INT32_MAX};
    struct gguf_make m = gguf_begin(version);
    gguf_string(&m, "general.architecture", "llama");
    gguf_int(&m, "t.u8", MAKE_U8, 255);
    gguf_int(&m, "t.i8", MAKE_I8, -128);
    gguf_int(&m, "t.u16", MAKE_U16, 65535);
    gguf_int(&m, "t.i16", MAKE_I16, -32768);
    gguf_int(&m, "t.u32", MAKE_U32, UINT32_MAX);
    gguf_int(&m, "t.i32", MAKE_I32, INT32_MIN);
    gguf_int(&m, "t.u64", MAKE_U64, -1); /* 2^64 - 1 */
    gguf_int(&m, "t.i64", MAKE_I64, INT64_MIN);
    gguf_f32(&m, "t.f32", 0.5f);
    gguf_bool(&m, "t.bool", 1);
    gguf_strings(&m, "t.words", words, 3);
    gguf_ints(&m, "t.kinds", kinds, 3);
    gguf_floats(&m, "t.scores", six, 6);
    gguf_tensor(&m, "b", 0, 2, (uint64_t[]){3, 2}, six, 24);
    gguf_tensor(&m, "a", 8, 1, (uint64_t[]){32}, "0123456789012345678901234567890123", 34);
    return m;
}

static void check_ints(const struct rad_gguf *g)
{
    static const struct {
        const char *key;
        int64_t x;
    } want[] = {{"t.u8", 255},        {"t.i8", -128},        {"t.u16", 65535},
                {"t.i16", -32768},    {"t.u32", UINT32_MAX}, {"t.i32", INT32_MIN},
                {"t.u64", INT64_MAX}, {"t.i64", INT64_MIN}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        int64_t x = 0;
        OK(rad_gguf_int(g, want[i].key, INT64_MIN, INT64_MAX, &x, &err));
        CU_ASSERT_EQUAL(x, want[i].x);
    }
}

static void check_arrays(const struct rad_gguf *g)
{
    const struct rad_gguf_value *v = NULL;
    OK(rad_gguf_strings(g, "t.words", &v, &err));
    CU_ASSERT_EQUAL_FATAL(v->n, 3);
    const unsigned char *at = v->at;
    CU_ASSERT(rad_gguf_text_is(rad_gguf_next(&at), "a"));
    CU_ASSERT(rad_gguf_text_is(rad_gguf_next(&at), ""));
    CU_ASSERT(rad_gguf_text_is(rad_gguf_next(&at), "long \xe2\x96\x81 word"));
    OK(rad_gguf_ints(g, "t.kinds", &v, &err));
    CU_ASSERT_EQUAL_FATAL(v->n, 3);
    CU_ASSERT_EQUAL(rad_gguf_int_at(v, 1), -2);
    CU_ASSERT_EQUAL(rad_gguf_int_at(v, 2), INT32_MAX);
    OK(rad_gguf_reals(g, "t.scores", &v, &err));
    CU_ASSERT_EQUAL_FATAL(v->n, 6);
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(rad_gguf_real_at(v, i), (double)six[i]);
}

/* Versions 2 and 3 are laid out alike. */
static void both_versions_are_read(void)
{
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf_make m = small(version);
        struct rad_gguf g;
        struct rad_gguf_text text;
        double real = 0.0;
        bool yes = false;
        gguf_end(&m, FILE_NAME);
        OK(rad_gguf_open(&g, FILE_NAME, &err));
        CU_ASSERT_EQUAL(g.version, version);
        check_ints(&g);
        check_arrays(&g);
        OK(rad_gguf_real(&g, "t.f32", 0.0, 1.0, &real, &err));
        CU_ASSERT_EQUAL(real, 0.5);
        OK(rad_gguf_bool(&g, "t.bool", &yes, &err));
        CU_ASSERT_TRUE(yes);
        OK(rad_gguf_string(&g, "general.architecture", &text, &err));
        CU_ASSERT(rad_gguf_text_is(text, "llama") && !rad_gguf_text_is(text, "llam"));
        CU_ASSERT_EQUAL_FATAL(g.n_tensor, 2);
        CU_ASSERT_STRING_EQUAL(g.tensor[0].name, "a");
        CU_ASSERT_EQUAL(g.tensor[0].block, RAD_BLOCK_Q8_0);
        CU_ASSERT_EQUAL(g.tensor[0].bytes, 34);
        CU_ASSERT_EQUAL(g.tensor[1].shape.dim[0], 2); /* slowest first */
        CU_ASSERT_EQUAL(g.tensor[1].shape.dim[1], 3);
        CU_ASSERT_EQUAL(memcmp(g.tensor[1].data, six, sizeof six), 0);
        rad_gguf_close(&g);
        rad_gguf_close(&g); /* an empty one is fine */
    }
}

static void wrong_asks_are_refused(void)
{
    struct gguf_make m = small(3);
    const struct rad_gguf_value *v = NULL;
    struct rad_gguf_text text;
    struct rad_gguf g;
    int64_t x = 7;
    double real = 0.0;
    bool yes = false;
    gguf_end(&m, FILE_NAME);
    OK(rad_gguf_open(&g, FILE_NAME, &err));
    CU_ASSERT_PTR_NULL(rad_gguf_find(&g, "t.u"));
    CU_ASSERT_PTR_NULL(rad_gguf_find(&g, "t.u88"));
    REFUSES(rad_gguf_int(&g, "none", 0, 9, &x, &err), RAD_E_PARSE, "expected a key 'none'");
    REFUSES(rad_gguf_int(&g, "t.u8", 0, 254, &x, &err), RAD_E_RANGE,
            "'t.u8': expected 0..254 but found 255");
    CU_ASSERT_EQUAL(x, 7);
    REFUSES(rad_gguf_int(&g, "t.f32", 0, 9, &x, &err), RAD_E_PARSE,
            "'t.f32': expected an integer but found f32");
    REFUSES(rad_gguf_int(&g, "t.kinds", 0, 9, &x, &err), RAD_E_PARSE,
            "expected an integer but found an array of i32");
    REFUSES(rad_gguf_real(&g, "t.f32", 1.0, 2.0, &real, &err), RAD_E_RANGE, "but found 0.5");
    REFUSES(rad_gguf_real(&g, "t.bool", 1.0, 2.0, &real, &err), RAD_E_PARSE,
            "a float but found bool");
    REFUSES(rad_gguf_bool(&g, "t.u8", &yes, &err), RAD_E_PARSE, "a bool but found u8");
    REFUSES(rad_gguf_string(&g, "t.words", &text, &err), RAD_E_PARSE,
            "a string but found an array of string");
    REFUSES(rad_gguf_strings(&g, "t.kinds", &v, &err), RAD_E_PARSE,
            "an array of strings but found an array of i32");
    REFUSES(rad_gguf_ints(&g, "t.u8", &v, &err), RAD_E_PARSE, "an array of integers but found u8");
    REFUSES(rad_gguf_reals(&g, "t.words", &v, &err), RAD_E_PARSE, "an array of floats");
    CU_ASSERT_PTR_NULL(v);
    rad_gguf_close(&g);
}

CU_TestInfo gguf_tests[] = {
    {"both versions are read", both_versions_are_read},
    {"wrong asks are refused", wrong_asks_are_refused},
    CU_TEST_INFO_NULL,
};
