#!/usr/bin/env python3
"""Measure transformer kernels on this machine, in the columns that `radial hw calibrate` reads.

usage: python3 bench_gpu.py --hardware NAME [-o measured.csv] [--dtype bf16] [--quick]
then:  radial hw calibrate PROFILE --measured measured.csv -o NEW.yaml

Needs PyTorch and nothing else. On a GPU every operation is measured twice: `eager` has the launch
in it, call by call; `graph` is a CUDA graph of many calls: device time alone. Weights are rotated
over copies that together exceed the cache, as layers of a model would; a row is marked l2hot where
memory is too small for that. Medians of several runs. Takes 5 to 10 minutes (--quick: one).
Rows of `ragged`, which are no single operation, are left out by `calibrate`; their pieces are rows too.
Lock the clocks first if you can: nvidia-smi -lgc MHZ.
"""
import argparse
import csv
import statistics
import sys
import time

import torch
import torch.nn.functional as F

COLUMNS = ("source,hardware,op,dtype,M,N,K,batch,seq,kv,heads,kv_heads,head_dim,hidden,ffn,layers,"
           "tp,latency_us,energy_j,tokens_per_s,notes").split(",")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class Bench:
    """Times functions on one device and collects rows."""

    def __init__(self, args):
        self.device, self.args = torch.device(args.device), args
        self.dtype, self.rows = DTYPES[args.dtype], []
        self.cuda = self.device.type == "cuda"
        # Copies of weights together exceed any last-level cache of today.
        self.cold_bytes = 16e6 if args.quick and not self.cuda else 600e6
        self.repeat = 3 if args.quick else 9

    def tensor(self, *shape):
        return torch.randn(*shape, device=self.device, dtype=torch.float32).to(self.dtype)

    def copies(self, *shape):
        """Equal tensors, so many that going round them misses the cache, and whether they do."""
        size = torch.empty((), dtype=self.dtype).element_size()
        for n in shape:
            size *= n
        n = int(min(512, max(2, -(-self.cold_bytes // size))))
        return [self.tensor(*shape) for _ in range(n)], n * size >= self.cold_bytes

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def elapsed(self, run):
        """Seconds of run()."""
        self.sync()
        if not self.cuda:
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        self.sync()
        return start.elapsed_time(end) / 1e3

    def median(self, run, calls):
        run()
        return statistics.median(self.elapsed(run) for _ in range(self.repeat)) / calls

    def graph_of(self, run):
        """run() as a CUDA graph, or None where it cannot be captured."""
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()
            return graph
        except RuntimeError as error:
            print("no CUDA graph: %s" % str(error).splitlines()[0], file=sys.stderr)
            self.sync()
            return None

    def row(self, op, seconds, notes, **cells):
        line = dict.fromkeys(COLUMNS, "")
        line.update(cells, source="radial-kit", hardware=self.args.hardware, op=op,
                    dtype=self.args.dtype, latency_us="%.4f" % (seconds * 1e6), notes=notes)
        self.rows.append(line)
        print("%-18s %10.2f us  %-14s %s" % (op, seconds * 1e6, notes, " ".join(
            "%s=%s" % item for item in cells.items())), file=sys.stderr)

    def measure(self, op, call, n, cold, notes="", **cells):
        """call(i) uses copy i of n."""
        calls = max(n, 4 if self.args.quick else 16)

        def run():
            for i in range(calls):
                call(i % n)
        marks = [mark for mark in (notes, "" if cold else "l2hot") if mark]
        with torch.no_grad():
            self.row(op, self.median(run, calls), ";".join(["eager"] + marks), **cells)
            graph = self.graph_of(run) if self.cuda else None
            if graph is not None:
                self.row(op, self.median(graph.replay, calls), ";".join(["graph"] + marks), **cells)


def gemms(b, shapes, rows):
    for n, k in shapes:
        weights, cold = b.copies(n, k)
        for m in rows:
            x = b.tensor(m, k)
            b.measure("gemm", lambda i: F.linear(x, weights[i]), len(weights), cold, M=m, N=n, K=k)


def attend(b, batch, seq, kv, heads, kv_heads, dim):
    """Queries are the last seq of kv positions; heads that share keys read them once if they can."""
    q = b.tensor(batch, heads, seq, dim)
    keys, cold = b.copies(2, batch, kv_heads, kv, dim)
    shared = heads // kv_heads
    fused = getattr(F, "scaled_dot_product_attention", None)

    def plain(i):
        k, v = keys[i]
        grouped = q.view(batch, kv_heads, shared * seq, dim)
        score = torch.matmul(grouped, k.transpose(-1, -2)) * dim ** -0.5
        if seq > 1:
            score = score.view(batch, kv_heads, shared, seq, kv) + mask
            score = score.view(batch, kv_heads, shared * seq, kv)
        return torch.matmul(torch.softmax(score, -1), v)

    def one_kernel(i):
        k, v = keys[i]
        if seq == 1:  # the heads of a group as queries: no copy of the keys
            return fused(q.view(batch, kv_heads, shared, dim), k, v)
        k, v = (x.repeat_interleave(shared, 1) if shared > 1 else x for x in (k, v))
        return fused(q, k, v, is_causal=seq == kv)
    mask = torch.full((seq, kv), float("-inf"), device=b.device).triu(kv - seq + 1).to(b.dtype)
    call, notes = (one_kernel, "sdpa") if fused else (plain, "unfused")
    op = "attention_decode" if seq == 1 else "attention_prefill"
    b.measure(op, call, len(keys), cold, notes, batch=batch, seq=seq, kv=kv, heads=heads,
              kv_heads=kv_heads, head_dim=dim)


def vectors(b, hidden, rows):
    for m in rows:
        # Activations were written just before in a model too: small ones are never cold.
        x, pair = b.copies(m, hidden)[0], b.copies(m, 2 * hidden)[0]
        scale = b.tensor(hidden)
        cells = dict(batch=m, seq=1, hidden=hidden)
        b.measure("layernorm", lambda i: F.layer_norm(x[i], (hidden,), scale), len(x), True,
                  "with_mean", **cells)

        def gated(i):
            gate, up = pair[i].chunk(2, -1)
            return F.silu(gate) * up
        b.measure("activation", gated, len(pair), True, "gated", **cells)
        b.measure("add", lambda i: x[i] + x[i - 1], len(x), True, **cells)
        b.measure("softmax", lambda i: torch.softmax(x[i], -1), len(x), True, **cells)


def rms_norms(b, hidden, rows):
    """RMSNorm as PyTorch has it: one kernel where there is one, else from its parts."""
    fused = getattr(F, "rms_norm", None)
    scale = b.tensor(hidden)

    def plain(x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * scale
    for m in rows:
        x = b.copies(m, hidden)[0]
        b.measure("rmsnorm", lambda i: fused(x[i], (hidden,), scale) if fused else plain(x[i]), len(x),
                  True, "" if fused else "unfused", batch=m, seq=1, hidden=hidden)


def samples(b, vocab, rows):
    """A token drawn from each row of logits: the exponential race, which needs no sorting."""
    for m in rows:
        logits = b.copies(m, vocab)[0]
        noise = torch.empty(m, vocab, device=b.device, dtype=torch.float32).exponential_()
        b.measure("sample", lambda i: (torch.softmax(logits[i].float(), -1) / noise).argmax(-1),
                  len(logits), True, batch=m, seq=1, hidden=vocab)


def ragged(b, hidden, tokens, groups):
    """Tokens that went apart: each layer gathers its group, multiplies, and scatters it back. The
    whole is a row of its own; its pieces, at the same sizes, are rows that `calibrate` fits."""
    layers, cold = b.copies(hidden, hidden)
    layers = [w * hidden ** -0.5 for w in layers]  # x keeps its size, visit after visit
    x = b.tensor(tokens, hidden)
    order = torch.randperm(tokens, device=b.device)
    for m in groups:
        picks = [order.roll(i)[:m].contiguous() for i in range(len(layers))]
        rows = b.tensor(m, hidden)

        def visit(i):
            x.index_copy_(0, picks[i], F.linear(x.index_select(0, picks[i]), layers[i]))
        b.measure("gather", lambda i: x.index_select(0, picks[i]), len(layers), True, batch=m,
                  seq=1, hidden=hidden)
        b.measure("gemm", lambda i: F.linear(rows, layers[i]), len(layers), cold, M=m, N=hidden,
                  K=hidden)
        b.measure("ragged", visit, len(layers), cold, "gather+gemm+scatter", M=m, N=hidden,
                  K=hidden, batch=tokens, layers=len(layers))


def grouped(b, n, k, shapes):
    """One launch of g products, each with weights of its own, m rows in all: torch._grouped_mm with
    groups of unequal size where there is one, else a batched product with equal ones."""
    kernel = getattr(torch, "_grouped_mm", None)
    for g, m in shapes:
        weights, cold = b.copies(g, k, n)
        x = b.tensor(m, k)
        equal = x.view(g, m // g, k)
        cuts = torch.randperm(m - 1)[:g - 1].sort().values + 1  # every group has a row
        ends = torch.cat([cuts, torch.tensor([m])]).to(device=b.device, dtype=torch.int32)
        try:
            if kernel is not None and b.cuda and b.args.dtype == "bf16":
                kernel(x, weights[0], offs=ends)
                call, how = (lambda i: kernel(x, weights[i], offs=ends)), "ragged"
            else:
                call, how = (lambda i: torch.bmm(equal, weights[i])), "equal"
        except RuntimeError as error:  # a part that it does not run on
            print("no grouped kernel: %s" % str(error).splitlines()[0], file=sys.stderr)
            call, how = (lambda i: torch.bmm(equal, weights[i])), "equal"
        b.measure("grouped", call, len(weights), cold, "groups=%d;%s" % (g, how), M=m, N=n, K=k)


def run(b, quick):
    if quick:
        gemms(b, [(1024, 1024)], [1, 16, 64])
        attend(b, 1, 1, 256, 8, 2, 64)
        attend(b, 1, 64, 64, 8, 2, 64)
        vectors(b, 1024, [16])
        rms_norms(b, 1024, [16])
        samples(b, 1024, [4])
        ragged(b, 512, 32, [1, 8])
        grouped(b, 256, 256, [(2, 8), (4, 64)])
        return
    gemms(b, [(4096, 4096), (6144, 4096), (14336, 4096), (4096, 14336), (8192, 8192), (1024, 8192)],
          [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
    for batch in (1, 4, 16, 64):
        for kv in (512, 2048, 8192):
            if batch * kv <= 131072:
                attend(b, batch, 1, kv, 32, 8, 128)
                attend(b, batch, 1, kv, 32, 32, 128)
    for seq in (256, 1024, 4096):
        attend(b, 1, seq, seq, 32, 8, 128)
    for hidden in (2048, 4096, 8192):
        vectors(b, hidden, [1, 8, 64, 512, 2048])
        rms_norms(b, hidden, [1, 8, 64, 512, 2048])
    samples(b, 32000, [1, 8, 64, 256])
    samples(b, 128256, [1, 8, 64, 256])
    ragged(b, 4096, 64, [1, 2, 4, 8, 16, 32, 64])
    for n, k in ((4096, 4096), (6144, 4096), (4096, 14336)):
        grouped(b, n, k, [(g, m) for g in (2, 4, 8, 16) for m in (16, 64, 256, 1024)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", default="measured.csv")
    parser.add_argument("--hardware", help="name in the CSV (default: the device's own)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--quick", action="store_true", help="a few shapes, to see that it works")
    args = parser.parse_args()
    if args.hardware is None:
        is_cuda = args.device.startswith("cuda")
        args.hardware = torch.cuda.get_device_name(0).replace(",", " ") if is_cuda else "host"
    torch.manual_seed(1)
    bench = Bench(args)
    try:
        run(bench, args.quick)
    finally:  # what was measured before memory ran out is worth keeping
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(bench.rows)
        print("%s: %d rows" % (args.out, len(bench.rows)), file=sys.stderr)


if __name__ == "__main__":
    main()
