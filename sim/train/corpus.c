/* corpus.c - text files as byte tokens, split into a training part and a validation tail. */
#include "base/io.h"
#include "base/rng.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

static const size_t max_file_bytes = (size_t)1 << 30;

static enum rad_status read_file(struct corpus_file *f, const char *path, double val_frac,
                                 struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    RAD_TRY(rad_file_read(path, max_file_bytes, &text, &len, err));
    f->token = malloc((len + 1) * sizeof *f->token);
    if (f->token == NULL) {
        free(text);
        return rad_fail(err, RAD_E_NOMEM, "%s: cannot hold %zu tokens", path, len);
    }
    for (size_t i = 0; i < len; i++)
        f->token[i] = (unsigned char)text[i];
    free(text);
    f->n = (int64_t)len;
    f->n_train = (int64_t)((double)len * (1.0 - val_frac));
    return RAD_OK;
}

enum rad_status rad_corpus_open(struct corpus *c, const struct rad_train_io *io, int32_t ctx,
                                struct rad_err *err)
{
    *c = (struct corpus){0};
    if (io->n_text < 1 || io->n_text > (int)(sizeof c->file / sizeof c->file[0]))
        return rad_fail(err, RAD_E_ARG, "train: expected 1..%zu text files but found %d",
                        sizeof c->file / sizeof c->file[0], io->n_text);
    for (int i = 0; i < io->n_text; i++) {
        RAD_TRY(read_file(&c->file[c->n_file++], io->text[i], io->val_frac, err));
        const struct corpus_file *f = &c->file[i];
        if (f->n_train < ctx + 1 || (io->val_frac > 0 && f->n - f->n_train < 2))
            return rad_fail(err, RAD_E_RANGE,
                            "%s: %lld bytes are too few for a context of %d and its validation "
                            "tail; use a longer text or a smaller ctx",
                            io->text[i], (long long)f->n, ctx);
        c->n_train += f->n_train;
        c->n_val += f->n - f->n_train;
    }
    return RAD_OK;
}

void rad_corpus_close(struct corpus *c)
{
    for (int i = 0; i < c->n_file; i++)
        free(c->file[i].token);
    *c = (struct corpus){0};
}

enum rad_status rad_corpus_batch(const struct corpus *c, uint64_t seed, int64_t step,
                                 const int32_t size[2], int32_t *out, struct rad_err *err)
{
    const int32_t batch = size[0], len = size[1] + 1;
    rad_rng *rng = NULL;
    RAD_TRY(rad_rng_open(&rng, seed, (uint64_t)step + (UINT64_C(1) << 32), err));
    for (int32_t b = 0; b < batch; b++) {
        int64_t at = rad_rng_below(rng, c->n_train);
        int f = 0;
        while (at >= c->file[f].n_train)
            at -= c->file[f++].n_train;
        if (at > c->file[f].n_train - len)
            at = rad_rng_below(rng, c->file[f].n_train - len + 1);
        memcpy(out + (size_t)b * (size_t)len, c->file[f].token + at, (size_t)len * sizeof *out);
    }
    rad_rng_close(rng);
    return RAD_OK;
}

int32_t rad_corpus_val_window(const struct corpus *c, int32_t ctx, int64_t w, int32_t *out)
{
    for (int f = 0; f < c->n_file; f++) {
        const int64_t n = c->file[f].n - c->file[f].n_train, windows = (n + ctx - 1) / ctx;
        if (w >= windows) {
            w -= windows;
            continue;
        }
        const int64_t left = n - w * ctx;
        const int32_t len = left < ctx ? (int32_t)left : ctx;
        memcpy(out, c->file[f].token + c->file[f].n_train + w * ctx, (size_t)len * sizeof *out);
        return len;
    }
    return 0;
}
