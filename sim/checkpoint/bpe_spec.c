/* bpe_spec.c - what files say about a byte-pair encoding, and the tokenizer made of it. */
#include "checkpoint/bpe.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char rad_bpe_gpt2_regex[] =
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- steps ----------------------------------------------------------------------------- */

static void free_steps(struct rad_bpe_steps *steps)
{
    for (int i = 0; i < steps->n_normal; i++) {
        free(steps->normal[i].from);
        free(steps->normal[i].to);
    }
    for (int i = 0; i < steps->n_split; i++)
        rad_split_close(steps->split[i]);
    *steps = (struct rad_bpe_steps){.n_normal = 0};
}

enum rad_status rad_bpe_add_split(struct rad_bpe_steps *steps, struct rad_slice regex,
                                  bool keep_gaps, struct rad_err *err)
{
    if (steps->n_split == RAD_BPE_STEPS)
        return rad_fail(err, RAD_E_RANGE, "expected at most %d splits", RAD_BPE_STEPS);
    RAD_TRY(rad_split_open(&steps->split[steps->n_split], regex.data, regex.len, keep_gaps, err));
    steps->n_split++;
    return RAD_OK;
}

/* ---- specs ----------------------------------------------------------------------------- */

void rad_bpe_spec_free(struct rad_bpe_spec *spec)
{
    free(spec->piece);
    free(spec->merge);
    free(spec->added);
    free_steps(&spec->steps);
}

enum rad_status rad_bpe_spec_room(struct rad_bpe_spec *spec, int64_t max_id, struct rad_err *err)
{
    if (max_id >= RAD_BPE_PIECES)
        return rad_fail(err, RAD_E_RANGE, "expected ids below %d but found %" PRId64,
                        RAD_BPE_PIECES, max_id);
    spec->piece = calloc((size_t)max_id + 1, sizeof *spec->piece);
    if (spec->piece == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate %" PRId64 " pieces", max_id + 1);
    spec->n_piece = (int32_t)max_id + 1;
    return RAD_OK;
}

enum rad_status rad_bpe_spec_merges(struct rad_bpe_spec *spec, size_t n, struct rad_err *err)
{
    spec->merge = calloc(n + 1, sizeof *spec->merge);
    if (spec->merge == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate %zu merges", n);
    return RAD_OK;
}

enum rad_status rad_bpe_merge_of(struct rad_bpe_merge *out, struct rad_slice text,
                                 struct rad_err *err)
{
    const char *end = text.data + text.len;
    const char *blank = memchr(text.data, ' ', text.len);
    if (blank == NULL || memchr(blank + 1, ' ', (size_t)(end - blank - 1)) != NULL)
        return rad_fail(err, RAD_E_PARSE, "expected two pieces with a blank in between");
    *out = (struct rad_bpe_merge){{text.data, (size_t)(blank - text.data)},
                                  {blank + 1, (size_t)(end - blank - 1)}};
    return RAD_OK;
}

/* ---- the tokenizer --------------------------------------------------------------------- */

static enum rad_status find_unknown(struct rad_bpe *bpe, const struct rad_bpe_spec *spec,
                                    struct rad_err *err)
{
    bpe->unk = -1;
    if (spec->unk.data == NULL || spec->unk.len == 0)
        return RAD_OK;
    for (int32_t id = 0; id < spec->n_piece && bpe->unk < 0; id++)
        if (spec->piece[id].data != NULL && spec->piece[id].len == spec->unk.len &&
            memcmp(spec->piece[id].data, spec->unk.data, spec->unk.len) == 0)
            bpe->unk = id;
    if (bpe->unk >= 0)
        return RAD_OK;
    return rad_fail(err, RAD_E_PARSE, "%s: the piece for unknown text is not in the vocabulary",
                    spec->path);
}

/* Some of the added tokens; a token that is looked for in normalized text is normalized too. */
struct part {
    struct rad_added_token *token; /* [n] */
    size_t n;
    struct rad_buf text;
};

static enum rad_status normalize_part(struct part *part, const struct rad_bpe_spec *spec,
                                      struct rad_err *err)
{
    for (size_t i = 0; i < part->n; i++) {
        const size_t before = part->text.len;
        RAD_TRY(rad_bpe_normalize(&spec->steps, part->token[i].text, part->token[i].len,
                                  &part->text, err));
        part->token[i].len = part->text.len - before;
        if (part->token[i].len == 0 || part->token[i].len > RAD_ADDED_LEN)
            return rad_fail(err, RAD_E_RANGE,
                            "added token %" PRId32 ": expected 1..%d bytes once normalized",
                            part->token[i].id, RAD_ADDED_LEN);
    }
    size_t at = 0;
    for (size_t i = 0; i < part->n; at += part->token[i++].len)
        part->token[i].text = part->text.data + at;
    return RAD_OK;
}

static enum rad_status open_part(struct rad_added *out, struct part *part,
                                 const struct rad_bpe_spec *spec, bool normalized,
                                 struct rad_err *err)
{
    part->token = malloc((spec->n_added + 1) * sizeof *part->token);
    if (part->token == NULL)
        return rad_fail(err, RAD_E_NOMEM, "no memory for %zu added tokens", spec->n_added);
    for (size_t i = 0; i < spec->n_added; i++)
        if ((spec->added[i].normalized && spec->steps.n_normal > 0) == normalized)
            part->token[part->n++] = spec->added[i];
    if (normalized)
        RAD_TRY(normalize_part(part, spec, err));
    return rad_added_open(out, part->token, part->n, err);
}

static enum rad_status open_added(struct rad_bpe *bpe, const struct rad_bpe_spec *spec,
                                  struct rad_err *err)
{
    enum rad_status status = RAD_OK;
    for (int normalized = 0; normalized < 2 && status == RAD_OK; normalized++) {
        struct part part = {.token = NULL};
        status = open_part(normalized ? &bpe->added_normal : &bpe->added, &part, spec,
                           normalized == 1, err);
        free(part.token);
        rad_buf_free(&part.text);
    }
    return status == RAD_OK ? RAD_OK : rad_fail_in(err, status, "%s", spec->path);
}

enum rad_status rad_bpe_build(rad_tokenizer *tok, struct rad_bpe_spec *spec, struct rad_err *err)
{
    struct rad_bpe *bpe = calloc(1, sizeof *bpe);
    tok->type = &rad_tokenizer_type_bpe;
    tok->state = bpe; /* freed with tok */
    if (bpe == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", spec->path);
    bpe->byte_level = spec->byte_level;
    bpe->byte_fallback = spec->byte_fallback;
    bpe->ignore_merges = spec->ignore_merges;
    bpe->fuse_unk = spec->fuse_unk;
    RAD_TRY(rad_bpe_index(bpe, spec, tok, err));
    RAD_TRY(find_unknown(bpe, spec, err));
    RAD_TRY(open_added(bpe, spec, err));
    bpe->steps = spec->steps;
    spec->steps = (struct rad_bpe_steps){.n_normal = 0};
    tok->bos = spec->bos;
    tok->eos = spec->eos;
    tok->strip_one = spec->strip_one;
    return RAD_OK;
}

void rad_bpe_free(void *state)
{
    struct rad_bpe *bpe = state;
    if (bpe == NULL)
        return;
    free(bpe->text);
    free(bpe->at);
    free(bpe->slot);
    free(bpe->join);
    rad_added_free(&bpe->added);
    rad_added_free(&bpe->added_normal);
    free_steps(&bpe->steps);
    free(bpe);
}
