/* isa_amx.c - bfloat16 GEMM on AMX tiles, float32 accumulation.
 *
 * Both operands are packed into 1 KB tiles of 16 x 32 bfloat16: A as [row][k pair], B as
 * [k pair][column] with pairs of k interleaved, as TDPBF16PS wants (Intel SDM vol. 2, "TDPBF16PS";
 * optimisation manual ch. 20). A 2 x 2 block of accumulator tiles covers 32 x 32 of C. Edges are
 * padded with zeros while packing and cut while storing. */
#define _GNU_SOURCE /* syscall */
#include "tensor/amx.h"

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__) /* gcc, clang 14 */

#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TILE = 512 }; /* bfloat16 per packed tile */

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

bool rad_amx_enable(void)
{
    enum { REQUEST_PERM = 0x1023, XTILEDATA = 18 }; /* arch_prctl(2), asm/prctl.h */
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512bf16"))
        return false;
    unsigned a, b, c, d = 0;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    const bool has = (d >> 22 & 1) && (d >> 24 & 1); /* AMX-BF16, AMX-TILE */
    return has && syscall(SYS_arch_prctl, REQUEST_PERM, XTILEDATA) == 0;
}

static inline __m512i round_pair(__m512 lo, __m512 hi)
{
    return (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
}

/* 16 x 16 matrix of 32-bit words, transposed in registers. */
static void transpose(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

static __mmask16 first(int n)
{
    const unsigned mask = n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1;
    return (__mmask16)mask;
}

/* Words [row][k pair] of up to 16 rows that are contiguous in k. */
static void take_rows(__m512i w[16], const float *x, int32_t ld, int rows, int k)
{
    for (int i = 0; i < 16; i++) {
        if (i >= rows) {
            w[i] = _mm512_setzero_si512();
            continue;
        }
        const float *p = x + (size_t)i * (size_t)ld;
        w[i] = round_pair(_mm512_maskz_loadu_ps(first(k), p),
                          _mm512_maskz_loadu_ps(first(k - 16), p + (k > 16 ? 16 : 0)));
    }
}

/* Words [k pair][row] of up to 16 rows of which each k is contiguous over rows. */
static void take_columns(__m512i w[16], const float *x, int32_t ld, int rows, int k)
{
    for (int j = 0; j < 16; j++) {
        const float *p = x + (size_t)(2 * j) * (size_t)ld;
        const __m512 lo = 2 * j < k ? _mm512_maskz_loadu_ps(first(rows), p) : _mm512_setzero_ps();
        const __m512 hi = 2 * j + 1 < k ? _mm512_maskz_loadu_ps(first(rows), p + ld)
                                        : _mm512_setzero_ps();
        const __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(lo));
        const __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(hi));
        w[j] = _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
    }
}

/* Pack an operand of `rows` (m or n) by k: along_k says that k is the contiguous axis,
 * by_pair that tiles are [k pair][row] (B) instead of [row][k pair] (A). */
static void pack(const float *x, int32_t ld, const int32_t size[2], bool along_k, bool by_pair,
                 uint16_t *out)
{
    const int32_t rows = size[0], k = size[1];
    __m512i w[16];
    for (int32_t r = 0; r < rows; r += 16)
        for (int32_t p = 0; p < k; p += 32, out += TILE) {
            const int nr = rows - r < 16 ? rows - r : 16, nk = k - p < 32 ? k - p : 32;
            if (along_k)
                take_rows(w, x + (size_t)r * (size_t)ld + p, ld, nr, nk);
            else
                take_columns(w, x + (size_t)p * (size_t)ld + r, ld, nr, nk);
            if (along_k == by_pair)
                transpose(w);
            for (int i = 0; i < 16; i++)
                _mm512_store_si512(out + 32 * i, w[i]);
        }
}

static void store_block(float block[32][32], const struct rad_mm *mm, int32_t i, int32_t j)
{
    const int rows = mm->m - i < 32 ? mm->m - i : 32, cols = mm->n - j < 32 ? mm->n - j : 32;
    const __mmask16 lo = first(cols), hi = first(cols - 16);
    for (int r = 0; r < rows; r++) {
        float *c = mm->c + (size_t)(i + r) * (size_t)mm->ldc + j;
        __m512 x = _mm512_load_ps(block[r]), y = _mm512_load_ps(block[r] + 16);
        if (mm->add) {
            x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(lo, c));
            y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(hi, c + (cols > 16 ? 16 : 0)));
        }
        _mm512_mask_storeu_ps(c, lo, x);
        if (hi)
            _mm512_mask_storeu_ps(c + 16, hi, y);
    }
}

static void accumulate(const uint16_t *a, const uint16_t *b, const size_t step[2], int32_t nk)
{
    for (int32_t p = 0; p < nk; p++, a += TILE, b += TILE) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        _tile_loadd(7, b + step[1], 64);
        _tile_loadd(5, a + step[0], 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* c is a 32 x 32 block with rows ld bytes apart: read it first if add is set, then write it. */
static void load_c(const float *c, size_t ld, bool add)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (!add)
        return;
    _tile_loadd(0, c, ld);
    _tile_loadd(1, c + 16, ld);
    _tile_loadd(2, c + 16 * (ld / sizeof *c), ld);
    _tile_loadd(3, c + 16 * (ld / sizeof *c) + 16, ld);
}

static void save_c(float *c, size_t ld)
{
    _tile_stored(0, c, ld);
    _tile_stored(1, c + 16, ld);
    _tile_stored(2, c + 16 * (ld / sizeof *c), ld);
    _tile_stored(3, c + 16 * (ld / sizeof *c) + 16, ld);
}

/* The block of C at (i, j); a second tile row or column past the edge repeats the first. */
static void multiply_block(const struct rad_mm *mm, const uint16_t *pa, const uint16_t *pb,
                           int32_t i, int32_t j)
{
    const int32_t nk = (mm->k + 31) / 32;
    const size_t panel = (size_t)nk * TILE;
    const size_t step[2] = {i + 16 < mm->m ? panel : 0, j + 16 < mm->n ? panel : 0};
    if (i + 32 <= mm->m && j + 32 <= mm->n) {
        float *c = mm->c + (size_t)i * (size_t)mm->ldc + j;
        load_c(c, (size_t)mm->ldc * sizeof *c, mm->add);
        accumulate(pa, pb, step, nk);
        save_c(c, (size_t)mm->ldc * sizeof *c);
        return;
    }
    _Alignas(64) float block[32][32];
    load_c(NULL, 0, false);
    accumulate(pa, pb, step, nk);
    save_c(&block[0][0], sizeof block[0]);
    store_block(block, mm, i, j);
}

size_t rad_amx_scratch(const struct rad_mm *mm)
{
    const size_t nk = (size_t)(mm->k + 31) / 32;
    return ((size_t)(mm->m + 15) / 16 + (size_t)(mm->n + 15) / 16) * nk * TILE;
}

void rad_amx_gemm(const struct rad_mm *mm, uint16_t *scratch)
{
    const int32_t nk = (mm->k + 31) / 32, nm = (mm->m + 15) / 16, nn = (mm->n + 15) / 16;
    uint16_t *pa = scratch, *pb = scratch + (size_t)nm * (size_t)nk * TILE;
    pack(mm->a, mm->lda, (const int32_t[2]){mm->m, mm->k}, !mm->ta, false, pa);
    pack(mm->b, mm->ldb, (const int32_t[2]){mm->n, mm->k}, mm->tb, true, pb);

    struct tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = 16;
    }
    /* The intrinsic tells gcc 12 of 8 bytes only; without this the rest is dropped at -O3. */
    __asm__ volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
    /* Rows of A in blocks that stay in the L1 cache while all columns of B pass by. */
    const int32_t fit = 20 / nk / 2 * 2, rows = fit < 2 ? 2 : fit;
    const size_t panel = (size_t)nk * TILE;
    for (int32_t i0 = 0; i0 < nm; i0 += rows)
        for (int32_t j = 0; j < nn; j += 2)
            for (int32_t i = i0; i < nm && i < i0 + rows; i += 2)
                multiply_block(mm, pa + (size_t)i * panel, pb + (size_t)j * panel, i * 16, j * 16);
    _tile_release();
}

#else

bool rad_amx_enable(void)
{
    return false;
}

size_t rad_amx_scratch(const struct rad_mm *mm)
{
    (void)mm;
    return 0;
}

void rad_amx_gemm(const struct rad_mm *mm, uint16_t *scratch)
{
    (void)mm;
    (void)scratch;
}

#endif
