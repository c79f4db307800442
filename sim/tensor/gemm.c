/* gemm.c - matrix products: OpenBLAS in float32, AMX in bfloat16, and the linear layer's forms. */
#include "tensor/amx.h"
#include "tensor/gemm_impl.h"

#include <cblas.h>
#include <stdlib.h>

enum rad_status rad_gemm_open(rad_gemm **out, enum rad_gemm_mode mode, struct rad_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return rad_fail(err, RAD_E_NOMEM, "gemm: cannot allocate its scratch");
    if (openblas_get_num_threads() != 1) /* a caller that did not start with rad_tensor_repair */
        openblas_set_num_threads(1);
    (*out)->bf16 = mode == RAD_GEMM_BF16;
    (*out)->amx = mode == RAD_GEMM_BF16 && rad_amx_enable();
    return RAD_OK;
}

void rad_gemm_close(rad_gemm *g)
{
    if (g == NULL)
        return;
    rad_pool_close(g->pool);
    free(g->scratch);
    free(g);
}

bool rad_gemm_is_amx(const rad_gemm *g)
{
    return g->amx;
}

/* Grow the packing scratch; false leaves it as it was. */
static bool reserve(rad_gemm *g, size_t need)
{
    if (need <= g->cap)
        return true;
    const size_t bytes = (need * sizeof *g->scratch + 4095) / 4096 * 4096;
    uint16_t *grown = aligned_alloc(64, bytes);
    if (grown == NULL)
        return false;
    free(g->scratch);
    g->scratch = grown;
    g->cap = bytes / sizeof *grown;
    return true;
}

void rad_gemm_run(rad_gemm *g, const struct rad_mm *mm)
{
    if (mm->m == 0 || mm->n == 0)
        return;
    if (g->amx && mm->m > 1 && mm->k > 0 && reserve(g, rad_amx_scratch(mm))) {
        rad_amx_gemm(mm, g->scratch);
        return;
    }
    const float beta = mm->add ? 1.0f : 0.0f;
    if (mm->m == 1 && !mm->ta) {
        const CBLAS_TRANSPOSE t = mm->tb ? CblasNoTrans : CblasTrans;
        const int rows = mm->tb ? mm->n : mm->k, cols = mm->tb ? mm->k : mm->n;
        cblas_sgemv(CblasRowMajor, t, rows, cols, 1.0f, mm->b, mm->ldb, mm->a, 1, beta, mm->c, 1);
        return;
    }
    cblas_sgemm(CblasRowMajor, mm->ta ? CblasTrans : CblasNoTrans,
                mm->tb ? CblasTrans : CblasNoTrans, mm->m, mm->n, mm->k, 1.0f, mm->a, mm->lda,
                mm->b, mm->ldb, beta, mm->c, mm->ldc);
}

void rad_linear(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *x, const float *w,
                float *y)
{
    rad_gemm_run(g, &(struct rad_mm){.m = m,
                                     .n = out,
                                     .k = in,
                                     .a = x,
                                     .lda = in,
                                     .b = w,
                                     .ldb = in,
                                     .tb = true,
                                     .c = y,
                                     .ldc = out});
}

void rad_linear_back(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *dy,
                     const float *w, float *dx)
{
    rad_gemm_run(
        g,
        &(struct rad_mm){
            .m = m, .n = in, .k = out, .a = dy, .lda = out, .b = w, .ldb = in, .c = dx, .ldc = in});
}

void rad_linear_grad(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *x,
                     const float *dy, float *dw)
{
    rad_gemm_run(g, &(struct rad_mm){.m = out,
                                     .n = in,
                                     .k = m,
                                     .a = dy,
                                     .lda = out,
                                     .ta = true,
                                     .b = x,
                                     .ldb = in,
                                     .c = dw,
                                     .ldc = in,
                                     .add = true});
}
