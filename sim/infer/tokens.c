/* tokens.c - text and id files as sequences of token ids. */
#include "base/hash.h"
#include "base/io.h"
#include "infer/infer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_text_bytes = (size_t)256 << 20;

void rad_tokens_free(struct rad_tokens *t)
{
    free(t->id);
    free(t->first);
    *t = (struct rad_tokens){0};
}

/* Append one sequence. */
static enum rad_status add(struct rad_tokens *t, const int32_t *id, size_t n, struct rad_err *err)
{
    const size_t have = t->n_seq > 0 ? (size_t)t->first[t->n_seq] : 0;
    int64_t *first = realloc(t->first, ((size_t)t->n_seq + 2) * sizeof *first);
    if (first == NULL)
        return rad_fail(err, RAD_E_NOMEM, "tokens: out of memory");
    t->first = first;
    int32_t *ids = realloc(t->id, (have + n + 1) * sizeof *ids);
    if (ids == NULL)
        return rad_fail(err, RAD_E_NOMEM, "tokens: out of memory");
    t->id = ids;
    memcpy(ids + have, id, n * sizeof *id);
    first[t->n_seq] = (int64_t)have;
    first[++t->n_seq] = (int64_t)(have + n);
    return RAD_OK;
}

static enum rad_status add_windows(struct rad_tokens *out, const struct rad_ids *ids, int32_t bos,
                                   int32_t ctx, struct rad_err *err)
{
    const size_t room = (size_t)(bos >= 0 ? ctx - 1 : ctx);
    int32_t *window = malloc((size_t)ctx * sizeof *window);
    if (window == NULL)
        return rad_fail(err, RAD_E_NOMEM, "tokens: out of memory");
    enum rad_status status = RAD_OK;
    for (size_t at = 0; at < ids->n && status == RAD_OK; at += room) {
        const size_t n = ids->n - at < room ? ids->n - at : room;
        size_t lead = 0;
        if (bos >= 0)
            window[lead++] = bos;
        memcpy(window + lead, ids->id + at, n * sizeof *window);
        if (lead + n >= 2 || out->n_seq == 0)
            status = add(out, window, lead + n, err);
    }
    free(window);
    return status;
}

static enum rad_status refuse_images(const rad_model *m, struct rad_err *err)
{
    if (rad_model_image_side(m) == 0)
        return RAD_OK;
    return rad_fail(err, RAD_E_ARG, "model '%s' reads images, not text",
                    rad_model_config(m)->card.name);
}

enum rad_status rad_tokens_add_text(struct rad_tokens *out, const rad_model *m, const char *path,
                                    int32_t ctx, double tail, struct rad_err *err)
{
    const rad_tokenizer *tok = rad_model_tokenizer(m);
    RAD_TRY(refuse_images(m, err));
    const int32_t n_ctx = rad_model_config(m)->card.n_ctx;
    char *text = NULL;
    size_t len = 0;
    struct rad_ids ids = {0};
    if (ctx < 2 || ctx > n_ctx)
        return rad_fail(err, RAD_E_ARG, "context: expected 2..%d tokens but found %d", n_ctx, ctx);
    RAD_TRY(rad_file_read(path, max_text_bytes, &text, &len, err));
    const size_t skip = (size_t)((double)len * (1.0 - tail));
    const struct rad_text t = {text + skip, len - skip, false};
    enum rad_status status = rad_tokenizer_encode(tok, &t, &ids, err);
    free(text);
    if (status == RAD_OK && ids.n < 2)
        status =
            rad_fail(err, RAD_E_RANGE, "%s: expected at least 2 tokens but found %zu", path, ids.n);
    if (status == RAD_OK)
        status = add_windows(out, &ids, rad_tokenizer_bos(tok), ctx, err);
    rad_ids_free(&ids);
    return status;
}

/* ---- ids ----------------------------------------------------------------------------------- */

static enum rad_status parse_line(char *line, const char *path, int number, int32_t vocab,
                                  struct rad_ids *ids, struct rad_err *err)
{
    ids->n = 0;
    for (char *p = line; *p != '\0';) {
        while (isspace((unsigned char)*p))
            p++;
        if (*p == '\0')
            break;
        char *end = NULL;
        errno = 0;
        const long v = strtol(p, &end, 10);
        if (end == p || (*end != '\0' && !isspace((unsigned char)*end)) || errno != 0)
            return rad_fail(err, RAD_E_PARSE, "%s:%d: expected token ids but found '%.20s'", path,
                            number, p);
        if (v < 0 || v >= vocab)
            return rad_fail(err, RAD_E_RANGE, "%s:%d: token id %ld: the vocabulary has 0..%d", path,
                            number, v, vocab - 1);
        ids->id[ids->n++] = (int32_t)v;
        p = end;
    }
    return RAD_OK;
}

static enum rad_status parse_ids(struct rad_tokens *out, const rad_model *m, const char *path,
                                 char *text, struct rad_err *err)
{
    const struct rad_card *c = &rad_model_config(m)->card;
    struct rad_ids ids = {.id = malloc((strlen(text) / 2 + 2) * sizeof *ids.id)};
    enum rad_status status = ids.id != NULL ? RAD_OK
                                            : rad_fail(err, RAD_E_NOMEM, "tokens: out of memory");
    int number = 1;
    for (char *line = text, *next; line != NULL && status == RAD_OK; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        status = parse_line(line, path, number, c->vocab, &ids, err);
        if (status == RAD_OK && ids.n > (size_t)c->n_ctx)
            status = rad_fail(err, RAD_E_RANGE,
                              "%s:%d: %zu tokens are more than the %d positions of the model", path,
                              number, ids.n, c->n_ctx);
        if (status == RAD_OK && ids.n > 0)
            status = add(out, ids.id, ids.n, err);
    }
    rad_ids_free(&ids);
    return status;
}

enum rad_status rad_tokens_add_ids(struct rad_tokens *out, const rad_model *m, const char *path,
                                   struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    RAD_TRY(refuse_images(m, err));
    RAD_TRY(rad_file_read(path, max_text_bytes, &text, &len, err));
    const int64_t before = out->n_seq;
    enum rad_status status =
        strlen(text) == len
            ? parse_ids(out, m, path, text, err)
            : rad_fail(err, RAD_E_PARSE, "%s: expected token ids but found binary data", path);
    free(text);
    if (status == RAD_OK && out->n_seq == before)
        status = rad_fail(err, RAD_E_RANGE, "%s: expected token ids but found none", path);
    return status;
}
