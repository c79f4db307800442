/* fuzz_folder.c - any bytes as one of the small files of a model folder: refused, or what they say
 * is in the folder. The first byte chooses: model.safetensors.index.json beside two shards,
 * preprocessor_config.json beside a picture, refs/main of a cache with one snapshot, or a .npy
 * file. The readers take paths, so the bytes go through a file. */
#define _GNU_SOURCE /* mkdtemp */
#include "checkpoint/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIDE = 4, N_PIXEL = 3 * SIDE * SIDE };

static char root[64], path[128];

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_bytes(const char *name, const void *data, size_t size)
{
    FILE *f = fopen(at(name), "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

static void write_shard(const char *name, const char *tensor)
{
    const float x[2] = {1.0f, 2.0f};
    char file[256];
    const int n = snprintf(file + 8, sizeof file - 8,
                           "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                           tensor);
    const uint64_t len = (uint64_t)n;
    memcpy(file, &len, 8);
    memcpy(file + 8 + n, x, sizeof x);
    write_bytes(name, file, 8 + (size_t)n + sizeof x);
}

/* The same folder for all inputs of this process; in memory where there is such a place. */
static void make_folder(void)
{
    static const unsigned char png[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\2\0\0\0\1\b\2\0\0\0\x7b\x40\xe8\xdd\0\0\0\x0fIDAT\x78"
        "\xda\x63"
        "\x38\xc1\x25\xc7\xc0\xc0\0\5\x61\0\xf1\x37\x57\x35\xbb\0\0\0\0IEND\xae\x42\x60\x82";
    static const char *const folders[] = {"index",      "image",           "cache",
                                          "cache/refs", "cache/snapshots", "cache/snapshots/abc"};
    struct stat st;
    snprintf(root, sizeof root, "%s/radial-fuzz-XXXXXX",
             stat("/dev/shm", &st) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(root) == NULL)
        abort();
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (mkdir(at(folders[i]), 0700) != 0)
            abort();
    write_shard("index/a.safetensors", "x");
    write_shard("index/b.safetensors", "y");
    write_bytes("image/x.png", png, sizeof png - 1);
}

/* ---- the readers --------------------------------------------------------------------------- */

static enum rad_status try_index(const uint8_t *data, size_t size, struct rad_err *err)
{
    rad_tensors *t = NULL;
    write_bytes("index/model.safetensors.index.json", data, size);
    RAD_TRY(rad_tensors_open(&t, at("index"), err));
    for (size_t i = 0; i < rad_tensors_count(t); i++) {
        const struct rad_tensor *one = rad_tensors_at(t, i);
        float x[2] = {0};
        if (one->n != 2 || rad_tensor_to_f32(x, one, NULL) != RAD_OK || x[1] < 2.0f)
            abort();
    }
    rad_tensors_close(t);
    return RAD_OK;
}

static enum rad_status try_image(const uint8_t *data, size_t size, bool npy, struct rad_err *err)
{
    float *pixel = NULL;
    write_bytes(npy ? "image/x.npy" : "image/preprocessor_config.json", data, size);
    char file[128];
    snprintf(file, sizeof file, "%s", at(npy ? "image/x.npy" : "image/x.png"));
    RAD_TRY(rad_image_open(&pixel, file, at("image"), SIDE, err));
    for (int i = 0; i < N_PIXEL && !npy; i++)
        if (!isfinite(pixel[i]))
            abort();
    free(pixel);
    return RAD_OK;
}

static enum rad_status try_ref(const uint8_t *data, size_t size, struct rad_err *err)
{
    char out[RAD_PATH_MAX];
    write_bytes("cache/refs/main", data, size);
    RAD_TRY(rad_model_find(out, at("cache"), err));
    if (strcmp(out, at("cache/snapshots/abc")) != 0)
        abort();
    return RAD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rad_err err = {.msg = ""};
    enum rad_status status = RAD_OK;
    if (root[0] == '\0')
        make_folder();
    if (size == 0)
        return 0;
    switch (*data % 4) {
    case 0:
        status = try_index(data + 1, size - 1, &err);
        break;
    case 1:
        status = try_image(data + 1, size - 1, false, &err);
        break;
    case 2:
        status = try_ref(data + 1, size - 1, &err);
        break;
    default:
        status = try_image(data + 1, size - 1, true, &err);
    }
    if (status != RAD_OK && (err.msg[0] == '\0' || strchr(err.msg, '\n')))
        abort();
    return 0;
}
