/* test_tok_steps.c - the steps of a tokenizer.json around its model: which are refused, and why. */
#include "refuse.h"
#include "tok_make.h"

#include <stddef.h>
#include <stdlib.h>

#define BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}"
#define SPLIT "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"b\"}, \"behavior\": \"Isolated\"}"
#define NFC "{\"type\": \"NFC\"}"
#define MARK "\"replacement\": \"\xe2\x96\x81\""
#define NINE(x) x ", " x ", " x ", " x ", " x ", " x ", " x ", " x ", " x
#define A_65 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct refusal {
    const char *step;
    enum rad_status status;
    const char *message;
};

/* Every row spoils one part. */
static void refuses(const struct refusal *row, size_t n, size_t part)
{
    for (size_t i = 0; i < n; i++) {
        rad_tokenizer *tok = NULL;
        struct made_json parts = {.model = NULL};
        memcpy((char *)&parts + part, &row[i].step, sizeof row[i].step);
        REFUSES(made_json_tokenizer(&tok, &parts, &err), row[i].status, row[i].message);
        CU_ASSERT_PTR_NULL(tok);
    }
}
#define REFUSES_ALL(rows, part)                                                                    \
    refuses(rows, sizeof(rows) / sizeof(rows)[0], offsetof(struct made_json, part))

static void bad_normalizers_are_refused(void)
{
    static const struct refusal rows[] = {
        {"1", RAD_E_PARSE, "file0: 'normalizer': 'type': expected a string"},
        {"{\"type\": \"Lowercase\"}", RAD_E_UNSUPPORTED, "'normalizer': 'Lowercase' is not"},
        {"{\"type\": \"Sequence\"}", RAD_E_PARSE, "'normalizer': 'normalizers': expected an array"},
        {"{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Sequence\"}]}", RAD_E_UNSUPPORTED,
         "'normalizer': 'Sequence' is not supported"},
        {"{\"type\": \"Sequence\", \"normalizers\": [" NINE(NFC) "]}", RAD_E_RANGE,
         "'normalizer': NFC: expected at most 8 steps"},
        {"{\"type\": \"Prepend\"}", RAD_E_PARSE, "Prepend: 'prepend': expected a string"},
        {"{\"type\": \"Prepend\", \"prepend\": \"" A_65 "\"}", RAD_E_RANGE,
         "Prepend: expected a text of 0..64 bytes but found 65"},
        {"{\"type\": \"Replace\", \"content\": \"\"}", RAD_E_UNSUPPORTED,
         "Replace: a pattern that is no String is not supported"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": 1}, \"content\": \"\"}", RAD_E_PARSE,
         "Replace: 'String': expected a string"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}}", RAD_E_PARSE,
         "Replace: 'content': expected a string"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"\"}", RAD_E_RANGE,
         "Replace: expected a text of 1..64 bytes but found 0"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"" A_65 "\"}",
         RAD_E_RANGE, "Replace: expected a text of 0..64 bytes but found 65"},
    };
    REFUSES_ALL(rows, normalizer);
}

static void bad_pre_tokenizers_are_refused(void)
{
    static const struct refusal rows[] = {
        {"{\"type\": \"Whitespace\"}", RAD_E_UNSUPPORTED, "'pre_tokenizer': 'Whitespace' is not"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" BYTES ", " SPLIT "]}", RAD_E_UNSUPPORTED,
         "Split: a step behind the last is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" BYTES ", " BYTES "]}", RAD_E_UNSUPPORTED,
         "ByteLevel: a step behind the last is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" BYTES ", {\"type\": \"Digits\"}]}",
         RAD_E_UNSUPPORTED, "Digits: a step behind the last is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" BYTES ", {\"type\": \"Metaspace\"}]}",
         RAD_E_UNSUPPORTED, "Metaspace: a step behind the last is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" SPLIT ", {\"type\": \"ByteLevel\"}]}",
         RAD_E_UNSUPPORTED, "ByteLevel: 'add_prefix_space' behind another step is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" SPLIT ", {\"type\": \"Metaspace\", " MARK
         "}]}",
         RAD_E_UNSUPPORTED, "Metaspace: a split before it is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" NINE(SPLIT) "]}", RAD_E_RANGE,
         "Split: expected at most 8 splits"},
        {"{\"type\": \"ByteLevel\", \"use_regex\": 1}", RAD_E_PARSE, "'use_regex': expected"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": 1}", RAD_E_PARSE, "'add_prefix_space'"},
        {"{\"type\": \"Digits\", \"individual_digits\": 1}", RAD_E_PARSE, "'individual_digits'"},
    };
    REFUSES_ALL(rows, pre);
}

static void bad_splits_and_marks_are_refused(void)
{
    static const struct refusal rows[] = {
        {"{\"type\": \"Split\"}", RAD_E_PARSE, "Split: 'behavior': expected a string"},
        {"{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"String\": \" \"}}",
         RAD_E_UNSUPPORTED, "Split: a pattern that is no Regex is not supported"},
        {"{\"type\": \"Split\", \"behavior\": \"Contiguous\", \"pattern\": {\"Regex\": \" \"}}",
         RAD_E_UNSUPPORTED, "Split: behavior 'Contiguous' is not supported"},
        {"{\"type\": \"Split\", \"behavior\": \"MergedWithNext\", \"pattern\": {\"Regex\": \" \"}, "
         "\"invert\": true}",
         RAD_E_UNSUPPORTED, "Split: behavior 'MergedWithNext', inverted, is not supported"},
        {"{\"type\": \"Split\", \"behavior\": \"Removed\", \"pattern\": {\"Regex\": \" \"}}",
         RAD_E_UNSUPPORTED, "Split: behavior 'Removed' is not supported"},
        {"{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \" \"}, "
         "\"invert\": 1}",
         RAD_E_PARSE, "Split: 'invert': expected"},
        {"{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"(\"}}",
         RAD_E_PARSE, "Split: regular expression: missing closing parenthesis"},
        {"{\"type\": \"Metaspace\"}", RAD_E_PARSE, "Metaspace: 'replacement': expected a string"},
        {"{\"type\": \"Metaspace\", \"replacement\": \"_\"}", RAD_E_UNSUPPORTED,
         "Metaspace: a mark other than U+2581 is not supported"},
        {"{\"type\": \"Metaspace\", " MARK ", \"prepend_scheme\": \"last\"}", RAD_E_UNSUPPORTED,
         "Metaspace: prepend_scheme 'last' is not supported"},
        {"{\"type\": \"Metaspace\", " MARK ", \"prepend_scheme\": 1}", RAD_E_PARSE,
         "Metaspace: 'prepend_scheme': expected a string"},
        {"{\"type\": \"Metaspace\", " MARK ", \"split\": 1}", RAD_E_PARSE, "'split': expected"},
        {"{\"type\": \"Metaspace\", " MARK ", \"add_prefix_space\": 1}", RAD_E_PARSE,
         "'add_prefix_space': expected"},
    };
    REFUSES_ALL(rows, pre);
}

#define TEMPLATE(single, tokens)                                                                   \
    "{\"type\": \"TemplateProcessing\", \"single\": [" single "], \"special_tokens\": {" tokens "}}"
#define SPECIAL "{\"SpecialToken\": {\"id\": \"s\"}}"
#define TEXT "{\"Sequence\": {\"id\": \"A\"}}"

static void bad_post_processors_are_refused(void)
{
    static const struct refusal rows[] = {
        {"{\"type\": \"BertProcessing\"}", RAD_E_UNSUPPORTED, "'BertProcessing' is not supported"},
        {"{\"type\": \"TemplateProcessing\"}", RAD_E_PARSE, "'single': expected an array"},
        {TEMPLATE("", ""), RAD_E_PARSE, "'single': expected a place for the text"},
        {TEMPLATE("{\"SpecialToken\": {}}", ""), RAD_E_PARSE, "'id': expected a string"},
        {TEMPLATE(SPECIAL ", " TEXT, ""), RAD_E_PARSE, "expected 's' with one id"},
        {TEMPLATE(SPECIAL ", " TEXT, "\"s\": {\"ids\": [1, 2]}"), RAD_E_PARSE, "with one id"},
        {TEMPLATE(SPECIAL ", " TEXT, "\"s\": {\"ids\": [\"1\"]}"), RAD_E_PARSE, "with one id"},
        {TEMPLATE(SPECIAL ", " TEXT, "\"s\": {\"ids\": [6]}"), RAD_E_RANGE,
         "'special_tokens': 's' has an id outside the vocabulary"},
        {TEMPLATE(SPECIAL ", " TEXT, "\"s\": {\"ids\": [-1]}"), RAD_E_RANGE, "an id outside"},
        {TEMPLATE(SPECIAL ", " SPECIAL ", " TEXT, "\"s\": {\"ids\": [1]}"), RAD_E_UNSUPPORTED,
         "a template with more than one token before the text is not supported"},
        {TEMPLATE(TEXT ", " SPECIAL, "\"s\": {\"ids\": [1]}"), RAD_E_UNSUPPORTED, "a template"},
    };
    REFUSES_ALL(rows, post);
}

static void bad_decoders_are_refused(void)
{
    static const struct refusal rows[] = {
        {"{\"type\": \"WordPiece\"}", RAD_E_UNSUPPORTED, "'decoder': 'WordPiece' is not supported"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"_\"}, \"content\": \" \"}",
         RAD_E_UNSUPPORTED, "Replace: anything but marks to blanks is not supported"},
        {"{\"type\": \"Replace\", \"pattern\": {}, \"content\": \" \"}", RAD_E_PARSE, "'String'"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"_\"}}", RAD_E_PARSE, "'content'"},
        {"{\"type\": \"Strip\", \"content\": \"_\", \"start\": 1, \"stop\": 0}", RAD_E_UNSUPPORTED,
         "Strip: anything but one blank in front is not supported"},
        {"{\"type\": \"Strip\", \"content\": \" \", \"start\": 2, \"stop\": 0}", RAD_E_UNSUPPORTED,
         "Strip: anything but"},
        {"{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 1}", RAD_E_UNSUPPORTED,
         "Strip: anything but"},
        {"{\"type\": \"Strip\", \"content\": \" \", \"start\": -1, \"stop\": 1}", RAD_E_RANGE,
         "Strip: 'start'"},
        {"{\"type\": \"Strip\", \"content\": \" \", \"start\": 1}", RAD_E_PARSE, "'stop'"},
        {"{\"type\": \"Strip\", \"start\": 1}", RAD_E_PARSE, "'content'"},
        {"{\"type\": \"Metaspace\", \"replacement\": \"_\"}", RAD_E_UNSUPPORTED, "a mark other"},
        {"{\"type\": \"Metaspace\", " MARK ", \"prepend_scheme\": \"last\"}", RAD_E_UNSUPPORTED,
         "prepend_scheme 'last' is not supported"},
    };
    REFUSES_ALL(rows, decoder);
}

/* A text that replacing makes too long. */
static void normalized_texts_have_a_limit(void)
{
    enum { LEN = 5 << 20 };
    rad_tokenizer *tok = NULL;
    struct rad_ids ids;
    char *text = malloc(LEN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'b', LEN);
    OK(made_json_tokenizer(
        &tok,
        &(struct made_json){.normalizer = "{\"type\": \"Replace\", \"pattern\": {\"String\": "
                                          "\"b\"}, \"content\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"},
        &err));
    REFUSES(rad_tokenizer_encode(tok, &(struct rad_text){text, LEN, false}, &ids, &err),
            RAD_E_RANGE, "the normalized text is longer than 268435456 bytes");
    CU_ASSERT_PTR_NULL(ids.id);
    rad_tokenizer_close(tok);
    free(text);
}

CU_TestInfo tok_steps_tests[] = {
    {"bad normalizers are refused", bad_normalizers_are_refused},
    {"bad pre-tokenizers are refused", bad_pre_tokenizers_are_refused},
    {"bad splits and marks are refused", bad_splits_and_marks_are_refused},
    {"bad post-processors are refused", bad_post_processors_are_refused},
    {"bad decoders are refused", bad_decoders_are_refused},
    {"normalized texts have a limit", normalized_texts_have_a_limit},
    CU_TEST_INFO_NULL,
};
