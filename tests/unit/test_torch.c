/* test_torch.c - files of torch.save: real ones (tests/oracle/torch_vectors.py), and damaged ones.
 */
#include "base/buf.h"
#include "base/io.h"
#include "checkpoint/torch.h"
#include "refuse.h"

#include <stdlib.h>

#define REAL "tests/oracle/torch/"
#define FILE_NAME "build/tmp/model.bin"

/* ---- real files ---------------------------------------------------------------------------- */

static void check_values(const rad_tensors *t, const char *name, struct rad_shape shape,
                         const float *want)
{
    const struct rad_tensor *found = NULL;
    float got[8];
    OK(rad_tensors_get(t, name, shape, &found, &err));
    OK(rad_tensors_read(t, name, shape, got, &err));
    CU_ASSERT(found->n <= 8 && memcmp(got, want, (size_t)found->n * sizeof *want) == 0);
}

static void values_are_those_that_were_saved(void)
{
    static const float b[] = {1.5f, -2.25f}, a[] = {0, 1, 2, 3, 4, 5}, c[] = {1, 2, 3};
    static const float one[] = {1, 1}, half[] = {0.5f};
    const struct rad_tensor *ids;
    rad_tensors *t = NULL;
    OK(rad_tensors_open(&t, REAL "plain", &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 7);
    check_values(t, "b", (struct rad_shape){1, {2}}, b);
    check_values(t, "tied", (struct rad_shape){1, {2}}, b);
    check_values(t, "a", (struct rad_shape){2, {2, 3}}, a);
    check_values(t, "c", (struct rad_shape){1, {3}}, c); /* begins inside its storage */
    check_values(t, "one", (struct rad_shape){2, {1, 2}}, one);
    check_values(t, "scalar", (struct rad_shape){.n_dim = 0}, half);
    CU_ASSERT_PTR_EQUAL(rad_tensors_find(t, "tied")->data, rad_tensors_find(t, "b")->data);
    CU_ASSERT_STRING_EQUAL(rad_tensors_find(t, "a")->dtype_name, "F16");
    CU_ASSERT_STRING_EQUAL(rad_tensors_find(t, "c")->dtype_name, "BF16");
    REFUSES(rad_tensors_get(t, "ids", (struct rad_shape){1, {3}}, &ids, &err), RAD_E_UNSUPPORTED,
            "tensor 'ids': expected F32, F16 or BF16 but found I64");
    CU_ASSERT_PTR_NULL(rad_tensors_metadata(t, "format"));
    rad_tensors_close(t);
}

static void shards_are_joined(void)
{
    static const float b[] = {1.5f, -2.25f}, c[] = {1, 2, 3};
    rad_tensors *t = NULL;
    OK(rad_tensors_open(&t, REAL "shards", &err));
    CU_ASSERT_EQUAL(rad_tensors_count(t), 3);
    check_values(t, "b", (struct rad_shape){1, {2}}, b);
    check_values(t, "c", (struct rad_shape){1, {3}}, c);
    rad_tensors_close(t);
}

static void other_files_of_torch_are_named(void)
{
    rad_tensors *t = NULL;
    REFUSES(rad_tensors_open(&t, REAL "strided.bin", &err), RAD_E_UNSUPPORTED,
            "strided.bin: tensor 'x': expected elements in order but found other strides");
    REFUSES(rad_tensors_open(&t, REAL "legacy.bin", &err), RAD_E_UNSUPPORTED,
            "legacy.bin: expected a zip archive as torch.save writes since version 1.6");
    OK(rad_file_write(FILE_NAME, "x", 1, &err));
    REFUSES(rad_tensors_open(&t, FILE_NAME, &err), RAD_E_UNSUPPORTED, "but found something else");
}

/* Cut anywhere, a file is refused; nothing outside of it is read. */
static void cut_files_are_refused(void)
{
    char *data = NULL;
    size_t len = 0;
    OK(rad_file_read(REAL "plain/pytorch_model.bin", 1 << 16, &data, &len, &err));
    for (size_t n = 4; n < len; n++) {
        unsigned char *copy = malloc(n);
        const struct rad_st_source src = {copy, n, "cut"};
        struct rad_torch t;
        memcpy(copy, data, n);
        CU_ASSERT_EQUAL(rad_torch_parse(&t, &src, &err), RAD_E_PARSE);
        CU_ASSERT_PTR_NULL(t.tensor);
        free(copy);
    }
    free(data);
}

/* ---- archives made here -------------------------------------------------------------------- */

struct entry {
    const char *name, *data;
    size_t len;
    unsigned method;
};

static void put(struct rad_buf *to, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const char byte = (char)(unsigned char)(i < 8 ? x >> 8 * i : 0);
        rad_buf_append(to, &byte, 1);
    }
}

/* The fields that local and central headers share, from the flags on. */
static void put_fields(struct rad_buf *to, const struct entry *e)
{
    put(to, 0, 2);
    put(to, e->method, 2);
    put(to, 0, 8);
    put(to, e->len, 4);
    put(to, e->len, 4);
    put(to, strlen(e->name), 2);
    put(to, 0, 2);
}

static struct rad_buf archive(const struct entry *e, size_t n)
{
    struct rad_buf file = {0}, directory = {0};
    for (size_t i = 0; i < n; i++) {
        put(&directory, 0x02014b50, 4);
        put(&directory, 0, 4);
        put_fields(&directory, &e[i]);
        put(&directory, 0, 10);
        put(&directory, file.len, 4);
        rad_buf_append(&directory, e[i].name, strlen(e[i].name));
        put(&file, 0x04034b50, 4);
        put(&file, 0, 2);
        put_fields(&file, &e[i]);
        rad_buf_append(&file, e[i].name, strlen(e[i].name));
        rad_buf_append(&file, e[i].data, e[i].len);
    }
    const size_t place = file.len;
    rad_buf_append(&file, directory.data, directory.len);
    put(&file, 0x06054b50, 4);
    put(&file, 0, 4);
    put(&file, n, 2);
    put(&file, n, 2);
    put(&file, directory.len, 4);
    put(&file, place, 4);
    put(&file, 0, 2);
    rad_buf_free(&directory);
    return file;
}

static void refuse_archive(const struct entry *e, size_t n, enum rad_status status,
                           const char *text)
{
    struct rad_buf file = archive(e, n);
    rad_tensors *t = NULL;
    OK(rad_file_write(FILE_NAME, file.data, file.len, &err));
    REFUSES(rad_tensors_open(&t, FILE_NAME, &err), status, text);
    rad_buf_free(&file);
}

static void bad_archives_are_refused(void)
{
    const struct entry a = {"m/data.pkl", "\x80\2}.", 4, 0}, packed = {"m/data.pkl", "x", 1, 8};
    const struct entry other = {"n/data/0", "", 0, 0}, bare = {"data.pkl", "", 0, 0};
    const struct entry none = {"m/version", "3", 1, 0}, big = {"m/byteorder", "big", 3, 0};
    refuse_archive(&packed, 1, RAD_E_UNSUPPORTED, "compressed or encrypted");
    refuse_archive((const struct entry[]){a, other}, 2, RAD_E_PARSE, "not all in one folder");
    refuse_archive(&bare, 1, RAD_E_PARSE, "not all in one folder");
    refuse_archive((const struct entry[]){a, a}, 2, RAD_E_PARSE, "two entries have one name");
    refuse_archive(&none, 1, RAD_E_PARSE, "expected data.pkl in the archive but found none");
    refuse_archive((const struct entry[]){a, big}, 2, RAD_E_UNSUPPORTED, "byte order 'little'");
    refuse_archive(&a, 1, RAD_E_PARSE, "expected a dict of tensors but found none in it");
}

/* ---- pickles made here --------------------------------------------------------------------- */

#define TEXT(length, word) "\x8c" length word
#define STORAGE(type, key, n) "(" TEXT("\7", "storage") "ctorch\n" type "\n" key "N" n "tQ"
#define TENSOR(storage, first, size, stride)                                                       \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage first size stride "tR"
#define DICT(items) "\x80\2}(" items "u."
#define X TEXT("\1", "x")
#define KEY0 TEXT("\1", "0")
#define TWO "K\2\x85"
#define ONE "K\1\x85"
#define EMPTY TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\0", "K\5K\0\x86", "K\1K\1\x86")
#define GOOD TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\1", ONE, ONE)

static void refuse_pickle(const char *pickle, size_t len, enum rad_status status, const char *text)
{
    const struct entry e[] = {{"m/data.pkl", pickle, len, 0},
                              {"m/data/0", "\0\0\0\0\0\0\x80?", 8, 0}};
    refuse_archive(e, 2, status, text);
}
#define REFUSE(pickle, status, text) refuse_pickle(pickle, sizeof(pickle) - 1, status, text)

static void a_small_pickle_is_read(void)
{
    static const char pickle[] = DICT(X GOOD TEXT("\1", "y") EMPTY);
    static const float want[] = {1.0f};
    const struct entry e[] = {{"m/data.pkl", pickle, sizeof pickle - 1, 0},
                              {"m/data/0", "\0\0\0\0\0\0\x80?", 8, 0}};
    struct rad_buf file = archive(e, 2);
    rad_tensors *t = NULL;
    OK(rad_file_write(FILE_NAME, file.data, file.len, &err));
    OK(rad_tensors_open(&t, FILE_NAME, &err));
    check_values(t, "x", (struct rad_shape){1, {1}}, want);
    check_values(t, "y", (struct rad_shape){2, {5, 0}}, want);
    rad_tensors_close(t);
    rad_buf_free(&file);
}

/* One name of 64 KiB under which every tensor is. */
static void long_names_are_refused(void)
{
    enum { LEN = 65536 };
    static const char head[] = "\x80\2}(X\0\0\1\0", memo[] = "q\0" GOOD, again[] = "h\0" GOOD;
    struct rad_buf p = {0};
    rad_buf_append(&p, head, sizeof head - 1);
    for (int i = 0; i < LEN; i++)
        rad_buf_append(&p, "n", 1);
    rad_buf_append(&p, memo, sizeof memo - 1);
    for (int i = 1; i < 1000; i++)
        rad_buf_append(&p, again, sizeof again - 1);
    rad_buf_append(&p, "u.", 2);
    refuse_pickle(p.data, p.len, RAD_E_RANGE, "expected a name of 1 to 256 bytes");
    rad_buf_free(&p);
}

/* What would run a program is refused before anything else of it is looked at. */
static void programs_are_refused(void)
{
    REFUSE("\x80\2cos\nsystem\n(" TEXT("\4", "true") "tR.", RAD_E_UNSUPPORTED,
           "data.pkl offset 13: expected weights only but found a call for 'os.system'");
    REFUSE("\x80\4" TEXT("\10", "builtins") TEXT("\4", "eval") "\x93.", RAD_E_UNSUPPORTED,
           "'builtins.eval'");
    REFUSE("\x80\2(itmp\nx\n.", RAD_E_UNSUPPORTED,
           "offset 3: expected a step of a pickle of "
           "weights but found byte 0x69");
    REFUSE("\x80\2ca\nb\33[0m\n.", RAD_E_UNSUPPORTED, "a call for 'a.b");
}

static void bad_pickles_are_refused(void)
{
    REFUSE("\x80\2", RAD_E_PARSE, "it is cut off");
    REFUSE("\x80\2X\377\377\377\377a.", RAD_E_PARSE, "it is cut off");
    REFUSE("\x80\2ctorch\nFloat", RAD_E_PARSE, "it is cut off");
    REFUSE("\x80\2.", RAD_E_PARSE, "a value is missing");
    REFUSE("\x80\2NR.", RAD_E_PARSE, "a value is missing");
    REFUSE("\x80\2NN(s.", RAD_E_PARSE, "a value is missing");
    REFUSE("\x80\2t.", RAD_E_PARSE, "a mark is missing");
    REFUSE("\x80\2}(N"
           "u.",
           RAD_E_PARSE, "a dict's key or value is missing");
    REFUSE("\x80\2N(NNu.", RAD_E_PARSE, "expected a dict");
    REFUSE("\x80\2Nq\1.", RAD_E_PARSE, "its memo has a gap");
    REFUSE("\x80\2h\0.", RAD_E_PARSE, "its memo has no such value");
    REFUSE("\x80\2\x8a\11"
           "123456789.",
           RAD_E_PARSE, "an integer of over 64 bits");
    REFUSE("\x80\2NN\x93.", RAD_E_PARSE, "expected a name");
    REFUSE("\x80\2N)R.", RAD_E_PARSE, "expected a call");
    REFUSE("\x80\2ctorch\nFloatStorage\n)R.", RAD_E_PARSE, "a storage is not called");
    REFUSE("\x80\2ctorch\nSize\n)R.", RAD_E_PARSE, "expected a size");
    REFUSE("\x80\2ctorch._utils\n_rebuild_parameter\n)R.", RAD_E_PARSE, "a parameter's tensor");
    REFUSE("\x80\2)Q.", RAD_E_PARSE, "expected ('storage', type, key, place, elements)");
}

static void bad_tensors_are_refused(void)
{
    REFUSE(DICT(X TENSOR("N", "K\0", TWO, ONE)), RAD_E_PARSE,
           "expected a tensor's storage, place, size and strides");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\0", "(K\1K\1K\1K\1K\1t",
                         "(K\1K\1K\1K\1K\1t")),
           RAD_E_PARSE, "at most 4 dimensions");
    REFUSE(
        DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\0", "J\377\377\377\377\x85", ONE)),
        RAD_E_PARSE, "strides of at least 0");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", TEXT("\1", "7"), "K\2"), "K\0", TWO, ONE)),
           RAD_E_PARSE, "tensor 'x': expected its storage 'data/7' but found none");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\3"), "K\0", TWO, ONE)), RAD_E_PARSE,
           "expected 3 elements of 4 bytes in its storage but found 8 bytes");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\1", TWO, ONE)), RAD_E_PARSE,
           "2 elements from 1 on end past the 2 of its storage");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\3", "K\0\x85", ONE)), RAD_E_PARSE,
           "0 elements from 3 on end past the 2 of its storage");
    REFUSE(DICT(X TENSOR(STORAGE("FloatStorage", KEY0, "K\2"), "K\0", TWO, "K\2\x85")),
           RAD_E_UNSUPPORTED, "expected elements in order");
    REFUSE(DICT(TEXT("\2", "a\n") GOOD), RAD_E_RANGE, "without control characters");
    REFUSE(DICT(X GOOD X GOOD), RAD_E_PARSE, "two tensors are called 'x'");
}

CU_TestInfo torch_tests[] = {
    {"values are those that were saved", values_are_those_that_were_saved},
    {"shards are joined", shards_are_joined},
    {"other files of torch are named", other_files_of_torch_are_named},
    {"cut files are refused", cut_files_are_refused},
    {"bad archives are refused", bad_archives_are_refused},
    {"a small pickle is read", a_small_pickle_is_read},
    {"long names are refused", long_names_are_refused},
    {"programs are refused", programs_are_refused},
    {"bad pickles are refused", bad_pickles_are_refused},
    {"bad tensors are refused", bad_tensors_are_refused},
    CU_TEST_INFO_NULL,
};
