/* law_attend.c - fused attention: one query per sequence (decode) or many (prefill).
 *
 * b sequences, c keys each, H heads, G kv heads, D head width, B bytes, W bandwidth, n_u units.
 *   decode   h = 1 / (1 + (B_kv / (l2_share L2))^8)            share of the cache that stays in L2
 *            o = (1 + (b G max(1, c split) / n_u)^-2)^(-1/2)   occupancy of split-KV kernels
 *            t = floor (1 + depth log2(1 + c/256)) + B (h / l2_gain + 1 - h) / (W bandwidth_frac o)
 *                + b H head
 *   prefill  causal, s queries in tiles of 128, S = 128 ceil(s/128): F' = F (S (S + 128)) / (s (s +
 *            1)) for s = c; o = (1 + (fill n_u / (b H ceil(s/128)))^2)^(-1/2)
 *            t = floor + (t_c^p + t_m^p)^(1/p) + query s,  t_c = F' / (P compute_frac o), t_m = B /
 *            (W bandwidth_frac), p = overlap
 * Sources: Dao, "FlashAttention-2", arXiv 2307.08691; Dao et al., "Flash-Decoding", 2023. L2
 * residency and the growth of the floor with depth are observations on measured kernels. */
#include "hw/hw_part.h"
#include "hw/law.h"

enum { D_FLOOR, D_BANDWIDTH, D_L2_GAIN, D_DEPTH, D_L2_SHARE, D_HEAD, D_SPLIT };

static const struct rad_law_param decode_params[] = {
    {"floor", RAD_DIM_S, 1e-7, 1e-3, 10e-6, 1.0, "device time of an empty kernel"},
    {"bandwidth_frac", RAD_DIM_ONE, 0.01, 1.5, 0.88, 0.3, "share of bandwidth that is attained"},
    {"l2_gain", RAD_DIM_ONE, 1, 20, 3, 0.5, "how much faster keys come out of L2"},
    {"depth", RAD_DIM_ONE, 1e-4, 3, 0.05, 1.0, "growth of the floor per doubling of the context"},
    {"l2_share", RAD_DIM_ONE, 0.01, 20, 1, 0.5, "share of L2 that holds keys"},
    {"head", RAD_DIM_S, 1e-13, 1e-7, 1.4e-10, 1.0, "per sequence and head"},
    {"split", RAD_DIM_ONE, 1e-5, 1e4, 0.02, 3.0, "blocks per key"},
};

static void decode_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                        struct rad_law_time *out)
{
    const double cache = w->kv_bytes / (p[D_L2_SHARE] * fmax(chip->l2_bytes, 1.0));
    const double c2 = cache * cache, c4 = c2 * c2, hit = 1.0 / (1.0 + c4 * c4);
    const double blocks = w->batch * w->kv_heads * fmax(1.0, w->keys * p[D_SPLIT]) / chip->units;
    const double fill = 1.0 / sqrt(1.0 + 1.0 / (blocks * blocks));
    const double rate = chip->mem_bytes_per_s * p[D_BANDWIDTH] * fill;
    out->overhead_s = p[D_FLOOR] * (1.0 + p[D_DEPTH] * log2(1.0 + w->keys / 256.0)) +
                      w->batch * w->heads * p[D_HEAD];
    out->compute_s = w->flop / chip->peak_flop_per_s;
    out->memory_s = (w->kv_bytes + w->act_bytes) * (hit / p[D_L2_GAIN] + 1.0 - hit) / rate;
    out->time_s = out->overhead_s + fmax(out->memory_s, out->compute_s);
}

static void decode_place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->batch * w->kv_heads * w->keys;
    x[1] = w->keys;
    x[2] = w->heads / w->kv_heads;
    x[3] = w->kv_heads;
}

const struct rad_law rad_law_decode = {
    .name = "decode",
    .params = decode_params,
    .n_param = sizeof decode_params / sizeof decode_params[0],
    .axes = {{"keys",
              11,
              {512, 2048, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 4194304}},
             {"context", 5, {64, 512, 4096, 16384, 131072}},
             {"group", 3, {1, 8, 64}},
             {"kv_heads", 2, {1, 2}}},
    .n_axis = 4,
    .hold = {0.3, 0.03},
    .time = decode_time,
    .place = decode_place,
};

enum { P_FLOOR, P_COMPUTE, P_BANDWIDTH, P_OVERLAP, P_FILL, P_QUERY };

static const struct rad_law_param prefill_params[] = {
    {"floor", RAD_DIM_S, 1e-7, 1e-3, 6e-6, 1.0, "device time of an empty kernel"},
    {"compute_frac", RAD_DIM_ONE, 0.01, 1.5, 0.55, 0.4, "share of peak that is attained"},
    {"bandwidth_frac", RAD_DIM_ONE, 0.01, 1.5, 0.8, 0.4, "share of bandwidth that is attained"},
    {"overlap", RAD_DIM_ONE, 1, 30, 2.5, 0.5, "exponent of the smooth maximum"},
    {"fill", RAD_DIM_ONE, 0.001, 20, 0.6, 1.0, "blocks per unit that a full rate takes"},
    {"query", RAD_DIM_S, 1e-13, 1e-7, 1e-9, 1.5, "per query of one sequence"},
};

enum { QUERY_TILE = 128 };

static void prefill_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                         struct rad_law_time *out)
{
    const double s = fmax(1.0, w->m / w->batch);
    const double tiles = ceil(s / QUERY_TILE), padded = tiles * QUERY_TILE;
    const double over = padded / s; /* rows; of the causal triangle its diagonal tiles as well */
    const double whole = s >= w->keys ? over * (padded + QUERY_TILE) / (s + 1.0) : over;
    const double fill = p[P_FILL] * chip->units / (w->batch * w->heads * tiles);
    const double rate = chip->peak_flop_per_s * p[P_COMPUTE] / sqrt(1.0 + fill * fill);
    out->overhead_s = p[P_FLOOR] + p[P_QUERY] * s;
    out->compute_s = w->flop * whole / rate;
    out->memory_s = (w->kv_bytes + w->act_bytes) / (chip->mem_bytes_per_s * p[P_BANDWIDTH]);
    out->time_s = out->overhead_s + rad_part_soft_max(out->compute_s, out->memory_s, p[P_OVERLAP]);
}

static void prefill_place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->batch * w->heads;
    x[1] = w->m / w->batch;
    x[2] = w->heads / w->kv_heads;
}

static void prefill_power_place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->batch;
    x[1] = w->keys;
    x[2] = w->heads;
}

const struct rad_law rad_law_prefill = {
    .name = "prefill",
    .params = prefill_params,
    .n_param = sizeof prefill_params / sizeof prefill_params[0],
    .axes = {{"heads", 7, {2, 8, 32, 128, 512, 1024, 16384}},
             {"queries", 12, {1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288, 16384}},
             {"group", 3, {1, 8, 64}}},
    .n_axis = 3,
    .hold = {0.3, 0.03},
    .time = prefill_time,
    .place = prefill_place,
    .power_axes = {{"batch", 5, {1, 4, 16, 64, 256}},
                   {"keys", 10, {16, 64, 256, 1024, 2048, 4096, 8192, 10240, 12288, 16384}},
                   {"heads", 4, {2, 8, 24, 64}}},
    .n_power_axis = 3,
    .power_hold = {0.1, 0.1},
    .power_place = prefill_power_place,
};
