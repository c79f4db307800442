/* test_tokenizer.c - bytes and sentencepiece BPE: ids by hand, by slow merging, by a real model. */
#include "base/hash.h"
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "refuse.h"
#include "spm_make.h"

#include <stdlib.h>
#include <unistd.h>

#define DIR "build/tmp/tokenizer"
#define FILE_NAME DIR "/tokenizer.model"
#define VOCAB 300
#define FIRST "259" /* the id of made_pieces[0] with byte fallback; byte b is 3 + b */

static void fresh(void)
{
    static const char *const names[] = {"tokenizer.model", "vocab.txt", "config.json"};
    OK(rad_dir_make(DIR, &err));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, DIR "/%s", names[i]);
        remove(path);
    }
}

static rad_tokenizer *open_made(struct made_spm m)
{
    size_t tail = 0;
    rad_tokenizer *tok = NULL;
    struct rad_buf model = made_model(&m, &tail);
    fresh();
    OK(rad_file_write(FILE_NAME, model.data, model.len, &err));
    rad_buf_free(&model);
    OK(rad_tokenizer_open(&tok, DIR, VOCAB, &err));
    return tok;
}

static struct rad_buf ids_text(const rad_tokenizer *tok, const char *data, size_t len, bool bos)
{
    struct rad_ids ids;
    struct rad_buf b = {0};
    OK(rad_tokenizer_encode(tok, &(struct rad_text){data, len, bos}, &ids, &err));
    rad_buf_add(&b, "");
    for (size_t i = 0; i < ids.n; i++)
        rad_buf_printf(&b, "%s%d", i > 0 ? " " : "", (int)ids.id[i]);
    rad_ids_free(&ids);
    return b;
}

/* data[len] becomes these ids. */
static void encodes(const rad_tokenizer *tok, const char *data, size_t len, const char *want)
{
    struct rad_buf b = ids_text(tok, data, len, false);
    CU_ASSERT_STRING_EQUAL(b.data, want);
    if (strcmp(b.data, want) != 0)
        fprintf(stderr, "\n'%s': expected %s but found %s\n", data, want, b.data);
    rad_buf_free(&b);
}

static void decodes(const rad_tokenizer *tok, const int32_t *id, size_t n, const char *want)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, "> ");
    OK(rad_tokenizer_decode(tok, id, n, &b, &err));
    CU_ASSERT_STRING_EQUAL(b.data + 2, want);
    rad_buf_free(&b);
}

static const struct made_spm plain = {.byte_fallback = true, .add_dummy_prefix = true};

/* ---- bytes ----------------------------------------------------------------------------- */

static void bytes_are_ids(void)
{
    rad_tokenizer *tok = NULL;
    struct rad_buf b = {0};
    size_t len = 0;
    OK(rad_tokenizer_open_bytes(&tok, &err));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bytes");
    CU_ASSERT(rad_tokenizer_vocab(tok) == 256 && rad_tokenizer_bos(tok) == -1);
    CU_ASSERT_EQUAL(rad_tokenizer_eos(tok), -1);
    encodes(tok, " a\0\xff", 4, "32 97 0 255");
    encodes(tok, "", 0, "");
    OK(rad_tokenizer_decode(tok, (const int32_t[]){32, 97, 0, 255}, 4, &b, &err));
    CU_ASSERT(b.len == 4 && memcmp(b.data, " a\0\xff", 4) == 0);
    CU_ASSERT_EQUAL(*rad_tokenizer_token(tok, 97, &len), 'a');
    CU_ASSERT_EQUAL(len, 1);
    REFUSES(rad_tokenizer_decode(tok, (const int32_t[]){1, 256}, 2, &b, &err), RAD_E_RANGE,
            "token 1: expected an id in 0..255 but found 256");
    REFUSES(rad_tokenizer_decode(tok, (const int32_t[]){-1}, 1, &b, &err), RAD_E_RANGE,
            "token 0: expected an id in 0..255 but found -1");
    rad_buf_free(&b);
    rad_tokenizer_close(tok);
}

/* A folder has bytes if its config says so, or if nothing else is there and the number fits. */
static void folders_choose_their_tokenizer(void)
{
    rad_tokenizer *tok = NULL;
    struct rad_ids ids;
    fresh();
    OK(rad_tokenizer_open(&tok, DIR, 256, &err));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bytes");
    rad_tokenizer_close(tok);
    OK(rad_tokenizer_open(&tok, DIR, 512, &err));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "none");
    REFUSES(rad_tokenizer_encode(tok, &(struct rad_text){.data = "a", .len = 1}, &ids, &err),
            RAD_E_UNSUPPORTED,
            DIR ": expected tokenizer.model, tokenizer.json, or vocab.json with merges.txt but "
                "found no tokenizer; without one a model takes token ids only (eval --tokens)");
    rad_tokenizer_close(tok);
    write_file(DIR "/vocab.txt", "");
    REFUSES(rad_tokenizer_open(&tok, DIR, 256, &err), RAD_E_UNSUPPORTED,
            DIR ": expected tokenizer.model, tokenizer.json, or vocab.json with merges.txt but "
                "found only vocab.txt");
    write_file(DIR "/config.json", "{\"radial_tokenizer\": \"bytes\"}");
    OK(rad_tokenizer_open(&tok, DIR, 256, &err));
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "bytes");
    rad_tokenizer_close(tok);
    REFUSES(rad_tokenizer_open(&tok, DIR, 512, &err), RAD_E_RANGE,
            "expected a vocabulary of 256 for byte tokens but found 512");
    write_file(DIR "/config.json", "{\"radial_tokenizer\": \"bits\"}");
    REFUSES(rad_tokenizer_open(&tok, DIR, 256, &err), RAD_E_UNSUPPORTED,
            DIR "/config.json: 'radial_tokenizer': expected 'bytes' but found 'bits'");
    CU_ASSERT_PTR_NULL(tok);
}

/* ---- sentencepiece --------------------------------------------------------------------- */

/* made_pieces: 0 _, 1 a, 2 b, 3 c, 4 ab, 5 bc, 6 _a, 7 _ab, 8 abc, 9 aa, 10 e', 11 __, 12 <|x|>,
 * 13 <|x|>b; merged are, in this order, bc, then ab and aa from the left, _a, _ab, abc, __. */
static void pieces_are_merged_by_score(void)
{
    rad_tokenizer *tok = open_made(plain);
    CU_ASSERT_STRING_EQUAL(rad_tokenizer_kind(tok), "sentencepiece");
    CU_ASSERT(rad_tokenizer_bos(tok) == 1 && rad_tokenizer_eos(tok) == 2);
    CU_ASSERT_EQUAL(rad_tokenizer_vocab(tok), VOCAB);
    encodes(tok, "", 0, "");
    encodes(tok, "abc", 3, "265 264");
    encodes(tok, "aab", 3, FIRST " 268 261");
    encodes(tok, "ab ab", 5, "266 266");
    encodes(tok, " ", 1, "270");
    encodes(tok, "  a", 3, "270 265");
    encodes(tok, "\xc3\xa9", 2, FIRST " 269");
    encodes(tok, "x\0\n", 3, FIRST " 123 3 13"); /* bytes */
    encodes(tok, "\xc3\xb6", 2, FIRST " 198 185");
    encodes(tok, "a\xff", 2, "265 242 194 192"); /* no UTF-8: the bytes of U+FFFD */
    encodes(tok, "\xed\xa0\x80", 3, FIRST " 242 194 192 242 194 192 242 194 192");
    encodes(tok, "<s>", 3, FIRST " 63 118 65"); /* text never makes a control token */
    encodes(tok, "a<|x|>bb<|x|>", 13, "265 272 261 271");
    struct rad_buf b = ids_text(tok, "a", 1, true);
    CU_ASSERT_STRING_EQUAL(b.data, "1 265");
    rad_buf_free(&b);
    rad_tokenizer_close(tok);
}

static void pieces_become_text_again(void)
{
    rad_tokenizer *tok = open_made(plain);
    size_t len = 0;
    decodes(tok, (const int32_t[]){1, 265, 264, 259, 2}, 5, "abc ");
    decodes(tok, (const int32_t[]){259, 263}, 2, "ab");
    decodes(tok, (const int32_t[]){270, 263}, 2, " ab");
    decodes(tok, (const int32_t[]){198, 185, 265}, 3, "\xc3\xb6 a");
    decodes(tok, (const int32_t[]){35, 265}, 2, "  a"); /* the byte 0x20 is no word mark */
    decodes(tok, (const int32_t[]){0, 299, 271}, 3, " \xe2\x81\x87 <|x|>");
    decodes(tok, NULL, 0, "");
    CU_ASSERT_EQUAL(memcmp(rad_tokenizer_token(tok, 266, &len), " ab", 3), 0);
    CU_ASSERT_EQUAL(len, 3);
    rad_tokenizer_token(tok, 1, &len);
    CU_ASSERT_EQUAL(len, 0);
    rad_tokenizer_token(tok, 299, &len);
    CU_ASSERT_EQUAL(len, 0);
    rad_tokenizer_close(tok);
}

/* The normalizer's switches, and a vocabulary without bytes: ids begin at 3. */
static void options_of_the_model_are_kept(void)
{
    rad_tokenizer *tok = open_made((struct made_spm){.add_dummy_prefix = true});
    encodes(tok, "xyay z", 6, "3 0 4 0 3 0");
    rad_tokenizer_close(tok);
    tok = open_made((struct made_spm){.byte_fallback = true});
    encodes(tok, "abc", 3, "267");
    decodes(tok, (const int32_t[]){265}, 1, " a");
    rad_tokenizer_close(tok);
    tok = open_made((struct made_spm){true, true, true, false});
    encodes(tok, "  a  b ", 7, "265 259 261");
    encodes(tok, "   ", 3, "");
    encodes(tok, "a " MARK, 5, "265");
    decodes(tok, (const int32_t[]){259, 259, 265, 265}, 4, "a a");
    rad_tokenizer_close(tok);
}

/* Random texts against merging done the slow way, with and without pieces that span words. */
static void merging_agrees_with_the_slow_way(void)
{
    static const char letters[] = "aaabbc  ";
    for (int span = 0; span < 2; span++) {
        struct made_spm m = plain;
        m.span_words = span == 1;
        rad_tokenizer *tok = open_made(m);
        for (uint64_t i = 0; i < 2000; i++) {
            char text[24];
            int want[64];
            struct rad_ids ids;
            const size_t len = 1 + rad_hash(&i, sizeof i, 1) % 23;
            for (uint64_t k = 0; k < len; k++)
                text[k] = letters[rad_hash(&i, sizeof i, 100 + k) % 8];
            text[len] = '\0';
            const int n = made_merge(text, want, m.span_words);
            OK(rad_tokenizer_encode(tok, &(struct rad_text){text, len, false}, &ids, &err));
            CU_ASSERT_EQUAL_FATAL(ids.n, (size_t)n);
            int bad = 0;
            for (int k = 0; k < n; k++)
                bad += ids.id[k] != 259 + want[k];
            CU_ASSERT_EQUAL(bad, 0);
            decodes(tok, ids.id, ids.n, text);
            rad_ids_free(&ids);
        }
        rad_tokenizer_close(tok);
    }
}

/* ---- bad files ------------------------------------------------------------------------- */

static void append_message(struct rad_buf *b, uint32_t field, uint32_t key, uint64_t value)
{
    struct rad_buf inner = {0};
    made_varint(&inner, key, value);
    made_bytes(b, field, inner.data, inner.len);
    rad_buf_free(&inner);
}

static void refuses_model(const struct rad_buf *model, enum rad_status status, const char *text)
{
    rad_tokenizer *tok = NULL;
    OK(rad_file_write(FILE_NAME, model->data, model->len, &err));
    REFUSES(rad_tokenizer_open(&tok, DIR, VOCAB, &err), status, text);
    CU_ASSERT_PTR_NULL(tok);
    rad_tokenizer_close(tok);
}

/* One piece too many. */
static void bad_pieces_are_refused(void)
{
    static const struct {
        const char *text;
        float score;
        int type;
        enum rad_status status;
        const char *message;
    } rows[] = {
        {"", 0, NORMAL, RAD_E_PARSE, "piece 273: expected UTF-8 text without NUL, not empty"},
        {"\xc0\x80", 0, NORMAL, RAD_E_PARSE, "piece 273: expected UTF-8 text"},
        {"\xed\xa0\x80", 0, NORMAL, RAD_E_PARSE, "piece 273: expected UTF-8 text"},
        {"ab", 0, NORMAL, RAD_E_PARSE, "pieces 263 and 273 have the same text"},
        {"ab", 0, USER, RAD_E_PARSE, "pieces 263 and 273 have the same text"},
        {"new", 0, UNUSED, RAD_E_UNSUPPORTED, "piece 273: pieces marked as unused"},
        {"new", 0, 7, RAD_E_PARSE, "not a sentencepiece model: malformed or truncated message"},
        {"new", NAN, NORMAL, RAD_E_PARSE, "malformed or truncated message"},
        {"new", 0, UNKNOWN, RAD_E_PARSE, "expected one piece for unknown text but found 2"},
        {"<0xGG>", 0, BYTE, RAD_E_PARSE, "piece 273: expected a byte <0x00>..<0xFF>, each once"},
        {"<0x0a>", 0, BYTE, RAD_E_PARSE, "piece 273: expected a byte"},
        {"<0x41>", 0, BYTE, RAD_E_PARSE, "piece 273: expected a byte"},
    };
    size_t tail = 0;
    fresh();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rad_buf model = made_model(&plain, &tail);
        made_piece(&model, rows[i].text, rows[i].score, rows[i].type);
        refuses_model(&model, rows[i].status, rows[i].message);
        rad_buf_free(&model);
    }
}

/* A later field replaces an earlier one: each row spoils a good model by one field. */
static void bad_models_are_refused(void)
{
    static const struct {
        uint32_t field, key;
        uint64_t value;
        enum rad_status status;
        const char *message;
    } rows[] = {
        {2, 3, 1, RAD_E_UNSUPPORTED, "expected a sentencepiece BPE model but found another kind"},
        {2, 24, 1, RAD_E_UNSUPPORTED, "but found marks behind words"},
        {2, 35, 0, RAD_E_PARSE, "piece 3: a byte piece without byte_fallback"},
        {2, 46, 1, RAD_E_PARSE, "malformed or truncated message"},
        {1, 1, 1, RAD_E_PARSE, "malformed or truncated message"},
        {3, 0, 1, RAD_E_PARSE, "malformed or truncated message"},
    };
    size_t tail = 0;
    fresh();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rad_buf model = made_model(&plain, &tail);
        append_message(&model, rows[i].field, rows[i].key, rows[i].value);
        refuses_model(&model, rows[i].status, rows[i].message);
        rad_buf_free(&model);
    }
    struct rad_buf model = made_model(&plain, &tail);
    made_bytes(&model, 3, "\x12\x01x", 3); /* precompiled_charsmap */
    refuses_model(&model, RAD_E_UNSUPPORTED, "expected the identity normalizer");
    rad_buf_free(&model);
    model = made_model(&(struct made_spm){.byte_fallback = false}, &tail);
    append_message(&model, 2, 35, 1);
    refuses_model(&model, RAD_E_PARSE, "expected 256 byte pieces for byte_fallback but found 0");
    rad_buf_free(&model);
}

static void other_files_are_named(void)
{
    rad_tokenizer *tok = NULL;
    struct rad_buf text = {0};
    fresh();
    refuses_model(&text, RAD_E_PARSE, "expected 1..1048576 pieces but found none");
    rad_buf_add(&text, "\x12\x02\x18\x02");
    refuses_model(&text, RAD_E_PARSE, "but found none; is it a sentencepiece model?");
    rad_buf_free(&text);
    rad_buf_add(&text, "hello world");
    refuses_model(&text, RAD_E_PARSE, FILE_NAME ": not a sentencepiece model");
    rad_buf_free(&text);
    rad_buf_add(&text, "version https://git-lfs.github.com/spec/v1\n");
    refuses_model(&text, RAD_E_PARSE, "found a Git-LFS pointer to it");
    rad_buf_free(&text);
    remove(FILE_NAME);
    OK(rad_dir_make(FILE_NAME, &err));
    REFUSES(rad_tokenizer_open(&tok, DIR, VOCAB, &err), RAD_E_IO, "tokenizer.model");
    rmdir(FILE_NAME);
}

/* Cut before the normalizer begins, a model is never taken; behind that, it may be. */
static void truncations_are_refused(void)
{
    size_t tail = 0;
    rad_tokenizer *tok = NULL;
    fresh();
    struct rad_buf model = made_model(&plain, &tail);
    for (size_t n = 0; n < model.len; n += n < 64 || n + 400 > model.len ? 1 : 29) {
        OK(rad_file_write(FILE_NAME, model.data, n, &err));
        const enum rad_status status = rad_tokenizer_open(&tok, DIR, VOCAB, &err);
        CU_ASSERT(status != RAD_OK || n >= tail);
        rad_tokenizer_close(tok);
    }
    rad_buf_free(&model);
}

static void vocabularies_must_fit(void)
{
    rad_tokenizer *tok = open_made(plain);
    rad_tokenizer_close(tok);
    OK(rad_tokenizer_open(&tok, DIR, 273, &err));
    rad_tokenizer_close(tok);
    REFUSES(rad_tokenizer_open(&tok, DIR, 272, &err), RAD_E_RANGE,
            FILE_NAME ": expected at most the model's vocabulary of 272 pieces but found 273");
    REFUSES(rad_tokenizer_open(&tok, DIR, 0, &err), RAD_E_ARG, "expected a vocabulary of 1..");
    CU_ASSERT_PTR_NULL(tok);
}

/* ---- a real model ---------------------------------------------------------------------- */

/* The ids that the conversion of stories260K was checked with. */
static void stories_are_encoded(void)
{
    static const char folder[] = "../shared/data/checkpoints/stories260K";
    static const char text[] =
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big red ball.";
    rad_tokenizer *tok = NULL;
    if (access(folder, F_OK) != 0) {
        printf("(skipped: no %s) ", folder);
        return;
    }
    OK(rad_tokenizer_open(&tok, folder, 512, &err));
    struct rad_buf b = ids_text(tok, text, sizeof text - 1, true);
    CU_ASSERT_STRING_EQUAL(
        b.data, "1 403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267 337 "
                "410 408 419 292 411 322 265 282 295 433 426 385 328 432 358 394 261 370 352 266 "
                "268 388 426");
    rad_buf_free(&b);
    rad_tokenizer_close(tok);
}

CU_TestInfo tokenizer_tests[] = {
    {"bytes are ids", bytes_are_ids},
    {"folders choose their tokenizer", folders_choose_their_tokenizer},
    {"pieces are merged by score", pieces_are_merged_by_score},
    {"pieces become text again", pieces_become_text_again},
    {"options of the model are kept", options_of_the_model_are_kept},
    {"merging agrees with the slow way", merging_agrees_with_the_slow_way},
    {"bad pieces are refused", bad_pieces_are_refused},
    {"bad models are refused", bad_models_are_refused},
    {"other files are named", other_files_are_named},
    {"truncations are refused", truncations_are_refused},
    {"vocabularies must fit", vocabularies_must_fit},
    {"stories are encoded", stories_are_encoded},
    CU_TEST_INFO_NULL,
};
