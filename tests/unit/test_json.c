/* test_json.c - hostile JSON is refused, numbers survive a round trip, getters check. */
#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void hostile_text_is_refused(void)
{
    static const char *const rows[] = {
        "",
        "{",
        "{\"a\": 1} x",
        "{\"a\": 1, \"a\": 2}",
        "{\"a\": 9223372036854775808}",
        "{\"a\": 1e400}",
        "{\"a\": NaN}",
        "{\"a\": 01}",
        "{\"a\": 1,}",
        "{\"a\\u0000b\": 1}",
        "{\"a\": \"\\u0000\"}",
        "{\"a\": \"\xff\"}",
        "{\"a\": \"\\ud800\"}",
        "'a'",
        "1",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *value = NULL;
        CU_ASSERT_EQUAL(rad_json_parse(&value, rows[i], strlen(rows[i]), "t.json", &err),
                        RAD_E_PARSE);
        CU_ASSERT_PTR_NULL(value);
        CU_ASSERT(strncmp(err.msg, "t.json:1:", 9) == 0);
    }
    json_t *value = NULL;
    const char *text = "{\"a\": 1,\n \"\033\": 2}";
    CU_ASSERT_EQUAL(rad_json_parse(&value, text, strlen(text), "t.json", &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.json:2:2: control character 0x1b near '\"'");
}

static void deep_nesting_is_refused(void)
{
    json_t *value = NULL;
    struct rad_buf b = {0};
    for (int i = 0; i < 20000; i++)
        rad_buf_add(&b, "[");
    CU_ASSERT_EQUAL(rad_json_parse(&value, b.data, b.len, "t.json", &err), RAD_E_PARSE);
    CU_ASSERT_PTR_NULL(value);
    rad_buf_free(&b);
}

/* Order of keys, and every bit of doubles and 64-bit integers. */
static void values_survive_a_round_trip(void)
{
    const double hard[] = {0.1, 1.0 / 3.0, 5e-324, 1.7976931348623157e308, -0.0, 1e22};
    json_t *value = json_object(), *back = NULL;
    char *text = NULL;
    json_object_set_new(value, "z", json_integer(INT64_C(9007199254740993)));
    for (size_t i = 0; i < COUNT(hard); i++) {
        char key[2] = {(char)('a' + i), '\0'};
        json_object_set_new(value, key, rad_json_number(hard[i]));
    }
    json_object_set_new(value, "nan", rad_json_number((double)NAN));
    json_object_set_new(value, "inf", rad_json_number((double)INFINITY));
    OK(rad_json_dump(value, &text, &err));
    CU_ASSERT(strncmp(text, "{\"z\": 9007199254740993, \"a\": 0.1", 31) == 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"nan\": null, \"inf\": null}"));
    OK(rad_json_parse(&back, text, strlen(text), "t", &err));
    for (size_t i = 0; i < COUNT(hard); i++) {
        const char key[2] = {(char)('a' + i), '\0'};
        const double read = json_real_value(json_object_get(back, key));
        CU_ASSERT_EQUAL(memcmp(&read, &hard[i], sizeof read), 0);
    }
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(back, "z")), INT64_C(9007199254740993));
    json_decref(value);
    json_decref(back);
    free(text);
}

/* One U+FFFD per byte that starts no well-formed sequence. */
static void bytes_become_utf8(void)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\xff", "a\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *text = rad_json_text(rows[i].bytes, strlen(rows[i].bytes));
        CU_ASSERT_STRING_EQUAL(json_string_value(text), rows[i].text);
        char *dumped = NULL;
        OK(rad_json_dump(text, &dumped, &err));
        free(dumped);
        json_decref(text);
    }
}

static json_t *object(void)
{
    const char *text = "{\"i\": 7, \"r\": 0.5, \"s\": \"x\", \"b\": true, \"n\": null, \"l\": []}";
    json_t *value = NULL;
    OK(rad_json_parse(&value, text, strlen(text), "t", &err));
    return value;
}

static void getters_return_values(void)
{
    json_t *o = object();
    int64_t i = 0;
    double r = 0.0;
    bool b = false;
    const char *s = NULL;
    OK(rad_json_int(o, "i", 0, 7, &i, &err));
    CU_ASSERT_EQUAL(i, 7);
    OK(rad_json_real(o, "r", 0, 1, &r, &err));
    CU_ASSERT_EQUAL(r, 0.5);
    OK(rad_json_real(o, "i", 0, 7, &r, &err));
    CU_ASSERT_EQUAL(r, 7.0);
    OK(rad_json_string(o, "s", &s, &err));
    CU_ASSERT_STRING_EQUAL(s, "x");
    OK(rad_json_bool(o, "b", false, &b, &err));
    CU_ASSERT(b);
    OK(rad_json_bool(o, "absent", false, &b, &err));
    CU_ASSERT(!b);
    json_decref(o);
}

static void getters_refuse(void)
{
    json_t *o = object();
    int64_t i = 0;
    double r = 0.0;
    bool b = false;
    const char *s = NULL;
    CU_ASSERT_EQUAL(rad_json_int(o, "r", 0, 9, &i, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'r': expected an integer but found a real number");
    CU_ASSERT_EQUAL(rad_json_int(o, "absent", 0, 9, &i, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'absent': expected an integer but found nothing");
    CU_ASSERT_EQUAL(rad_json_int(o, "i", 8, 9, &i, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'i': expected 8..9 but found 7");
    CU_ASSERT_EQUAL(rad_json_real(o, "n", 0, 1, &r, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'n': expected a number but found null");
    CU_ASSERT_EQUAL(rad_json_real(o, "r", 1, 2, &r, &err), RAD_E_RANGE);
    CU_ASSERT_EQUAL(rad_json_string(o, "l", &s, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'l': expected a string but found an array");
    CU_ASSERT_EQUAL(rad_json_bool(o, "i", true, &b, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'i': expected true or false but found an integer");
    CU_ASSERT_EQUAL(rad_json_int(NULL, "i", 0, 9, &i, &err), RAD_E_PARSE);
    json_decref(o);
}

static void files_are_read(void)
{
    json_t *value = NULL;
    OK(rad_dir_make("build/tmp", &err));
    write_file("build/tmp/t.json", "{\"a\": [1, 2]}\n");
    OK(rad_json_read(&value, "build/tmp/t.json", 100, &err));
    CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "a")), 2);
    json_decref(value);
    CU_ASSERT_EQUAL(rad_json_read(&value, "build/tmp/t.json", 5, &err), RAD_E_RANGE);
    CU_ASSERT_EQUAL(rad_json_read(&value, "build/tmp/absent.json", 5, &err), RAD_E_IO);
    CU_ASSERT_PTR_NULL(value);
}

CU_TestInfo json_tests[] = {
    {"hostile text is refused", hostile_text_is_refused},
    {"deep nesting is refused", deep_nesting_is_refused},
    {"values survive a round trip", values_survive_a_round_trip},
    {"bytes become UTF-8", bytes_become_utf8},
    {"getters return values", getters_return_values},
    {"getters refuse", getters_refuse},
    {"files are read", files_are_read},
    CU_TEST_INFO_NULL,
};
