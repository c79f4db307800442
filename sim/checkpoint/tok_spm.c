/* tok_spm.c - sentencepiece BPE: text to pieces by merging, best score first.
 *
 * The text is normalized (blanks become marks, one mark in front), cut into characters, and the
 * adjacent pair whose joined text is the piece of the highest score is joined until none is left;
 * equal scores are joined from left to right. What is no piece then becomes its bytes, or the
 * unknown token. Source: Kudo and Richardson, SentencePiece, EMNLP 2018, and its BPE reference. */
#include "checkpoint/outside.h"
#include "checkpoint/spm.h"

#include <stdlib.h>
#include <string.h>

/* A run of text that is, or may become, one token; a doubly linked list in the order of text. */
struct symbol {
    const char *text;
    uint32_t len; /* 0: joined to its left neighbour */
    int32_t prev, next;
    int32_t id;  /* -1: no piece */
    bool frozen; /* user-defined: never joined */
};

/* A pair that may be joined; it is stale once a side has changed. */
struct pair {
    float score;
    int32_t left, right;
    uint32_t len; /* of both sides */
    int32_t id;
};

/* One encoding under way. */
struct work {
    const struct rad_spm *spm;
    struct symbol *symbol; /* [n] of n_room */
    size_t n, n_room;
    struct pair *heap; /* [n_pair] of pair_room, the best first */
    size_t n_pair, pair_room;
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
            put(out, RAD_SPM_MARK, RAD_SPM_MARK_LEN);
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
    const char *mark = spm->escape_whitespaces ? RAD_SPM_MARK : " ";
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

/* ---- the heap of pairs ----------------------------------------------------------------- */

static bool better(const struct pair *a, const struct pair *b)
{
    return a->score > b->score || (!(a->score < b->score) && a->left < b->left);
}

static enum rad_status push(struct work *w, const struct pair *pair)
{
    if (w->n_pair == w->pair_room) {
        const size_t room = w->pair_room > 0 ? 2 * w->pair_room : 256;
        struct pair *grown = realloc(w->heap, room * sizeof *grown);
        if (grown == NULL)
            return rad_fail(w->err, RAD_E_NOMEM, "cannot allocate %zu pairs", room);
        w->heap = grown;
        w->pair_room = room;
    }
    size_t i = w->n_pair++;
    for (; i > 0 && better(pair, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = *pair;
    return RAD_OK;
}

static struct pair pop(struct work *w)
{
    const struct pair top = w->heap[0], last = w->heap[--w->n_pair];
    size_t i = 0;
    for (size_t child = 1; child < w->n_pair; child = 2 * i + 1) {
        if (child + 1 < w->n_pair && better(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!better(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
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

static enum rad_status add_symbol(struct work *w, const char *text, const char *end)
{
    if (w->n == w->n_room) {
        const size_t room = w->n_room > 0 ? 2 * w->n_room : 256;
        struct symbol *grown = realloc(w->symbol, room * sizeof *grown);
        if (grown == NULL)
            return rad_fail(w->err, RAD_E_NOMEM, "cannot allocate %zu symbols", room);
        w->symbol = grown;
        w->n_room = room;
    }
    const int32_t user = match_user(w->spm, text, end), i = (int32_t)w->n;
    const size_t len = user >= 0 ? w->spm->piece[user].len : rad_ckpt_utf8(text, end);
    w->symbol[w->n++] = (struct symbol){
        .text = text,
        .len = (uint32_t)len,
        .prev = i - 1,
        .next = i + 1,
        .id = user >= 0 ? user : rad_spm_find(w->spm, text, len),
        .frozen = user >= 0,
    };
    return RAD_OK;
}

/* Offer the pair (left, right) if both exist and their joined text is a piece. */
static enum rad_status offer(struct work *w, int32_t left, int32_t right)
{
    if (left < 0 || right < 0 || w->symbol[left].frozen || w->symbol[right].frozen)
        return RAD_OK;
    const struct symbol *a = &w->symbol[left];
    const uint32_t len = a->len + w->symbol[right].len;
    const int32_t id = rad_spm_find(w->spm, a->text, len);
    if (id < 0)
        return RAD_OK;
    return push(w, &(struct pair){w->spm->piece[id].score, left, right, len, id});
}

static enum rad_status join(struct work *w, const struct pair *p)
{
    struct symbol *a = &w->symbol[p->left], *b = &w->symbol[p->right];
    if (a->len == 0 || b->len == 0 || a->len + b->len != p->len)
        return RAD_OK; /* stale */
    a->len = p->len;
    a->id = p->id;
    a->next = b->next;
    if (b->next >= 0)
        w->symbol[b->next].prev = p->left;
    b->len = 0;
    RAD_TRY(offer(w, a->prev, p->left));
    return offer(w, p->left, a->next);
}

/* ---- out ------------------------------------------------------------------------------- */

static enum rad_status emit(struct work *w, const struct symbol *s)
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
    w->n = w->n_pair = 0;
    for (; at < end; at += w->symbol[w->n - 1].len)
        RAD_TRY(add_symbol(w, at, end));
    w->symbol[w->n - 1].next = -1;
    for (size_t i = 1; i < w->n; i++)
        RAD_TRY(offer(w, (int32_t)i - 1, (int32_t)i));
    while (w->n_pair > 0) {
        const struct pair best = pop(w);
        RAD_TRY(join(w, &best));
    }
    for (int32_t i = 0; i >= 0; i = w->symbol[i].next)
        RAD_TRY(emit(w, &w->symbol[i]));
    return RAD_OK;
}

/* The end of the part that can be encoded by itself: no piece joins it to what follows. */
static const char *unit_end(const struct rad_spm *spm, const char *at, const char *end)
{
    bool other = false;
    while (at < end && spm->by_word) {
        const bool mark = end - at >= RAD_SPM_MARK_LEN && memcmp(at, RAD_SPM_MARK, 3) == 0;
        if (mark && other)
            return at;
        other = other || !mark;
        at += mark ? RAD_SPM_MARK_LEN : 1;
    }
    return end;
}

static enum rad_status encode(const rad_tokenizer *tok, const struct rad_text *text,
                              struct rad_ids *out, struct rad_err *err)
{
    const struct rad_spm *spm = tok->state;
    struct rad_buf normal = {0};
    struct work w = {.spm = spm, .out = out, .err = err};
    normalize(spm, text, &normal);
    enum rad_status status = RAD_OK;
    if (normal.failed)
        status = rad_fail(err, RAD_E_NOMEM, "cannot normalize %zu bytes of text", text->len);
    for (size_t at = 0; status == RAD_OK && at < normal.len;) {
        const char *begin = normal.data + at;
        const char *stop = unit_end(spm, begin, normal.data + normal.len);
        status = encode_unit(&w, begin, stop);
        at = (size_t)(stop - normal.data);
    }
    rad_buf_free(&normal);
    free(w.symbol);
    free(w.heap);
    return status;
}

const struct rad_tokenizer_type rad_tokenizer_type_spm = {
    .kind = "sentencepiece",
    .file = "tokenizer.model",
    .parse = rad_spm_parse,
    .encode = encode,
    .free = rad_spm_free,
};
