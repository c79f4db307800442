/* tok_bpe.c - byte-pair encoding with merges: text to words, words to pieces.
 *
 * A word that came before is copied from the ids that it became then, so most of a long text is one
 * look into a table per word. A byte that is no UTF-8 is a word of its own: no regular expression
 * sees it, and a vocabulary of bytes has it. */
#include "base/hash.h"
#include "checkpoint/bpe.h"
#include "checkpoint/outside.h"
#include "checkpoint/pairs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE = 1 << 14 };

/* A word that was encoded, and where its ids are. */
struct seen {
    uint32_t at, len;  /* in the text of words; len 0: empty */
    uint32_t first, n; /* of the ids */
};

/* Part of a text. */
struct span {
    size_t at, end;
};

/* One encoding under way. */
struct work {
    const struct rad_bpe *bpe;
    const char *source; /* the text given */
    struct rad_buf buf; /* what steps made of it */
    bool rewritten;     /* words are parts of buf, else of source */
    struct rad_splitter *splitter[RAD_BPE_STEPS];
    struct rad_pairs pairs;
    struct seen *seen; /* [CACHE] */
    struct rad_ids *out;
    struct rad_err *err;
};

static const char *words_text(const struct work *w)
{
    return w->rewritten ? w->buf.data : w->source;
}

/* ---- words to pieces ------------------------------------------------------------------- */

static bool rank_pair(const void *vocab, const struct rad_side *left, const struct rad_side *right,
                      uint32_t *rank, int32_t *id)
{
    const struct rad_bpe_join *join = NULL;
    if (left->id >= 0 && right->id >= 0)
        join = rad_bpe_join_of(vocab, left->id, right->id);
    *rank = join != NULL ? join->rank : 0;
    *id = join != NULL ? join->id : -1;
    return join != NULL;
}

/* Bytes of the symbol that text begins with; *id is -1 if it is no piece. */
static size_t first_symbol(const struct rad_bpe *bpe, const char *text, const char *end,
                           int32_t *id)
{
    if (bpe->byte_level) {
        *id = bpe->byte_id[(unsigned char)*text];
        return 1;
    }
    const size_t step = rad_ckpt_utf8(text, end);
    *id = step > 0 ? rad_bpe_find(bpe, text, step) : -1;
    return step > 0 ? step : 1;
}

/* A character that no piece has: its bytes if all have pieces, or the unknown token. */
static enum rad_status emit_unknown(struct work *w, const struct rad_side *s, bool after_unknown)
{
    const struct rad_bpe *bpe = w->bpe;
    bool bytes = bpe->byte_fallback;
    for (uint32_t i = 0; i < s->len; i++)
        bytes = bytes && bpe->byte_id[(unsigned char)s->text[i]] >= 0;
    if (!bytes && bpe->unk < 0)
        return rad_fail(w->err, RAD_E_RANGE,
                        "the vocabulary has no piece for byte 0x%02x of the text, and none for "
                        "unknown text",
                        (unsigned)(unsigned char)s->text[0]);
    if (!bytes)
        return after_unknown && bpe->fuse_unk ? RAD_OK : rad_ids_add(w->out, bpe->unk, w->err);
    for (uint32_t i = 0; i < s->len; i++)
        RAD_TRY(rad_ids_add(w->out, bpe->byte_id[(unsigned char)s->text[i]], w->err));
    return RAD_OK;
}

static enum rad_status merge_word(struct work *w, const char *text, const char *end)
{
    struct rad_pairs *p = &w->pairs;
    rad_pairs_begin(p, text);
    while (text < end) {
        int32_t id;
        const size_t len = first_symbol(w->bpe, text, end, &id);
        RAD_TRY(rad_pairs_add(p, (uint32_t)len, id, w->err));
        text += len;
    }
    RAD_TRY(rad_pairs_join(p, w->err));
    bool after_unknown = false;
    for (int32_t i = 0; i >= 0; i = p->symbol[i].next) {
        const struct rad_side side = rad_pairs_side(p, i);
        RAD_TRY(side.id >= 0 ? rad_ids_add(w->out, side.id, w->err)
                             : emit_unknown(w, &side, after_unknown));
        after_unknown = side.id < 0;
    }
    return RAD_OK;
}

static enum rad_status encode_word(struct work *w, struct span word)
{
    const char *base = words_text(w), *text = base + word.at;
    const size_t len = word.end - word.at;
    struct seen *seen = &w->seen[rad_hash(text, len, 0) % CACHE];
    if (seen->len == len && memcmp(base + seen->at, text, len) == 0) {
        for (uint32_t i = 0; i < seen->n; i++)
            RAD_TRY(rad_ids_add(w->out, w->out->id[seen->first + i], w->err));
        return RAD_OK;
    }
    const size_t first = w->out->n;
    const int32_t whole = w->bpe->ignore_merges ? rad_bpe_find(w->bpe, text, len) : -1;
    RAD_TRY(whole >= 0 ? rad_ids_add(w->out, whole, w->err) : merge_word(w, text, text + len));
    *seen = (struct seen){(uint32_t)word.at, (uint32_t)len, (uint32_t)first,
                          (uint32_t)(w->out->n - first)};
    return RAD_OK;
}

/* ---- text to words --------------------------------------------------------------------- */

/* Where a word of marks ends: before every further mark, or where no piece can reach over. */
static const char *mark_end(const struct rad_bpe *bpe, const char *at, const char *end)
{
    if (!bpe->steps.split_marks)
        return bpe->by_word ? rad_word_end(at, end) : end;
    at += rad_word_mark_at(at, end) ? RAD_WORD_MARK_LEN : 1;
    while (at < end && !rad_word_mark_at(at, end))
        at++;
    return at;
}

static enum rad_status encode_words(struct work *w, struct span part)
{
    if (w->bpe->byte_level)
        return encode_word(w, part);
    const char *base = words_text(w);
    while (part.at < part.end) {
        const char *stop = mark_end(w->bpe, base + part.at, base + part.end);
        const struct span word = {part.at, (size_t)(stop - base)};
        RAD_TRY(encode_word(w, word));
        part.at = word.end;
    }
    return RAD_OK;
}

static size_t after_char(const char *text, size_t at, size_t len)
{
    return at < len ? at + rad_ckpt_utf8(text + at, text + len) : at + 1;
}

/* Cut by the splits from `level` on, each of which sees nothing but its part. */
static enum rad_status split(struct work *w, int level, struct span part)
{
    if (level == w->bpe->steps.n_split)
        return encode_words(w, part);
    const char *text = words_text(w) + part.at;
    const size_t len = part.end - part.at;
    const bool keep_gaps = rad_split_keeps_gaps(w->bpe->steps.split[level]);
    for (size_t last = 0, from = 0; from < len || last < len;) {
        size_t begin, end;
        RAD_TRY(rad_splitter_find(w->splitter[level], text, len, from, &begin, &end, w->err));
        if (begin > last && keep_gaps)
            RAD_TRY(split(w, level + 1, (struct span){part.at + last, part.at + begin}));
        if (end > begin)
            RAD_TRY(split(w, level + 1, (struct span){part.at + begin, part.at + end}));
        last = end;
        from = end > begin ? end : after_char(text, end, len);
    }
    return RAD_OK;
}

static enum rad_status split_valid(struct work *w, struct span part)
{
    const char *text = words_text(w), *end = text + part.end;
    if (w->bpe->steps.n_split == 0)
        return encode_words(w, part);
    for (size_t at = part.at; at < part.end;) {
        struct span run = {at, at};
        size_t step;
        while (run.end < part.end && (step = rad_ckpt_utf8(text + run.end, end)) > 0)
            run.end += step;
        at = run.end;
        if (run.end > run.at)
            RAD_TRY(split(w, 0, run));
        while (at < part.end && rad_ckpt_utf8(text + at, end) == 0)
            at++;
        if (at > run.end)
            RAD_TRY(encode_words(w, (struct span){run.end, at}));
    }
    return RAD_OK;
}

/* ---- from the text given to that of words ---------------------------------------------- */

/* Put a blank in front and turn blanks into marks: the part is written anew. */
static enum rad_status write_marks(struct work *w, struct span *part, bool in_buf, bool first)
{
    const struct rad_bpe_steps *steps = &w->bpe->steps;
    const char *blank = steps->marks ? RAD_WORD_MARK : " ";
    const size_t n_blank = strlen(blank), begin = w->buf.len;
    const char *text = (in_buf ? w->buf.data : w->source) + part->at;
    const size_t len = part->end - part->at;
    const bool has_one = *text == ' ' || (steps->marks && rad_word_mark_at(text, text + len));
    if (!has_one &&
        (steps->prefix == RAD_PREFIX_ALWAYS || (steps->prefix == RAD_PREFIX_FIRST && first)))
        rad_buf_append(&w->buf, blank, n_blank);
    for (size_t i = part->at; i < part->end && !w->buf.failed; i++) {
        const char c = (in_buf ? w->buf.data : w->source)[i]; /* buf may move */
        if (c == ' ')
            rad_buf_append(&w->buf, blank, n_blank);
        else
            rad_buf_append(&w->buf, &c, 1);
    }
    *part = (struct span){begin, w->buf.len};
    return w->buf.failed ? rad_fail(w->err, RAD_E_NOMEM, "cannot rewrite %zu bytes of text", len)
                         : RAD_OK;
}

static enum rad_status encode_part(struct work *w, struct span part, bool in_buf, bool first)
{
    const struct rad_bpe_steps *steps = &w->bpe->steps;
    if (part.at == part.end)
        return RAD_OK;
    if (steps->marks || steps->prefix != RAD_PREFIX_NEVER)
        RAD_TRY(write_marks(w, &part, in_buf, first));
    return split_valid(w, part);
}

/* A part without added tokens of the first kind. */
static enum rad_status encode_rest(struct work *w, struct span rest)
{
    const bool first = rest.at == 0;
    if (w->bpe->steps.n_normal == 0)
        return encode_part(w, rest, false, first);
    const size_t begin = w->buf.len;
    RAD_TRY(rad_bpe_normalize(&w->bpe->steps, w->source + rest.at, rest.end - rest.at, &w->buf,
                              w->err));
    const size_t len = w->buf.len - begin;
    struct rad_added_hit hit = {0, 0, -1};
    for (size_t at = 0; at < len; at = hit.end) {
        const bool found =
            w->bpe->added_normal.n > 0 &&
            rad_added_next(&w->bpe->added_normal, w->buf.data + begin, len, at, &hit);
        const size_t stop = found ? hit.begin : len;
        RAD_TRY(encode_part(w, (struct span){begin + at, begin + stop}, true, first && at == 0));
        if (!found)
            break;
        RAD_TRY(rad_ids_add(w->out, hit.id, w->err));
    }
    return RAD_OK;
}

static enum rad_status encode_text(struct work *w, size_t len)
{
    const struct rad_added *added = &w->bpe->added;
    struct rad_added_hit hit = {0, 0, -1};
    for (size_t at = 0; at < len; at = hit.end) {
        const bool found = added->n > 0 && rad_added_next(added, w->source, len, at, &hit);
        if (at < len)
            RAD_TRY(encode_rest(w, (struct span){at, found ? hit.begin : len}));
        if (!found)
            break;
        RAD_TRY(rad_ids_add(w->out, hit.id, w->err));
    }
    return RAD_OK;
}

static enum rad_status encode(const rad_tokenizer *tok, const struct rad_text *text,
                              struct rad_ids *out, struct rad_err *err)
{
    const struct rad_bpe *bpe = tok->state;
    struct work w = {.bpe = bpe, .source = text->data, .out = out, .err = err};
    w.pairs.rank = rank_pair;
    w.pairs.vocab = bpe;
    w.rewritten = bpe->steps.n_normal > 0 || bpe->steps.marks ||
                  bpe->steps.prefix != RAD_PREFIX_NEVER;
    w.seen = calloc(CACHE, sizeof *w.seen);
    enum rad_status status = w.seen != NULL ? RAD_OK
                                            : rad_fail(err, RAD_E_NOMEM, "no memory for words");
    for (int i = 0; i < bpe->steps.n_split && status == RAD_OK; i++)
        status = rad_splitter_open(&w.splitter[i], bpe->steps.split[i], text->len, err);
    if (status == RAD_OK)
        status = encode_text(&w, text->len);
    for (int i = 0; i < bpe->steps.n_split; i++)
        rad_splitter_close(w.splitter[i]);
    rad_buf_free(&w.buf);
    rad_pairs_free(&w.pairs);
    free(w.seen);
    return status;
}

const struct rad_tokenizer_type rad_tokenizer_type_bpe = {
    .kind = "bpe",
    .encode = encode,
    .free = rad_bpe_free,
};
