/* bpe_files.c - vocab.json and merges.txt in: the files of GPT-2 and OPT.
 *
 * They do not say which tokens are special, nor what goes before a text: tokenizer_config.json and
 * special_tokens_map.json do, and without them it is as in GPT-2: <|endoftext|>, and nothing. */
#include "checkpoint/bpe_json.h"
#include "checkpoint/outside.h"

#include <stdlib.h>
#include <string.h>

enum { VOCAB, MERGES, CONFIG, SPECIAL };

static const struct rad_slice end_of_text = {"<|endoftext|>", 13};

/* ---- merges.txt ------------------------------------------------------------------------ */

/* The next line of text[*at..len), without its end. False: there is none. */
static bool next_line(const struct rad_tokenizer_file *file, size_t *at, struct rad_slice *line)
{
    if (*at >= file->len)
        return false;
    const char *text = file->data + *at;
    const char *end = memchr(text, '\n', file->len - *at);
    size_t len = end != NULL ? (size_t)(end - text) : file->len - *at;
    *at += len + 1;
    len -= len > 0 && text[len - 1] == '\r';
    *line = (struct rad_slice){text, len};
    return true;
}

static bool is_version(struct rad_slice line)
{
    static const char mark[] = "#version";
    return line.len >= sizeof mark - 1 && memcmp(line.data, mark, sizeof mark - 1) == 0;
}

static enum rad_status read_merges(struct rad_bpe_spec *spec, const struct rad_tokenizer_file *file,
                                   struct rad_err *err)
{
    struct rad_slice line;
    size_t n = 0;
    for (size_t at = 0; next_line(file, &at, &line);)
        n++;
    RAD_TRY(rad_bpe_spec_merges(spec, n, err));
    n = 0;
    for (size_t at = 0; next_line(file, &at, &line); n++) {
        if (n == 0 && is_version(line))
            continue;
        const enum rad_status status = rad_bpe_merge_of(&spec->merge[spec->n_merge], line, err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "%s:%zu", file->path, n + 1);
        spec->n_merge++;
    }
    return RAD_OK;
}

/* ---- special tokens -------------------------------------------------------------------- */

/* What the two configs say of the tokens in the table below. */
struct configs {
    const struct rad_tokenizer_file *file;
    json_t *config, *special; /* NULL: no such file */
};

static enum rad_status name_of(const struct configs *c, const char *key, struct rad_slice *out,
                               struct rad_err *err)
{
    enum rad_status status = rad_bpe_token_name(c->config, key, out, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "%s", c->file[CONFIG].path);
    if (out->data != NULL)
        return RAD_OK;
    status = rad_bpe_token_name(c->special, key, out, err);
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", c->file[SPECIAL].path);
}

/* A token that the vocabulary has not is none: it was never trained. */
static enum rad_status add_special(struct rad_bpe_spec *spec, struct rad_slice name, int32_t *out)
{
    *out = name.data != NULL ? rad_bpe_spec_find(spec, name) : -1;
    if (*out < 0)
        return RAD_OK;
    for (size_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].id == *out)
            return RAD_OK;
    spec->added[spec->n_added++] =
        (struct rad_added_token){.text = name.data, .len = name.len, .id = *out, .special = true};
    return RAD_OK;
}

static enum rad_status read_special(struct rad_bpe_spec *spec, const struct configs *c,
                                    struct rad_err *err)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    enum { BOS, EOS, UNK, PAD, N_KEY };
    int32_t id[N_KEY];
    struct rad_slice name;
    bool add_bos = false;
    spec->added = calloc(N_KEY, sizeof *spec->added);
    if (spec->added == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    for (int i = 0; i < N_KEY; i++) {
        RAD_TRY(name_of(c, keys[i], &name, err));
        if (name.data == NULL && i != PAD)
            name = end_of_text;
        RAD_TRY(add_special(spec, name, &id[i]));
        if (i == UNK && id[i] >= 0)
            spec->unk = name;
    }
    spec->eos = id[EOS];
    enum rad_status status = rad_json_bool(c->config, "add_bos_token", false, &add_bos, err);
    if (status == RAD_OK && add_bos && id[BOS] < 0)
        status = rad_fail(err, RAD_E_PARSE, "'add_bos_token': the vocabulary has no such token");
    spec->bos = add_bos ? id[BOS] : -1;
    bool prefix = false;
    if (status == RAD_OK)
        status = rad_json_bool(c->config, "add_prefix_space", false, &prefix, err);
    spec->steps.prefix = prefix ? RAD_PREFIX_ALWAYS : RAD_PREFIX_NEVER;
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", c->file[CONFIG].path);
}

/* ---- the whole ------------------------------------------------------------------------- */

static enum rad_status read_spec(struct rad_bpe_spec *spec, const json_t *vocab,
                                 const struct configs *c, struct rad_err *err)
{
    const struct rad_slice regex = {rad_bpe_gpt2_regex, strlen(rad_bpe_gpt2_regex)};
    const enum rad_status status = rad_bpe_read_vocab(spec, vocab, err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "%s", spec->path);
    RAD_TRY(read_merges(spec, &c->file[MERGES], err));
    RAD_TRY(read_special(spec, c, err));
    return rad_bpe_add_split(&spec->steps, regex, true, err);
}

static enum rad_status read_files(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                                  struct rad_err *err)
{
    struct rad_bpe_spec spec = {.path = file[VOCAB].path, .byte_level = true, .bos = -1, .eos = -1};
    struct configs c = {.file = file};
    json_t *vocab = NULL;
    enum rad_status status = rad_bpe_parse_file(&vocab, &file[VOCAB], err);
    if (status == RAD_OK)
        status = rad_bpe_parse_file(&c.config, &file[CONFIG], err);
    if (status == RAD_OK)
        status = rad_bpe_parse_file(&c.special, &file[SPECIAL], err);
    if (status == RAD_OK)
        status = read_spec(&spec, vocab, &c, err);
    if (status == RAD_OK)
        status = rad_bpe_build(tok, &spec, err);
    rad_bpe_spec_free(&spec);
    json_decref(vocab);
    json_decref(c.config);
    json_decref(c.special);
    return status;
}

const struct rad_tokenizer_source rad_tokenizer_source_bpe = {
    .file = {[VOCAB] = "vocab.json",
             [MERGES] = "merges.txt",
             [CONFIG] = "tokenizer_config.json",
             [SPECIAL] = "special_tokens_map.json"},
    .n_needed = 2,
    .read = read_files,
};
