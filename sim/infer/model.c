/* model.c - opening and closing models. */
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum rad_status rad_model_open(rad_model **out, const char *folder, struct rad_err *err)
{
    *out = NULL;
    rad_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    char path[RAD_PATH_MAX];
    enum rad_status status = rad_model_find(path, folder, err);
    if (status != RAD_OK) { /* its message names the model */
        rad_model_close(m);
        return status;
    }
    status = rad_model_config_open(&m->config, path, err);
    if (status == RAD_OK)
        status = rad_tensors_open(&m->file, path, err);
    if (status == RAD_OK)
        status = rad_model_load_tensors(m, err);
    if (status == RAD_OK && m->config.card.patch == 0)
        status = rad_tokenizer_open(&m->tokenizer, path, m->config.card.vocab, err);
    if (status != RAD_OK) {
        rad_model_close(m);
        const char *at = err->msg + (err->msg[0] == '\'');
        const bool named = strncmp(at, folder, strlen(folder)) == 0; /* the message has it */
        return named ? status : rad_fail_in(err, status, "%s", folder);
    }
    *out = m;
    return RAD_OK;
}

void rad_model_close(rad_model *m)
{
    if (m == NULL)
        return;
    rad_tokenizer_close(m->tokenizer);
    free(m->layer);
    free(m->block);
    rad_arena_close(m->arena);
    rad_tensors_close(m->file);
    free(m);
}

const struct rad_model_config *rad_model_config(const rad_model *m)
{
    return &m->config;
}

const rad_tokenizer *rad_model_tokenizer(const rad_model *m)
{
    return m->tokenizer;
}

const char *rad_model_hash(const rad_model *m)
{
    return m->hash;
}

double rad_model_weight_bytes(const rad_model *m)
{
    return m->weight_bytes;
}

bool rad_model_has_head(const rad_model *m)
{
    return m->head.w.data != NULL;
}

int32_t rad_model_image_side(const rad_model *m)
{
    const struct rad_card *c = &m->config.card;
    return c->patch > 0 ? c->patch * (int32_t)lround(sqrt((double)(c->n_ctx - 1))) : 0;
}
