/* hw_systolic.c - systolic arrays with a vector unit (TPU-like).
 *
 * R rows, C columns, n arrays, e bytes of one element, r = row_pad / e rows of padding:
 *   array clock f(dtype) = peak / (2 R C n): the clock that explains the published peak
 *   gemm    M' = ceil_r(M), K' = ceil_R(K), N' = ceil_C(N): MXU padding
 *           compute = cycles(M', N, K) / f            hw_cycles.h; dataflow and pipelined choose
 *           HBM     = (weights K'N'/(KN) + activations M'/M + KV) / (bandwidth bandwidth_frac)
 *           VMEM    = (weights + activations read once per column of folds) / vmem_bandwidth
 *           input_stationary: weights are read once per column of folds, M' / C of them
 *           t = op_overhead + max(compute, HBM, VMEM)
 *   attend  per sequence and KV head: QK^T of (queries x group, keys, head_dim) and PV of
 *           (queries x group, head_dim, keys) on the arrays, softmax of the scores on the vector
 *           unit beside them; t = op_overhead + max(arrays, vector unit, KV and activations / HBM)
 *   vector  t = op_overhead + max(elements passes / vpu_rate, HBM)
 *           passes over the data: norm 2, softmax 3, others 1
 *   E = F flop_energy + HBM bytes byte_energy + VMEM bytes vmem_byte_energy
 *
 * Sources: SCALE-Sim v3, arXiv 2504.15377; ONNXim, arXiv 2406.08051; Jouppi et al., "Ten Lessons
 * From Three Generations", ISCA 2021; jax-ml scaling book, tpus. */
#include "hw/hw_cycles.h"
#include "hw/hw_ici.h"
#include "hw/hw_part.h"
#include "hw/law.h"

struct systolic {
    struct rad_per_dtype peak_flop_per_s, flop_j;
    double rows, cols, arrays, output_stationary, input_stationary, pipelined, row_pad_bytes;
    double mem_bytes_per_s, bandwidth_frac, byte_j;
    double vmem_bytes_per_s, vmem_byte_j;
    double vpu_elems_per_s, op_overhead_s;
    struct rad_ici ici;
};

#define P(field) offsetof(struct systolic, field)

static const struct rad_param systolic_params[] = {
    RAD_PART_PEAK(P(peak_flop_per_s)),
    RAD_PART_FLOP_ENERGY(P(flop_j)),
    {"rows", P(rows), RAD_DIM_INT, 1, 65536, RAD_REQUIRED, "array height in elements"},
    {"cols", P(cols), RAD_DIM_INT, 1, 65536, RAD_REQUIRED, "array width in elements"},
    {"arrays", P(arrays), RAD_DIM_INT, 1, 65536, RAD_REQUIRED, "arrays of all cores"},
    {"output_stationary", P(output_stationary), RAD_DIM_INT, 0, 1, 0,
     "0: weights stay in the array, 1: outputs do"},
    {"input_stationary", P(input_stationary), RAD_DIM_INT, 0, 1, 0,
     "1: inputs stay in the array instead"},
    {"pipelined", P(pipelined), RAD_DIM_INT, 0, 1, RAD_REQUIRED,
     "1: the next fold loads behind the current one, 0: every fold loads and drains alone"},
    {"row_pad", P(row_pad_bytes), RAD_DIM_BYTES, 1, 65536, RAD_REQUIRED,
     "rows of a GEMM are padded to this many bytes of one column"},
    {"bandwidth", P(mem_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e9, 1e15, RAD_REQUIRED,
     "device memory bandwidth"},
    {"bandwidth_frac", P(bandwidth_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of the bandwidth that an operation attains"},
    {"byte_energy", P(byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of device memory"},
    {"vmem_bandwidth", P(vmem_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e9, 1e16, RAD_REQUIRED,
     "on-chip vector memory bandwidth"},
    {"vmem_byte_energy", P(vmem_byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of vector memory"},
    {"vpu_rate", P(vpu_elems_per_s), RAD_DIM_FLOP_PER_S, 1e6, 1e16, RAD_REQUIRED,
     "elements per second of one pass over a vector in the vector unit"},
    {"op_overhead", P(op_overhead_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "fixed time of an operation in a compiled program"},
    {"ici", P(ici.link_bytes_per_s), RAD_DIM_BYTES_PER_S, 0, 1e15, 0,
     "one link to another chip, one way; 0: none"},
    {"ici_axes", P(ici.axes), RAD_DIM_INT, 1, 8, 1, "axes of the torus that a collective uses"},
    {"ici_hop", P(ici.hop_s), RAD_DIM_S, 0, 1e-3, 1e-6, "latency of a hop"},
    {"ici_wrap", P(ici.wrap_chips), RAD_DIM_INT, 1, 1e6, 16,
     "chips of an axis from which its ring is closed"},
    RAD_PARAM_END,
};

static const double vector_passes[RAD_N_VECTOR] = {
    [RAD_OP_NORM - RAD_OP_NORM] = 2,    [RAD_OP_ACT - RAD_OP_NORM] = 1,
    [RAD_OP_ADD - RAD_OP_NORM] = 1,     [RAD_OP_ROPE - RAD_OP_NORM] = 1,
    [RAD_OP_GATHER - RAD_OP_NORM] = 1,  [RAD_OP_EMBED - RAD_OP_NORM] = 1,
    [RAD_OP_SOFTMAX - RAD_OP_NORM] = 3,
};

static enum rad_dataflow dataflow_of(const struct systolic *s)
{
    return s->output_stationary > 0.0  ? RAD_OUTPUT_STATIONARY
           : s->input_stationary > 0.0 ? RAD_INPUT_STATIONARY
                                       : RAD_WEIGHT_STATIONARY;
}

/* What the parts of the machine do for one operation. */
struct work {
    double cycles, vpu_elems, mem_bytes, vmem_bytes;
};

static struct rad_array array_of(const struct systolic *s)
{
    return (struct rad_array){
        .rows = (int64_t)s->rows,
        .cols = (int64_t)s->cols,
        .count = (int64_t)s->arrays,
        .dataflow = dataflow_of(s),
        .pipelined = s->pipelined > 0.0,
    };
}

static int64_t pad_rows(const struct systolic *s, enum rad_dtype dtype, int64_t m)
{
    const int64_t pad = (int64_t)fmax(1.0, s->row_pad_bytes / rad_dtype_bytes(dtype));
    return (m + pad - 1) / pad * pad;
}

static struct work gemm_work(const struct systolic *s, const struct rad_op *op)
{
    const struct rad_array a = array_of(s);
    const int64_t m = pad_rows(s, op->dtype, op->m);
    const double k_folds = rad_part_folds(op->k, a.rows), n_folds = rad_part_folds(op->n, a.cols);
    const double k_pad = k_folds * s->rows / (double)op->k;
    const double n_pad = n_folds * s->cols / (double)op->n;
    const double e = rad_dtype_bytes(op->dtype);
    const double act_bytes = op->act_bytes * (double)m / (double)op->m;
    const double weight_bytes = op->weight_bytes * k_pad * n_pad;
    const double reread = a.dataflow == RAD_INPUT_STATIONARY
                              ? weight_bytes * (rad_part_folds(m, a.cols) - 1.0)
                              : (double)m * (double)op->k * e * (n_folds - 1.0);
    return (struct work){
        .cycles = rad_systolic_cycles(&a, m, op->n, op->k, 1),
        .mem_bytes = weight_bytes + act_bytes + op->kv_bytes,
        .vmem_bytes = weight_bytes + act_bytes + reread,
    };
}

static struct work attend_work(const struct systolic *s, const struct rad_op *op)
{
    const struct rad_array a = array_of(s);
    const int64_t n_seq = op->n_seq > 0 ? op->n_seq : 1, n_gemm = n_seq * op->kv_heads;
    const int64_t rows = (op->m + n_seq - 1) / n_seq * (op->heads / op->kv_heads);
    const int64_t keys = op->m > 0 ? (op->n_keys + op->m - 1) / op->m : 0;
    const int64_t m = pad_rows(s, op->dtype, rows);
    const double qk = rad_systolic_cycles(&a, m, keys, op->head_dim, n_gemm);
    const double pv = rad_systolic_cycles(&a, m, op->head_dim, keys, n_gemm);
    const double bytes = rad_part_bytes(op);
    return (struct work){
        .cycles = qk + pv,
        .vpu_elems = 3.0 * (double)op->n_keys * op->heads,
        .mem_bytes = bytes,
        .vmem_bytes = bytes,
    };
}

static struct work vector_work(const struct rad_op *op)
{
    const double passes = vector_passes[rad_part_vector(op->kind)];
    const double bytes = rad_part_bytes(op);
    return (struct work){
        .vpu_elems = passes * (double)op->m * (double)op->n,
        .mem_bytes = bytes,
        .vmem_bytes = bytes,
    };
}

static enum rad_status systolic_cost(const void *params, const struct rad_op *op,
                                     struct rad_cost *out)
{
    const struct systolic *s = params;
    const double peak = s->peak_flop_per_s.of[op->dtype];
    if (!(peak > 0.0))
        return RAD_E_UNSUPPORTED;
    const struct work w = op->kind == RAD_OP_GEMM     ? gemm_work(s, op)
                          : op->kind == RAD_OP_ATTEND ? attend_work(s, op)
                                                      : vector_work(op);
    const double cycle_s = 2.0 * s->rows * s->cols * s->arrays / peak;
    out->compute_s = fmax(w.cycles * cycle_s, w.vpu_elems / s->vpu_elems_per_s);
    out->memory_s = fmax(w.mem_bytes / (s->mem_bytes_per_s * s->bandwidth_frac),
                         w.vmem_bytes / s->vmem_bytes_per_s);
    out->overhead_s = s->op_overhead_s;
    out->time_s = s->op_overhead_s + fmax(out->compute_s, out->memory_s);
    out->dynamic_j = op->flop * s->flop_j.of[op->dtype];
    out->memory_j = w.mem_bytes * s->byte_j + w.vmem_bytes * s->vmem_byte_j;
    return RAD_OK;
}

static bool systolic_link(const void *params, const char *kind, double bytes, double chips,
                          double *time_s)
{
    const struct systolic *s = params;
    return s->ici.link_bytes_per_s > 0.0 && rad_ici_time(&s->ici, kind, bytes, chips, time_s);
}

static bool systolic_supports(const void *params, enum rad_dtype dtype)
{
    const struct systolic *s = params;
    return s->peak_flop_per_s.of[dtype] > 0.0;
}

static enum rad_status systolic_check(const void *params, struct rad_err *err)
{
    const struct systolic *s = params;
    const struct rad_part_set others[] = {{"flop_energy", &s->flop_j}};
    RAD_TRY(
        rad_part_check_sets((struct rad_part_set){"peak", &s->peak_flop_per_s}, others, 1, err));
    if (s->output_stationary > 0.0 && s->input_stationary > 0.0)
        return rad_fail(err, RAD_E_RANGE,
                        "input_stationary: expected 0 because output_stationary is 1 but found 1");
    if (s->vmem_bytes_per_s < s->mem_bytes_per_s)
        return rad_fail(err, RAD_E_RANGE,
                        "vmem_bandwidth: expected at least bandwidth %g B/s but found %g B/s",
                        s->mem_bytes_per_s, s->vmem_bytes_per_s);
    return RAD_OK;
}

/* Fits take an array for a unit; nothing is known of a cache. */
static void systolic_chip(const void *params, enum rad_dtype dtype, struct rad_chip *out)
{
    const struct systolic *s = params;
    *out = (struct rad_chip){.peak_flop_per_s = s->peak_flop_per_s.of[dtype],
                             .mem_bytes_per_s = s->mem_bytes_per_s,
                             .l2_bytes = 1.0,
                             .units = s->arrays,
                             .link_bytes_per_s = 32e9};
}

const struct rad_hw_model rad_hw_model_systolic = {
    .name = "systolic",
    .summary = "systolic arrays with a vector unit: folds, MXU padding, HBM and VMEM",
    .source = "SCALE-Sim v3 arXiv 2504.15377; ONNXim arXiv 2406.08051; jax-ml scaling book",
    .params = systolic_params,
    .params_bytes = sizeof(struct systolic),
    .error_frac = 0.4, /* of operations on parts that nobody measured; estimate */
    .check = systolic_check,
    .supports = systolic_supports,
    .cost = systolic_cost,
    .chip = systolic_chip,
    .link = systolic_link,
};
