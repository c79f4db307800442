/* test_gguf_parts.c - a GGUF model in several files: joined where they fit, refused where not. */
#include "checkpoint/checkpoint.h"
#include "gguf_make.h"
#include "refuse.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "build/tmp/"
#define NAME FOLDER "in parts-%05d-of-00003.gguf"

static const float zeros[64];

static void part_name(char out[80], int i)
{
    snprintf(out, 80, NAME, i + 1);
}

/* Part i of three says that it is part no of count; the first one has the metadata of a llama. */
static struct gguf_make begin_part(int i, int no, int count)
{
    static const char *const keys[] = {"llama.block_count", "llama.context_length",
                                       "llama.embedding_length", "llama.feed_forward_length",
                                       "llama.attention.head_count"};
    static const int values[] = {1, 16, 8, 12, 2};
    struct gguf_make m = gguf_begin(3);
    gguf_int(&m, "split.count", MAKE_U16, count);
    gguf_int(&m, "split.no", MAKE_U16, no);
    if (i > 0)
        return m;
    gguf_int(&m, "split.tensors.count", MAKE_I32, 3);
    gguf_string(&m, "general.architecture", "llama");
    for (int k = 0; k < 5; k++)
        gguf_int(&m, keys[k], MAKE_U32, values[k]);
    gguf_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    return m;
}

static void put_part(int i, int no, int count, const char *tensor, float first)
{
    char path[80];
    float data[32] = {first};
    struct gguf_make m = begin_part(i, no, count);
    gguf_tensor(&m, tensor, 0, 2, (uint64_t[]){8, 4}, data, sizeof data);
    part_name(path, i);
    gguf_end(&m, path);
}

/* All three as they should be. */
static void put_all(void)
{
    put_part(0, 0, 3, "token_embd.weight", 1.0f);
    put_part(1, 1, 3, "output.weight", 2.0f);
    put_part(2, 2, 3, "blk.0.ffn_down.weight", 3.0f);
}

static void refused(int first, enum rad_status status, const char *text)
{
    char path[80];
    rad_tensors *t = NULL;
    struct rad_model_config c;
    part_name(path, first);
    REFUSES(rad_tensors_open(&t, path, &err), status, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, FOLDER "in parts-"));
    REFUSES(rad_model_config_open(&c, path, &err), status, text);
    CU_ASSERT_PTR_NULL(t);
}

static void parts_are_joined(void)
{
    static const char *const name[] = {"blk.0.ffn_down.weight", "output.weight",
                                       "token_embd.weight"};
    static const float first[] = {3.0f, 2.0f, 1.0f};
    char path[80];
    rad_tensors *t = NULL;
    struct rad_model_config c;
    put_all();
    part_name(path, 0);
    OK(rad_tensors_open(&t, path, &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 3);
    for (size_t i = 0; i < 3; i++) {
        float x[32];
        const struct rad_shape shape = {2, {4, 8}};
        CU_ASSERT_STRING_EQUAL(rad_tensors_at(t, i)->name, name[i]);
        OK(rad_tensors_read(t, name[i], shape, x, &err));
        CU_ASSERT(x[0] == first[i] && x[31] == 0.0f);
    }
    rad_tensors_expect(t, true);
    rad_tensors_close(t);
    OK(rad_model_config_open(&c, path, &err));
    CU_ASSERT(c.card.vocab == 4 && !c.card.tied); /* the head is in the second part */
}

static void later_parts_are_no_model(void)
{
    put_all();
    refused(2, RAD_E_ARG,
            "expected the first of 3 parts but found part 3; give the file whose name ends in "
            "-00001-of-00003.gguf");
}

static void parts_that_are_missing_or_wrong_are_refused(void)
{
    char path[80];
    put_all();
    part_name(path, 1);
    CU_ASSERT_EQUAL(unlink(path), 0);
    refused(0, RAD_E_IO, "00002-of-00003.gguf: cannot open");
    put_part(1, 2, 3, "output.weight", 2.0f);
    refused(0, RAD_E_PARSE, "expected part 2 of 3 but found part 3 of 3");
    put_part(1, 1, 4, "output.weight", 2.0f);
    refused(0, RAD_E_PARSE, "expected part 2 of 3 but found part 2 of 4");
    put_part(1, 1, 3, "token_embd.weight", 2.0f);
    refused(0, RAD_E_PARSE, "two tensors are called 'token_embd.weight'");
    put_part(1, 5, 3, "output.weight", 2.0f);
    refused(0, RAD_E_RANGE, "'split.no': expected 0..2 but found 5");
}

static void first_parts_that_lie_are_refused(void)
{
    put_all();
    put_part(0, 0, 5, "token_embd.weight", 1.0f);
    refused(0, RAD_E_ARG, "expected a name that ends in -00001-of-00005.gguf");
    put_part(0, 0, 60000, "token_embd.weight", 1.0f);
    refused(0, RAD_E_RANGE, "'split.count': expected 0..1024 but found 60000");
    struct gguf_make m = begin_part(0, 0, 3);
    char path[80];
    gguf_tensor(&m, "token_embd.weight", 0, 2, (uint64_t[]){8, 4}, zeros, 128);
    gguf_tensor(&m, "output_norm.weight", 0, 1, (uint64_t[]){8}, zeros, 32);
    part_name(path, 0);
    gguf_end(&m, path);
    refused(0, RAD_E_PARSE, "expected 3 tensors in all parts but found 4");
}

CU_TestInfo gguf_parts_tests[] = {
    {"parts are joined", parts_are_joined},
    {"later parts are no model", later_parts_are_no_model},
    {"parts that are missing or wrong are refused", parts_that_are_missing_or_wrong_are_refused},
    {"first parts that lie are refused", first_parts_that_lie_are_refused},
    CU_TEST_INFO_NULL,
};
