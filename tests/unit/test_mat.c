/* test_mat.c - weight matrices of every type on every instruction set of this CPU against plain
 * double loops; odd sizes, unaligned data, threads. */
#include "tensor/amx.h"
#include "tensor/mat_impl.h"
#include "tensor/tensor.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

extern const struct rad_mat_kernels rad_mat_kernels_base;
#if defined(__x86_64__)
extern const struct rad_mat_kernels rad_mat_kernels_avx2, rad_mat_kernels_avx512;
#endif

static int tables(const struct rad_mat_kernels *out[3])
{
    int n = 0;
    out[n++] = &rad_mat_kernels_base;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && rad_cpu_has_f16c())
        out[n++] = &rad_mat_kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[n++] = &rad_mat_kernels_avx512;
#endif
    return n;
}

/* ---- matrices with known values ------------------------------------------------------------- */

static uint32_t draw(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static double f16_value(uint16_t h)
{
    const int e = h >> 10 & 31, f = h & 1023;
    const double v = e == 0    ? ldexp(f, -24)
                     : e == 31 ? (f ? (double)NAN : (double)INFINITY)
                               : ldexp(1024 + f, e - 25);
    return h & 0x8000 ? -v : v;
}

struct made_mat {
    struct rad_mat mat;
    uint8_t *block;
    double *value; /* [n_out][n_in] */
};

static uint16_t small_f16(uint32_t *s) /* 2^-3 .. 2, any sign, or subnormal or zero */
{
    const uint32_t r = draw(s);
    return r % 16 == 0 ? (uint16_t)(r >> 4 & 0x83ff)
                       : (uint16_t)((r & 0x83ff) | (12 + r / 2048 % 4) << 10);
}

/* Value j of a Q6_K block of zeros. */
static double put_q6(uint8_t *block, int32_t j, uint32_t *s)
{
    uint16_t h = (uint16_t)(0x0c00 + draw(s) % 1024); /* about 1/3000 */
    const int32_t half = j / 128, quarter = j / 32 % 4, l = j % 32;
    const uint32_t q = draw(s) % 64;
    if (j == 0)
        memcpy(block + 208, &h, 2);
    memcpy(&h, block + 208, 2);
    if (j % 16 == 0)
        block[192 + j / 16] = (uint8_t)draw(s);
    const int part = (int8_t)block[192 + j / 16];
    block[64 * half + l + (quarter % 2 ? 32 : 0)] |= (uint8_t)((q & 15) << (quarter < 2 ? 0 : 4));
    block[128 + 32 * half + l] |= (uint8_t)(q >> 4 << (2 * quarter));
    return f16_value(h) * part * ((int)q - 32);
}

static void put_value(struct made_mat *m, uint8_t *row, double *value, int32_t j, uint32_t *s)
{
    const float f = (float)draw(s) / 8388608.0f - 1.0f;
    uint16_t h = small_f16(s);
    uint32_t bits;
    uint8_t *quant = row + j / 32 * (m->mat.type == RAD_MAT_Q8_0 ? 34 : 18);
    switch (m->mat.type) {
    case RAD_MAT_F32:
        memcpy(row + 4 * j, &f, 4);
        value[j] = (double)f;
        return;
    case RAD_MAT_F16:
        memcpy(row + 2 * j, &h, 2);
        value[j] = f16_value(h);
        return;
    case RAD_MAT_BF16:
        memcpy(&bits, &f, 4);
        h = (uint16_t)(bits >> 16);
        memcpy(row + 2 * j, &h, 2);
        value[j] = ldexp(bits >> 31 ? -1.0 : 1.0, (int)(bits >> 23 & 255) - 134) *
                   (128 + (bits >> 16 & 127));
        return;
    case RAD_MAT_Q6_K:
        value[j] = put_q6(row + j / 256 * 210, j % 256, s);
        return;
    default:
        break;
    }
    if (j % 32 == 0) {
        h = (uint16_t)(0x1c00 + draw(s) % 1024); /* about 1/200 */
        memcpy(quant, &h, 2);
    }
    memcpy(&h, quant, 2);
    const int q = (int)(draw(s) % 255) - 127, at = j % 32;
    if (m->mat.type == RAD_MAT_Q8_0) {
        quant[2 + at] = (uint8_t)q;
        value[j] = f16_value(h) * q;
    } else {
        const int n = q & 15;
        quant[2 + at % 16] = (uint8_t)(at < 16 ? n : quant[2 + at % 16] | n << 4);
        value[j] = f16_value(h) * (n - 8);
    }
}

/* The data starts at an odd address and ends where the allocation does. */
static void mat_open(struct made_mat *m, enum rad_mat_type type, int32_t n_out, int32_t n_in)
{
    const size_t bytes = rad_mat_row_bytes(type, n_in);
    uint32_t s = 17u * (uint32_t)type + (uint32_t)n_out + 1000u * (uint32_t)n_in;
    m->block = calloc(1, bytes * (size_t)n_out + 1);
    m->value = calloc((size_t)n_out * (size_t)n_in, sizeof *m->value);
    m->mat = (struct rad_mat){.type = type, .n_out = n_out, .n_in = n_in, .data = m->block + 1};
    for (int32_t i = 0; i < n_out; i++)
        for (int32_t j = 0; j < n_in; j++)
            put_value(m, m->block + 1 + (size_t)i * bytes, m->value + (size_t)i * (size_t)n_in, j,
                      &s);
}

static void mat_close(struct made_mat *m)
{
    free(m->block);
    free(m->value);
}

static float *floats(size_t n, uint32_t s)
{
    float *x = malloc(n * sizeof *x + 4);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)draw(&s) / 8388608.0f - 1.0f;
    return x;
}

/* ---- products ------------------------------------------------------------------------------ */

/* The largest error of y[m][n_out] as a share of sum |x w|, against double sums. */
static double worst_error(const struct made_mat *w, int32_t m, const float *x, const float *bias,
                          const float *y)
{
    double worst = 0.0;
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j < w->mat.n_out; j++) {
            double want = bias != NULL ? (double)bias[j] : 0.0, size = fabs(want) + 1e-9;
            for (int32_t k = 0; k < w->mat.n_in; k++) {
                const double p = (double)x[i * w->mat.n_in + k] *
                                 w->value[(size_t)j * (size_t)w->mat.n_in + (size_t)k];
                want += p;
                size += fabs(p);
            }
            const double off =
                fabs((double)y[(size_t)i * (size_t)w->mat.n_out + (size_t)j] - want) / size;
            worst = off > worst || isnan(off) ? off : worst;
        }
    return worst;
}

static const double tolerance = 6e-7; /* of sum |x w|: about ten roundings */

static void strips_match(void)
{
    static const int32_t size[][3] = {{1, 1, 1},    {1, 5, 31},   {2, 4, 16},   {3, 7, 67},
                                      {4, 12, 128}, {5, 13, 100}, {7, 6, 2049}, {13, 25, 800},
                                      {32, 9, 33},  {33, 3, 64},  {1, 3, 1600}, {130, 11, 96},
                                      {1, 21, 8},   {8, 13, 160}, {16, 8, 40},  {3, 19, 24}};
    const struct rad_mat_kernels *table[3];
    const int n_table = tables(table);
    for (int t = 0; t < 2 * n_table; t++) /* every table with weights near and far */
        for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
            for (int type = 0; type < RAD_N_MAT_TYPE; type++) {
                const int32_t m = size[i][0], n = size[i][1];
                const int32_t block = rad_mat_block((enum rad_mat_type)type);
                const int32_t k = (size[i][2] + block - 1) / block * block;
                struct made_mat w;
                mat_open(&w, (enum rad_mat_type)type, n, k);
                float *x = floats((size_t)m * (size_t)k, 5), *bias = floats((size_t)n, 6);
                float *y = floats((size_t)m * (size_t)n, 7);
                const struct rad_strip s = {.m = m,
                                            .n = n,
                                            .k = k,
                                            .x = x,
                                            .ldx = (size_t)k,
                                            .w = w.mat.data,
                                            .w_bytes = rad_mat_row_bytes(w.mat.type, k),
                                            .bias = i % 2 ? bias : NULL,
                                            .y = y,
                                            .ldy = (size_t)n,
                                            .far = t % 2 != 0};
                table[t / 2]->mul[type](&s);
                const double worst = worst_error(&w, m, x, s.bias, y);
                if (!(worst <= tolerance))
                    fprintf(stderr, "\n%s %s %d x %d x %d: off by %g\n", table[t / 2]->name,
                            rad_mat_type_name(w.mat.type), m, n, k, worst);
                CU_ASSERT(worst <= tolerance);
                mat_close(&w);
                free(x), free(bias), free(y);
            }
}

static void rows_widen(void)
{
    enum { N = 5, K = 256 };
    const struct rad_mat_kernels *table[3];
    const int n_table = tables(table);
    for (int type = 0; type < RAD_N_MAT_TYPE; type++) {
        struct made_mat w;
        mat_open(&w, (enum rad_mat_type)type, N, K);
        for (int t = 0; t < n_table; t++)
            for (int32_t i = 0; i < N; i++) {
                float out[K];
                const size_t bytes = rad_mat_row_bytes(w.mat.type, K);
                table[t]->row[type](K, (const uint8_t *)w.mat.data + (size_t)i * bytes, out);
                bool same = true;
                for (int k = 0; k < K; k++)
                    same = same && out[k] == (float)w.value[i * K + k];
                CU_ASSERT(same);
            }
        mat_close(&w);
    }
}

/* All 65536 float16 on each table; NaN stays NaN. */
static void halves_widen(void)
{
    static uint16_t all[65536];
    static float out[65536];
    const struct rad_mat_kernels *table[3];
    const int n_table = tables(table);
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    for (int t = 0; t < n_table; t++) {
        int wrong = 0;
        table[t]->row[RAD_MAT_F16](65536, (const uint8_t *)all, out);
        for (int i = 0; i < 65536; i++) {
            const double want = f16_value((uint16_t)i);
            wrong += isnan(want) ? !isnan(out[i]) : (double)out[i] != want;
        }
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

/* ---- whole products: threads, several matrices ----------------------------------------------- */

static void threads_keep_the_bits(void)
{
    static const int32_t rows[] = {1, 4, 9, 140};
    enum { N = 700, N2 = 301 };
    rad_gemm *g[3] = {NULL};
    for (int t = 0; t < 3; t++) {
        OK(rad_gemm_open(&g[t], RAD_GEMM_F32, &err));
        OK(rad_gemm_threads(g[t], t + 1, &err));
    }
    CU_ASSERT(rad_gemm_pool(g[0]) == NULL && rad_pool_size(rad_gemm_pool(g[2])) == 3);
    for (int type = 0; type < RAD_N_MAT_TYPE; type++) {
        struct made_mat w, w2;
        const int32_t k = type == RAD_MAT_Q6_K ? 1024 : 1056;
        mat_open(&w, (enum rad_mat_type)type, N, k);
        mat_open(&w2, RAD_MAT_F32, N2, k);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            const int32_t m = rows[i];
            float *x = floats((size_t)m * (size_t)k, 8), *bias = floats(N, 9);
            const size_t bytes = (size_t)m * (N + N2) * sizeof(float);
            float *y[3];
            for (int t = 0; t < 3; t++) {
                y[t] = floats((size_t)m * (N + N2), (uint32_t)t);
                const struct rad_mat_job job[] = {{.w = &w.mat, .bias = bias, .y = y[t]},
                                                  {.w = &w2.mat, .y = y[t] + (size_t)m * N}};
                rad_mat_mul_many(g[t], m, x, job, 2);
            }
            CU_ASSERT(memcmp(y[0], y[1], bytes) == 0 && memcmp(y[0], y[2], bytes) == 0);
            CU_ASSERT(worst_error(&w, m, x, bias, y[0]) <= tolerance);
            CU_ASSERT(worst_error(&w2, m, x, NULL, y[0] + (size_t)m * N) <= tolerance);
            for (int t = 0; t < 3; t++)
                free(y[t]);
            free(x), free(bias);
        }
        mat_close(&w), mat_close(&w2);
    }
    for (int t = 0; t < 3; t++)
        rad_gemm_close(g[t]);
}

static void wide_rows_keep_their_gaps_and_are_mapped(void)
{
    enum { M = 6, K = 20, N = 3, LD = 5 };
    struct made_mat w;
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    mat_open(&w, RAD_MAT_BF16, N, K);
    float *x = floats(M * K, 3), y[M * LD], z[M * N], row[K];
    for (int i = 0; i < M * LD; i++)
        y[i] = 77.0f;
    const struct rad_mat_job job = {.w = &w.mat, .y = y, .ldy = LD, .map = rad_relu};
    rad_mat_mul_many(g, M, x, &job, 1);
    rad_mat_mul(g, M, x, &w.mat, NULL, z);
    int wrong = 0, negative = 0;
    for (int i = 0; i < M * LD; i++) {
        const float all = i % LD < N ? z[i / LD * N + i % LD] : 77.0f;
        wrong += y[i] != (all > 0.0f ? all : 0.0f), negative += all < 0.0f;
    }
    CU_ASSERT(wrong == 0 && negative > 0);
    rad_mat_row(&w.mat, 2, row);
    CU_ASSERT(row[K - 1] == (float)w.value[2 * K + K - 1]);
    rad_mat_mul(g, 0, x, &w.mat, NULL, z); /* nothing */
    mat_close(&w), free(x);
    rad_gemm_close(g);
}

/* x of few bits loses nothing when rounded, so the sums must be as good as in float32. */
static void rounded_products_match(void)
{
    static const int32_t size[][3] = {{5, 7, 31}, {9, 13, 1600}, {131, 20, 96}, {8, 6, 1}};
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_BF16, &err));
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        const int32_t m = size[i][0], n = size[i][1], k = size[i][2];
        struct made_mat w;
        mat_open(&w, RAD_MAT_BF16, n, k);
        float *x = floats((size_t)m * (size_t)k, 15), *bias = floats((size_t)n, 16);
        float *y = floats((size_t)m * (size_t)n, 17);
        for (int32_t j = 0; j < m * k; j++)
            x[j] = floorf(x[j] * 64.0f) / 64.0f;
        rad_mat_mul(g, m, x, &w.mat, bias, y);
        CU_ASSERT(worst_error(&w, m, x, bias, y) <= tolerance);
        mat_close(&w);
        free(x), free(bias), free(y);
    }
    rad_gemm_close(g);
}

static void plain_product(const struct rad_mm *mm, uint16_t *scratch)
{
    scratch[rad_amx_scratch(mm) > 0 ? rad_amx_scratch(mm) - 1 : 0] = 1; /* there is room for it */
    for (int32_t i = 0; i < mm->m; i++)
        for (int32_t j = 0; j < mm->n; j++) {
            double sum = mm->add ? (double)mm->c[i * mm->ldc + j] : 0.0;
            for (int32_t k = 0; k < mm->k; k++)
                sum += (double)mm->a[i * mm->lda + k] * (double)mm->b[j * mm->ldb + k];
            mm->c[i * mm->ldc + j] = (float)sum;
        }
}

/* How strips are cut for AMX tiles, on any CPU; the tiles themselves where there are some. */
static void strips_for_tiles_match(void)
{
    static const int32_t size[][3] = {{16, 7, 31}, {131, 40, 96}, {17, 1100, 33}, {20, 52, 2100}};
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_BF16, &err));
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        const int32_t m = size[i][0], n = size[i][1], k = size[i][2];
        struct made_mat w;
        mat_open(&w, RAD_MAT_BF16, n, k);
        float *x = floats((size_t)(m * k), 25), *bias = floats((size_t)n, 26);
        float *y = floats((size_t)(m * n), 27);
        for (int32_t j = 0; j < m * k; j++)
            x[j] = floorf(x[j] * 64.0f) / 64.0f; /* loses nothing when rounded */
        const struct rad_strip s = {.m = m,
                                    .n = n,
                                    .k = k,
                                    .x = x,
                                    .ldx = (size_t)k,
                                    .w = w.mat.data,
                                    .w_bytes = 2 * (size_t)k,
                                    .bias = bias,
                                    .y = y,
                                    .ldy = (size_t)n};
        rad_amx_mul_by(&s, plain_product);
        CU_ASSERT(worst_error(&w, m, x, bias, y) <= tolerance);
        rad_mat_mul(g, m, x, &w.mat, bias, y);
        CU_ASSERT(worst_error(&w, m, x, bias, y) <= tolerance);
        mat_close(&w);
        free(x), free(bias), free(y);
    }
    rad_gemm_close(g);
}

CU_TestInfo mat_tests[] = {
    {"strips match", strips_match},
    {"rows widen", rows_widen},
    {"float16 widens", halves_widen},
    {"threads keep the bits", threads_keep_the_bits},
    {"rounded products match", rounded_products_match},
    {"strips for tiles match", strips_for_tiles_match},
    {"wide rows keep their gaps and are mapped", wide_rows_keep_their_gaps_and_are_mapped},
    CU_TEST_INFO_NULL,
};
