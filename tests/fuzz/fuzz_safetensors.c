/* fuzz_safetensors.c - any bytes as a safetensors file: refused, or every tensor can be read.
 *
 * An input is tried as it is, and once more as a header and its data: its first two bytes choose
 * how many of the others are header, so that mutations need not keep a length right. */
#include "checkpoint/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What an accepted file promises. */
static void check(const struct rad_st *st, const struct rad_st_source *src)
{
    size_t bytes = 0;
    for (size_t i = 0; i < st->n; i++) {
        const struct rad_tensor *t = &st->tensor[i];
        const unsigned char *begin = t->data;
        bytes += t->bytes;
        if (begin < src->data || t->bytes > (size_t)(src->data + src->len - begin))
            abort();
        if (i > 0 && strcmp(st->tensor[i - 1].name, t->name) >= 0)
            abort();
        if (t->dtype == RAD_N_DTYPE)
            continue;
        float *x = malloc((size_t)t->n * sizeof *x + 1);
        if (x == NULL || rad_tensor_to_f32(x, t, NULL) != RAD_OK)
            abort();
        free(x);
    }
    if (bytes > src->len)
        abort();
}

static void try_file(const uint8_t *data, size_t size)
{
    /* A copy of its own size, so that a read past the end is seen. */
    unsigned char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return;
    memcpy(copy, data, size);
    const struct rad_st_source src = {copy, size, "fuzz"};
    struct rad_st st;
    struct rad_err err = {.msg = ""};
    if (rad_st_parse(&st, &src, &err) == RAD_OK)
        check(&st, &src);
    else if (st.tensor != NULL || st.root != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n'))
        abort();
    rad_st_free(&st);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t none[1];
    try_file(size > 0 ? data : none, size);
    if (size < 2)
        return 0;
    const size_t rest = size - 2, header = (data[0] | (size_t)data[1] << 8) % (rest + 1);
    uint8_t *file = calloc(1, 8 + rest);
    if (file == NULL)
        return 0;
    file[0] = (uint8_t)(header & 0xff);
    file[1] = (uint8_t)(header >> 8);
    memcpy(file + 8, data + 2, rest);
    try_file(file, 8 + rest);
    free(file);
    return 0;
}
