/* image_resize.c - resampling as Pillow does it, to the bit: weights in fixed point with 22 bits,
 * one pass per axis, each rounded to 8 bits.
 *
 * Output pixel x has its centre at c = (x + 1/2) s of the input, s = in / out. With t = max(s, 1)
 * input pixel i weighs f((i + 1/2 - c) / t), |.| < support, and the weights are divided by their
 * sum. f: bilinear 1 - |u|; bicubic (Keys 1981) with a = -1/2. */
#include "checkpoint/image_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { BITS = 22 };

static double bilinear(double u)
{
    u = fabs(u);
    return u < 1.0 ? 1.0 - u : 0.0;
}

static double bicubic(double u)
{
    const double a = -0.5;
    u = fabs(u);
    if (u < 1.0)
        return ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0;
    return u < 2.0 ? (((u - 5.0) * u + 8.0) * u - 4.0) * a : 0.0;
}

struct taps { /* of one output pixel */
    int32_t first, n;
    int32_t *weight; /* [n] fixed point */
};

static void fill_taps(struct taps *t, int32_t x, const int32_t size[2], int filter, double *scratch)
{
    double (*f)(double) = filter == RAD_FILTER_BICUBIC ? bicubic : bilinear;
    const double scale = (double)size[0] / size[1], stretch = scale > 1.0 ? scale : 1.0;
    const double support = (filter == RAD_FILTER_BICUBIC ? 2.0 : 1.0) * stretch;
    const double centre = (x + 0.5) * scale;
    double sum = 0.0;
    int32_t first = (int32_t)(centre - support + 0.5), end = (int32_t)(centre + support + 0.5);
    first = first > 0 ? first : 0;
    end = end < size[0] ? end : size[0];
    for (int32_t i = first; i < end; i++)
        sum += scratch[i - first] = f((i - centre + 0.5) * (1.0 / stretch));
    t->first = first;
    t->n = end - first;
    for (int32_t i = 0; i < t->n; i++) {
        const double w = sum != 0.0 ? scratch[i] * (1.0 / sum) : 0.0;
        t->weight[i] = (int32_t)((w < 0.0 ? -0.5 : 0.5) + w * (1 << BITS));
    }
}

static unsigned char to_byte(int64_t sum)
{
    sum >>= BITS;
    return (unsigned char)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One axis: `lines` lines of size[0] pixels become lines of size[1]. step: between pixels of a
 * line, next: between lines, both in pixels; from [0] and to [1]. */
struct axis {
    int32_t size[2], lines;
    size_t step[2], next[2];
};

static void resample(const struct axis *a, const struct taps *taps, const unsigned char *from,
                     unsigned char *to)
{
    for (int32_t line = 0; line < a->lines; line++)
        for (int32_t x = 0; x < a->size[1]; x++)
            for (size_t c = 0; c < 3; c++) {
                const struct taps *t = &taps[x];
                const unsigned char *p =
                    from + 3 * ((size_t)line * a->next[0] + (size_t)t->first * a->step[0]) + c;
                int64_t sum = INT64_C(1) << (BITS - 1);
                for (int32_t i = 0; i < t->n; i++, p += 3 * a->step[0])
                    sum += (int64_t)*p * t->weight[i];
                to[3 * ((size_t)line * a->next[1] + (size_t)x * a->step[1]) + c] = to_byte(sum);
            }
}

static enum rad_status pass(const struct axis *a, int filter, unsigned char **rgb,
                            struct rad_err *err)
{
    const size_t in = (size_t)a->size[0], out = (size_t)a->size[1];
    const size_t most = 4 * (in / out + 2) + 8; /* taps of a pixel: 2 support + 1 at most */
    if (in == out)
        return RAD_OK;
    struct taps *taps = calloc(out, sizeof *taps);
    int32_t *weight = calloc(out * most, sizeof *weight);
    double *scratch = calloc(most, sizeof *scratch);
    unsigned char *to = malloc(3 * out * (size_t)a->lines);
    const bool ok = taps && weight && scratch && to;
    for (size_t x = 0; ok && x < out; x++) {
        taps[x].weight = weight + x * most;
        fill_taps(&taps[x], (int32_t)x, a->size, filter, scratch);
    }
    if (ok) {
        resample(a, taps, *rgb, to);
        free(*rgb);
        *rgb = to;
    } else {
        free(to);
    }
    free(taps);
    free(weight);
    free(scratch);
    return ok ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "image: out of memory");
}

enum rad_status rad_picture_resize(struct rad_picture *p, int32_t side, int filter,
                                   struct rad_err *err)
{
    const size_t s = (size_t)side, w = (size_t)p->width;
    const struct axis across = {{p->width, side}, p->height, {1, 1}, {w, s}};
    const struct axis down = {{p->height, side}, side, {s, s}, {1, 1}};
    RAD_TRY(pass(&across, filter, &p->rgb, err));
    p->width = side;
    RAD_TRY(pass(&down, filter, &p->rgb, err));
    p->height = side;
    return RAD_OK;
}
