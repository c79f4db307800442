/* tokenizer.c - which tokenizer a folder has, and what is the same for all. */
#include "checkpoint/tokenizer.h"

#include "checkpoint/config.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, TEXT_MAX = 64 << 20, VOCAB_MAX = 1 << 24 };

/* The first whose files a folder has is read. */
static const struct rad_tokenizer_source *const sources[] = {
    &rad_tokenizer_source_spm,
    &rad_tokenizer_source_json,
    &rad_tokenizer_source_bpe,
};
enum { N_SOURCE = sizeof sources / sizeof sources[0] };

static enum rad_status new_tokenizer(rad_tokenizer **out, int32_t vocab, struct rad_err *err)
{
    *out = NULL;
    if (vocab < 1 || vocab > VOCAB_MAX)
        return rad_fail(err, RAD_E_ARG, "expected a vocabulary of 1..%d but found %" PRId32,
                        VOCAB_MAX, vocab);
    rad_tokenizer *tok = calloc(1, sizeof *tok);
    if (tok == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate a tokenizer");
    tok->type = &rad_tokenizer_type_bytes;
    tok->vocab = vocab;
    tok->bos = tok->eos = -1;
    *out = tok;
    return RAD_OK;
}

enum rad_status rad_tokenizer_room(rad_tokenizer *tok, int32_t n, size_t bytes, struct rad_err *err)
{
    tok->n_piece = n;
    tok->surface = malloc(bytes + 1);
    tok->surface_at = calloc((size_t)n + 1, sizeof tok->surface_at[0]);
    tok->flags = calloc((size_t)n + 1, 1);
    if (tok->surface == NULL || tok->surface_at == NULL || tok->flags == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate %" PRId32 " pieces", n);
    return RAD_OK;
}

/* tok was filled with this result: keep it, or close it. */
static enum rad_status finish(rad_tokenizer **tok, enum rad_status status)
{
    if (status == RAD_OK)
        return RAD_OK;
    rad_tokenizer_close(*tok);
    *tok = NULL;
    return status;
}

static enum rad_status read_files(rad_tokenizer *tok, const struct rad_tokenizer_source *source,
                                  struct rad_tokenizer_file *file, struct rad_err *err)
{
    RAD_TRY(source->read(tok, file, err));
    if (tok->n_piece <= tok->vocab)
        return RAD_OK;
    return rad_fail(err, RAD_E_RANGE,
                    "%s: expected at most the model's vocabulary of %" PRId32
                    " pieces but found %" PRId32,
                    file->path, tok->vocab, tok->n_piece);
}

enum rad_status rad_tokenizer_read(rad_tokenizer **out, const struct rad_tokenizer_source *source,
                                   struct rad_tokenizer_file *file, int32_t vocab,
                                   struct rad_err *err)
{
    enum rad_status status = new_tokenizer(out, vocab, err);
    if (status == RAD_OK)
        status = finish(out, read_files(*out, source, file, err));
    for (int i = 0; i < RAD_TOKENIZER_FILES && source->file[i] != NULL; i++)
        free(file[i].data);
    return status;
}

enum rad_status rad_tokenizer_fill_bytes(rad_tokenizer *tok, struct rad_err *err)
{
    RAD_TRY(rad_tokenizer_room(tok, 256, 256, err));
    for (int i = 0; i < 256; i++) {
        tok->surface[i] = (char)(unsigned char)i;
        tok->surface_at[i + 1] = (uint32_t)i + 1;
        tok->flags[i] = RAD_TOKEN_BYTE;
    }
    return RAD_OK;
}

enum rad_status rad_tokenizer_open_bytes(rad_tokenizer **out, struct rad_err *err)
{
    RAD_TRY(new_tokenizer(out, 256, err));
    return finish(out, rad_tokenizer_fill_bytes(*out, err));
}

/* ---- the folder of a model ------------------------------------------------------------- */

static bool has_files(const struct rad_tokenizer_source *source, const char *folder)
{
    for (int i = 0; i < source->n_needed; i++)
        if (!rad_ckpt_has(folder, source->file[i]))
            return false;
    return true;
}

static enum rad_status open_files(rad_tokenizer **out, const struct rad_tokenizer_source *source,
                                  const char *folder, int32_t vocab, struct rad_err *err)
{
    char path[RAD_TOKENIZER_FILES][RAD_PATH_MAX];
    struct rad_tokenizer_file file[RAD_TOKENIZER_FILES] = {{.data = NULL}};
    enum rad_status status = RAD_OK;
    for (int i = 0; i < RAD_TOKENIZER_FILES && source->file[i] != NULL && status == RAD_OK; i++) {
        file[i].path = path[i];
        status = rad_ckpt_path(path[i], folder, source->file[i], err);
        if (status == RAD_OK && rad_ckpt_has(folder, source->file[i]))
            status = rad_ckpt_read(path[i], FILE_MAX, &file[i].data, &file[i].len, err);
    }
    if (status == RAD_OK)
        return rad_tokenizer_read(out, source, file, vocab, err);
    for (int i = 0; i < RAD_TOKENIZER_FILES; i++)
        free(file[i].data);
    return status;
}

/* Does config.json ask for bytes? A folder without one does not. */
static enum rad_status asks_for_bytes(const char *folder, bool *out, struct rad_err *err)
{
    struct rad_config_file file;
    *out = false;
    if (!rad_ckpt_has(folder, "config.json"))
        return RAD_OK;
    RAD_TRY(rad_config_read(&file, folder, err));
    const enum rad_status status = rad_config_byte_tokens(file.root, out, err);
    json_decref(file.root);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", file.path);
}

static enum rad_status open_bytes(rad_tokenizer **out, const char *folder, int32_t vocab,
                                  struct rad_err *err)
{
    if (vocab != 256)
        return rad_fail(err, RAD_E_RANGE,
                        "%s: expected a vocabulary of 256 for byte tokens but found %" PRId32,
                        folder, vocab);
    return rad_tokenizer_open_bytes(out, err);
}

/* A folder without a tokenizer. A byte vocabulary is not assumed beside files of another one. */
static enum rad_status open_none(rad_tokenizer **out, const char *folder, int32_t vocab,
                                 struct rad_err *err)
{
    static const char *const others[] = {"vocab.json", "merges.txt", "vocab.txt"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (rad_ckpt_has(folder, others[i]))
            return rad_fail(err, RAD_E_UNSUPPORTED,
                            "%s: expected tokenizer.model, tokenizer.json, or vocab.json with "
                            "merges.txt but found only %s",
                            folder, others[i]);
    if (vocab == 256)
        return rad_tokenizer_open_bytes(out, err);
    RAD_TRY(new_tokenizer(out, vocab, err));
    return finish(out, rad_tokenizer_fill_none(*out, folder,
                                               "expected tokenizer.model, tokenizer.json, or "
                                               "vocab.json with merges.txt but found no tokenizer",
                                               err));
}

enum rad_status rad_tokenizer_open(rad_tokenizer **out, const char *model, int32_t vocab,
                                   struct rad_err *err)
{
    struct rad_tokenizer_file inside = {.path = model};
    bool bytes = false;
    *out = NULL;
    if (rad_ckpt_is_gguf(model))
        return rad_tokenizer_read(out, &rad_tokenizer_source_gguf, &inside, vocab, err);
    RAD_TRY(asks_for_bytes(model, &bytes, err));
    if (bytes)
        return open_bytes(out, model, vocab, err);
    for (int i = 0; i < N_SOURCE; i++)
        if (has_files(sources[i], model))
            return open_files(out, sources[i], model, vocab, err);
    return open_none(out, model, vocab, err);
}

void rad_tokenizer_close(rad_tokenizer *tok)
{
    if (tok == NULL)
        return;
    if (tok->type->free != NULL)
        tok->type->free(tok->state);
    free(tok->surface);
    free(tok->surface_at);
    free(tok->flags);
    free(tok);
}

const char *rad_tokenizer_kind(const rad_tokenizer *tok)
{
    return tok->type->kind;
}

int32_t rad_tokenizer_vocab(const rad_tokenizer *tok)
{
    return tok->vocab;
}

int32_t rad_tokenizer_bos(const rad_tokenizer *tok)
{
    return tok->bos;
}

int32_t rad_tokenizer_eos(const rad_tokenizer *tok)
{
    return tok->eos;
}

/* ---- ids ------------------------------------------------------------------------------- */

enum rad_status rad_ids_add(struct rad_ids *ids, int32_t id, struct rad_err *err)
{
    enum { FIRST = 64 };
    /* Full at FIRST and at every power of two above it. */
    const bool full = ids->n == 0 || (ids->n >= FIRST && (ids->n & (ids->n - 1)) == 0);
    if (full) {
        const size_t room = ids->n < FIRST ? FIRST : 2 * ids->n;
        int32_t *grown = realloc(ids->id, room * sizeof *grown);
        if (grown == NULL)
            return rad_fail(err, RAD_E_NOMEM, "cannot allocate %zu token ids", room);
        ids->id = grown;
    }
    ids->id[ids->n++] = id;
    return RAD_OK;
}

void rad_ids_free(struct rad_ids *ids)
{
    free(ids->id);
    *ids = (struct rad_ids){0};
}

enum rad_status rad_tokenizer_encode(const rad_tokenizer *tok, const struct rad_text *text,
                                     struct rad_ids *out, struct rad_err *err)
{
    *out = (struct rad_ids){0};
    if (text->len > TEXT_MAX)
        return rad_fail(err, RAD_E_RANGE, "expected a text of at most %d bytes but found %zu",
                        TEXT_MAX, text->len);
    enum rad_status status = RAD_OK;
    if (text->bos && tok->bos >= 0)
        status = rad_ids_add(out, tok->bos, err);
    if (status == RAD_OK)
        status = tok->type->encode(tok, text, out, err);
    if (status != RAD_OK)
        rad_ids_free(out);
    return status;
}

/* ---- text ------------------------------------------------------------------------------ */

const char *rad_tokenizer_token(const rad_tokenizer *tok, int32_t id, size_t *len)
{
    *len = 0;
    if (id < 0 || id >= tok->n_piece)
        return "";
    *len = tok->surface_at[id + 1] - tok->surface_at[id];
    return tok->surface + tok->surface_at[id];
}

enum rad_status rad_tokenizer_decode(const rad_tokenizer *tok, const int32_t *id, size_t n,
                                     struct rad_buf *out, struct rad_err *err)
{
    const size_t begin = out->len;
    bool strip = tok->strip_one || tok->strip_all;
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        if (id[i] < 0 || id[i] >= tok->vocab)
            return rad_fail(err, RAD_E_RANGE,
                            "token %zu: expected an id in 0..%" PRId32 " but found %" PRId32, i,
                            tok->vocab - 1, id[i]);
        const char *text = rad_tokenizer_token(tok, id[i], &len);
        const bool blank = strip && len > 0 && (tok->flags[id[i]] & RAD_TOKEN_BLANK) != 0;
        rad_buf_append(out, text + blank, len - blank);
        if ((blank && !tok->strip_all) || out->len > begin)
            strip = false;
    }
    if (out->failed)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate the text of %zu tokens", n);
    return RAD_OK;
}

/* ---- word marks ------------------------------------------------------------------------ */

bool rad_word_mark_at(const char *text, const char *end)
{
    return end - text >= RAD_WORD_MARK_LEN && memcmp(text, RAD_WORD_MARK, RAD_WORD_MARK_LEN) == 0;
}

const char *rad_word_end(const char *text, const char *end)
{
    bool other = false;
    while (text < end) {
        const bool mark = rad_word_mark_at(text, end);
        if (mark && other)
            return text;
        other = other || !mark;
        text += mark ? RAD_WORD_MARK_LEN : 1;
    }
    return end;
}

bool rad_word_mark_inside(const char *text, size_t len)
{
    return rad_word_end(text, text + len) != text + len;
}

/* ---- no vocabulary --------------------------------------------------------------------- */

enum rad_status rad_tokenizer_fill_none(rad_tokenizer *tok, const char *path, const char *why,
                                        struct rad_err *err)
{
    const size_t room = strlen(path) + strlen(why) + sizeof ": ";
    tok->type = &rad_tokenizer_type_none;
    tok->state = malloc(room);
    if (tok->state == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate a tokenizer");
    snprintf(tok->state, room, "%s: %s", path, why);
    return RAD_OK;
}

static enum rad_status encode_none(const rad_tokenizer *tok, const struct rad_text *text,
                                   struct rad_ids *out, struct rad_err *err)
{
    (void)text;
    (void)out;
    return rad_fail(err, RAD_E_UNSUPPORTED,
                    "%s; without one a model takes token ids only (eval --tokens)",
                    (const char *)tok->state);
}

const struct rad_tokenizer_type rad_tokenizer_type_none = {
    .kind = "none",
    .encode = encode_none,
    .free = free,
};

/* ---- byte vocabulary ------------------------------------------------------------------- */

static enum rad_status encode_bytes(const rad_tokenizer *tok, const struct rad_text *text,
                                    struct rad_ids *out, struct rad_err *err)
{
    (void)tok;
    for (size_t i = 0; i < text->len; i++)
        RAD_TRY(rad_ids_add(out, (unsigned char)text->data[i], err));
    return RAD_OK;
}

const struct rad_tokenizer_type rad_tokenizer_type_bytes = {
    .kind = "bytes",
    .encode = encode_bytes,
};

int rad_byte_piece(const char *text, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const char *high = memchr(hex, text[3], 16), *low = memchr(hex, text[4], 16);
    return high != NULL && low != NULL ? (int)(16 * (high - hex) + (low - hex)) : -1;
}
