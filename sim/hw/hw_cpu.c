/* hw_cpu.c - a CPU whose kernels were measured: GEMM time by table, weights from the cache level
 * that holds the model.
 *
 * F flop, B bytes. c(m, size): seconds per fp32 FLOP and row-independent, from measured rates
 * R[size][m] of square weights (n = k = size) at m rows:
 *   T[size][m] = m / R              time of m rows, per FLOP of one row
 *   T is linear in m between the measured m (a call is a cost plus a cost per row), proportional
 *   to m beyond the last, and linear in 1/size between the sizes (losses at the edges), with size
 *   = sqrt(n k) held inside the measured range.
 *   gemm    compute = 2 n k T[sqrt(n k)](m) peak.fp32 / peak.dtype
 *           the better of the tables gemm_* (all threads) and serial_* (one); of bf16_* as it is
 *           for bf16, if the profile has that table
 *   attend  compute = F / attend_rate + m heads attend_head; 1 / attend_rate is linear in 1 /
 *           queries per sequence, from attend.decode at 1 to attend.prefill at 64 and beyond
 *   vector  compute = act bytes / vector_kind
 *   memory  = weights / W(set) + KV / W(set) + activations beyond the cache / W_dram
 *           set = all weights of the model + KV read: in l2 if set <= l2, in l3 if set <= l3; from
 *           there to 2 l3 the share kept falls linearly to none (a cyclic stream in a cache that
 *           is not strictly LRU keeps a part); unknown sets come from DRAM
 *   t = op_overhead + max(compute, memory)
 *   E = F flop_energy + DRAM bytes byte_energy + other bytes cache_byte_energy
 *
 * Sources: roofline, Williams et al. 2009; the table is measured by `radial hw calibrate host`. */
#include "hw/hw_part.h"

enum { N_SIZE = RAD_HOST_N_SIZE, N_M = RAD_HOST_N_M };
static const double sizes[N_SIZE] = RAD_HOST_SIZES;
static const double rows[N_M] = RAD_HOST_ROWS;

struct gemm_table {
    double flop_per_s[N_SIZE][N_M];
};

struct cpu {
    struct rad_per_dtype peak_flop_per_s, flop_j;
    struct gemm_table gemm, serial, bf16;
    struct rad_per_vector vector_bytes_per_s;
    double l2_bytes, l2_bytes_per_s, l3_bytes, l3_bytes_per_s, mem_bytes_per_s;
    double byte_j, cache_byte_j;
    double attend_decode_flop_per_s, attend_prefill_flop_per_s, attend_head_s;
    double op_overhead_s;
};

#define P(field) offsetof(struct cpu, field)

#define GEMM_ROW(prefix, table, def, i, j, size, m)                                                \
    {                                                                                              \
        prefix "_" size "." m, P(table.flop_per_s) + ((i)*N_M + (j)) * sizeof(double),             \
            RAD_DIM_FLOP_PER_S, 1e6, 1e15, def, "GEMM rate, weights of " size " squared, rows " m  \
    }
#define GEMM_ROWS(prefix, table, def, i, size)                                                     \
    GEMM_ROW(prefix, table, def, i, 0, size, "m1"),                                                \
        GEMM_ROW(prefix, table, def, i, 1, size, "m4"),                                            \
        GEMM_ROW(prefix, table, def, i, 2, size, "m16"),                                           \
        GEMM_ROW(prefix, table, def, i, 3, size, "m64"),                                           \
        GEMM_ROW(prefix, table, def, i, 4, size, "m256")
#define GEMM_TABLE(prefix, table, def)                                                             \
    GEMM_ROWS(prefix, table, def, 0, "n64"), GEMM_ROWS(prefix, table, def, 1, "n256"),             \
        GEMM_ROWS(prefix, table, def, 2, "n1024")

static const struct rad_param cpu_params[] = {
    RAD_PART_PEAK(P(peak_flop_per_s)),
    RAD_PART_FLOP_ENERGY(P(flop_j)),
    GEMM_TABLE("gemm", gemm, RAD_REQUIRED),
    GEMM_TABLE("serial", serial, RAD_REQUIRED),
    GEMM_TABLE("bf16", bf16, (double)NAN), /* of matrix units; none: fp32 by the peaks */
    {"l2", P(l2_bytes), RAD_DIM_BYTES, 0, 1e12, RAD_REQUIRED, "private caches of all cores in use"},
    {"l2_bandwidth", P(l2_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e8, 1e15, RAD_REQUIRED,
     "read bandwidth of the private caches"},
    {"l3", P(l3_bytes), RAD_DIM_BYTES, 0, 1e12, RAD_REQUIRED, "usable share of the last level"},
    {"l3_bandwidth", P(l3_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e8, 1e15, RAD_REQUIRED,
     "read bandwidth of the last level"},
    {"bandwidth", P(mem_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e8, 1e15, RAD_REQUIRED,
     "attained read bandwidth of DRAM"},
    {"byte_energy", P(byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED, "energy per DRAM byte"},
    {"cache_byte_energy", P(cache_byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte from a cache"},
    {"attend.decode", P(attend_decode_flop_per_s), RAD_DIM_FLOP_PER_S, 1e6, 1e15, RAD_REQUIRED,
     "attention rate with one query per sequence"},
    {"attend.prefill", P(attend_prefill_flop_per_s), RAD_DIM_FLOP_PER_S, 1e6, 1e15, RAD_REQUIRED,
     "attention rate with 64 or more queries per sequence"},
    {"attend.head", P(attend_head_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "fixed time of a query in a head"},
    RAD_PART_PER_VECTOR("vector", P(vector_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e6, 1e15,
                        RAD_REQUIRED, "activation bytes per second"),
    {"op_overhead", P(op_overhead_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "fixed time around an operation"},
    RAD_PARAM_END,
};

/* The time of m rows per FLOP of one row, for weights of the i-th size. */
static double rows_time(const struct gemm_table *t, int i, double m)
{
    const double *rate = t->flop_per_s[i];
    int j = 0;
    while (j + 1 < N_M && m > rows[j + 1])
        j++;
    if (j + 1 == N_M)
        return m / rate[j];
    const double t0 = rows[j] / rate[j], t1 = rows[j + 1] / rate[j + 1];
    return t0 + (t1 - t0) * (m - rows[j]) / (rows[j + 1] - rows[j]);
}

static double gemm_time(const struct gemm_table *t, const struct rad_op *op)
{
    const double m = (double)op->m, nk = (double)op->n * (double)op->k;
    const double size = fmin(fmax(sqrt(nk), sizes[0]), sizes[N_SIZE - 1]);
    const int i = size > sizes[1] ? 1 : 0;
    const double u0 = 1.0 / sizes[i], u1 = 1.0 / sizes[i + 1];
    const double w = (1.0 / size - u0) / (u1 - u0);
    const double t0 = rows_time(t, i, m), t1 = rows_time(t, i + 1, m);
    return 2.0 * nk * (t0 + (t1 - t0) * w);
}

/* Bytes per second at which weights and KV arrive, and the share of them that is DRAM's. */
struct stream {
    double bytes_per_s, dram_frac;
};

static struct stream stream_of(const struct cpu *c, const struct rad_op *op)
{
    const double set = op->weight_set_bytes + op->kv_bytes;
    if (!(op->weight_set_bytes > 0.0) || set >= 2.0 * c->l3_bytes)
        return (struct stream){c->mem_bytes_per_s, 1.0};
    if (set <= c->l2_bytes)
        return (struct stream){c->l2_bytes_per_s, 0.0};
    const double kept = fmin(1.0, (2.0 * c->l3_bytes - set) / c->l3_bytes);
    const double s = kept / c->l3_bytes_per_s + (1.0 - kept) / c->mem_bytes_per_s;
    return (struct stream){1.0 / s, 1.0 - kept};
}

static double attend_time(const struct cpu *c, const struct rad_op *op)
{
    const double n_seq = op->n_seq > 0 ? (double)op->n_seq : 1.0;
    const double queries = fmin(fmax((double)op->m / n_seq, 1.0), 64.0);
    const double s1 = 1.0 / c->attend_decode_flop_per_s, s64 = 1.0 / c->attend_prefill_flop_per_s;
    const double s = s64 + (s1 - s64) * (64.0 / queries - 1.0) / 63.0;
    return op->flop * s + (double)op->m * op->heads * c->attend_head_s;
}

static bool has_table(const struct gemm_table *t)
{
    return !isnan(t->flop_per_s[0][0]);
}

static double compute_time(const struct cpu *c, const struct rad_op *op)
{
    if (op->kind == RAD_OP_ATTEND)
        return attend_time(c, op);
    if (op->kind != RAD_OP_GEMM)
        return op->act_bytes / c->vector_bytes_per_s.of[rad_part_vector(op->kind)];
    const double *peak = c->peak_flop_per_s.of;
    if (op->dtype == RAD_BF16 && has_table(&c->bf16))
        return gemm_time(&c->bf16, op);
    const double fp32_s = fmin(gemm_time(&c->gemm, op), gemm_time(&c->serial, op));
    return fp32_s * peak[RAD_F32] / peak[op->dtype];
}

static enum rad_status cpu_cost(const void *params, const struct rad_op *op, struct rad_cost *out)
{
    const struct cpu *c = params;
    if (!(c->peak_flop_per_s.of[op->dtype] > 0.0))
        return RAD_E_UNSUPPORTED;
    const struct stream stream = stream_of(c, op);
    const double spilled = op->act_bytes > c->l3_bytes ? op->act_bytes : 0.0;
    const double streamed = op->weight_bytes + op->kv_bytes;
    const double dram = streamed * stream.dram_frac + spilled;
    out->compute_s = compute_time(c, op);
    out->memory_s = streamed / stream.bytes_per_s + spilled / c->mem_bytes_per_s;
    out->overhead_s = c->op_overhead_s;
    out->time_s = c->op_overhead_s + fmax(out->compute_s, out->memory_s);
    out->dynamic_j = op->flop * c->flop_j.of[op->dtype];
    out->memory_j = dram * c->byte_j + (rad_part_bytes(op) - dram) * c->cache_byte_j;
    return RAD_OK;
}

static bool cpu_supports(const void *params, enum rad_dtype dtype)
{
    const struct cpu *c = params;
    return c->peak_flop_per_s.of[dtype] > 0.0;
}

/* More rows must never take less time, or a grouping of tokens could gain by adding some. */
static enum rad_status check_table(const struct gemm_table *t, const char *prefix,
                                   struct rad_err *err)
{
    for (int i = 0; i < N_SIZE; i++)
        for (int j = 0; j + 1 < N_M; j++)
            if (rows[j + 1] / t->flop_per_s[i][j + 1] < rows[j] / t->flop_per_s[i][j])
                return rad_fail(err, RAD_E_RANGE,
                                "%s_n%.0f.m%.0f: expected at most %g FLOP/s (the time of m%.0f) "
                                "but found %g FLOP/s",
                                prefix, sizes[i], rows[j + 1],
                                t->flop_per_s[i][j] * rows[j + 1] / rows[j], rows[j],
                                t->flop_per_s[i][j + 1]);
    return RAD_OK;
}

/* A table that need not be there is there whole or not at all. */
static enum rad_status check_bf16(const struct gemm_table *t, struct rad_err *err)
{
    for (int i = 0; i < N_SIZE; i++)
        for (int j = 0; j < N_M; j++)
            if (isnan(t->flop_per_s[i][j]) == has_table(t))
                return rad_fail(err, RAD_E_RANGE,
                                "bf16_n%.0f.m%.0f: expected all rates of bf16_n* or none", sizes[i],
                                rows[j]);
    return has_table(t) ? check_table(t, "bf16", err) : RAD_OK;
}

static enum rad_status cpu_check(const void *params, struct rad_err *err)
{
    const struct cpu *c = params;
    const struct rad_part_set others[] = {{"flop_energy", &c->flop_j}};
    RAD_TRY(
        rad_part_check_sets((struct rad_part_set){"peak", &c->peak_flop_per_s}, others, 1, err));
    if (!(c->peak_flop_per_s.of[RAD_F32] > 0.0))
        return rad_fail(err, RAD_E_RANGE, "peak.fp32: expected a value; the GEMM tables are fp32");
    RAD_TRY(check_table(&c->gemm, "gemm", err));
    RAD_TRY(check_table(&c->serial, "serial", err));
    RAD_TRY(check_bf16(&c->bf16, err));
    if (c->l3_bytes < c->l2_bytes || c->l3_bytes_per_s > c->l2_bytes_per_s ||
        c->mem_bytes_per_s > c->l3_bytes_per_s)
        return rad_fail(err, RAD_E_RANGE,
                        "l2, l3, bandwidth: expected each level larger and slower than the one "
                        "before but found %g, %g B and %g, %g, %g B/s",
                        c->l2_bytes, c->l3_bytes, c->l2_bytes_per_s, c->l3_bytes_per_s,
                        c->mem_bytes_per_s);
    return RAD_OK;
}

const struct rad_hw_model rad_hw_model_cpu = {
    .name = "cpu",
    .summary = "CPU by measured GEMM table, cache levels and DRAM, per-operation overhead",
    .source = "Williams 2009; tables measured by radial hw calibrate",
    .params = cpu_params,
    .params_bytes = sizeof(struct cpu),
    .error_frac = 0.5, /* of operations on parts that nobody measured; estimate */
    .check = cpu_check,
    .supports = cpu_supports,
    .cost = cpu_cost,
};
