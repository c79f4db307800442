/* gguf_parts.c - a GGUF model in one file or in parts: NAME-00001-of-00003.gguf and so on, each
 * with a header of its own; the first has all the metadata. Names and keys as llama.cpp's
 * gguf-split writes them. */
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 1024 };

/* Which part of how many a file is: 0 of 1 if it does not say. */
static enum rad_status read_place(const struct rad_gguf *g, int64_t *no, int64_t *count,
                                  struct rad_err *err)
{
    *no = 0, *count = 1;
    if (rad_gguf_find(g, "split.count") == NULL)
        return RAD_OK;
    RAD_TRY(rad_gguf_int(g, "split.count", 0, MAX_PARTS, count, err));
    if (*count < 2)
        return RAD_OK;
    return rad_gguf_int(g, "split.no", 0, *count - 1, no, err);
}

/* Part i of count beside the first one, whose name must say so. */
static enum rad_status part_path(char out[RAD_PATH_MAX], const char *first, int i, int64_t count,
                                 struct rad_err *err)
{
    char ending[40];
    snprintf(ending, sizeof ending, "-00001-of-%05" PRId64 ".gguf", count);
    const size_t len = strlen(first), tail = strlen(ending);
    if (len < tail || strcmp(first + len - tail, ending) != 0)
        return rad_fail(err, RAD_E_ARG,
                        "%s: the first of %" PRId64 " parts: expected a name that ends in %s, as "
                        "those of the others follow from it",
                        first, count, ending);
    const int n = snprintf(out, RAD_PATH_MAX, "%.*s-%05d-of-%05" PRId64 ".gguf", (int)(len - tail),
                           first, i + 1, count);
    return n < RAD_PATH_MAX ? RAD_OK : rad_fail(err, RAD_E_ARG, "%s: the path is too long", first);
}

static enum rad_status open_part(struct rad_gguf_parts *p, const char *first, int64_t count,
                                 struct rad_err *err)
{
    char path[RAD_PATH_MAX];
    const int i = (int)p->n_part;
    int64_t no = 0, of = 1;
    RAD_TRY(part_path(path, first, i, count, err));
    RAD_TRY(rad_gguf_open(&p->part[i], path, err));
    p->n_part++;
    const enum rad_status status = read_place(&p->part[i], &no, &of, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "%s", path);
    if (no != i || of != count)
        return rad_fail(err, RAD_E_PARSE,
                        "%s: expected part %d of %" PRId64 " but found part %" PRId64
                        " of %" PRId64,
                        path, i + 1, count, no + 1, of);
    return RAD_OK;
}

/* The tensors of all parts in one table. */
static enum rad_status join(struct rad_gguf_parts *p, const char *path, struct rad_err *err)
{
    int64_t said = 0;
    size_t n = 0;
    for (size_t i = 0; i < p->n_part; i++)
        n += p->part[i].n_tensor;
    p->joined = calloc(n + 1, sizeof p->joined[0]);
    if (p->joined == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot index %zu tensors", path, n);
    for (size_t i = 0; i < p->n_part; i++) {
        const struct rad_gguf *g = &p->part[i];
        memcpy(p->joined + p->n, g->tensor, g->n_tensor * sizeof p->joined[0]);
        p->n += g->n_tensor;
    }
    RAD_TRY(rad_st_sort(p->joined, p->n, path, err));
    p->tensor = p->joined;
    if (rad_gguf_find(&p->part[0], "split.tensors.count") == NULL)
        return RAD_OK;
    const enum rad_status status =
        rad_gguf_int(&p->part[0], "split.tensors.count", 0, INT32_MAX, &said, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "%s", path);
    return (size_t)said == n
               ? RAD_OK
               : rad_fail(err, RAD_E_PARSE,
                          "%s: expected %" PRId64 " tensors in all parts but found %zu", path, said,
                          n);
}

static enum rad_status open_all(struct rad_gguf_parts *p, const char *path, struct rad_err *err)
{
    struct rad_gguf first;
    int64_t no = 0, count = 1;
    RAD_TRY(rad_gguf_open(&first, path, err));
    enum rad_status status = read_place(&first, &no, &count, err);
    if (status != RAD_OK)
        status = rad_fail_in(err, status, "%s", path);
    else if (no != 0) /* it lacks the metadata */
        status = rad_fail(err, RAD_E_ARG,
                          "%s: expected the first of %" PRId64 " parts but found part %" PRId64
                          "; give the file whose name ends in -00001-of-%05" PRId64 ".gguf",
                          path, count, no + 1, count);
    p->part = status == RAD_OK ? calloc(count < 1 ? 1 : (size_t)count, sizeof p->part[0]) : NULL;
    if (p->part == NULL) {
        rad_gguf_close(&first);
        return status != RAD_OK ? status : rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    }
    p->part[p->n_part++] = first;
    p->tensor = first.tensor;
    p->n = first.n_tensor;
    if (count < 2)
        return RAD_OK;
    p->n = 0;
    char name[RAD_PATH_MAX];
    RAD_TRY(part_path(name, path, 0, count, err));
    while ((int64_t)p->n_part < count)
        RAD_TRY(open_part(p, path, count, err));
    return join(p, path, err);
}

enum rad_status rad_gguf_parts_open(struct rad_gguf_parts *out, const char *path,
                                    struct rad_err *err)
{
    *out = (struct rad_gguf_parts){0};
    const enum rad_status status = open_all(out, path, err);
    if (status != RAD_OK)
        rad_gguf_parts_close(out);
    return status;
}

void rad_gguf_parts_close(struct rad_gguf_parts *p)
{
    for (size_t i = 0; i < p->n_part; i++)
        rad_gguf_close(&p->part[i]);
    free(p->part);
    free(p->joined);
    *p = (struct rad_gguf_parts){0};
}
