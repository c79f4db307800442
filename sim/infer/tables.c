/* tables.c - what of a model follows from its config alone: rotations, slopes. */
#include "infer/engine.h"

#include <stdlib.h>

enum rad_status rad_model_make_tables(rad_model *m, struct rad_err *err)
{
    const struct rad_card *c = &m->config.card;
    float *slope = NULL;
    m->layer = calloc((size_t)c->n_layer, sizeof *m->layer);
    if (c->learned_positions == 0 && !c->alibi)
        m->turn = rad_arena_get(m->arena, (size_t)c->d_head * sizeof *m->turn);
    if (c->alibi)
        m->slope = slope = rad_arena_get(m->arena, (size_t)c->n_head * sizeof *slope);
    if (m->layer == NULL || (c->alibi ? slope == NULL : c->learned_positions == 0 && !m->turn))
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory");
    if (m->turn != NULL)
        rad_rope_turn(&m->config, m->turn);
    m->rope = m->config.rope_pairs ? rad_rope_pairs : rad_kernels()->rope;
    if (slope != NULL)
        rad_alibi_slopes(c->n_head, slope);
    return RAD_OK;
}
