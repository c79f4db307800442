/* visit.h - private to infer/: one visit, the rows that meet at a layer at one time. */
#ifndef RAD_INFER_VISIT_H
#define RAD_INFER_VISIT_H

#include "infer/engine.h"

struct visit {
    int32_t layer, time, n;
    const int32_t *idx; /* [n] rows of the engine, ascending */
};

enum sublayer { ATTENTION, MLP, N_SUBLAYER };

/* What a visit works on, in the engine's arena; rows in the order of idx. */
struct work {
    rad_engine *e;
    const struct visit *visit;
    const struct layer_weights *weights;
    bool in_place; /* x are the engine's own states */
    float *x, *y;  /* [n][d] states, and what the norm made of them */
    float *q, *k, *v, *att;
    float *f;               /* [n][d] what a sublayer adds */
    float *wide, *act;      /* gated MLP: [n][gate | up]; [n][ffn] */
    float *stat;            /* [2 n] of norms */
    int32_t *pos, *entry;   /* [n] position; entry of the KV cache */
    bool *drop[N_SUBLAYER]; /* [n] f discarded by the policy */
    struct rad_hop_rec *rec;
    struct rad_hop_stat *st;
};

/* ---- visit.c ---- */
RAD_MUST_CHECK enum rad_status rad_visit_run(rad_engine *e, const struct visit *v,
                                             struct rad_err *err);
/* States, positions and room for the attention of a visit's rows. */
RAD_MUST_CHECK enum rad_status rad_work_open(rad_engine *e, const struct visit *v, struct work *w,
                                             struct rad_err *err);
/* What sublayer s adds to rows first..first+n is known, in f: record it where statistics are kept
 * and let the policy discard it. The one place where that is decided. */
void rad_work_settle(struct work *w, enum sublayer s, int32_t first, int32_t n);
/* x += f but for what was discarded, the norm of post-norm layers, and y = next norm of x (NULL:
 * none); flags the hops that did it. */
void rad_work_add(struct work *w, enum sublayer s, const struct norm *next);

/* ---- attention.c ---- */
RAD_MUST_CHECK enum rad_status rad_work_attention(struct work *w, struct rad_err *err);
/* Q (unless only the cache is filled), K and V of the rows, rotated if the model rotates; K and V
 * go into the cache before any row attends. */
RAD_MUST_CHECK enum rad_status rad_work_keys(struct work *w, bool with_q, struct rad_err *err);

/* ---- fill.c ---- */
/* K and V of rows that skip a layer, from their current state (project) or a lower layer (copy). */
RAD_MUST_CHECK enum rad_status rad_visit_fill(rad_engine *e, const struct visit *v,
                                              struct rad_err *err);

static inline struct kv_layer *kv_of(const struct work *w, int32_t i)
{
    const rad_engine *e = w->e;
    return &e->slot[e->row[w->visit->idx[i]].slot].layer[w->visit->layer];
}

static inline float *visit_floats(rad_engine *e, int32_t rows, int32_t cols)
{
    return rad_arena_get(e->arena, (size_t)rows * (size_t)cols * sizeof(float));
}

/* Rows that are multiplied by w. */
static inline float *visit_factors(rad_engine *e, int32_t rows, const struct rad_mat *w)
{
    const size_t n = (size_t)rows * (size_t)w->n_in + RAD_MAT_BESIDE;
    return rad_mat_beside(w, rad_arena_get(e->arena, n * sizeof(float)));
}

/* In functions that have the engine as e, the visit as v and err. */
#define VISIT_NEED(p)                                                                              \
    do {                                                                                           \
        if ((p) == NULL)                                                                           \
            return rad_fail(err, RAD_E_NOMEM, "engine: out of memory at layer %d", v->layer);      \
    } while (0)

#endif
