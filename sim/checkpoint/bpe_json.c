/* bpe_json.c - tokenizer.json in: the file of Hugging Face tokenizers, with a BPE model. */
#include "checkpoint/bpe_json.h"

#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- words that other files share ------------------------------------------------------ */

static struct rad_slice slice_of(const json_t *text)
{
    return (struct rad_slice){json_string_value(text), json_string_length(text)};
}

static enum rad_status max_id(const json_t *vocab, int64_t *out, struct rad_err *err)
{
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id)
    {
        const int64_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0)
            return rad_fail(err, RAD_E_PARSE, "piece '%s': expected an id from 0 on", SHOW(text));
        *out = value > *out ? value : *out;
    }
    return RAD_OK;
}

enum rad_status rad_bpe_read_vocab(struct rad_bpe_spec *spec, const json_t *vocab,
                                   struct rad_err *err)
{
    const char *text;
    json_t *id;
    int64_t max = -1;
    for (size_t i = 0; i < spec->n_added; i++)
        max = spec->added[i].id > max ? spec->added[i].id : max;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return rad_fail(err, RAD_E_PARSE, "expected a vocabulary: an object of pieces and ids");
    RAD_TRY(max_id(vocab, &max, err));
    RAD_TRY(rad_bpe_spec_room(spec, max, err));
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id)
    {
        struct rad_slice *piece = &spec->piece[json_integer_value(id)];
        if (piece->data != NULL)
            return rad_fail(err, RAD_E_PARSE, "two pieces have id %" PRId64,
                            (int64_t)json_integer_value(id));
        *piece = (struct rad_slice){text, strlen(text)};
    }
    return RAD_OK;
}

int32_t rad_bpe_spec_find(const struct rad_bpe_spec *spec, struct rad_slice text)
{
    for (size_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].len == text.len && memcmp(spec->added[i].text, text.data, text.len) == 0)
            return spec->added[i].id;
    for (int32_t id = 0; id < spec->n_piece; id++) {
        const struct rad_slice *p = &spec->piece[id];
        if (p->data != NULL && p->len == text.len && memcmp(p->data, text.data, text.len) == 0)
            return id;
    }
    return -1;
}

enum rad_status rad_bpe_token_name(const json_t *config, const char *key, struct rad_slice *out,
                                   struct rad_err *err)
{
    const json_t *value = json_object_get(config, key);
    *out = (struct rad_slice){NULL, 0};
    if (value == NULL || json_is_null(value))
        return RAD_OK;
    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (!json_is_string(value))
        return rad_fail(err, RAD_E_PARSE, "'%s': expected a string, or an object with 'content'",
                        key);
    *out = slice_of(value);
    return RAD_OK;
}

enum rad_status rad_bpe_parse_file(json_t **out, const struct rad_tokenizer_file *file,
                                   struct rad_err *err)
{
    *out = NULL;
    return file->data != NULL ? rad_json_parse(out, file->data, file->len, file->path, err)
                              : RAD_OK;
}

/* ---- model ----------------------------------------------------------------------------- */

/* What changes words in ways that are not known here. */
static enum rad_status refuse_options(const json_t *model, struct rad_err *err)
{
    static const char *const words[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = json_string_value(json_object_get(model, "type"));
    const json_t *dropout = json_object_get(model, "dropout");
    if (type != NULL && strcmp(type, "BPE") != 0)
        return rad_fail(err, RAD_E_UNSUPPORTED, "expected type BPE but found '%s'", SHOW(type));
    if (json_is_number(dropout) && json_number_value(dropout) != 0.0)
        return rad_fail(err, RAD_E_UNSUPPORTED, "'dropout' is not supported");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (json_string_length(json_object_get(model, words[i])) > 0)
            return rad_fail(err, RAD_E_UNSUPPORTED, "'%s' is not supported", words[i]);
    return RAD_OK;
}

/* "left right", or ["left", "right"]. */
static enum rad_status read_merge(struct rad_bpe_merge *out, const json_t *merge,
                                  struct rad_err *err)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_is_string(merge))
        return rad_bpe_merge_of(out, slice_of(merge), err);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return rad_fail(err, RAD_E_PARSE, "expected a string or two of them");
    *out = (struct rad_bpe_merge){slice_of(left), slice_of(right)};
    return RAD_OK;
}

static enum rad_status read_merges(struct rad_bpe_spec *spec, const json_t *merges,
                                   struct rad_err *err)
{
    if (!json_is_array(merges))
        return rad_fail(err, RAD_E_PARSE, "'merges': expected an array");
    const size_t n = json_array_size(merges);
    RAD_TRY(rad_bpe_spec_merges(spec, n, err));
    for (size_t i = 0; i < n; i++) {
        const enum rad_status status = read_merge(&spec->merge[i], json_array_get(merges, i), err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "merge %zu", i);
    }
    spec->n_merge = n;
    return RAD_OK;
}

static enum rad_status read_model(struct rad_bpe_spec *spec, const json_t *model,
                                  struct rad_err *err)
{
    if (!json_is_object(model))
        return rad_fail(err, RAD_E_PARSE, "expected an object");
    RAD_TRY(refuse_options(model, err));
    RAD_TRY(rad_bpe_token_name(model, "unk_token", &spec->unk, err));
    RAD_TRY(rad_json_bool(model, "fuse_unk", false, &spec->fuse_unk, err));
    RAD_TRY(rad_json_bool(model, "byte_fallback", false, &spec->byte_fallback, err));
    RAD_TRY(rad_json_bool(model, "ignore_merges", false, &spec->ignore_merges, err));
    RAD_TRY(rad_bpe_read_vocab(spec, json_object_get(model, "vocab"), err));
    return read_merges(spec, json_object_get(model, "merges"), err);
}

/* ---- added tokens ---------------------------------------------------------------------- */

static enum rad_status read_added_token(struct rad_added_token *out, const json_t *token,
                                        struct rad_err *err)
{
    const json_t *content = json_object_get(token, "content");
    int64_t id = 0;
    RAD_TRY(rad_json_int(token, "id", 0, RAD_BPE_PIECES - 1, &id, err));
    if (!json_is_string(content))
        return rad_fail(err, RAD_E_PARSE, "'content': expected a string");
    *out = (struct rad_added_token){
        .text = json_string_value(content), .len = json_string_length(content), .id = (int32_t)id};
    RAD_TRY(rad_json_bool(token, "single_word", false, &out->single_word, err));
    RAD_TRY(rad_json_bool(token, "lstrip", false, &out->lstrip, err));
    RAD_TRY(rad_json_bool(token, "rstrip", false, &out->rstrip, err));
    RAD_TRY(rad_json_bool(token, "special", false, &out->special, err));
    return rad_json_bool(token, "normalized", !out->special, &out->normalized, err);
}

static enum rad_status read_added(struct rad_bpe_spec *spec, const json_t *added,
                                  struct rad_err *err)
{
    if (added != NULL && !json_is_null(added) && !json_is_array(added))
        return rad_fail(err, RAD_E_PARSE, "'added_tokens': expected an array");
    const size_t n = json_array_size(added);
    spec->added = calloc(n + 1, sizeof *spec->added);
    if (spec->added == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory for %zu added tokens", n);
    for (size_t i = 0; i < n; i++) {
        const enum rad_status status =
            read_added_token(&spec->added[i], json_array_get(added, i), err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "added token %zu", i);
    }
    spec->n_added = n;
    return RAD_OK;
}

/* ---- the whole ------------------------------------------------------------------------- */

enum { TOKENIZER_JSON, TOKENIZER_CONFIG };

static enum rad_status read_root(struct rad_bpe_spec *spec, const json_t *root, struct rad_err *err)
{
    RAD_TRY(read_added(spec, json_object_get(root, "added_tokens"), err));
    const enum rad_status status = read_model(spec, json_object_get(root, "model"), err);
    if (status != RAD_OK)
        return rad_fail_in(err, status, "'model'");
    return rad_bpe_read_steps(spec, root, err);
}

static enum rad_status read_eos(struct rad_bpe_spec *spec, const json_t *config,
                                struct rad_err *err)
{
    struct rad_slice name;
    RAD_TRY(rad_bpe_token_name(config, "eos_token", &name, err));
    if (name.data != NULL)
        spec->eos = rad_bpe_spec_find(spec, name);
    return RAD_OK;
}

static enum rad_status read_json(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                                 struct rad_err *err)
{
    struct rad_bpe_spec spec = {.path = file[TOKENIZER_JSON].path, .bos = -1, .eos = -1};
    json_t *root = NULL, *config = NULL;
    RAD_TRY(rad_bpe_parse_file(&root, &file[TOKENIZER_JSON], err));
    enum rad_status status = rad_bpe_parse_file(&config, &file[TOKENIZER_CONFIG], err);
    if (status == RAD_OK) {
        status = read_root(&spec, root, err);
        if (status != RAD_OK)
            rad_fail_in(err, status, "%s", spec.path);
    }
    if (status == RAD_OK) {
        status = read_eos(&spec, config, err);
        if (status != RAD_OK)
            rad_fail_in(err, status, "%s", file[TOKENIZER_CONFIG].path);
    }
    if (status == RAD_OK)
        status = rad_bpe_build(tok, &spec, err);
    rad_bpe_spec_free(&spec);
    json_decref(root);
    json_decref(config);
    return status;
}

const struct rad_tokenizer_source rad_tokenizer_source_json = {
    .file = {[TOKENIZER_JSON] = "tokenizer.json", [TOKENIZER_CONFIG] = "tokenizer_config.json"},
    .n_needed = 1,
    .read = read_json,
};
