/* law_link.c - transfers between N devices, with the switch of protocols.
 *
 * S bytes, L link bandwidth (one direction), f(N) the share of S that each link carries: 2 (N-1)/N
 * for an all-reduce. The library takes the faster of
 *   small   t = floor (1 + step log2 N) + S N / (L small_frac)      one shot: all send all
 *   large   t = (floor (1 + step log2 N)) large_floor + S 2 (N-1)/N (N/2)^spread / (L large_frac)
 *   t = (small^-4 + large^-4)^(-1/4)
 * Other transfers take the same form: the fitted shares absorb their f(N).
 *
 * Sources: Thakur, Rabenseifner, Gropp, "Optimization of collective communication operations in
 * MPICH", 2005 (alpha-beta and the switch); NCCL tests, PERFORMANCE.md (bus bandwidth). */
#include "hw/hw_part.h"
#include "hw/law.h"

enum { FLOOR, STEP, SMALL, LARGE_FLOOR, LARGE, SPREAD };

static const struct rad_law_param params[] = {
    {"floor", RAD_DIM_S, 1e-7, 1e-2, 8e-6, 1.0, "latency of a transfer of no bytes"},
    {"step", RAD_DIM_ONE, 1e-4, 20, 0.3, 1.0, "growth of the floor per doubling of the devices"},
    {"small_frac", RAD_DIM_ONE, 1e-4, 10, 0.3, 1.0, "share of the link in the one-shot protocol"},
    {"large_floor", RAD_DIM_ONE, 0.5, 50, 2, 0.7, "floor of the ring against that of one shot"},
    {"large_frac", RAD_DIM_ONE, 1e-4, 10, 0.7, 1.0, "share of the link in the ring protocol"},
    {"spread", RAD_DIM_ONE, 0.001, 4, 0.05, 2.0, "loss of rate with devices: 0 a switch, 1 a bus"},
};

static void link_time(const double *p, const struct rad_chip *chip, const struct rad_work *w,
                      struct rad_law_time *out)
{
    const double n = fmax(w->ranks, 2.0), floor_s = p[FLOOR] * (1.0 + p[STEP] * log2(n));
    const double small = floor_s + w->bytes * n / (chip->link_bytes_per_s * p[SMALL]);
    const double rate = chip->link_bytes_per_s * p[LARGE] / pow(n / 2.0, p[SPREAD]);
    const double wire_s = w->bytes * 2.0 * (n - 1.0) / n / rate;
    const double large = floor_s * p[LARGE_FLOOR] + wire_s;
    const double ratio = small < large ? small / large : large / small, r2 = ratio * ratio;
    out->time_s = fmin(small, large) / sqrt(sqrt(1.0 + r2 * r2));
    out->overhead_s = fmin(floor_s, out->time_s);
    out->compute_s = 0.0;
    out->memory_s = out->time_s - out->overhead_s;
}

static void place(const struct rad_work *w, double x[RAD_LAW_N_AXIS])
{
    x[0] = w->bytes;
    x[1] = w->ranks;
}

const struct rad_law rad_law_link = {
    .name = "link",
    .params = params,
    .n_param = sizeof params / sizeof params[0],
    .axes = {{"bytes",
              15,
              {512, 4096, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304, 8388608,
               16777216, 67108864, 268435456, 1073741824}},
             {"ranks", 4, {2, 4, 8, 16}}},
    .n_axis = 2,
    .steps = true,
    .hold = {0.02, 0.03},
    .time = link_time,
    .place = place,
};
