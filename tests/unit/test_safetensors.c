/* test_safetensors.c - every way in which a file of weights can be wrong. */
#include "base/buf.h"
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "refuse.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR "build/tmp/safetensors"
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

/* A file of header[len] and so many zero bytes of data. */
static void put_header(const char *path, const char *header, size_t len, size_t data)
{
    struct rad_buf b = {0};
    char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (char)(unsigned char)((uint64_t)len >> (8 * i));
    rad_buf_append(&b, prefix, 8);
    rad_buf_append(&b, header, len);
    for (size_t i = 0; i < data; i++)
        rad_buf_append(&b, "", 1);
    OK(rad_file_write(path, b.data, b.len, &err));
    rad_buf_free(&b);
}

/* Opening path fails so, with text in its message. */
static void refuses(const char *path, enum rad_status status, const char *text)
{
    rad_tensors *t = NULL;
    REFUSES(rad_tensors_open(&t, path, &err), status, text);
    CU_ASSERT_PTR_NULL(t);
    rad_tensors_close(t);
}

/* A header of odd length puts floats at odd addresses: legal. */
static void misaligned_data_is_read(void)
{
    static const char header[] =
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ";
    rad_tensors *t = NULL;
    float x[2] = {1.0f, 1.0f};
    fresh();
    for (size_t cut = 0; cut < 2; cut++) {
        put_header(FILE_NAME, header, sizeof header - 1 - cut, 8);
        OK(rad_tensors_open(&t, DIR, &err));
        OK(rad_tensors_read(t, "x", (struct rad_shape){1, {2}}, x, &err));
        CU_ASSERT_EQUAL(x[0], 0.0f);
        rad_tensors_close(t);
    }
}

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define NAME64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *group, *header;
    size_t data;
    enum rad_status status;
    const char *message;
} bad_headers[] = {
    {"json", "[]", 0, RAD_E_PARSE, "expected the header to be a JSON object"},
    {"json", "{", 0, RAD_E_PARSE, "model.safetensors:1:"},
    {"json", "{} x", 0, RAD_E_PARSE, "model.safetensors:1:"},
    {"json", "{\"\xff\":1}", 0, RAD_E_PARSE, "model.safetensors:"},
    {"duplicate", "{" T("a", "U8", "[1]", "[0,1]") "," T("a", "U8", "[1]", "[1,2]") "}", 2,
     RAD_E_PARSE, "duplicate"},
    {"metadata", "{\"__metadata__\":{\"a\":1}}", 0, RAD_E_PARSE, "an object of strings"},
    {"metadata", "{\"__metadata__\":[]}", 0, RAD_E_PARSE, "an object of strings"},
    {"dtype", "{\"a\":1}", 0, RAD_E_PARSE,
     "tensor 'a': dtype: expected a safetensors number format but found 'nothing'"},
    {"dtype", "{" T("a", "F31", "[1]", "[0,4]") "}", 4, RAD_E_UNSUPPORTED,
     "tensor 'a': dtype: expected a safetensors number format but found 'F31'"},
    {"dtype", "{" T("a", "\\u001b[31m", "[1]", "[0,4]") "}", 4, RAD_E_UNSUPPORTED, "'?[31m'"},
    {"name", "{" T("a\\n", "U8", "[1]", "[0,1]") "}", 1, RAD_E_RANGE,
     "tensor 'a?': expected a name of 1 to 256 bytes without control characters"},
    {"name", "{" T("", "U8", "[1]", "[0,1]") "}", 1, RAD_E_RANGE, "1 to 256 bytes"},
    {"name", "{" T(NAME64 NAME64 NAME64 NAME64 "x", "U8", "[1]", "[0,1]") "}", 1, RAD_E_RANGE,
     "1 to 256 bytes"},
    {"shape", "{" T("a", "U8", "[1,1,1,1,1]", "[0,1]") "}", 1, RAD_E_RANGE,
     "shape: expected an array of at most 4 integers"},
    {"shape", "{" T("a", "U8", "7", "[0,1]") "}", 1, RAD_E_RANGE, "shape: expected an array"},
    {"shape", "{" T("a", "U8", "[1.5]", "[0,1]") "}", 1, RAD_E_RANGE, "integers of at least 0"},
    {"shape", "{" T("a", "U8", "[-1]", "[0,1]") "}", 1, RAD_E_RANGE, "integers of at least 0"},
    {"shape", "{" T("a", "U8", "[18446744073709551616]", "[0,1]") "}", 1, RAD_E_PARSE,
     "model.safe"},
    {"shape", "{" T("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, RAD_E_RANGE,
     "the product of the dimensions is over 2^63"},
    {"offsets", "{" T("a", "F64", "[2305843009213693952]", "[0,0]") "}", 0, RAD_E_PARSE,
     "data_offsets: expected 2305843009213693952 elements of 8 bytes but found 0 bytes"},
    {"offsets", "{" T("a", "F32", "[2]", "[0,4]") "}", 4, RAD_E_PARSE,
     "expected 2 elements of 4 bytes but found 4 bytes"},
    {"offsets", "{" T("a", "F32", "[1]", "[0,8]") "}", 8, RAD_E_PARSE,
     "expected 1 elements of 4 bytes but found 8 bytes"},
    {"offsets", "{" T("a", "F32", "[2]", "[0,8]") "}", 7, RAD_E_PARSE,
     "end 8 is past the 7 bytes of data; the file is truncated"},
    {"offsets", "{" T("a", "U8", "[1]", "[1,0]") "}", 1, RAD_E_PARSE, "0 <= begin <= end"},
    {"offsets", "{" T("a", "U8", "[1]", "[-1,0]") "}", 1, RAD_E_PARSE, "0 <= begin <= end"},
    {"offsets", "{" T("a", "U8", "[1]", "[0]") "}", 1, RAD_E_PARSE, "0 <= begin <= end"},
    {"offsets", "{" T("a", "U8", "[1]", "[0,1,2]") "}", 1, RAD_E_PARSE, "0 <= begin <= end"},
    {"overlap", "{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[2,6]") "}", 6,
     RAD_E_PARSE, "tensor 'b' begins at data offset 2 but 'a' ends at 4; tensors overlap"},
    {"overlap", "{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[0,4]") "}", 4,
     RAD_E_PARSE, "tensors overlap"},
    {"hole", "{" T("b", "U8", "[4]", "[6,10]") "," T("a", "U8", "[4]", "[0,4]") "}", 10,
     RAD_E_PARSE, "tensor 'b' begins at data offset 6 but 'a' ends at 4; there is a hole"},
    {"hole", "{" T("a", "U8", "[1]", "[1,2]") "}", 2, RAD_E_PARSE,
     "tensor 'a' begins at data offset 1 but 'the header' ends at 0; there is a hole"},
    {"trailing", "{" T("a", "U8", "[1]", "[0,1]") "}", 3, RAD_E_PARSE,
     "expected the data to end with the last tensor at 1 but found 3 bytes"},
};

/* The rows of a group: every header that breaks the format is refused with the reason. */
static void refuse_group(const char *group)
{
    int n = 0;
    fresh();
    for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
        if (strcmp(bad_headers[i].group, group) != 0)
            continue;
        n++;
        put_header(FILE_NAME, bad_headers[i].header, strlen(bad_headers[i].header),
                   bad_headers[i].data);
        refuses(DIR, bad_headers[i].status, bad_headers[i].message);
    }
    CU_ASSERT(n > 0);
}

#define GROUP(test, group)                                                                         \
    static void test(void)                                                                         \
    {                                                                                              \
        refuse_group(group);                                                                       \
    }
GROUP(other_json_is_refused, "json")
GROUP(duplicate_names_are_refused, "duplicate")
GROUP(bad_metadata_is_refused, "metadata")
GROUP(unknown_formats_are_refused, "dtype")
GROUP(bad_names_are_refused, "name")
GROUP(bad_shapes_are_refused, "shape")
GROUP(bad_offsets_are_refused, "offsets")
GROUP(overlapping_tensors_are_refused, "overlap")
GROUP(holes_are_refused, "hole")
GROUP(trailing_data_is_refused, "trailing")

/* The header's length is checked before anything is read or allocated. */
static void bad_lengths_are_refused(void)
{
    static const unsigned char huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    static const unsigned char over[] = {1, 0, 0, 1, 0, 0, 0, 0, '{', '}'};
    static const unsigned char far[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    fresh();
    OK(rad_file_write(FILE_NAME, huge, sizeof huge, &err));
    refuses(DIR, RAD_E_RANGE, "at most 16777216 bytes but found 18446744073709551615");
    OK(rad_file_write(FILE_NAME, over, sizeof over, &err));
    refuses(DIR, RAD_E_RANGE,
            "offset 0: expected a header of at most 16777216 bytes but found "
            "16777217");
    OK(rad_file_write(FILE_NAME, far, sizeof far, &err));
    refuses(DIR, RAD_E_PARSE,
            "expected a header of 3 bytes but only 2 follow; the file is "
            "truncated");
    OK(rad_file_write(FILE_NAME, far, 7, &err));
    refuses(DIR, RAD_E_PARSE, "expected at least 8 bytes of a safetensors file but found 7");
    OK(rad_file_write(FILE_NAME, far, 0, &err));
    refuses(DIR, RAD_E_PARSE, "expected a file of weights but found 0 bytes");
}

/* No proper prefix of a good file is a good file. */
static void every_truncation_is_refused(void)
{
    static const float six[6] = {1.0f, -2.5f, 3e-8f, 0.0f, 1e30f, -0.0f};
    const struct rad_tensor_out out[] = {
        {"a", RAD_F32, 2, {3, 2}, six},
        {"b", RAD_BF16, 1, {2}, six},
    };
    char *bytes = NULL;
    size_t len = 0;
    rad_tensors *t = NULL;
    fresh();
    OK(rad_tensors_write(FILE_NAME, out, 2, NULL, &err));
    OK(rad_file_read(FILE_NAME, 1 << 20, &bytes, &len, &err));
    for (size_t n = 0; n < len; n += n < 16 || n + 40 > len ? 1 : 7) {
        OK(rad_file_write(FILE_NAME, bytes, n, &err));
        CU_ASSERT_NOT_EQUAL(rad_tensors_open(&t, FILE_NAME, &err), RAD_OK);
        CU_ASSERT_PTR_NULL(t);
    }
    free(bytes);
}

/* Tensors are counted before they are indexed. */
static void too_many_tensors_are_refused(void)
{
    struct rad_buf b = {0};
    fresh();
    for (int i = 0; i <= 65536; i++)
        rad_buf_printf(&b, "%c" T("t%d", "U8", "[0]", "[0,0]"), i == 0 ? '{' : ',', i);
    rad_buf_add(&b, "}");
    put_header(FILE_NAME, b.data, b.len, 0);
    refuses(DIR, RAD_E_RANGE, "expected at most 65536 tensors but found 65537");
    rad_buf_free(&b);
}

static void folders_without_weights_are_named(void)
{
    fresh();
    refuses(DIR, RAD_E_IO,
            "expected model.safetensors, pytorch_model.bin, or either with .index.json but found "
            "none");
    refuses(DIR "/none", RAD_E_IO, "none: cannot open: No such file or directory");
}

static void git_lfs_pointers_are_named(void)
{
    fresh();
    write_file(FILE_NAME, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    refuses(DIR, RAD_E_PARSE, "found a Git-LFS pointer to it; fetch it with 'git lfs pull'");
}

static void folders_and_pipes_are_no_files(void)
{
    fresh();
    OK(rad_dir_make(FILE_NAME, &err));
    refuses(DIR, RAD_E_IO, "expected a regular file but found a directory");
    CU_ASSERT_EQUAL(rmdir(FILE_NAME), 0);
    CU_ASSERT_EQUAL(mkfifo(FILE_NAME, 0600), 0);
    refuses(DIR, RAD_E_IO, "expected a regular file but found something else");
    remove(FILE_NAME);
}

/* A tensor must be there, have the shape and be a number that we compute with. */
static void get_checks_name_shape_and_format(void)
{
    static const char header[] =
        "{" T("i", "I64", "[1]", "[0,8]") "," T("w", "F16", "[1,2]", "[8,12]") "}";
    const struct rad_tensor *found = NULL;
    rad_tensors *t = NULL;
    float x[2];
    fresh();
    put_header(FILE_NAME, header, strlen(header), 12);
    OK(rad_tensors_open(&t, DIR, &err));
    OK(rad_tensors_get(t, "w", (struct rad_shape){2, {1, 2}}, &found, &err));
    CU_ASSERT_EQUAL(found->dtype, RAD_F16);
    CU_ASSERT_EQUAL(rad_tensors_get(t, "v", (struct rad_shape){1, {2}}, &found, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, DIR ": expected a tensor 'v' but found none");
    CU_ASSERT_PTR_NULL(found);
    CU_ASSERT_EQUAL(rad_tensors_get(t, "w", (struct rad_shape){2, {2, 1}}, &found, &err),
                    RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, DIR ": tensor 'w': expected shape [2, 1] but found [1, 2]");
    CU_ASSERT_EQUAL(rad_tensors_read(t, "w", (struct rad_shape){1, {2}}, x, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, DIR ": tensor 'w': expected shape [2] but found [1, 2]");
    CU_ASSERT_EQUAL(rad_tensors_get(t, "i", (struct rad_shape){1, {1}}, &found, &err),
                    RAD_E_UNSUPPORTED);
    CU_ASSERT_STRING_EQUAL(err.msg, DIR ": tensor 'i': expected F32, F16 or BF16 but found I64");
    CU_ASSERT_EQUAL(rad_tensor_to_f32(x, rad_tensors_find(t, "i"), &err), RAD_E_UNSUPPORTED);
    rad_tensors_close(t);
}

CU_TestInfo safetensors_tests[] = {
    {"misaligned data is read", misaligned_data_is_read},
    {"other JSON is refused", other_json_is_refused},
    {"duplicate names are refused", duplicate_names_are_refused},
    {"bad metadata is refused", bad_metadata_is_refused},
    {"unknown formats are refused", unknown_formats_are_refused},
    {"bad names are refused", bad_names_are_refused},
    {"bad shapes are refused", bad_shapes_are_refused},
    {"bad offsets are refused", bad_offsets_are_refused},
    {"overlapping tensors are refused", overlapping_tensors_are_refused},
    {"holes are refused", holes_are_refused},
    {"trailing data is refused", trailing_data_is_refused},
    {"bad lengths are refused", bad_lengths_are_refused},
    {"every truncation is refused", every_truncation_is_refused},
    {"too many tensors are refused", too_many_tensors_are_refused},
    {"folders without weights are named", folders_without_weights_are_named},
    {"Git-LFS pointers are named", git_lfs_pointers_are_named},
    {"folders and pipes are no files", folders_and_pipes_are_no_files},
    {"get checks name, shape and format", get_checks_name_shape_and_format},
    CU_TEST_INFO_NULL,
};
