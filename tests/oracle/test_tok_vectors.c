/* test_tok_vectors.c - tokenizers of every form against tok_vectors.py, and real vocabularies
 * against the ids that come with them. */
#include "base/buf.h"
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "tests/oracle/tok/"

enum { FIELDS = 6 }; /* of a line: name, bos, eos, text, ids, text of the ids */

static struct rad_buf from_hex(const char *hex)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, "");
    for (; hex[0] != '-' && hex[0] != '\0'; hex += 2) {
        const char byte = (char)(unsigned char)strtol((char[]){hex[0], hex[1], '\0'}, NULL, 16);
        rad_buf_append(&b, &byte, 1);
    }
    return b;
}

static bool same_ids(const char *want, const struct rad_ids *ids)
{
    size_t n = 0;
    char *end = NULL;
    for (; *want != '\0' && *want != '-'; want = end, n++) {
        const long id = strtol(want, &end, 10);
        if (n >= ids->n || ids->id[n] != id)
            return false;
        while (*end == ' ')
            end++;
    }
    return n == ids->n;
}

/* text becomes these ids, and the ids this text. */
static bool agrees(const rad_tokenizer *tok, const struct rad_buf *text, const char *ids_text,
                   const struct rad_buf *back)
{
    struct rad_ids ids;
    struct rad_buf got = {0};
    OK(rad_tokenizer_encode(tok, &(struct rad_text){text->data, text->len, false}, &ids, &err));
    OK(rad_tokenizer_decode(tok, ids.id, ids.n, &got, &err));
    const bool ids_same = same_ids(ids_text, &ids);
    const bool text_same = got.len == back->len &&
                           (got.len == 0 || memcmp(got.data, back->data, got.len) == 0);
    if (!ids_same) {
        fprintf(stderr, "\n'%s': expected %s\n but found", text->data, ids_text);
        for (size_t i = 0; i < ids.n; i++)
            fprintf(stderr, " %d", (int)ids.id[i]);
    }
    if (!text_same)
        fprintf(stderr, "\n'%s': expected '%s' but found '%s'\n", text->data, back->data, got.data);
    rad_buf_free(&got);
    rad_ids_free(&ids);
    return ids_same && text_same;
}

/* With bos, the id in front and nothing else changes. */
static bool begins_with_bos(const rad_tokenizer *tok, const struct rad_buf *text)
{
    struct rad_ids with, without;
    OK(rad_tokenizer_encode(tok, &(struct rad_text){text->data, text->len, true}, &with, &err));
    OK(rad_tokenizer_encode(tok, &(struct rad_text){text->data, text->len, false}, &without, &err));
    const size_t more = rad_tokenizer_bos(tok) >= 0;
    const bool same =
        with.n == without.n + more && (more == 0 || with.id[0] == rad_tokenizer_bos(tok)) &&
        (without.n == 0 || memcmp(with.id + more, without.id, without.n * sizeof with.id[0]) == 0);
    rad_ids_free(&with);
    rad_ids_free(&without);
    return same;
}

static void check_line(const rad_tokenizer *tok, char *const field[FIELDS])
{
    struct rad_buf text = from_hex(field[3]);
    struct rad_buf back = from_hex(field[5][0] == '=' ? field[3] : field[5]);
    CU_ASSERT(agrees(tok, &text, field[4], &back));
    CU_ASSERT(begins_with_bos(tok, &text));
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), atoi(field[1]));
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), atoi(field[2]));
    rad_buf_free(&text);
    rad_buf_free(&back);
}

/* Cut a line at its tabs. */
static bool cut(char *line, char *field[FIELDS])
{
    int n = 0;
    for (char *at = line; at != NULL && n < FIELDS; n++) {
        field[n] = at;
        at = strchr(at, '\t');
        if (at != NULL)
            *at++ = '\0';
    }
    return n == FIELDS;
}

static void all_forms_agree_with_the_reference(void)
{
    char *text = NULL, open[64] = "", path[128];
    rad_tokenizer *tok = NULL;
    int lines = 0;
    OK(rad_file_read("tests/oracle/tok_vectors.tsv", 1 << 20, &text, NULL, &err));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        char *field[FIELDS];
        CU_ASSERT_FATAL(cut(line, field));
        if (strcmp(open, field[0]) != 0) {
            snprintf(open, sizeof open, "%s", field[0]);
            snprintf(path, sizeof path, FOLDER "%s", open);
            rad_tokenizer_close(tok);
            OK(rad_tokenizer_open(&tok, path, 1000, &err));
        }
        check_line(tok, field);
    }
    CU_ASSERT(lines > 1000);
    rad_tokenizer_close(tok);
    free(text);
}

/* ---- real vocabularies ----------------------------------------------------------------- */

/* Behind every text in .inp is a line of its own; line i of .out has the ids of text i. */
static void check_real(const char *name, int32_t vocab)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[160], *texts = NULL, *ids = NULL;
    rad_tokenizer *tok = NULL;
    int n = 0;
    snprintf(path, sizeof path, "../shared/data/tokenizers/%s", name);
    if (access(path, F_OK) != 0) {
        printf("(skipped: no %s) ", path);
        return;
    }
    OK(rad_tokenizer_open(&tok, path, vocab, &err));
    snprintf(path, sizeof path, "../shared/data/tokenizers/%s.inp", name);
    OK(rad_file_read(path, 1 << 20, &texts, NULL, &err));
    snprintf(path, sizeof path, "../shared/data/tokenizers/%s.out", name);
    OK(rad_file_read(path, 1 << 20, &ids, NULL, &err));
    char *line = ids;
    for (char *at = texts, *next; (next = strstr(at, mark)) != NULL; at = next, n++) {
        *next = '\0';
        next += sizeof mark - 1;
        char *end = strchr(line, '\n');
        CU_ASSERT_PTR_NOT_NULL_FATAL(end);
        *end = '\0';
        struct rad_buf text = {.data = at, .len = strlen(at)};
        CU_ASSERT(agrees(tok, &text, line + strspn(line, " "), &text));
        line = end + 1;
    }
    CU_ASSERT(n > 40);
    CU_ASSERT_EQUAL(*line, '\0');
    free(texts);
    free(ids);
    rad_tokenizer_close(tok);
}

static void gpt2_agrees_with_its_ids(void)
{
    check_real("ggml-vocab-gpt-2.gguf", 50257);
}

static void llama_agrees_with_its_ids(void)
{
    check_real("ggml-vocab-llama-spm.gguf", 32000);
}

CU_TestInfo tok_vectors_tests[] = {
    {"all forms agree with the reference", all_forms_agree_with_the_reference},
    {"the vocabulary of GPT-2 agrees with its ids", gpt2_agrees_with_its_ids},
    {"the vocabulary of Llama agrees with its ids", llama_agrees_with_its_ids},
    CU_TEST_INFO_NULL,
};
