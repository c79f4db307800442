/* test_tok_files.c - vocab.json with merges.txt, and the configs beside them; long words. */
#include "base/clock.h"
#include "refuse.h"
#include "tok_make.h"

#include <stdlib.h>

/* "ab" is piece 2; bytes but a, b and the blank have none. */
#define VOCAB                                                                                      \
    "{\"a\": 0, \"b\": 1, \"ab\": 2, \"</s>\": 3, \"<pad>\": 4, \"\xc4\xa0\": 5, "                 \
    "\"<|endoftext|>\": 6, \"aa\": 7, \"aaaa\": 8}"
#define MERGES "#version: 0.2\r\na b\r\na a\naa aa\n"

static rad_tokenizer *open_files(const char *config, const char *special)
{
    rad_tokenizer *tok = NULL;
    const char *const text[RAD_TOKENIZER_FILES] = {VOCAB, MERGES, config, special};
    OK(made_tokenizer(&tok, &rad_tokenizer_source_bpe, text, 9, &err));
    return tok;
}

static void without_configs_it_is_gpt2(void)
{
    rad_tokenizer *tok = open_files(NULL, NULL);
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bpe");
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), -1);
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), 6);
    CU_ASSERT(made_encodes(tok, "ab ab<|endoftext|>b", "2 5 2 6 1"));
    CU_ASSERT(made_encodes(tok, "c", "6")); /* <|endoftext|> is the unknown token too */
    rad_tokenizer_close(tok);
}

static void configs_name_special_tokens(void)
{
    rad_tokenizer *tok = open_files("{\"bos_token\": \"</s>\", \"add_bos_token\": true, "
                                    "\"pad_token\": {\"content\": \"<pad>\"}, "
                                    "\"add_prefix_space\": true}",
                                    "{\"eos_token\": \"</s>\", \"bos_token\": \"a\"}");
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), 3);
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), 3);
    CU_ASSERT(made_encodes(tok, "ab</s> b<pad>", "5 2 3 5 1 4"));
    rad_tokenizer_close(tok);
    tok = open_files("{\"eos_token\": \"<end>\"}", NULL); /* was never trained */
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), -1);
    rad_tokenizer_close(tok);
}

static void bad_files_are_refused(void)
{
    static const struct {
        const char *text[RAD_TOKENIZER_FILES];
        enum rad_status status;
        const char *message;
    } rows[] = {
        {{"{", ""}, RAD_E_PARSE, "file0:1:1"},
        {{"[]", ""}, RAD_E_PARSE, "file0: expected a vocabulary"},
        {{VOCAB, "a b\n\na a\n"}, RAD_E_PARSE, "file1:2: expected two pieces with a blank"},
        {{VOCAB, "a b c\n"}, RAD_E_PARSE, "file1:1: expected two pieces with a blank in between"},
        {{VOCAB, "a b\n#version\n"}, RAD_E_PARSE, "file1:2: expected two pieces"},
        {{VOCAB, "a c\n"}, RAD_E_PARSE, "file0: merge 0: expected two pieces that make a third"},
        {{VOCAB, "", "["}, RAD_E_PARSE, "file2:1:1"},
        {{VOCAB, "", "{\"bos_token\": 1}"}, RAD_E_PARSE, "file2: 'bos_token': expected a string"},
        {{VOCAB, "", "{\"unk_token\": {}}"}, RAD_E_PARSE, "file2: 'unk_token': expected a string"},
        {{VOCAB, "", "{\"add_bos_token\": 1}"}, RAD_E_PARSE, "file2: 'add_bos_token': expected"},
        {{VOCAB, "", "{\"add_prefix_space\": 1}"}, RAD_E_PARSE, "file2: 'add_prefix_space'"},
        {{VOCAB, "", "{\"bos_token\": \"<s>\", \"add_bos_token\": true}"},
         RAD_E_PARSE,
         "file2: 'add_bos_token': the vocabulary has no such token"},
        {{VOCAB, "", NULL, "{"}, RAD_E_PARSE, "file3:1:1"},
        {{VOCAB, "", NULL, "{\"pad_token\": 1}"}, RAD_E_PARSE, "file3: 'pad_token': expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_tokenizer *tok = NULL;
        REFUSES(made_tokenizer(&tok, &rad_tokenizer_source_bpe, rows[i].text, 9, &err),
                rows[i].status, rows[i].message);
        CU_ASSERT_PTR_NULL(tok);
    }
    rad_tokenizer *tok = NULL;
    const char *const text[RAD_TOKENIZER_FILES] = {VOCAB, MERGES};
    REFUSES(made_tokenizer(&tok, &rad_tokenizer_source_bpe, text, 8, &err), RAD_E_RANGE,
            "file0: expected at most the model's vocabulary of 8 pieces but found 9");
}

static void bytes_without_a_piece_are_named(void)
{
    rad_tokenizer *tok = NULL;
    const char *const text[RAD_TOKENIZER_FILES] = {"{\"a\": 0}", ""};
    OK(made_tokenizer(&tok, &rad_tokenizer_source_bpe, text, 9, &err));
    CU_ASSERT(made_encodes(tok, "aab",
                           "the vocabulary has no piece for byte 0x62 of the text, and none for "
                           "unknown text"));
    rad_tokenizer_close(tok);
}

/* Seconds for a word of n letters, which becomes n / 4 pieces. */
static double seconds_for(const rad_tokenizer *tok, size_t n)
{
    struct rad_ids ids;
    char *text = malloc(n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'a', n);
    const double begin = rad_cpu_s();
    OK(rad_tokenizer_encode(tok, &(struct rad_text){text, n, false}, &ids, &err));
    const double spent = rad_cpu_s() - begin;
    CU_ASSERT_EQUAL(ids.n, n / 4);
    rad_ids_free(&ids);
    free(text);
    return spent;
}

/* One word as long as a text: quadratic time would be 64 times as much for 8 times the letters. */
static void long_words_take_linear_time(void)
{
    rad_tokenizer *tok = open_files(NULL, NULL);
    const double small = seconds_for(tok, 256 << 10), large = seconds_for(tok, 2 << 20);
    CU_ASSERT(large < 32 * small + 0.1);
    rad_tokenizer_close(tok);
}

/* Bytes that are no UTF-8 are kept, and cut words. */
static void other_bytes_come_back(void)
{
    rad_tokenizer *tok = NULL;
    const char *const text[RAD_TOKENIZER_FILES] = {
        "{\"a\": 0, \"b\": 1, \"ab\": 2, \"\xc3\xbf\": 3, \"a\xc3\xbf\": 4, \"\xc4\x80\": 5, "
        "\"\xc3\xa2\": 6}",
        "a b\na \xc3\xbf\n"};
    struct rad_ids ids;
    struct rad_buf back = {0};
    OK(made_tokenizer(&tok, &rad_tokenizer_source_bpe, text, 9, &err));
    CU_ASSERT(made_encodes(tok,
                           "ab\xff"
                           "a\xff\xff"
                           "ab",
                           "2 3 0 3 3 2"));
    const struct rad_text bytes = {"a\0\xff\xe2", 4, false};
    OK(rad_tokenizer_encode(tok, &bytes, &ids, &err));
    OK(rad_tokenizer_decode(tok, ids.id, ids.n, &back, &err));
    CU_ASSERT(back.len == 4 && memcmp(back.data, bytes.data, 4) == 0);
    rad_ids_free(&ids);
    rad_buf_free(&back);
    rad_tokenizer_close(tok);
}

CU_TestInfo tok_files_tests[] = {
    {"without configs it is GPT-2", without_configs_it_is_gpt2},
    {"configs name special tokens", configs_name_special_tokens},
    {"bad files are refused", bad_files_are_refused},
    {"bytes without a piece are named", bytes_without_a_piece_are_named},
    {"long words take linear time", long_words_take_linear_time},
    {"other bytes come back", other_bytes_come_back},
    CU_TEST_INFO_NULL,
};
