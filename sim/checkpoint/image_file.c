/* image_file.c - PNG by libpng, JPEG by libjpeg. Both report damage by longjmp: what must survive
 * it lies in a struct of the caller, and each decoder is a function of its own. */
#include "checkpoint/image_file.h"

#include <stdio.h> /* jpeglib.h needs it first */

#include <jpeglib.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 16384, MAX_PIXELS = 1 << 26 };

struct decoder {
    const unsigned char *data;
    size_t len, at;
    const char *name;
    struct rad_picture *out;
    struct rad_err *err;
    enum rad_status status;
    jmp_buf back; /* of libjpeg */
};

static enum rad_status make_room(struct decoder *d, uint64_t width, uint64_t height)
{
    if (width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE ||
        width * height > MAX_PIXELS)
        return rad_fail(d->err, RAD_E_RANGE,
                        "%s: expected 1..%d pixels a side and at most %d but found %llu x %llu",
                        d->name, MAX_SIDE, MAX_PIXELS, (unsigned long long)width,
                        (unsigned long long)height);
    d->out->width = (int32_t)width;
    d->out->height = (int32_t)height;
    d->out->rgb = calloc((size_t)(width * height), 3);
    if (d->out->rgb == NULL)
        return rad_fail(d->err, RAD_E_NOMEM, "%s: out of memory", d->name);
    return RAD_OK;
}

static unsigned char *row_of(const struct decoder *d, uint32_t y)
{
    return d->out->rgb + 3 * (size_t)d->out->width * y;
}

/* ---- PNG ----------------------------------------------------------------------------------- */

static void png_take(png_structp png, png_bytep to, size_t n)
{
    struct decoder *d = png_get_io_ptr(png);
    if (n > d->len - d->at)
        png_error(png, "the file ends early");
    memcpy(to, d->data + d->at, n);
    d->at += n;
}

static void png_failed(png_structp png, png_const_charp message)
{
    struct decoder *d = png_get_error_ptr(png);
    d->status = rad_fail(d->err, RAD_E_PARSE, "%s: damaged PNG: %.80s", d->name, message);
    png_longjmp(png, 1);
}

static void png_quiet(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void png_rows(png_structp png, png_infop info, struct decoder *d)
{
    png_set_read_fn(png, d, png_take);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_read_info(png, info);
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const uint32_t width = png_get_image_width(png, info);
    const uint32_t height = png_get_image_height(png, info);
    d->status = make_room(d, width, height);
    if (d->status != RAD_OK)
        return;
    if (png_get_rowbytes(png, info) != 3 * (size_t)width)
        png_error(png, "not RGB after expansion");
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < height; y++)
            png_read_row(png, row_of(d, y), NULL);
}

static void read_png(struct decoder *d)
{
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, png_failed, png_quiet);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_read_struct(png != NULL ? &png : NULL, NULL, NULL);
        d->status = rad_fail(d->err, RAD_E_NOMEM, "%s: out of memory", d->name);
        return;
    }
    if (setjmp(png_jmpbuf(png)) == 0)
        png_rows(png, info, d);
    png_destroy_read_struct(&png, &info, NULL);
}

/* ---- JPEG ---------------------------------------------------------------------------------- */

static void jpeg_failed(j_common_ptr jpeg)
{
    struct decoder *d = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    d->status = rad_fail(d->err, RAD_E_PARSE, "%s: damaged JPEG: %.80s", d->name, text);
    longjmp(d->back, 1);
}

static void jpeg_message(j_common_ptr jpeg, int level)
{
    if (level < 0) /* a warning: the data is corrupt */
        jpeg_failed(jpeg);
}

static void jpeg_rows(struct jpeg_decompress_struct *jpeg, struct decoder *d)
{
    jpeg_mem_src(jpeg, d->data, (unsigned long)d->len);
    (void)jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components != 1 && jpeg->num_components != 3) {
        d->status = rad_fail(d->err, RAD_E_UNSUPPORTED,
                             "%s: expected a grey or RGB JPEG but found %d components", d->name,
                             jpeg->num_components);
        return;
    }
    d->status = make_room(d, jpeg->image_width, jpeg->image_height);
    if (d->status != RAD_OK)
        return;
    jpeg->out_color_space = JCS_RGB;
    (void)jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = row_of(d, jpeg->output_scanline);
        (void)jpeg_read_scanlines(jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(jpeg);
}

static void read_jpeg(struct decoder *d)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr manager;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&manager);
    jpeg.client_data = d;
    manager.error_exit = jpeg_failed;
    manager.emit_message = jpeg_message;
    if (setjmp(d->back) == 0) {
        jpeg_create_decompress(&jpeg);
        jpeg_rows(&jpeg, d);
    }
    jpeg_destroy_decompress(&jpeg);
}

/* -------------------------------------------------------------------------------------------- */

enum rad_status rad_picture_read(struct rad_picture *out, const void *data, size_t len,
                                 const char *name, struct rad_err *err)
{
    static const unsigned char png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xff, 0xd8, 0xff};
    struct decoder d = {.data = data, .len = len, .name = name, .out = out, .err = err};
    *out = (struct rad_picture){0};
    if (len >= sizeof png && memcmp(data, png, sizeof png) == 0)
        read_png(&d);
    else if (len >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
        read_jpeg(&d);
    else
        d.status = rad_fail(err, RAD_E_PARSE, "%s: expected a PNG, JPEG or .npy file", name);
    if (d.status != RAD_OK) {
        free(out->rgb);
        *out = (struct rad_picture){0};
    }
    return d.status;
}
