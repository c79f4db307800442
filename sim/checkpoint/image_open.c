/* image_open.c - from a file to the pixels of a model: preprocessor_config.json and .npy. */
#include "checkpoint/config.h"
#include "checkpoint/image_file.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, CONFIG_MAX = 1 << 20 };

struct preparation {
    bool resize, rescale, normalise;
    int64_t filter;
    double factor, mean[3], std[3];
};

/* ---- preprocessor_config.json -------------------------------------------------------------- */

/* Three numbers, one per channel; those there before where the key is absent. */
static enum rad_status read_three(const json_t *root, const char *key, double min, double out[3],
                                  struct rad_err *err)
{
    const json_t *list = json_object_get(root, key);
    if (list == NULL || json_is_null(list))
        return RAD_OK;
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_array_get(list, i);
        if (json_array_size(list) != 3 || !json_is_number(v) || json_number_value(v) < min ||
            json_number_value(v) > 1e6)
            return rad_fail(err, RAD_E_RANGE, "'%s': expected three numbers in %g..1e6", key, min);
        out[i] = json_number_value(v);
    }
    return RAD_OK;
}

/* An integer (older files) or {height, width}: the model takes one size only. */
static enum rad_status check_size(const json_t *root, int32_t side, struct rad_err *err)
{
    json_t *size = json_object_get(root, "size");
    int64_t height = side, width = side;
    if (json_is_object(size)) {
        RAD_TRY(rad_json_int(size, "height", 1, INT32_MAX, &height, err));
        RAD_TRY(rad_json_int(size, "width", 1, INT32_MAX, &width, err));
    } else if (size != NULL && !json_is_null(size)) {
        RAD_TRY(rad_json_int(root, "size", 1, INT32_MAX, &height, err));
        width = height;
    }
    if (height != side || width != side)
        return rad_fail(err, RAD_E_RANGE,
                        "'size': expected the %d x %d of the model but found %" PRId64
                        " x %" PRId64,
                        side, side, height, width);
    return RAD_OK;
}

static enum rad_status read_keys(struct preparation *p, const json_t *root, int32_t side,
                                 struct rad_err *err)
{
    bool crop = false;
    RAD_TRY(rad_json_bool(root, "do_center_crop", false, &crop, err));
    RAD_TRY(rad_json_bool(root, "do_resize", true, &p->resize, err));
    RAD_TRY(rad_json_bool(root, "do_rescale", true, &p->rescale, err));
    RAD_TRY(rad_json_bool(root, "do_normalize", true, &p->normalise, err));
    if (crop)
        return rad_fail(err, RAD_E_UNSUPPORTED, "'do_center_crop': expected false but found true");
    if (p->resize)
        RAD_TRY(check_size(root, side, err));
    if (json_object_get(root, "resample") != NULL)
        RAD_TRY(rad_json_int(root, "resample", 0, 5, &p->filter, err));
    if (p->filter != RAD_FILTER_BILINEAR && p->filter != RAD_FILTER_BICUBIC)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "'resample': expected 2 (bilinear) or 3 (bicubic) but found %" PRId64,
                        p->filter);
    if (json_object_get(root, "rescale_factor") != NULL)
        RAD_TRY(rad_json_real(root, "rescale_factor", 1e-9, 1e9, &p->factor, err));
    RAD_TRY(read_three(root, "image_mean", -1e6, p->mean, err));
    return read_three(root, "image_std", 1e-9, p->std, err);
}

static enum rad_status read_preparation(struct preparation *p, const char *folder, int32_t side,
                                        struct rad_err *err)
{
    char path[RAD_PATH_MAX], *text = NULL;
    size_t len = 0;
    json_t *root = NULL;
    *p = (struct preparation){.filter = RAD_FILTER_BILINEAR, .factor = 1.0 / 255.0};
    for (int i = 0; i < 3; i++)
        p->mean[i] = p->std[i] = 0.5;
    RAD_TRY(rad_ckpt_path(path, folder, "preprocessor_config.json", err));
    RAD_TRY(rad_ckpt_read(path, CONFIG_MAX, &text, &len, err));
    enum rad_status status = rad_json_parse(&root, text, len, path, err);
    free(text);
    RAD_TRY(status);
    status = json_is_object(root) ? read_keys(p, root, side, err)
                                  : rad_fail(err, RAD_E_PARSE, "expected an object");
    json_decref(root);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", path);
}

/* ---- pictures ------------------------------------------------------------------------------ */

static enum rad_status normalise(const struct rad_picture *picture, const struct preparation *p,
                                 float **out, struct rad_err *err)
{
    const size_t n = (size_t)picture->width * (size_t)picture->height;
    float *to = malloc(3 * n * sizeof *to);
    if (to == NULL)
        return rad_fail(err, RAD_E_NOMEM, "image: out of memory");
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < n; i++) {
            double x = picture->rgb[3 * i + c];
            x = p->rescale ? x * p->factor : x;
            to[c * n + i] = (float)(p->normalise ? (x - p->mean[c]) / p->std[c] : x);
        }
    *out = to;
    return RAD_OK;
}

static enum rad_status open_picture(float **out, const struct rad_text *file, const char *path,
                                    const char *folder, int32_t side, struct rad_err *err)
{
    struct preparation p;
    struct rad_picture picture;
    RAD_TRY(read_preparation(&p, folder, side, err));
    RAD_TRY(rad_picture_read(&picture, file->data, file->len, path, err));
    enum rad_status status = RAD_OK;
    if (p.resize)
        status = rad_picture_resize(&picture, side, (int)p.filter, err);
    else if (picture.width != side || picture.height != side)
        status = rad_fail(err, RAD_E_RANGE, "%s: expected %d x %d pixels but found %d x %d", path,
                          side, side, picture.width, picture.height);
    if (status == RAD_OK)
        status = normalise(&picture, &p, out, err);
    free(picture.rgb);
    return status;
}

/* ---- .npy: magic, version, header length, a Python dict, data ------------------------------- */

static enum rad_status open_npy(float **out, const struct rad_text *file, const char *path,
                                int32_t side, struct rad_err *err)
{
    const unsigned char *b = (const unsigned char *)file->data;
    const size_t floats = 3 * (size_t)side * (size_t)side;
    const bool two = file->len > 12 && b[6] == 2;
    const size_t fixed = two ? 12 : 10;
    char header[1024] = "", shape[64];
    size_t len = file->len < 12 ? SIZE_MAX : (size_t)b[8] | (size_t)b[9] << 8;
    if (two)
        len |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (len >= sizeof header || fixed + len > file->len)
        return rad_fail(err, RAD_E_PARSE, "%s: damaged .npy header", path);
    memcpy(header, b + fixed, len);
    snprintf(shape, sizeof shape, "(3, %d, %d)", (int)side, (int)side);
    if (strstr(header, "'<f4'") == NULL || strstr(header, "'fortran_order': False") == NULL ||
        strstr(header, shape) == NULL)
        return rad_fail(err, RAD_E_RANGE,
                        "%s: expected float32 '<f4' in C order and shape %s but found %.120s", path,
                        shape, SHOW(header));
    if (file->len - fixed - len != floats * sizeof(float))
        return rad_fail(err, RAD_E_PARSE, "%s: expected %zu bytes of data but found %zu", path,
                        floats * sizeof(float), file->len - fixed - len);
    *out = malloc(floats * sizeof **out);
    if (*out == NULL)
        return rad_fail(err, RAD_E_NOMEM, "image: out of memory");
    memcpy(*out, b + fixed + len, floats * sizeof **out);
    return RAD_OK;
}

enum rad_status rad_image_open(float **out, const char *path, const char *folder, int32_t side,
                               struct rad_err *err)
{
    char *data = NULL;
    struct rad_text file = {0};
    *out = NULL;
    RAD_TRY(rad_ckpt_read(path, FILE_MAX, &data, &file.len, err));
    file.data = data;
    const bool npy = file.len >= 6 && memcmp(data, "\x93NUMPY", 6) == 0;
    const enum rad_status status = npy ? open_npy(out, &file, path, side, err)
                                       : open_picture(out, &file, path, folder, side, err);
    free(data);
    return status;
}
