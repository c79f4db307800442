/* torch_zip.c - the directory of a zip archive of stored files. */
#include "checkpoint/outside.h"
#include "checkpoint/torch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    END = 22,     /* bytes of the end record without its comment */
    LOCATOR = 20, /* zip64: says where its end record is */
    END64 = 56,   /* without what may follow */
    CENTRAL = 46, /* of an entry in the directory, without its name */
    LOCAL = 30,   /* before an entry's data, without its name */
    COMMENT = 65535,
    ZIP64 = 1, /* the extra field with what does not fit 32 bits */
};

struct archive {
    const struct rad_st_source *src;
    struct rad_err *err;
    const unsigned char *at; /* in the directory */
    size_t left;             /* bytes of the directory from there on */
    const char *folder;      /* of all entries */
    size_t folder_len;
};

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static enum rad_status damaged(const struct archive *a, const char *what)
{
    return rad_fail(a->err, RAD_E_PARSE, "%s: expected a zip archive of torch.save but %s",
                    a->src->path, what);
}

/* ---- the end ------------------------------------------------------------------------------- */

static const unsigned char *find_end(const struct rad_st_source *src)
{
    const size_t most = src->len < END + COMMENT ? src->len : END + COMMENT;
    for (size_t back = END; back <= most; back++) {
        const unsigned char *p = src->data + src->len - back;
        if (number(p, 4) == 0x06054b50 && number(p + 20, 2) == back - END)
            return p;
    }
    return NULL;
}

/* Entries, bytes and place of the directory, of the zip64 record where there is one. */
static enum rad_status find_directory(const struct archive *a, uint64_t out[3])
{
    const struct rad_st_source *src = a->src;
    const unsigned char *end = find_end(src);
    if (end == NULL)
        return damaged(a, "its end is missing; the file is truncated");
    out[0] = number(end + 10, 2);
    out[1] = number(end + 12, 4);
    out[2] = number(end + 16, 4);
    const size_t before = (size_t)(end - src->data);
    if (before < LOCATOR || number(end - LOCATOR, 4) != 0x07064b50)
        return RAD_OK;
    const uint64_t place = number(end - LOCATOR + 8, 8);
    if (before - LOCATOR < END64 || place > before - LOCATOR - END64 ||
        number(src->data + place, 4) != 0x06064b50)
        return damaged(a, "its zip64 end record is damaged");
    out[0] = number(src->data + place + 32, 8);
    out[1] = number(src->data + place + 40, 8);
    out[2] = number(src->data + place + 48, 8);
    return RAD_OK;
}

/* ---- entries ------------------------------------------------------------------------------- */

/* Size and place of an entry whose 32-bit fields say that they stand in the extra field. */
static bool take_zip64(const unsigned char *extra, size_t len, uint64_t wide[3])
{
    while (len >= 4) {
        const size_t bytes = (size_t)number(extra + 2, 2);
        if (bytes > len - 4)
            return false;
        if (number(extra, 2) == ZIP64) {
            size_t at = 0;
            for (int i = 0; i < 3; i++) /* those that do not fit: length, packed length, place */
                if (wide[i] == UINT32_MAX) {
                    if (bytes - at < 8)
                        return false;
                    wide[i] = number(extra + 4 + at, 8);
                    at += 8;
                }
            return true;
        }
        extra += 4 + bytes;
        len -= 4 + bytes;
    }
    return true;
}

/* Where the data of the entry lies that begins at place. */
static enum rad_status place_data(const struct archive *a, struct rad_zip_entry *e, uint64_t place,
                                  uint64_t len)
{
    const struct rad_st_source *src = a->src;
    if (src->len < LOCAL || place > src->len - LOCAL || number(src->data + place, 4) != 0x04034b50)
        return damaged(a, "an entry begins outside of it");
    const unsigned char *local = src->data + place;
    const size_t head = LOCAL + (size_t)number(local + 26, 2) + (size_t)number(local + 28, 2);
    const size_t rest = src->len - (size_t)place;
    if (head > rest || len > rest - head)
        return damaged(a, "an entry ends outside of it; the file is truncated");
    e->data = local + head;
    e->len = (size_t)len;
    return RAD_OK;
}

/* The name without the folder that all share: "archive/data/0" is "data/0". */
static enum rad_status take_name(struct archive *a, struct rad_zip_entry *e, const char *name,
                                 size_t len)
{
    const char *slash = memchr(name, '/', len);
    const size_t folder = slash != NULL ? (size_t)(slash - name) + 1 : 0;
    if (a->folder == NULL) {
        a->folder = name;
        a->folder_len = folder;
    }
    if (folder == 0 || folder != a->folder_len || memcmp(name, a->folder, folder) != 0)
        return damaged(a, "its entries are not all in one folder");
    e->name = name + folder;
    e->name_len = len - folder;
    return RAD_OK;
}

static enum rad_status take_entry(struct archive *a, struct rad_zip_entry *e)
{
    const unsigned char *p = a->at;
    if (a->left < CENTRAL || number(p, 4) != 0x02014b50)
        return damaged(a, "its directory is damaged");
    const size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2);
    const size_t all = CENTRAL + name + extra + (size_t)number(p + 32, 2);
    uint64_t len_packed_place[3] = {number(p + 24, 4), number(p + 20, 4), number(p + 42, 4)};
    if (all > a->left || !take_zip64(p + CENTRAL + name, extra, len_packed_place))
        return damaged(a, "its directory is damaged");
    if (number(p + 10, 2) != 0 || (number(p + 8, 2) & 1) != 0 ||
        len_packed_place[0] != len_packed_place[1])
        return rad_fail(a->err, RAD_E_UNSUPPORTED,
                        "%s: expected entries that are stored but found compressed or encrypted "
                        "ones",
                        a->src->path);
    RAD_TRY(take_name(a, e, (const char *)p + CENTRAL, name));
    a->at += all;
    a->left -= all;
    return place_data(a, e, len_packed_place[2], len_packed_place[0]);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int d = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return d != 0 ? d : (a_len > b_len) - (a_len < b_len);
}

static int by_name(const void *a, const void *b)
{
    const struct rad_zip_entry *x = a, *y = b;
    return compare(x->name, x->name_len, y->name, y->name_len);
}

static enum rad_status take_all(struct archive *a, struct rad_zip *zip)
{
    uint64_t n_len_place[3] = {0};
    RAD_TRY(find_directory(a, n_len_place));
    if (n_len_place[2] > a->src->len || n_len_place[1] > a->src->len - n_len_place[2] ||
        n_len_place[0] > n_len_place[1] / CENTRAL)
        return damaged(a, "its directory lies outside of it; the file is truncated");
    if (n_len_place[0] > RAD_ZIP_ENTRIES_MAX)
        return rad_fail(a->err, RAD_E_RANGE, "%s: expected at most %d entries but found %" PRIu64,
                        a->src->path, RAD_ZIP_ENTRIES_MAX, n_len_place[0]);
    a->at = a->src->data + n_len_place[2];
    a->left = (size_t)n_len_place[1];
    zip->entry = calloc((size_t)n_len_place[0] + 1, sizeof zip->entry[0]);
    if (zip->entry == NULL)
        return rad_fail(a->err, RAD_E_NOMEM, "%s: cannot index %" PRIu64 " entries", a->src->path,
                        n_len_place[0]);
    for (; zip->n < n_len_place[0]; zip->n++)
        RAD_TRY(take_entry(a, &zip->entry[zip->n]));
    qsort(zip->entry, zip->n, sizeof zip->entry[0], by_name);
    for (size_t i = 1; i < zip->n; i++)
        if (by_name(&zip->entry[i - 1], &zip->entry[i]) == 0)
            return damaged(a, "two entries have one name");
    return RAD_OK;
}

enum rad_status rad_zip_parse(struct rad_zip *out, const struct rad_st_source *src,
                              struct rad_err *err)
{
    struct archive a = {.src = src, .err = err};
    *out = (struct rad_zip){0};
    const enum rad_status status = take_all(&a, out);
    if (status != RAD_OK)
        rad_zip_free(out);
    return status;
}

void rad_zip_free(struct rad_zip *zip)
{
    free(zip->entry);
    *zip = (struct rad_zip){0};
}

const struct rad_zip_entry *rad_zip_find(const struct rad_zip *zip, const char *name, size_t len)
{
    const struct rad_zip_entry key = {.name = name, .name_len = len};
    return zip->n == 0 ? NULL : bsearch(&key, zip->entry, zip->n, sizeof zip->entry[0], by_name);
}
