/* test_tok_gguf.c - vocabularies inside GGUF files: which are refused, and why. What they make of
 * texts is in tests/oracle. */
#include "gguf_make.h"
#include "refuse.h"
#include "tok_make.h"

#include <stdlib.h>

#define KEY(name) "tokenizer.ggml." name

/* A small vocabulary; what a row of a test does not set is right. */
struct made_vocab {
    const char *model, *pre, *merge, *token; /* NULL: "gpt2", no key, "a b", "ab" */
    int n_token, n_type, n_score;            /* 0: all; -1: no such key */
    int type;                                /* of the last token; 0: control */
    float score;                             /* of the last token */
    int32_t bos;                             /* 0: no such key */
    int add_bos;                             /* 1: true; 2: an integer */
    int prefix;                              /* 1: false; 2: an integer */
};

static size_t count(int n, size_t all)
{
    return n == 0 ? all : n < 0 ? 0 : (size_t)n;
}

static struct rad_buf made_file(const struct made_vocab *v)
{
    const char *tokens[] = {"<unk>", "a", "b", v->token != NULL ? v->token : "ab", "<s>"};
    const int32_t types[] = {2, 1, 1, 1, v->type != 0 ? v->type : 3};
    const float scores[] = {0, -1, -2, -3, v->score};
    const char *const merges[] = {v->merge != NULL ? v->merge : "a b"};
    struct gguf_make m = gguf_begin(3);
    gguf_string(&m, KEY("model"), v->model != NULL ? v->model : "gpt2");
    if (v->pre != NULL)
        gguf_string(&m, KEY("pre"), v->pre);
    gguf_strings(&m, KEY("tokens"), tokens, count(v->n_token, 5));
    if (v->n_type >= 0)
        gguf_ints(&m, KEY("token_type"), types, count(v->n_type, 5));
    if (v->n_score >= 0)
        gguf_floats(&m, KEY("scores"), scores, count(v->n_score, 5));
    gguf_strings(&m, KEY("merges"), merges, 1);
    if (v->bos != 0)
        gguf_int(&m, KEY("bos_token_id"), MAKE_U32, v->bos);
    if (v->add_bos == 2)
        gguf_int(&m, KEY("add_bos_token"), MAKE_U32, 1);
    else if (v->add_bos == 1)
        gguf_bool(&m, KEY("add_bos_token"), 1);
    if (v->prefix == 2)
        gguf_int(&m, KEY("add_space_prefix"), MAKE_U32, 1);
    else if (v->prefix == 1)
        gguf_bool(&m, KEY("add_space_prefix"), 0);
    return gguf_bytes(&m);
}

static enum rad_status open_made(rad_tokenizer **out, const struct made_vocab *v)
{
    struct rad_buf b = made_file(v);
    struct rad_tokenizer_file file = {b.data, b.len, "vocab.gguf"};
    const enum rad_status status =
        rad_tokenizer_read(out, &rad_tokenizer_source_gguf, &file, 100, &err);
    rad_buf_free(&b);
    return status;
}

static void keys_of_bytes_are_read(void)
{
    rad_tokenizer *tok = NULL;
    OK(open_made(&tok, &(struct made_vocab){.pre = "llama-bpe", .bos = 4}));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bpe");
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), 4); /* of this kind unless the file says otherwise */
    CU_ASSERT(made_encodes(tok, "abb<s>a", "3 2 4 1"));
    rad_tokenizer_close(tok);
    OK(open_made(&tok, &(struct made_vocab){.pre = "gpt-2", .bos = 4, .n_type = -1}));
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), -1);
    rad_tokenizer_close(tok);
    OK(open_made(&tok, &(struct made_vocab){.bos = 4, .add_bos = 1, .type = 4}));
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), 4);
    CU_ASSERT(made_encodes(tok, "a<s>", "1 4"));
    rad_tokenizer_close(tok);
}

static void keys_of_pieces_are_read(void)
{
    rad_tokenizer *tok = NULL;
    OK(open_made(&tok, &(struct made_vocab){.model = "llama"}));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "sentencepiece");
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), 4); /* by its name */
    CU_ASSERT(made_encodes(tok, "ab", "0 3"));
    rad_tokenizer_close(tok);
    OK(open_made(&tok, &(struct made_vocab){.model = "llama", .prefix = 1, .bos = 1, .type = 5}));
    CU_ASSERT_EQUAL(rad_tokenizer_bos(tok), 1);
    CU_ASSERT(made_encodes(tok, "ab<s>", "3 0")); /* unused: no text makes it */
    rad_tokenizer_close(tok);
}

static void bad_vocabularies_are_refused(void)
{
    static const struct {
        struct made_vocab vocab;
        enum rad_status status;
        const char *message;
    } rows[] = {
        {{.model = "bert"},
         RAD_E_UNSUPPORTED,
         "vocab.gguf: 'tokenizer.ggml.model': expected 'gpt2' or 'llama'"},
        {{.n_token = -1}, RAD_E_RANGE, "'tokenizer.ggml.tokens': expected 1..1048576 but found 0"},
        {{.n_type = 4},
         RAD_E_PARSE,
         "'tokenizer.ggml.token_type': expected 5 as of tokens but found 4"},
        {{.type = 7},
         RAD_E_PARSE,
         "'tokenizer.ggml.token_type': token 4: expected 1..6 but found 7"},
        {{.type = -1}, RAD_E_PARSE, "token 4: expected 1..6 but found -1"},
        {{.pre = "other"}, RAD_E_UNSUPPORTED, "'tokenizer.ggml.pre': 'other' is not supported"},
        {{.merge = "ab"},
         RAD_E_PARSE,
         "vocab.gguf: 'tokenizer.ggml.merges': merge 0: expected two pieces with a blank"},
        {{.merge = "a c"}, RAD_E_PARSE, "vocab.gguf: merge 0: expected two pieces that make a"},
        {{.bos = 5}, RAD_E_RANGE, "tokenizer.ggml.bos_token_id"},
        {{.add_bos = 2}, RAD_E_PARSE, "tokenizer.ggml.add_bos_token"},
        {{.token = "a"}, RAD_E_PARSE, "vocab.gguf: pieces 1 and 3 have the same text"},
        {{.model = "llama", .token = "a"}, RAD_E_PARSE, "pieces 1 and 3 have the same text"},
        {{.model = "llama", .n_score = 4},
         RAD_E_PARSE,
         "'tokenizer.ggml.scores': expected 5 as of tokens but found 4"},
        {{.model = "llama", .n_score = -1}, RAD_E_PARSE, "tokenizer.ggml.scores"},
        {{.model = "llama", .score = INFINITY},
         RAD_E_PARSE,
         "vocab.gguf: token 4: expected at most 4096 bytes and a finite score"},
        {{.model = "llama", .type = 2}, RAD_E_PARSE, "expected one piece for unknown text but"},
        {{.model = "llama", .type = 6}, RAD_E_PARSE, "expected a byte <0x00>..<0xFF>"},
        {{.model = "llama", .bos = 5}, RAD_E_RANGE, "tokenizer.ggml.bos_token_id"},
        {{.model = "llama", .prefix = 2}, RAD_E_PARSE, "tokenizer.ggml.add_space_prefix"},
        {{.model = "llama", .add_bos = 2}, RAD_E_PARSE, "tokenizer.ggml.add_bos_token"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rad_tokenizer *tok = NULL;
        REFUSES(open_made(&tok, &rows[i].vocab), rows[i].status, rows[i].message);
        CU_ASSERT_PTR_NULL(tok);
    }
}

static void missing_keys_are_named(void)
{
    rad_tokenizer *tok = NULL;
    struct gguf_make m = gguf_begin(3);
    struct rad_buf b = gguf_bytes(&m);
    struct rad_tokenizer_file file = {b.data, b.len, "vocab.gguf"};
    REFUSES(rad_tokenizer_read(&tok, &rad_tokenizer_source_gguf, &file, 100, &err), RAD_E_PARSE,
            "tokenizer.ggml.model");
    OK(rad_tokenizer_read(&tok, &rad_tokenizer_source_gguf, &file, 256, &err)); /* as a folder */
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bytes");
    CU_ASSERT(made_encodes(tok, "az", "97 122"));
    rad_tokenizer_close(tok);
    rad_buf_free(&b);
    REFUSES(rad_tokenizer_open(&tok, "build/tmp/none.gguf", 100, &err), RAD_E_IO, "none.gguf");
    REFUSES(open_made(&tok, &(struct made_vocab){.pre = "an unknown name that is far longer than "
                                                        "what a message has a place for"}),
            RAD_E_UNSUPPORTED, "...' is not supported");
}

CU_TestInfo tok_gguf_tests[] = {
    {"keys of bytes are read", keys_of_bytes_are_read},
    {"keys of pieces are read", keys_of_pieces_are_read},
    {"bad vocabularies are refused", bad_vocabularies_are_refused},
    {"missing keys are named", missing_keys_are_named},
    CU_TEST_INFO_NULL,
};
