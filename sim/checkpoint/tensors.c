/* tensors.c - the weights of a folder: one file or shards, mapped and indexed by name. */
#include "checkpoint/gguf.h"
#include "checkpoint/outside.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a folder may hold, the first that is there: one file, or the index of its shards. */
static const struct layout {
    const char *single, *index, *ending;
} layouts[] = {{"model.safetensors", "model.safetensors.index.json", ".safetensors"},
               {"pytorch_model.bin", "pytorch_model.bin.index.json", ".bin"}};
enum { MAX_SHARDS = 1024 };

/* One mapped file. */
struct shard {
    char *name; /* as in the index, or the path of a single file */
    struct rad_map map;
    struct rad_st st;
    struct rad_torch torch;    /* one of both is empty */
    struct rad_tensor *tensor; /* [n], of either */
    size_t n;
};

struct rad_tensors {
    char *path;                  /* for messages */
    const struct layout *layout; /* of shards */
    struct shard *shard;         /* NULL for GGUF */
    size_t n_shard;
    struct rad_gguf_parts gguf; /* empty for safetensors */
    struct rad_tensor *tensor;  /* [n], in the order of names */
    size_t n;
};

/* Map and check one file; s->name stays as it is. */
static enum rad_status open_shard(struct shard *s, const char *path, struct rad_err *err)
{
    RAD_TRY(rad_map_open(&s->map, path, "a file of weights", err));
    const struct rad_st_source src = {s->map.data, s->map.len, path};
    if (rad_torch_is(src.data, src.len, path))
        RAD_TRY(rad_torch_parse(&s->torch, &src, err));
    else
        RAD_TRY(rad_st_parse(&s->st, &src, err));
    s->tensor = s->torch.n > 0 ? s->torch.tensor : s->st.tensor;
    s->n = s->torch.n > 0 ? s->torch.n : s->st.n;
    return RAD_OK;
}

static enum rad_status open_single(rad_tensors *t, const char *path, struct rad_err *err)
{
    t->shard = calloc(1, sizeof t->shard[0]);
    if (t->shard == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    t->n_shard = 1;
    RAD_TRY(open_shard(&t->shard[0], path, err));
    t->tensor = t->shard[0].tensor;
    t->n = t->shard[0].n;
    return RAD_OK;
}

static enum rad_status open_gguf(rad_tensors *t, struct rad_err *err)
{
    RAD_TRY(rad_gguf_parts_open(&t->gguf, t->path, err));
    t->tensor = t->gguf.tensor;
    t->n = t->gguf.n;
    return RAD_OK;
}

/* A shard's name is a plain file name: it must not lead out of the folder. */
static bool shard_name_ok(const char *name, const char *ending)
{
    const size_t len = strlen(name), ext = strlen(ending);
    return rad_st_name_ok(name) && len > ext && name[0] != '.' && strchr(name, '/') == NULL &&
           strcmp(name + len - ext, ending) == 0;
}

static int find_shard(const rad_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->n_shard; i++)
        if (strcmp(t->shard[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* The shard called name, opened if it is the first to be asked for. */
static enum rad_status need_shard(rad_tensors *t, const char *name, int *out, struct rad_err *err)
{
    *out = find_shard(t, name);
    if (*out >= 0)
        return RAD_OK;
    if (!shard_name_ok(name, t->layout->ending))
        return rad_fail(err, RAD_E_PARSE,
                        "%s/%s: expected a shard's plain file name ending in %s but found '%s'",
                        t->path, t->layout->index, t->layout->ending, SHOW(name));
    if (t->n_shard == MAX_SHARDS)
        return rad_fail(err, RAD_E_RANGE, "%s/%s: more than %d shards", t->path, t->layout->index,
                        MAX_SHARDS);
    char path[RAD_PATH_MAX];
    RAD_TRY(rad_ckpt_path(path, t->path, name, err));
    struct shard *s = &t->shard[t->n_shard];
    s->name = strdup(name);
    if (s->name == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    *out = (int)t->n_shard++;
    return open_shard(s, path, err);
}

/* One line of the index: name -> shard. */
static enum rad_status add_mapped(rad_tensors *t, const char *name, const json_t *shard,
                                  struct rad_err *err)
{
    if (!json_is_string(shard))
        return rad_fail(err, RAD_E_PARSE, "%s/%s: tensor '%s': expected the name of a shard",
                        t->path, t->layout->index, SHOW(name));
    int i = 0;
    RAD_TRY(need_shard(t, json_string_value(shard), &i, err));
    const struct rad_tensor *found = rad_st_find(t->shard[i].tensor, t->shard[i].n, name);
    if (found == NULL)
        return rad_fail(err, RAD_E_PARSE, "%s/%s: tensor '%s' is not in %s as the index says",
                        t->path, t->layout->index, SHOW(name), SHOW(t->shard[i].name));
    t->tensor[t->n++] = *found;
    return RAD_OK;
}

static enum rad_status read_index(rad_tensors *t, const json_t *root, struct rad_err *err)
{
    json_t *map = json_object_get(root, "weight_map");
    const size_t n = json_object_size(map);
    if (n == 0 || n > RAD_ST_TENSORS_MAX)
        return rad_fail(err, RAD_E_PARSE, "%s/%s: expected a 'weight_map' of 1 to %d tensors",
                        t->path, t->layout->index, RAD_ST_TENSORS_MAX);
    t->shard = calloc(MAX_SHARDS, sizeof t->shard[0]);
    t->tensor = calloc(n, sizeof t->tensor[0]);
    if (t->shard == NULL || t->tensor == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot index %zu tensors", t->path, n);
    const char *name;
    json_t *shard;
    json_object_foreach(map, name, shard) RAD_TRY(add_mapped(t, name, shard, err));
    return rad_st_sort(t->tensor, t->n, t->path, err);
}

static enum rad_status open_sharded(rad_tensors *t, struct rad_err *err)
{
    char path[RAD_PATH_MAX], *text = NULL;
    size_t len = 0;
    json_t *root = NULL;
    RAD_TRY(rad_ckpt_path(path, t->path, t->layout->index, err));
    RAD_TRY(rad_ckpt_read(path, RAD_ST_HEADER_MAX, &text, &len, err));
    enum rad_status status = rad_json_parse(&root, text, len, path, err);
    free(text);
    if (status == RAD_OK)
        status = read_index(t, root, err);
    json_decref(root);
    return status;
}

bool rad_ckpt_has_weights(const char *folder)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (rad_ckpt_has(folder, layouts[i].single) || rad_ckpt_has(folder, layouts[i].index))
            return true;
    return false;
}

static enum rad_status open_path(rad_tensors *t, struct rad_err *err)
{
    char path[RAD_PATH_MAX];
    struct stat st;
    if (stat(t->path, &st) != 0)
        return rad_fail(err, RAD_E_IO, "%s: cannot open: %s", t->path, strerror(errno));
    if (rad_ckpt_is_gguf(t->path))
        return open_gguf(t, err);
    if (!S_ISDIR(st.st_mode))
        return open_single(t, t->path, err);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        t->layout = &layouts[i];
        RAD_TRY(rad_ckpt_path(path, t->path, layouts[i].single, err));
        if (rad_ckpt_has(t->path, layouts[i].single))
            return open_single(t, path, err);
        if (rad_ckpt_has(t->path, layouts[i].index))
            return open_sharded(t, err);
    }
    return rad_fail(err, RAD_E_IO, "%s: expected %s, %s, or either with .index.json but found none",
                    t->path, layouts[0].single, layouts[1].single);
}

enum rad_status rad_tensors_open(rad_tensors **out, const char *path, struct rad_err *err)
{
    *out = NULL;
    rad_tensors *t = calloc(1, sizeof *t);
    if (t != NULL)
        t->path = strdup(path);
    if (t == NULL || t->path == NULL) {
        free(t);
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", path);
    }
    const enum rad_status status = open_path(t, err);
    if (status != RAD_OK) {
        rad_tensors_close(t);
        return status;
    }
    *out = t;
    return RAD_OK;
}

void rad_tensors_close(rad_tensors *t)
{
    if (t == NULL)
        return;
    /* A single file's index is used as it is; that of shards was copied. */
    if (t->tensor != t->gguf.tensor && (t->n_shard == 0 || t->tensor != t->shard[0].tensor))
        free(t->tensor);
    rad_gguf_parts_close(&t->gguf);
    for (size_t i = 0; i < t->n_shard; i++) {
        struct shard *s = &t->shard[i];
        rad_st_free(&s->st);
        rad_torch_free(&s->torch);
        rad_map_close(&s->map);
        free(s->name);
    }
    free(t->shard);
    free(t->path);
    free(t);
}

void rad_tensors_expect(const rad_tensors *t, bool sparse)
{
    for (size_t i = 0; i < t->n_shard; i++)
        rad_map_expect(&t->shard[i].map, sparse);
    for (size_t i = 0; i < t->gguf.n_part; i++)
        rad_map_expect(&t->gguf.part[i].map, sparse);
}

size_t rad_tensors_count(const rad_tensors *t)
{
    return t->n;
}

const struct rad_tensor *rad_tensors_at(const rad_tensors *t, size_t i)
{
    return i < t->n ? &t->tensor[i] : NULL;
}

const struct rad_tensor *rad_tensors_find(const rad_tensors *t, const char *name)
{
    return rad_st_find(t->tensor, t->n, name);
}

const char *rad_tensors_metadata(const rad_tensors *t, const char *key)
{
    if (t->n_shard == 0)
        return NULL;
    return json_string_value(
        json_object_get(json_object_get(t->shard[0].st.root, "__metadata__"), key));
}

static void print_shape(char *out, size_t size, const struct rad_shape *shape)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (int32_t i = 0; i < shape->n_dim && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%" PRId64, i > 0 ? ", " : "", shape->dim[i]);
    if (at < size)
        snprintf(out + at, size - at, "]");
}

static bool shapes_equal(const struct rad_shape *a, const struct rad_shape *b)
{
    bool equal = a->n_dim == b->n_dim;
    for (int32_t i = 0; equal && i < a->n_dim; i++)
        equal = a->dim[i] == b->dim[i];
    return equal;
}

enum rad_status rad_tensors_get(const rad_tensors *t, const char *name, struct rad_shape shape,
                                const struct rad_tensor **out, struct rad_err *err)
{
    *out = NULL;
    int64_t n = 0;
    const enum rad_status status = rad_st_elements(&shape, &n, err);
    if (status != RAD_OK)
        return rad_fail_in(err, RAD_E_ARG, "expected shape of '%s'", name);
    const struct rad_tensor *found = rad_tensors_find(t, name);
    if (found == NULL)
        return rad_fail(err, RAD_E_RANGE, "%s: expected a tensor '%s' but found none", t->path,
                        SHOW(name));
    if (!shapes_equal(&found->shape, &shape)) {
        char want[96], have[96];
        print_shape(want, sizeof want, &shape);
        print_shape(have, sizeof have, &found->shape);
        return rad_fail(err, RAD_E_RANGE, "%s: tensor '%s': expected shape %s but found %s",
                        t->path, SHOW(name), want, have);
    }
    if (found->dtype == RAD_N_DTYPE && found->block == RAD_BLOCK_NONE)
        return rad_fail(err, RAD_E_UNSUPPORTED, "%s: tensor '%s': expected %s but found %s",
                        t->path, SHOW(name),
                        t->n_shard == 0 ? "F32, F16, BF16, Q8_0, Q4_0 or Q6_K" : "F32, F16 or BF16",
                        found->dtype_name);
    *out = found;
    return RAD_OK;
}

enum rad_status rad_tensors_read(const rad_tensors *t, const char *name, struct rad_shape shape,
                                 float *dst, struct rad_err *err)
{
    const struct rad_tensor *found = NULL;
    RAD_TRY(rad_tensors_get(t, name, shape, &found, err));
    return rad_tensor_to_f32(dst, found, err);
}
