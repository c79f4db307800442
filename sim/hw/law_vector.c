/* law_vector.c - row-wise and elementwise kernels: bytes over a bandwidth behind a floor.
 *
 *   h   = 1 / (1 + (B / (l2_share L2))^4)     share that stays in L2 between two kernels
 *   B'  = B (1 + pad (1024 ceil(width/1024) / width - 1))   a block of 1024 threads goes in turns
 *   t_m = B' (h / l2_gain + 1 - h) / (W bandwidth_frac)
 *   t_r = width row                           one block takes a whole row, however few rows there
 * are t   = floor + (t_r^p + t_m^p)^(1/p),  p = overlap
 *
 * Source: roofline, Williams, Waterman, Patterson, CACM 52(4) 2009. The L2 term is an observation:
 * activations that the kernel before has just written are read from there. So is t_r: kernels of
 * serving engines give a row to one block, and a row of 14336 elements takes 11 us, one of 1792
 * 2 us, on an otherwise idle A100. Blocks of min(width, 1024) threads: the activations of vLLM. */
#include "hw/hw_part.h"
#include "hw/law.h"

enum { FLOOR, BANDWIDTH, L2_GAIN, L2_SHARE, ROW, OVERLAP, PAD };
enum { BLOCK = 1024 };

static const struct rad_law_param params[] = {
    {"floor", RAD_DIM_S, 1e-8, 1e-3, 2.5e-6, 1.0, "device time of an empty kernel"},
    {"bandwidth_frac", RAD_DIM_ONE, 0.005, 3, 0.5, 0.7, "share of bandwidth that is attained"},
    {"l2_gain", RAD_DIM_ONE, 1, 20, 1.7, 0.5, "how much faster data come out of L2"},
    {"l2_share", RAD_DIM_ONE, 0.01, 20, 0.6, 0.7, "share of L2 that holds the operands"},
    {"row", RAD_DIM_S, 1e-14, 1e-7, 1e-10, 1.5, "one block's time for an element of its row"},
    {"overlap", RAD_DIM_ONE, 1, 30, 2, 0.5, "exponent of the smooth maximum"},
    {"pad", RAD_DIM_ONE, 1e-6, 1, 0.1, 1.5, "1: rows take whole turns of a block, 0: their width"},
};

static void vector_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                        struct rad_law_time *out)
{
    const double fit = w->act_bytes / (p[L2_SHARE] * fmax(chip->l2_bytes, 1.0)), f2 = fit * fit;
    const double hit = 1.0 / (1.0 + f2 * f2);
    out->overhead_s = p[FLOOR];
    out->compute_s = 0.0;
    const double turns = w->n / BLOCK, whole = (double)(int64_t)(turns + 1.0 - 1e-9);
    const double bytes = w->act_bytes * (1.0 + p[PAD] * (whole / turns - 1.0));
    const double memory_s = bytes * (hit / p[L2_GAIN] + 1.0 - hit) /
                            (chip->mem_bytes_per_s * p[BANDWIDTH]);
    out->memory_s = rad_part_soft_max(w->n * p[ROW], memory_s, p[OVERLAP]);
    out->time_s = out->overhead_s + out->memory_s;
}

static void place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->m;
    x[1] = w->n;
}

const struct rad_law rad_law_vector = {
    .name = "vector",
    .params = params,
    .n_param = sizeof params / sizeof params[0],
    .n_optional = 1,
    .axes = {{"rows", 9, {1, 16, 64, 256, 512, 1024, 2048, 4096, 32768}},
             {"width", 3, {1024, 4096, 16384}}},
    .n_axis = 2,
    .hold = {0.3, 0.03},
    .time = vector_time,
    .place = place,
};
