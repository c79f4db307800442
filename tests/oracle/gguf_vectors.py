#!/usr/bin/env python3
"""Small random GGUF models of every architecture and tensor type, and what they say, with numpy.

usage: gguf_vectors.py              write gguf_vectors.tsv
       gguf_vectors.py --check      exit 1 if the committed file says something else
       gguf_vectors.py --write DIR  write the models as files

The tensors of a file are numbers of a stream (in blocks for Q8_0 and Q4_0), so that
tests/oracle/test_gguf_arch.c makes the same bytes; their hash is in the vectors. The reference
undoes in float64 what converters do to a checkpoint (Q and K reordered, Q K V restacked, matrices
turned) and runs the architecture of arch_vectors.py. Layouts after docs/gguf.md of ggml; nothing
here is derived from the C code.
"""
import os
import struct
import sys

import numpy as np

import arch_vectors as arch

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB, N_TOKEN, N_CTX = arch.VOCAB, arch.N_TOKEN, arch.N_CTX
NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q6_K": 14, "BF16": 30}
VERSIONS = {"F32": 3, "F16": 2, "BF16": 3, "Q8_0": 2, "Q4_0": 3}
WIDE = {"Q6_K": 3}  # types with blocks of 256


class Stream(arch.Maker):
    """A tensor's bytes and values. Plain types: offset + scale (k - 8) / 8 with k = step % 16.
    Q8_0: per 32 values a float16 scale / 128 (1 + step % 4 / 4), then int8 of step % 256. Q4_0: a
    float16 scale / 8 (1 + step % 4 / 4), then 16 bytes of step % 256. Q6_K: per 256 values 192
    bytes of step % 256, 16 of step % 128 - 64, a float16 scale / 1024 (1 + step % 4 / 4)."""

    def plain(self, n, offset, scale, kind):
        x = np.array([offset + scale * (self.step() % 16 - 8) / 8 for _ in range(n)])
        if kind == "BF16":
            data = (x.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            data = x.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()
        return x, data

    def superblocks(self, n, scale):
        x, data = [], b""
        for _ in range(n // 256):
            raw = bytes(self.step() % 256 for _ in range(192))
            parts = [self.step() % 128 - 64 for _ in range(16)]
            d = scale / 1024 * (1 + self.step() % 4 / 4)
            data += raw + struct.pack("<16be", *parts, d)
            low, high = np.frombuffer(raw[:128], "u1"), np.frombuffer(raw[128:], "u1")
            for half in range(2):
                two = low[64 * half:64 * half + 64]
                bits = high[32 * half:32 * half + 32]
                q = np.concatenate([two & 15, two >> 4]).astype(int)
                q += np.concatenate([bits >> s & 3 for s in (0, 2, 4, 6)]).astype(int) * 16
                x.append(d * (q - 32) * np.repeat(parts[8 * half:8 * half + 8], 16))
        return np.concatenate(x), data

    def blocks(self, n, scale, kind):
        if kind == "Q6_K":
            return self.superblocks(n, scale)
        x, data = [], b""
        for _ in range(n // 32):
            d = scale / (128 if kind == "Q8_0" else 8) * (1 + self.step() % 4 / 4)
            raw = bytes(self.step() % 256 for _ in range(32 if kind == "Q8_0" else 16))
            data += struct.pack("<e", d) + raw
            if kind == "Q8_0":
                x += [d * (b - 256 if b > 127 else b) for b in raw]
            else:
                x += [d * ((b & 15) - 8) for b in raw] + [d * ((b >> 4) - 8) for b in raw]
        return np.array(x), data


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def pair(key, kind, value):
    number, form = {"u32": (4, "<I"), "f32": (6, "<f"), "bool": (7, "<B"), "string": (8, "")}[kind]
    body = text(value) if kind == "string" else struct.pack(form, value)
    return text(key) + struct.pack("<I", number) + body


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = (h ^ b) * 0x100000001b3 % 2**64
    return h


class Model:
    """Lines of the vectors that are the same for all types, and the file for one type."""

    def __init__(self, name, seed, keys):
        self.name, self.seed, self.keys, self.tensors = name, seed, keys, []
        self.versions = VERSIONS

    def vector(self, name, n, offset=0.0):
        self.tensors.append((name, (n,), "vector", offset, 0.25))

    def matrix(self, name, n_out, n_in, scale=0.25, bias=False):
        self.tensors.append((name + ".weight", (n_out, n_in), "matrix", 0.0, scale))
        if bias:
            self.vector(name + ".bias", n_out)

    def norm(self, name, d, bias=False):
        self.vector(name + ".weight", d, 1.0)
        if bias:
            self.vector(name + ".bias", d)

    def literal(self, name, values):
        self.tensors.append((name, (len(values),), "literal", values, 0.0))

    def lines(self):
        out = ["model\t%s\t%d" % (self.name, self.seed)]
        out += ["key\t%s\t%s\t%s" % k for k in self.keys]
        for name, shape, kind, offset, scale in self.tensors:
            dims = "x".join(str(s) for s in reversed(shape))
            if kind == "literal":
                out.append("literal\t%s\t%s" % (name, " ".join("%.9g" % v for v in offset)))
            else:
                out.append("%s\t%s\t%s\t%g\t%g" % (kind, name, dims, offset, scale))
        return out

    def make(self, kind):
        """The file's bytes and the tensors' values."""
        stream, values, infos, data = Stream(self.seed), {}, b"", b""
        for name, shape, what, offset, scale in self.tensors:
            n, use = int(np.prod(shape)), kind if what == "matrix" else "F32"
            if what == "literal":
                x = np.array(offset, "<f4")
                raw = x.tobytes()
            elif use[0] == "Q":
                x, raw = stream.blocks(n, scale, use)
            else:
                x, raw = stream.plain(n, offset, scale, use)
            values[name] = x.astype(np.float64).reshape(shape)
            data += b"\0" * (-len(data) % 32)
            infos += text(name) + struct.pack("<I", len(shape))
            infos += b"".join(struct.pack("<Q", s) for s in reversed(shape))
            infos += struct.pack("<IQ", NUMBERS[use], len(data))
            data += raw
        head = b"GGUF" + struct.pack("<IQQ", self.versions[kind], len(self.tensors), len(self.keys))
        head += b"".join(pair(*k) for k in self.keys) + infos
        return head + b"\0" * (-len(head) % 32) + data, values


class Undone:
    """Stands for arch_vectors.Maker, with the tensors of a checkpoint."""

    def __init__(self, tensors):
        self.tensors = tensors

    def tensor(self, name, *_):
        return self.tensors.get(name)

    def linear(self, name, _out, _in, bias, turned=False):
        w = self.tensors[name + ".weight"]
        return (w if turned else w.T), self.tensors[name + ".bias"] if bias else 0.0

    def norm(self, name, _, bias):
        return self.tensors[name + ".weight"], self.tensors[name + ".bias"] if bias else None


# ---- the architectures: the file's tensors, and the checkpoint's -----------------------------


def unpermute(w, heads):
    """The converter gives row 2 i + j of a head what was row i + j d/2."""
    n = w.shape[0] // heads // 2
    return w.reshape(heads, n, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


LLAMA_NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
               "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
               "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
               "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
GPT2_NAMES = {"attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "attn_norm": "ln_1",
              "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
BLOOM_NAMES = {"attn_qkv": "self_attention.query_key_value",
               "attn_output": "self_attention.dense", "attn_norm": "input_layernorm",
               "ffn_norm": "post_attention_layernorm", "ffn_up": "mlp.dense_h_to_4h",
               "ffn_down": "mlp.dense_4h_to_h"}


def renamed(values, ends, layer, names):
    out = {}
    for name, x in values.items():
        part = name.split(".")
        if part[0] == "blk":
            out["%s%s.%s.%s" % (layer, part[1], names[part[2]], part[3])] = x
        elif part[0] in ends:
            out["%s.%s" % (ends[part[0]], part[1])] = x
    return out


def llama_model(name, seed, c, gguf_arch):
    d, heads, kv = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    dim, ffn, p = c.get("head_dim") or d // heads, c["intermediate_size"], gguf_arch + "."
    qkv = gguf_arch == "qwen2" or c.get("attention_bias", False)
    keys = [("general.architecture", "string", gguf_arch), ("general.type", "string", "model"),
            (p + "block_count", "u32", c["num_hidden_layers"]),
            (p + "context_length", "u32", N_CTX), (p + "embedding_length", "u32", d),
            (p + "feed_forward_length", "u32", ffn), (p + "attention.head_count", "u32", heads),
            (p + "attention.head_count_kv", "u32", kv),
            (p + "attention.layer_norm_rms_epsilon", "f32", c["rms_norm_eps"]),
            (p + "rope.freq_base", "f32", c.get("rope_theta", 10000.0))]
    if "head_dim" in c:
        keys += [(p + "attention.key_length", "u32", dim),
                 (p + "attention.value_length", "u32", dim),
                 (p + "rope.dimension_count", "u32", dim)]
    if "sliding_window" in c and c["model_type"] == "mistral":
        keys.append((p + "attention.sliding_window", "u32", c["sliding_window"]))
    scaling = c.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        keys += [(p + "rope.scaling.type", "string", "linear"),
                 (p + "rope.scaling.factor", "f32", scaling["factor"])]
    m = Model(name, seed, keys)
    m.matrix("token_embd", VOCAB, d, 1.0)
    if scaling.get("rope_type") == "llama3":
        plain = dict(c, rope_scaling=None)
        m.literal("rope_freqs.weight",
                  list(np.float32(arch.frequencies(plain, dim) / arch.frequencies(c, dim))))
    for i in range(c["num_hidden_layers"]):
        at = "blk.%d." % i
        m.norm(at + "attn_norm", d)
        m.matrix(at + "attn_q", heads * dim, d, bias=qkv)
        m.matrix(at + "attn_k", kv * dim, d, bias=qkv)
        m.matrix(at + "attn_v", kv * dim, d, bias=qkv)
        m.matrix(at + "attn_output", d, heads * dim, bias=c.get("attention_bias", False))
        m.norm(at + "ffn_norm", d)
        m.matrix(at + "ffn_gate", ffn, d, bias=c.get("mlp_bias", False))
        m.matrix(at + "ffn_up", ffn, d, bias=c.get("mlp_bias", False))
        m.matrix(at + "ffn_down", d, ffn, bias=c.get("mlp_bias", False))
    m.norm("output_norm", d)
    if not c.get("tie_word_embeddings"):
        m.matrix("output", VOCAB, d)

    def undo(values):
        out = renamed(values, {"token_embd": "embed_tokens", "output_norm": "norm",
                               "output": "lm_head"}, "layers.", LLAMA_NAMES)
        for key in out:
            if gguf_arch == "llama" and ("q_proj" in key or "k_proj" in key):
                out[key] = unpermute(out[key], heads if "q_proj" in key else kv)
        return out

    return m, arch.llama, c, undo


def add_layers(m, n_layer, d):
    """Of GPT-2 and BLOOM: layer norms, biases, Q K V in one."""
    for i in range(n_layer):
        at = "blk.%d." % i
        m.norm(at + "attn_norm", d, True)
        m.matrix(at + "attn_qkv", 3 * d, d, bias=True)
        m.matrix(at + "attn_output", d, d, bias=True)
        m.norm(at + "ffn_norm", d, True)
        m.matrix(at + "ffn_up", 4 * d, d, bias=True)
        m.matrix(at + "ffn_down", d, 4 * d, bias=True)
    m.norm("output_norm", d, True)


def gpt2_model(name, seed, c):
    d, n_layer = c["n_embd"], c["n_layer"]
    m = Model(name, seed, [
        ("general.architecture", "string", "gpt2"), ("gpt2.block_count", "u32", n_layer),
        ("gpt2.context_length", "u32", N_CTX), ("gpt2.embedding_length", "u32", d),
        ("gpt2.feed_forward_length", "u32", 4 * d), ("gpt2.attention.head_count", "u32", c["n_head"]),
        ("gpt2.attention.layer_norm_epsilon", "f32", c["layer_norm_epsilon"])])
    m.matrix("token_embd", VOCAB, d, 1.0)
    m.matrix("position_embd", N_CTX, d, 0.5)
    add_layers(m, n_layer, d)

    def undo(values):
        out = renamed(values, {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f"},
                      "h.", GPT2_NAMES)
        return {k: x.T if "c_" in k and k.endswith("weight") else x for k, x in out.items()}

    return m, arch.gpt2, c, undo


def bloom_model(name, seed, c):
    d, heads, n_layer = c["hidden_size"], c["n_head"], c["n_layer"]
    m = Model(name, seed, [
        ("general.architecture", "string", "bloom"), ("bloom.block_count", "u32", n_layer),
        ("bloom.context_length", "u32", N_CTX), ("bloom.embedding_length", "u32", d),
        ("bloom.feed_forward_length", "u32", 4 * d), ("bloom.attention.head_count", "u32", heads),
        ("bloom.attention.head_count_kv", "u32", heads),
        ("bloom.attention.layer_norm_epsilon", "f32", c["layer_norm_epsilon"])])
    m.matrix("token_embd", VOCAB, d, 1.0)
    m.norm("token_embd_norm", d, True)
    add_layers(m, n_layer, d)

    def undo(values):
        out = renamed(values, {"token_embd": "word_embeddings", "output_norm": "ln_f",
                               "token_embd_norm": "word_embeddings_layernorm"}, "h.", BLOOM_NAMES)
        for key, x in out.items():  # all Q, all K, all V -> by head
            if "query_key_value" in key:
                rest = x.shape[1:]
                out[key] = x.reshape(3, heads, d // heads, *rest).swapaxes(0, 1).reshape(x.shape)
        return out

    return m, arch.bloom, c, undo


# ---- the models ------------------------------------------------------------------------------

LLAMA = dict(arch.LLAMA, intermediate_size=64)
MODELS = [
    llama_model("llama", 500, LLAMA, "llama"),
    llama_model("llama3", 501, dict(LLAMA, rope_theta=500.0, rope_scaling=arch.LLAMA3,
                                    tie_word_embeddings=True, attention_bias=True), "llama"),
    llama_model("llama-linear", 502, dict(LLAMA, attention_bias=True, mlp_bias=True,
                                          rope_scaling={"rope_type": "linear", "factor": 4.0}),
                "llama"),
    llama_model("mistral", 503, dict(LLAMA, model_type="mistral", head_dim=16, sliding_window=6),
                "llama"),
    llama_model("qwen2", 504, dict(LLAMA, model_type="qwen2", rope_theta=1e6,
                                   tie_word_embeddings=True), "qwen2"),
    gpt2_model("gpt2", 505, {"n_embd": 32, "n_layer": 3, "n_head": 4, "layer_norm_epsilon": 1e-5}),
    bloom_model("bloom", 506, {"hidden_size": 96, "n_layer": 2, "n_head": 6,
                               "layer_norm_epsilon": 1e-5}),
    llama_model("llama-wide", 507, dict(LLAMA, hidden_size=256, num_hidden_layers=2,
                                        intermediate_size=256, num_attention_heads=4,
                                        num_key_value_heads=4), "llama"),
]
MODELS[-1][0].versions = WIDE


def vectors():
    lines = []
    for at, (m, forward, config, undo) in enumerate(MODELS):
        stream = arch.Maker(700 + at)
        tokens = [stream.step() % VOCAB for _ in range(N_TOKEN)]
        lines += m.lines()
        lines.append("tokens\t" + " ".join(str(t) for t in tokens))
        for kind, version in m.versions.items():
            data, values = m.make(kind)
            z = forward(Undone(undo(values)), config, "", tokens)
            lines.append("file\t%s\t%d\t%016x" % (kind, version, fnv(data)))
            lines.append("values\t" + " ".join("%.7f" % v for v in arch.nlls(z, tokens)))
    return lines


def main():
    path = os.path.join(HERE, "gguf_vectors.tsv")
    if "--write" in sys.argv[1:]:
        for m, _, _, _ in MODELS:
            for kind in m.versions:
                file = os.path.join(sys.argv[-1], "%s-%s.gguf" % (m.name, kind))
                with open(file, "wb") as f:
                    f.write(m.make(kind)[0])
        return 0
    lines = vectors()
    if "--check" in sys.argv[1:]:
        with open(path, encoding="ascii") as f:
            have = f.read().splitlines()
        good = len(have) == len(lines) and all(map(arch.same, have, lines))
        print("gguf_vectors.py: %s" % ("as committed" if good else "the vectors differ"))
        return 0 if good else 1
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
