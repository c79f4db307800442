#!/usr/bin/env python3
"""A transformer with routed paths in double precision, with the standard library alone.

usage: ref_forward.py            write ref_forward.tsv
       ref_forward.py --check    exit 1 if the committed file differs from what would be written

tests/oracle/test_forward.c makes the same random models (tests/unit/net_make.h says how), runs them
through the engine and compares NLL, paths and attended keys. Tokens are processed one after the
other, each to its end, by the definitions in words (docs/ and the Llama layout); nothing here is
derived from the C code.
"""
import math
import os
import struct
import sys
from operator import mul

HERE = os.path.dirname(os.path.abspath(__file__))
N_LAYER, D, HEADS, KV, DIM, FFN, VOCAB, ROUTER, MAX_HOPS = 4, 32, 4, 2, 8, 48, 256, 16, 6
EPS, THETA = struct.unpack("f", struct.pack("f", 1e-5))[0], 10000.0
BUDGET = [(0.25, 0.2), (0.5, 0.01), (1.0, -1.0)]  # depth share, price
ATTN, MLP, PROJECT, COPY = 1, 2, 4, 8
N_TOKEN = 24


class Stream:
    """The number stream of net_make.h."""

    def __init__(self, seed):
        self.x = seed

    def raw(self):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.x >> 40

    def tensor(self, rows, cols, offset, scale):
        def value():
            v = offset + scale * (self.raw() / 8388608.0 - 1.0)
            return struct.unpack("f", struct.pack("f", v))[0]

        return [[value() for _ in range(cols)] for _ in range(rows)]


class Model:
    def __init__(self, seed, layer_norm=False, gelu=False, tied=False, router=False):
        s = Stream(seed)
        self.layer_norm, self.gelu, self.tied, self.router = layer_norm, gelu, tied, router

        def norm():
            w = s.tensor(1, D, 1.0, 0.25)[0]
            return w, s.tensor(1, D, 0.0, 0.25)[0] if layer_norm else None

        self.embed = s.tensor(VOCAB, D, 0.0, 1.0)
        self.layers = []
        for _ in range(N_LAYER):
            part = {"norm1": norm()}
            for name, rows, cols in (("q", HEADS * DIM, D), ("k", KV * DIM, D), ("v", KV * DIM, D),
                                     ("o", D, HEADS * DIM)):
                part[name] = s.tensor(rows, cols, 0.0, 0.25)
            part["norm2"] = norm()
            if not gelu:
                part["gate"] = s.tensor(FFN, D, 0.0, 0.25)
            part["up"] = s.tensor(FFN, D, 0.0, 0.25)
            part["down"] = s.tensor(D, FFN, 0.0, 0.25)
            self.layers.append(part)
        self.norm = norm()
        self.head = self.embed if tied else s.tensor(VOCAB, D, 0.0, 0.25)
        if router:
            self.r_in = s.tensor(ROUTER, D, 0.0, 0.25)
            self.r_bias = s.tensor(1, ROUTER, 0.0, 0.25)[0]
            self.r_hop = s.tensor(MAX_HOPS + 1, ROUTER, 0.0, 1.0)
            self.r_last = s.tensor(N_LAYER + 1, ROUTER, 0.0, 1.0)
            self.r_price = s.tensor(1, ROUTER, 0.0, 0.25)[0]
            self.r_out = s.tensor(N_LAYER + 1, ROUTER, 0.0, 0.5)
            self.r_out_bias = s.tensor(1, N_LAYER + 1, 0.0, 0.25)[0]


def times(matrix, x):
    return [sum(map(mul, row, x)) for row in matrix]


def dot(a, b):
    return sum(map(mul, a, b))


def rms(x):
    scale = 1.0 / math.sqrt(dot(x, x) / len(x) + EPS)
    return [v * scale for v in x]


def normed(model, weights, x):
    gain, bias = weights
    if not model.layer_norm:
        return [v * g for v, g in zip(rms(x), gain)]
    mean = sum(x) / len(x)
    centred = [v - mean for v in x]
    scale = 1.0 / math.sqrt(dot(centred, centred) / len(x) + EPS)
    return [v * scale * g + b for v, g, b in zip(centred, gain, bias)]


def gelu(x):
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def rotated(x, pos):
    """RoPE on every head of x: pairs (i, i + DIM/2), the layout of Llama checkpoints."""
    out, half = list(x), DIM // 2
    for h in range(0, len(x), DIM):
        for i in range(half):
            angle = pos * THETA ** (-2.0 * i / DIM)
            a, b = x[h + i], x[h + half + i]
            out[h + i] = a * math.cos(angle) - b * math.sin(angle)
            out[h + half + i] = b * math.cos(angle) + a * math.sin(angle)
    return out


class Run:
    """The cache of one sequence: cache[layer] = entries (position, time, K, V)."""

    def __init__(self, model, kv):
        self.m, self.kv = model, kv
        self.cache = [[] for _ in range(N_LAYER)]
        self.margin = math.inf

    def keys_values(self, layer, x, pos):
        part = self.m.layers[layer]
        n = normed(self.m, part["norm1"], x)
        return n, rotated(times(part["k"], n), pos), times(part["v"], n)

    def seen(self, layer, time):
        """The latest entry of each token that was written at this time or before."""
        latest = {}
        for entry in self.cache[layer]:
            if entry[1] <= time:
                latest[entry[0]] = entry  # entries of one token come in the order of time
        return [latest[p] for p in sorted(latest)]

    def attention(self, layer, time, x, pos):
        part = self.m.layers[layer]
        n, k, v = self.keys_values(layer, x, pos)
        q = rotated(times(part["q"], n), pos)
        self.cache[layer].append((pos, time, k, v))
        seen = self.seen(layer, time)
        mixed = []
        for h in range(HEADS):
            at = h // (HEADS // KV) * DIM
            scores = [dot(q[h * DIM:(h + 1) * DIM], e[2][at:at + DIM]) / math.sqrt(DIM)
                      for e in seen]
            top = max(scores)
            p = [math.exp(s - top) for s in scores]
            mixed += [dot(p, [e[3][at + i] for e in seen]) / sum(p) for i in range(DIM)]
        return times(part["o"], mixed), len(seen)

    def mlp(self, layer, x):
        part = self.m.layers[layer]
        n = normed(self.m, part["norm2"], x)
        up = times(part["up"], n)
        if self.m.gelu:
            return times(part["down"], [gelu(u) for u in up])
        gate = times(part["gate"], n)
        return times(part["down"], [g / (1.0 + math.exp(-g)) * u for g, u in zip(gate, up)])

    def visit(self, layer, time, x, pos, theta=0.0):
        """Both sublayers; theta: drop one whose |f|/|x| is below it. Returns state and record."""
        flags, keys = 0, 0
        f, n = self.attention(layer, time, x, pos)
        if math.sqrt(dot(f, f) / dot(x, x)) >= theta:
            x, flags, keys = [a + b for a, b in zip(x, f)], ATTN, n
        else:
            self.cache[layer].pop()
        f = self.mlp(layer, x)
        if math.sqrt(dot(f, f) / dot(x, x)) >= theta:
            x, flags = [a + b for a, b in zip(x, f)], flags | MLP
        return x, (layer, flags, keys)

    def forward_only(self, path, x, pos, theta=0.0):
        """Layers in order; what skipped ones leave in the cache is the KV semantics."""
        record, below = [], None
        for layer in range(N_LAYER):
            if layer in path:
                x, rec = self.visit(layer, layer, x, pos, theta)
                record.append(rec)
                below = layer
            elif self.kv == "project":
                _, k, v = self.keys_values(layer, x, pos)
                self.cache[layer].append((pos, layer, k, v))
                record.append((layer, PROJECT, 0))
            elif self.kv == "copy" and below is not None:
                _, _, k, v = [e for e in self.cache[below] if e[0] == pos][-1]
                self.cache[layer].append((pos, layer, k, v))
                record.append((layer, COPY, 0))
        return x, record

    def scores(self, x, hop, last, price):
        m = self.m
        feature = math.asinh(price / 0.01) if price > 0 else 0.0
        u = [a + b + c + d + feature * e
             for a, b, c, d, e in zip(times(m.r_in, rms(x)), m.r_bias, m.r_hop[hop],
                                      m.r_last[last + 1], m.r_price)]
        s = [a + b for a, b in zip(times(m.r_out, [gelu(v) for v in u]), m.r_out_bias)]
        if price < 0 and hop < N_LAYER:
            s[N_LAYER] += price
        return s

    def routed(self, price, x, pos):
        record, last = [], -1
        for hop in range(MAX_HOPS):
            s = self.scores(x, hop, last, price)
            best = max(range(N_LAYER + 1), key=lambda i: s[i])
            self.margin = min(self.margin, s[best] - sorted(s)[-2])
            if best == N_LAYER:
                break
            x, rec = self.visit(best, hop, x, pos)
            record.append(rec)
            last = best
        return x, record

    def walked(self, path, x, pos):
        record = []
        for hop, layer in enumerate(path):
            x, rec = self.visit(layer, hop, x, pos)
            record.append(rec)
        return x, record


def price_of(budget):
    return min(BUDGET, key=lambda row: (abs(row[0] - budget), row[0]))[1]


def uls_kept(speedup):
    """The published algorithm, line by line."""
    keep, n = {0, N_LAYER - 1}, int(N_LAYER / speedup)
    interval = int(N_LAYER / (n - 2 + 1))
    for i in range(1, N_LAYER - 1):
        if i % interval == 0 and len(keep) < n:
            keep.add(i)
    return keep


def given_path(stream, forward):
    """A made-up path: any subset of layers, or up to MAX_HOPS layers in any order, repeats too."""
    if forward:
        return [l for l in range(N_LAYER) if stream.raw() % 2]
    return [stream.raw() % N_LAYER for _ in range(stream.raw() % (MAX_HOPS + 1))]


MODELS = {
    "llama": dict(seed=21),
    "router": dict(seed=22, router=True),
    "layernorm": dict(seed=23, layer_norm=True, gelu=True, tied=True, router=True),
}
CASES = [
    ("llama", "dense", "hole"), ("llama", "uls:speedup=2", "hole"),
    ("llama", "uls:speedup=2", "project"), ("llama", "uls:speedup=2", "copy"),
    ("llama", "given:forward", "hole"), ("llama", "given:forward", "project"),
    ("llama", "given:forward", "copy"), ("llama", "oracle:theta=0.9", "hole"),
    ("router", "dense", "hole"), ("router", "radial:budget=0.5", "hole"),
    ("router", "radial:budget=0.7", "hole"), ("router", "radial:budget=1", "hole"),
    ("router", "given:any", "hole"), ("layernorm", "dense", "hole"),
    ("layernorm", "radial:budget=0.25", "hole"), ("layernorm", "radial:budget=1", "hole"),
    ("layernorm", "given:any", "hole"), ("layernorm", "given:forward", "project"),
]


def run_token(run, policy, stream, token, pos):
    x = run.m.embed[token]
    name, _, value = policy.partition(":")
    number = float(value.partition("=")[2] or 0)
    if name == "dense":
        return run.forward_only(range(N_LAYER), x, pos)
    if name == "uls":
        return run.forward_only(uls_kept(number), x, pos)
    if name == "oracle":
        return run.forward_only(range(N_LAYER), x, pos, number)
    if name == "radial":
        return run.routed(price_of(number), x, pos)
    path = given_path(stream, value == "forward")
    return run.forward_only(path, x, pos) if value == "forward" else run.walked(path, x, pos)


def nll_of(model, x, target):
    z = times(model.head, normed(model, model.norm, x))
    top = max(z)
    return top + math.log(sum(math.exp(v - top) for v in z)) - z[target]


def vectors():
    """Lines: case MODEL POLICY KV; then pos, token, nll ("-": last token), layer:flags:keys ..."""
    lines, models = [], {name: Model(**kw) for name, kw in MODELS.items()}
    for at, (name, policy, kv) in enumerate(CASES):
        tokens = [Stream(1000 + at + 31 * i).raw() % VOCAB for i in range(N_TOKEN)]
        run, stream = Run(models[name], kv), Stream(77 + at)
        lines.append("case\t%s\t%s\t%s" % (name, policy, kv))
        for pos, token in enumerate(tokens):
            x, record = run_token(run, policy, stream, token, pos)
            nll = "-"
            if pos + 1 < N_TOKEN:
                nll = "%.9f" % nll_of(models[name], x, tokens[pos + 1])
            path = " ".join("%d:%d:%d" % r for r in record)
            lines.append("%d\t%d\t%s\t%s" % (pos, token, nll, path))
        if run.margin < 2e-4:  # float32 could decide otherwise: take another seed
            sys.exit("ref_forward.py: %s %s: a decision hangs on %g" % (name, policy, run.margin))
    return "\n".join(lines) + "\n"


def main():
    path = os.path.join(HERE, "ref_forward.tsv")
    text = vectors()
    if "--check" in sys.argv[1:]:
        with open(path, encoding="ascii") as f:
            same = f.read() == text
        print("ref_forward.py: %s" % ("as committed" if same else "the vectors differ"))
        return 0 if same else 1
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
