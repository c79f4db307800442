/* test_gguf_hostile.c - every way in which a GGUF file can be wrong. */
#include "base/io.h"
#include "checkpoint/gguf.h"
#include "gguf_make.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "build/tmp/test.gguf"

/* ---- bad files ----------------------------------------------------------------------------- */

static void refuses_bytes(const struct rad_buf *file, enum rad_status status, const char *text)
{
    struct rad_gguf g;
    OK(rad_file_write(FILE_NAME, file->data, file->len, &err));
    REFUSES(rad_gguf_open(&g, FILE_NAME, &err), status, text);
    CU_ASSERT_PTR_NULL(g.value);
    CU_ASSERT_PTR_NULL(g.map.data);
}

static void refuses_made(struct gguf_make *m, enum rad_status status, const char *text)
{
    struct rad_buf file = gguf_bytes(m);
    refuses_bytes(&file, status, text);
    rad_buf_free(&file);
}

/* A file whose first bytes are text and numbers of so many bytes. */
static void refuses_head(const char *magic, uint32_t version, uint64_t tensors, uint64_t pairs,
                         enum rad_status status, const char *text)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, magic);
    gguf_put(&b, version, 4);
    gguf_put(&b, tensors, 8);
    gguf_put(&b, pairs, 8);
    refuses_bytes(&b, status, text);
    rad_buf_free(&b);
}

static void other_magic_is_refused(void)
{
    refuses_head("GGML", 3, 0, 0, RAD_E_PARSE, "test.gguf: offset 0: expected 'GGUF'");
    struct rad_buf b = {0};
    rad_buf_add(&b, "GGU");
    refuses_bytes(&b, RAD_E_PARSE, "expected 'GGUF'");
    b.len = 0;
    refuses_bytes(&b, RAD_E_PARSE, "expected a GGUF file but found 0 bytes");
    rad_buf_free(&b);
}

static void git_lfs_pointers_are_named(void)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    refuses_bytes(&b, RAD_E_PARSE, "fetch it with 'git lfs pull'");
    rad_buf_free(&b);
}

static void other_versions_are_refused(void)
{
    refuses_head("GGUF", 1, 0, 0, RAD_E_UNSUPPORTED,
                 "offset 4: expected version 2 or 3 but found 1; convert the model again");
    refuses_head("GGUF", 4, 0, 0, RAD_E_UNSUPPORTED, "expected version 2 or 3 but found 4");
    refuses_head("GGUF", 0, 0, 0, RAD_E_UNSUPPORTED, "expected version 2 or 3 but found 0");
}

static void big_endian_is_refused(void)
{
    refuses_head("GGUF", 3u << 24, 0, 0, RAD_E_UNSUPPORTED,
                 "expected a little-endian file but found a big-endian one");
}

/* Counts are held against what is left of the file before anything is allocated. */
static void counts_are_bounded(void)
{
    refuses_head("GGUF", 3, 65537, 0, RAD_E_RANGE, "at most 65536 tensors but found 65537");
    refuses_head("GGUF", 3, UINT64_MAX, 0, RAD_E_RANGE, "but found 18446744073709551615");
    refuses_head("GGUF", 3, 1, 0, RAD_E_PARSE,
                 "offset 8: found 1 tensors, but only 8 bytes follow");
    refuses_head("GGUF", 3, 0, 65537, RAD_E_RANGE, "at most 65536 metadata pairs");
    refuses_head("GGUF", 3, 0, 1, RAD_E_PARSE, "offset 16: found 1 metadata pairs, but only 0");
}

static void bad_keys_are_refused(void)
{
    static const char *const bad[] = {"", "a b", "a\n", "\xc3\xa4"};
    char longest[258];
    struct gguf_make m;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = gguf_begin(3);
        gguf_int(&m, bad[i], MAKE_U64, 1);
        refuses_made(&m, RAD_E_PARSE, "expected a key of 1 to 256 printable ASCII characters");
    }
    memset(longest, 'x', sizeof longest);
    longest[257] = '\0';
    m = gguf_begin(3);
    gguf_int(&m, longest, MAKE_U8, 1);
    refuses_made(&m, RAD_E_RANGE, "offset 24: key: expected at most 256 bytes but found 257");
}

static void duplicate_keys_are_refused(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_int(&m, "a.b", MAKE_U8, 1);
    gguf_int(&m, "a", MAKE_U8, 1);
    gguf_bool(&m, "a.b", 1);
    refuses_made(&m, RAD_E_PARSE, "duplicate key 'a.b'");
}

static void unknown_value_types_are_refused(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_put_string(&m.key, "key");
    gguf_put(&m.key, 13, 4);
    gguf_put(&m.key, 0, 8);
    m.n_key = 1;
    refuses_made(&m, RAD_E_PARSE, "key 'key': expected a value type of 0..12 but found 13");
}

static void bools_are_0_or_1(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_bool(&m, "yes", 2);
    refuses_made(&m, RAD_E_PARSE, "key 'yes': expected a bool of 0 or 1 but found 2");
}

static void long_strings_are_refused(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_string(&m, "s", "abc");
    const uint64_t huge = UINT64_MAX;
    memcpy(m.key.data + m.key.len - 3 - 8, &huge, 8);
    refuses_made(&m, RAD_E_RANGE,
                 "key 's': string: expected at most 1048576 bytes but found 18446744073709551615");
    m = gguf_begin(3);
    gguf_string(&m, "s", "abcd");
    m.key.data[m.key.len - 4 - 8] = 9; /* its length */
    refuses_made(&m, RAD_E_PARSE,
                 "string: expected 9 bytes but only 4 follow; the file is truncated");
}

/* One array with so many items announced and four bytes behind. */
static void refuses_array(uint32_t item, uint64_t n, enum rad_status status, const char *text)
{
    struct gguf_make m = gguf_begin(3);
    gguf_put_string(&m.key, "list");
    gguf_put(&m.key, MAKE_ARRAY, 4);
    gguf_put(&m.key, item, 4);
    gguf_put(&m.key, n, 8);
    gguf_put(&m.key, 0, 4);
    m.n_key = 1;
    refuses_made(&m, status, text);
}

static void long_arrays_are_refused(void)
{
    refuses_array(MAKE_U8, 5, RAD_E_PARSE, "key 'list': array: expected 5 bytes but only 4 follow");
    refuses_array(MAKE_F64, 1, RAD_E_PARSE, "expected 8 bytes but only 4 follow");
    refuses_array(MAKE_STRING, 1, RAD_E_PARSE, "expected 8 bytes but only 4 follow");
    refuses_array(MAKE_ARRAY, 1, RAD_E_PARSE, "expected 12 bytes but only 4 follow");
    refuses_array(MAKE_U8, UINT64_MAX, RAD_E_RANGE,
                  "key 'list': expected an array of at most 16777216 items");
    refuses_array(13, 1, RAD_E_PARSE, "expected a value type of 0..12 but found 13");
}

/* Arrays in arrays, `depth` of them; the innermost holds two bytes. */
static struct gguf_make nested(int depth)
{
    struct gguf_make m = gguf_begin(3);
    gguf_put_string(&m.key, "deep");
    gguf_put(&m.key, MAKE_ARRAY, 4);
    for (int i = 0; i < depth; i++) {
        gguf_put(&m.key, i + 1 < depth ? MAKE_ARRAY : MAKE_U8, 4);
        gguf_put(&m.key, i + 1 < depth ? 1 : 2, 8);
    }
    gguf_put(&m.key, 0x0101, 2);
    m.n_key = 1;
    gguf_int(&m, "behind", MAKE_U8, 3); /* found only if the arrays were walked over well */
    return m;
}

static void deep_nesting_is_refused(void)
{
    for (int depth = 1; depth <= 4; depth++) {
        struct gguf_make m = nested(depth);
        struct rad_gguf g;
        int64_t x = 0;
        gguf_end(&m, FILE_NAME);
        OK(rad_gguf_open(&g, FILE_NAME, &err));
        OK(rad_gguf_int(&g, "behind", 3, 3, &x, &err));
        rad_gguf_close(&g);
    }
    for (int depth = 5; depth <= 400; depth += 79) {
        struct gguf_make m = nested(depth);
        refuses_made(&m, RAD_E_RANGE, "key 'deep': arrays are nested deeper than 4");
    }
}

static void bad_alignments_are_refused(void)
{
    static const struct {
        int64_t x;
        const char *text;
    } rows[] = {{0, "expected 8..65536 but found 0"},
                {4, "expected 8..65536 but found 4"},
                {24, "expected a power of two but found 24"},
                {1 << 17, "expected 8..65536 but found 131072"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gguf_make m = gguf_begin(3);
        gguf_int(&m, "general.alignment", MAKE_U32, rows[i].x);
        refuses_made(&m, RAD_E_RANGE, rows[i].text);
    }
    struct gguf_make m = gguf_begin(3);
    gguf_string(&m, "general.alignment", "32");
    refuses_made(&m, RAD_E_PARSE, "expected an integer but found string");
}

/* A header of over 64 MiB is not walked over to its end. */
static void large_headers_are_refused(void)
{
    struct gguf_make m = gguf_begin(3);
    char *text = calloc(1, 1 << 20);
    memset(text, 'x', (1 << 20) - 1);
    for (int i = 0; i < 65; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        gguf_string(&m, key, text);
    }
    free(text);
    refuses_made(&m, RAD_E_RANGE, "key 'k63': string: the header is over 67108864 bytes");
}

/* ---- bad tensors --------------------------------------------------------------------------- */

static const float six[6] = {1.0f, -2.5f, 3e-8f, 0.0f, 1e30f, -0.0f};

/* Two good tensors. */
static struct gguf_make two(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_string(&m, "general.architecture", "llama");
    gguf_tensor(&m, "b", 0, 2, (uint64_t[]){3, 2}, six, 24);
    gguf_tensor(&m, "a", 8, 1, (uint64_t[]){32}, "0123456789012345678901234567890123", 34);
    return m;
}

static void refuses_tensor(const char *name, uint32_t type, uint32_t n_dim, const uint64_t *dim,
                           enum rad_status status, const char *text)
{
    struct gguf_make m = gguf_begin(3);
    gguf_tensor(&m, name, type, n_dim, dim, six, sizeof six);
    refuses_made(&m, status, text);
}

static void bad_tensor_names_are_refused(void)
{
    char longest[258];
    const uint64_t one = 1;
    memset(longest, 'x', sizeof longest);
    longest[257] = '\0';
    refuses_tensor("", 0, 1, &one, RAD_E_RANGE, "a tensor name of 1 to 256 bytes");
    refuses_tensor("a\x1b[31m", 0, 1, &one, RAD_E_RANGE, "without control characters");
    refuses_tensor(longest, 0, 1, &one, RAD_E_RANGE,
                   "tensor name: expected at most 256 bytes but found 257");
    struct gguf_make m = gguf_begin(3);
    gguf_tensor(&m, "abc", 0, 1, &one, six, 4);
    m.line.data[9] = '\0';
    refuses_made(&m, RAD_E_RANGE, "without control characters");
}

static void duplicate_tensors_are_refused(void)
{
    struct gguf_make m = gguf_begin(3);
    gguf_tensor(&m, "w", 0, 1, (uint64_t[]){6}, six, 24);
    gguf_tensor(&m, "v", 0, 1, (uint64_t[]){6}, six, 24);
    gguf_tensor(&m, "w", 0, 1, (uint64_t[]){6}, six, 24);
    refuses_made(&m, RAD_E_PARSE, "two tensors are called 'w'");
}

static void bad_shapes_are_refused(void)
{
    refuses_tensor("w", 0, 0, NULL, RAD_E_RANGE,
                   "tensor 'w': expected 1 to 4 dimensions but found 0");
    refuses_tensor("w", 0, 5, (uint64_t[]){1, 1, 1, 1, 1}, RAD_E_RANGE,
                   "1 to 4 dimensions but found 5");
    refuses_tensor("w", 0, 2, (uint64_t[]){3, 0}, RAD_E_RANGE, "expected a dimension of 1..2^63-1");
    refuses_tensor("w", 0, 1, (uint64_t[]){UINT64_MAX}, RAD_E_RANGE,
                   "but found 18446744073709551615");
    refuses_tensor("w", 0, 2, (uint64_t[]){1ULL << 32, 1ULL << 32}, RAD_E_RANGE,
                   "tensor 'w': the product of the dimensions is over 2^63");
    refuses_tensor("w", 0, 1, (uint64_t[]){1ULL << 62}, RAD_E_RANGE,
                   "the tensor has over 2^63 bytes");
}

static void partial_blocks_are_refused(void)
{
    refuses_tensor("w", 8, 2, (uint64_t[]){48, 2}, RAD_E_PARSE,
                   "tensor 'w': expected rows of a multiple of 32 elements (Q8_0) but found 48");
    refuses_tensor("w", 14, 1, (uint64_t[]){128}, RAD_E_PARSE, "multiple of 256 elements (Q6_K)");
}

static void unknown_tensor_types_are_refused(void)
{
    static const uint32_t none[] = {4, 5, 31, 32, 33, 36, 40, UINT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        refuses_tensor(
            "w", none[i], 1, (uint64_t[]){6}, RAD_E_UNSUPPORTED,
            "tensor 'w': expected a known tensor type, best F32, F16, BF16, Q8_0, Q4_0 or Q6_K");
}

/* The data offset of the last tensor of m becomes x. */
static void set_offset(struct gguf_make *m, uint64_t x)
{
    memcpy(m->line.data + m->line.len - 8, &x, 8);
}

static void unaligned_tensors_are_refused(void)
{
    struct gguf_make m = two();
    set_offset(&m, 33);
    refuses_made(&m, RAD_E_PARSE,
                 "tensor 'a': expected a data offset that is a multiple of 32 but found 33");
}

static void tensors_past_the_end_are_refused(void)
{
    struct gguf_make m = two();
    set_offset(&m, 64);
    refuses_made(&m, RAD_E_PARSE, "tensor 'a': 34 bytes at data offset 64 end past the 66 bytes");
    m = two();
    set_offset(&m, UINT64_MAX - 31);
    refuses_made(&m, RAD_E_PARSE, "end past the 66 bytes of data; the file is truncated");
    refuses_tensor("w", 0, 1, (uint64_t[]){7}, RAD_E_PARSE, "28 bytes at data offset 0 end past");
}

static void overlapping_tensors_are_refused(void)
{
    struct gguf_make m = two();
    set_offset(&m, 0);
    refuses_made(&m, RAD_E_PARSE, "overlap");
    m = gguf_begin(3);
    gguf_tensor(&m, "w", 0, 1, (uint64_t[]){12}, six, 24);
    gguf_tensor(&m, "v", 0, 1, (uint64_t[]){6}, six, 24);
    refuses_made(&m, RAD_E_PARSE, "tensors 'w' and 'v' overlap");
}

/* No proper prefix of a good file is a good file. */
static void truncations_are_refused(void)
{
    struct gguf_make m = two();
    struct rad_buf file = gguf_bytes(&m);
    for (size_t n = 1; n < file.len; n++) {
        struct rad_gguf g;
        char *copy = malloc(n); /* of its own size, so that a read past the end is seen */
        memcpy(copy, file.data, n);
        CU_ASSERT_NOT_EQUAL(rad_gguf_parse(&g, copy, n, "short", &err), RAD_OK);
        free(copy);
    }
    rad_buf_free(&file);
}

CU_TestInfo gguf_hostile_tests[] = {
    {"other magic is refused", other_magic_is_refused},
    {"Git-LFS pointers are named", git_lfs_pointers_are_named},
    {"other versions are refused", other_versions_are_refused},
    {"big endian is refused", big_endian_is_refused},
    {"counts are bounded", counts_are_bounded},
    {"bad keys are refused", bad_keys_are_refused},
    {"duplicate keys are refused", duplicate_keys_are_refused},
    {"unknown value types are refused", unknown_value_types_are_refused},
    {"bools are 0 or 1", bools_are_0_or_1},
    {"long strings are refused", long_strings_are_refused},
    {"long arrays are refused", long_arrays_are_refused},
    {"deep nesting is refused", deep_nesting_is_refused},
    {"bad alignments are refused", bad_alignments_are_refused},
    {"large headers are refused", large_headers_are_refused},
    {"bad tensor names are refused", bad_tensor_names_are_refused},
    {"duplicate tensors are refused", duplicate_tensors_are_refused},
    {"bad shapes are refused", bad_shapes_are_refused},
    {"partial blocks are refused", partial_blocks_are_refused},
    {"unknown tensor types are refused", unknown_tensor_types_are_refused},
    {"unaligned tensors are refused", unaligned_tensors_are_refused},
    {"tensors past the end are refused", tensors_past_the_end_are_refused},
    {"overlapping tensors are refused", overlapping_tensors_are_refused},
    {"truncations are refused", truncations_are_refused},
    CU_TEST_INFO_NULL,
};
