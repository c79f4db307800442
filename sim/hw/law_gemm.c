/* law_gemm.c - a dense matrix product C[M][N] = A[M][K] W[K][N] on n_u parallel units.
 *
 *   x(T, s) = ceil(M/Tm) ceil(N/Tn) s / n_u            waves of tiles T = Tm x Tn, split s ways in
 * K w = wave ceil(x) + (1 - wave) max(x, 1)            1: whole waves, 0: persistent kernels t_c =
 * min over T, s of  w 2 Tm Tn (K/s + ramp) / (P/n_u compute_frac e_T)
 *                           + [s > 1] partial 8 M N s / (W bandwidth_frac)
 *   t_m = B / (W bandwidth_frac)
 *   t   = floor + (t_c^p + t_m^p)^(1/p),  p = overlap
 *
 * P peak, W memory bandwidth, B bytes; e_T relative rate of a tile, ramp: the depth of K that its
 * prologue and epilogue cost. Sources: NVIDIA "Matrix Multiplication Background User's Guide"
 * (tiles and waves); NeuSight, arXiv 2407.13853; stream-K, Osama et al., arXiv 2301.03598 (w
 * without whole waves). The smooth maximum is an observation on measured kernels. */
#include "hw/hw_part.h"
#include "hw/law.h"

enum { FLOOR, COMPUTE, BANDWIDTH, OVERLAP, WAVE, PARTIAL, RAMP, TILE, N_TILE = 7 };

static const struct rad_law_param params[] = {
    {"floor", RAD_DIM_S, 1e-8, 1e-3, 4e-6, 1.0, "device time of an empty kernel"},
    {"compute_frac", RAD_DIM_ONE, 0.01, 1.5, 0.75, 0.3, "share of peak that a large GEMM attains"},
    {"bandwidth_frac", RAD_DIM_ONE, 0.01, 1.5, 0.85, 0.2, "share of bandwidth that is attained"},
    {"overlap", RAD_DIM_ONE, 1, 30, 2.5, 0.5, "exponent of the smooth maximum"},
    {"wave", RAD_DIM_ONE, 0.001, 1, 0.4, 1.0, "1: whole waves of tiles, 0: persistent kernels"},
    {"partial", RAD_DIM_ONE, 0.01, 100, 1.0, 1.0, "cost of partial sums against their bytes"},
    {"ramp", RAD_DIM_ONE, 0.1, 4000, 30, 1.0, "depth of K that starting a tile costs"},
    {"tile_256x128", RAD_DIM_ONE, 0.1, 1.2, 0.95, 0.2, "relative rate"},
    {"tile_128x256", RAD_DIM_ONE, 0.1, 1.2, 0.95, 0.2, "relative rate"},
    {"tile_128x128", RAD_DIM_ONE, 0.1, 1.2, 0.90, 0.2, "relative rate"},
    {"tile_64x256", RAD_DIM_ONE, 0.1, 1.2, 0.80, 0.3, "relative rate"},
    {"tile_64x128", RAD_DIM_ONE, 0.1, 1.2, 0.80, 0.3, "relative rate"},
    {"tile_128x64", RAD_DIM_ONE, 0.1, 1.2, 0.80, 0.3, "relative rate"},
    {"tile_64x64", RAD_DIM_ONE, 0.1, 1.2, 0.70, 0.3, "relative rate"},
};

static const struct {
    double m, n;
} tiles[N_TILE] = {{256, 128}, {128, 256}, {128, 128}, {64, 256}, {64, 128}, {128, 64}, {64, 64}};

static double ceil_div(double a, double b)
{
    return (double)(((int64_t)a + (int64_t)b - 1) / (int64_t)b);
}

/* Whole waves in part: see w above. */
static double waves(double x, double whole)
{
    const double up = (double)(int64_t)(x + 1.0 - 1e-9), least = x > 1.0 ? x : 1.0;
    return whole * (up > 1.0 ? up : 1.0) + (1.0 - whole) * least;
}

static double compute_s(const double *p, const struct rad_chip *chip, const struct rad_work *w)
{
    const double unit = chip->peak_flop_per_s * p[COMPUTE] / chip->units;
    const double part_s = 8.0 * w->m * w->n * p[PARTIAL] / (chip->mem_bytes_per_s * p[BANDWIDTH]);
    double best = (double)INFINITY;
    for (int i = 0; i < N_TILE; i++) {
        const double grid = ceil_div(w->m, tiles[i].m) * ceil_div(w->n, tiles[i].n) / chip->units;
        const double flop_s = 2.0 * tiles[i].m * tiles[i].n / (unit * p[TILE + i]);
        for (int s = 1; s <= 8; s *= 2) {
            const double extra_s = s > 1 ? part_s * s : 0.0;
            const double t = waves(grid * s, p[WAVE]) * flop_s * (w->k / s + p[RAMP]) + extra_s;
            best = t < best ? t : best;
            if (grid * s >= 2.0) /* enough blocks: more splits only cost */
                break;
        }
    }
    return best;
}

static void gemm_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                      struct rad_law_time *out)
{
    out->overhead_s = p[FLOOR];
    out->compute_s = compute_s(p, chip, w);
    out->memory_s = (w->weight_bytes + w->act_bytes) / (chip->mem_bytes_per_s * p[BANDWIDTH]);
    out->time_s = p[FLOOR] + rad_part_soft_max(out->compute_s, out->memory_s, p[OVERLAP]);
}

static void place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->m;
    x[1] = w->n;
    x[2] = w->k;
}

const struct rad_law rad_law_gemm = {
    .name = "gemm",
    .params = params,
    .n_param = sizeof params / sizeof params[0],
    .n_axis = 3,
    .axes = {{"m", 12, {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384}},
             {"n", 6, {1024, 2048, 4096, 8192, 16384, 65536}},
             {"k", 6, {1024, 2048, 4096, 8192, 16384, 65536}}},
    .hold = {0.3, 0.03},
    /* Where many N and K were measured: both sides of the steps that tiles of 16 to 256 rows make,
     * and the widths at which libraries were seen to choose other tiles. */
    .fine_axes = {{"m", 56, {1,    4,    8,    16,   17,   32,   33,   48,   64,   65,   80,   96,
                             112,  128,  129,  160,  161,  192,  193,  224,  225,  256,  257,  512,
                             513,  768,  769,  1024, 1025, 1280, 1281, 1536, 1537, 1792, 1793, 2048,
                             2049, 2304, 2305, 2560, 2561, 2816, 2817, 3072, 3073, 3328, 3329, 3584,
                             3585, 3840, 3841, 4096, 4097, 4352, 8192, 16384}},
                  {"n",
                   16,
                   {1024, 1536, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288,
                    16384, 51200, 65536}},
                  {"k", 4, {1024, 4096, 16384, 65536}}},
    .fine_shapes = 100,
    .fine_hold = {0.03, 0.01},
    .time = gemm_time,
    .place = place,
    /* Of 65536 the series of the collector begin, most of them before the board is at its limit
     * (docs/hardware-fits.md): hence both knots at that end. */
    .power_axes = {{"m", 11, {1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384}},
                   {"n", 4, {1024, 4096, 16384, 65536}},
                   {"k", 5, {1024, 4096, 16384, 51200, 65536}}},
    .n_power_axis = 3,
    .power_hold = {0.1, 0.1},
    .power_place = place,
};
