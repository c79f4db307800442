/* law_grouped.c - one launch of G products, each with weights of its own: C_g = A_g W_g.
 *
 * M rows in all, r = M/G a group, n x k weights each, tiles of T rows in {16, 32, 64, 128} by 128:
 *   f(x) = x + 1/2 + e^(-2x)/2       tiles of x tiles' worth of rows: 1 for few, x + 1/2 for many
 *   t_c  = w(G f(r/T) ceil(n/128) / n_u) 2 T 128 (k + ramp) / (P/n_u compute_frac e_T)
 *          w(x) = wave ceil(x) + (1 - wave) max(x, 1)
 *   t_m  = [weights (1 + reread (f(r/T) - 1)) + activations] / (W bandwidth_frac)
 *          each further tile of rows reads the weights of its group again, in part from L2
 *   t    = floor + min over T of (t_c^p + t_m^p)^(1/p),  p = overlap
 * Experts (mid > 0): two such launches, their results through memory between them, and `glue`:
 * sorting the rows, and summing those of a token.
 *
 * For the same M, t does not fall with G: f(r/T) G does not, as f(x) - x f'(x) > 0; nor do whole
 * waves of it. Nor is t below the time of its bytes. Sources: as law_gemm.c; MegaBlocks, Gale et
 * al., arXiv 2211.15841 (one launch for all groups). f and reread are observations: a group of 80
 * rows takes twice as long as one of 64 where the weights do not fit L2. */
#include "hw/hw_part.h"
#include "hw/law.h"

enum { FLOOR, COMPUTE, BANDWIDTH, OVERLAP, WAVE, RAMP, REREAD, GLUE, TILE, N_TILE = 4 };

static const struct rad_law_param params[] = {
    {"floor", RAD_DIM_S, 1e-8, 1e-3, 5e-6, 0.5, "device time of an empty kernel"},
    {"compute_frac", RAD_DIM_ONE, 0.01, 1.2, 0.65, 0.3, "share of peak that large groups attain"},
    {"bandwidth_frac", RAD_DIM_ONE, 0.01, 1, 0.85, 0.2, "share of bandwidth that is attained"},
    {"overlap", RAD_DIM_ONE, 1, 30, 3, 0.5, "exponent of the smooth maximum"},
    {"wave", RAD_DIM_ONE, 0.001, 1, 0.5, 1.0, "1: whole waves of tiles, 0: persistent kernels"},
    {"ramp", RAD_DIM_ONE, 0.1, 4000, 100, 1.0, "depth of K that starting a tile costs"},
    {"reread", RAD_DIM_ONE, 0.001, 2, 0.5, 0.7, "share of weights that a further tile reads again"},
    {"glue", RAD_DIM_S, 1e-8, 1e-2, 1.5e-5, 1.0, "sorting and summing rows around experts"},
    {"tile_16", RAD_DIM_ONE, 0.01, 1.2, 0.3, 0.7, "relative rate"},
    {"tile_32", RAD_DIM_ONE, 0.01, 1.2, 0.5, 0.5, "relative rate"},
    {"tile_64", RAD_DIM_ONE, 0.01, 1.2, 0.75, 0.3, "relative rate"},
    {"tile_128", RAD_DIM_ONE, 0.01, 1.2, 0.95, 0.2, "relative rate"},
};

/* One launch. */
struct launch {
    double m, groups, n, k, weight_bytes, act_bytes;
};

static double waves(double x, double whole)
{
    const double up = (double)(int64_t)(x + 1.0 - 1e-9), least = x > 1.0 ? x : 1.0;
    return whole * (up > 1.0 ? up : 1.0) + (1.0 - whole) * least;
}

/* Adds a launch; the terms are those of the tile that is best. */
static void add_launch(const double *p, const struct rad_chip *chip, const struct launch *l,
                       struct rad_law_time *out)
{
    const double unit = chip->peak_flop_per_s * p[COMPUTE] / chip->units;
    const double bytes_per_s = chip->mem_bytes_per_s * p[BANDWIDTH];
    const double columns = (double)(((int64_t)l->n + 127) / 128);
    double best = (double)INFINITY, compute_s = 0.0, memory_s = 0.0;
    for (int i = 0; i < N_TILE; i++) {
        const double tile = 16 << i, x = l->m / (l->groups * tile);
        const double tiles = x + 0.5 + 0.5 * exp(-2.0 * x); /* of a group */
        const double w = waves(l->groups * tiles * columns / chip->units, p[WAVE]);
        const double c = w * 2.0 * tile * 128.0 * (l->k + p[RAMP]) / (unit * p[TILE + i]);
        const double again = 1.0 + p[REREAD] * (tiles - 1.0);
        const double m = (l->weight_bytes * again + l->act_bytes) / bytes_per_s;
        const double t = rad_part_soft_max(c, m, p[OVERLAP]);
        if (t < best) {
            best = t;
            compute_s = c;
            memory_s = m;
        }
    }
    out->time_s += p[FLOOR] + best;
    out->overhead_s += p[FLOOR];
    out->compute_s += compute_s;
    out->memory_s += memory_s;
}

static void grouped_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                         struct rad_law_time *out)
{
    *out = (struct rad_law_time){0};
    if (!(w->mid > 0.0)) {
        const struct launch l = {w->m, w->groups, w->n, w->k, w->weight_bytes, w->act_bytes};
        add_launch(p, chip, &l, out);
        return;
    }
    const double each = w->weight_bytes / (w->k * w->up + w->mid * w->n);
    const double act = w->act_bytes / (w->k + 2.0 * w->up + 2.0 * w->mid + w->n);
    const struct launch in = {w->m, w->groups,           w->up,
                              w->k, each * w->k * w->up, act * (w->k + w->up)};
    const struct launch back = {
        w->m, w->groups, w->n, w->mid, each * w->mid * w->n, act * (w->mid + w->n)};
    add_launch(p, chip, &in, out);
    add_launch(p, chip, &back, out);
    const double between_s = act * (w->up + w->mid) / (chip->mem_bytes_per_s * p[BANDWIDTH]);
    out->memory_s += between_s;
    out->overhead_s += p[GLUE];
    out->time_s += between_s + p[GLUE];
}

/* Groups are no coordinate: a surface must not let more of them cost less. */
static void place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->m;
    x[1] = w->mid > 0.0 ? w->up : w->n;
    x[2] = w->k;
}

const struct rad_law rad_law_grouped = {
    .name = "grouped",
    .params = params,
    .n_param = sizeof params / sizeof params[0],
    .axes = {{"m", 9, {1, 16, 64, 256, 1024, 4096, 16384, 65536, 262144}},
             {"n", 4, {64, 512, 4096, 32768}},
             {"k", 2, {2048, 6144}}},
    .n_axis = 3,
    .hold = {0.3, 0.03},
    .time = grouped_time,
    .place = place,
};
