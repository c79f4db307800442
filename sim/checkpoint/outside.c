/* outside.c - paths, Git-LFS pointers, UTF-8 and JSON. */
#include "checkpoint/outside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum rad_status rad_ckpt_path(char out[RAD_PATH_MAX], const char *folder, const char *name,
                              struct rad_err *err)
{
    const int n = snprintf(out, RAD_PATH_MAX, "%s/%s", folder, name);
    if (n < 0 || n >= RAD_PATH_MAX)
        return rad_fail(err, RAD_E_ARG, "%.200s...: path longer than %d bytes", folder,
                        RAD_PATH_MAX - 1);
    return RAD_OK;
}

bool rad_ckpt_has(const char *folder, const char *name)
{
    char path[RAD_PATH_MAX];
    struct stat st;
    return rad_ckpt_path(path, folder, name, NULL) == RAD_OK && stat(path, &st) == 0;
}

enum rad_status rad_ckpt_refuse_lfs(const void *data, size_t len, const char *path,
                                    struct rad_err *err)
{
    static const char mark[] = "version https://git-lfs";
    if (len < sizeof mark - 1 || memcmp(data, mark, sizeof mark - 1) != 0)
        return RAD_OK;
    return rad_fail(err, RAD_E_PARSE,
                    "%s: expected the file itself but found a Git-LFS pointer to it; "
                    "fetch it with 'git lfs pull'",
                    path);
}

enum rad_status rad_ckpt_read(const char *path, size_t max_bytes, char **out, size_t *len,
                              struct rad_err *err)
{
    RAD_TRY(rad_file_read(path, max_bytes, out, len, err));
    const enum rad_status status = rad_ckpt_refuse_lfs(*out, *len, path, err);
    if (status != RAD_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* Table 3-7 of the Unicode standard: the second byte decides what is overlong or a surrogate. */
size_t rad_ckpt_utf8(const char *p, const char *end)
{
    static const struct {
        unsigned char first_lo, first_hi, second_lo, second_hi, len;
    } form[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *u = (const unsigned char *)p;
    size_t k = 0;
    while (k < sizeof form / sizeof form[0] && (u[0] < form[k].first_lo || u[0] > form[k].first_hi))
        k++;
    if (k == sizeof form / sizeof form[0] || (size_t)(end - p) < form[k].len)
        return 0;
    if (form[k].len > 1 && (u[1] < form[k].second_lo || u[1] > form[k].second_hi))
        return 0;
    for (size_t i = 2; i < form[k].len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return form[k].len;
}

bool rad_ckpt_is_utf8(const char *text, size_t len)
{
    size_t step = 1;
    for (size_t i = 0; i < len && step > 0; i += step)
        step = text[i] != '\0' ? rad_ckpt_utf8(text + i, text + len) : 0;
    return step > 0;
}

static int append(const char *text, size_t len, void *buf)
{
    rad_buf_append(buf, text, len);
    return 0;
}

bool rad_ckpt_dump(struct rad_buf *out, const json_t *value, size_t flags)
{
    return json_dump_callback(value, append, out, flags) == 0 && !out->failed;
}
