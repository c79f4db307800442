#!/usr/bin/env python3
"""Small random models of every architecture in double precision, with numpy.

usage: arch_vectors.py            write arch_vectors.tsv
       arch_vectors.py --check    exit 1 if the committed file says something else

The file lists config.json, the tensors in the order of their number stream, and what the model
says. tests/oracle/test_arch.c makes the same models from it. Values have few bits, so that they
are the same in float32, float16 and bfloat16. Written after the papers and the layout of published
checkpoints; nothing here is derived from the C code.
"""
import json
import math
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB, N_TOKEN, N_CTX = 256, 24, 32
BASE = {"vocab_size": VOCAB, "radial_tokenizer": "bytes"}
erf = np.vectorize(math.erf)


class Maker:
    """Tensors from x = x * 6364136223846793005 + 1442695040888963407 mod 2^64: each step gives
    k = (x >> 40) % 16 and the value offset + scale * (k - 8) / 8."""

    def __init__(self, seed):
        self.x, self.lines, self.seed = seed, [], seed

    def step(self):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.x >> 40

    def tensor(self, name, shape, offset=0.0, scale=0.25):
        n = int(np.prod(shape))
        flat = [offset + scale * (self.step() % 16 - 8) / 8 for _ in range(n)]
        dims = "x".join(str(s) for s in shape)
        self.lines.append("tensor\t%s\t%s\t%g\t%g" % (name, dims, offset, scale))
        return np.array(flat, dtype=np.float64).reshape(shape)

    def linear(self, name, n_out, n_in, bias, turned=False):
        w = self.tensor(name + ".weight", (n_in, n_out) if turned else (n_out, n_in))
        b = self.tensor(name + ".bias", (n_out,)) if bias else 0.0
        return (w if turned else w.T), b

    def norm(self, name, d, bias):
        return (self.tensor(name + ".weight", (d,), 1.0, 0.25),
                self.tensor(name + ".bias", (d,)) if bias else None)


def apply(lin, x):
    return x @ lin[0] + lin[1]


def normed(n, x, eps):
    if n[1] is None:
        return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * n[0]
    c = x - np.mean(x, -1, keepdims=True)
    return c / np.sqrt(np.mean(c * c, -1, keepdims=True) + eps) * n[0] + n[1]


def silu(x):
    return x / (1.0 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def rotate(x, freq):
    """Pairs (i, i + d/2) of every head turned by position times freq[i]; x: [n][heads][d]."""
    angle = np.arange(x.shape[0])[:, None, None] * freq[None, None, :]
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle),
                           b * np.cos(angle) + a * np.sin(angle)], -1)


def attend(q, k, v, causal=True, window=None, slopes=None):
    """q: [n][heads][d]; k, v: [n][kv heads][d]."""
    n, heads, d = q.shape
    pos = np.arange(n)
    out = np.zeros_like(q)
    for h in range(heads):
        g = h // (heads // k.shape[1])
        s = q[:, h] @ k[:, g].T / math.sqrt(d)
        if slopes is not None:
            s = s + slopes[h] * pos[None, :]
        hidden = np.zeros((n, n), bool)
        if causal:
            hidden |= pos[None, :] > pos[:, None]
        if window:
            hidden |= pos[None, :] <= pos[:, None] - window
        s = np.where(hidden, -np.inf, s)
        p = np.exp(s - s.max(-1, keepdims=True))
        out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, g]
    return out.reshape(n, heads * d)


def nlls(z, tokens):
    top = z.max(-1, keepdims=True)
    lse = (top + np.log(np.exp(z - top).sum(-1, keepdims=True)))[:, 0]
    return [lse[i] - z[i, tokens[i + 1]] for i in range(len(tokens) - 1)]


# ---- the Llama family ------------------------------------------------------------------------


def frequencies(config, dim):
    freq = config.get("rope_theta", 10000.0) ** (-np.arange(0, dim, 2) / dim)
    s = config.get("rope_scaling")
    if s is None:
        return freq
    if s["rope_type"] == "linear":
        return freq / s["factor"]
    out = []
    for f in freq:
        wave = 2 * math.pi / f
        if wave < s["original_max_position_embeddings"] / s["high_freq_factor"]:
            out.append(f)
        elif wave > s["original_max_position_embeddings"] / s["low_freq_factor"]:
            out.append(f / s["factor"])
        else:
            t = (s["original_max_position_embeddings"] / wave - s["low_freq_factor"]) / (
                s["high_freq_factor"] - s["low_freq_factor"])
            out.append((1 - t) * f / s["factor"] + t * f)
    return np.array(out)


def llama(m, c, prefix, tokens):
    d, heads, kv = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    dim, ffn = c.get("head_dim") or d // heads, c["intermediate_size"]
    qkv = c["model_type"] == "qwen2" or c.get("attention_bias", False)
    o, mlp = c.get("attention_bias", False), c.get("mlp_bias", False)
    embed = m.tensor(prefix + "embed_tokens.weight", (VOCAB, d), 0.0, 1.0)
    x, n, freq = embed[tokens], len(tokens), frequencies(c, dim)
    for i in range(c["num_hidden_layers"]):
        at = "%slayers.%d." % (prefix, i)
        q = m.linear(at + "self_attn.q_proj", heads * dim, d, qkv)
        k = m.linear(at + "self_attn.k_proj", kv * dim, d, qkv)
        v = m.linear(at + "self_attn.v_proj", kv * dim, d, qkv)
        out = m.linear(at + "self_attn.o_proj", d, heads * dim, o)
        n1 = m.norm(at + "input_layernorm", d, False)
        n2 = m.norm(at + "post_attention_layernorm", d, False)
        gate = m.linear(at + "mlp.gate_proj", ffn, d, mlp)
        up = m.linear(at + "mlp.up_proj", ffn, d, mlp)
        down = m.linear(at + "mlp.down_proj", d, ffn, mlp)
        y = normed(n1, x, c["rms_norm_eps"])
        a = attend(rotate(apply(q, y).reshape(n, heads, dim), freq),
                   rotate(apply(k, y).reshape(n, kv, dim), freq), apply(v, y).reshape(n, kv, dim),
                   window=c.get("sliding_window") if c["model_type"] == "mistral" else None)
        x = x + apply(out, a)
        y = normed(n2, x, c["rms_norm_eps"])
        x = x + apply(down, silu(apply(gate, y)) * apply(up, y))
    x = normed(m.norm(prefix + "norm", d, False), x, c["rms_norm_eps"])
    if c.get("tie_word_embeddings"):
        return x @ embed.T
    return apply(m.linear("lm_head", VOCAB, d, False), x)


# ---- OPT, GPT-2, BLOOM -----------------------------------------------------------------------


def opt(m, c, prefix, tokens):
    d, heads, ffn = c["hidden_size"], c["num_attention_heads"], c["ffn_dim"]
    e, first, n = c["word_embed_proj_dim"], c["do_layer_norm_before"], len(tokens)
    embed = m.tensor(prefix + "embed_tokens.weight", (VOCAB, e), 0.0, 1.0)
    table = m.tensor(prefix + "embed_positions.weight", (N_CTX + 2, d), 0.0, 0.5)
    x = embed[tokens]
    if e != d:
        x = apply(m.linear(prefix + "project_in", d, e, False), x)
    x = x + table[2:2 + n]
    for i in range(c["num_hidden_layers"]):
        at = "%slayers.%d." % (prefix, i)
        q, k, v, out = (m.linear(at + "self_attn." + p, d, d, True)
                        for p in ("q_proj", "k_proj", "v_proj", "out_proj"))
        n1 = m.norm(at + "self_attn_layer_norm", d, True)
        n2 = m.norm(at + "final_layer_norm", d, True)
        fc1, fc2 = m.linear(at + "fc1", ffn, d, True), m.linear(at + "fc2", d, ffn, True)
        y = normed(n1, x, 1e-5) if first else x
        x = x + apply(out, attend(*(apply(w, y).reshape(n, heads, d // heads)
                                    for w in (q, k, v))))
        x = x if first else normed(n1, x, 1e-5)
        y = normed(n2, x, 1e-5) if first else x
        x = x + apply(fc2, np.maximum(apply(fc1, y), 0.0))
        x = x if first else normed(n2, x, 1e-5)
    if first:
        x = normed(m.norm(prefix + "final_layer_norm", d, True), x, 1e-5)
    if e != d:
        x = apply(m.linear(prefix + "project_out", e, d, False), x)
    return x @ embed.T


def gpt2(m, c, prefix, tokens):
    d, heads, n = c["n_embd"], c["n_head"], len(tokens)
    embed = m.tensor(prefix + "wte.weight", (VOCAB, d), 0.0, 1.0)
    table = m.tensor(prefix + "wpe.weight", (N_CTX, d), 0.0, 0.5)
    x, eps = embed[tokens] + table[:n], c["layer_norm_epsilon"]
    for i in range(c["n_layer"]):
        at = "%sh.%d." % (prefix, i)
        m.tensor(at + "attn.bias", (1, 1, N_CTX, N_CTX))  # a mask in old files, no weight
        m.tensor(at + "attn.masked_bias", (1,))
        n1 = m.norm(at + "ln_1", d, True)
        qkv = m.linear(at + "attn.c_attn", 3 * d, d, True, turned=True)
        out = m.linear(at + "attn.c_proj", d, d, True, turned=True)
        n2 = m.norm(at + "ln_2", d, True)
        up = m.linear(at + "mlp.c_fc", 4 * d, d, True, turned=True)
        down = m.linear(at + "mlp.c_proj", d, 4 * d, True, turned=True)
        parts = np.split(apply(qkv, normed(n1, x, eps)), 3, -1)
        x = x + apply(out, attend(*(p.reshape(n, heads, d // heads) for p in parts)))
        x = x + apply(down, gelu_tanh(apply(up, normed(n2, x, eps))))
    return normed(m.norm(prefix + "ln_f", d, True), x, eps) @ embed.T


def slopes(heads):
    """The authors' get_slopes: powers of a ratio, filled up from twice as many heads."""
    def of_power(n):
        start = 2.0 ** (-2.0 ** -(math.log2(n) - 3))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return of_power(heads)
    near = 2 ** math.floor(math.log2(heads))
    return of_power(near) + slopes(2 * near)[0::2][:heads - near]


def bloom(m, c, prefix, tokens):
    d, heads, n = c["hidden_size"], c["n_head"], len(tokens)
    dim, eps = d // heads, c["layer_norm_epsilon"]
    embed = m.tensor(prefix + "word_embeddings.weight", (VOCAB, d), 0.0, 1.0)
    x = normed(m.norm(prefix + "word_embeddings_layernorm", d, True), embed[tokens], eps)
    for i in range(c["n_layer"]):
        at = "%sh.%d." % (prefix, i)
        n1 = m.norm(at + "input_layernorm", d, True)
        qkv = m.linear(at + "self_attention.query_key_value", 3 * d, d, True)
        out = m.linear(at + "self_attention.dense", d, d, True)
        n2 = m.norm(at + "post_attention_layernorm", d, True)
        up = m.linear(at + "mlp.dense_h_to_4h", 4 * d, d, True)
        down = m.linear(at + "mlp.dense_4h_to_h", d, 4 * d, True)
        f = apply(qkv, normed(n1, x, eps)).reshape(n, heads, 3, dim)
        x = x + apply(out, attend(f[:, :, 0], f[:, :, 1], f[:, :, 2], slopes=slopes(heads)))
        x = x + apply(down, gelu_tanh(apply(up, normed(n2, x, eps))))
    return normed(m.norm(prefix + "ln_f", d, True), x, eps) @ embed.T


# ---- ViT -------------------------------------------------------------------------------------


def vit(m, c, prefix, _):
    d, heads, ffn = c["hidden_size"], c["num_attention_heads"], c["intermediate_size"]
    side, p, eps = c["image_size"], c["patch_size"], c["layer_norm_eps"]
    across = side // p
    n = across * across + 1
    at = prefix + "embeddings."
    cls = m.tensor(at + "cls_token", (1, 1, d), 0.0, 1.0)
    table = m.tensor(at + "position_embeddings", (1, n, d), 0.0, 0.5)
    conv = m.tensor(at + "patch_embeddings.projection.weight", (d, 3, p, p))
    bias = m.tensor(at + "patch_embeddings.projection.bias", (d,))
    image = m.tensor("image", (3, side, side), 0.0, 1.0)
    rows = [cls[0, 0]]
    for y in range(across):
        for x in range(across):
            cut = image[:, y * p:(y + 1) * p, x * p:(x + 1) * p]
            rows.append(np.array([np.sum(conv[o] * cut) for o in range(d)]) + bias)
    h = np.stack(rows) + table[0]
    for i in range(c["num_hidden_layers"]):
        at = "%sencoder.layer.%d." % (prefix, i)
        q, k, v = (m.linear(at + "attention.attention." + w, d, d, True)
                   for w in ("query", "key", "value"))
        out = m.linear(at + "attention.output.dense", d, d, True)
        up = m.linear(at + "intermediate.dense", ffn, d, True)
        down = m.linear(at + "output.dense", d, ffn, True)
        n1 = m.norm(at + "layernorm_before", d, True)
        n2 = m.norm(at + "layernorm_after", d, True)
        y = normed(n1, h, eps)
        h = h + apply(out, attend(*(apply(w, y).reshape(n, heads, d // heads)
                                    for w in (q, k, v)), causal=False))
        h = h + apply(down, gelu_erf(apply(up, normed(n2, h, eps))))
    h = normed(m.norm(prefix + "layernorm", d, True), h, eps)
    return apply(m.linear("classifier", len(c["id2label"]), d, True), h[0])


# ---- the models ------------------------------------------------------------------------------

LLAMA = dict(BASE, model_type="llama", hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, intermediate_size=48, max_position_embeddings=N_CTX,
             rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=False)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
OPT = dict(BASE, model_type="opt", hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
           ffn_dim=64, max_position_embeddings=N_CTX, word_embed_proj_dim=32,
           do_layer_norm_before=True, activation_function="relu")
MODELS = [
    ("llama", llama, "model.", LLAMA),
    ("llama3", llama, "model.", dict(LLAMA, rope_theta=500.0, rope_scaling=LLAMA3,
                                     tie_word_embeddings=True, attention_bias=True)),
    ("llama-linear", llama, "", dict(LLAMA, attention_bias=True, mlp_bias=True,
                                     rope_scaling={"rope_type": "linear", "factor": 4.0})),
    ("mistral", llama, "model.", dict(LLAMA, model_type="mistral", hidden_size=24, head_dim=8,
                                      sliding_window=6)),
    ("qwen2", llama, "model.", dict(LLAMA, model_type="qwen2", rope_theta=1e6,
                                    tie_word_embeddings=True, use_sliding_window=False,
                                    sliding_window=4)),
    ("opt", opt, "model.decoder.", OPT),
    ("opt-350m", opt, "decoder.", dict(OPT, word_embed_proj_dim=16, do_layer_norm_before=False)),
    ("gpt2", gpt2, "", dict(BASE, model_type="gpt2", n_embd=32, n_layer=3, n_head=4,
                            n_positions=N_CTX, layer_norm_epsilon=1e-5,
                            activation_function="gelu_new")),
    ("bloom", bloom, "transformer.", dict(BASE, model_type="bloom", hidden_size=48, n_layer=3,
                                          n_head=6, seq_length=N_CTX, layer_norm_epsilon=1e-5)),
    ("vit", vit, "vit.", {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 3,
                          "num_attention_heads": 4, "intermediate_size": 64, "image_size": 12,
                          "patch_size": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                          "id2label": {str(i): str(i) for i in range(10)}}),
]


def vectors():
    """Lines: model NAME SEED CONFIG; tensor NAME SHAPE OFFSET SCALE ...; tokens ...; values ..."""
    lines = []
    for at, (name, forward, prefix, config) in enumerate(MODELS):
        m, stream = Maker(300 + at), Maker(900 + at)
        tokens = [stream.step() % VOCAB for _ in range(N_TOKEN)]
        z = forward(m, config, prefix, tokens)
        lines.append("model\t%s\t%d\t%s" % (name, m.seed, json.dumps(config)))
        lines += m.lines
        if name != "vit":
            lines.append("tokens\t" + " ".join(str(t) for t in tokens))
        values = z if name == "vit" else nlls(z, tokens)
        lines.append("values\t" + " ".join("%.7f" % v for v in values))
    return lines


def same(have, want):
    """Equal, but for the last digits of values, which depend on numpy's BLAS."""
    if not want.startswith("values"):
        return have == want
    a, b = ([float(v) for v in line.split("\t")[1].split()] for line in (have, want))
    return len(a) == len(b) and max(abs(x - y) for x, y in zip(a, b)) < 1e-6


def main():
    path = os.path.join(HERE, "arch_vectors.tsv")
    lines = vectors()
    if "--check" in sys.argv[1:]:
        with open(path, encoding="ascii") as f:
            have = f.read().splitlines()
        good = len(have) == len(lines) and all(map(same, have, lines))
        print("arch_vectors.py: %s" % ("as committed" if good else "the vectors differ"))
        return 0 if good else 1
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
