/* test_io.c - whole files, folders, and where data files are found. */
#define _XOPEN_SOURCE 700 /* mkfifo, symlink */
#include "base/buf.h"
#include "base/io.h"
#include "test.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_NAME "build/tmp/io"

static void assert_file(const char *path, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    OK(rad_file_read(path, 1000, &text, &len, &err));
    CU_ASSERT_EQUAL(len, strlen(expected));
    CU_ASSERT_STRING_EQUAL(text, expected);
    free(text);
}

static int count_files(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void files_are_read_whole(void)
{
    const size_t size = 100000;
    char *text = NULL, *big = calloc(1, size);
    size_t len = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(big);
    OK(rad_dir_make(DIR_NAME, &err));
    big[size - 1] = 'z';
    OK(rad_file_write(DIR_NAME "/big", big, size, &err));
    OK(rad_file_read(DIR_NAME "/big", size, &text, &len, &err));
    CU_ASSERT(len == size && memcmp(text, big, size) == 0 && text[len] == '\0');
    free(text);
    free(big);
    CU_ASSERT_EQUAL(rad_file_read(DIR_NAME "/big", size - 1, &text, &len, &err), RAD_E_RANGE);
    CU_ASSERT_STRING_EQUAL(err.msg, "'build/tmp/io/big': expected at most 99999 bytes but found "
                                    "100000");
    CU_ASSERT_PTR_NULL(text);
    OK(rad_file_write(DIR_NAME "/empty", "", 0, &err));
    assert_file(DIR_NAME "/empty", "");
    OK(rad_file_read("/proc/self/stat", 100000, &text, &len, &err)); /* says that its size is 0 */
    CU_ASSERT(len > 0);
    free(text);
    CU_ASSERT_EQUAL(rad_file_read("/proc/self/stat", 3, &text, &len, &err), RAD_E_RANGE);
}

/* None of them may block or read for ever. */
static void only_regular_files_are_read(void)
{
    static const struct {
        const char *path, *message;
    } rows[] = {
        {DIR_NAME "/absent", "cannot open 'build/tmp/io/absent': No such file or directory"},
        {DIR_NAME, "'build/tmp/io': expected a regular file but found a folder"},
        {DIR_NAME "/fifo",
         "'build/tmp/io/fifo': expected a regular file but found a pipe, socket or device"},
        {"/dev/zero", "'/dev/zero': expected a regular file but found a pipe, socket or device"},
    };
    char *text = NULL;
    OK(rad_dir_make(DIR_NAME, &err));
    unlink(DIR_NAME "/fifo");
    CU_ASSERT_EQUAL(mkfifo(DIR_NAME "/fifo", 0600), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CU_ASSERT_EQUAL(rad_file_read(rows[i].path, 10, &text, NULL, &err), RAD_E_IO);
        CU_ASSERT_STRING_EQUAL(err.msg, rows[i].message);
        CU_ASSERT_PTR_NULL(text);
    }
    unlink(DIR_NAME "/fifo");
}

static void files_are_replaced_whole(void)
{
    struct stat st;
    OK(rad_dir_make(DIR_NAME "/w", &err));
    OK(rad_file_write(DIR_NAME "/w/a", "one", 3, &err));
    assert_file(DIR_NAME "/w/a", "one");
    CU_ASSERT_EQUAL(chmod(DIR_NAME "/w/a", 0640), 0);
    unlink(DIR_NAME "/w/link");
    CU_ASSERT_EQUAL(symlink("a", DIR_NAME "/w/link"), 0);
    OK(rad_file_write(DIR_NAME "/w/link", "two", 3, &err));
    assert_file(DIR_NAME "/w/a", "two");
    CU_ASSERT(lstat(DIR_NAME "/w/link", &st) == 0 && S_ISLNK(st.st_mode));
    CU_ASSERT(stat(DIR_NAME "/w/a", &st) == 0 && (st.st_mode & 0777) == 0640);
    CU_ASSERT_EQUAL(count_files(DIR_NAME "/w"), 2); /* no temporary file stays */
    unlink(DIR_NAME "/w/link");
}

static void failed_writes_leave_nothing(void)
{
    struct stat st;
    CU_ASSERT_EQUAL(rad_file_write(DIR_NAME "/no/such/folder", "x", 1, &err), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "cannot write 'build/tmp/io/no/such/folder': No such file or directory");
    CU_ASSERT_EQUAL(rad_file_write("build/tmp", "x", 1, &err), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg, "cannot write 'build/tmp': it is a folder");
    CU_ASSERT_EQUAL(rad_file_write("/dev/full", "x", 1, &err), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg, "cannot write '/dev/full': No space left on device");
    OK(rad_file_write("/dev/null", "x", 1, &err));
    CU_ASSERT(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode)); /* not renamed over */
}

static void folders_are_made(void)
{
    struct stat st;
    OK(rad_dir_make(DIR_NAME "/a/b//c/", &err));
    CU_ASSERT(stat(DIR_NAME "/a/b/c", &st) == 0 && S_ISDIR(st.st_mode));
    OK(rad_dir_make(DIR_NAME "/a/b", &err));
    OK(rad_dir_make("/", &err));
    write_file(DIR_NAME "/file", "x");
    CU_ASSERT_EQUAL(rad_dir_make(DIR_NAME "/file", &err), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg, "cannot make folder 'build/tmp/io/file': a file has that name");
    CU_ASSERT_EQUAL(rad_dir_make(DIR_NAME "/file/x", &err), RAD_E_IO);
    CU_ASSERT_EQUAL(rad_dir_make("", &err), RAD_E_IO);
}

/* ---- data files ------------------------------------------------------------------------ */

static void make_data(void)
{
    OK(rad_dir_make(DIR_NAME "/data/machines", &err));
    OK(rad_dir_make(DIR_NAME "/flat", &err));
    write_file(DIR_NAME "/data/machines/h100-sxm.yaml", "x");
    write_file(DIR_NAME "/data/machines/h100-pcie.yaml", "x");
    write_file(DIR_NAME "/data/machines/tpu-v4.yaml", "x");
    write_file(DIR_NAME "/data/machines/notes.txt", "x");
    write_file(DIR_NAME "/flat/tpu-v5.yaml", "x");
    setenv("RADIAL_PATH", DIR_NAME "/absent::" DIR_NAME "/data:" DIR_NAME "/flat", 1);
}

static enum rad_status find(char *out, size_t size, const char *name)
{
    return rad_data_find(out, size, "machines", name, ".yaml", &err);
}

static void data_files_are_found(void)
{
    char path[200];
    make_data();
    OK(find(path, sizeof path, "tpu-v4"));
    CU_ASSERT_STRING_EQUAL(path, DIR_NAME "/data/machines/tpu-v4.yaml");
    OK(find(path, sizeof path, "tpu-v5"));
    CU_ASSERT_STRING_EQUAL(path, DIR_NAME "/flat/tpu-v5.yaml");
    OK(find(path, sizeof path, "some/where"));
    CU_ASSERT_STRING_EQUAL(path, "some/where");
    OK(find(path, sizeof path, "mine.yaml"));
    CU_ASSERT_STRING_EQUAL(path, "mine.yaml");
    unsetenv("RADIAL_PATH");
}

static void list_folder(void *ctx, const char *path)
{
    rad_buf_printf(ctx, " %s", path);
}

/* An empty part of RADIAL_PATH is no folder, least of all the root. */
static void folders_of_data_are_listed(void)
{
    struct rad_buf list = {0};
    setenv("RADIAL_PATH", ":a::/b:", 1);
    rad_data_folders("machines", list_folder, &list);
    unsetenv("RADIAL_PATH");
    CU_ASSERT(list.data != NULL && strncmp(list.data, " machines ", 10) == 0);
    CU_ASSERT_STRING_EQUAL(strchr(strchr(list.data + 1, ' ') + 1, ' '),
                           " a/machines a /b/machines /b");
    rad_buf_free(&list);
}

static void missing_data_files_name_others(void)
{
    char path[200], tiny[16];
    make_data();
    CU_ASSERT_EQUAL(find(path, sizeof path, "h100"), RAD_E_IO);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "no 'h100.yaml' in " DIR_NAME "/data/machines, " DIR_NAME
                           "/data, " DIR_NAME "/flat; did you mean 'h100-pcie' or 'h100-sxm'");
    CU_ASSERT_EQUAL(find(path, sizeof path, "tpu-v6"), RAD_E_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "; did you mean 'tpu-v4' or 'tpu-v5'"));
    CU_ASSERT_EQUAL(find(path, sizeof path, "zebra"), RAD_E_IO);
    CU_ASSERT_PTR_NULL(strstr(err.msg, "did you mean"));
    CU_ASSERT_EQUAL(find(path, sizeof path, ""), RAD_E_IO);
    CU_ASSERT_EQUAL(find(tiny, sizeof tiny, "tpu-v4"), RAD_E_RANGE);
    CU_ASSERT_EQUAL(find(tiny, sizeof tiny, "a/path/of/some/length"), RAD_E_RANGE);
    unsetenv("RADIAL_PATH");
}

CU_TestInfo io_tests[] = {
    {"files are read whole", files_are_read_whole},
    {"only regular files are read", only_regular_files_are_read},
    {"files are replaced whole", files_are_replaced_whole},
    {"failed writes leave nothing", failed_writes_leave_nothing},
    {"folders are made", folders_are_made},
    {"data files are found", data_files_are_found},
    {"folders of data are listed", folders_of_data_are_listed},
    {"missing data files name others", missing_data_files_name_others},
    CU_TEST_INFO_NULL,
};
