/* fuzz_image.c - any bytes as a picture: refused with one line, or pixels that can be resized. The
 * first byte is the size to make of it. */
#include "checkpoint/image_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rad_err err = {.msg = ""};
    struct rad_picture p;
    if (size == 0)
        return 0;
    unsigned char *copy = malloc(size); /* of its own size: a read past the end is seen */
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    const enum rad_status status = rad_picture_read(&p, copy + 1, size - 1, "fuzz", &err);
    if (status == RAD_OK && p.width <= 512 && p.height <= 512) {
        const int filter = data[0] & 1 ? RAD_FILTER_BILINEAR : RAD_FILTER_BICUBIC;
        if (rad_picture_resize(&p, 1 + data[0] / 2, filter, &err) != RAD_OK)
            abort();
    } else if (status != RAD_OK && (p.rgb != NULL || err.msg[0] == '\0')) {
        abort();
    }
    free(p.rgb);
    free(copy);
    return 0;
}
