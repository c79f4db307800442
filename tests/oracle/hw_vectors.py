#!/usr/bin/env python3
"""Recompute the hardware model equations from their documents, with the standard library alone.

usage: hw_vectors.py            write hw_vectors.tsv and the made-up profiles hw_vectors_*.yaml
       hw_vectors.py --check    exit 1 if the committed files differ from what would be written

tests/oracle/test_hw_vectors.c opens the profiles, costs each row and compares. Nothing here is
derived from the C code: an error common to both would have to be made twice.
"""
import math
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ELEM = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}
VECTORS = ["norm", "act", "add", "rope", "gather", "embed", "softmax"]
VECTOR_FLOP = dict(norm=4, act=5, add=1, rope=3, gather=0, embed=0, softmax=5)
VECTOR_MOVED = dict(norm=2, act=3, add=3, rope=2, gather=2, embed=2, softmax=2)

# Profiles: key -> (number in SI, text). Keys with a dot are written nested.
MACHINE = {"memory": "80 GB", "price": "2 USD/h", "static_power": "50 W", "tdp": "400 W",
           "layer_overhead": "1 us", "step_overhead": "10 us"}

GPU = {
    "peak.fp32": (20e12, "20 TFLOP/s"), "peak.fp16": (300e12, "300 TFLOP/s"),
    "compute_frac.fp32": (0.9, "90 %"), "compute_frac.fp16": (0.8, "0.8"),
    "flop_energy.fp32": (10e-12, "10 pJ/FLOP"), "flop_energy.fp16": (0.7e-12, "0.7 pJ/FLOP"),
    "bandwidth": (2e12, "2 TB/s"), "bandwidth_frac": (0.85, "85 %"),
    "byte_energy": (31.2e-12, "3.9 pJ/bit"),
    "l2": (40 * 2**20, "40 MiB"), "l2_bandwidth": (6e12, "6 TB/s"),
    "l2_byte_energy": (1.25e-12, "1.25 pJ/B"),
    "overlap": (1.9, "1.9"), "op_floor": (4.4e-6, "4.4 us"), "launch_gap": (2e-6, "2 us"),
    "units": (108, "108"), "tiles": (1, "1"), "tile_loss": (0.03, "3 %"),
    "vector_peak": (20e12, "20 TFLOP/s"), "attend_frac": (0.5, "0.5"),
    "attend_floor": (9e-6, "9 us"), "attend_split": (128, "128"),
}
for i, v in enumerate(VECTORS):
    GPU["vector." + v] = ((700 + 100 * i) * 1e9, "%d GB/s" % (700 + 100 * i))
    GPU["vector_floor." + v] = ((1.0 + 0.3 * i) * 1e-6, "%.1f us" % (1.0 + 0.3 * i))

SYSTOLIC = {
    "peak.fp32": (40e12, "40 TFLOP/s"), "peak.int8": (400e12, "400 TOP/s"),
    "flop_energy.fp32": (1.5e-12, "1.5 pJ/FLOP"), "flop_energy.int8": (0.2e-12, "0.2 pJ/OP"),
    "rows": (128, "128"), "cols": (128, "128"), "arrays": (4, "4"), "pipelined": (1, "1"),
    "row_pad": (32, "32 B"), "bandwidth": (0.8e12, "800 GB/s"), "bandwidth_frac": (0.9, "90 %"),
    "byte_energy": (30e-12, "30 pJ/B"), "vmem_bandwidth": (18e12, "18 TB/s"),
    "vmem_byte_energy": (1e-12, "1 pJ/B"), "vpu_rate": (1.5e12, "1.5 TFLOP/s"),
    "op_overhead": (1e-6, "1 us"),
}

FPGA = {
    "lanes.fp16": (2048, "2048"), "lanes.int8": (8192, "8192"),
    "pack.fp16": (0.4, "0.4"), "pack.int8": (2, "2"),
    "flop_energy.fp16": (30e-12, "30 pJ/FLOP"), "flop_energy.int8": (5e-12, "5 pJ/OP"),
    "dsp": (9024, "9024"), "dsp_frac": (0.75, "75 %"), "lut": (1300000, "1300000"),
    "lut_frac": (0.8, "80 %"), "lut_base": (200000, "200000"), "lut_per_dsp": (60, "60"),
    "bram": (9e6, "9 MB"), "uram": (34e6, "34 MB"), "ram_frac": (0.75, "75 %"),
    "act_buffer": (1e6, "1 MB"), "weight_buffer": (2e6, "2 MB"), "pinned": (16e6, "16 MB"),
    "clock": (300e6, "300 MHz"), "clock_derate": (0.3, "30 %"), "vector_len": (128, "128"),
    "lane_frac": (0.85, "85 %"), "attend_frac": (0.3, "30 %"), "vector_lanes": (256, "256"),
    "bandwidth": (460e9, "460 GB/s"), "bandwidth_frac": (0.7, "70 %"),
    "byte_energy": (31.2e-12, "31.2 pJ/B"), "ram_byte_energy": (1.25e-12, "1.25 pJ/B"),
    "op_overhead": (1e-6, "1 us"),
}

SIZES, ROWS = [64, 256, 1024], [1, 4, 16, 64, 256]
CPU = {
    "peak.fp32": (350e9, "350 GFLOP/s"), "peak.int8": (1400e9, "1400 GOP/s"),
    "flop_energy.fp32": (20e-12, "20 pJ/FLOP"), "flop_energy.int8": (5e-12, "5 pJ/OP"),
    "l2": (4e6, "4 MB"), "l2_bandwidth": (270e9, "270 GB/s"), "l3": (90e6, "90 MB"),
    "l3_bandwidth": (50e9, "50 GB/s"), "bandwidth": (30e9, "30 GB/s"),
    "byte_energy": (80e-12, "80 pJ/B"), "cache_byte_energy": (1.25e-12, "1.25 pJ/B"),
    "attend.decode": (12e9, "12 GFLOP/s"), "attend.prefill": (60e9, "60 GFLOP/s"),
    "attend.head": (60e-9, "60 ns"), "op_overhead": (600e-9, "600 ns"),
}
for i, v in enumerate(VECTORS):
    CPU["vector." + v] = ((10 + 5 * i) * 1e9, "%d GB/s" % (10 + 5 * i))
CPU_RATES = {"gemm": [[5, 10, 30, 80, 105], [20, 22, 60, 160, 230], [25, 24, 87, 221, 296]],
             "serial": [[8, 12, 30, 60, 87], [18, 15, 40, 80, 125], [12.5, 17, 48, 85, 143]]}
for table, rates in CPU_RATES.items():
    for i, size in enumerate(SIZES):
        for j, m in enumerate(ROWS):
            CPU["%s_n%d.m%d" % (table, size, m)] = (rates[i][j] * 1e9, "%g GFLOP/s" % rates[i][j])


def v(profile, key):
    return profile[key][0]


# ---- operations: FLOP and bytes from their definition -----------------------------------------

def gemm(dtype, m, n, k, weight_set):
    e = ELEM[dtype]
    return dict(kind="gemm", dtype=dtype, m=m, n=n, k=k, set=weight_set, flop=2.0 * m * n * k,
                weight=n * k * e, act=(m * k + m * n) * e, kv=0.0, keys=0, heads=0, kv_heads=0,
                dim=0, seqs=0)


def attend(dtype, m, keys, heads, kv_heads, dim, seqs, weight_set):
    e = ELEM[dtype]
    return dict(kind="attend", dtype=dtype, m=m, n=heads * dim, k=0, set=weight_set,
                flop=4.0 * keys * dim * heads, weight=0.0, act=2.0 * m * heads * dim * e,
                kv=2.0 * kv_heads * dim * e * (keys + m), keys=keys, heads=heads,
                kv_heads=kv_heads, dim=dim, seqs=seqs)


def vector(kind, dtype, m, n, weight_set):
    return dict(kind=kind, dtype=dtype, m=m, n=n, k=0, set=weight_set,
                flop=float(VECTOR_FLOP[kind] * m * n), weight=0.0,
                act=VECTOR_MOVED[kind] * m * n * ELEM[dtype], kv=0.0, keys=0, heads=0, kv_heads=0,
                dim=0, seqs=0)


def moved(op):
    return op["weight"] + op["act"] + op["kv"]


# ---- models: each returns compute, memory, overhead, time, dynamic J, memory J ----------------

def p_norm(a, b, p):
    return (a ** p + b ** p) ** (1.0 / p)


def gpu(op):
    p = GPU
    peak = v(p, "peak." + op["dtype"])
    fits = op["set"] > 0 and op["set"] + op["act"] + op["kv"] <= v(p, "l2")
    w = v(p, "l2_bandwidth") if fits else v(p, "bandwidth") * v(p, "bandwidth_frac")
    byte_j = v(p, "l2_byte_energy") if fits else v(p, "byte_energy")
    t_m = moved(op) / w
    if op["kind"] == "gemm":
        t0, rate = v(p, "op_floor"), peak * v(p, "compute_frac." + op["dtype"])
        t_c = op["flop"] / rate
        if op["m"] <= 8:
            t = t0 + max(t_c, t_m)
        else:
            t_c = min(tile_time(op, rate, w, tm, tn, s)
                      for tm, tn in [(256, 128), (128, 256), (128, 128), (128, 64), (64, 64)]
                      for s in (1, 2, 4))
            t = t0 + p_norm(t_c, t_m, v(p, "overlap"))
    elif op["kind"] == "attend":
        t0 = v(p, "attend_floor")
        splits = max(1.0, op["keys"] / op["m"] / v(p, "attend_split"))
        tiles = max(1.0, op["m"] / op["seqs"] / 64.0)
        blocks = op["seqs"] * max(op["kv_heads"] * splits, op["heads"] * tiles)
        occupancy = min(1.0, blocks / v(p, "units"))
        t_c = op["flop"] / (peak * v(p, "attend_frac")) / occupancy
        t_m = t_m / occupancy
        t = t0 + p_norm(t_c, t_m, v(p, "overlap"))
    else:
        t0 = v(p, "vector_floor." + op["kind"])
        t_c = op["flop"] / v(p, "vector_peak")
        t_m = moved(op) / v(p, "vector." + op["kind"])
        t = t0 + max(t_c, t_m)
    gap = max(0.0, v(p, "launch_gap") - t)
    return (t_c, t_m, t0 + gap, t + gap, op["flop"] * v(p, "flop_energy." + op["dtype"]),
            moved(op) * byte_j)


def tile_time(op, rate, w, tm, tn, s):
    units = v(GPU, "units")
    blocks = math.ceil(op["m"] / tm) * math.ceil(op["n"] / tn) * s
    waves = math.ceil(blocks / units)
    depth = 32 * math.ceil(math.ceil(op["k"] / s) / 32)
    g = 1.0 - v(GPU, "tile_loss") * math.log2(256 * 128 / (tm * tn))
    extra = 8.0 * op["m"] * op["n"] * s / w if s > 1 else 0.0
    return waves * 2.0 * tm * tn * depth / (rate / units * g) + extra


def ws_cycles(m, n, k, r, c, arrays, count):
    folds = math.ceil(math.ceil(k / r) * math.ceil(n / c) * count / arrays)
    return (2 * r - 1) + (folds - 1) * max(m, r, 4) + r + c - 2 + max(m, 4)


def systolic(op):
    p = SYSTOLIC
    r, c, arrays = v(p, "rows"), v(p, "cols"), v(p, "arrays")
    e = ELEM[op["dtype"]]
    clock = v(p, "peak." + op["dtype"]) / (2.0 * r * c * arrays)
    pad = lambda x, to: math.ceil(x / to) * to
    row_pad = int(v(p, "row_pad") / e)
    vpu = 0.0
    if op["kind"] == "gemm":
        m = pad(op["m"], row_pad)
        cycles = ws_cycles(m, op["n"], op["k"], r, c, arrays, 1)
        act = op["act"] * m / op["m"]
        weight = op["weight"] * (pad(op["k"], r) / op["k"]) * (pad(op["n"], c) / op["n"])
        hbm = weight + act + op["kv"]
        vmem = weight + act + m * op["k"] * e * (math.ceil(op["n"] / c) - 1)
    elif op["kind"] == "attend":
        rows = pad(math.ceil(op["m"] / op["seqs"]) * (op["heads"] // op["kv_heads"]), row_pad)
        keys = math.ceil(op["keys"] / op["m"])
        count = op["seqs"] * op["kv_heads"]
        cycles = ws_cycles(rows, keys, op["dim"], r, c, arrays, count)
        cycles += ws_cycles(rows, op["dim"], keys, r, c, arrays, count)
        vpu = 3.0 * op["keys"] * op["heads"]
        hbm = vmem = moved(op)
    else:
        cycles = 0.0
        vpu = op["m"] * op["n"] * {"norm": 2.0, "softmax": 3.0}.get(op["kind"], 1.0)
        hbm = vmem = moved(op)
    t_c = max(cycles / clock, vpu / v(p, "vpu_rate"))
    t_m = max(hbm / (v(p, "bandwidth") * v(p, "bandwidth_frac")), vmem / v(p, "vmem_bandwidth"))
    t0 = v(p, "op_overhead")
    return (t_c, t_m, t0, t0 + max(t_c, t_m), op["flop"] * v(p, "flop_energy." + op["dtype"]),
            hbm * v(p, "byte_energy") + vmem * v(p, "vmem_byte_energy"))


def fpga(op):
    p = FPGA
    lanes, e = v(p, "lanes." + op["dtype"]), ELEM[op["dtype"]]
    dsp = math.ceil(lanes / v(p, "pack." + op["dtype"]))
    f = v(p, "clock") * (1.0 - v(p, "clock_derate") * dsp / v(p, "dsp"))
    spill = op["act"] if op["act"] > v(p, "act_buffer") else 0.0
    if op["kind"] == "gemm":
        length = v(p, "vector_len")
        cycles = op["m"] * math.ceil(op["k"] / length) * math.ceil(op["n"] / (lanes // length))
        t_c = cycles / (f * v(p, "lane_frac"))
        passes = max(1, math.ceil(op["m"] * op["k"] * e / v(p, "act_buffer")))
        weight = op["weight"] * passes
        hbm = (0.0 if 0 < op["set"] <= v(p, "pinned") else weight) + spill
        ram = weight + op["act"]
    elif op["kind"] == "attend":
        t_c = op["flop"] / 2.0 / (lanes * v(p, "attend_frac") * f)
        hbm, ram = op["kv"] + spill, op["kv"] + op["act"]
    else:
        passes = {"norm": 2.0, "softmax": 3.0}.get(op["kind"], 1.0)
        t_c = op["m"] * op["n"] * passes / (v(p, "vector_lanes") * f)
        hbm, ram = spill, op["act"]
    t_m = hbm / (v(p, "bandwidth") * v(p, "bandwidth_frac"))
    t0 = v(p, "op_overhead")
    return (t_c, t_m, t0, t0 + max(t_c, t_m), op["flop"] * v(p, "flop_energy." + op["dtype"]),
            hbm * v(p, "byte_energy") + ram * v(p, "ram_byte_energy"))


def line(x, x0, x1, y0, y1):
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def table_time(table, m, n, k):
    def per_row_flop(i):
        times = [ROWS[j] / (CPU_RATES[table][i][j] * 1e9) for j in range(5)]
        if m >= ROWS[-1]:
            return times[-1] * m / ROWS[-1]
        j = max(j for j in range(4) if ROWS[j] <= m)
        return line(m, ROWS[j], ROWS[j + 1], times[j], times[j + 1])
    size = min(max(math.sqrt(n * k), SIZES[0]), SIZES[-1])
    i = 0 if size <= SIZES[1] else 1
    t = line(1.0 / size, 1.0 / SIZES[i], 1.0 / SIZES[i + 1], per_row_flop(i), per_row_flop(i + 1))
    return 2.0 * n * k * t


def cpu(op):
    p = CPU
    dram, l3 = v(p, "bandwidth"), v(p, "l3")
    used = op["set"] + op["kv"]
    if op["set"] == 0 or used >= 2 * l3:
        w, from_dram = dram, 1.0
    elif used <= v(p, "l2"):
        w, from_dram = v(p, "l2_bandwidth"), 0.0
    else:
        from_dram = max(0.0, (used - l3) / l3)
        w = 1.0 / ((1.0 - from_dram) / v(p, "l3_bandwidth") + from_dram / dram)
    if op["kind"] == "gemm":
        best = min(table_time(t, op["m"], op["n"], op["k"]) for t in CPU_RATES)
        t_c = best * v(p, "peak.fp32") / v(p, "peak." + op["dtype"])
    elif op["kind"] == "attend":
        q = min(max(op["m"] / op["seqs"], 1.0), 64.0)
        s = line(1.0 / q, 1.0, 1.0 / 64.0, 1.0 / v(p, "attend.decode"),
                 1.0 / v(p, "attend.prefill"))
        t_c = op["flop"] * s + op["m"] * op["heads"] * v(p, "attend.head")
    else:
        t_c = op["act"] / v(p, "vector." + op["kind"])
    spill = op["act"] if op["act"] > l3 else 0.0
    stream = op["weight"] + op["kv"]
    t_m = stream / w + spill / dram
    far = stream * from_dram + spill
    t0 = v(p, "op_overhead")
    return (t_c, t_m, t0, t0 + max(t_c, t_m), op["flop"] * v(p, "flop_energy." + op["dtype"]),
            far * v(p, "byte_energy") + (moved(op) - far) * v(p, "cache_byte_energy"))


# ---- output ------------------------------------------------------------------------------------

def power_limit(cost):
    """Static energy, and a slower clock where the board would draw more than its limit."""
    t_c, t_m, t0, t, dynamic, memory = cost
    limited = (dynamic + memory) / (400.0 - 50.0)
    if limited > t:
        t_c, t = max(t_c, limited - t0), limited
    return t, t_c, t_m, t0, dynamic, memory, 50.0 * t


def cases(dtypes):
    rng = random.Random(7)
    for dtype in dtypes:
        for weight_set in (0, 3 * 10**6, 30 * 10**6, 120 * 10**6):
            for m in (1, 8, 9, 64, 200, 3000):
                yield gemm(dtype, m, rng.choice([9, 480, 4096]), rng.choice([64, 129, 4096]),
                           weight_set)
            seqs = rng.choice([1, 3, 16])
            for queries in (1, 40, 512):
                m = seqs * queries
                yield attend(dtype, m, m * rng.choice([7, 300, 5000]), 8, rng.choice([2, 8]), 64,
                             seqs, weight_set)
            for kind in VECTORS:
                yield vector(kind, dtype, rng.choice([1, 33, 4000]), 4096, weight_set)


def profile_text(model, profile):
    lines = ["# Written by hw_vectors.py; a made-up machine.", "model: " + model,
             "about: made-up " + model + " for the oracle", "sources: {made-up: no real part}",
             "machine:"]
    lines += ["  %s: %s @made-up" % kv for kv in MACHINE.items()]
    lines.append(model + ":")
    lines += ["  %s: %s @made-up" % (key, text) for key, (_, text) in profile.items()]
    return "\n".join(lines) + "\n"


def outputs():
    models = [("gpu", gpu, GPU, ["fp16", "fp32"]), ("systolic", systolic, SYSTOLIC, ["int8", "fp32"]),
              ("fpga", fpga, FPGA, ["fp16", "int8"]), ("cpu", cpu, CPU, ["fp32", "int8"])]
    keys = ["kind", "dtype", "m", "n", "k", "keys", "heads", "kv_heads", "dim", "seqs", "set"]
    head = ["model"] + keys + ["time_s", "compute_s", "memory_s", "overhead_s", "dynamic_j",
                               "memory_j", "static_j"]
    rows = ["\t".join(head)]
    for name, model, _, dtypes in models:
        for op in cases(dtypes):
            cells = [name] + [str(op[k]) for k in keys]
            rows.append("\t".join(cells + ["%.17g" % x for x in power_limit(model(op))]))
    files = {"hw_vectors.tsv": "\n".join(rows) + "\n"}
    for name, _, profile, _ in models:
        files["hw_vectors_%s.yaml" % name] = profile_text(name, profile)
    return files


def main():
    stale = 0
    for name, text in outputs().items():
        path = os.path.join(HERE, name)
        if "--check" in sys.argv[1:]:
            with open(path) as f:
                same = f.read() == text
            stale |= not same
            print("%s: %s" % (name, "same" if same else "differs"))
        else:
            with open(path, "w") as f:
                f.write(text)
    sys.exit(1 if stale else 0)


main()
