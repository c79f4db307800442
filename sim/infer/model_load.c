/* model_load.c - tensors by the names of the layout: matrices stay where the file has them, vectors
 * become float32. */
#include "infer/engine.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 192 };

struct loader {
    rad_model *m;
    const struct rad_layout *layout;
    const char *prefix;
    rad_hasher *hash;
};

/* ---- tensors ------------------------------------------------------------------------------- */

/* All of a small tensor; of a large one its size and four pieces spread over it, so that opening
 * a model does not read it. */
static void hash_bytes(struct loader *l, const unsigned char *data, size_t n)
{
    enum { WHOLE = 1 << 20, PIECE = 16384, PIECES = 4 };
    if (n <= WHOLE) {
        rad_hasher_update(l->hash, data, n);
        return;
    }
    const uint64_t size = n;
    rad_hasher_update(l->hash, &size, sizeof size);
    for (size_t i = 0; i < PIECES; i++)
        rad_tensors_prefetch(data + (n - PIECE) / (PIECES - 1) * i, PIECE);
    for (size_t i = 0; i < PIECES; i++)
        rad_hasher_update(l->hash, data + (n - PIECE) / (PIECES - 1) * i, PIECE);
}

static enum rad_status find(struct loader *l, const char *name, struct rad_shape shape,
                            const struct rad_tensor **out, struct rad_err *err)
{
    RAD_TRY(rad_tensors_get(l->m->file, name, shape, out, err));
    hash_bytes(l, (*out)->data, (*out)->bytes);
    l->m->weight_bytes += (double)(*out)->bytes;
    return RAD_OK;
}

/* Values as float32. */
static enum rad_status take_floats(struct loader *l, const char *name, struct rad_shape shape,
                                   const float **out, struct rad_err *err)
{
    const struct rad_tensor *t = NULL;
    RAD_TRY(find(l, name, shape, &t, err));
    float *to = rad_arena_get(l->m->arena, (size_t)t->n * sizeof *to);
    if (to == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory for '%s'", name);
    *out = to;
    return rad_tensor_to_f32(to, t, err);
}

/* [n_in][n_out] -> [n_out][n_in], elements of `size` bytes. */
static void turn_around(const unsigned char *from, int64_t n_in, int64_t n_out, size_t size,
                        unsigned char *to)
{
    enum { TILE = 32 };
    for (int64_t i0 = 0; i0 < n_in; i0 += TILE)
        for (int64_t o = 0; o < n_out; o++)
            for (int64_t i = i0; i < n_in && i < i0 + TILE; i++)
                memcpy(to + (size_t)(o * n_in + i) * size, from + (size_t)(i * n_out + o) * size,
                       size);
}

static enum rad_mat_type type_of(const struct rad_tensor *t)
{
    static const enum rad_mat_type plain[RAD_N_DTYPE] = {
        [RAD_F32] = RAD_MAT_F32, [RAD_F16] = RAD_MAT_F16, [RAD_BF16] = RAD_MAT_BF16};
    static const enum rad_mat_type blocks[] = {[RAD_BLOCK_Q8_0] = RAD_MAT_Q8_0,
                                               [RAD_BLOCK_Q4_0] = RAD_MAT_Q4_0,
                                               [RAD_BLOCK_Q6_K] = RAD_MAT_Q6_K};
    return t->block != RAD_BLOCK_NONE ? blocks[t->block] : plain[t->dtype];
}

/* A matrix [n_out][n_in] in its own format; turned: the file has [n_in][n_out]. */
static enum rad_status take_mat(struct loader *l, const char *name, const int64_t size[2],
                                bool turned, struct rad_mat *out, struct rad_err *err)
{
    const struct rad_shape plain = {2, {size[0], size[1]}}, swapped = {2, {size[1], size[0]}};
    const struct rad_tensor *t = NULL;
    RAD_TRY(find(l, name, turned ? swapped : plain, &t, err));
    *out = (struct rad_mat){type_of(t), (int32_t)size[0], (int32_t)size[1], t->data, NULL};
    if (!turned)
        return RAD_OK;
    unsigned char *to = rad_arena_get(l->m->arena, t->bytes);
    if (to == NULL)
        return rad_fail(err, RAD_E_NOMEM, "model: out of memory for '%s'", name);
    rad_tensors_expect(l->m->file, false);
    turn_around(t->data, size[1], size[0], t->bytes / (size_t)t->n, to);
    rad_tensors_expect(l->m->file, true);
    out->data = to;
    return RAD_OK;
}

/* ---- names --------------------------------------------------------------------------------- */

/* prefix, the layer's part (i >= 0), base, end. */
static const char *full(const struct loader *l, int32_t i, const char *base, const char *end,
                        char out[NAME_MAX_BYTES])
{
    char layer[64] = "";
    if (i >= 0) { /* layout.layer is a literal of ours with one %d */
        const char *at = strstr(l->layout->layer, "%d");
        snprintf(layer, sizeof layer, "%.*s%d%s", (int)(at - l->layout->layer), l->layout->layer, i,
                 at + 2);
    }
    snprintf(out, NAME_MAX_BYTES, "%s%s%s%s", l->prefix, layer, base, end);
    return out;
}

/* The first prefix under which the file has the first tensor. */
static void find_prefix(struct loader *l)
{
    const struct rad_layout *y = l->layout;
    char name[NAME_MAX_BYTES];
    const char *probe = y->cls != NULL ? y->cls : y->embed;
    const char *end = y->cls != NULL ? "" : ".weight";
    for (size_t i = 0; i < 4 && y->prefix[i] != NULL; i++) {
        l->prefix = y->prefix[i];
        if (rad_tensors_find(l->m->file, full(l, -1, probe, end, name)) != NULL)
            return;
    }
    l->prefix = y->prefix[0];
}

static enum rad_status take_vector(struct loader *l, const char *name, int64_t n, const float **out,
                                   struct rad_err *err)
{
    return take_floats(l, name, (struct rad_shape){1, {n}}, out, err);
}

static enum rad_status take_norm(struct loader *l, int32_t i, const char *base, struct norm *out,
                                 struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    char name[NAME_MAX_BYTES];
    RAD_TRY(take_vector(l, full(l, i, base, ".weight", name), c->d_model, &out->w, err));
    if (c->norm != RAD_NORM_LAYER)
        return RAD_OK;
    return take_vector(l, full(l, i, base, ".bias", name), c->d_model, &out->b, err);
}

/* ---- layers -------------------------------------------------------------------------------- */

struct part { /* a matrix of a layer */
    const char *base;
    int64_t size[2];
    bool bias;
    struct linear *to;
};

static enum rad_status take_parts(struct loader *l, int32_t i, const struct part *p, size_t n,
                                  struct rad_err *err)
{
    char name[NAME_MAX_BYTES];
    for (size_t k = 0; k < n; k++) {
        if (p[k].base == NULL)
            continue;
        full(l, i, p[k].base, ".weight", name);
        RAD_TRY(take_mat(l, name, p[k].size, l->layout->in_out, &p[k].to->w, err));
        full(l, i, p[k].base, ".bias", name);
        if (p[k].bias)
            RAD_TRY(take_vector(l, name, p[k].size[0], &p[k].to->b, err));
    }
    return RAD_OK;
}

/* Rows first..first+n of a matrix with its bias. */
static struct linear rows_of(const struct linear *all, int32_t first, int32_t n)
{
    const size_t row = rad_mat_row_bytes(all->w.type, all->w.n_in);
    struct linear part = *all;
    part.w.n_out = n;
    part.w.data = (const unsigned char *)all->w.data + (size_t)first * row;
    part.b = all->b != NULL ? all->b + first : NULL;
    return part;
}

static enum rad_status take_layer(struct loader *l, int32_t i, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    const struct rad_layout *y = l->layout;
    const int64_t d = c->d_model, dq = (int64_t)c->n_head * c->d_head;
    const int64_t dkv = (int64_t)c->n_kv * c->d_head;
    const bool apart = y->qkv == RAD_QKV_APART, all = c->bias == RAD_BIAS_ALL;
    const bool qkv = c->bias != RAD_BIAS_NONE, o = all || c->bias == RAD_BIAS_ATTN;
    struct layer_weights *w = &l->m->layer[i];
    const struct part attention[] = {{y->q, {apart ? dq : dq + 2 * dkv, d}, qkv, &w->q},
                                     {apart ? y->k : NULL, {dkv, d}, qkv, &w->k},
                                     {apart ? y->v : NULL, {dkv, d}, qkv, &w->v},
                                     {y->o, {d, dq}, o, &w->o}};
    const struct part mlp[] = {
        {c->act == RAD_ACT_SWIGLU ? y->gate : NULL, {c->ffn, d}, all, &w->gate},
        {y->up, {c->ffn, d}, all, &w->up},
        {y->down, {d, c->ffn}, all, &w->down}};
    RAD_TRY(take_norm(l, i, y->norm1, &w->norm1, err));
    RAD_TRY(take_parts(l, i, attention, 4, err));
    if (y->qkv == RAD_QKV_STACKED) {
        const struct linear stacked = w->q;
        w->q = rows_of(&stacked, 0, (int32_t)dq);
        w->k = rows_of(&stacked, (int32_t)dq, (int32_t)dkv);
        w->v = rows_of(&stacked, (int32_t)(dq + dkv), (int32_t)dkv);
    }
    RAD_TRY(take_parts(l, i, mlp + (c->act == RAD_ACT_SWIGLU ? 0 : 1),
                       c->act == RAD_ACT_SWIGLU ? 3 : 2, err));
    return take_norm(l, i, y->norm2, &w->norm2, err);
}

static enum rad_status take_router(struct loader *l, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    struct router_weights *w = &l->m->router;
    const int64_t r = c->router_hidden, out = c->n_layer + 1;
    const struct {
        const char *name;
        struct rad_shape shape;
        const float **to;
    } parts[] = {{"router.in.weight", {2, {r, c->d_model}}, &w->w1},
                 {"router.in.bias", {1, {r}}, &w->b1},
                 {"router.hop.weight", {2, {c->max_hops + 1, r}}, &w->hop},
                 {"router.last.weight", {2, {out, r}}, &w->last},
                 {"router.price.weight", {1, {r}}, &w->price},
                 {"router.out.weight", {2, {out, r}}, &w->w2},
                 {"router.out.bias", {1, {out}}, &w->b2}};
    for (size_t i = 0; r > 0 && i < sizeof parts / sizeof parts[0]; i++)
        RAD_TRY(take_floats(l, parts[i].name, parts[i].shape, parts[i].to, err));
    return RAD_OK;
}

/* ---- the ends ------------------------------------------------------------------------------ */

static enum rad_status take_text_ends(struct loader *l, struct rad_err *err)
{
    rad_model *m = l->m;
    const struct rad_card *c = &m->config.card;
    const struct rad_layout *y = l->layout;
    const int64_t d = c->d_model, e = c->embed_dim > 0 ? c->embed_dim : d;
    char name[NAME_MAX_BYTES];
    RAD_TRY(take_mat(l, full(l, -1, y->embed, ".weight", name), (int64_t[2]){c->vocab, e}, false,
                     &m->embed, err));
    if (c->learned_positions > 0)
        RAD_TRY(take_mat(l, full(l, -1, y->position, ".weight", name),
                         (int64_t[2]){c->learned_positions, d}, false, &m->position, err));
    if (c->embed_norm)
        RAD_TRY(take_norm(l, -1, y->embed_norm, &m->embed_norm, err));
    if (c->embed_dim == 0)
        return RAD_OK;
    RAD_TRY(take_mat(l, full(l, -1, y->project_in, ".weight", name), (int64_t[2]){d, e}, false,
                     &m->project_in.w, err));
    return take_mat(l, full(l, -1, y->project_out, ".weight", name), (int64_t[2]){e, d}, false,
                    &m->project_out.w, err);
}

/* The convolution of patches that do not overlap is a matrix [d][3 patch patch]. */
static enum rad_status take_image_ends(struct loader *l, struct rad_err *err)
{
    rad_model *m = l->m;
    const struct rad_card *c = &m->config.card;
    const struct rad_layout *y = l->layout;
    const int64_t d = c->d_model, p = c->patch;
    const struct rad_shape cls = {3, {1, 1, d}}, conv = {4, {d, 3, p, p}};
    const struct rad_shape table = {3, {1, c->n_ctx, d}};
    const float *position = NULL, *patch = NULL;
    char name[NAME_MAX_BYTES];
    RAD_TRY(take_floats(l, full(l, -1, y->cls, "", name), cls, &m->cls, err));
    RAD_TRY(take_floats(l, full(l, -1, y->position, "", name), table, &position, err));
    RAD_TRY(take_floats(l, full(l, -1, y->patch, ".weight", name), conv, &patch, err));
    RAD_TRY(take_vector(l, full(l, -1, y->patch, ".bias", name), d, &m->patch.b, err));
    m->position = (struct rad_mat){RAD_MAT_F32, c->n_ctx, c->d_model, position, NULL};
    m->patch.w = (struct rad_mat){RAD_MAT_F32, c->d_model, 3 * c->patch * c->patch, patch, NULL};
    return RAD_OK;
}

static enum rad_status take_head(struct loader *l, struct rad_err *err)
{
    rad_model *m = l->m;
    const struct rad_card *c = &m->config.card;
    const int64_t size[2] = {c->vocab, c->embed_dim > 0 ? c->embed_dim : c->d_model};
    char name[NAME_MAX_BYTES];
    m->head.w = m->embed;
    if (c->tied)
        return RAD_OK;
    snprintf(name, sizeof name, "%s.weight", l->layout->head);
    if (c->patch > 0 && rad_tensors_find(m->file, name) == NULL) { /* published without a head */
        m->head.w = (struct rad_mat){RAD_MAT_F32, c->vocab, c->d_model, NULL, NULL};
        return RAD_OK;
    }
    RAD_TRY(take_mat(l, name, size, false, &m->head.w, err));
    snprintf(name, sizeof name, "%s.bias", l->layout->head);
    return c->patch > 0 ? take_vector(l, name, c->vocab, &m->head.b, err) : RAD_OK;
}

/* Divisors of the rotations, where the file has them (Llama 3). */
static enum rad_status take_rope_freqs(struct loader *l, struct rad_err *err)
{
    rad_model *m = l->m;
    const int32_t n = m->config.card.d_head / 2;
    const float *divisor = NULL;
    char name[NAME_MAX_BYTES];
    if (l->layout->rope_freqs == NULL || m->turn == NULL)
        return RAD_OK;
    full(l, -1, l->layout->rope_freqs, ".weight", name);
    if (rad_tensors_find(m->file, name) == NULL)
        return RAD_OK;
    RAD_TRY(take_vector(l, name, n, &divisor, err));
    for (int32_t i = 0; i < n; i++) {
        if (!(divisor[i] >= 1e-6f && divisor[i] <= 1e6f))
            return rad_fail(err, RAD_E_RANGE, "tensor '%s': expected 1e-6..1e6 but found %g", name,
                            (double)divisor[i]);
        m->turn[i] /= (double)divisor[i];
    }
    return RAD_OK;
}

static enum rad_status take_all(struct loader *l, struct rad_err *err)
{
    const struct rad_card *c = &l->m->config.card;
    RAD_TRY(c->patch > 0 ? take_image_ends(l, err) : take_text_ends(l, err));
    for (int32_t i = 0; i < c->n_layer; i++)
        RAD_TRY(take_layer(l, i, err));
    if (!c->post_norm)
        RAD_TRY(take_norm(l, -1, l->layout->norm_f, &l->m->norm_f, err));
    RAD_TRY(take_head(l, err));
    RAD_TRY(take_rope_freqs(l, err));
    return take_router(l, err);
}

/* Of config.json all that changes the numbers; the name is where the folder happens to be. */
static enum rad_status hash_config(struct loader *l, struct rad_err *err)
{
    const struct rad_model_config *c = &l->m->config;
    struct rad_card card = c->card;
    char *text = NULL;
    snprintf(card.name, sizeof card.name, "model");
    RAD_TRY(rad_card_to_json(&card, &text, err));
    rad_hasher_update(l->hash, text, strlen(text));
    free(text);
    rad_hasher_update(l->hash, &c->rms_eps, sizeof c->rms_eps);
    rad_hasher_update(l->hash, &c->rope_theta, sizeof c->rope_theta);
    const size_t n = (size_t)c->router.n_table;
    rad_hasher_update(l->hash, c->router.depth_frac, n * sizeof *c->router.depth_frac);
    rad_hasher_update(l->hash, c->router.price, n * sizeof *c->router.price);
    if (c->rope.kind != RAD_ROPE_PLAIN || c->window != 0) {
        const double more[] = {
            c->rope.kind,         c->rope.factor, c->rope.low_freq_factor, c->rope.high_freq_factor,
            c->rope.original_ctx, c->window};
        rad_hasher_update(l->hash, more, sizeof more);
    }
    if (c->rope_pairs)
        rad_hasher_update(l->hash, "pairs", 5);
    return RAD_OK;
}

enum rad_status rad_model_load_tensors(rad_model *m, struct rad_err *err)
{
    struct loader l = {.m = m, .layout = rad_model_layout(&m->config)};
    if (l.layout == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "model_type '%s': no layout of its tensors",
                        m->config.model_type);
    RAD_TRY(rad_arena_open(&m->arena, err));
    RAD_TRY(rad_model_make_tables(m, err));
    m->qkv = l.layout->qkv == RAD_QKV_BY_HEAD ? RAD_QKV_BY_HEAD : RAD_QKV_APART;
    find_prefix(&l);
    RAD_TRY(rad_hasher_open(&l.hash, 0, err));
    rad_tensors_expect(m->file, true);
    enum rad_status status = take_all(&l, err);
    rad_tensors_expect(m->file, false);
    if (status == RAD_OK)
        status = hash_config(&l, err);
    rad_hash_hex(rad_hasher_final(l.hash), m->hash);
    return status;
}
