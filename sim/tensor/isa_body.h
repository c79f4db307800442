/* isa_body.h - the kernels, compiled once per instruction set; ISA names the table. Loops are
 * written for the compiler's vectoriser; floats are clamped so that exp needs no special cases. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)

/* exp by range reduction to [-ln2/2, ln2/2] and a degree-6 Taylor polynomial: 2e-7 relative. */
static inline float exp_f(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float n = __builtin_rintf(x * 1.44269504088896341f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23; /* of NaN whatever: p is NaN */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float sigmoid_f(float x)
{
    return 1.0f / (1.0f + exp_f(-x));
}

static float dot(size_t n, const float *a, const float *b)
{
    float s = 0.0f;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static void add(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void axpy(size_t n, float alpha, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

static double sumsq(size_t n, const float *x)
{
    double total = 0.0;
    for (size_t at = 0; at < n; at += 4096) {
        const size_t len = n - at < 4096 ? n - at : 4096;
        total += (double)dot(len, x + at, x + at);
    }
    return total;
}

static void rmsnorm(size_t n_row, size_t d, float eps, const float *x, const float *w, float *y,
                    float *rstd)
{
    for (size_t r = 0; r < n_row; r++, x += d, y += d) {
        const float s = 1.0f / sqrtf(dot(d, x, x) / (float)d + eps);
        rstd[r] = s;
        if (w == NULL)
            for (size_t i = 0; i < d; i++)
                y[i] = x[i] * s;
        else
            for (size_t i = 0; i < d; i++)
                y[i] = x[i] * s * w[i];
    }
}

static void layernorm(size_t n_row, size_t d, float eps, const float *x, const float *w,
                      const float *b, float *y, float *stat)
{
    for (size_t r = 0; r < n_row; r++, x += d, y += d) {
        float mean = 0.0f, var = 0.0f;
        for (size_t i = 0; i < d; i++)
            mean += x[i];
        mean /= (float)d;
        for (size_t i = 0; i < d; i++)
            var += (x[i] - mean) * (x[i] - mean);
        const float s = 1.0f / sqrtf(var / (float)d + eps);
        stat[2 * r] = mean;
        stat[2 * r + 1] = s;
        for (size_t i = 0; i < d; i++)
            y[i] = (x[i] - mean) * s * w[i] + b[i];
    }
}

/* Lanes, because the compiler may not reorder a maximum that could meet a NaN. */
static float max_of(size_t n, const float *x)
{
    enum { LANES = 32 };
    float lane[LANES];
    for (size_t j = 0; j < LANES; j++)
        lane[j] = x[0];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i + LANES / 2 <= n; i += LANES / 2)
        for (size_t j = 0; j < LANES / 2; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++)
        lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    float best = lane[0];
    for (size_t j = 1; j < LANES; j++)
        best = lane[j] > best ? lane[j] : best;
    return best;
}

static void softmax(size_t n, size_t total, float scale, float *row)
{
    const float top = max_of(n, row);
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        row[i] = exp_f((row[i] - top) * scale);
        sum += row[i];
    }
    const float inverse = 1.0f / sum;
    for (size_t i = 0; i < n; i++)
        row[i] *= inverse;
    for (size_t i = n; i < total; i++)
        row[i] = 0.0f;
}

/* Milakov and Gimelshein, arXiv 1805.02867: softmax of a row that comes in parts. */
static float softmax_part(size_t n, float scale, float *row, float state[2])
{
    const float part = max_of(n, row), top = part > state[0] ? part : state[0];
    const float factor = state[1] > 0.0f ? exp_f((state[0] - top) * scale) : 0.0f;
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        row[i] = exp_f((row[i] - top) * scale);
        sum += row[i];
    }
    state[0] = top;
    state[1] = state[1] * factor + sum;
    return factor;
}

static float softmax_lse(size_t n, const float *logits, float *p)
{
    const float top = max_of(n, logits);
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        p[i] = exp_f(logits[i] - top);
        sum += p[i];
    }
    const float inverse = 1.0f / sum;
    for (size_t i = 0; i < n; i++)
        p[i] *= inverse;
    return top + logf(sum);
}

static float logsumexp(size_t n, const float *x)
{
    const float top = max_of(n, x);
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++)
        sum += exp_f(x[i] - top);
    return top + logf(sum);
}

static void swiglu(size_t n_row, size_t ffn, const float *gu, float *out)
{
    for (size_t r = 0; r < n_row; r++, gu += 2 * ffn, out += ffn)
        for (size_t i = 0; i < ffn; i++)
            out[i] = gu[i] * sigmoid_f(gu[i]) * gu[ffn + i];
}

static void swiglu_back(size_t n_row, size_t ffn, const float *gu, const float *dout, float *dgu)
{
    for (size_t r = 0; r < n_row; r++, gu += 2 * ffn, dgu += 2 * ffn, dout += ffn)
        for (size_t i = 0; i < ffn; i++) {
            const float x = gu[i], s = sigmoid_f(x);
            dgu[i] = dout[i] * gu[ffn + i] * s * (1.0f + x * (1.0f - s));
            dgu[ffn + i] = dout[i] * x * s;
        }
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
#define GELU_A 1.5957691216057308f /* 2 sqrt(2/pi) */
#define GELU_B 0.044715f

static void gelu(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * sigmoid_f(GELU_A * (x[i] + GELU_B * x[i] * x[i] * x[i]));
}

/* erfc by the Chebyshev series of Press et al., Numerical Recipes, section 6.2 (relative error
 * 1.2e-7; in float32 up to 2e-6 for GELU at -5): 1 + erf(-z) keeps its digits where erf is nearly
 * -1. */
static inline float erfc_f(float x)
{
    static const float c[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                              -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    const float z = fabsf(x), t = 1.0f / (1.0f + 0.5f * z);
    float p = c[0];
    for (int i = 1; i < 10; i++)
        p = p * t + c[i];
    const float y = t * exp_f(p - z * z);
    return x < 0.0f ? 2.0f - y : y;
}

static void gelu_exact(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * erfc_f(-0.70710678118654752f * x[i]);
}

static void gelu_back(size_t n, const float *x, float *dy)
{
    for (size_t i = 0; i < n; i++) {
        const float u = GELU_A * (x[i] + GELU_B * x[i] * x[i] * x[i]);
        const float s = sigmoid_f(u);
        dy[i] *= s + x[i] * s * (1.0f - s) * GELU_A * (1.0f + 3.0f * GELU_B * x[i] * x[i]);
    }
}

static void rotate(const float *cs, int32_t half, float sign, float *x)
{
    for (int32_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], c = cs[i], s = sign * cs[half + i];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
    }
}

static void rope_rows(size_t n_row, const int32_t *pos, const int32_t shape[3], float sign,
                      const float *cs, float *x)
{
    const int32_t n_head = shape[0], d_head = shape[1], ld = shape[2];
    for (size_t r = 0; r < n_row; r++, x += ld)
        for (int32_t h = 0; h < n_head; h++)
            rotate(cs + (size_t)pos[r] * (size_t)d_head, d_head / 2, sign,
                   x + (size_t)h * (size_t)d_head);
}

static void rope(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                 const float *cs, float *x)
{
    rope_rows(n_row, pos, (const int32_t[3]){n_head, d_head, ld}, 1.0f, cs, x);
}

static void rope_back(size_t n_row, const int32_t *pos, int32_t n_head, int32_t d_head, int32_t ld,
                      const float *cs, float *dx)
{
    rope_rows(n_row, pos, (const int32_t[3]){n_head, d_head, ld}, -1.0f, cs, dx);
}

static void rmsnorm_back(size_t n_row, size_t d, const float *x, const float *w, const float *rstd,
                         const float *dy, float *dx, float *dw)
{
    for (size_t r = 0; r < n_row; r++, x += d, dy += d, dx += d) {
        const float s = rstd[r];
        float xg = 0.0f; /* sum x * w * dy */
        for (size_t i = 0; i < d; i++)
            xg += x[i] * w[i] * dy[i];
        const float c = xg * s * s * s / (float)d;
        for (size_t i = 0; i < d; i++) {
            dx[i] += w[i] * dy[i] * s - x[i] * c;
            dw[i] += dy[i] * x[i] * s;
        }
    }
}

static void layernorm_back(size_t n_row, size_t d, const float *x, const float *w,
                           const float *stat, const float *dy, float *dx, float *dwb)
{
    for (size_t r = 0; r < n_row; r++, x += d, dy += d, dx += d) {
        const float mean = stat[2 * r], s = stat[2 * r + 1];
        float g1 = 0.0f, g2 = 0.0f;
        for (size_t i = 0; i < d; i++) {
            g1 += w[i] * dy[i];
            g2 += w[i] * dy[i] * (x[i] - mean);
        }
        g1 /= (float)d;
        g2 *= s * s / (float)d;
        for (size_t i = 0; i < d; i++) {
            dx[i] += s * (w[i] * dy[i] - g1 - (x[i] - mean) * g2);
            dwb[i] += dy[i] * (x[i] - mean) * s;
            dwb[d + i] += dy[i];
        }
    }
}

static void softmax_back(size_t n, size_t total, float scale, const float *p, float *dp)
{
    const float mean = dot(n, p, dp);
    for (size_t i = 0; i < n; i++)
        dp[i] = scale * p[i] * (dp[i] - mean);
    for (size_t i = n; i < total; i++)
        dp[i] = 0.0f;
}

/* Loshchilov and Hutter, arXiv 1711.05101, algorithm 2. */
static void adamw(size_t n, const struct rad_adamw *o, const float *g, float *m, float *v, float *w)
{
    const float step = o->lr / o->correct1, keep = 1.0f - o->lr * o->decay;
    const float root = 1.0f / sqrtf(o->correct2);
    for (size_t i = 0; i < n; i++) {
        const float gi = g[i] * o->scale;
        m[i] = o->beta1 * m[i] + (1.0f - o->beta1) * gi;
        v[i] = o->beta2 * v[i] + (1.0f - o->beta2) * gi * gi;
        w[i] = w[i] * keep - step * m[i] / (sqrtf(v[i]) * root + o->eps);
    }
}

const struct rad_kernels CAT(rad_kernels_, ISA);
const struct rad_kernels CAT(rad_kernels_, ISA) = {
    .name = ISA_NAME,
    .dot = dot,
    .add = add,
    .axpy = axpy,
    .rmsnorm = rmsnorm,
    .layernorm = layernorm,
    .softmax = softmax,
    .logsumexp = logsumexp,
    .swiglu = swiglu,
    .gelu = gelu,
    .gelu_exact = gelu_exact,
    .rope = rope,
    .rope_back = rope_back,
    .rmsnorm_back = rmsnorm_back,
    .layernorm_back = layernorm_back,
    .softmax_back = softmax_back,
    .swiglu_back = swiglu_back,
    .gelu_back = gelu_back,
    .softmax_lse = softmax_lse,
    .softmax_part = softmax_part,
    .sumsq = sumsq,
    .adamw = adamw,
};
