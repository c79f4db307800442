/* spm_make.c - small sentencepiece models made up in memory, and merging done the slow way. */
#include "spm_make.h"

#include <stdio.h>
#include <string.h>

const struct made_piece made_pieces[] = {
    {MARK, -10.0f, NORMAL},    {"a", -11.0f, NORMAL},     {"b", -12.0f, NORMAL},
    {"c", -13.0f, NORMAL},     {"ab", -1.0f, NORMAL},     {"bc", -0.5f, NORMAL},
    {MARK "a", -2.0f, NORMAL}, {MARK "ab", -3, NORMAL},   {"abc", -4.0f, NORMAL},
    {"aa", -1.0f, NORMAL},     {"\xc3\xa9", -14, NORMAL}, {MARK MARK, -5.0f, NORMAL},
    {"<|x|>", 0.0f, USER},     {"<|x|>b", 0.0f, USER},    {"b" MARK, -1.5f, NORMAL},
};
const int n_made_pieces = sizeof made_pieces / sizeof made_pieces[0];

/* The last piece spans words, so it is used only where asked for. */
static int n_used(bool span_words)
{
    return span_words ? n_made_pieces : n_made_pieces - 1;
}

static void varint(struct rad_buf *b, uint64_t value)
{
    do {
        const char byte = (char)(unsigned char)(value % 128 + (value > 127 ? 128 : 0));
        rad_buf_append(b, &byte, 1);
        value /= 128;
    } while (value > 0);
}

void made_varint(struct rad_buf *b, uint32_t field, uint64_t value)
{
    varint(b, (uint64_t)field << 3);
    varint(b, value);
}

void made_bytes(struct rad_buf *b, uint32_t field, const void *data, size_t len)
{
    varint(b, (uint64_t)field << 3 | 2);
    varint(b, len);
    rad_buf_append(b, data, len);
}

void made_piece(struct rad_buf *b, const char *text, float score, int type)
{
    struct rad_buf piece = {0};
    made_bytes(&piece, 1, text, strlen(text));
    varint(&piece, 2 << 3 | 5);
    rad_buf_append(&piece, &score, sizeof score);
    made_varint(&piece, 3, (uint64_t)type);
    made_bytes(b, 1, piece.data, piece.len);
    rad_buf_free(&piece);
}

struct rad_buf made_model(const struct made_spm *m, size_t *tail)
{
    struct rad_buf b = {0}, trainer = {0}, normalizer = {0};
    made_piece(&b, "<unk>", 0.0f, UNKNOWN);
    made_piece(&b, "<s>", 0.0f, CONTROL);
    made_piece(&b, "</s>", 0.0f, CONTROL);
    for (unsigned i = 0; m->byte_fallback && i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        made_piece(&b, name, 0.0f, BYTE);
    }
    for (int i = 0; i < n_used(m->span_words); i++)
        made_piece(&b, made_pieces[i].text, made_pieces[i].score, made_pieces[i].type);
    made_varint(&trainer, 3, 2); /* BPE */
    made_varint(&trainer, 35, m->byte_fallback);
    made_bytes(&b, 2, trainer.data, trainer.len);
    *tail = b.len;
    made_bytes(&normalizer, 1, "identity", 8);
    made_varint(&normalizer, 3, m->add_dummy_prefix);
    made_varint(&normalizer, 4, m->remove_extra_whitespaces);
    made_bytes(&b, 3, normalizer.data, normalizer.len);
    rad_buf_free(&trainer);
    rad_buf_free(&normalizer);
    return b;
}

/* ---- merging --------------------------------------------------------------------------- */

enum { SYMBOL_MAX = 64 };

static int find(const char *text, size_t len, bool span_words)
{
    for (int i = 0; i < n_used(span_words); i++)
        if (strlen(made_pieces[i].text) == len && memcmp(made_pieces[i].text, text, len) == 0)
            return i;
    return -1;
}

int made_merge(const char *text, int *out, bool span_words)
{
    char normal[4 * SYMBOL_MAX] = MARK;
    size_t at[SYMBOL_MAX + 1], len = strlen(MARK); /* symbol i is normal[at[i]..at[i + 1]) */
    for (; *text != '\0'; text++)
        len += (size_t)snprintf(normal + len, sizeof normal - len, "%s",
                                *text == ' ' ? MARK : (const char[]){*text, '\0'});
    int n = 0;
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)normal[i] & 0xc0) != 0x80)
            at[n++] = i;
    at[n] = len;
    for (int best = 0; best >= 0;) {
        float score = -1e9f;
        best = -1;
        for (int i = 0; i + 1 < n; i++) {
            const int id = find(normal + at[i], at[i + 2] - at[i], span_words);
            if (id >= 0 && made_pieces[id].score > score) {
                best = i;
                score = made_pieces[id].score;
            }
        }
        if (best >= 0)
            memmove(&at[best + 1], &at[best + 2], (size_t)(n-- - best - 1) * sizeof at[0]);
    }
    for (int i = 0; i < n; i++)
        out[i] = find(normal + at[i], at[i + 1] - at[i], span_words);
    return n;
}
