/* spm_vocab.c - the pieces of a sentencepiece vocabulary: checked, indexed, and as text. */
#include "base/hash.h"
#include "checkpoint/outside.h"
#include "checkpoint/spm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char unk_surface[] = " \xe2\x81\x87 "; /* what sentencepiece prints for <unk> */

static bool textual(const struct rad_spm_piece *p)
{
    return p->type == RAD_SPM_NORMAL || p->type == RAD_SPM_USER_DEFINED;
}

static uint32_t slot_of(const struct rad_spm *spm, const char *text, size_t len)
{
    return (uint32_t)rad_hash(text, len, 0) & spm->mask;
}

int32_t rad_spm_find(const struct rad_spm *spm, const char *text, size_t len)
{
    if (len > spm->longest)
        return -1;
    for (uint32_t s = slot_of(spm, text, len); spm->slot[s] >= 0; s = (s + 1) & spm->mask) {
        const struct rad_spm_piece *p = &spm->piece[spm->slot[s]];
        if (p->len == len && memcmp(p->text, text, len) == 0)
            return spm->slot[s];
    }
    return -1;
}

static enum rad_status check_piece(const struct rad_spm_reader *r, int32_t id)
{
    const struct rad_spm_piece *p = &r->spm->piece[id];
    if (p->len == 0 || !rad_ckpt_is_utf8(p->text, p->len))
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: piece %" PRId32 ": expected UTF-8 text without NUL, not empty",
                        r->path, id);
    if (p->type == RAD_SPM_UNUSED)
        return rad_fail(r->err, RAD_E_UNSUPPORTED,
                        "%s: piece %" PRId32 ": pieces marked as unused are not supported", r->path,
                        id);
    if (p->type == RAD_SPM_BYTE && !r->spm->byte_fallback)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: piece %" PRId32 ": a byte piece without byte_fallback", r->path, id);
    return RAD_OK;
}

/* Enter a piece that text can have; none twice. */
static enum rad_status enter(struct rad_spm_reader *r, int32_t id)
{
    struct rad_spm *spm = r->spm;
    const struct rad_spm_piece *p = &spm->piece[id];
    const int32_t twin = rad_spm_find(spm, p->text, p->len);
    if (twin >= 0)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: pieces %" PRId32 " and %" PRId32 " have the same text", r->path, twin,
                        id);
    uint32_t s = slot_of(spm, p->text, p->len);
    while (spm->slot[s] >= 0)
        s = (s + 1) & spm->mask;
    spm->slot[s] = id;
    return RAD_OK;
}

static enum rad_status index_pieces(struct rad_spm_reader *r)
{
    struct rad_spm *spm = r->spm;
    uint32_t room = 16;
    while (room < 2 * (uint32_t)spm->n)
        room *= 2;
    spm->slot = malloc(room * sizeof spm->slot[0]);
    spm->user = malloc(((size_t)spm->n + 1) * sizeof spm->user[0]);
    if (spm->slot == NULL || spm->user == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: cannot index the pieces", r->path);
    memset(spm->slot, 0xff, room * sizeof spm->slot[0]);
    spm->mask = room - 1;
    spm->by_word = true;
    for (int32_t id = 0; id < spm->n; id++) {
        const struct rad_spm_piece *p = &spm->piece[id];
        RAD_TRY(check_piece(r, id));
        if (!textual(p))
            continue;
        spm->longest = p->len > spm->longest ? p->len : spm->longest;
        spm->by_word = spm->by_word && !rad_word_mark_inside(p->text, p->len);
        RAD_TRY(enter(r, id));
        if (p->type == RAD_SPM_USER_DEFINED)
            spm->user[spm->n_user++] = id;
    }
    return RAD_OK;
}

static enum rad_status find_unknown(struct rad_spm_reader *r)
{
    int32_t n = 0;
    for (int32_t id = 0; id < r->spm->n; id++) {
        if (r->spm->piece[id].type != RAD_SPM_UNKNOWN)
            continue;
        r->spm->unk = id;
        n++;
    }
    if (n != 1)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: expected one piece for unknown text but found %" PRId32, r->path, n);
    return RAD_OK;
}

/* With byte fallback there is a piece for every byte. */
static enum rad_status find_bytes(struct rad_spm_reader *r)
{
    struct rad_spm *spm = r->spm;
    int found = 0;
    memset(spm->byte_id, 0xff, sizeof spm->byte_id);
    for (int32_t id = 0; id < spm->n; id++) {
        if (spm->piece[id].type != RAD_SPM_BYTE)
            continue;
        const int byte = rad_byte_piece(spm->piece[id].text, spm->piece[id].len);
        if (byte < 0 || spm->byte_id[byte] >= 0)
            return rad_fail(r->err, RAD_E_PARSE,
                            "%s: piece %" PRId32 ": expected a byte <0x00>..<0xFF>, each once",
                            r->path, id);
        spm->byte_id[byte] = id;
        found++;
    }
    if (spm->byte_fallback && found != 256)
        return rad_fail(r->err, RAD_E_PARSE,
                        "%s: expected 256 byte pieces for byte_fallback but found %d", r->path,
                        found);
    return RAD_OK;
}

/* The id of the control piece called so, or -1. */
static int32_t find_control(const struct rad_spm *spm, const struct rad_pb_field *name,
                            const char *def)
{
    const bool named = name->data != NULL && name->len > 0;
    const void *text = named ? (const void *)name->data : def;
    const size_t len = named ? name->len : strlen(def);
    for (int32_t id = 0; id < spm->n; id++) {
        const struct rad_spm_piece *p = &spm->piece[id];
        if (p->type == RAD_SPM_CONTROL && p->len == len && memcmp(p->text, text, len) == 0)
            return id;
    }
    return -1;
}

/* qsort has no context: sort pointers to pieces, then keep their ids. */
static int by_bytes(const void *a, const void *b)
{
    const struct rad_spm_piece *const *x = a, *const *y = b;
    const uint32_t len = (*x)->len < (*y)->len ? (*x)->len : (*y)->len;
    const int order = memcmp((*x)->text, (*y)->text, len);
    return order != 0 ? order : ((*x)->len > (*y)->len) - ((*x)->len < (*y)->len);
}

static enum rad_status sort_user(struct rad_spm_reader *r)
{
    struct rad_spm *spm = r->spm;
    const struct rad_spm_piece **sorted = malloc(((size_t)spm->n_user + 1) * sizeof *sorted);
    if (sorted == NULL)
        return rad_fail(r->err, RAD_E_NOMEM, "%s: cannot sort the pieces", r->path);
    for (int32_t i = 0; i < spm->n_user; i++)
        sorted[i] = &spm->piece[spm->user[i]];
    qsort(sorted, (size_t)spm->n_user, sizeof *sorted, by_bytes);
    for (int32_t i = 0; i < spm->n_user; i++)
        spm->user[i] = (int32_t)(sorted[i] - spm->piece);
    free(sorted);
    return RAD_OK;
}

/* ---- what the pieces look like as text ------------------------------------------------- */

static size_t put_surface(char *out, const struct rad_spm_piece *p)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->len; i++) {
        const bool mark = rad_word_mark_at(p->text + i, p->text + p->len);
        out[n++] = mark ? ' ' : p->text[i];
        i += mark ? RAD_WORD_MARK_LEN - 1 : 0;
    }
    return n;
}

static size_t put_piece(const struct rad_spm_reader *r, rad_tokenizer *tok, int32_t id, char *out)
{
    const struct rad_spm_piece *p = &r->spm->piece[id];
    if (p->type == RAD_SPM_CONTROL)
        return 0;
    if (p->type == RAD_SPM_BYTE) {
        tok->flags[id] = RAD_TOKEN_BYTE;
        out[0] = (char)(unsigned char)rad_byte_piece(p->text, p->len);
        return 1;
    }
    if (p->type == RAD_SPM_UNKNOWN) {
        const bool named = r->unk.data != NULL;
        const size_t len = named ? r->unk.len : sizeof unk_surface - 1;
        memcpy(out, named ? (const void *)r->unk.data : unk_surface, len);
        return len;
    }
    if (rad_word_mark_at(p->text, p->text + p->len))
        tok->flags[id] = RAD_TOKEN_BLANK;
    return put_surface(out, p);
}

static enum rad_status write_surfaces(const struct rad_spm_reader *r, rad_tokenizer *tok)
{
    const struct rad_spm *spm = r->spm;
    size_t room = sizeof unk_surface + r->unk.len;
    for (int32_t id = 0; id < spm->n; id++)
        room += spm->piece[id].len;
    RAD_TRY(rad_tokenizer_room(tok, spm->n, room, r->err));
    size_t at = 0;
    for (int32_t id = 0; id < spm->n; id++) {
        at += put_piece(r, tok, id, tok->surface + at);
        tok->surface_at[id + 1] = (uint32_t)at;
    }
    return RAD_OK;
}

enum rad_status rad_spm_index(struct rad_spm_reader *r, rad_tokenizer *tok)
{
    struct rad_spm *spm = r->spm;
    RAD_TRY(index_pieces(r));
    RAD_TRY(find_unknown(r));
    RAD_TRY(find_bytes(r));
    RAD_TRY(sort_user(r));
    tok->bos = find_control(spm, &r->bos, "<s>");
    tok->eos = find_control(spm, &r->eos, "</s>");
    tok->strip_one = spm->add_dummy_prefix;
    tok->strip_all = spm->remove_extra_whitespaces;
    return write_surfaces(r, tok);
}
