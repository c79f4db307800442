/* map.c - files mapped for reading. */
#include "checkpoint/checkpoint.h"
#include "checkpoint/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rad_status map_fd(struct rad_map *out, int fd, const char *path, const char *what,
                              struct rad_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rad_fail(err, RAD_E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return rad_fail(err, RAD_E_IO, "%s: expected a regular file but found %s", path,
                        S_ISDIR(st.st_mode) ? "a directory" : "something else");
    if (st.st_size == 0)
        return rad_fail(err, RAD_E_PARSE, "%s: expected %s but found 0 bytes", path, what);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return rad_fail(err, RAD_E_IO, "%s: cannot map: %s", path, strerror(errno));
    *out = (struct rad_map){map, (size_t)st.st_size};
    return RAD_OK;
}

enum rad_status rad_map_open(struct rad_map *out, const char *path, const char *what,
                             struct rad_err *err)
{
    *out = (struct rad_map){NULL, 0};
    /* O_NONBLOCK: a pipe does not wait for its other end. */
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return rad_fail(err, RAD_E_IO, "%s: cannot open: %s", path, strerror(errno));
    enum rad_status status = map_fd(out, fd, path, what, err);
    close(fd);
    if (status == RAD_OK)
        status = rad_ckpt_refuse_lfs(out->data, out->len, path, err);
    if (status != RAD_OK)
        rad_map_close(out);
    return status;
}

/* The system calls want it without const. */
static void *pages(const struct rad_map *map)
{
    void *p;
    memcpy(&p, &map->data, sizeof p);
    return p;
}

void rad_map_expect(const struct rad_map *map, bool sparse)
{
    if (map->data != NULL) /* a hint: nothing is lost where it is not taken */
        (void)posix_madvise(pages(map), map->len, sparse ? POSIX_MADV_RANDOM : POSIX_MADV_NORMAL);
}

void rad_tensors_prefetch(const void *data, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), into = (uintptr_t)data % page;
    const struct rad_map whole = {(const unsigned char *)data - into, bytes + into};
    (void)posix_madvise(pages(&whole), whole.len, POSIX_MADV_WILLNEED);
}

void rad_map_close(struct rad_map *map)
{
    if (map->data != NULL)
        munmap(pages(map), map->len);
    *map = (struct rad_map){NULL, 0};
}
