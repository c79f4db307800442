/* gguf_vocab.c - the vocabulary inside a GGUF file, as a tokenizer of the kind that it came from.
 *
 * Keys, below "tokenizer.ggml.": model ("gpt2": bytes with merges, "llama": sentencepiece), tokens,
 * token_type, merges or scores, pre (which regular expressions cut words), and ids and switches of
 * special tokens. Source: docs/gguf.md of the ggml project; the names of `pre`, and what each
 * means, are those of llama.cpp. */
#include "checkpoint/bpe.h"
#include "checkpoint/gguf.h"
#include "checkpoint/spm.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
enum { PIECE_MAX = 4096, PIECES_MAX = 1 << 20 };

/* A vocabulary being read. */
struct reader {
    const struct rad_gguf *file;
    const char *path;
    const struct rad_gguf_value *tokens; /* strings */
    const struct rad_gguf_value *types;  /* integers, as many; NULL: all are normal */
    struct rad_err *err;
};

static enum rad_spm_type type_at(const struct reader *r, size_t i)
{
    const int64_t type = r->types != NULL ? rad_gguf_int_at(r->types, i) : RAD_SPM_NORMAL;
    return type >= RAD_SPM_NORMAL && type <= RAD_SPM_BYTE ? (enum rad_spm_type)type : 0;
}

/* tokens and token_type. */
static enum rad_status read_tokens(struct reader *r)
{
    RAD_TRY(rad_gguf_strings(r->file, KEY("tokens"), &r->tokens, r->err));
    if (r->tokens->n == 0 || r->tokens->n > PIECES_MAX)
        return rad_fail(r->err, RAD_E_RANGE,
                        "%s: '" KEY("tokens") "': expected 1..%d but found %zu", r->path,
                        PIECES_MAX, r->tokens->n);
    if (rad_gguf_find(r->file, KEY("token_type")) == NULL)
        return RAD_OK;
    RAD_TRY(rad_gguf_ints(r->file, KEY("token_type"), &r->types, r->err));
    if (r->types->n != r->tokens->n)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: '" KEY("token_type") "': expected %zu as of tokens but found %zu",
                        r->path, r->tokens->n, r->types->n);
    for (size_t i = 0; i < r->types->n; i++)
        if (type_at(r, i) == 0)
            return rad_fail(r->err, RAD_E_PARSE,
                            "%s: '" KEY("token_type") "': token %zu: expected %d..%d but found "
                                                      "%" PRId64,
                            r->path, i, RAD_SPM_NORMAL, RAD_SPM_BYTE, rad_gguf_int_at(r->types, i));
    return RAD_OK;
}

/* The id that key names; *out stays if there is none. */
static enum rad_status read_id(const struct reader *r, const char *key, int32_t *out)
{
    int64_t id = 0;
    if (rad_gguf_find(r->file, key) == NULL)
        return RAD_OK;
    RAD_TRY(rad_gguf_int(r->file, key, 0, (int64_t)r->tokens->n - 1, &id, r->err));
    *out = (int32_t)id;
    return RAD_OK;
}

static enum rad_status read_switch(const struct reader *r, const char *key, bool *out)
{
    return rad_gguf_find(r->file, key) != NULL ? rad_gguf_bool(r->file, key, out, r->err) : RAD_OK;
}

/* ---- bytes with merges ----------------------------------------------------------------- */

#define WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
/* digits: how many go together */
#define WORDS_AND(digits)                                                                          \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* How words are cut; every regular expression cuts what the one before left. */
static const struct pre {
    const char *name;
    const char *regex[4];
    bool nfc, ignore_merges, add_bos; /* add_bos: unless the file says otherwise */
} pres[] = {
    {"gpt-2", {WORDS}, .nfc = false},
    {"phi-2", {WORDS}, .nfc = false},
    {"mpt", {WORDS}, .nfc = false},
    {"olmo", {WORDS}, .nfc = false},
    {"llama-bpe", {WORDS_AND("\\p{N}{1,3}")}, .ignore_merges = true, .add_bos = true},
    {"llama-v3", {WORDS_AND("\\p{N}{1,3}")}, .ignore_merges = true, .add_bos = true},
    {"llama3", {WORDS_AND("\\p{N}{1,3}")}, .ignore_merges = true, .add_bos = true},
    {"qwen2", {WORDS_AND("\\p{N}")}, .nfc = true},
    {"deepseek-r1-qwen", {WORDS_AND("\\p{N}")}, .nfc = true},
    {"bloom",
     {" ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94"
      "\xd8\x8c)]+"},
     .nfc = false},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", WORDS, "\\p{N}+", "[0-9][0-9][0-9]"}, .nfc = false},
};

static enum rad_status find_pre(const struct reader *r, const struct pre **out)
{
    struct rad_gguf_text name = {"default", 7};
    char shown[RAD_SHOW_MAX];
    if (rad_gguf_find(r->file, KEY("pre")) != NULL)
        RAD_TRY(rad_gguf_string(r->file, KEY("pre"), &name, r->err));
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++)
        if (rad_gguf_text_is(name, pres[i].name)) {
            *out = &pres[i];
            return RAD_OK;
        }
    char text[2 * RAD_SHOW_MAX] = "";
    memcpy(text, name.data, name.len < sizeof text ? name.len : sizeof text - 1);
    return rad_fail(r->err, RAD_E_UNSUPPORTED, "%s: '" KEY("pre") "': '%s' is not supported",
                    r->path, rad_show(shown, text));
}

static enum rad_status take_pieces(const struct reader *r, struct rad_bpe_spec *spec)
{
    const unsigned char *at = r->tokens->at;
    spec->added = calloc(r->tokens->n, sizeof *spec->added);
    if (spec->added == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: no memory for %zu tokens", r->path, r->tokens->n);
    RAD_TRY(rad_bpe_spec_room(spec, (int64_t)r->tokens->n - 1, r->err));
    for (size_t i = 0; i < r->tokens->n; i++) {
        const struct rad_gguf_text text = rad_gguf_next(&at);
        const enum rad_spm_type type = type_at(r, i);
        spec->piece[i] = (struct rad_slice){text.data, text.len};
        const bool special = type == RAD_SPM_CONTROL || type == RAD_SPM_UNKNOWN;
        if (special || type == RAD_SPM_USER_DEFINED)
            spec->added[spec->n_added++] = (struct rad_added_token){
                .text = text.data, .len = text.len, .id = (int32_t)i, .special = special};
    }
    return RAD_OK;
}

static enum rad_status take_merges(const struct reader *r, struct rad_bpe_spec *spec)
{
    const struct rad_gguf_value *merges = NULL;
    RAD_TRY(rad_gguf_strings(r->file, KEY("merges"), &merges, r->err));
    RAD_TRY(rad_bpe_spec_merges(spec, merges->n, r->err));
    const unsigned char *at = merges->at;
    for (size_t i = 0; i < merges->n; i++) {
        const struct rad_gguf_text text = rad_gguf_next(&at);
        const enum rad_status status =
            rad_bpe_merge_of(&spec->merge[i], (struct rad_slice){text.data, text.len}, r->err);
        if (status != RAD_OK)
            return rad_fail_in(r->err, status, "%s: '" KEY("merges") "': merge %zu", r->path, i);
    }
    spec->n_merge = merges->n;
    return RAD_OK;
}

static enum rad_status take_steps(const struct reader *r, struct rad_bpe_spec *spec)
{
    const struct pre *pre = NULL;
    RAD_TRY(find_pre(r, &pre));
    spec->ignore_merges = pre->ignore_merges;
    if (pre->nfc)
        spec->steps.normal[spec->steps.n_normal++] =
            (struct rad_bpe_normal){.kind = RAD_NORMAL_FORM, .form = RAD_NFC};
    for (int i = 0; i < 4 && pre->regex[i] != NULL; i++) {
        const struct rad_slice regex = {pre->regex[i], strlen(pre->regex[i])};
        RAD_TRY(rad_bpe_add_split(&spec->steps, regex, true, r->err));
    }
    int32_t bos = -1, unk = -1;
    bool add_bos = pre->add_bos;
    RAD_TRY(read_id(r, KEY("bos_token_id"), &bos));
    RAD_TRY(read_id(r, KEY("eos_token_id"), &spec->eos));
    RAD_TRY(read_id(r, KEY("unknown_token_id"), &unk));
    RAD_TRY(read_switch(r, KEY("add_bos_token"), &add_bos));
    spec->bos = add_bos ? bos : -1;
    if (unk >= 0)
        spec->unk = spec->piece[unk];
    return RAD_OK;
}

static enum rad_status read_bpe(const struct reader *r, rad_tokenizer *tok)
{
    struct rad_bpe_spec spec = {.path = r->path, .byte_level = true, .bos = -1, .eos = -1};
    enum rad_status status = take_pieces(r, &spec);
    if (status == RAD_OK)
        status = take_merges(r, &spec);
    if (status == RAD_OK)
        status = take_steps(r, &spec);
    if (status == RAD_OK)
        status = rad_bpe_build(tok, &spec, r->err);
    rad_bpe_spec_free(&spec);
    return status;
}

/* ---- sentencepiece --------------------------------------------------------------------- */

/* Unused pieces, which fill a vocabulary up, have no text here, like control pieces. */
static enum rad_status take_spm_pieces(const struct reader *r, struct rad_spm *spm,
                                       const struct rad_gguf_value *scores)
{
    const unsigned char *at = r->tokens->at;
    char *text = spm->file;
    for (size_t i = 0; i < r->tokens->n; i++) {
        const struct rad_gguf_text token = rad_gguf_next(&at);
        const double score = rad_gguf_real_at(scores, i);
        const enum rad_spm_type type = type_at(r, i);
        if (token.len > PIECE_MAX || !isfinite(score))
            return rad_fail(r->err, RAD_E_PARSE,
                            "%s: token %zu: expected at most %d bytes and a finite score", r->path,
                            i, PIECE_MAX);
        memcpy(text, token.data, token.len);
        spm->piece[i] = (struct rad_spm_piece){
            .text = text,
            .len = (uint32_t)token.len,
            .score = (float)score,
            .type = type == RAD_SPM_UNUSED ? RAD_SPM_CONTROL : type,
        };
        spm->byte_fallback = spm->byte_fallback || type == RAD_SPM_BYTE;
        text += token.len;
    }
    spm->n = (int32_t)r->tokens->n;
    return RAD_OK;
}

static enum rad_status take_spm(const struct reader *r, struct rad_spm *spm)
{
    const struct rad_gguf_value *scores = NULL;
    RAD_TRY(rad_gguf_reals(r->file, KEY("scores"), &scores, r->err));
    if (scores->n != r->tokens->n)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: '" KEY("scores") "': expected %zu as of tokens but found %zu", r->path,
                        r->tokens->n, scores->n);
    const unsigned char *at = r->tokens->at;
    size_t bytes = 0;
    for (size_t i = 0; i < r->tokens->n; i++)
        bytes += rad_gguf_next(&at).len;
    spm->file = malloc(bytes + 1);
    spm->piece = calloc(r->tokens->n, sizeof spm->piece[0]);
    if (spm->file == NULL || spm->piece == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: no memory for %zu tokens", r->path, r->tokens->n);
    RAD_TRY(take_spm_pieces(r, spm, scores));
    spm->add_dummy_prefix = spm->escape_whitespaces = true;
    RAD_TRY(read_switch(r, KEY("add_space_prefix"), &spm->add_dummy_prefix));
    return read_switch(r, KEY("remove_extra_whitespaces"), &spm->remove_extra_whitespaces);
}

static enum rad_status read_spm(const struct reader *r, rad_tokenizer *tok)
{
    struct rad_spm *spm = calloc(1, sizeof *spm);
    bool add_bos = true;
    tok->type = &rad_tokenizer_type_spm;
    tok->state = spm; /* freed with tok */
    if (spm == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: out of memory", r->path);
    RAD_TRY(take_spm(r, spm));
    struct rad_spm_reader index = {.spm = spm, .path = r->path, .err = r->err};
    RAD_TRY(rad_spm_index(&index, tok));
    RAD_TRY(read_id(r, KEY("bos_token_id"), &tok->bos));
    RAD_TRY(read_id(r, KEY("eos_token_id"), &tok->eos));
    RAD_TRY(read_switch(r, KEY("add_bos_token"), &add_bos));
    tok->bos = add_bos ? tok->bos : -1;
    return RAD_OK;
}

/* ---- the whole ------------------------------------------------------------------------- */

static enum rad_status read_file(const struct rad_gguf *g, rad_tokenizer *tok, const char *path,
                                 struct rad_err *err)
{
    struct reader r = {.file = g, .path = path, .err = err};
    struct rad_gguf_text model;
    if (rad_gguf_find(g, KEY("model")) == NULL && tok->vocab == 256)
        return rad_tokenizer_fill_bytes(tok, err);
    RAD_TRY(rad_gguf_string(g, KEY("model"), &model, err));
    if (rad_gguf_text_is(model, "none"))
        return rad_tokenizer_fill_none(
            tok, path, "'" KEY("model") "': expected 'gpt2' or 'llama' but found 'none'", err);
    const bool bpe = rad_gguf_text_is(model, "gpt2");
    if (!bpe && !rad_gguf_text_is(model, "llama"))
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "%s: '" KEY("model") "': expected 'gpt2' or 'llama' but found another "
                                             "vocabulary",
                        path);
    RAD_TRY(read_tokens(&r));
    return bpe ? read_bpe(&r, tok) : read_spm(&r, tok);
}

static enum rad_status read_gguf(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                                 struct rad_err *err)
{
    struct rad_gguf g;
    if (file->data != NULL)
        RAD_TRY(rad_gguf_parse(&g, file->data, file->len, file->path, err));
    else
        RAD_TRY(rad_gguf_open(&g, file->path, err));
    const enum rad_status status = read_file(&g, tok, file->path, err);
    rad_gguf_close(&g);
    return status;
}

/* The file is mapped, not read, unless its bytes are given. */
const struct rad_tokenizer_source rad_tokenizer_source_gguf = {
    .file = {NULL},
    .read = read_gguf,
};
