/* embed.c - tokens, positions and images as the states that enter the first layer. */
#include "infer/engine.h"

#include <string.h>

#define NEED(p)                                                                                    \
    do {                                                                                           \
        if ((p) == NULL)                                                                           \
            return rad_fail(err, RAD_E_NOMEM, "engine: out of memory for %d rows", e->n_row);      \
    } while (0)

struct embedding {
    const rad_engine *e;
    float *tokens;     /* [n][width of the token table] */
    float *row, *stat; /* [n][d_model], [2 n] scratch */
};

/* Tokens into their place, then, in the width of the model, positions and norm. */
static void token_rows(void *ctx, int32_t first, int32_t n)
{
    const struct embedding *t = ctx;
    const struct rad_mat *table = &t->e->model->embed;
    for (int32_t r = first; r < first + n; r++)
        rad_mat_row(table, t->e->row[r].token, t->tokens + (size_t)r * (size_t)table->n_in);
}

static void place_rows(void *ctx, int32_t first, int32_t n)
{
    const struct embedding *t = ctx;
    const rad_model *m = t->e->model;
    const size_t d = (size_t)m->config.card.d_model, at = (size_t)first;
    float *h = t->e->h + at * d, *row = t->row + at * d;
    for (int32_t r = 0; r < n && m->position.data != NULL; r++) {
        rad_mat_row(&m->position, t->e->pos[first + r] + m->config.first_row, row);
        rad_kernels()->add(d, row, h + (size_t)r * d);
    }
    if (m->embed_norm.w != NULL)
        rad_model_norm(m, &m->embed_norm, n, h, h, t->stat + 2 * at);
}

enum rad_status rad_embed_tokens(rad_engine *e, struct rad_err *err)
{
    const rad_model *m = e->model;
    const int32_t n = e->n_row, d = m->config.card.d_model;
    const size_t rows = (size_t)n, floats = rows * (size_t)d;
    const struct rad_arena_mark mark = rad_arena_mark(e->arena);
    struct embedding t = {.e = e, .tokens = e->h};
    t.row = rad_arena_get(e->arena, floats * sizeof *t.row);
    t.stat = rad_arena_get(e->arena, 2 * rows * sizeof *t.stat);
    if (m->project_in.w.data != NULL)
        t.tokens = rad_arena_get(e->arena, rows * (size_t)m->embed.n_in * sizeof *t.tokens);
    NEED(t.row && t.stat ? t.tokens : NULL);
    rad_rows(e->gemm, n, m->embed.n_in, token_rows, &t);
    if (m->project_in.w.data != NULL)
        rad_mat_mul(e->gemm, n, t.tokens, &m->project_in.w, NULL, e->h);
    rad_rows(e->gemm, n, d, place_rows, &t);
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
    struct embedding t = {.e = e};
    t.row = rad_arena_get(e->arena, (size_t)e->n_row * d * sizeof *t.row);
    NEED(t.row ? rows : NULL);
    for (int32_t p = 0; p < n; p++)
        unfold(pixels, side, c->patch, p, rows + (size_t)p * width);
    memcpy(e->h, m->cls, d * sizeof *e->h);
    rad_mat_mul(e->gemm, n, rows, &m->patch.w, m->patch.b, e->h + d);
    rad_rows(e->gemm, e->n_row, c->d_model, place_rows, &t);
    rad_arena_reset(e->arena, mark);
    return RAD_OK;
}
