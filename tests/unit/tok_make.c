/* tok_make.c - tokenizers made of texts in memory. */
#include "tok_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rad_status made_tokenizer(rad_tokenizer **out, const struct rad_tokenizer_source *source,
                               const char *const text[RAD_TOKENIZER_FILES], int32_t vocab,
                               struct rad_err *err)
{
    static const char *const names[RAD_TOKENIZER_FILES] = {"file0", "file1", "file2", "file3"};
    struct rad_tokenizer_file file[RAD_TOKENIZER_FILES] = {{.data = NULL}};
    for (int i = 0; i < RAD_TOKENIZER_FILES; i++) {
        file[i].path = names[i];
        if (text[i] == NULL)
            continue;
        file[i].len = strlen(text[i]);
        file[i].data = malloc(file[i].len + 1);
        if (file[i].data == NULL)
            abort();
        memcpy(file[i].data, text[i], file[i].len + 1);
    }
    return rad_tokenizer_read(out, source, file, vocab, err);
}

static void put(struct rad_buf *b, const char *key, const char *value, const char *def)
{
    value = value != NULL ? value : def;
    if (strcmp(value, "-") != 0)
        rad_buf_printf(b, "%s\"%s\": %s", b->len > 1 ? ", " : "", key, value);
}

enum rad_status made_json_tokenizer(rad_tokenizer **out, const struct made_json *parts,
                                    struct rad_err *err)
{
    struct rad_buf b = {0};
    rad_buf_add(&b, "{");
    put(&b, "added_tokens", parts->added, "[]");
    put(&b, "normalizer", parts->normalizer, "null");
    put(&b, "pre_tokenizer", parts->pre, "null");
    put(&b, "post_processor", parts->post, "null");
    put(&b, "decoder", parts->decoder, "null");
    put(&b, "model", parts->model,
        "{\"type\": \"BPE\", \"unk_token\": \"<unk>\", "
        "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"<unk>\": 3, \"abab\": 4, \" \": 5}, "
        "\"merges\": [\"a b\", \"ab ab\"]}");
    rad_buf_add(&b, "}");
    const char *const text[RAD_TOKENIZER_FILES] = {b.data, parts->config};
    const enum rad_status status = made_tokenizer(out, &rad_tokenizer_source_json, text, 1000, err);
    rad_buf_free(&b);
    return status;
}

bool made_encodes(const rad_tokenizer *tok, const char *text, const char *ids)
{
    struct rad_ids got;
    struct rad_err err = {.msg = ""};
    struct rad_buf b = {0};
    const struct rad_text t = {text, strlen(text), false};
    rad_buf_add(&b, "");
    if (rad_tokenizer_encode(tok, &t, &got, &err) != RAD_OK)
        rad_buf_add(&b, err.msg);
    for (size_t i = 0; i < got.n; i++)
        rad_buf_printf(&b, "%s%d", i > 0 ? " " : "", (int)got.id[i]);
    const bool same = strcmp(b.data, ids) == 0;
    if (!same)
        fprintf(stderr, "\n'%s': expected '%s' but found '%s'\n", text, ids, b.data);
    rad_ids_free(&got);
    rad_buf_free(&b);
    return same;
}

/* ---- any bytes ------------------------------------------------------------------------- */

enum { FUZZ_VOCAB = 4096 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* A copy of its own size, so that a read past the end is seen; NUL-terminated as files are. */
static char *copy_of(const uint8_t *data, size_t size)
{
    char *out = malloc(size + 1);
    must(out != NULL);
    if (size > 0)
        memcpy(out, data, size);
    out[size] = '\0';
    return out;
}

static void try_text(const rad_tokenizer *tok, const char *text, size_t len)
{
    struct rad_ids ids;
    struct rad_buf out = {0};
    struct rad_err err = {.msg = ""};
    const struct rad_text t = {text, len, true};
    if (rad_tokenizer_encode(tok, &t, &ids, &err) != RAD_OK) {
        /* A text that the vocabulary cannot write, or a pattern that takes too long. */
        must(err.status == RAD_E_RANGE && strchr(err.msg, '\n') == NULL && ids.id == NULL);
        return;
    }
    for (size_t i = 0; i < ids.n; i++)
        must(ids.id[i] >= 0 && ids.id[i] < FUZZ_VOCAB);
    must(rad_tokenizer_decode(tok, ids.id, ids.n, &out, NULL) == RAD_OK);
    rad_buf_free(&out);
    rad_ids_free(&ids);
}

void made_fuzz(const struct rad_tokenizer_source *source, const uint8_t *data, size_t size)
{
    struct rad_tokenizer_file file[RAD_TOKENIZER_FILES] = {{.path = "fuzz"}};
    struct rad_err err = {.msg = ""};
    rad_tokenizer *tok = NULL;
    if (size == 0)
        return;
    const size_t len = data[0] < size - 1 ? data[0] : size - 1;
    char *text = copy_of(data + 1, len);
    const uint8_t *at = data + 1 + len, *end = data + size;
    for (int i = 0; i < RAD_TOKENIZER_FILES && (i == 0 || source->file[i] != NULL); i++) {
        const uint8_t *stop =
            source->n_needed > 1 && at < end ? memchr(at, 0x1e, (size_t)(end - at)) : NULL;
        stop = stop != NULL ? stop : end;
        file[i] = (struct rad_tokenizer_file){NULL, (size_t)(stop - at), "fuzz"};
        if (i < source->n_needed || i == 0 || at < end)
            file[i].data = copy_of(at, file[i].len);
        at = stop < end ? stop + 1 : end;
    }
    char *kept = source->file[0] == NULL ? file[0].data : NULL; /* the reader leaves it to us */
    if (rad_tokenizer_read(&tok, source, file, FUZZ_VOCAB, &err) == RAD_OK)
        try_text(tok, text, len);
    else
        must(tok == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    rad_tokenizer_close(tok);
    free(kept);
    free(text);
}
