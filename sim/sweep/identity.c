/* identity.c - hashes of files and model folders by content.
 *
 * Content rather than dates: a fresh clone of the same model is the same model. */
#include "sweep/source.h"

#include "base/buf.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct known {
    struct known *next;
    uint64_t hash;
    const char *path;
};

struct rad_identities {
    rad_arena *arena;
    struct known *first;
};

enum rad_status rad_identities_open(rad_identities **out, struct rad_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    const enum rad_status status = rad_arena_open(&(*out)->arena, err);
    if (status == RAD_OK)
        return RAD_OK;
    free(*out);
    *out = NULL;
    return status;
}

void rad_identities_close(rad_identities *ids)
{
    if (ids == NULL)
        return;
    rad_arena_close(ids->arena);
    free(ids);
}

static enum rad_status io_fail(const char *path, struct rad_err *err)
{
    return rad_fail(err, RAD_E_IO, "%s: cannot read: %s", path, strerror(errno));
}

static enum rad_status hash_open_file(int fd, const char *path, uint64_t *out, struct rad_err *err)
{
    enum { CHUNK = 1 << 16 };
    rad_hasher *hasher = NULL;
    char *chunk = malloc(CHUNK);
    if (chunk == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    enum rad_status status = rad_hasher_open(&hasher, 0, err);
    ssize_t n = 0;
    while (status == RAD_OK && (n = read(fd, chunk, CHUNK)) > 0)
        rad_hasher_update(hasher, chunk, (size_t)n);
    if (status == RAD_OK && n < 0)
        status = io_fail(path, err);
    if (hasher != NULL)
        *out = rad_hasher_final(hasher);
    free(chunk);
    return status;
}

static enum rad_status hash_file(const char *path, uint64_t *out, struct rad_err *err)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return io_fail(path, err);
    enum rad_status status;
    if (fstat(fd, &info) != 0)
        status = io_fail(path, err);
    else if (!S_ISREG(info.st_mode))
        status = rad_fail(err, RAD_E_IO, "%s: expected a regular file", path);
    else
        status = hash_open_file(fd, path, out, err);
    close(fd);
    return status;
}

static bool is_model_file(const char *name)
{
    static const char *const endings[] = {".json", ".safetensors", ".gguf",
                                          ".bin",  ".model",       ".txt"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t n = strlen(endings[i]);
        if (length > n && strcmp(name + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}

/* The sum over files of hash(name, content): the order of readdir does not matter. */
static enum rad_status hash_folder(DIR *folder, const char *path, uint64_t *out,
                                   struct rad_err *err)
{
    enum rad_status status = RAD_OK;
    *out = 0;
    for (struct dirent *e = readdir(folder); e != NULL && status == RAD_OK; e = readdir(folder)) {
        struct rad_buf file = {0};
        uint64_t content = 0;
        if (!is_model_file(e->d_name))
            continue;
        rad_buf_printf(&file, "%s/%s", path, e->d_name);
        status = file.failed ? rad_fail(err, RAD_E_NOMEM, "sweep: out of memory")
                             : hash_file(file.data, &content, err);
        *out += rad_hash(e->d_name, strlen(e->d_name), content);
        rad_buf_free(&file);
    }
    return status;
}

static enum rad_status hash_path(const char *path, uint64_t *out, struct rad_err *err)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return errno == ENOTDIR ? hash_file(path, out, err) : io_fail(path, err);
    const enum rad_status status = hash_folder(folder, path, out, err);
    closedir(folder);
    return status;
}

enum rad_status rad_identity(rad_identities *ids, const char *path, uint64_t *out,
                             struct rad_err *err)
{
    for (const struct known *k = ids->first; k != NULL; k = k->next)
        if (strcmp(k->path, path) == 0) {
            *out = k->hash;
            return RAD_OK;
        }
    RAD_TRY(hash_path(path, out, err));
    struct known *k = rad_arena_get(ids->arena, sizeof *k);
    const char *copy = rad_space_copy(ids->arena, path);
    if (k == NULL || copy == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    *k = (struct known){.next = ids->first, .hash = *out, .path = copy};
    ids->first = k;
    return RAD_OK;
}
