/* hw_fpga.c - an FPGA card: a temporal overlay (DFX, FlightLLM style), one array of MAC lanes that
 * runs the operations of a model one after the other, or a spatial dataflow (stages > 1).
 *
 * L lanes (MAC per cycle) of the format, V of them along k, U = L / V along n:
 *   DSP used = ceil(L / pack)         must fit dsp dsp_frac       pack: MAC per DSP and cycle
 *   LUT used = lut_base + lut_per_dsp DSP                         must fit lut lut_frac
 *   on chip  = act_buffer + 2 weight_buffer + pinned              must fit (bram + uram) ram_frac
 *   weight bits per cycle = L bits of a weight     must fit the ports of RAM: 72 for every 288
 * Kibit of uram, 36 for every 18 Kibit of bram, times ram_frac (FINN counts the same) memory ports
 * used                              must fit ports clock f  = clock (1 - clock_derate DSP used /
 * dsp)            a fuller chip closes slower gemm    cycles = M ceil(K/V) ceil(N/U); compute =
 * cycles / (f lane_frac) weights are streamed again for every act_buffer of input rows; once if M K
 * e fits attend  compute = (F/2) / (L attend_frac f) vector  compute = elements passes /
 * (vector_lanes f); passes: norm 2, softmax 3, others 1 memory  = (weights passes + KV +
 * activations beyond act_buffer) / (bandwidth bandwidth_frac); no weights if those of the whole
 * model fit in pinned bandwidth = min(bandwidth, ports_used port_bandwidth) t = op_overhead +
 * max(compute, memory) Spatial: S stages with L / S lanes each, in balance (M_i ~ ops_i), so that a
 * token is in one stage at a time and takes S times as long through each, and the next token
 * follows one stage behind: sum_i ops_i / M_i + (m - 1) max_i ops_i / M_i, shared among the
 * operations: compute = (1 + (m - 1) / S) / m  S compute_overlay, plus the fill of fill_cycles
 *   Decoding one token so uses one stage of S. Without bypass a layer that a token skips holds its
 *   stage all the same: rad_hw_skips_pay, and replay charges the time of the dense run.
 *   E = F flop_energy + HBM bytes byte_energy + on-chip bytes ram_byte_energy
 * A board with a design that does not fit is refused, saying what is short.
 *
 * Sources: DFX, arXiv 2209.10797; FlightLLM, arXiv 2401.03868; Chen et al., arXiv 2312.15159; AMD
 * WP486 (DSP packing), UG1393 (HBM ports). */
#include "hw/hw_part.h"

struct fpga {
    struct rad_per_dtype lanes, pack, flop_j;
    double dsp, dsp_frac, lut, lut_frac, lut_base, lut_per_dsp;
    double bram_bytes, uram_bytes, ram_frac;
    double act_buffer_bytes, weight_buffer_bytes, pinned_bytes;
    double clock_hz, clock_derate_frac, vector_len, lane_frac, attend_frac, vector_lanes;
    double mem_bytes_per_s, bandwidth_frac, byte_j, ram_byte_j, op_overhead_s;
    double ports, ports_used, port_bytes_per_s;
    double stages, bypass, fill_cycles;
};

#define P(field) offsetof(struct fpga, field)

static const struct rad_param fpga_params[] = {
    RAD_PART_PER_DTYPE("lanes", P(lanes), RAD_DIM_INT, 1, 1e6, "MAC per cycle of the overlay"),
    RAD_PART_PER_DTYPE("pack", P(pack), RAD_DIM_ONE, 0.01, 64, "MAC per DSP and cycle"),
    RAD_PART_FLOP_ENERGY(P(flop_j)),
    {"dsp", P(dsp), RAD_DIM_INT, 1, 1e6, RAD_REQUIRED, "DSP blocks of the chip"},
    {"dsp_frac", P(dsp_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED, "share of DSP that can be used"},
    {"lut", P(lut), RAD_DIM_INT, 1, 1e8, RAD_REQUIRED, "LUT of the chip"},
    {"lut_frac", P(lut_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED, "share of LUT that can be used"},
    {"lut_base", P(lut_base), RAD_DIM_INT, 0, 1e8, RAD_REQUIRED,
     "LUT of shell, control and vector unit"},
    {"lut_per_dsp", P(lut_per_dsp), RAD_DIM_ONE, 0, 1e4, RAD_REQUIRED, "LUT beside each DSP used"},
    {"bram", P(bram_bytes), RAD_DIM_BYTES, 0, 1e10, RAD_REQUIRED, "block RAM of the chip"},
    {"uram", P(uram_bytes), RAD_DIM_BYTES, 0, 1e10, RAD_REQUIRED, "ultra RAM of the chip"},
    {"ram_frac", P(ram_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of on-chip RAM that can be used"},
    {"act_buffer", P(act_buffer_bytes), RAD_DIM_BYTES, 1, 1e10, RAD_REQUIRED,
     "on-chip RAM for activations"},
    {"weight_buffer", P(weight_buffer_bytes), RAD_DIM_BYTES, 1, 1e10, RAD_REQUIRED,
     "on-chip RAM of one weight tile; there are two"},
    {"pinned", P(pinned_bytes), RAD_DIM_BYTES, 0, 1e10, 0,
     "on-chip RAM that keeps the weights of a small model"},
    {"clock", P(clock_hz), RAD_DIM_HZ, 1e6, 2e9, RAD_REQUIRED, "clock of a small design"},
    {"clock_derate", P(clock_derate_frac), RAD_DIM_ONE, 0, 0.9, RAD_REQUIRED,
     "share of the clock lost when every DSP is used"},
    {"vector_len", P(vector_len), RAD_DIM_INT, 1, 65536, RAD_REQUIRED, "lanes along the reduction"},
    {"lane_frac", P(lane_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of cycles in which the lanes work"},
    {"attend_frac", P(attend_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of lanes that attention keeps busy"},
    {"vector_lanes", P(vector_lanes), RAD_DIM_INT, 1, 65536, RAD_REQUIRED,
     "elements per cycle of the vector unit"},
    {"bandwidth", P(mem_bytes_per_s), RAD_DIM_BYTES_PER_S, 1e9, 1e15, RAD_REQUIRED,
     "device memory bandwidth with every port streaming"},
    {"bandwidth_frac", P(bandwidth_frac), RAD_DIM_ONE, 0.01, 1, RAD_REQUIRED,
     "share of the bandwidth that the overlay attains"},
    {"byte_energy", P(byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of device memory"},
    {"ram_byte_energy", P(ram_byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-8, RAD_REQUIRED,
     "energy per byte of on-chip RAM"},
    {"op_overhead", P(op_overhead_s), RAD_DIM_S, 0, 1e-3, RAD_REQUIRED,
     "fixed time of an instruction of the overlay"},
    {"ports", P(ports), RAD_DIM_INT, 0, 1024, 0, "memory ports of the board; 0: not told apart"},
    {"ports_used", P(ports_used), RAD_DIM_INT, 0, 1024, 0, "memory ports that the design uses"},
    {"port_bandwidth", P(port_bytes_per_s), RAD_DIM_BYTES_PER_S, 0, 1e15, 0,
     "bandwidth of a memory port"},
    {"stages", P(stages), RAD_DIM_INT, 1, 4096, 1,
     "1: temporal overlay, more: spatial dataflow of so many stages that share the lanes"},
    {"bypass", P(bypass), RAD_DIM_INT, 0, 1, 1,
     "0: tokens that skip a layer pass through its stage, 1: FIFOs lead around it"},
    {"fill", P(fill_cycles), RAD_DIM_INT, 0, 1e9, 0, "cycles until a stage has its first result"},
    RAD_PARAM_END,
};

static double dsp_used(const struct fpga *f, enum rad_dtype dtype)
{
    return ceil(f->lanes.of[dtype] / f->pack.of[dtype]);
}

/* What an operation asks of the parts: cycles of the lanes or of the vector unit, bytes. */
struct work {
    double busy_s, mem_bytes, ram_bytes;
};

/* Activations stay on chip if they fit; KV always lives in device memory. */
static double spilled(const struct fpga *f, double act_bytes)
{
    return act_bytes > f->act_buffer_bytes ? act_bytes : 0.0;
}

static struct work gemm_work(const struct fpga *f, const struct rad_op *op, double clock_hz)
{
    const double lanes = f->lanes.of[op->dtype];
    const int64_t along_k = (int64_t)f->vector_len;
    const int64_t along_n = (int64_t)fmax(1.0, lanes / f->vector_len);
    const double cycles = (double)op->m * rad_part_folds(op->k, along_k) *
                          rad_part_folds(op->n, along_n);
    const double input = (double)op->m * (double)op->k * rad_dtype_bytes(op->dtype);
    const double passes = fmax(1.0, ceil(input / f->act_buffer_bytes));
    const bool pinned = op->weight_set_bytes > 0.0 && op->weight_set_bytes <= f->pinned_bytes;
    const double weights = pinned ? 0.0 : op->weight_bytes * passes;
    return (struct work){
        .busy_s = cycles / (clock_hz * f->lane_frac),
        .mem_bytes = weights + spilled(f, op->act_bytes) + op->kv_bytes,
        .ram_bytes = op->weight_bytes * passes + op->act_bytes,
    };
}

static struct work attend_work(const struct fpga *f, const struct rad_op *op, double clock_hz)
{
    const double lanes = f->lanes.of[op->dtype] * f->attend_frac;
    return (struct work){
        .busy_s = op->flop / 2.0 / (lanes * clock_hz),
        .mem_bytes = op->kv_bytes + spilled(f, op->act_bytes),
        .ram_bytes = op->kv_bytes + op->act_bytes,
    };
}

static struct work vector_work(const struct fpga *f, const struct rad_op *op, double clock_hz)
{
    const bool three = op->kind == RAD_OP_SOFTMAX || op->kind == RAD_OP_SAMPLE;
    const double passes = three ? 3.0 : op->kind == RAD_OP_NORM ? 2.0 : 1.0;
    const double elems = passes * (double)op->m * (double)op->n;
    return (struct work){
        .busy_s = elems / (f->vector_lanes * clock_hz),
        .mem_bytes = op->weight_bytes + spilled(f, op->act_bytes),
        .ram_bytes = op->act_bytes,
    };
}

static double memory_rate(const struct fpga *f)
{
    return f->ports > 0.0 ? fmin(f->mem_bytes_per_s, f->ports_used * f->port_bytes_per_s)
                          : f->mem_bytes_per_s;
}

static enum rad_status fpga_cost(const void *params, const struct rad_op *op, struct rad_cost *out)
{
    const struct fpga *f = params;
    if (!(f->lanes.of[op->dtype] > 0.0))
        return RAD_E_UNSUPPORTED;
    const double m = (double)op->m, stages = f->stages;
    const double full = dsp_used(f, op->dtype) / f->dsp;
    const double clock_hz = f->clock_hz * (1.0 - f->clock_derate_frac * full);
    const struct work w = op->kind == RAD_OP_GEMM     ? gemm_work(f, op, clock_hz)
                          : op->kind == RAD_OP_ATTEND ? attend_work(f, op, clock_hz)
                                                      : vector_work(f, op, clock_hz);
    out->compute_s = w.busy_s;
    if (stages > 1.0)
        out->compute_s = w.busy_s * (stages + m - 1.0) / m + f->fill_cycles / clock_hz;
    out->memory_s = w.mem_bytes / (memory_rate(f) * f->bandwidth_frac);
    out->overhead_s = f->op_overhead_s;
    out->time_s = f->op_overhead_s + fmax(out->compute_s, out->memory_s);
    out->dynamic_j = op->flop * f->flop_j.of[op->dtype];
    out->memory_j = w.mem_bytes * f->byte_j + w.ram_bytes * f->ram_byte_j;
    return RAD_OK;
}

static bool fpga_supports(const void *params, enum rad_dtype dtype)
{
    const struct fpga *f = params;
    return f->lanes.of[dtype] > 0.0;
}

/* The bitstream of one format: DSP and LUT. */
static enum rad_status check_fit(const struct fpga *f, enum rad_dtype dtype, struct rad_err *err)
{
    const char *name = rad_dtype_name(dtype);
    const double need = dsp_used(f, dtype), usable = floor(f->dsp * f->dsp_frac);
    if (need > usable)
        return rad_fail(
            err, RAD_E_RANGE,
            "lanes.%s: the design does not fit: it needs %.0f DSP but %.0f can be used; "
            "at most %.0f lanes fit",
            name, need, usable, floor(usable * f->pack.of[dtype]));
    const double lut = f->lut_base + f->lut_per_dsp * need, luts = floor(f->lut * f->lut_frac);
    if (lut > luts)
        return rad_fail(err, RAD_E_RANGE,
                        "lanes.%s: the design does not fit: it needs %.0f LUT but %.0f can be used",
                        name, lut, luts);
    const double bits = f->lanes.of[dtype] * 8.0 * rad_dtype_bytes(dtype);
    const double wide =
        floor((f->uram_bytes / 36864.0 * 72.0 + f->bram_bytes / 2304.0 * 36.0) * f->ram_frac);
    if (bits > wide)
        return rad_fail(err, RAD_E_RANGE,
                        "lanes.%s: the design does not fit: it needs %.0f weight bits per cycle "
                        "but the RAM ports give %.0f",
                        name, bits, wide);
    if (f->lanes.of[dtype] < f->vector_len)
        return rad_fail(err, RAD_E_RANGE,
                        "vector_len: expected at most lanes.%s %.0f but found %.0f", name,
                        f->lanes.of[dtype], f->vector_len);
    if (f->lanes.of[dtype] < f->vector_len * f->stages)
        return rad_fail(err, RAD_E_RANGE,
                        "stages: the design does not fit: %.0f stages of vector_len %.0f need more "
                        "than lanes.%s %.0f",
                        f->stages, f->vector_len, name, f->lanes.of[dtype]);
    return RAD_OK;
}

static enum rad_status check_ports(const struct fpga *f, struct rad_err *err)
{
    if (f->ports_used > f->ports)
        return rad_fail(err, RAD_E_RANGE,
                        "ports_used: the design does not fit: it needs %.0f memory ports but there "
                        "are %.0f",
                        f->ports_used, f->ports);
    if (f->ports > 0.0 && !(f->ports_used * f->port_bytes_per_s > 0.0))
        return rad_fail(err, RAD_E_RANGE,
                        "ports: expected ports_used and port_bandwidth because ports is set");
    return RAD_OK;
}

static enum rad_status fpga_check(const void *params, struct rad_err *err)
{
    const struct fpga *f = params;
    const struct rad_part_set others[] = {{"pack", &f->pack}, {"flop_energy", &f->flop_j}};
    RAD_TRY(rad_part_check_sets((struct rad_part_set){"lanes", &f->lanes}, others, 2, err));
    for (unsigned d = 0; d < RAD_N_DTYPE; d++)
        if (f->lanes.of[d] > 0.0)
            RAD_TRY(check_fit(f, (enum rad_dtype)d, err));
    RAD_TRY(check_ports(f, err));
    const double need = f->act_buffer_bytes + 2.0 * f->weight_buffer_bytes + f->pinned_bytes;
    const double usable = (f->bram_bytes + f->uram_bytes) * f->ram_frac;
    if (need > usable)
        return rad_fail(
            err, RAD_E_RANGE,
            "act_buffer: the design does not fit: buffers and pinned weights need %.2f MB of "
            "on-chip RAM but %.2f MB can be used",
            need / 1e6, usable / 1e6);
    return RAD_OK;
}

static bool fpga_skips_pay(const void *params)
{
    const struct fpga *f = params;
    return f->stages > 1.0 && f->bypass < 1.0;
}

const struct rad_hw_model rad_hw_model_fpga = {
    .name = "fpga",
    .summary =
        "temporal overlay or spatial dataflow: DSP lanes, on-chip buffers, HBM, clock derating",
    .source = "DFX arXiv 2209.10797; FlightLLM arXiv 2401.03868; AMD WP486, UG1393",
    .params = fpga_params,
    .params_bytes = sizeof(struct fpga),
    .error_frac = 0.5, /* of operations on parts that nobody measured; estimate */
    .check = fpga_check,
    .supports = fpga_supports,
    .cost = fpga_cost,
    .skips_pay = fpga_skips_pay,
};
