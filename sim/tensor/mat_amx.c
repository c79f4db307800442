/* mat_amx.c - strips of bfloat16 weights by the AMX product of isa_amx.c, which packs float32
 * operands into tiles: weights are widened first, which changes no bit of them. */
#include "tensor/amx.h"
#include "tensor/mat_impl.h"

enum { KC = 1024, MOST_M = 128, ROOM = 48 * KC, TILE = 16, TILE_K = 32 };

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Rows j..j+n of the weights, values k0..k0+k, as [n][k] float32. */
static void widen(const struct rad_strip *s, const int32_t row[2], const int32_t value[2], float *w)
{
    for (int32_t r = 0; r < row[1]; r++)
        rad_mat_kernels()->row[RAD_MAT_BF16](
            (size_t)value[1], s->w + (size_t)(row[0] + r) * s->w_bytes + 2 * (size_t)value[0],
            w + (size_t)r * (size_t)value[1]);
}

static void add_bias(const struct rad_strip *s)
{
    for (int32_t i = 0; i < s->m && s->bias != NULL; i++)
        for (int32_t j = 0; j < s->n; j++)
            s->y[(size_t)i * s->ldy + (size_t)j] += s->bias[j];
}

void rad_amx_mul_by(const struct rad_strip *s,
                    void (*product)(const struct rad_mm *mm, uint16_t *scratch))
{
    float w[ROOM];
    _Alignas(64) uint16_t scratch[(MOST_M + TILE) * (KC + TILE_K) + ROOM + (TILE + TILE_K) * KC];
    for (int32_t k0 = 0; k0 < s->k; k0 += KC) {
        const int32_t k = least(KC, s->k - k0), step = least(ROOM / k, KC) / TILE * TILE;
        for (int32_t j = 0; j < s->n; j += step) {
            const int32_t n = least(step, s->n - j);
            widen(s, (const int32_t[2]){j, n}, (const int32_t[2]){k0, k}, w);
            for (int32_t i = 0; i < s->m; i += MOST_M)
                product(&(struct rad_mm){.m = least(MOST_M, s->m - i),
                                         .n = n,
                                         .k = k,
                                         .a = s->x + (size_t)i * s->ldx + k0,
                                         .lda = (int32_t)s->ldx,
                                         .b = w,
                                         .ldb = k,
                                         .tb = true,
                                         .c = s->y + (size_t)i * s->ldy + j,
                                         .ldc = (int32_t)s->ldy,
                                         .add = k0 > 0},
                        scratch);
        }
    }
    add_bias(s);
}

void rad_amx_mul(const struct rad_strip *s)
{
    rad_amx_mul_by(s, rad_amx_gemm);
}
