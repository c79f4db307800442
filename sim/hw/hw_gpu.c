/* hw_gpu.c - a throughput processor: a smooth roofline over a latency floor.
 *
 * F flop, B bytes, P peak of the format, W bandwidth * bandwidth_frac, n_u units (SM, CU),
 * ec compute_frac, p overlap, t0 the floor of the kernel kind.
 *   gemm    t = t0 + (t_c^p + t_m^p)^(1/p)          t_m = B / W
 *           t_c = F / (P ec), or with tiles = 1 the best of tiles (Tm, Tn) and split-K s:
 *             waves = ceil(ceil(M/Tm) ceil(N/Tn) s / n_u)
 *             t_c = waves 2 Tm Tn ceil32(K/s) / (P/n_u ec g) + [s>1] 8 M N s / W
 *             g = 1 - tile_loss * (halvings of the tile from 256 x 128)
 *   gemv    (M <= 8) t = t0 + max(F / (P ec), t_m)
 *   grouped (G groups in one launch) as gemm without tiles, but t_c = F pad / (P ec),
 *             pad = (x + 1/2 + e^(-2x)/2) / x, x = M / (16 G): tiles of 16 rows, each of one group
 *   attend  as gemm without tiles, ec = attend_frac; both terms divided by the occupancy
 *             min(1, n_seq max(kv_heads max(1, keys/split), heads max(1, queries/64)) / n_u)
 *   vector  t = t0 + max(B / W_kind, F / vector_peak)
 *   W is l2_bandwidth instead if all weights of the model and the operation's data fit in l2.
 *   Host-bound: a kernel takes no less than launch_gap, the time the host needs to launch one.
 *   E = F flop_energy + B byte_energy (l2_byte_energy)
 *
 * Sources: roofline, Williams, Waterman, Patterson, CACM 52(4) 2009; tiles and waves, NVIDIA
 * "Matrix Multiplication Background User's Guide" and NeuSight, arXiv 2407.13853; split-KV
 * decoding, Dao et al., "Flash-Decoding", 2023; the smooth maximum fitted to measured kernels. */
#include "hw/hw_part.h"
#include "hw/law.h"

struct gpu {
    struct rad_per_dtype peak_flop_per_s, compute_frac, flop_j;
    struct rad_per_vector vector_bytes_per_s, vector_floor_s;
    double mem_bytes_per_s, bandwidth_frac, byte_j;
    double l2_bytes, l2_bytes_per_s, l2_byte_j;
    double overlap, op_floor_s, launch_gap_s;
    double units, tiles, tile_loss;
    double vector_flop_per_s;
    double attend_frac, attend_floor_s, attend_split_keys;
    double link_bytes_per_s;
};

#define P(field) offsetof(struct gpu, field)

static const struct rad_param gpu_params[] = {
    RAD_PART_PEAK(P(peak_flop_per_s)),
    RAD_PART_PER_DTYPE("compute_frac", P(compute_frac), RAD_DIM_ONE, 0.01, 1,
                       "share of peak that a large GEMM attains"),
    RAD_PART_FLOP_ENERGY(P(flop_j)),
    {"bandwidth", P(mem_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e9, 1e15, RAD_REQUIRED,
     "device memory bandwidth"},
    {"bandwidth_frac", P(bandwidth_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of the bandwidth that a kernel attains"},
    {"byte_energy", P(byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of device memory"},
    {"l2", P(l2_bytes), RAD_DIM_BYTES, 0, 1e12, RAD_REQUIRED, "last-level cache"},
    {"l2_bandwidth", P(l2_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e9, 1e15, RAD_REQUIRED,
     "last-level cache bandwidth"},
    {"l2_byte_energy", P(l2_byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of the last-level cache"},
    {"overlap", P(overlap), RAD_DIM_ONE, 1, 20, RAD_REQUIRED,
     "exponent of the smooth maximum of compute and memory: 1 none, 9 nearly full overlap"},
    {"op_floor", P(op_floor_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "device time of an empty GEMM kernel"},
    {"launch_gap", P(launch_gap_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "host time to launch a kernel: the least that one takes"},
    {"units", P(units), RAD_DIM_INT, 1, 4096, RAD_REQUIRED, "parallel units (SM or CU)"},
    {"tiles", P(tiles), RAD_DIM_INT, 0, 1, RAD_REQUIRED,
     "1: GEMM time goes in tiles and waves, 0: it is smooth"},
    {"tile_loss", P(tile_loss), RAD_DIM_ONE, 0, 0.3, 0,
     "rate lost with each halving of the tile, used if tiles is 1"},
    {"vector_peak", P(vector_flop_per_s), RAD_DIM_FLOP_PER_S, 1e9, 1e18, RAD_REQUIRED,
     "fp32 rate outside the matrix units"},
    {"attend_frac", P(attend_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of peak that fused attention attains"},
    {"attend_floor", P(attend_floor_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "device time of an empty attention kernel"},
    {"attend_split", P(attend_split_keys), RAD_DIM_INT, 1, 1e6, 256,
     "keys of one block when decoding splits the KV cache"},
    {"link", P(link_bytes_per_s), RAD_DIM_BYTES_PER_S, 0, 1e15, 0,
     "links to other devices, one direction; 0: none known"},
    RAD_PART_PER_VECTOR("vector", P(vector_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e6, 1e15,
                        RAD_REQUIRED, "bytes per second"),
    RAD_PART_PER_VECTOR("vector_floor", P(vector_floor_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
                        "device time of an empty kernel"),
    RAD_PARAM_END,
};

enum { GEMV_M = 8, QUERY_TILE = 64 };

/* The tiles that libraries ship, and how often 256 x 128 was halved to get there. */
static const struct tile {
    int m_shift, n_shift, halvings;
} tile_list[] = {{8, 7, 0}, {7, 8, 0}, {7, 7, 1}, {7, 6, 2}, {6, 6, 3}};

static int64_t ceil_shift(int64_t x, int shift)
{
    return (x + ((int64_t)1 << shift) - 1) >> shift;
}

/* The best of all tiles and split-K factors; unit_s: seconds per FLOP of one unit. */
static double tiled_compute_s(const struct gpu *g, const struct rad_op *op, double unit_s,
                              double bytes_per_s)
{
    const int64_t units = (int64_t)g->units;
    const double partial_s = 8.0 * (double)op->m * (double)op->n / bytes_per_s;
    double best = (double)INFINITY;
    for (size_t i = 0; i < sizeof tile_list / sizeof tile_list[0]; i++) {
        const struct tile *t = &tile_list[i];
        const int64_t grid = ceil_shift(op->m, t->m_shift) * ceil_shift(op->n, t->n_shift);
        const double area = (double)((int64_t)2 << (t->m_shift + t->n_shift));
        const double flop_s = area * unit_s / (1.0 - g->tile_loss * t->halvings);
        for (int split = 0; split <= 2; split++) {
            const int64_t waves = ((grid << split) + units - 1) / units;
            const double depth = (double)(ceil_shift(ceil_shift(op->k, split), 5) << 5);
            const double extra_s = split > 0 ? partial_s * (double)(1 << split) : 0.0;
            best = fmin(best, (double)waves * depth * flop_s + extra_s);
        }
    }
    return best;
}

/* Weights, activations and KV of this operation come from: */
struct level {
    double bytes_per_s, byte_j;
};

static struct level level_of(const struct gpu *g, const struct rad_op *op)
{
    const double set = op->weight_set_bytes + op->act_bytes + op->kv_bytes;
    if (op->weight_set_bytes > 0.0 && set <= g->l2_bytes)
        return (struct level){g->l2_bytes_per_s, g->l2_byte_j};
    return (struct level){g->mem_bytes_per_s * g->bandwidth_frac, g->byte_j};
}

static void grouped_cost(const struct gpu *g, const struct rad_op *op, double bytes_per_s,
                         struct rad_cost *out)
{
    const double rate = g->peak_flop_per_s.of[op->dtype] * g->compute_frac.of[op->dtype];
    const double x = (double)op->m / (16.0 * (double)op->groups);
    out->overhead_s = g->op_floor_s;
    out->memory_s = rad_part_bytes(op) / bytes_per_s;
    out->compute_s = op->flop / rate * (x + 0.5 + 0.5 * exp(-2.0 * x)) / x;
    out->time_s = g->op_floor_s + rad_part_soft_max(out->compute_s, out->memory_s, g->overlap);
}

static void gemm_cost(const struct gpu *g, const struct rad_op *op, double bytes_per_s,
                      struct rad_cost *out)
{
    const double rate = g->peak_flop_per_s.of[op->dtype] * g->compute_frac.of[op->dtype];
    out->overhead_s = g->op_floor_s;
    out->memory_s = rad_part_bytes(op) / bytes_per_s;
    if (op->m <= GEMV_M) {
        out->compute_s = op->flop / rate;
        out->time_s = g->op_floor_s + fmax(out->compute_s, out->memory_s);
        return;
    }
    out->compute_s = g->tiles > 0.0 ? tiled_compute_s(g, op, g->units / rate, bytes_per_s)
                                    : op->flop / rate;
    out->time_s = g->op_floor_s + rad_part_soft_max(out->compute_s, out->memory_s, g->overlap);
}

static void attend_cost(const struct gpu *g, const struct rad_op *op, double bytes_per_s,
                        struct rad_cost *out)
{
    const double n_seq = op->n_seq > 0 ? (double)op->n_seq : 1.0, m = fmax((double)op->m, 1.0);
    const double splits = fmax(1.0, (double)op->n_keys / m / g->attend_split_keys);
    const double tiles = fmax(1.0, m / n_seq / QUERY_TILE);
    const double blocks = n_seq * fmax(op->kv_heads * splits, op->heads * tiles);
    const double occupancy = fmin(1.0, blocks / g->units);
    const double rate = g->peak_flop_per_s.of[op->dtype] * g->attend_frac;
    out->overhead_s = g->attend_floor_s;
    out->compute_s = op->flop / (rate * occupancy);
    out->memory_s = rad_part_bytes(op) / (bytes_per_s * occupancy);
    out->time_s = g->attend_floor_s + rad_part_soft_max(out->compute_s, out->memory_s, g->overlap);
}

static void vector_cost(const struct gpu *g, const struct rad_op *op, struct rad_cost *out)
{
    const int kind = rad_part_vector(op->kind);
    out->overhead_s = g->vector_floor_s.of[kind];
    out->compute_s = op->flop / g->vector_flop_per_s;
    out->memory_s = rad_part_bytes(op) / g->vector_bytes_per_s.of[kind];
    out->time_s = out->overhead_s + fmax(out->compute_s, out->memory_s);
}

static enum rad_status gpu_cost(const void *params, const struct rad_op *op, struct rad_cost *out)
{
    const struct gpu *g = params;
    if (!(g->peak_flop_per_s.of[op->dtype] > 0.0))
        return RAD_E_UNSUPPORTED;
    const struct level level = level_of(g, op);
    if (op->kind == RAD_OP_GEMM && op->groups > 1)
        grouped_cost(g, op, level.bytes_per_s, out);
    else if (op->kind == RAD_OP_GEMM)
        gemm_cost(g, op, level.bytes_per_s, out);
    else if (op->kind == RAD_OP_ATTEND)
        attend_cost(g, op, level.bytes_per_s, out);
    else
        vector_cost(g, op, out);
    if (out->time_s < g->launch_gap_s) {
        out->overhead_s += g->launch_gap_s - out->time_s;
        out->time_s = g->launch_gap_s;
    }
    out->dynamic_j = op->flop * g->flop_j.of[op->dtype];
    out->memory_j = rad_part_bytes(op) * level.byte_j;
    return RAD_OK;
}

static bool gpu_supports(const void *params, enum rad_dtype dtype)
{
    const struct gpu *g = params;
    return g->peak_flop_per_s.of[dtype] > 0.0;
}

static void gpu_chip(const void *params, enum rad_dtype dtype, struct rad_chip *out)
{
    const struct gpu *g = params;
    *out = (struct rad_chip){
        .peak_flop_per_s = g->peak_flop_per_s.of[dtype],
        .mem_bytes_per_s = g->mem_bytes_per_s,
        .l2_bytes = g->l2_bytes,
        .units = g->units,
        .link_bytes_per_s = g->link_bytes_per_s > 0.0 ? g->link_bytes_per_s : 32e9,
    };
}

static enum rad_status gpu_check(const void *params, struct rad_err *err)
{
    const struct gpu *g = params;
    const struct rad_part_set others[] = {{"compute_frac", &g->compute_frac},
                                          {"flop_energy", &g->flop_j}};
    RAD_TRY(
        rad_part_check_sets((struct rad_part_set){"peak", &g->peak_flop_per_s}, others, 2, err));
    if (g->l2_bytes_per_s < g->mem_bytes_per_s)
        return rad_fail(err, RAD_E_RANGE,
                        "l2_bandwidth: expected at least bandwidth %g B/s but found %g B/s",
                        g->mem_bytes_per_s, g->l2_bytes_per_s);
    return RAD_OK;
}

const struct rad_hw_model rad_hw_model_gpu = {
    .name = "gpu",
    .summary = "throughput processor: smooth roofline, tiles and waves, launch floor",
    .source = "Williams 2009; NVIDIA matrix multiplication guide; NeuSight arXiv 2407.13853",
    .params = gpu_params,
    .params_bytes = sizeof(struct gpu),
    .grouped = true,
    .check = gpu_check,
    .supports = gpu_supports,
    .cost = gpu_cost,
    .chip = gpu_chip,
};
