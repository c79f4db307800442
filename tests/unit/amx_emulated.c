/* amx_emulated.c - sim/tensor/isa_amx.c once more, with TILELOADD, TILESTORED, TILEZERO and
 * TDPBF16PS as the Intel SDM (vol. 2) describes them, for 8 tiles of 16 rows of 64 bytes. */
#define _GNU_SOURCE /* syscall, in what is included below */
#include "amx_emulated.h"

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__) /* gcc, clang 14 */

#include <immintrin.h>
#include <string.h>

static struct {
    _Alignas(64) unsigned char row[16][64];
} tile[8];

static void load(int t, const void *base, size_t stride)
{
    for (size_t i = 0; i < 16; i++)
        memcpy(tile[t].row[i], (const unsigned char *)base + i * stride, 64);
}

static void store(int t, void *base, size_t stride)
{
    for (size_t i = 0; i < 16; i++)
        memcpy((unsigned char *)base + i * stride, tile[t].row[i], 64);
}

static float wide(const unsigned char *bf16)
{
    uint16_t half;
    memcpy(&half, bf16, 2);
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* c[m][n] += the products of pairs (2k, 2k + 1) of row m of a with those of column n, which lie
 * side by side in row k of b. */
static void multiply(int c, int a, int b)
{
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            float sum, even = 0.0f, odd = 0.0f;
            memcpy(&sum, tile[c].row[m] + 4 * n, 4);
            for (int k = 0; k < 16; k++) {
                even += wide(tile[a].row[m] + 4 * k) * wide(tile[b].row[k] + 4 * n);
                odd += wide(tile[a].row[m] + 4 * k + 2) * wide(tile[b].row[k] + 4 * n + 2);
            }
            sum += even + odd;
            memcpy(tile[c].row[m] + 4 * n, &sum, 4);
        }
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_loadconfig
#undef _tile_release
#define _tile_loadd(t, base, stride) load(t, base, stride)
#define _tile_stored(t, base, stride) store(t, base, stride)
#define _tile_zero(t) memset(&tile[t], 0, sizeof tile[t])
#define _tile_dpbf16ps(c, a, b) multiply(c, a, b)
#define _tile_loadconfig(config) (void)(config)
#define _tile_release() (void)0
#define rad_amx_enable amx_emulated_enable
#define rad_amx_scratch amx_emulated_scratch
#define rad_amx_gemm amx_emulated_gemm
#include "../../sim/tensor/isa_amx.c"

bool amx_emulated_can(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bf16");
}

#else

bool amx_emulated_can(void)
{
    return false;
}

size_t amx_emulated_scratch(const struct rad_mm *mm)
{
    (void)mm;
    return 0;
}

void amx_emulated_gemm(const struct rad_mm *mm, uint16_t *scratch)
{
    (void)mm;
    (void)scratch;
}

#endif
