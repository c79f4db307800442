#!/usr/bin/env python3
"""GGUF files for llama_peer and radial, written with numpy.

usage: peer_models.py small DIR    the models of tests/oracle/gguf_vectors.py, and their tokens
       peer_models.py shapes DIR   random weights in the shapes of GPT-2-small and stories15M

llama.cpp wants a vocabulary: these have tokenizer "none", as many ids as rows.
"""
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import arch_vectors as arch  # noqa: E402
import gguf_vectors as gguf  # noqa: E402


def add_vocabulary(m, n):
    p = m.keys[0][2]
    m.keys += [(p + ".vocab_size", "u32", n), ("tokenizer.ggml.model", "string", "none")]


def small(folder):
    for m, _, _, _ in gguf.MODELS:
        m.versions = dict(m.versions, F32=3)
    for at, (m, _, _, _) in enumerate(gguf.MODELS):
        add_vocabulary(m, gguf.VOCAB)
        stream = arch.Maker(700 + at)
        tokens = [stream.step() % gguf.VOCAB for _ in range(gguf.N_TOKEN)]
        with open(os.path.join(folder, m.name + ".tokens"), "w", encoding="ascii") as f:
            f.write(" ".join(map(str, tokens)) + "\n")
        for kind in m.versions:  # version 3 for all: llama.cpp reads those
            data = m.make(kind)[0]
            with open(os.path.join(folder, "%s-%s.gguf" % (m.name, kind)), "wb") as f:
                f.write(data[:4] + struct.pack("<I", 3) + data[8:])


class Shape(gguf.Model):
    """A model whose matrices are random: written one by one, they may be large."""

    @staticmethod
    def values(n, offset, scale, kind, rng):
        if kind in ("Q8_0", "Q4_0"):
            width = 32 if kind == "Q8_0" else 16
            raw = rng.integers(0, 256, (n // 32, width + 2), dtype=np.uint8)
            d = np.full(n // 32, scale / (64 if kind == "Q8_0" else 4), "<f2")
            raw[:, :2] = d.view(np.uint8).reshape(-1, 2)
            return raw.tobytes()
        x = offset + scale * rng.standard_normal(n, dtype=np.float32)
        if kind == "BF16":
            return (x.view("<u4") >> 16).astype("<u2").tobytes()
        return x.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()

    def write(self, path, kind):
        at, infos = 0, b""
        sizes = {"F32": 4, "F16": 2, "BF16": 2, "Q8_0": 34 / 32, "Q4_0": 18 / 32}
        for name, shape, what, _, _ in self.tensors:
            use = kind if what == "matrix" else "F32"
            at += -at % 32
            infos += gguf.text(name) + struct.pack("<I", len(shape))
            infos += b"".join(struct.pack("<Q", s) for s in reversed(shape))
            infos += struct.pack("<IQ", gguf.NUMBERS[use], at)
            at += int(int(np.prod(shape)) * sizes[use])
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys))
        head += b"".join(gguf.pair(*k) for k in self.keys) + infos
        rng = np.random.default_rng(self.seed)
        with open(path, "wb") as f:
            f.write(head + b"\0" * (-len(head) % 32))
            for name, shape, what, offset, scale in self.tensors:
                f.write(b"\0" * (-f.tell() % 32))
                use = kind if what == "matrix" else "F32"
                f.write(self.values(int(np.prod(shape)), offset, scale / 10, use, rng))


def shapes(folder):
    gguf.Model = Shape
    gguf.VOCAB, gguf.N_CTX = 50257, 1024
    gpt2, _, _, _ = gguf.gpt2_model("gpt2-small", 1, {
        "n_embd": 768, "n_layer": 12, "n_head": 12, "layer_norm_epsilon": 1e-5})
    gguf.VOCAB, gguf.N_CTX = 32000, 512
    stories, _, _, _ = gguf.llama_model("stories15M", 2, {
        "hidden_size": 288, "num_attention_heads": 6, "num_key_value_heads": 6,
        "intermediate_size": 768, "num_hidden_layers": 6, "rms_norm_eps": 1e-5,
        "model_type": "llama", "tie_word_embeddings": True}, "llama")
    for m, n, kinds in ((gpt2, 50257, ("F32", "BF16", "Q8_0", "Q4_0")), (stories, 32000, ("F32",))):
        add_vocabulary(m, n)
        for kind in kinds:
            m.write(os.path.join(folder, "%s-%s.gguf" % (m.name, kind)), kind)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("small", "shapes"):
        sys.exit(__doc__)
    {"small": small, "shapes": shapes}[sys.argv[1]](sys.argv[2])
