/* test_tensor.c - kernels of every instruction set of this CPU against plain double loops. */
#include "tensor/tensor.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

extern const struct rad_kernels rad_kernels_base;
#if defined(__x86_64__)
extern const struct rad_kernels rad_kernels_avx2, rad_kernels_avx512;
#endif

enum { MAX = 4 * 1024 };

/* The tables that this CPU can run; returns how many. */
static int tables(const struct rad_kernels *out[3])
{
    int n = 0;
    out[n++] = &rad_kernels_base;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[n++] = &rad_kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[n++] = &rad_kernels_avx512;
#endif
    return n;
}

/* Numbers in -2..2 that look like nothing, other ones for every salt. */
static void fill(float *x, size_t n, uint32_t salt)
{
    uint32_t s = 12345u + 977u * salt;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 4194304.0f - 2.0f;
    }
}

/* Largest |got - want| over n values, as a share of 1 + |want|. */
static void near_all(const struct rad_kernels *k, const char *what, const float *got,
                     const double *want, size_t n, double tolerance)
{
    double worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - want[i]) / (1.0 + fabs(want[i]));
        worst = off > worst || isnan(off) ? off : worst;
    }
    if (!(worst <= tolerance))
        fprintf(stderr, "\n%s of %s is off by %g\n", what, k != NULL ? k->name : "gemm", worst);
    CU_ASSERT(worst <= tolerance);
}

static const size_t sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257, 1000};
enum { N_SIZE = sizeof sizes / sizeof sizes[0] };

static void sums_match(void)
{
    static float a[MAX], b[MAX], y[MAX];
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    fill(a, MAX, 1);
    fill(b, MAX, 2);
    for (int t = 0; t < n_table; t++)
        for (size_t s = 0; s < N_SIZE; s++) {
            const size_t n = sizes[s];
            const struct rad_kernels *k = table[t];
            double dot = 0.0, sq = 0.0, big = -1e30, lse = 0.0, want[MAX];
            for (size_t i = 0; i < n; i++) {
                dot += (double)a[i] * (double)b[i];
                sq += (double)a[i] * (double)a[i];
                big = fmax(big, 20.0 * (double)a[i]);
            }
            CU_ASSERT(fabs((double)k->dot(n, a, b) - dot) <= 1e-6 * (double)n + 1e-6);
            NEAR(k->sumsq(n, a), sq, 1e-5);
            memcpy(y, b, sizeof y);
            k->add(n, a, y);
            for (size_t i = 0; i < n; i++)
                want[i] = (double)a[i] + (double)b[i];
            near_all(k, "add", y, want, n, 1e-7);
            CU_ASSERT_EQUAL(y[n], b[n]); /* nothing behind the end */
            k->axpy(n, -0.75f, a, y);
            for (size_t i = 0; i < n; i++)
                want[i] -= 0.75 * (double)a[i];
            near_all(k, "axpy", y, want, n, 1e-6);
            for (size_t i = 0; i < n; i++) {
                y[i] = 20.0f * a[i];
                lse += exp(20.0 * (double)a[i] - big);
            }
            const double expected = big + log(lse);
            CU_ASSERT(fabs((double)k->logsumexp(n, y) - expected) < 1e-5 * (1 + fabs(expected)));
        }
}

static void norms_match(void)
{
    enum { ROWS = 3 };
    static float x[MAX], w[MAX], b[MAX], y[MAX], stat[2 * ROWS];
    static double want[MAX];
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    fill(x, MAX, 3);
    fill(w, MAX, 4);
    fill(b, MAX, 5);
    for (int t = 0; t < n_table; t++)
        for (size_t s = 0; s < N_SIZE; s++) {
            const size_t d = sizes[s];
            for (int kind = 0; kind < 3; kind++) {
                for (size_t r = 0; r < ROWS; r++) {
                    const float *row = x + r * d;
                    double mean = 0.0, var = 0.0;
                    for (size_t i = 0; i < d && kind == 2; i++)
                        mean += (double)row[i] / (double)d;
                    for (size_t i = 0; i < d; i++)
                        var += ((double)row[i] - mean) * ((double)row[i] - mean) / (double)d;
                    const double rstd = 1.0 / sqrt(var + 1e-5);
                    for (size_t i = 0; i < d; i++)
                        want[r * d + i] = ((double)row[i] - mean) * rstd *
                                              (kind > 0 ? (double)w[i] : 1.0) +
                                          (kind == 2 ? (double)b[i] : 0.0);
                }
                if (kind == 2)
                    table[t]->layernorm(ROWS, d, 1e-5f, x, w, b, y, stat);
                else
                    table[t]->rmsnorm(ROWS, d, 1e-5f, x, kind > 0 ? w : NULL, y, stat);
                near_all(table[t], kind == 2 ? "layernorm" : "rmsnorm", y, want, ROWS * d,
                         d > 1 ? 2e-6 : 1e-4);
            }
        }
}

static void softmax_matches(void)
{
    static float x[MAX], y[MAX];
    static double want[MAX];
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    fill(x, MAX, 6);
    for (int t = 0; t < n_table; t++)
        for (size_t s = 0; s < N_SIZE; s++)
            for (int kind = 0; kind < 2; kind++) {
                const size_t n = sizes[s], total = kind == 0 ? n + 9 : n;
                const double scale = kind == 0 ? 3.0 : 1.0;
                double sum = 0.0, lse = 0.0;
                for (size_t i = 0; i < n; i++)
                    sum += exp(scale * 10.0 * (double)x[i] - 60.0);
                for (size_t i = 0; i < total; i++) {
                    want[i] = i < n ? exp(scale * 10.0 * (double)x[i] - 60.0) / sum : 0.0;
                    y[i] = 10.0f * x[i];
                }
                if (kind == 0)
                    table[t]->softmax(n, total, 3.0f, y);
                else
                    lse = (double)table[t]->softmax_lse(n, y, y);
                near_all(table[t], "softmax", y, want, total, 4e-6);
                CU_ASSERT(kind == 0 || fabs(lse - 60.0 - log(sum)) < 1e-5 * fabs(lse) + 1e-5);
            }
    for (int t = 0; t < n_table; t++) { /* numbers far apart: no NaN, no infinity */
        float wide[4] = {-3e38f, 0.0f, 3e38f, -100.0f};
        table[t]->softmax(4, 4, 1.0f, wide);
        CU_ASSERT(wide[2] > 0.999f && wide[0] < 1e-30f && wide[1] < 1e-30f);
    }
}

static double gelu_of(double x)
{
    return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void activations_match(void)
{
    static float gu[MAX], y[MAX];
    static double want[MAX];
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    fill(gu, MAX, 7);
    for (size_t i = 0; i < MAX; i++)
        gu[i] *= 4.0f;
    gu[0] = -90.0f, gu[1] = 90.0f, gu[2] = 0.0f;
    for (int t = 0; t < n_table; t++)
        for (size_t s = 0; s < N_SIZE; s++) {
            const size_t f = sizes[s];
            for (size_t r = 0; r < 2; r++)
                for (size_t i = 0; i < f; i++) {
                    const double g = (double)gu[2 * r * f + i], u = (double)gu[(2 * r + 1) * f + i];
                    want[r * f + i] = g / (1.0 + exp(-g)) * u;
                }
            table[t]->swiglu(2, f, gu, y);
            near_all(table[t], "swiglu", y, want, 2 * f, 2e-6);
            for (size_t i = 0; i < f; i++)
                want[i] = gelu_of((double)gu[i]);
            table[t]->gelu(f, gu, y);
            near_all(table[t], "gelu", y, want, f, 2e-6);
            for (size_t i = 0; i < f; i++)
                want[i] = 0.5 * (double)gu[i] * erfc((double)gu[i] / -sqrt(2.0));
            table[t]->gelu_exact(f, gu, y);
            near_all(table[t], "gelu_exact", y, want, f, 2e-6);
        }
}

static void rope_rotates_and_back(void)
{
    enum { ROWS = 5, HEADS = 3, DIM = 10, LD = 40, POS = 300 };
    static float cs[POS * DIM], x[ROWS * LD], y[ROWS * LD];
    static double want[ROWS * LD];
    const int32_t pos[ROWS] = {0, 1, 7, 299, 42};
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    rad_rope_table(POS, DIM, 10000.0, cs);
    fill(x, ROWS * LD, 8);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < LD; i++) {
            const int h = i / DIM, j = i % DIM, half = DIM / 2, pair = j % half;
            const double angle = pos[r] * pow(10000.0, -2.0 * pair / DIM);
            const float *head = x + r * LD + h * DIM;
            const double a = (double)head[pair], b = (double)head[pair + half];
            const double turned = j < half ? a * cos(angle) - b * sin(angle)
                                           : b * cos(angle) + a * sin(angle);
            want[r * LD + i] = h < HEADS ? turned : (double)x[r * LD + i];
        }
    for (int t = 0; t < n_table; t++) {
        memcpy(y, x, sizeof y);
        table[t]->rope(ROWS, pos, HEADS, DIM, LD, cs, y);
        near_all(table[t], "rope", y, want, ROWS * LD, 1e-6);
        table[t]->rope_back(ROWS, pos, HEADS, DIM, LD, cs, y);
        double back[ROWS * LD];
        for (int i = 0; i < ROWS * LD; i++)
            back[i] = (double)x[i];
        near_all(table[t], "rope_back", y, back, ROWS * LD, 1e-6);
    }
}

/* ---- the optimiser ------------------------------------------------------------------------- */

static void adamw_matches(void)
{
    enum { N = 100 };
    float g[N], m[N], v[N], w[N];
    double want[N];
    const struct rad_adamw o = {0.01f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.271f, 0.142625f, 0.5f};
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    for (int t = 0; t < n_table; t++) {
        fill(g, N, 9), fill(m, N, 10), fill(v, N, 11), fill(w, N, 12);
        for (int i = 0; i < N; i++) {
            v[i] = fabsf(v[i]);
            const double gi = 0.5 * (double)g[i], mi = 0.9 * (double)m[i] + 0.1 * gi;
            const double vi = 0.95 * (double)v[i] + 0.05 * gi * gi;
            want[i] = (double)w[i] * (1 - 0.01 * 0.1) -
                      0.01 * (mi / 0.271) / (sqrt(vi / 0.142625) + 1e-8);
        }
        table[t]->adamw(N, &o, g, m, v, w);
        near_all(table[t], "adamw", w, want, N, 1e-6);
    }
}

/* ---- gradients: central differences of sums in double -------------------------------------- */

/* sum over i of dy[i] * f(x)[i] for the forward functions above, in double. */
static double forward(int kind, const double *x, const double *w, const double *dy, int n)
{
    double sum = 0.0, mean = 0.0, var = 0.0, top = 0.0;
    for (int i = 0; i < n; i++) {
        mean += kind == 1 ? x[i] / n : 0.0;
        top += exp(0.7 * x[i]);
    }
    for (int i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++) {
        const double normed = (x[i] - mean) / sqrt(var + 1e-5) * w[i];
        const double act = x[i] / (1.0 + exp(-x[i])) * w[i];
        sum += dy[i] * (kind < 2    ? normed
                        : kind == 2 ? act
                        : kind == 3 ? gelu_of(x[i])
                                    : exp(0.7 * x[i]) / top);
    }
    return sum;
}

enum { GN = 37 };

static void back(const struct rad_kernels *k, int kind, const float *x, const float *w,
                 const float *dy, float *dx)
{
    float y[GN], stat[2], dw[2 * GN] = {0}, gu[2 * GN], dgu[2 * GN];
    memset(dx, 0, GN * sizeof *dx);
    if (kind == 0) {
        k->rmsnorm(1, GN, 1e-5f, x, w, y, stat);
        k->rmsnorm_back(1, GN, x, w, stat, dy, dx, dw);
    } else if (kind == 1) {
        const float b[GN] = {0};
        k->layernorm(1, GN, 1e-5f, x, w, b, y, stat);
        k->layernorm_back(1, GN, x, w, stat, dy, dx, dw);
    } else if (kind == 2) {
        memcpy(gu, x, GN * sizeof *x);
        memcpy(gu + GN, w, GN * sizeof *w);
        k->swiglu_back(1, GN, gu, dy, dgu);
        memcpy(dx, dgu, GN * sizeof *dx);
    } else if (kind == 3) {
        memcpy(dx, dy, GN * sizeof *dx);
        k->gelu_back(GN, x, dx);
    } else {
        memcpy(y, x, sizeof y);
        k->softmax(GN, GN, 0.7f, y);
        memcpy(dx, dy, GN * sizeof *dx);
        k->softmax_back(GN, GN, 0.7f, y, dx);
    }
}

static void gradients_match_differences(void)
{
    static const char *const names[] = {"rmsnorm_back", "layernorm_back", "swiglu_back",
                                        "gelu_back", "softmax_back"};
    const struct rad_kernels *table[3];
    const int n_table = tables(table);
    float x[GN], w[GN], dy[GN], dx[GN];
    double xd[GN], wd[GN], dyd[GN], want[GN];
    fill(x, GN, 13), fill(w, GN, 14), fill(dy, GN, 15);
    for (int i = 0; i < GN; i++)
        xd[i] = (double)x[i], wd[i] = (double)w[i], dyd[i] = (double)dy[i];
    for (int kind = 0; kind < 5; kind++) {
        for (int i = 0; i < GN; i++) {
            const double kept = xd[i], h = 1e-5;
            xd[i] = kept + h;
            want[i] = forward(kind, xd, wd, dyd, GN);
            xd[i] = kept - h;
            want[i] = (want[i] - forward(kind, xd, wd, dyd, GN)) / (2 * h);
            xd[i] = kept;
        }
        for (int t = 0; t < n_table; t++) {
            back(table[t], kind, x, w, dy, dx);
            near_all(table[t], names[kind], dx, want, GN, 1e-5);
        }
    }
}

CU_TestInfo tensor_tests[] = {
    {"sums match", sums_match},
    {"norms match", norms_match},
    {"softmax matches", softmax_matches},
    {"activations match", activations_match},
    {"rope rotates and back", rope_rotates_and_back},
    {"adamw matches", adamw_matches},
    {"gradients match differences", gradients_match_differences},
    CU_TEST_INFO_NULL,
};
