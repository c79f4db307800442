/* cmd_hw_kit.c - `radial hw kit`: the script that measures a GPU somewhere else. */
#include "cli/cmd_hw.h"

#include <string.h>

static enum rad_status copy_kit(const char *to, size_t *len, struct rad_err *err)
{
    char path[RAD_PATH_MAX], *text = NULL;
    RAD_TRY(rad_data_find(path, sizeof path, "hwprofiles", "kit", ".py", err));
    RAD_TRY(rad_file_read(path, RAD_YAML_MAX_BYTES, &text, len, err));
    const enum rad_status status = rad_cli_write(to, text, *len, err);
    free(text);
    return status;
}

int hw_kit(const void *options)
{
    const struct hw_options *o = options;
    struct rad_err err;
    size_t len = 0;
    rad_out *out;
    if (copy_kit(o->out_path, &len, &err) != RAD_OK)
        return rad_cli_fail("hw kit", &err);
    (void)rad_out_open(&out, o->sub.common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "out", o->out_path);
    rad_out_int(out, "bytes", (int64_t)len);
    rad_out_text(out, "next", "python3 it --hardware NAME -o measured.csv, where PyTorch is");
    rad_out_end_row(out);
    return rad_cli_close(out, "hw kit", true);
}
