/* attend.c - scaled dot-product attention with a visible prefix per query, and its gradient.
 *
 * Queries are taken in blocks so that a block multiplies only the keys that its last query sees:
 * for a causal sequence this leaves about 1/2 + block/(2n) of the full product. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 64 };

static size_t key_head(const struct rad_attend *a, int32_t h)
{
    return (size_t)(h / (a->n_head / a->n_kv)) * (a->ldh > 0 ? a->ldh : (size_t)a->d_head);
}

static struct rad_mm scores(const struct rad_attend *a, int32_t h, int32_t q0, int32_t nq)
{
    const size_t row = (size_t)h * (size_t)a->n_q + (size_t)q0;
    return (struct rad_mm){.m = nq,
                           .n = a->n_see[q0 + nq - 1],
                           .k = a->d_head,
                           .a = a->q + (size_t)q0 * (size_t)a->ldq + (size_t)(h * a->d_head),
                           .lda = a->ldq,
                           .b = a->k + key_head(a, h),
                           .ldb = a->ldkv,
                           .tb = true,
                           .c = a->p + row * (size_t)a->n_k,
                           .ldc = a->n_k};
}

/* out = P V over the keys of the block */
static struct rad_mm mix(const struct rad_attend *a, int32_t h, int32_t q0, int32_t nq)
{
    const size_t row = (size_t)h * (size_t)a->n_q + (size_t)q0;
    return (struct rad_mm){.m = nq,
                           .n = a->d_head,
                           .k = a->n_see[q0 + nq - 1],
                           .a = a->p + row * (size_t)a->n_k,
                           .lda = a->n_k,
                           .b = a->v + key_head(a, h),
                           .ldb = a->ldkv,
                           .c = a->out + (size_t)q0 * (size_t)a->ldo + (size_t)(h * a->d_head),
                           .ldc = a->ldo};
}

/* ALiBi, before the softmax scales: distances, which keep near keys exact. */
static void add_slope(const struct rad_attend *a, int32_t h, int32_t q, float by, float *row)
{
    if (a->slope == NULL)
        return;
    const float slope = a->slope[h] * by;
    for (int32_t j = 0; j < a->n_see[q]; j++)
        row[j] += slope * (float)(a->k_pos[j] - a->q_pos[q]);
}

void rad_attend(rad_gemm *g, const struct rad_attend *a)
{
    const struct rad_kernels *k = rad_kernels();
    const float scale = 1.0f / sqrtf((float)a->d_head);
    for (int32_t h = 0; h < a->n_head; h++)
        for (int32_t q0 = 0; q0 < a->n_q; q0 += BLOCK) {
            const int32_t nq = a->n_q - q0 < BLOCK ? a->n_q - q0 : BLOCK;
            const struct rad_mm qk = scores(a, h, q0, nq);
            rad_gemm_run(g, &qk);
            for (int32_t i = 0; i < nq; i++) {
                float *row = qk.c + (size_t)i * (size_t)qk.ldc;
                const int32_t skip = a->n_skip != NULL ? a->n_skip[q0 + i] : 0;
                add_slope(a, h, q0 + i, 1.0f / scale, row);
                memset(row, 0, (size_t)skip * sizeof *row);
                k->softmax((size_t)(a->n_see[q0 + i] - skip), (size_t)(qk.n - skip), scale,
                           row + skip);
            }
            const struct rad_mm pv = mix(a, h, q0, nq);
            rad_gemm_run(g, &pv);
        }
}

static void back_block(rad_gemm *g, const struct rad_attend *a, const struct rad_attend_grad *d,
                       int32_t h, const int32_t block[2])
{
    const int32_t q0 = block[0], nq = block[1];
    const struct rad_kernels *kern = rad_kernels();
    const struct rad_mm qk = scores(a, h, q0, nq);
    const size_t head = (size_t)(h * a->d_head);
    const size_t kv_head = (size_t)(h / (a->n_head / a->n_kv) * a->d_head);
    const float *dout = d->dout + (size_t)q0 * (size_t)a->ldo + head;
    const int32_t nk = qk.n;

    struct rad_mm mm = {.m = nq, .n = nk, .k = a->d_head, .a = dout, .lda = a->ldo}; /* dP */
    mm.b = a->v + kv_head, mm.ldb = a->ldkv, mm.tb = true, mm.c = d->dp, mm.ldc = a->n_k;
    rad_gemm_run(g, &mm);
    mm = (struct rad_mm){.m = nk, .n = a->d_head, .k = nq, .a = qk.c, .lda = a->n_k, .ta = true};
    mm.b = dout, mm.ldb = a->ldo, mm.c = d->dv + kv_head, mm.ldc = a->ldkv, mm.add = true;
    rad_gemm_run(g, &mm); /* dV += P^T dout */

    const float scale = 1.0f / sqrtf((float)a->d_head);
    for (int32_t i = 0; i < nq; i++)
        kern->softmax_back((size_t)a->n_see[q0 + i], (size_t)nk, scale,
                           qk.c + (size_t)i * (size_t)a->n_k, d->dp + (size_t)i * (size_t)a->n_k);
    mm = (struct rad_mm){.m = nq, .n = a->d_head, .k = nk, .a = d->dp, .lda = a->n_k};
    mm.b = a->k + kv_head, mm.ldb = a->ldkv, mm.c = d->dq + (size_t)q0 * (size_t)a->ldq + head;
    mm.ldc = a->ldq;
    rad_gemm_run(g, &mm); /* dQ = dS K */
    mm = (struct rad_mm){.m = nk, .n = a->d_head, .k = nq, .a = d->dp, .lda = a->n_k, .ta = true};
    mm.b = qk.a, mm.ldb = a->ldq, mm.c = d->dk + kv_head, mm.ldc = a->ldkv, mm.add = true;
    rad_gemm_run(g, &mm); /* dK += dS^T Q */
}

void rad_attend_back(rad_gemm *g, const struct rad_attend *a, const struct rad_attend_grad *d)
{
    for (int32_t h = 0; h < a->n_head; h++)
        for (int32_t q0 = 0; q0 < a->n_q; q0 += BLOCK) {
            const int32_t nq = a->n_q - q0 < BLOCK ? a->n_q - q0 : BLOCK;
            back_block(g, a, d, h, (const int32_t[2]){q0, nq});
        }
}
