/* tok_spm.c - sentencepiece BPE: text to pieces by merging, best score first.
 *
 * The text is normalized (blanks become marks, one mark in front), cut into characters, and the
 * adjacent pair whose joined text is the piece of the highest score is joined until none is left;
 * equal scores are joined from left to right. What is no piece then becomes its bytes, or the
 * unknown token. Source: Kudo and Richardson, SentencePiece, EMNLP 2018, and its BPE reference. */
#include "checkpoint/outside.h"
#include "checkpoint/pairs.h"
#include "checkpoint/spm.h"

#include <stdlib.h>
#include <string.h>

/* One encoding under way. */
struct work {
    const struct rad_spm *spm;
    struct rad_pairs pairs;
    bool last_unknown;
    struct rad_ids *out;
    struct rad_err *err;
};

/* ---- normalization --------------------------------------------------------------------- */

static void put(struct rad_buf *out, const char *text, size_t len)
{
    rad_buf_append(out, text, len);
}

static void normalize_from(const struct rad_spm *spm, const char *at, const char *end,
                           struct rad_buf *out)
{
    bool after_blank = spm->remove_extra_whitespaces;
    while (at < end) {
        const size_t step = rad_ckpt_utf8(at, end);
        const bool blank = *at == ' ';
        if (blank && after_blank)
            ; /* one blank is enough */
        else if (blank && spm->escape_whitespaces)
            put(out, RAD_WORD_MARK, RAD_WORD_MARK_LEN);
        else if (step == 0)
            put(out, "\xef\xbf\xbd", 3); /* U+FFFD, as the reference does */
        else
            put(out, at, step);
        after_blank = blank && spm->remove_extra_whitespaces;
        at += step > 0 ? step : 1;
    }
}

/* The text that pieces are made of. */
static void normalize(const struct rad_spm *spm, const struct rad_text *text, struct rad_buf *out)
{
    const char *mark = spm->escape_whitespaces ? RAD_WORD_MARK : " ";
    const size_t len = strlen(mark);
    if (text->len == 0)
        return;
    const char *at = text->data, *end = text->data + text->len;
    while (spm->remove_extra_whitespaces && at < end && *at == ' ')
        at++;
    if (at == end)
        return;
    if (spm->add_dummy_prefix)
        put(out, mark, len);
    normalize_from(spm, at, end, out);
    /* At the end, marks that stood in the text go too, as in the reference. */
    while (spm->remove_extra_whitespaces && out->len >= len &&
           memcmp(out->data + out->len - len, mark, len) == 0)
        out->len -= len;
}

/* ---- symbols --------------------------------------------------------------------------- */

/* The first of user[lo..hi) whose byte at place d is at least c; they share their first d bytes. */
static int32_t first_from(const struct rad_spm *spm, int32_t lo, int32_t hi, uint32_t d, int c)
{
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        const struct rad_spm_piece *p = &spm->piece[spm->user[mid]];
        const int byte = d < p->len ? (unsigned char)p->text[d] : -1;
        if (byte < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest user-defined piece that text begins with, or -1. */
static int32_t match_user(const struct rad_spm *spm, const char *text, const char *end)
{
    int32_t lo = 0, hi = spm->n_user, best = -1;
    for (uint32_t d = 0; text + d < end && lo < hi; d++) {
        const int c = (unsigned char)text[d];
        lo = first_from(spm, lo, hi, d, c);
        hi = first_from(spm, lo, hi, d, c + 1);
        if (lo < hi && spm->piece[spm->user[lo]].len == d + 1)
            best = spm->user[lo];
    }
    return best;
}

/* Bytes of the symbol that text begins with; *id is -1 if it is no piece. */
static size_t first_symbol(const struct rad_spm *spm, const char *text, const char *end,
                           int32_t *id)
{
    const int32_t user = match_user(spm, text, end);
    const size_t len = user >= 0 ? spm->piece[user].len : rad_ckpt_utf8(text, end);
    *id = user >= 0 ? user : rad_spm_find(spm, text, len);
    return len;
}

/* User-defined pieces are never joined: the text of a longer one was taken as a whole. */
static bool frozen(const struct rad_spm *spm, const struct rad_side *side)
{
    return side->id >= 0 && spm->piece[side->id].type == RAD_SPM_USER_DEFINED;
}

/* Scores as ranks: the order of floats, turned round. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 ranks as 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 != 0 ? bits : ~bits & 0x7fffffff;
}

static bool rank_pair(const void *vocab, const struct rad_side *left, const struct rad_side *right,
                      uint32_t *rank, int32_t *id)
{
    const struct rad_spm *spm = vocab;
    if (frozen(spm, left) || frozen(spm, right))
        return false;
    *id = rad_spm_find(spm, left->text, left->len + right->len);
    *rank = *id >= 0 ? rank_of(spm->piece[*id].score) : 0;
    return *id >= 0;
}

/* ---- out ------------------------------------------------------------------------------- */

static enum rad_status emit(struct work *w, const struct rad_side *s)
{
    const struct rad_spm *spm = w->spm;
    const bool unknown = s->id < 0;
    if (unknown && spm->byte_fallback) {
        for (uint32_t i = 0; i < s->len; i++)
            RAD_TRY(rad_ids_add(w->out, spm->byte_id[(unsigned char)s->text[i]], w->err));
        return RAD_OK;
    }
    if (unknown && w->last_unknown)
        return RAD_OK; /* a run of unknown text is one token */
    w->last_unknown = unknown;
    return rad_ids_add(w->out, unknown ? spm->unk : s->id, w->err);
}

static enum rad_status encode_unit(struct work *w, const char *at, const char *end)
{
    struct rad_pairs *p = &w->pairs;
    rad_pairs_begin(p, at);
    while (at < end) {
        int32_t id;
        const size_t len = first_symbol(w->spm, at, end, &id);
        RAD_TRY(rad_pairs_add(p, (uint32_t)len, id, w->err));
        at += len;
    }
    RAD_TRY(rad_pairs_join(p, w->err));
    for (int32_t i = 0; i >= 0; i = p->symbol[i].next) {
        const struct rad_side side = rad_pairs_side(p, i);
        RAD_TRY(emit(w, &side));
    }
    return RAD_OK;
}

static enum rad_status encode(const rad_tokenizer *tok, const struct rad_text *text,
                              struct rad_ids *out, struct rad_err *err)
{
    const struct rad_spm *spm = tok->state;
    struct rad_buf normal = {0};
    struct work w = {
        .spm = spm, .pairs = {.rank = rank_pair, .vocab = spm}, .out = out, .err = err};
    normalize(spm, text, &normal);
    enum rad_status status = RAD_OK;
    if (normal.failed)
        status = rad_fail(err, RAD_E_NOMEM, "cannot normalize %zu bytes of text", text->len);
    for (size_t at = 0; status == RAD_OK && at < normal.len;) {
        /* A part that can be encoded by itself: no piece joins it to what follows. */
        const char *begin = normal.data + at, *end = normal.data + normal.len;
        const char *stop = spm->by_word ? rad_word_end(begin, end) : end;
        status = encode_unit(&w, begin, stop);
        at = (size_t)(stop - normal.data);
    }
    rad_buf_free(&normal);
    rad_pairs_free(&w.pairs);
    return status;
}

const struct rad_tokenizer_type rad_tokenizer_type_spm = {
    .kind = "sentencepiece",
    .encode = encode,
    .free = rad_spm_free,
};

const struct rad_tokenizer_source rad_tokenizer_source_spm = {
    .file = {"tokenizer.model"},
    .n_needed = 1,
    .read = rad_spm_read,
};
