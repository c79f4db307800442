/* test_tensors.c - weights out and in again: values, layout, shards. */
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "refuse.h"

#include <stdint.h>
#include <stdlib.h>

#define DIR "build/tmp/tensors"
#define FILE_NAME DIR "/model.safetensors"

/* An empty scratch folder. */
static void fresh(void)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "a.safetensors",     "b.safetensors",
                                        "pytorch_model.bin", "link.safetensors"};
    OK(rad_dir_make(DIR, &err));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, DIR "/%s", names[i]);
        remove(path);
    }
}

static const float six[6] = {1.0f, -2.5f, 3e-8f, 0.0f, 1e30f, -0.0f};
static const float two[2] = {1.00390625f, 0.1f};

/* What is written is read: names, shapes, formats, values, metadata. */
static void written_tensors_read_back(void)
{
    const struct rad_tensor_out out[] = {
        {"z.weight", RAD_BF16, 1, {2}, two},
        {"a \"quoted\" \xc3\xa9", RAD_F32, 2, {3, 2}, six},
        {"scalar", RAD_F32, 0, {0}, six},
        {"empty", RAD_F32, 2, {0, 5}, NULL},
    };
    rad_tensors *t = NULL;
    float got[6];
    fresh();
    OK(rad_tensors_write(FILE_NAME, out, 4, "{\"format\": \"pt\", \"step\": \"12\"}", &err));
    OK(rad_tensors_open(&t, DIR, &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 4);
    CU_ASSERT_STRING_EQUAL(rad_tensors_at(t, 0)->name, "a \"quoted\" \xc3\xa9");
    CU_ASSERT_STRING_EQUAL(rad_tensors_at(t, 3)->name, "z.weight");
    CU_ASSERT_PTR_NULL(rad_tensors_at(t, 4));
    CU_ASSERT_STRING_EQUAL(rad_tensors_metadata(t, "step"), "12");
    CU_ASSERT_PTR_NULL(rad_tensors_metadata(t, "steps"));
    OK(rad_tensors_read(t, "a \"quoted\" \xc3\xa9", (struct rad_shape){2, {3, 2}}, got, &err));
    CU_ASSERT_EQUAL(memcmp(got, six, sizeof six), 0);
    OK(rad_tensors_read(t, "z.weight", (struct rad_shape){1, {2}}, got, &err));
    CU_ASSERT_EQUAL(got[0], 1.0f); /* a tie: to even */
    CU_ASSERT_EQUAL(got[1], 0.10009765625f);
    OK(rad_tensors_read(t, "scalar", (struct rad_shape){.n_dim = 0}, got, &err));
    CU_ASSERT_EQUAL(got[0], 1.0f);
    OK(rad_tensors_read(t, "empty", (struct rad_shape){2, {0, 5}}, got, &err));
    CU_ASSERT_STRING_EQUAL(rad_tensors_find(t, "z.weight")->dtype_name, "BF16");
    CU_ASSERT_EQUAL(rad_tensors_find(t, "z.weight")->bytes, 4);
    rad_tensors_close(t);
}

/* Equal content, equal bytes, whatever the order; the data begins at a multiple of 8. */
static void layout_does_not_depend_on_order(void)
{
    const struct rad_tensor_out out[2][3] = {
        {{"b", RAD_BF16, 1, {1}, six}, {"c", RAD_F32, 1, {2}, six}, {"a", RAD_F32, 1, {1}, two}},
        {{"a", RAD_F32, 1, {1}, two}, {"b", RAD_BF16, 1, {1}, six}, {"c", RAD_F32, 1, {2}, six}},
    };
    char *bytes[2];
    size_t len[2];
    fresh();
    for (int i = 0; i < 2; i++) {
        OK(rad_tensors_write(FILE_NAME, out[i], 3, NULL, &err));
        OK(rad_file_read(FILE_NAME, 1 << 20, &bytes[i], &len[i], &err));
    }
    CU_ASSERT_EQUAL_FATAL(len[0], len[1]);
    CU_ASSERT_EQUAL(memcmp(bytes[0], bytes[1], len[0]), 0);
    CU_ASSERT_EQUAL((unsigned char)bytes[0][0] % 8, 0);
    CU_ASSERT_EQUAL(memcmp(bytes[0] + len[0] - 14, two, 4), 0);       /* a */
    CU_ASSERT_EQUAL(memcmp(bytes[0] + len[0] - 10, six, 8), 0);       /* c */
    CU_ASSERT_EQUAL(memcmp(bytes[0] + len[0] - 2, "\x80\x3f", 2), 0); /* b: 1.0 */
    free(bytes[0]);
    free(bytes[1]);
}

/* All 65536 values of both 16-bit formats, against their definition by powers of two. */
static void halves_widen_exactly(void)
{
    enum { N = 65536 };
    uint16_t bits[N];
    float *got = malloc(N * sizeof *got);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    for (int i = 0; i < N; i++)
        bits[i] = (uint16_t)i;
    struct rad_tensor t = {.name = "t", .dtype_name = "F16", .dtype = RAD_F16, .n = N};
    t.data = bits;
    t.bytes = sizeof bits;
    for (int format = 0; format < 2; format++) {
        const int fraction_bits = format == 0 ? 10 : 7, bias = format == 0 ? 15 : 127;
        const int top = format == 0 ? 31 : 255;
        int bad = 0;
        t.dtype = format == 0 ? RAD_F16 : RAD_BF16;
        OK(rad_tensor_to_f32(got, &t, &err));
        for (int i = 0; i < N; i++) {
            const int e = (i & 0x7fff) >> fraction_bits, f = i & ((1 << fraction_bits) - 1);
            double want = e > 0 ? ldexp(1.0 + ldexp(f, -fraction_bits), e - bias)
                                : ldexp(f, 1 - bias - fraction_bits);
            want = i & 0x8000 ? -want : want;
            if (e == top)
                bad += f != 0 ? !isnan(got[i]) : !isinf(got[i]) || !signbit(got[i]) != !(i >> 15);
            else
                bad += (double)got[i] != want || !signbit(got[i]) != !(i & 0x8000);
        }
        CU_ASSERT_EQUAL(bad, 0);
    }
    free(got);
}

/* BF16 is written to the nearest value, ties to even, NaN stays NaN and large becomes infinite. */
static void bf16_rounds_to_nearest_even(void)
{
    static const struct {
        uint32_t from;
        uint16_t to;
    } rows[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
        {0x3f817fff, 0x3f81}, {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80},
        {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, {0x00000001, 0x0000}, {0x80000000, 0x8000},
        {0x00018000, 0x0002},
    };
    enum { N = sizeof rows / sizeof rows[0] };
    float from[N];
    rad_tensors *t = NULL;
    for (int i = 0; i < N; i++)
        memcpy(&from[i], &rows[i].from, sizeof from[i]);
    fresh();
    OK(rad_tensors_write(FILE_NAME, &(struct rad_tensor_out){"x", RAD_BF16, 1, {N}, from}, 1, NULL,
                         &err));
    OK(rad_tensors_open(&t, FILE_NAME, &err));
    const unsigned char *data = rad_tensors_find(t, "x")->data;
    for (int i = 0; i < N; i++)
        CU_ASSERT_EQUAL(data[2 * i] | data[2 * i + 1] << 8, rows[i].to);
    rad_tensors_close(t);
}

/* ---- shards ---------------------------------------------------------------------------- */

static void put_shards(void)
{
    fresh();
    OK(rad_tensors_write(DIR "/a.safetensors", &(struct rad_tensor_out){"x", RAD_F32, 1, {6}, six},
                         1, "{\"format\": \"pt\"}", &err));
    OK(rad_tensors_write(DIR "/b.safetensors", &(struct rad_tensor_out){"c", RAD_F32, 1, {2}, two},
                         1, NULL, &err));
}

static void shards_are_joined(void)
{
    rad_tensors *t = NULL;
    float x[6];
    put_shards();
    write_file(DIR "/model.safetensors.index.json",
               "{\"metadata\": {\"total_size\": 32}, \"weight_map\": "
               "{\"x\": \"a.safetensors\", \"c\": \"b.safetensors\"}}");
    OK(rad_tensors_open(&t, DIR, &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 2);
    CU_ASSERT_STRING_EQUAL(rad_tensors_at(t, 0)->name, "c");
    OK(rad_tensors_read(t, "x", (struct rad_shape){1, {6}}, x, &err));
    CU_ASSERT_EQUAL(memcmp(x, six, sizeof six), 0);
    OK(rad_tensors_read(t, "c", (struct rad_shape){1, {2}}, x, &err));
    CU_ASSERT_EQUAL(memcmp(x, two, sizeof two), 0);
    CU_ASSERT_STRING_EQUAL(rad_tensors_metadata(t, "format"), "pt");
    rad_tensors_close(t);
}

/* Opening the two shards by this index fails so. */
static void refuse_index(const char *text, enum rad_status status, const char *message)
{
    rad_tensors *t = NULL;
    put_shards();
    write_file(DIR "/model.safetensors.index.json", text);
    REFUSES(rad_tensors_open(&t, DIR, &err), status, message);
    CU_ASSERT_PTR_NULL(t);
}

static void an_index_without_a_map_is_refused(void)
{
    static const char *const bad[] = {"{}", "[]", "{\"weight_map\": {}}", "{\"weight_map\": []}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse_index(bad[i], RAD_E_PARSE, "expected a 'weight_map' of 1 to 65536 tensors");
}

static void shard_names_are_never_paths(void)
{
    refuse_index("{\"weight_map\": {\"x\": 1}}", RAD_E_PARSE,
                 "tensor 'x': expected the name of a shard");
    refuse_index("{\"weight_map\": {\"x\": \"../a.safetensors\"}}", RAD_E_PARSE,
                 "expected a shard's plain file name ending in .safetensors but found "
                 "'../a.safetensors'");
    refuse_index("{\"weight_map\": {\"x\": \"/etc/passwd\"}}", RAD_E_PARSE, "plain file name");
    refuse_index("{\"weight_map\": {\"x\": \"a.bin\"}}", RAD_E_PARSE, "plain file name");
    refuse_index("{\"weight_map\": {\"x\": \".safetensors\"}}", RAD_E_PARSE, "plain file name");
    refuse_index("{\"weight_map\": {\"x\": \"\\u001b[31m.safetensors\"}}", RAD_E_PARSE, "'?[31m");
}

static void missing_shards_are_named(void)
{
    refuse_index("{\"weight_map\": {\"x\": \"none.safetensors\"}}", RAD_E_IO,
                 "none.safetensors: cannot open: No such file or directory");
}

static void an_index_that_lies_is_refused(void)
{
    refuse_index("{\"weight_map\": {\"y\": \"a.safetensors\"}}", RAD_E_PARSE,
                 "tensor 'y' is not in a.safetensors as the index says");
    refuse_index("{\"weight_map\": {\"x\": \"a.safetensors\", \"x\": \"b.safetensors\"}}",
                 RAD_E_PARSE, "duplicate");
}

static void git_lfs_pointers_are_named(void)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n";
    rad_tensors *t = NULL;
    refuse_index(pointer, RAD_E_PARSE, "index.json: expected the file itself but found a Git-LFS");
    put_shards();
    write_file(DIR "/a.safetensors", pointer);
    write_file(DIR "/model.safetensors.index.json", "{\"weight_map\": {\"x\": \"a.safetensors\"}}");
    REFUSES(rad_tensors_open(&t, DIR, &err), RAD_E_PARSE,
            "a.safetensors: expected the file itself");
}

static void too_many_tensors_are_refused(void)
{
    struct rad_buf b = {0};
    for (int i = 0; i <= 65536; i++)
        rad_buf_printf(&b, "%s\"t%d\": \"a.safetensors\"", i > 0 ? "," : "{\"weight_map\": {", i);
    rad_buf_add(&b, "}}");
    refuse_index(b.data, RAD_E_PARSE, "a 'weight_map' of 1 to 65536 tensors");
    rad_buf_free(&b);
}

/* 1025 files of one tensor each. */
static void too_many_shards_are_refused(void)
{
    struct rad_buf b = {0};
    char path[128], name[16];
    fresh();
    for (int i = 0; i <= 1024; i++) {
        const struct rad_tensor_out out = {name, RAD_F32, 1, {1}, six};
        snprintf(name, sizeof name, "t%d", i);
        snprintf(path, sizeof path, DIR "/%s.safetensors", name);
        OK(rad_tensors_write(path, &out, 1, NULL, &err));
        rad_buf_printf(&b, "%s\"%s\": \"%s.safetensors\"", i > 0 ? "," : "{\"weight_map\": {", name,
                       name);
    }
    rad_buf_add(&b, "}}");
    refuse_index(b.data, RAD_E_RANGE, "index.json: more than 1024 shards");
    rad_buf_free(&b);
    for (int i = 0; i <= 1024; i++) {
        snprintf(path, sizeof path, DIR "/t%d.safetensors", i);
        remove(path);
    }
}

static void a_large_index_is_refused(void)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, "{\"weight_map\": {}}");
    while (b.len <= 16 << 20)
        rad_buf_add(&b, "                                                                ");
    refuse_index(b.data, RAD_E_RANGE, "index.json");
    rad_buf_free(&b);
}

/* A wrong call writes nothing and leaves what was there. */
static void bad_writes_leave_the_old_file(void)
{
    static const struct {
        struct rad_tensor_out t;
        const char *metadata, *message;
    } rows[] = {
        {{"", RAD_F32, 1, {1}, six}, NULL, "tensor '': expected a name of 1 to 256 bytes of UTF-8"},
        {{"a\tb", RAD_F32, 1, {1}, six}, NULL, "tensor 'a?b': expected a name"},
        {{"__metadata__", RAD_F32, 1, {1}, six}, NULL, "expected a name"},
        {{"\xff", RAD_F32, 1, {1}, six}, NULL, "expected a name"},
        {{"a", RAD_F16, 1, {1}, six}, NULL, "tensor 'a': only fp32 and bf16 can be written"},
        {{"a", RAD_INT8, 1, {1}, six}, NULL, "only fp32 and bf16"},
        {{"a", RAD_F32, 5, {1}, six}, NULL, "expected at most 4 dimensions but found 5"},
        {{"a", RAD_F32, 1, {-1}, six}, NULL, "dimension 0 is -1, below 0"},
        {{"a", RAD_F32, 2, {INT64_MAX, 2}, six}, NULL, "over 2^63"},
        {{"a", RAD_F32, 1, {INT64_MAX}, six}, NULL, "tensor 'a': too large"},
        {{"a", RAD_F32, 1, {1}, NULL}, NULL, "tensor 'a' has no data"},
        {{"old", RAD_F32, 1, {1}, six}, NULL, "tensor 'old' is given twice"},
        {{"a", RAD_F32, 1, {1}, six},
         "{\"step\": 1}",
         "metadata: expected a JSON object of strings"},
        {{"a", RAD_F32, 1, {1}, six}, "{", "argument: metadata:1:"},
    };
    rad_tensors *t = NULL;
    fresh();
    struct rad_tensor_out out[2] = {{"old", RAD_F32, 1, {1}, six}};
    OK(rad_tensors_write(FILE_NAME, out, 1, NULL, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        out[1] = rows[i].t;
        REFUSES(rad_tensors_write(FILE_NAME, out, 2, rows[i].metadata, &err), RAD_E_ARG,
                rows[i].message);
    }
    CU_ASSERT_EQUAL(rad_tensors_write(DIR "/none/m.safetensors", out, 1, NULL, &err), RAD_E_IO);
    OK(rad_tensors_open(&t, DIR, &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 1);
    rad_tensors_close(t);
}

CU_TestInfo tensors_tests[] = {
    {"written tensors read back", written_tensors_read_back},
    {"layout does not depend on order", layout_does_not_depend_on_order},
    {"halves widen exactly", halves_widen_exactly},
    {"bf16 rounds to nearest even", bf16_rounds_to_nearest_even},
    {"shards are joined", shards_are_joined},
    {"an index without a map is refused", an_index_without_a_map_is_refused},
    {"shard names are never paths", shard_names_are_never_paths},
    {"missing shards are named", missing_shards_are_named},
    {"an index that lies is refused", an_index_that_lies_is_refused},
    {"Git-LFS pointers are named", git_lfs_pointers_are_named},
    {"too many tensors are refused", too_many_tensors_are_refused},
    {"too many shards are refused", too_many_shards_are_refused},
    {"a large index is refused", a_large_index_is_refused},
    {"bad writes leave the old file", bad_writes_leave_the_old_file},
    CU_TEST_INFO_NULL,
};
