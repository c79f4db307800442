/* embed.c - tokens, positions and images as the states that enter the first layer. */
#include "infer/engine.h"

#include <string.h>

#define NEED(p)                                                                                    \
    do {                                                                                           \
        if ((p) == NULL)                                                                           \
            return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d rows", e->n_row);      \
    } while (0)

/* Rows of the token table, [n_row][its width]. */
static void look_up(const rad_engine *e, float *to)
{
    const struct rad_mat *table = &e->model->embed;
    for (int32_t r = 0; r < e->n_row; r++)
        rad_mat_row(table, e->row[r].token, to + (size_t)r * (size_t)table->n_in);
}

static void add_positions(const rad_engine *e, float *row)
{
    const struct rad_model_config *c = &e->model->config;
    const size_t d = (size_t)c->card.d_model;
    for (int32_t r = 0; r < e->n_row; r++) {
        rad_mat_row(&e->model->position, e->pos[r] + c->first_row, row);
        rad_kernels()->add(d, row, e->h + (size_t)r * d);
    }
}

enum rad_status rad_embed_tokens(rad_engine *e, struct rad_err *err)
{
    const rad_model *m = e->model;
    const size_t n = (size_t)e->n_row, d = (size_t)m->config.card.d_model;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    float *wide = e->h, *row = rad_arena_get(e->arena, d * sizeof *row);
    float *stat = rad_arena_get(e->arena, 2 * n * sizeof *stat);
    if (m->project_in.w.data != NULL)
        wide = rad_arena_get(e->arena, n * (size_t)m->embed.n_in * sizeof *wide);
    NEED(row && stat ? wide : NULL);
    look_up(e, wide);
    if (m->project_in.w.data != NULL)
        rad_mat_mul(e->gemm, e->n_row, wide, &m->project_in.w, NULL, e->h);
    if (m->position.data != NULL)
        add_positions(e, row);
    if (m->embed_norm.w != NULL)
        rad_model_norm(m, &m->embed_norm, e->n_row, e->h, e->h, stat);
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}

/* Patch p as a row in the order of the convolution's weights: channel, row, column. */
static void unfold(const float *pixels, int32_t side, int32_t patch, int32_t p, float *to)
{
    const int32_t across = side / patch, y0 = p / across * patch, x0 = p % across * patch;
    for (int32_t c = 0; c < 3; c++)
        for (int32_t y = 0; y < patch; y++, to += patch)
            memcpy(to, pixels + ((size_t)c * (size_t)side + (size_t)(y0 + y)) * (size_t)side + x0,
                   (size_t)patch * sizeof *to);
}

enum rad_status rad_embed_image(rad_engine *e, const float *pixels, struct rad_err *err)
{
    const rad_model *m = e->model;
    const struct rad_card *c = &m->config.card;
    const int32_t n = e->n_row - 1, side = rad_model_image_side(m);
    const size_t d = (size_t)c->d_model, width = (size_t)m->patch.w.n_in;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    float *rows = rad_arena_get(e->arena, (size_t)n * width * sizeof *rows);
    float *row = rad_arena_get(e->arena, d * sizeof *row);
    NEED(row ? rows : NULL);
    for (int32_t p = 0; p < n; p++)
        unfold(pixels, side, c->patch, p, rows + (size_t)p * width);
    memcpy(e->h, m->cls, d * sizeof *e->h);
    rad_mat_mul(e->gemm, n, rows, &m->patch.w, m->patch.b, e->h + d);
    add_positions(e, row);
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
