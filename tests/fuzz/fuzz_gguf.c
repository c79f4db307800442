/* fuzz_gguf.c - any bytes as a GGUF file: refused, or every key, tensor and configuration of it can
 * be read.
 *
 * An input is tried as it is, and once more behind a good beginning: its first two bytes are the
 * numbers of tensors and metadata pairs, so that mutations need not keep those right. */
#include "checkpoint/config.h"
#include "checkpoint/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum; /* of what is read, so that no read is optimised away */

static void read_value(const struct rad_gguf_value *v)
{
    const unsigned char *at = v->at;
    for (size_t i = 0; i < v->n && v->item != RAD_GGUF_ARRAY; i++) {
        if (v->item == RAD_GGUF_STRING) {
            const struct rad_gguf_text text = rad_gguf_next(&at);
            for (size_t j = 0; j < text.len; j++)
                sum += (unsigned char)text.data[j];
        } else if (v->item == RAD_GGUF_F32 || v->item == RAD_GGUF_F64) {
            sum += rad_gguf_real_at(v, i) > 0.0;
        } else {
            sum += (uint64_t)rad_gguf_int_at(v, i);
        }
    }
}

static void check_tensor(const struct rad_gguf *g, size_t i, const uint8_t *file, size_t size)
{
    const struct rad_tensor *t = &g->tensor[i];
    const uint8_t *begin = t->data;
    if (begin < file || t->bytes > (size_t)(file + size - begin) || t->bytes == 0)
        abort();
    if (i > 0 && strcmp(g->tensor[i - 1].name, t->name) >= 0)
        abort();
    if (t->dtype == RAD_N_DTYPE && t->block == RAD_BLOCK_NONE)
        return;
    float *x = malloc((size_t)t->n * sizeof *x);
    if (x == NULL || rad_tensor_to_f32(x, t, NULL) != RAD_OK)
        abort();
    free(x);
}

static void check_config(const struct rad_gguf *g)
{
    struct rad_model_config c = {.card = {.name = "fuzz"}};
    struct rad_err err = {.msg = ""};
    struct rad_gguf one = *g;
    const struct rad_gguf_parts parts = {&one, 1, one.tensor, one.n_tensor, NULL};
    if (rad_gguf_config_fill(&c, &parts, &err) != RAD_OK) {
        if (err.msg[0] == '\0' || strchr(err.msg, '\n'))
            abort();
        return;
    }
    if (rad_card_check(&c.card, NULL) != RAD_OK || rad_model_layout(&c) == NULL ||
        c.bos >= c.card.vocab || c.eos >= c.card.vocab)
        abort();
}

static void try_file(const uint8_t *data, size_t size)
{
    /* A copy of its own size, so that a read past the end is seen. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    struct rad_gguf g;
    struct rad_err err = {.msg = ""};
    if (copy == NULL)
        return;
    if (size > 0)
        memcpy(copy, data, size);
    if (rad_gguf_parse(&g, copy, size, "fuzz", &err) == RAD_OK) {
        for (size_t i = 0; i < g.n_value; i++)
            read_value(&g.value[i]);
        for (size_t i = 0; i < g.n_tensor; i++)
            check_tensor(&g, i, copy, size);
        check_config(&g);
    } else if (g.value != NULL || g.tensor != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n')) {
        abort();
    }
    rad_gguf_close(&g);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t begin[24] = {'G', 'G', 'U', 'F', 3};
    try_file(data, size);
    if (size < 2)
        return 0;
    uint8_t *file = malloc(sizeof begin + size - 2);
    if (file == NULL)
        return 0;
    memcpy(file, begin, sizeof begin);
    file[8] = data[0];
    file[16] = data[1];
    memcpy(file + sizeof begin, data + 2, size - 2);
    try_file(file, sizeof begin + size - 2);
    free(file);
    return 0;
}
