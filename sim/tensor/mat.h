/* mat.h - weight matrices in the type of their file, and products with few or many rows.
 *
 * Matrices are used where they lie (mapped files included): any alignment, nothing is repacked,
 * `packed` stays NULL. Activations and sums are float32. Work is cut into blocks that depend only
 * on shapes, so results have the same bits at any number of threads. Included by tensor.h. */
#ifndef RAD_TENSOR_MAT_H
#define RAD_TENSOR_MAT_H

#include "base/err.h"
#include "base/pool.h"

#include <stddef.h>
#include <stdint.h>

/* Q8_0, Q4_0: blocks of 32 values of one row, a float16 scale before them (ggml-quants: 34 bytes
 * with int8 q, value = scale q; 18 bytes with nibbles, value j in the low half of byte j, value
 * 16 + j in the high half, value = scale (q - 8)). n_in is a multiple of 32 for both.
 * Q6_K: blocks of 256 in 210 bytes: low four bits [128], high two bits [64], an int8 scale per 16
 * values [16], a float16 scale of these; value = scale scale_16 (q - 32). Of each half of a block,
 * 32 p + l (p < 4, l < 32) has its low bits in byte 32 (p % 2) + l, upper half for p >= 2, and its
 * high bits in byte l, from bit 2 p on. n_in is a multiple of 256. For heads: not tuned. */
enum rad_mat_type {
    RAD_MAT_F32,
    RAD_MAT_F16,
    RAD_MAT_BF16,
    RAD_MAT_Q8_0,
    RAD_MAT_Q4_0,
    RAD_MAT_Q6_K,
    RAD_N_MAT_TYPE
};

struct rad_mat {
    enum rad_mat_type type;
    int32_t n_out, n_in;
    const void *data; /* [n_out][n_in] row major */
    const void *packed;
};

typedef struct rad_gemm rad_gemm;

const char *rad_mat_kernels_name(void); /* "avx512": the build in use */
const char *rad_mat_type_name(enum rad_mat_type type);
int32_t rad_mat_block(enum rad_mat_type type); /* n_in is a multiple of it */
size_t rad_mat_row_bytes(enum rad_mat_type type, int32_t n_in);
/* Row i as float32: out[n_in]. For embeddings. */
void rad_mat_row(const struct rad_mat *w, int32_t i, float *out);

/* y[m][n_out] = x[m][n_in] W^T (+ bias[n_out], may be NULL). A RAD_GEMM_BF16 g may round x to
 * bfloat16 where weights are (never for m <= 4); a RAD_GEMM_F32 one never does. */
void rad_mat_mul(rad_gemm *g, int32_t m, const float *x, const struct rad_mat *w, const float *bias,
                 float *y);

/* Several matrices with the same x (q k v, gate up): one parallel region. */
typedef void rad_map_fn(size_t n, const float *x, float *y); /* y may be x */
struct rad_mat_job {
    const struct rad_mat *w;
    const float *bias; /* [n_out] or NULL */
    float *y;          /* [m][ldy] */
    int32_t ldy;       /* 0: n_out */
    rad_map_fn *map;   /* y = map(x W^T + bias), by pieces of rows; NULL: as it is */
};
void rad_mat_mul_many(rad_gemm *g, int32_t m, const float *x, const struct rad_mat_job *job,
                      int32_t n_job);

/* Where to put the x of products with w in `room`, which holds it and RAD_MAT_BESIDE floats more.
 * Rows of x that are 4 KB or a multiple long begin in one set of a cache, as those of w do; where
 * that is the same set, they push each other out (Zen 4, 16 rows of x: 83 GFLOP/s of float32 for
 * k = 3072 on one core, 92 from half a page away; 128 rows: 97 and 108). NULL for NULL. */
enum { RAD_MAT_BESIDE = 1024 };
float *rad_mat_beside(const struct rad_mat *w, float *room);

/* Let products of g use n_threads threads of its own (0: one per CPU, 1: none but the caller).
 * errors: those of rad_pool_open */
RAD_MUST_CHECK enum rad_status rad_gemm_threads(rad_gemm *g, int32_t n_threads,
                                                struct rad_err *err);
rad_pool *rad_gemm_pool(const rad_gemm *g); /* NULL without threads */

/* fn(ctx, first, n) for blocks of rows of `width` floats, on the threads of g where that pays:
 * norms, activations. */
typedef void rad_rows_fn(void *ctx, int32_t first, int32_t n);
void rad_rows(rad_gemm *g, int32_t n_row, int32_t width, rad_rows_fn *fn, void *ctx);

/* Ask for huge pages where the whole ones inside [p, p + bytes) are; harmless where not to be had
 * (4 KB pages cost 12-25 % of read bandwidth). Call before the memory is touched. */
void rad_huge_pages(void *p, size_t bytes);

#endif
