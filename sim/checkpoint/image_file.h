/* image_file.h - private to checkpoint: pictures as 8-bit RGB. */
#ifndef RAD_CHECKPOINT_IMAGE_FILE_H
#define RAD_CHECKPOINT_IMAGE_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct rad_picture {
    int32_t width, height;
    unsigned char *rgb; /* [height][width][3], malloc'ed */
};

/* Decode a PNG or JPEG; name is for messages. Nothing is printed. */
RAD_MUST_CHECK enum rad_status rad_picture_read(struct rad_picture *out, const void *data,
                                                size_t len, const char *name, struct rad_err *err);

/* Filters by the numbers of Pillow. */
enum { RAD_FILTER_BILINEAR = 2, RAD_FILTER_BICUBIC = 3 };

/* Replace p by a picture of side x side. */
RAD_MUST_CHECK enum rad_status rad_picture_resize(struct rad_picture *p, int32_t side, int filter,
                                                  struct rad_err *err);

#endif
