/* fuzz_hw.c - any bytes as a hardware profile: refused with one line, or every value is in range.
 */
#include "hw/hw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(const rad_hw *hw, const char *text, size_t size)
{
    if (strlen(rad_hw_text(hw)) > size ||
        memcmp(rad_hw_text(hw), text, strlen(rad_hw_text(hw))) != 0)
        abort();
    if (rad_hw_name(hw) == NULL || rad_hw_about(hw) == NULL || strlen(rad_hw_hash(hw)) != 16)
        abort();
    if (!(rad_hw_memory_bytes(hw) >= 0) || !(rad_hw_layer_overhead_s(hw) >= 0) ||
        !(rad_hw_step_overhead_s(hw) >= 0) || !(rad_hw_static_w(hw) >= 0) ||
        isinf(rad_hw_tdp_w(hw)))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct rad_err err = {.msg = ""};
    rad_hw *hw = NULL;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (rad_hw_parse(&hw, text, size, "fuzz", &err) == RAD_OK)
        check(hw, text, size);
    else if (hw != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n') != NULL)
        abort();
    rad_hw_close(hw);
    free(text);
    return 0;
}
