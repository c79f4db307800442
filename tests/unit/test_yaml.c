/* test_yaml.c - what the YAML reader takes, and a place and reason for all it refuses. */
#include "base/buf.h"
#include "base/io.h"
#include "base/yaml.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum rad_status parse(rad_yaml **doc, const char *text)
{
    return rad_yaml_parse(doc, text, strlen(text), "t.yaml", &err);
}

static void tree_keeps_order_and_places(void)
{
    rad_yaml *doc = NULL;
    OK(parse(&doc, "# profile\n"
                   "name: gpu\n"
                   "peak: {fp16: 989 TFLOP/s @h100, int8: 1979 TOP/s @h100}\n"
                   "list:\n"
                   "  - no\n"
                   "  - 'quoted: text'\n"
                   "empty:\n"));
    const rad_yaml_node *root = rad_yaml_root(doc), *peak = rad_yaml_find(root, "peak");
    const rad_yaml_node *list = rad_yaml_find(root, "list");
    CU_ASSERT_EQUAL(rad_yaml_kind(root), RAD_YAML_MAP);
    CU_ASSERT_EQUAL(rad_yaml_count(root), 4);
    CU_ASSERT_STRING_EQUAL(rad_yaml_key(root, 0), "name");
    CU_ASSERT_STRING_EQUAL(rad_yaml_key(root, 3), "empty");
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_value(root, 3)), "");
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_find(peak, "fp16")), "989 TFLOP/s @h100");
    CU_ASSERT_EQUAL(rad_yaml_line(peak), 3);
    CU_ASSERT_EQUAL(rad_yaml_kind(list), RAD_YAML_SEQ);
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_at(list, 0)), "no");
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_at(list, 1)), "quoted: text");
    rad_yaml_close(doc);
}

/* Asking a node for what it is not answers nothing, and never fails. */
static void walking_accepts_any_node(void)
{
    rad_yaml *doc = NULL;
    OK(parse(&doc, "a: [1]\n"));
    const rad_yaml_node *root = rad_yaml_root(doc), *list = rad_yaml_find(root, "a");
    CU_ASSERT_PTR_NULL(rad_yaml_find(root, "b"));
    CU_ASSERT_PTR_NULL(rad_yaml_find(list, "a"));
    CU_ASSERT_PTR_NULL(rad_yaml_at(list, 1));
    CU_ASSERT_PTR_NULL(rad_yaml_at(root, 0));
    CU_ASSERT_PTR_NULL(rad_yaml_value(list, 0));
    CU_ASSERT_STRING_EQUAL(rad_yaml_key(list, 0), "");
    CU_ASSERT_STRING_EQUAL(rad_yaml_key(root, 9), "");
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(root), "");
    CU_ASSERT_EQUAL(rad_yaml_count(NULL), 0);
    CU_ASSERT_EQUAL(rad_yaml_kind(NULL), RAD_YAML_SCALAR);
    CU_ASSERT_PTR_NULL(rad_yaml_find(NULL, "a"));
    rad_yaml_close(doc);
    rad_yaml_close(NULL);
    OK(parse(&doc, "# nothing but a comment\n"));
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_root(doc)), "");
    rad_yaml_close(doc);
}

static void foreign_features_are_refused(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: 'a' is set twice, first in line 1"},
        {"{a: 1, b: 2, a: 3}", "t.yaml:1:14: 'a' is set twice, first in line 1"},
        {"a: &x 1\nb: *x\n", "t.yaml:1:4: anchors (&name) are not supported; remove it"},
        {"b: *x\n", "t.yaml:1:4: aliases (*name) are not supported; repeat the value"},
        {"*x : 1\n", "t.yaml:1:1: aliases (*name) are not supported; repeat the value"},
        {"a: !!int 1\n", "t.yaml:1:4: tags (!name) are not supported; remove it"},
        {"a: !x [1]\n", "t.yaml:1:4: tags (!name) are not supported; remove it"},
        {"a: 1\n---\nb: 1\n", "t.yaml:2:1: expected one document but found a second"},
        {"# x\n%TAG !a! b\n---\n1\n",
         "t.yaml:2:1: directives (%...) are not supported; remove the line"},
        {"[1, 2]: 3\n", "t.yaml:1:1: expected a word as key but found a list or map"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: expected text but found a control character"},
        {"a: \"\\e[31m\"\n", "t.yaml:1:4: expected text but found a control character"},
        {"a: [1, 2\nb: 3\n", "t.yaml:2:2: did not find expected ',' or ']'"},
        {"a: 1\n\tb: 2\n", "t.yaml:2:1: found a tab character that violates indentation"},
        {"a: @x\n", "t.yaml:1:4: found character that cannot start any token"},
        {"a: \xff\n", "t.yaml: byte 3: invalid leading UTF-8 octet"},
        {"a: \x01\n", "t.yaml: byte 3: control characters are not allowed"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        rad_yaml *doc = NULL;
        CU_ASSERT_EQUAL(parse(&doc, rows[i].text), RAD_E_PARSE);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
        CU_ASSERT_PTR_NULL(doc);
        rad_yaml_close(doc);
    }
}

static void fill(struct rad_buf *b, const char *piece, int n)
{
    for (int i = 0; i < n; i++)
        rad_buf_add(b, piece);
}

/* 32 levels are read, 33 are not, and 100,000 brackets cost no time. */
static void depth_and_size_are_limited(void)
{
    rad_yaml *doc = NULL;
    struct rad_buf b = {0};
    fill(&b, "[", 32);
    fill(&b, "]", 32);
    OK(parse(&doc, b.data));
    rad_yaml_close(doc);
    rad_buf_free(&b);
    fill(&b, "[", 33);
    CU_ASSERT_EQUAL(parse(&doc, b.data), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.yaml:1:33: nested deeper than 32 levels");
    fill(&b, "[", 100000);
    CU_ASSERT_EQUAL(parse(&doc, b.data), RAD_E_PARSE);
    rad_buf_free(&b);
    fill(&b, "- ", 100000);
    CU_ASSERT_EQUAL(parse(&doc, b.data), RAD_E_PARSE);
    fill(&b, "#", (int)RAD_YAML_MAX_BYTES);
    CU_ASSERT_EQUAL(parse(&doc, b.data), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.yaml: expected at most 1048576 bytes but found 1248576");
    rad_buf_free(&b);
}

/* Finding and comparing keys does not take the square of their number. */
static void many_keys_are_read(void)
{
    rad_yaml *doc = NULL;
    struct rad_buf b = {0};
    for (int i = 0; i < 20000; i++)
        rad_buf_printf(&b, "k%d: %d\n", i, i);
    OK(parse(&doc, b.data));
    CU_ASSERT_EQUAL(rad_yaml_count(rad_yaml_root(doc)), 20000);
    CU_ASSERT_STRING_EQUAL(rad_yaml_text(rad_yaml_find(rad_yaml_root(doc), "k19999")), "19999");
    rad_yaml_close(doc);
    rad_buf_add(&b, "k7: 7\n");
    CU_ASSERT_EQUAL(parse(&doc, b.data), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.yaml:20001:1: 'k7' is set twice, first in line 8");
    rad_buf_free(&b);
}

static void scalars_become_types(void)
{
    rad_yaml *doc = NULL;
    OK(parse(&doc, "{i: -12, r: 2.5e-4, b: true, c: 'false', q: 400 W, big: 9223372036854775807}"));
    const rad_yaml_node *root = rad_yaml_root(doc);
    int64_t i = 0;
    double r = 0.0;
    bool b = false, c = true;
    OK(rad_yaml_int(rad_yaml_find(root, "i"), -20, 20, &i, &err));
    CU_ASSERT_EQUAL(i, -12);
    OK(rad_yaml_int(rad_yaml_find(root, "big"), 0, INT64_MAX, &i, &err));
    CU_ASSERT_EQUAL(i, INT64_MAX);
    OK(rad_yaml_real(rad_yaml_find(root, "r"), 0, 1, &r, &err));
    CU_ASSERT_EQUAL(r, 2.5e-4);
    OK(rad_yaml_real(rad_yaml_find(root, "i"), -20, 1, &r, &err));
    CU_ASSERT_EQUAL(r, -12.0);
    OK(rad_yaml_bool(rad_yaml_find(root, "b"), &b, &err));
    OK(rad_yaml_bool(rad_yaml_find(root, "c"), &c, &err));
    CU_ASSERT(b && !c);
    OK(rad_yaml_quantity(rad_yaml_find(root, "q"), RAD_DIM_W, 0, 1000, &r, &err));
    CU_ASSERT_EQUAL(r, 400.0);
    rad_yaml_close(doc);
}

enum want { INT, REAL, BOOL, WATT };

static enum rad_status get(const rad_yaml_node *node, enum want want)
{
    int64_t i = 0;
    double r = 0.0;
    bool b = false;
    switch (want) {
    case INT:
        return rad_yaml_int(node, 1, 9, &i, &err);
    case REAL:
        return rad_yaml_real(node, 1, 9, &r, &err);
    case BOOL:
        return rad_yaml_bool(node, &b, &err);
    case WATT:
        break;
    }
    return rad_yaml_quantity(node, RAD_DIM_W, 1, 9, &r, &err);
}

static void wrong_scalars_are_refused(void)
{
    static const struct {
        const char *text;
        enum want want;
        const char *message;
    } rows[] = {
        {"a: 12x", INT, "t.yaml:1:4: expected a whole number but found '12x'"},
        {"a: 1.0", INT, "t.yaml:1:4: expected a whole number but found '1.0'"},
        {"a: 10", INT, "t.yaml:1:4: must be in 1..9 but is 10"},
        {"a: 99999999999999999999", INT, "t.yaml:1:4: must be in 1..9 but is 99999999999999999999"},
        {"a:", INT, "t.yaml:1:3: expected a whole number but found nothing"},
        {"a: [1]", INT, "t.yaml:1:4: expected a whole number but found a list"},
        {"a: {b: 1}", REAL, "t.yaml:1:4: expected a value but found a mapping"},
        {"a: nan", REAL, "t.yaml:1:4: expected a number but found 'nan'"},
        {"a: 50 %", REAL, "t.yaml:1:4: expected a plain number but found '50 %'"},
        {"a: 0.5", REAL, "t.yaml:1:4: must be in 1..9 but is 0.5"},
        {"a: yes", BOOL, "t.yaml:1:4: expected true or false but found 'yes'"},
        {"a: 1", BOOL, "t.yaml:1:4: expected true or false but found '1'"},
        {"a: 5", WATT, "t.yaml:1:4: expected a value in W but found '5'"},
        {"a: 1 kW", WATT, "t.yaml:1:4: must be in 1..9 W but is 1000"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        rad_yaml *doc = NULL;
        OK(parse(&doc, rows[i].text));
        CU_ASSERT_NOT_EQUAL(get(rad_yaml_find(rad_yaml_root(doc), "a"), rows[i].want), RAD_OK);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
        rad_yaml_close(doc);
    }
}

static void keys_are_checked(void)
{
    static const char *const keys[] = {"steps", "batch"};
    rad_yaml *doc = NULL;
    const rad_yaml_node *node = NULL;
    OK(parse(&doc, "steps: 1\nbach: 2\n"));
    CU_ASSERT_EQUAL(rad_yaml_only(rad_yaml_root(doc), keys, 2, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.yaml:2:1: unknown key 'bach'; did you mean 'batch'");
    CU_ASSERT_EQUAL(rad_yaml_need(rad_yaml_root(doc), "seed", &node, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "t.yaml:1:1: missing required key 'seed'");
    CU_ASSERT_PTR_NULL(node);
    OK(rad_yaml_need(rad_yaml_root(doc), "steps", &node, &err));
    CU_ASSERT_EQUAL(rad_yaml_only(node, keys, 2, &err), RAD_E_PARSE);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "t.yaml:1:8: expected a mapping (key: value) but found a single value");
    rad_yaml_close(doc);
    OK(parse(&doc, "batch: 1\n"));
    OK(rad_yaml_only(rad_yaml_root(doc), keys, 2, &err));
    rad_yaml_close(doc);
}

/* ---- parameter tables ------------------------------------------------------------------ */

struct machine {
    double fp16, int8, power_w;
};
static const struct rad_param table[] = {
    {"peak.fp16", offsetof(struct machine, fp16), RAD_DIM_FLOP_PER_S, 1e6, 1e18, RAD_REQUIRED,
     "fp16 rate"},
    {"peak.int8", offsetof(struct machine, int8), RAD_DIM_FLOP_PER_S, 0, 1e18, 0, "int8 rate"},
    {"power", offsetof(struct machine, power_w), RAD_DIM_W, 0, 1e4, 60, "static power"},
    RAD_PARAM_END,
};

static enum rad_status read_machine(const char *text, struct machine *m)
{
    rad_yaml *doc = NULL;
    RAD_TRY(parse(&doc, text));
    const rad_yaml_node *root = rad_yaml_root(doc);
    const enum rad_status status =
        rad_yaml_params(rad_yaml_find(root, "gpu"), table, m, rad_yaml_find(root, "sources"), &err);
    rad_yaml_close(doc);
    return status;
}

static void tables_are_filled(void)
{
    struct machine m = {0};
    OK(read_machine("sources: {h100: datasheet}\n"
                    "gpu:\n"
                    "  peak: {fp16: 989 TFLOP/s @h100, int8: 1979 TOP/s @h100}\n",
                    &m));
    CU_ASSERT_EQUAL(m.fp16, 989e12);
    CU_ASSERT_EQUAL(m.int8, 1979e12);
    CU_ASSERT_EQUAL(m.power_w, 60.0);
    OK(read_machine("gpu: {peak.fp16: 1 TFLOP/s, power: 5 W}", &m)); /* no sources wanted */
    CU_ASSERT_EQUAL(m.fp16, 1e12);
    CU_ASSERT_EQUAL(m.int8, 0.0);
    CU_ASSERT_EQUAL(m.power_w, 5.0);
}

static void bad_tables_are_refused(void)
{
#define S "sources: {a: b}\ngpu: "
    static const struct {
        const char *text, *message;
        enum rad_status status;
    } rows[] = {
        {S "{power: 1 W @a}", "t.yaml:2:6: missing required key 'peak.fp16' (fp16 rate)",
         RAD_E_RANGE},
        {S "{powr: 1 W @a}", "t.yaml:2:7: unknown key 'powr'; did you mean 'power'", RAD_E_PARSE},
        {S "{peak: {fp15: 1 W @a}}",
         "t.yaml:2:14: unknown key 'peak.fp15'; did you mean 'peak.fp16'", RAD_E_PARSE},
        {S "{pek: {fp16: 1 W @a}}", "t.yaml:2:7: unknown key 'pek'", RAD_E_PARSE},
        {S "{power: {x: 1 W @a}}", "t.yaml:2:14: 'power': expected a value but found a mapping",
         RAD_E_PARSE},
        {S "{peak: 1 W @a}", "t.yaml:2:7: unknown key 'peak'", RAD_E_PARSE},
        {S "{power: [1 W @a]}", "t.yaml:2:14: expected a value but found a list", RAD_E_PARSE},
        {S "{peak: {fp16: 1 TFLOP/s @a}, peak.fp16: 2 TFLOP/s @a}",
         "t.yaml:2:35: 'peak.fp16' is set twice", RAD_E_PARSE},
        {S "{power: 1 W}", "t.yaml:2:14: '1 W' names no source; add '@name' after the value",
         RAD_E_PARSE},
        {S "{power: 1 W @c}",
         "t.yaml:2:14: '@c' is not among the sources of this file; add it there", RAD_E_PARSE},
        {S "{power: 1 kB @a}", "t.yaml:2:14: 'power': expected a value in W but found '1 kB'",
         RAD_E_PARSE},
        {S "{power: 20 kW @a}", "t.yaml:2:14: 'power' must be in 0..10000 W but is 20000",
         RAD_E_RANGE},
        {"gpu: {power: 1 W @a}", "t.yaml:1:14: no sources are expected here; remove '@a'",
         RAD_E_PARSE},
        {"gpu: 5", "t.yaml:1:6: expected a mapping (key: value) but found a single value",
         RAD_E_PARSE},
    };
#undef S
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct machine m = {0};
        CU_ASSERT_EQUAL(read_machine(rows[i].text, &m), rows[i].status);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
    }
}

static void files_are_opened(void)
{
    rad_yaml *doc = NULL;
    OK(rad_dir_make("build/tmp", &err));
    write_file("build/tmp/t.yaml", "a: {b: c}\n");
    OK(rad_yaml_open(&doc, "build/tmp/t.yaml", &err));
    CU_ASSERT_PTR_NOT_NULL(rad_yaml_find(rad_yaml_root(doc), "a"));
    CU_ASSERT_EQUAL(
        rad_yaml_fail(rad_yaml_find(rad_yaml_root(doc), "a"), &err, RAD_E_RANGE, "%d is odd", 3),
        RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "build/tmp/t.yaml:1:4: 3 is odd");
    rad_yaml_close(doc);
    CU_ASSERT_EQUAL(rad_yaml_open(&doc, "build/tmp/absent.yaml", &err), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "cannot open 'build/tmp/absent.yaml': No such file or directory");
    CU_ASSERT_PTR_NULL(doc);
}

CU_TestInfo yaml_tests[] = {
    {"tree keeps order and places", tree_keeps_order_and_places},
    {"walking accepts any node", walking_accepts_any_node},
    {"foreign features are refused", foreign_features_are_refused},
    {"depth and size are limited", depth_and_size_are_limited},
    {"many keys are read", many_keys_are_read},
    {"scalars become types", scalars_become_types},
    {"wrong scalars are refused", wrong_scalars_are_refused},
    {"keys are checked", keys_are_checked},
    {"tables are filled", tables_are_filled},
    {"bad tables are refused", bad_tables_are_refused},
    {"files are opened", files_are_opened},
    CU_TEST_INFO_NULL,
};
