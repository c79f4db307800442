/* spm_file.c - tokenizer.model in: a ModelProto message of sentencepiece_model.proto.
 *
 * Field numbers used: ModelProto {1 pieces, 2 trainer_spec, 3 normalizer_spec, 5
 * denormalizer_spec}; SentencePiece {1 piece, 2 score, 3 type}; TrainerSpec {3 model_type, 24
 * treat_whitespace_as_suffix, 35 byte_fallback, 44 unk_surface, 46 bos_piece, 47 eos_piece};
 * NormalizerSpec {2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5
 * escape_whitespaces}. */
#include "checkpoint/protobuf.h"
#include "checkpoint/spm.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { PIECE_MAX = 4096, PIECES_MAX = 1 << 20, MODEL_BPE = 2 };

static enum rad_status malformed(const struct rad_spm_reader *r)
{
    return rad_fail(r->err, RAD_E_PARSE,
                    "%s: not a sentencepiece model: malformed or truncated message", r->path);
}

/* ---- messages -------------------------------------------------------------------------- */

/* The field's type must be the one of the schema. */
static bool typed(const struct rad_pb_field *f, enum rad_pb_type type)
{
    return f->type == type;
}

static enum rad_status read_piece(const struct rad_spm_reader *r,
                                  const struct rad_pb_field *message, struct rad_spm_piece *p)
{
    struct rad_pb pb = {message->data, message->data + message->len};
    struct rad_pb_field f;
    enum rad_pb_result got;
    bool ok = true;
    *p = (struct rad_spm_piece){.text = "", .type = RAD_SPM_NORMAL};
    while ((got = rad_pb_next(&pb, &f)) == RAD_PB_FIELD && ok) {
        if (f.number == 1) {
            ok = typed(&f, RAD_PB_LEN) && f.len <= PIECE_MAX;
            p->text = (const char *)f.data;
            p->len = ok ? (uint32_t)f.len : 0;
        } else if (f.number == 2) {
            ok = typed(&f, RAD_PB_I32) && isfinite(rad_pb_float(&f));
            p->score = rad_pb_float(&f);
        } else if (f.number == 3) {
            ok = typed(&f, RAD_PB_VARINT) && f.value >= RAD_SPM_NORMAL && f.value <= RAD_SPM_BYTE;
            p->type = ok ? (enum rad_spm_type)f.value : RAD_SPM_NORMAL;
        }
    }
    return ok && got == RAD_PB_END ? RAD_OK : malformed(r);
}

static enum rad_status read_trainer(struct rad_spm_reader *r, const struct rad_pb_field *message)
{
    struct rad_pb pb = {message->data, message->data + message->len};
    struct rad_pb_field f;
    enum rad_pb_result got;
    bool ok = true;
    while ((got = rad_pb_next(&pb, &f)) == RAD_PB_FIELD && ok) {
        const bool flag = f.number == 3 || f.number == 24 || f.number == 35;
        const bool text = f.number == 44 || f.number == 46 || f.number == 47;
        ok = (!flag || typed(&f, RAD_PB_VARINT)) && (!text || typed(&f, RAD_PB_LEN));
        if (f.number == 3)
            r->model_type = f.value;
        else if (f.number == 24)
            r->as_suffix = f.value != 0;
        else if (f.number == 35)
            r->spm->byte_fallback = f.value != 0;
        else if (f.number == 44)
            r->unk = f;
        else if (f.number == 46)
            r->bos = f;
        else if (f.number == 47)
            r->eos = f;
    }
    return ok && got == RAD_PB_END ? RAD_OK : malformed(r);
}

/* A normalizer that maps characters (NFKC and the like) is refused: text would change. */
static enum rad_status read_normalizer(struct rad_spm_reader *r, const struct rad_pb_field *message,
                                       bool before)
{
    struct rad_pb pb = {message->data, message->data + message->len};
    struct rad_pb_field f;
    enum rad_pb_result got;
    bool ok = true;
    while ((got = rad_pb_next(&pb, &f)) == RAD_PB_FIELD && ok) {
        if (f.number == 2 && f.len > 0)
            return rad_fail(r->err, RAD_E_UNSUPPORTED,
                            "%s: expected the identity normalizer but found one that maps "
                            "characters",
                            r->path);
        ok = f.number < 3 || f.number > 5 || typed(&f, RAD_PB_VARINT);
        if (before && f.number == 3)
            r->spm->add_dummy_prefix = f.value != 0;
        else if (before && f.number == 4)
            r->spm->remove_extra_whitespaces = f.value != 0;
        else if (before && f.number == 5)
            r->spm->escape_whitespaces = f.value != 0;
    }
    return ok && got == RAD_PB_END ? RAD_OK : malformed(r);
}

/* Count the pieces, so that their table is allocated once. */
static enum rad_status count_pieces(struct rad_spm_reader *r, struct rad_pb pb)
{
    struct rad_pb_field f;
    enum rad_pb_result got;
    int32_t n = 0;
    while ((got = rad_pb_next(&pb, &f)) == RAD_PB_FIELD && n <= PIECES_MAX)
        n += f.number == 1;
    if (got == RAD_PB_BAD)
        return malformed(r);
    if (n == 0 || n > PIECES_MAX)
        return rad_fail(r->err, n == 0 ? RAD_E_PARSE : RAD_E_RANGE,
                        "%s: expected 1..%d pieces but found %s", r->path, PIECES_MAX,
                        n == 0 ? "none; is it a sentencepiece model?" : "more");
    r->spm->piece = calloc((size_t)n, sizeof r->spm->piece[0]);
    if (r->spm->piece == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: cannot allocate %" PRId32 " pieces", r->path, n);
    return RAD_OK;
}

static enum rad_status read_model(struct rad_spm_reader *r, struct rad_pb pb)
{
    struct rad_pb_field f;
    RAD_TRY(count_pieces(r, pb));
    while (rad_pb_next(&pb, &f) == RAD_PB_FIELD) {
        if (f.number != 1 && f.number != 2 && f.number != 3 && f.number != 5)
            continue;
        if (!typed(&f, RAD_PB_LEN))
            return malformed(r);
        if (f.number == 1)
            RAD_TRY(read_piece(r, &f, &r->spm->piece[r->spm->n++]));
        else if (f.number == 2)
            RAD_TRY(read_trainer(r, &f));
        else
            RAD_TRY(read_normalizer(r, &f, f.number == 3));
    }
    return RAD_OK;
}

/* ---- the whole ------------------------------------------------------------------------- */

static enum rad_status check_kind(const struct rad_spm_reader *r)
{
    if (r->model_type == MODEL_BPE && !r->as_suffix)
        return RAD_OK;
    return rad_fail(r->err, RAD_E_UNSUPPORTED,
                    "%s: expected a sentencepiece BPE model but found %s", r->path,
                    r->as_suffix ? "marks behind words" : "another kind, such as unigram");
}

enum rad_status rad_spm_read(rad_tokenizer *tok, struct rad_tokenizer_file *file,
                             struct rad_err *err)
{
    struct rad_spm *spm = calloc(1, sizeof *spm);
    tok->type = &rad_tokenizer_type_spm;
    tok->state = spm; /* freed with tok, the file's bytes too */
    if (spm == NULL)
        return rad_fail(err, RAD_E_NOMEM, "%s: out of memory", file->path);
    spm->file = file->data;
    file->data = NULL;
    /* The schema's defaults. */
    spm->add_dummy_prefix = spm->remove_extra_whitespaces = spm->escape_whitespaces = true;
    struct rad_spm_reader r = {.spm = spm, .path = file->path, .model_type = 1, .err = err};
    const unsigned char *bytes = (const unsigned char *)spm->file;
    RAD_TRY(read_model(&r, (struct rad_pb){bytes, bytes + file->len}));
    RAD_TRY(check_kind(&r));
    return rad_spm_index(&r, tok);
}

void rad_spm_free(void *state)
{
    struct rad_spm *spm = state;
    if (spm == NULL)
        return;
    free(spm->file);
    free(spm->piece);
    free(spm->slot);
    free(spm->user);
    free(spm);
}
