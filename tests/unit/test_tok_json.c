/* test_tok_json.c - tokenizer.json: what its parts do, and what is refused. */
#include "refuse.h"
#include "tok_make.h"

#include <stdlib.h>

#define SPLIT(pattern, behavior, invert)                                                           \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" pattern "\"}, \"behavior\": \"" behavior   \
    "\", \"invert\": " invert "}"
#define BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}"
#define PREFIXED "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": false}"
#define SEQUENCE(key, list) "{\"type\": \"Sequence\", \"" key "\": [" list "]}"
#define META(more) "{\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\"" more "}"
#define X8(x) x x x x x x x x
#define A_64 X8("aaaaaaaa")
#define A_256 A_64 A_64 A_64 A_64

static rad_tokenizer *open_json(const struct made_json *parts)
{
    rad_tokenizer *tok = NULL;
    OK(made_json_tokenizer(&tok, parts, &err));
    return tok;
}

static void encodes_with(const struct made_json *parts, const char *text, const char *ids)
{
    rad_tokenizer *tok = open_json(parts);
    CU_ASSERT(made_encodes(tok, text, ids));
    rad_tokenizer_close(tok);
}

static void decodes_with(const struct made_json *parts, const int32_t *id, size_t n,
                         const char *want)
{
    rad_tokenizer *tok = open_json(parts);
    struct rad_buf b = {0};
    rad_buf_add(&b, "");
    OK(rad_tokenizer_decode(tok, id, n, &b, &err));
    CU_ASSERT_STRING_EQUAL(b.data, want);
    rad_buf_free(&b);
    rad_tokenizer_close(tok);
}

/* ---- what parts do --------------------------------------------------------------------- */

#define VOCAB "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"<unk>\": 3}, \"merges\": [\"a b\"]"

static void unknown_text_has_its_token(void)
{
    encodes_with(&(struct made_json){0}, "ababcca", "4 3 3 0");
    encodes_with(&(struct made_json){.model = "{" VOCAB ", \"unk_token\": \"<unk>\", "
                                              "\"fuse_unk\": true}"},
                 "abccab", "2 3 2");
    encodes_with(
        &(struct made_json){.model = "{" VOCAB ", \"unk_token\": null}"}, "ac",
        "the vocabulary has no piece for byte 0x63 of the text, and none for unknown text");
    /* Bytes, if all of a character have pieces. */
    encodes_with(&(struct made_json){.model = "{\"vocab\": {\"<unk>\": 0, \"<0xC3>\": 1, "
                                              "\"<0xA9>\": 2}, \"merges\": [], \"unk_token\": "
                                              "\"<unk>\", \"byte_fallback\": true}"},
                 "\xc3\xa9\xc3\xaa\xc3", "1 2 0 1");
}

static void words_may_be_taken_whole(void)
{
    static const char model[] = "{\"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"abc\": 3}, "
                                "\"merges\": [], \"ignore_merges\": %s}";
    char text[160];
    snprintf(text, sizeof text, model, "true");
    encodes_with(&(struct made_json){.model = text}, "abc", "3");
    encodes_with(&(struct made_json){.model = text}, "abcb", "0 1 2 1");
    snprintf(text, sizeof text, model, "false");
    encodes_with(&(struct made_json){.model = text}, "abc", "0 1 2");
}

static void splits_cut_words(void)
{
    const struct made_json isolated = {.pre = SPLIT("b", "Isolated", "false")};
    const struct made_json removed = {.pre = SPLIT("ab", "Removed", "true")};
    const struct made_json empty = {.pre = SPLIT("(?=b)", "Isolated", "false")};
    const struct made_json two = {
        .pre = SEQUENCE("pretokenizers",
                        SPLIT("aba", "Isolated", "false") ", " SPLIT("a$", "Isolated", "false"))};
    encodes_with(&isolated, "abab", "0 1 0 1");
    encodes_with(&removed, "babaabb", "2 2");
    encodes_with(&empty, "abab", "0 1 0 1");
    encodes_with(&two, "ababab", "2 0 1 2"); /* aba bab: each sees nothing but its part */
    encodes_with(&(struct made_json){.pre = "{\"type\": \"Digits\", \"individual_digits\": true}",
                                     .model = "{\"vocab\": {\"1\": 0, \"2\": 1, \"12\": 2}, "
                                              "\"merges\": [\"1 2\"]}"},
                 "12", "0 1");
    encodes_with(&(struct made_json){.pre = "{\"type\": \"Digits\"}",
                                     .model = "{\"vocab\": {\"1\": 0, \"2\": 1, \"12\": 2}, "
                                              "\"merges\": [\"1 2\"]}"},
                 "12", "2");
}

#define MARKS                                                                                      \
    "{\"vocab\": {\"\xe2\x96\x81\": 0, \"a\": 1, \"\xe2\x96\x81"                                   \
    "a\": 2, \"\xe2\x96\x81\xe2\x96\x81\": 3, \"aa\": 4, \"a\xe2\x96\x81\": 5}, \"merges\": [%s"   \
    "\"\xe2\x96\x81 \xe2\x96\x81\", \"\xe2\x96\x81 a\", \"a a\"]}"

static void marks_stand_for_blanks(void)
{
    char model[256];
    snprintf(model, sizeof model, MARKS, "");
    encodes_with(&(struct made_json){.model = model, .pre = META("")}, "a  a", "2 0 2");
    encodes_with(&(struct made_json){.model = model, .pre = META(", \"split\": false")}, "a  a",
                 "2 3 1");
    encodes_with(
        &(struct made_json){.model = model, .pre = META(", \"prepend_scheme\": \"never\"")}, "a a",
        "1 2");
    encodes_with(&(struct made_json){.model = model, .pre = META(", \"add_prefix_space\": false")},
                 "a a", "1 2");
    encodes_with(&(struct made_json){.model = model, .pre = META("")}, " a", "2");
    snprintf(model, sizeof model, MARKS, "\"a \xe2\x96\x81\", "); /* reaches over words */
    encodes_with(&(struct made_json){.model = model, .pre = META(", \"split\": false")}, "a a",
                 "0 5 1");
    decodes_with(&(struct made_json){.model = model, .decoder = META("")}, (int32_t[]){2, 2}, 2,
                 "a a");
    decodes_with(
        &(struct made_json){.model = model, .decoder = META(", \"prepend_scheme\": \"never\"")},
        (int32_t[]){2, 2}, 2, " a a");
}

static void added_tokens_are_found_first(void)
{
    const struct made_json plain = {
        .added = "[{\"id\": 7, \"content\": \"ab\"}, {\"id\": 8, \"content\": \"aba\", "
                 "\"special\": true}]",
        .model = "{\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}"};
    encodes_with(&plain, "abab", "8 1");
    encodes_with(&plain, "aab", "0 7");
    decodes_with(&plain, (int32_t[]){8, 7, 0, 5}, 4, "aba"); /* special: no text; 5: no piece */
    const struct made_json normal = {.added = "[{\"id\": 7, \"content\": \"AB\", \"normalized\": "
                                              "true}, {\"id\": 8, \"content\": \"AA\"}]",
                                     .normalizer = "{\"type\": \"Replace\", \"pattern\": "
                                                   "{\"String\": \"A\"}, \"content\": \"a\"}",
                                     .model = "{\"vocab\": {\"a\": 0, \"B\": 1}, \"merges\": []}"};
    encodes_with(&normal, "aBABAAaA", "7 7 8 8"); /* normalized unless told otherwise */
    encodes_with(&(struct made_json){.added = "[{\"id\": 8, \"content\": \"AA\", \"normalized\": "
                                              "false}]",
                                     .normalizer = normal.normalizer,
                                     .model = normal.model},
                 "AAAB", "8 0 1");
}

static void configs_name_the_end(void)
{
    rad_tokenizer *tok = open_json(&(struct made_json){.config = "{\"eos_token\": \"ab\"}"});
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), 2);
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bpe");
    rad_tokenizer_close(tok);
    tok = open_json(&(struct made_json){.config = "{\"eos_token\": {\"content\": \"zz\"}}"});
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), -1);
    rad_tokenizer_close(tok);
    tok = open_json(&(struct made_json){.pre = PREFIXED});
    CU_ASSERT(made_encodes(tok, "", ""));
    CU_ASSERT(made_encodes(tok, "ab", "3 2")); /* a blank in front has no piece as a byte */
    rad_tokenizer_close(tok);
}

/* ---- what is refused ------------------------------------------------------------------- */

struct refusal {
    struct made_json parts;
    enum rad_status status;
    const char *message;
};

static void refuses(const struct refusal *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rad_tokenizer *tok = NULL;
        REFUSES(made_json_tokenizer(&tok, &row[i].parts, &err), row[i].status, row[i].message);
        CU_ASSERT_PTR_NULL(tok);
    }
}
#define REFUSES_ALL(rows) refuses(rows, sizeof(rows) / sizeof(rows)[0])

static void bad_models_are_refused(void)
{
    static const struct refusal rows[] = {
        {{.model = "-"}, RAD_E_PARSE, "file0: 'model': expected an object"},
        {{.model = "{\"type\": \"Unigram\"}"},
         RAD_E_UNSUPPORTED,
         "file0: 'model': expected type BPE but found 'Unigram'"},
        {{.model = "{\"dropout\": 0.1}"}, RAD_E_UNSUPPORTED, "'dropout' is not supported"},
        {{.model = "{\"end_of_word_suffix\": \"</w>\"}"},
         RAD_E_UNSUPPORTED,
         "'end_of_word_suffix' is not supported"},
        {{.model = "{\"continuing_subword_prefix\": \"##\"}"},
         RAD_E_UNSUPPORTED,
         "'continuing_subword_prefix' is not supported"},
        {{.model = "{\"unk_token\": 1}"}, RAD_E_PARSE, "'unk_token': expected a string, or an"},
        {{.model = "{\"fuse_unk\": 1}"}, RAD_E_PARSE, "'fuse_unk': expected true or false"},
        {{.model = "{\"byte_fallback\": 1}"}, RAD_E_PARSE, "'byte_fallback': expected"},
        {{.model = "{\"ignore_merges\": 1}"}, RAD_E_PARSE, "'ignore_merges': expected"},
        {{.model = "{\"vocab\": []}"}, RAD_E_PARSE, "expected a vocabulary: an object"},
        {{.model = "{\"vocab\": {}}"}, RAD_E_PARSE, "expected a vocabulary: an object"},
        {{.model = "{\"vocab\": {\"a\": -1}}"}, RAD_E_PARSE, "piece 'a': expected an id from 0"},
        {{.model = "{\"vocab\": {\"a\": \"0\"}}"}, RAD_E_PARSE, "piece 'a': expected an id from 0"},
        {{.model = "{\"vocab\": {\"a\": 1048576}}"},
         RAD_E_RANGE,
         "expected ids below 1048576 but found 1048576"},
        {{.model = "{\"vocab\": {\"a\": 1, \"b\": 1}}"}, RAD_E_PARSE, "two pieces have id 1"},
        {{.model = "{\"vocab\": {\"a\": 0}}"}, RAD_E_PARSE, "'merges': expected an array"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [1]}"},
         RAD_E_PARSE,
         "merge 0: expected a string or two of them"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}"},
         RAD_E_PARSE,
         "merge 0: expected a string or two"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [[\"a\", 1]]}"},
         RAD_E_PARSE,
         "merge 0: expected a string or two"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [\"aa\"]}"},
         RAD_E_PARSE,
         "merge 0: expected two pieces with a blank in between"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [\"a  a\"]}"},
         RAD_E_PARSE,
         "merge 0: expected two pieces with a blank"},
        {{.model = "{\"vocab\": {\"\": 0}, \"merges\": []}"},
         RAD_E_PARSE,
         "file0: piece 0: expected 1..1024 bytes of UTF-8 without NUL"},
        {{.model = "{" VOCAB ", \"unk_token\": \"?\"}"},
         RAD_E_PARSE,
         "file0: the piece for unknown text is not in the vocabulary"},
        {{.model = "{\"vocab\": {\"a\": 1000}, \"merges\": []}"},
         RAD_E_RANGE,
         "file0: expected at most the model's vocabulary of 1000 pieces but found 1001"},
        {{.config = "{\"eos_token\": 1}"}, RAD_E_PARSE, "file1: 'eos_token': expected a string"},
        {{.config = "{"}, RAD_E_PARSE, "file1:1:1"},
    };
    REFUSES_ALL(rows);
}

static void bad_merges_are_refused(void)
{
    static const struct refusal rows[] = {
        {{.model = "{\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}"},
         RAD_E_PARSE,
         "file0: merge 0: expected two pieces that make a third but found one that the vocabulary"},
        {{.model = "{\"vocab\": {\"a\": 0, \"ab\": 1}, \"merges\": [\"a b\"]}"},
         RAD_E_PARSE,
         "merge 0: expected two pieces"},
        {{.model = "{\"vocab\": {\"b\": 0, \"ab\": 1}, \"merges\": [\"a b\"]}"},
         RAD_E_PARSE,
         "merge 0: expected two pieces"},
        {{.model = "{\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\", \"a b\"]}"},
         RAD_E_PARSE,
         "file0: merge 1: the same pair as one before"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [\" a\"]}"}, RAD_E_PARSE, "merge 0: exp"},
        {{.model = "{\"vocab\": {\"a\": 0}, \"merges\": [\"\xe4\xb8\x96 a\"]}", .pre = BYTES},
         RAD_E_PARSE,
         "merge 0: expected two pieces"},
        {{.model = "{\"vocab\": {\"a\": 0, \"\xc4\x80\": 1, \"\xc4\xa0\": 2, \"a\xc4\xa0\": 3}, "
                   "\"merges\": [\"a  \"]}",
          .pre = BYTES},
         RAD_E_PARSE,
         "merge 0: expected two pieces with a blank in between"},
    };
    REFUSES_ALL(rows);
}

static void long_pieces_are_refused(void)
{
    struct rad_buf model = {0};
    rad_tokenizer *tok = NULL;
    rad_buf_add(&model, "{\"vocab\": {\"");
    for (int i = 0; i < 1025; i++)
        rad_buf_add(&model, "a");
    rad_buf_add(&model, "\": 0}, \"merges\": []}");
    REFUSES(made_json_tokenizer(&tok, &(struct made_json){.model = model.data}, &err), RAD_E_PARSE,
            "file0: piece 0: expected 1..1024 bytes");
    rad_buf_free(&model);
}

static void bad_added_tokens_are_refused(void)
{
    static const struct refusal rows[] = {
        {{.added = "{}"}, RAD_E_PARSE, "file0: 'added_tokens': expected an array"},
        {{.added = "[{\"content\": \"x\"}]"}, RAD_E_PARSE, "added token 0: 'id': expected"},
        {{.added = "[{\"id\": 1048576, \"content\": \"x\"}]"}, RAD_E_RANGE, "added token 0: 'id'"},
        {{.added = "[{\"id\": -1, \"content\": \"x\"}]"}, RAD_E_RANGE, "added token 0: 'id'"},
        {{.added = "[{\"id\": 9}]"}, RAD_E_PARSE, "added token 0: 'content': expected a string"},
        {{.added = "[{\"id\": 9, \"content\": \"\"}]"},
         RAD_E_PARSE,
         "file0: added token 9: expected 1..256 bytes of UTF-8 without NUL"},
        {{.added = "[{\"id\": 9, \"content\": \"" A_256 "a\"}]"},
         RAD_E_PARSE,
         "added token 9: expected 1..256 bytes"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"lstrip\": 1}]"}, RAD_E_PARSE, "'lstrip'"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"rstrip\": 1}]"}, RAD_E_PARSE, "'rstrip'"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"special\": 1}]"}, RAD_E_PARSE, "'special'"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"single_word\": 1}]"},
         RAD_E_PARSE,
         "'single_word'"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"normalized\": 1}]"},
         RAD_E_PARSE,
         "'normalized'"},
        {{.added = "[{\"id\": 2, \"content\": \"x\"}]"},
         RAD_E_PARSE,
         "file0: added token 2: the vocabulary has another text for it"},
        {{.added = "[{\"id\": 8, \"content\": \"x\"}, {\"id\": 9, \"content\": \"x\"}]"},
         RAD_E_PARSE,
         "have the same text"},
        {{.added = "[{\"id\": 9, \"content\": \"x\", \"normalized\": true}]",
          .normalizer = "{\"type\": \"Replace\", \"pattern\": {\"String\": \"x\"}, \"content\": "
                        "\"\"}"},
         RAD_E_RANGE,
         "file0: added token 9: expected 1..256 bytes once normalized"},
    };
    REFUSES_ALL(rows);
}

CU_TestInfo tok_json_tests[] = {
    {"unknown text has its token", unknown_text_has_its_token},
    {"words may be taken whole", words_may_be_taken_whole},
    {"splits cut words", splits_cut_words},
    {"marks stand for blanks", marks_stand_for_blanks},
    {"added tokens are found first", added_tokens_are_found_first},
    {"configs name the end", configs_name_the_end},
    {"bad models are refused", bad_models_are_refused},
    {"bad merges are refused", bad_merges_are_refused},
    {"long pieces are refused", long_pieces_are_refused},
    {"bad added tokens are refused", bad_added_tokens_are_refused},
    CU_TEST_INFO_NULL,
};
