/* bpe_vocab.c - pieces and merges of a byte-pair encoding: checked, indexed, and as text. */
#include "base/hash.h"
#include "checkpoint/bpe.h"
#include "checkpoint/outside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the alphabet of GPT-2 ------------------------------------------------------------- */

/* Bytes that print as themselves in Latin-1 stand for themselves; the others, in order, are written
 * as the characters from U+0100 on. */
static bool prints(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
           (byte >= 0xae && byte <= 0xff);
}

/* The byte that a character stands for, or -1. */
static int byte_of(unsigned c)
{
    unsigned next = 0x100;
    if (c < 0x100)
        return prints(c) ? (int)c : -1;
    for (unsigned byte = 0; byte < 0x100 && next <= c; byte++)
        if (!prints(byte) && next++ == c)
            return (int)byte;
    return -1;
}

/* The bytes that text in the alphabet of GPT-2 stands for go to out[len]; returns how many, or -1
 * if a character is not of it. */
static int64_t bytes_of_text(const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        const unsigned char *u = (const unsigned char *)text + i;
        const size_t step = rad_ckpt_utf8(text + i, text + len);
        const unsigned c = step == 1   ? u[0]
                           : step == 2 ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu)
                                       : ~0u;
        const int byte = byte_of(c);
        if (byte < 0)
            return -1;
        out[n++] = (char)(unsigned char)byte;
        i += step;
    }
    return (int64_t)n;
}

/* ---- tables ---------------------------------------------------------------------------- */

static uint32_t slot_of(const struct rad_bpe *bpe, const char *text, size_t len)
{
    return (uint32_t)rad_hash(text, len, 0) & bpe->mask;
}

int32_t rad_bpe_find(const struct rad_bpe *bpe, const char *text, size_t len)
{
    for (uint32_t s = slot_of(bpe, text, len); bpe->slot[s] >= 0; s = (s + 1) & bpe->mask) {
        const uint32_t *at = &bpe->at[bpe->slot[s]];
        if (at[1] - at[0] == len && memcmp(bpe->text + at[0], text, len) == 0)
            return bpe->slot[s];
    }
    return -1;
}

static uint32_t join_slot(const struct rad_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t x = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(x >> 32) & bpe->join_mask;
}

const struct rad_bpe_join *rad_bpe_join_of(const struct rad_bpe *bpe, int32_t left, int32_t right)
{
    uint32_t s = join_slot(bpe, left, right);
    for (; bpe->join[s].id >= 0; s = (s + 1) & bpe->join_mask)
        if (bpe->join[s].left == left && bpe->join[s].right == right)
            return &bpe->join[s];
    return NULL;
}

static uint32_t room_for(size_t n)
{
    uint32_t room = 16;
    while (room < 2 * n)
        room *= 2;
    return room;
}

/* ---- building -------------------------------------------------------------------------- */

/* A vocabulary being built. */
struct build {
    struct rad_bpe *bpe;
    struct rad_bpe_spec *spec;
    rad_tokenizer *tok;
    const struct rad_added_token **added; /* [n] the added token of an id, or NULL */
    char *scratch;                        /* bytes of two pieces */
    struct rad_err *err;
};

static enum rad_status no_memory(const struct build *b)
{
    return rad_fail(b->err, RAD_E_NOMEM, "%s: no memory for %" PRId32 " pieces and %zu merges",
                    b->spec->path, b->spec->n_piece, b->spec->n_merge);
}

static enum rad_status check_added(struct build *b)
{
    b->added = calloc((size_t)b->spec->n_piece + 1, sizeof *b->added);
    if (b->added == NULL)
        return no_memory(b);
    for (size_t i = 0; i < b->spec->n_added; i++) {
        const struct rad_added_token *t = &b->spec->added[i];
        if (t->len == 0 || t->len > RAD_ADDED_LEN || !rad_ckpt_is_utf8(t->text, t->len))
            return rad_fail(b->err, RAD_E_PARSE,
                            "%s: added token %" PRId32
                            ": expected 1..%d bytes of UTF-8 without NUL",
                            b->spec->path, t->id, RAD_ADDED_LEN);
        b->added[t->id] = t;
    }
    return RAD_OK;
}

static enum rad_status check_piece(const struct build *b, int32_t id)
{
    const struct rad_slice *p = &b->spec->piece[id];
    const struct rad_added_token *t = b->added[id];
    if (p->data != NULL && t != NULL && (p->len != t->len || memcmp(p->data, t->text, p->len) != 0))
        return rad_fail(b->err, RAD_E_PARSE,
                        "%s: added token %" PRId32 ": the vocabulary has another text for it",
                        b->spec->path, id);
    if (p->data == NULL ||
        (p->len > 0 && p->len <= RAD_BPE_PIECE && rad_ckpt_is_utf8(p->data, p->len)))
        return RAD_OK;
    return rad_fail(b->err, RAD_E_PARSE,
                    "%s: piece %" PRId32 ": expected 1..%d bytes of UTF-8 without NUL",
                    b->spec->path, id, RAD_BPE_PIECE);
}

/* Enter a piece that words are made of; none twice. */
static enum rad_status enter(const struct build *b, int32_t id)
{
    struct rad_bpe *bpe = b->bpe;
    const char *text = bpe->text + bpe->at[id];
    const size_t len = bpe->at[id + 1] - bpe->at[id];
    const int32_t twin = rad_bpe_find(bpe, text, len);
    if (twin >= 0)
        return rad_fail(b->err, RAD_E_PARSE,
                        "%s: pieces %" PRId32 " and %" PRId32 " have the same text", b->spec->path,
                        twin, id);
    uint32_t s = slot_of(bpe, text, len);
    while (bpe->slot[s] >= 0)
        s = (s + 1) & bpe->mask;
    bpe->slot[s] = id;
    return RAD_OK;
}

/* The text of an id as the file writes it: a piece of the vocabulary, or only an added token. */
static struct rad_slice text_of(const struct build *b, int32_t id)
{
    const struct rad_added_token *t = b->added[id];
    const struct rad_slice p = b->spec->piece[id];
    return p.data == NULL && t != NULL ? (struct rad_slice){t->text, t->len} : p;
}

/* Its bytes. What is not in the alphabet is kept as it is, but is part of no word. */
static enum rad_status add_piece(const struct build *b, int32_t id)
{
    struct rad_bpe *bpe = b->bpe;
    const struct rad_slice p = text_of(b, id);
    char *text = bpe->text + bpe->at[id];
    bpe->at[id + 1] = bpe->at[id];
    if (p.data == NULL)
        return RAD_OK;
    const int64_t bytes = b->spec->byte_level ? bytes_of_text(p.data, p.len, text) : -1;
    if (bytes < 0)
        memcpy(text, p.data, p.len);
    const size_t len = bytes >= 0 ? (size_t)bytes : p.len;
    bpe->at[id + 1] += (uint32_t)len;
    if (b->spec->piece[id].data == NULL || (b->spec->byte_level && bytes < 0))
        return RAD_OK;
    bpe->by_word = bpe->by_word && !rad_word_mark_inside(text, len);
    int byte = -1;
    if (b->spec->byte_level)
        byte = bytes == 1 ? (unsigned char)*text : -1;
    else if (b->spec->byte_fallback)
        byte = rad_byte_piece(p.data, p.len);
    if (byte >= 0)
        bpe->byte_id[byte] = id;
    return enter(b, id);
}

static enum rad_status add_pieces(const struct build *b)
{
    struct rad_bpe *bpe = b->bpe;
    size_t bytes = 0;
    for (int32_t id = 0; id < b->spec->n_piece; id++) {
        RAD_TRY(check_piece(b, id));
        bytes += text_of(b, id).len;
    }
    const uint32_t room = room_for((size_t)b->spec->n_piece);
    bpe->n = b->spec->n_piece;
    bpe->text = malloc(bytes + 1);
    bpe->at = calloc((size_t)bpe->n + 1, sizeof *bpe->at);
    bpe->slot = malloc(room * sizeof *bpe->slot);
    if (bpe->text == NULL || bpe->at == NULL || bpe->slot == NULL)
        return no_memory(b);
    memset(bpe->slot, 0xff, room * sizeof *bpe->slot);
    bpe->mask = room - 1;
    for (int32_t id = 0; id < bpe->n; id++)
        RAD_TRY(add_piece(b, id));
    return RAD_OK;
}

/* ---- merges ---------------------------------------------------------------------------- */

/* The piece that a side of a merge names; its bytes go to out. -1: there is none. */
static int32_t side_of(const struct build *b, struct rad_slice side, char *out, size_t *len)
{
    int64_t bytes = -1;
    if (side.len == 0 || side.len > RAD_BPE_PIECE)
        return -1;
    if (b->spec->byte_level) {
        bytes = bytes_of_text(side.data, side.len, out);
    } else {
        memcpy(out, side.data, side.len);
        bytes = (int64_t)side.len;
    }
    *len = bytes >= 0 ? (size_t)bytes : 0;
    return bytes >= 0 ? rad_bpe_find(b->bpe, out, *len) : -1;
}

static enum rad_status add_merge(const struct build *b, size_t rank)
{
    const struct rad_bpe_merge *m = &b->spec->merge[rank];
    struct rad_bpe *bpe = b->bpe;
    size_t n_left = 0, n_right = 0;
    const int32_t left = side_of(b, m->left, b->scratch, &n_left);
    const int32_t right = left >= 0 ? side_of(b, m->right, b->scratch + n_left, &n_right) : -1;
    const int32_t id = right >= 0 ? rad_bpe_find(bpe, b->scratch, n_left + n_right) : -1;
    if (id < 0)
        return rad_fail(b->err, RAD_E_PARSE,
                        "%s: merge %zu: expected two pieces that make a third but found one that "
                        "the vocabulary has not",
                        b->spec->path, rank);
    if (rad_bpe_join_of(bpe, left, right) != NULL)
        return rad_fail(b->err, RAD_E_PARSE, "%s: merge %zu: the same pair as one before",
                        b->spec->path, rank);
    uint32_t s = join_slot(bpe, left, right);
    while (bpe->join[s].id >= 0)
        s = (s + 1) & bpe->join_mask;
    bpe->join[s] = (struct rad_bpe_join){left, right, id, (uint32_t)rank};
    return RAD_OK;
}

static enum rad_status add_merges(struct build *b)
{
    struct rad_bpe *bpe = b->bpe;
    const uint32_t room = room_for(b->spec->n_merge);
    b->scratch = malloc(2 * RAD_BPE_PIECE);
    bpe->join = malloc(room * sizeof *bpe->join);
    if (b->scratch == NULL || bpe->join == NULL)
        return no_memory(b);
    memset(bpe->join, 0xff, room * sizeof *bpe->join);
    bpe->join_mask = room - 1;
    for (size_t rank = 0; rank < b->spec->n_merge; rank++)
        RAD_TRY(add_merge(b, rank));
    return RAD_OK;
}

/* ---- what pieces look like ------------------------------------------------------------- */

/* The text of a piece when decoded: word marks are blanks, control tokens are nothing. */
static size_t put_surface(const struct build *b, int32_t id, char *out)
{
    const struct rad_bpe *bpe = b->bpe;
    const char *text = bpe->text + bpe->at[id], *end = bpe->text + bpe->at[id + 1];
    const bool may_be_byte = b->spec->byte_fallback && b->spec->piece[id].data != NULL;
    const struct rad_slice piece = b->spec->piece[id];
    const int byte = may_be_byte ? rad_byte_piece(piece.data, piece.len) : -1;
    size_t n = 0;
    if (b->added[id] != NULL && b->added[id]->special)
        return 0;
    if (byte >= 0 || (b->spec->byte_level && end - text == 1))
        b->tok->flags[id] = RAD_TOKEN_BYTE;
    if (byte >= 0) {
        out[0] = (char)(unsigned char)byte;
        return 1;
    }
    const bool marks = !b->spec->byte_level && b->added[id] == NULL;
    if (marks && rad_word_mark_at(text, end))
        b->tok->flags[id] = RAD_TOKEN_BLANK;
    while (text < end) {
        const bool mark = marks && rad_word_mark_at(text, end);
        out[n++] = mark ? ' ' : *text;
        text += mark ? RAD_WORD_MARK_LEN : 1;
    }
    return n;
}

static enum rad_status write_surfaces(const struct build *b)
{
    size_t at = 0;
    RAD_TRY(rad_tokenizer_room(b->tok, b->bpe->n, b->bpe->at[b->bpe->n], b->err));
    for (int32_t id = 0; id < b->bpe->n; id++) {
        at += put_surface(b, id, b->tok->surface + at);
        b->tok->surface_at[id + 1] = (uint32_t)at;
    }
    return RAD_OK;
}

enum rad_status rad_bpe_index(struct rad_bpe *bpe, struct rad_bpe_spec *spec, rad_tokenizer *tok,
                              struct rad_err *err)
{
    struct build b = {.bpe = bpe, .spec = spec, .tok = tok, .err = err};
    memset(bpe->byte_id, 0xff, sizeof bpe->byte_id);
    bpe->by_word = true;
    enum rad_status status = check_added(&b);
    if (status == RAD_OK)
        status = add_pieces(&b);
    if (status == RAD_OK)
        status = add_merges(&b);
    if (status == RAD_OK)
        status = write_surfaces(&b);
    free(b.added);
    free(b.scratch);
    return status;
}
