/* fuzz_tokenizer.c - any bytes as a tokenizer.model and as a text: refused, or the text is encoded
 * to ids in range, which decode. The first byte says how many of the next are the text. */
#include "checkpoint/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 4096 };

static void try_text(const rad_tokenizer *tok, const char *text, size_t len)
{
    struct rad_ids ids;
    struct rad_buf out = {0};
    if (rad_tokenizer_encode(tok, &(struct rad_text){text, len, true}, &ids, NULL) != RAD_OK)
        abort();
    for (size_t i = 0; i < ids.n; i++)
        if (ids.id[i] < 0 || ids.id[i] >= VOCAB)
            abort();
    if (rad_tokenizer_decode(tok, ids.id, ids.n, &out, NULL) != RAD_OK)
        abort();
    rad_buf_free(&out);
    rad_ids_free(&ids);
}

/* malloc'ed copy of its own size, so that a read past the end is seen. */
static char *copy(const uint8_t *data, size_t size)
{
    char *out = malloc(size > 0 ? size : 1);
    if (out != NULL && size > 0)
        memcpy(out, data, size);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const size_t len = data[0] < size - 1 ? data[0] : size - 1;
    const struct rad_tokenizer_file file = {copy(data + 1 + len, size - 1 - len), size - 1 - len,
                                            "fuzz"};
    char *text = copy(data + 1, len);
    struct rad_err err = {.msg = ""};
    rad_tokenizer *tok = NULL;
    if (file.data == NULL || text == NULL)
        abort();
    if (rad_tokenizer_parse(&tok, &rad_tokenizer_type_spm, &file, VOCAB, &err) == RAD_OK)
        try_text(tok, text, len);
    else if (tok != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n'))
        abort();
    rad_tokenizer_close(tok);
    free(text);
    return 0;
}
