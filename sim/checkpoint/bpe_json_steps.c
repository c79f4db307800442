/* bpe_json_steps.c - the steps of a tokenizer.json around its model, by tables of their types. */
#include "checkpoint/bpe_json.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_TEXT = 64 }; /* most bytes of what is prepended or replaced */

/* One step; its type is known. */
typedef enum rad_status read_step(struct rad_bpe_spec *spec, const json_t *step,
                                  struct rad_err *err);

struct step_type {
    const char *type;
    read_step *read; /* NULL: changes nothing here */
};

static enum rad_status unsupported(const char *what, struct rad_err *err)
{
    return rad_fail(err, RAD_E_UNSUPPORTED, "%s is not supported", what);
}

static enum rad_status read_one(struct rad_bpe_spec *spec, const json_t *step,
                                const struct step_type *types, struct rad_err *err)
{
    const char *type = NULL;
    RAD_TRY(rad_json_string(step, "type", &type, err));
    for (; types->type != NULL; types++) {
        if (strcmp(types->type, type) != 0)
            continue;
        const enum rad_status status = types->read != NULL ? types->read(spec, step, err) : RAD_OK;
        return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", type);
    }
    return rad_fail(err, RAD_E_UNSUPPORTED, "'%s' is not supported", SHOW(type));
}

/* The step called key: null, one, or a Sequence of them. */
static enum rad_status read_all(struct rad_bpe_spec *spec, const json_t *root, const char *key,
                                const char *list_key, const struct step_type *types,
                                struct rad_err *err)
{
    const json_t *step = json_object_get(root, key), *item;
    const char *type = json_string_value(json_object_get(step, "type"));
    size_t i;
    enum rad_status status = RAD_OK;
    if (step == NULL || json_is_null(step))
        return RAD_OK;
    if (type == NULL || strcmp(type, "Sequence") != 0) {
        status = read_one(spec, step, types, err);
        return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "'%s'", key);
    }
    const json_t *list = json_object_get(step, list_key);
    if (!json_is_array(list))
        return rad_fail(err, RAD_E_PARSE, "'%s': '%s': expected an array", key, list_key);
    json_array_foreach(list, i, item)
    {
        status = read_one(spec, item, types, err);
        if (status != RAD_OK)
            return rad_fail_in(err, status, "'%s'", key);
    }
    return RAD_OK;
}

/* ---- normalizer ------------------------------------------------------------------------ */

static enum rad_status next_normal(struct rad_bpe_spec *spec, struct rad_bpe_normal **out,
                                   struct rad_err *err)
{
    if (spec->steps.n_normal == RAD_BPE_STEPS)
        return rad_fail(err, RAD_E_RANGE, "expected at most %d steps", RAD_BPE_STEPS);
    *out = &spec->steps.normal[spec->steps.n_normal++];
    **out = (struct rad_bpe_normal){.kind = RAD_NORMAL_FORM};
    return RAD_OK;
}

static enum rad_status read_form(struct rad_bpe_spec *spec, const json_t *step, struct rad_err *err)
{
    static const char *const names[] = {
        [RAD_NFC] = "NFC", [RAD_NFD] = "NFD", [RAD_NFKC] = "NFKC", [RAD_NFKD] = "NFKD"};
    struct rad_bpe_normal *normal = NULL;
    RAD_TRY(next_normal(spec, &normal, err));
    for (int form = RAD_NFC; form <= RAD_NFKD; form++)
        if (strcmp(names[form], json_string_value(json_object_get(step, "type"))) == 0)
            normal->form = (enum rad_unicode_form)form;
    return RAD_OK;
}

static enum rad_status copy_text(char **out, const char *text, size_t min, struct rad_err *err)
{
    const size_t len = strlen(text);
    if (len < min || len > STEP_TEXT)
        return rad_fail(err, RAD_E_RANGE, "expected a text of %zu..%d bytes but found %zu", min,
                        STEP_TEXT, len);
    *out = malloc(len + 1);
    if (*out == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory");
    memcpy(*out, text, len + 1);
    return RAD_OK;
}

static enum rad_status read_prepend(struct rad_bpe_spec *spec, const json_t *step,
                                    struct rad_err *err)
{
    struct rad_bpe_normal *normal = NULL;
    const char *text = NULL;
    RAD_TRY(rad_json_string(step, "prepend", &text, err));
    RAD_TRY(next_normal(spec, &normal, err));
    normal->kind = RAD_NORMAL_PREPEND;
    return copy_text(&normal->to, text, 0, err);
}

static enum rad_status read_replace(struct rad_bpe_spec *spec, const json_t *step,
                                    struct rad_err *err)
{
    struct rad_bpe_normal *normal = NULL;
    const char *from = NULL, *to = NULL;
    const json_t *pattern = json_object_get(step, "pattern");
    if (json_object_get(pattern, "String") == NULL)
        return unsupported("a pattern that is no String", err);
    RAD_TRY(rad_json_string(pattern, "String", &from, err));
    RAD_TRY(rad_json_string(step, "content", &to, err));
    RAD_TRY(next_normal(spec, &normal, err));
    normal->kind = RAD_NORMAL_REPLACE;
    RAD_TRY(copy_text(&normal->from, from, 1, err));
    return copy_text(&normal->to, to, 0, err);
}

static const struct step_type normalizers[] = {
    {"NFC", read_form},        {"NFD", read_form},        {"NFKC", read_form}, {"NFKD", read_form},
    {"Prepend", read_prepend}, {"Replace", read_replace}, {.type = NULL},
};

/* ---- pre_tokenizer --------------------------------------------------------------------- */

/* Nothing may follow what writes words in the alphabet, or marks. */
static enum rad_status is_last(const struct rad_bpe_spec *spec, struct rad_err *err)
{
    return spec->byte_level || spec->steps.marks ? unsupported("a step behind the last", err)
                                                 : RAD_OK;
}

static enum rad_status read_byte_level(struct rad_bpe_spec *spec, const json_t *step,
                                       struct rad_err *err)
{
    bool prefix = true, regex = true;
    RAD_TRY(is_last(spec, err));
    RAD_TRY(rad_json_bool(step, "add_prefix_space", true, &prefix, err));
    RAD_TRY(rad_json_bool(step, "use_regex", true, &regex, err));
    if (prefix && spec->steps.n_split > 0)
        return unsupported("'add_prefix_space' behind another step", err);
    spec->byte_level = true;
    spec->steps.prefix = prefix ? RAD_PREFIX_ALWAYS : RAD_PREFIX_NEVER;
    if (!regex)
        return RAD_OK;
    const struct rad_slice gpt2 = {rad_bpe_gpt2_regex, strlen(rad_bpe_gpt2_regex)};
    return rad_bpe_add_split(&spec->steps, gpt2, true, err);
}

/* Isolated: matches and what is between them are words. Removed and inverted: only matches are. */
static enum rad_status read_split(struct rad_bpe_spec *spec, const json_t *step,
                                  struct rad_err *err)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const char *behavior = NULL;
    bool invert = false;
    RAD_TRY(is_last(spec, err));
    RAD_TRY(rad_json_string(step, "behavior", &behavior, err));
    RAD_TRY(rad_json_bool(step, "invert", false, &invert, err));
    if (!json_is_string(regex))
        return unsupported("a pattern that is no Regex", err);
    const bool isolated = strcmp(behavior, "Isolated") == 0;
    if (!isolated && !(strcmp(behavior, "Removed") == 0 && invert))
        return rad_fail(err, RAD_E_UNSUPPORTED, "behavior '%s'%s is not supported", SHOW(behavior),
                        invert ? ", inverted," : "");
    const struct rad_slice text = {json_string_value(regex), json_string_length(regex)};
    return rad_bpe_add_split(&spec->steps, text, isolated, err);
}

static enum rad_status read_digits(struct rad_bpe_spec *spec, const json_t *step,
                                   struct rad_err *err)
{
    bool single = false;
    RAD_TRY(is_last(spec, err));
    RAD_TRY(rad_json_bool(step, "individual_digits", false, &single, err));
    const struct rad_slice text = {"\\p{N}+", single ? 5 : 6};
    return rad_bpe_add_split(&spec->steps, text, true, err);
}

/* prepend_scheme, or add_prefix_space of older files. */
static enum rad_status read_scheme(const json_t *step, enum rad_bpe_prefix *out,
                                   struct rad_err *err)
{
    static const char *const names[] = {
        [RAD_PREFIX_NEVER] = "never", [RAD_PREFIX_FIRST] = "first", [RAD_PREFIX_ALWAYS] = "always"};
    bool prefix = true;
    const char *scheme = NULL;
    RAD_TRY(rad_json_bool(step, "add_prefix_space", true, &prefix, err));
    *out = prefix ? RAD_PREFIX_ALWAYS : RAD_PREFIX_NEVER;
    if (json_object_get(step, "prepend_scheme") == NULL)
        return RAD_OK;
    RAD_TRY(rad_json_string(step, "prepend_scheme", &scheme, err));
    for (int i = RAD_PREFIX_NEVER; i <= RAD_PREFIX_ALWAYS; i++)
        if (strcmp(names[i], scheme) == 0) {
            *out = (enum rad_bpe_prefix)i;
            return RAD_OK;
        }
    return rad_fail(err, RAD_E_UNSUPPORTED, "prepend_scheme '%s' is not supported", SHOW(scheme));
}

static enum rad_status check_mark(const json_t *step, struct rad_err *err)
{
    const char *mark = NULL;
    RAD_TRY(rad_json_string(step, "replacement", &mark, err));
    return strcmp(mark, RAD_WORD_MARK) == 0 ? RAD_OK : unsupported("a mark other than U+2581", err);
}

static enum rad_status read_metaspace(struct rad_bpe_spec *spec, const json_t *step,
                                      struct rad_err *err)
{
    RAD_TRY(is_last(spec, err));
    RAD_TRY(check_mark(step, err));
    if (spec->steps.n_split > 0)
        return unsupported("a split before it", err);
    spec->steps.marks = true;
    RAD_TRY(read_scheme(step, &spec->steps.prefix, err));
    return rad_json_bool(step, "split", true, &spec->steps.split_marks, err);
}

static const struct step_type pre_tokenizers[] = {
    {"ByteLevel", read_byte_level}, {"Split", read_split}, {"Digits", read_digits},
    {"Metaspace", read_metaspace},  {.type = NULL},
};

/* ---- post_processor -------------------------------------------------------------------- */

/* The id that "special_tokens" gives to a name of the template. */
static enum rad_status template_id(const struct rad_bpe_spec *spec, const json_t *step,
                                   const json_t *piece, int32_t *out, struct rad_err *err)
{
    const char *name = NULL;
    RAD_TRY(rad_json_string(piece, "id", &name, err));
    const json_t *token = json_object_get(json_object_get(step, "special_tokens"), name);
    const json_t *ids = json_object_get(token, "ids"), *id = json_array_get(ids, 0);
    if (json_array_size(ids) != 1 || !json_is_integer(id))
        return rad_fail(err, RAD_E_PARSE, "'special_tokens': expected '%s' with one id",
                        SHOW(name));
    if (json_integer_value(id) < 0 || json_integer_value(id) >= spec->n_piece)
        return rad_fail(err, RAD_E_RANGE, "'special_tokens': '%s' has an id outside the vocabulary",
                        SHOW(name));
    *out = (int32_t)json_integer_value(id);
    return RAD_OK;
}

/* One token in front of the text, or none. */
static enum rad_status read_template(struct rad_bpe_spec *spec, const json_t *step,
                                     struct rad_err *err)
{
    const json_t *single = json_object_get(step, "single"), *item;
    size_t i;
    bool text = false;
    if (!json_is_array(single))
        return rad_fail(err, RAD_E_PARSE, "'single': expected an array");
    json_array_foreach(single, i, item)
    {
        const json_t *special = json_object_get(item, "SpecialToken");
        text = text || special == NULL;
        if (special != NULL && (text || spec->bos >= 0))
            return unsupported("a template with more than one token before the text", err);
        if (special != NULL)
            RAD_TRY(template_id(spec, step, special, &spec->bos, err));
    }
    return text ? RAD_OK : rad_fail(err, RAD_E_PARSE, "'single': expected a place for the text");
}

static const struct step_type post_processors[] = {
    {"ByteLevel", NULL},
    {"TemplateProcessing", read_template},
    {.type = NULL},
};

/* ---- decoder --------------------------------------------------------------------------- */

/* Marks become blanks in any case. */
static enum rad_status decode_replace(struct rad_bpe_spec *spec, const json_t *step,
                                      struct rad_err *err)
{
    const char *from = NULL, *to = NULL;
    (void)spec;
    RAD_TRY(rad_json_string(json_object_get(step, "pattern"), "String", &from, err));
    RAD_TRY(rad_json_string(step, "content", &to, err));
    return strcmp(from, RAD_WORD_MARK) == 0 && strcmp(to, " ") == 0
               ? RAD_OK
               : unsupported("anything but marks to blanks", err);
}

static enum rad_status decode_strip(struct rad_bpe_spec *spec, const json_t *step,
                                    struct rad_err *err)
{
    const char *what = NULL;
    int64_t start = 0, stop = 0;
    RAD_TRY(rad_json_string(step, "content", &what, err));
    RAD_TRY(rad_json_int(step, "start", 0, INT32_MAX, &start, err));
    RAD_TRY(rad_json_int(step, "stop", 0, INT32_MAX, &stop, err));
    if (strcmp(what, " ") != 0 || start > 1 || stop > 0)
        return unsupported("anything but one blank in front", err);
    spec->strip_one = start == 1;
    return RAD_OK;
}

static enum rad_status decode_metaspace(struct rad_bpe_spec *spec, const json_t *step,
                                        struct rad_err *err)
{
    enum rad_bpe_prefix prefix = RAD_PREFIX_NEVER;
    RAD_TRY(check_mark(step, err));
    RAD_TRY(read_scheme(step, &prefix, err));
    spec->strip_one = prefix != RAD_PREFIX_NEVER;
    return RAD_OK;
}

static const struct step_type decoders[] = {
    {"ByteLevel", NULL},     {"ByteFallback", NULL},
    {"Fuse", NULL},          {"Replace", decode_replace},
    {"Strip", decode_strip}, {"Metaspace", decode_metaspace},
    {.type = NULL},
};

enum rad_status rad_bpe_read_steps(struct rad_bpe_spec *spec, const json_t *root,
                                   struct rad_err *err)
{
    RAD_TRY(read_all(spec, root, "normalizer", "normalizers", normalizers, err));
    RAD_TRY(read_all(spec, root, "pre_tokenizer", "pretokenizers", pre_tokenizers, err));
    RAD_TRY(read_all(spec, root, "post_processor", "processors", post_processors, err));
    return read_all(spec, root, "decoder", "decoders", decoders, err);
}
