/* fuzz_config.c - any bytes as a config.json: refused, or a configuration within its limits. */
#include "checkpoint/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What an accepted configuration promises. */
static void check(const struct rad_model_config *c)
{
    if (rad_card_check(&c->card, NULL) != RAD_OK || rad_model_layout(c) == NULL)
        abort();
    if (c->bos < -1 || c->bos >= c->card.vocab || c->eos < -1 || c->eos >= c->card.vocab)
        abort();
    if (!(c->rms_eps > 0.0f && c->rms_eps < 1.0f) || !(c->rope_theta >= 1.0) ||
        !isfinite(c->rope_theta))
        abort();
    if (c->router.n_table < 0 || c->router.n_table > RAD_KNOB_MAX || c->window < 0)
        abort();
    if (c->rope.kind != RAD_ROPE_PLAIN && !(c->rope.factor >= 1.0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rad_model_config c = {.card = {.name = "fuzz"}};
    struct rad_err err = {.msg = ""};
    json_t *root = NULL;
    /* A copy of its own size, so that a read past the end is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    enum rad_status status = rad_json_parse(&root, copy, size, "fuzz", &err);
    if (status == RAD_OK)
        status = rad_config_fill(&c, root, &err);
    if (status == RAD_OK)
        check(&c);
    else if (err.msg[0] == '\0' || strchr(err.msg, '\n'))
        abort();
    json_decref(root);
    free(copy);
    return 0;
}
