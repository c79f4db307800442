/* tensor.h - numeric kernels: GEMM, norms, softmax, activations, RoPE, and their gradients.
 *
 * Row-major float32 everywhere; "ld" is the distance between rows in floats. Kernels come in
 * per-ISA builds of one source (isa_body.h) and are picked by CPU at run time. They allocate
 * nothing and keep no state; GEMM scratch lives in a rad_gemm, one per thread. Exempt from
 * bit-equality between CPUs: a kernel gives the same bits for the same call on the same CPU. */
#ifndef RAD_TENSOR_H
#define RAD_TENSOR_H

#include "base/err.h"
#include "tensor/mat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the BLAS underneath ---------------------------------------------------------------- */

/* Debian's OpenBLAS 0.3.21 takes Intel CPUs newer than itself for a Prescott and runs 5x slower
 * (upstream issue 4267). If it did, set OPENBLAS_CORETYPE and execute this program again; returns
 * if there is nothing to repair. Call first in main; argv is that of main. */
void rad_tensor_repair(char *const argv[]);

/* "OpenBLAS 0.3.21 SkylakeX; kernels avx512; amx": borrowed into out[size]. */
void rad_tensor_describe(char *out, size_t size);

/* ---- GEMM ------------------------------------------------------------------------------- */

/* F32: OpenBLAS, one thread per call. BF16: operands rounded to bfloat16, products summed in
 * float32 on AMX tiles; falls back to F32 where the CPU has no AMX. */
enum rad_gemm_mode { RAD_GEMM_F32, RAD_GEMM_BF16 };

/* rad_gemm (mat.h): scratch, and threads if rad_gemm_threads was called; used by one caller. */

RAD_MUST_CHECK enum rad_status rad_gemm_open(rad_gemm **out, enum rad_gemm_mode mode,
                                             struct rad_err *err);
void rad_gemm_close(rad_gemm *g);
bool rad_gemm_is_amx(const rad_gemm *g);

/* C[m][n] = op(A) op(B) + (add ? C : 0); op(A) is [m][k], op(B) is [k][n]; ta: A is stored [k][m],
 * tb: B is stored [n][k]. */
struct rad_mm {
    int32_t m, n, k;
    const float *a;
    int32_t lda;
    bool ta;
    const float *b;
    int32_t ldb;
    bool tb;
    float *c;
    int32_t ldc;
    bool add;
};
void rad_gemm_run(rad_gemm *g, const struct rad_mm *mm);

/* The common forms, weights stored [out][in]:
 *   forward  Y[m][out] = X[m][in] W^T;  back  dX[m][in] (+)= dY[m][out] W;
 *   grad     dW[out][in] += dY^T X */
void rad_linear(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *x, const float *w,
                float *y);
void rad_linear_back(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *dy,
                     const float *w, float *dx);
void rad_linear_grad(rad_gemm *g, int32_t m, int32_t in, int32_t out, const float *x,
                     const float *dy, float *dw);

/* ---- kernels ---------------------------------------------------------------------------- */

struct rad_adamw {
    float lr, beta1, beta2, eps, decay; /* decay is multiplied by lr (decoupled) */
    float correct1, correct2;           /* 1 - beta^step */
    float scale;                        /* gradient clipping factor */
};

struct rad_kernels {
    const char *name;
    float (*dot)(size_t n, const float *a, const float *b);
    void (*add)(size_t n, const float *x, float *y); /* y += x */
    void (*axpy)(size_t n, float alpha, const float *x, float *y);
    /* y = x / rms(x) * w; rstd[n_row] receives 1 / rms. w NULL: all ones. */
    void (*rmsnorm)(size_t n_row, size_t d, float eps, const float *x, const float *w, float *y,
                    float *rstd);
    /* y = (x - mean) / std * w + b; stat[2 * n_row] receives mean, 1 / std. */
    void (*layernorm)(size_t n_row, size_t d, float eps, const float *x, const float *w,
                      const float *b, float *y, float *stat);
    /* row[0..n) = softmax(scale * row[0..n)), row[n..total) = 0 */
    void (*softmax)(size_t n, size_t total, float scale, float *row);
    /* log(sum(exp(x))) of n values */
    float (*logsumexp)(size_t n, const float *x);
    /* out[i] = silu(gate) * up; gu holds rows of [ffn gate | ffn up] */
    void (*swiglu)(size_t n_row, size_t ffn, const float *gu, float *out);
    void (*gelu)(size_t n, const float *x, float *y); /* tanh form, Hendrycks and Gimpel 2016 */
    void (*gelu_exact)(size_t n, const float *x, float *y); /* x/2 (1 + erf(x / sqrt 2)) */
    /* Rotate pairs (i, i + d/2) of each head; cs holds rows of [d/2 cos | d/2 sin] by position. */
    void (*rope)(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                 const float *cs, float *x);
    void (*rope_back)(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                      const float *cs, float *dx);
    /* gradients: dx += ..., dw += ... */
    void (*rmsnorm_back)(size_t n_row, size_t d, const float *x, const float *w, const float *rstd,
                         const float *dy, float *dx, float *dw);
    void (*layernorm_back)(size_t n_row, size_t d, const float *x, const float *w,
                           const float *stat, const float *dy, float *dx, float *dwb);
    /* dp = scale * p * (dp - sum(p dp)) over n, zero to total */
    void (*softmax_back)(size_t n, size_t total, float scale, const float *p, float *dp);
    void (*swiglu_back)(size_t n_row, size_t ffn, const float *gu, const float *dout, float *dgu);
    void (*gelu_back)(size_t n, const float *x, float *dy); /* dy *= gelu'(x) */
    /* p = softmax(logits); returns logsumexp */
    float (*softmax_lse)(size_t n, const float *logits, float *p);
    /* The next n of a row's scores become exp(scale (x - top)); state: top and sum so far, {-inf,
     * 0} at first. Returns what earlier results are to be multiplied by. */
    float (*softmax_part)(size_t n, float scale, float *row, float state[2]);
    double (*sumsq)(size_t n, const float *x);
    void (*adamw)(size_t n, const struct rad_adamw *o, const float *g, float *m, float *v,
                  float *w);
};

/* The fastest build for this CPU (a constant table). */
const struct rad_kernels *rad_kernels(void);

/* cs[n_pos][d_head]: RoPE tables, Su et al. arXiv 2104.09864: angle = pos * theta^(-2i/d_head). */
void rad_rope_table(int32_t n_pos, int32_t d_head, double theta, float *cs);

/* Keys that are best kept together by head: [n_key / CHUNK][n_kv][K, V][CHUNK][d_head]. */
enum { RAD_ATTEND_CHUNK = 48 };

/* Attention of queries to keys in one sequence: query i sees keys 0..n_see[i). GQA: head h uses
 * key-value head h / (n_head / n_kv). Scores are scaled by 1/sqrt(d_head). With chunks, all rows of
 * the last one that has any must be there: they may be read and ignored. */
struct rad_attend {
    int32_t n_q, n_k, n_head, n_kv, d_head;
    const float *q; /* [n_q][ldq], heads side by side */
    int32_t ldq;
    const float *k, *v; /* [n_k][ldkv] */
    int32_t ldkv;
    size_t ldh;            /* floats from one key-value head to the next; 0: d_head */
    int32_t chunk;         /* so many rows are ldkv apart, the next ones begin ldchunk after them */
    size_t ldchunk;        /* in floats; chunk 0: all rows are ldkv apart. rad_attend_many only */
    const int32_t *n_see;  /* [n_q], not decreasing, 1..n_k */
    const int32_t *n_skip; /* [n_q] keys before this one are not seen; NULL: none are skipped */
    const float *slope; /* [n_head] ALiBi: slope (position of key - of query) is added to a scaled
                         * score; NULL: none. The gradient knows neither slopes, skips nor ldh. */
    const int32_t *q_pos, *k_pos; /* [n_q], [n_k] for slope */
    const int32_t
        *row;   /* [n_k] key j is row row[j] of k and v; NULL: row j. rad_attend_many only */
    float *p;   /* [n_head][n_q][n_k] probabilities out (kept for the gradient) */
    float *out; /* [n_q][ldo] */
    int32_t ldo;
};
void rad_attend(rad_gemm *g, const struct rad_attend *a);

/* The same for n sequences at once on the threads of g, without keeping probabilities (p is not
 * used): blocked by sequence, heads and 32 queries. */
void rad_attend_many(rad_gemm *g, const struct rad_attend *a, int32_t n);

/* Gradients of the above: dout [n_q][ldo] in; dq [n_q][ldq] written, dk, dv [n_k][ldkv] added to.
 * dp is scratch [n_q][n_k]. */
struct rad_attend_grad {
    const float *dout;
    float *dq, *dk, *dv, *dp;
};
void rad_attend_back(rad_gemm *g, const struct rad_attend *a, const struct rad_attend_grad *d);

/* ---- probe: what this machine does ------------------------------------------------------- */

/* Each call repeats one piece of work on one thread for about budget_s seconds, at least three
 * times after a warm-up, and times the repetitions. errors: RAD_E_NOMEM */
struct rad_probe_time {
    double best_s, median_s; /* of one repetition */
};

/* y[m][n] = x[m][k] W^T as inference does it, by rad_mat_mul in float32 with weights of this type,
 * the same ones again and again. */
struct rad_probe_gemm {
    enum rad_mat_type weights; /* F32 or BF16 */
    int32_t m, n, k;
};
RAD_MUST_CHECK enum rad_status rad_probe_gemm(const struct rad_probe_gemm *shape, double budget_s,
                                              struct rad_probe_time *out, struct rad_err *err);

/* Read a block of memory from front to back. */
RAD_MUST_CHECK enum rad_status rad_probe_read(size_t bytes, double budget_s,
                                              struct rad_probe_time *out, struct rad_err *err);

/* One pass of a vector operation over m rows of n outputs, by the kernel that inference uses: rms
 * norm, SwiGLU (two inputs of n), addition, RoPE (heads of 32), rows copied by a list, rows copied
 * out of a table, softmax. In the order of the kinds of spec.h. */
enum rad_probe_vector {
    RAD_PROBE_NORM,
    RAD_PROBE_ACT,
    RAD_PROBE_ADD,
    RAD_PROBE_ROPE,
    RAD_PROBE_GATHER,
    RAD_PROBE_EMBED,
    RAD_PROBE_SOFTMAX,
    RAD_N_PROBE_VECTOR
};
RAD_MUST_CHECK enum rad_status rad_probe_vector(enum rad_probe_vector kind, const int32_t size[2],
                                                double budget_s, struct rad_probe_time *out,
                                                struct rad_err *err);

/* rad_attend_many with n_q queries on n_k keys, the last query seeing all of them, n_kv = n_head.
 */
struct rad_probe_attend {
    int32_t n_q, n_k, n_head, d_head;
};
RAD_MUST_CHECK enum rad_status rad_probe_attend(const struct rad_probe_attend *shape,
                                                double budget_s, struct rad_probe_time *out,
                                                struct rad_err *err);

/* ---- limits: what the machine could do at this moment ------------------------------------- */

/* For figures that stand beside a measurement: memory (in huge pages) and threads are kept, a call
 * measures once, so that it can be repeated between repetitions of something else. */
typedef struct rad_limits rad_limits;

/* bytes: the largest block that will be read; threads: 0 one per CPU. errors: RAD_E_NOMEM, those
 * of rad_pool_open */
RAD_MUST_CHECK enum rad_status rad_limits_open(rad_limits **out, size_t bytes, int32_t threads,
                                               struct rad_err *err);
void rad_limits_close(rad_limits *l);
/* A rate by the clock, and by the CPU time that all threads took, divided by their number: what the
 * clock would have shown had nothing else run. */
struct rad_limit {
    double per_s, per_cpu_s;
};
/* Bytes: one pass over `bytes` at p (64-byte aligned), or of the memory kept if p is NULL. Where
 * memory lies can halve the bandwidth, so measure on the very block that something else reads. */
struct rad_limit rad_limits_read(rad_limits *l, const void *p, size_t bytes);
/* FLOP: 512 x 3072 x 768 in float32, the faster of OpenBLAS and rad_mat_mul. */
struct rad_limit rad_limits_gemm(rad_limits *l);
/* The same with bfloat16 weights and activations rounded to it, by rad_mat_mul. errors: those of
 * rad_gemm_open and rad_gemm_threads, in the first call */
RAD_MUST_CHECK enum rad_status rad_limits_gemm_bf16(rad_limits *l, struct rad_limit *rate,
                                                    struct rad_err *err);

#include "tensor/mat.h" /* weight matrices in the format of their file */

#include "tensor/act.h"

#endif
