/* io.c - whole files in and out. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "base/io.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rad_status fail_errno(struct rad_err *err, const char *what, const char *path)
{
    return rad_fail(err, errno == ENOMEM ? RAD_E_NOMEM : RAD_E_IO, "cannot %s '%s': %s", what, path,
                    strerror(errno));
}

/* ---- reading --------------------------------------------------------------------------- */

/* read() until len bytes, the end of the file or an error. */
static ssize_t read_full(int fd, char *data, size_t len)
{
    size_t used = 0;
    while (used < len) {
        const ssize_t n = read(fd, data + used, len - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

/* The size of a file is a hint only: it may grow meanwhile, and /proc says 0. */
static enum rad_status read_all(int fd, const char *path, size_t max_bytes, struct rad_buf *b,
                                struct rad_err *err)
{
    char piece[16384];
    for (;;) {
        const ssize_t n = read_full(fd, piece, sizeof piece);
        if (n < 0)
            return fail_errno(err, "read", path);
        rad_buf_append(b, piece, (size_t)n);
        if (b->failed)
            return rad_fail(err, RAD_E_NOMEM, "no memory to read '%s'", path);
        if (b->len > max_bytes)
            return rad_fail(err, RAD_E_RANGE, "'%s': expected at most %zu bytes but found more",
                            path, max_bytes);
        if ((size_t)n < sizeof piece)
            return RAD_OK;
    }
}

static enum rad_status check_regular(int fd, const char *path, size_t max_bytes,
                                     struct rad_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(err, "read", path);
    if (!S_ISREG(st.st_mode))
        return rad_fail(err, RAD_E_IO, "'%s': expected a regular file but found a %s", path,
                        S_ISDIR(st.st_mode) ? "folder" : "pipe, socket or device");
    if (st.st_size > 0 && (uintmax_t)st.st_size > max_bytes)
        return rad_fail(err, RAD_E_RANGE, "'%s': expected at most %zu bytes but found %jd", path,
                        max_bytes, (intmax_t)st.st_size);
    return RAD_OK;
}

enum rad_status rad_file_read(const char *path, size_t max_bytes, char **out, size_t *len,
                              struct rad_err *err)
{
    *out = NULL;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", path);
    struct rad_buf b = {0};
    enum rad_status status = check_regular(fd, path, max_bytes, err);
    if (status == RAD_OK)
        status = read_all(fd, path, max_bytes, &b, err);
    close(fd);
    if (status != RAD_OK) {
        rad_buf_free(&b);
        return status;
    }
    *out = b.data; /* not NULL: even an empty file appended its NUL */
    if (len != NULL)
        *len = b.len;
    return RAD_OK;
}

/* ---- writing --------------------------------------------------------------------------- */

static bool write_full(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* A new file beside path, with the permissions of the one that it will replace. Its name is in
 * temporary[RAD_PATH_MAX]. The number tells threads and leftovers of killed runs apart. */
static int open_temporary(const char *path, const struct stat *old, char *temporary)
{
    for (int number = 0; number < 1000; number++) {
        const int n =
            snprintf(temporary, RAD_PATH_MAX, "%s.tmp-%ld-%d", path, (long)getpid(), number);
        if (n < 0 || n >= RAD_PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 && old != NULL)
            (void)fchmod(fd, old->st_mode & 07777);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* So that the new name survives a power cut; a file system that cannot do it is no failure. */
static void sync_folder_of(const char *path)
{
    char folder[RAD_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof folder)
        return;
    memcpy(folder, path, n);
    folder[n] = '\0';
    const int fd = open(n > 0 ? folder : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static enum rad_status replace(const char *path, const struct stat *old, const void *data,
                               size_t len, struct rad_err *err)
{
    char temporary[RAD_PATH_MAX];
    const int fd = open_temporary(path, old, temporary);
    if (fd < 0)
        return fail_errno(err, "write", path);
    bool done = write_full(fd, data, len) && fsync(fd) == 0;
    const int error = errno;
    if (close(fd) != 0 && done)
        done = false;
    else
        errno = error;
    if (done && rename(temporary, path) == 0) {
        sync_folder_of(path);
        return RAD_OK;
    }
    const enum rad_status status = fail_errno(err, "write", path);
    unlink(temporary);
    return status;
}

/* A pipe or device: renaming a file over it would destroy it, and there is nothing to keep. */
static enum rad_status write_in_place(const char *path, const void *data, size_t len,
                                      struct rad_err *err)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", path);
    const bool written = write_full(fd, data, len);
    const int error = errno;
    const bool closed = close(fd) == 0;
    if (written && closed)
        return RAD_OK;
    if (!written)
        errno = error;
    return fail_errno(err, "write", path);
}

enum rad_status rad_file_write(const char *path, const void *data, size_t len, struct rad_err *err)
{
    struct stat old;
    if (stat(path, &old) != 0)
        return replace(path, NULL, data, len, err);
    if (S_ISDIR(old.st_mode))
        return rad_fail(err, RAD_E_IO, "cannot write '%s': it is a folder", path);
    if (!S_ISREG(old.st_mode))
        return write_in_place(path, data, len, err);
    /* Of a symbolic link the target is replaced, not the link. */
    char *target = realpath(path, NULL);
    if (target == NULL)
        return fail_errno(err, "write", path);
    const enum rad_status status = replace(target, &old, data, len, err);
    free(target);
    return status;
}

/* ---- folders --------------------------------------------------------------------------- */

enum rad_status rad_dir_make(const char *path, struct rad_err *err)
{
    char part[RAD_PATH_MAX];
    const size_t len = strlen(path);
    struct stat st;
    if (len == 0 || len >= sizeof part)
        return rad_fail(err, RAD_E_IO, "cannot make folder '%.60s': the name is %s", path,
                        len == 0 ? "empty" : "too long");
    for (size_t n = 1; n <= len; n++) {
        if (path[n] != '/' && path[n] != '\0')
            continue;
        memcpy(part, path, n);
        part[n] = '\0';
        /* A part that is there already is found by the last check; so is one made by another. */
        if (mkdir(part, 0777) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return fail_errno(err, "make folder", part);
    }
    if (stat(path, &st) != 0)
        return fail_errno(err, "make folder", path);
    if (!S_ISDIR(st.st_mode))
        return rad_fail(err, RAD_E_IO, "cannot make folder '%s': a file has that name", path);
    return RAD_OK;
}
