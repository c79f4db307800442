/* test_tok_split.c - words by regular expressions, normal forms and added tokens, one by one. */
#include "checkpoint/text_added.h"
#include "checkpoint/text_split.h"
#include "checkpoint/unicode.h"
#include "refuse.h"

#include <stdlib.h>

/* The matches of a pattern in a text, with '|' in between. */
static void matches(const char *pattern, const char *text, const char *want)
{
    rad_split *split = NULL;
    rad_splitter *s = NULL;
    struct rad_buf got = {0};
    const size_t len = strlen(text);
    rad_buf_add(&got, "");
    OK(rad_split_open(&split, pattern, strlen(pattern), true, &err));
    OK(rad_splitter_open(&s, split, len, &err));
    for (size_t from = 0, begin, end; from<len; from = end> begin ? end : end + 1) {
        OK(rad_splitter_find(s, text, len, from, &begin, &end, &err));
        if (begin == len)
            break;
        rad_buf_printf(&got, "%s%.*s", got.len > 0 ? "|" : "", (int)(end - begin), text + begin);
    }
    CU_ASSERT_STRING_EQUAL(got.data, want);
    if (strcmp(got.data, want) != 0)
        fprintf(stderr, "\n%s: expected '%s' but found '%s'\n", pattern, want, got.data);
    rad_buf_free(&got);
    rad_splitter_close(s);
    rad_split_close(split);
}

/* What Oniguruma reads otherwise than pcre2. */
static void patterns_mean_what_they_mean_elsewhere(void)
{
    matches("\\s+", "a\xc2\x85\xe1\x9a\x80 b", "\xc2\x85\xe1\x9a\x80 ");
    matches("\\s", "\xe1\xa0\x8e", ""); /* U+180E is no White_Space; pcre2 has it in \s */
    matches("[\\sx]+", "\xe1\xa0\x8e x", " x");
    matches("\\S+", "a\xe1\xa0\x8e b", "a\xe1\xa0\x8e|b");
    matches("[ab[cd]e]+", "xabcde]x", "abcde");
    matches("[^a[bc]d]+", "xyabcdz]", "xy|z]");
    matches("[]a]+", "x]a]", "]a]");
    matches("[^]a]+", "x]a]y", "x|y");
    matches("[\\]a]+\\[", "x]a[", "]a[");
    matches("(?i:'s)", "'S'\xc5\xbf", "'S|'\xc5\xbf");
    matches("\\p{N}{1,3}", "12345", "123|45");
    matches("a\\Kb|b", "abb", "b|b");
}

static void refuses(const char *pattern, enum rad_status status, const char *message)
{
    rad_split *split = NULL;
    REFUSES(rad_split_open(&split, pattern, strlen(pattern), true, &err), status, message);
    CU_ASSERT_PTR_NULL(split);
}

static void bad_patterns_are_refused(void)
{
    char *text = malloc(4098);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'a', 4097);
    text[4097] = '\0';
    refuses("", RAD_E_RANGE, "regular expression: expected 1..4096 bytes but found 0");
    refuses(text, RAD_E_RANGE, "expected 1..4096 bytes but found 4097");
    refuses("[a&&b]", RAD_E_UNSUPPORTED, "an intersection of classes is not supported");
    refuses("[a[^b]]", RAD_E_UNSUPPORTED, "a negated class inside a class is not supported");
    refuses("[[:alpha:]]", RAD_E_UNSUPPORTED, "a POSIX class is not supported");
    refuses("(a", RAD_E_PARSE, "regular expression: missing closing parenthesis");
    refuses("[a", RAD_E_PARSE, "regular expression: missing terminating ] for character class");
    refuses("a\\", RAD_E_PARSE, "regular expression: \\ at end of pattern");
    refuses("\\C", RAD_E_PARSE, "regular expression: using \\C is disabled");
    memset(text, '(', 40);
    memset(text + 40, ')', 40);
    text[80] = '\0';
    refuses(text, RAD_E_PARSE, "regular expression: parentheses are too deeply nested");
    refuses("((((a{999}){999}){999}){999})", RAD_E_PARSE, "regular expression is too large");
    free(text);
}

/* Of text[len], all one character, the first match begins at 0 and has this length. */
static void one_match(const char *pattern, char c, size_t len, size_t want)
{
    rad_split *split = NULL;
    rad_splitter *s = NULL;
    size_t begin = 1, end = 0;
    char *text = malloc(len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, c, len);
    OK(rad_split_open(&split, pattern, strlen(pattern), true, &err));
    OK(rad_splitter_open(&s, split, len, &err));
    OK(rad_splitter_find(s, text, len, 0, &begin, &end, &err));
    CU_ASSERT(begin == 0 && end == want);
    rad_splitter_close(s);
    rad_split_close(split);
    free(text);
}

/* Windows grow until the answer does not depend on them. */
static void long_words_are_whole(void)
{
    for (size_t len = 250; len < 1100; len += 7) {
        one_match(" ?\\p{L}+", 'a', len, len);
        one_match("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", ' ', len, len);
    }
    one_match("\\p{L}+", 'a', 9 << 20, 9 << 20);
    one_match("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", ' ', 60 << 10, 60 << 10);
    one_match("[^b]*b|a", 'a', 5000, 1);
}

static void takes_too_long(const char *pattern, size_t len)
{
    rad_split *split = NULL;
    rad_splitter *s = NULL;
    size_t begin = 0, end = 0;
    enum rad_status status = RAD_OK;
    char *text = malloc(len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'a', len);
    OK(rad_split_open(&split, pattern, strlen(pattern), true, &err));
    OK(rad_splitter_open(&s, split, len, &err));
    for (size_t from = 0; from < len && status == RAD_OK; from = end > from ? end : from + 1)
        status = rad_splitter_find(s, text, len, from, &begin, &end, &err);
    CU_ASSERT_EQUAL(status, RAD_E_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "the tokenizer's regular expression takes too many"));
    rad_splitter_close(s);
    rad_split_close(split);
    free(text);
}

static void hostile_patterns_end(void)
{
    takes_too_long("(a*)*[bc]", 1000);    /* exponential */
    takes_too_long("(a|aa)+[bc]", 4000);  /* exponential */
    takes_too_long("a*a*a*a*[bc]", 4000); /* n^4 */
    takes_too_long("a*[bc]|a", 200000);   /* every match looks at all that follows */
    takes_too_long("(?=.*(?!.)|x)a", 200000);
    takes_too_long("(?:.*?){9}[bc]", 4000);
}

/* ---- normal forms ---------------------------------------------------------------------- */

/* A long run of marks is ordered in linear time, equal classes as they stand. */
static void marks_are_ordered(void)
{
    enum { N = 200000 };
    struct rad_buf text = {0}, out = {0}, again = {0};
    rad_buf_add(&text, "x");
    for (int i = 0; i < N; i++)
        rad_buf_add(&text, i % 2 == 0 ? "\xcc\x80" : "\xcc\xa3"); /* above, below */
    OK(rad_unicode_normalize(RAD_NFC, text.data, text.len, &out, &err));
    CU_ASSERT_EQUAL_FATAL(out.len, text.len);
    CU_ASSERT(memcmp(out.data + 1, "\xcc\xa3\xcc\xa3", 4) == 0);
    CU_ASSERT(memcmp(out.data + out.len - 4, "\xcc\x80\xcc\x80", 4) == 0);
    OK(rad_unicode_normalize(RAD_NFC, out.data, out.len, &again, &err));
    CU_ASSERT(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
    rad_buf_free(&text);
    rad_buf_free(&out);
    rad_buf_free(&again);
}

static void normal_forms_keep_other_bytes(void)
{
    struct rad_buf out = {0};
    OK(rad_unicode_normalize(RAD_NFC, "e\xff\xcc\x81 e\xcc\x81\xcc", 9, &out, &err));
    CU_ASSERT(out.len == 8 && memcmp(out.data, "e\xff\xcc\x81 \xc3\xa9\xcc", 8) == 0);
    rad_buf_free(&out);
}

/* ---- added tokens ---------------------------------------------------------------------- */

static void added_tokens_take_white_space(void)
{
    static const struct rad_added_token token[] = {
        {.text = "<b>", .len = 3, .id = 1, .lstrip = true},
        {.text = "<c>", .len = 3, .id = 2, .rstrip = true, .single_word = true},
    };
    static const char text[] = "a  <b> <c>x \xe2\x80\x83<c> \xe2\x80\x83 y";
    const size_t len = sizeof text - 1;
    struct rad_added added;
    struct rad_added_hit hit;
    OK(rad_added_open(&added, token, 2, &err));
    CU_ASSERT(rad_added_next(&added, text, len, 0, &hit));
    CU_ASSERT(hit.begin == 1 && hit.end == 6 && hit.id == 1);
    CU_ASSERT(rad_added_next(&added, text, len, hit.end, &hit)); /* not the one before x */
    CU_ASSERT(hit.begin == 15 && hit.end == len - 1 && hit.id == 2);
    CU_ASSERT_FALSE(rad_added_next(&added, text, len, hit.end, &hit));
    CU_ASSERT(rad_added_next(&added, text, len, 2, &hit)); /* what comes before is not taken */
    CU_ASSERT(hit.begin == 2 && hit.end == 6);
    rad_added_free(&added);
}

CU_TestInfo tok_split_tests[] = {
    {"patterns mean what they mean elsewhere", patterns_mean_what_they_mean_elsewhere},
    {"bad patterns are refused", bad_patterns_are_refused},
    {"long words are whole", long_words_are_whole},
    {"hostile patterns end", hostile_patterns_end},
    {"marks are ordered", marks_are_ordered},
    {"normal forms keep other bytes", normal_forms_keep_other_bytes},
    {"added tokens take white space", added_tokens_take_white_space},
    CU_TEST_INFO_NULL,
};
