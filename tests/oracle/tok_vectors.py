#!/usr/bin/env python3
"""Small tokenizers in every form that is read, and what they make of texts, by the standard library.

usage: tok_vectors.py            write tok/ and tok_vectors.tsv
       tok_vectors.py --check    exit 1 if a committed file differs from what would be written

tok_reference.py does the work. A line of tok_vectors.tsv: file or folder below tok/, id of BOS and of
EOS, text, ids, text of the ids; texts in hex, "=" for the same text.
"""
import json
import os
import struct
import sys

sys.dont_write_bytecode = True  # no __pycache__ among the tests
from tok_reference import (MARK, TO_CHAR, Pieces, Tokenizer, bloom, isolate, modern, numbers,
                           punctuation, run, three, train, words, words_to_the_end)

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = ("the cat sat on the mat and then the other cat sat there too; it's what they'll do, "
          "they've done 1234 times in 2026 and we're sure that I'm right about that "
          "hello world Hello World the theatre weather whether together 100 200 300 "
          "caf\u00e9 na\u00efve \u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 "
          "\u4e16\u754c \u4e16\u754c    spaced    out\n\nlines\n\nlines\n\n") * 3
TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", " \n", "\n ", "a", " a", "  a", "a ", "a  b",
    "Hello world", " Hello World!", "the cat sat on the mat", "they'll they've we're I'm it's he'd",
    "THEY'LL IT'S we'Re x'\u017f", "'s", "'", "''", "don't", "1", "12", "123", "1234", "1234567",
    "a1b22c333", "x\n\n\ny", "x \n \n y", "x\r\ny\r\n\r\n", "end.\n\nNext", "!!!", "?!...\n", "(a|b) [c], d.",
    "caf\u00e9", "cafe\u0301", "\u1e9b\u0323", "a\u0315\u0300\u05ae\u0300\u0062", "\u0958", "\u212b\u2126",
    "\u1100\u1161\u11a8", "\uac01\u11a8", "\ufb01\u00bd", "\u043f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u4e16\u754c\u4e16\u754c\u3002\u4e16", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\U0001f680 (x) \U0001f636\u200d\U0001f32b\ufe0f",
    "a\u00a0b\u3000c\u2003 d", "a\u180eb \u180e c", "a\u0085b\u2028c", "\u0660\u0661\u0662\u00b2\u2167",
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>", "<|endof", "</s>",
    "x</s>y <pad>", "<s>", "x <tool> y", "x  <tool>  y", "<tool>", "mask", "a mask b", "unmask masked mask's",
    "mask_ \u00e9mask", "<|a|><|ab|><|abc", "zzz qqq", MARK, "a" + MARK + "b" + MARK + MARK, "$5+3=8^~|<>",
    "wor", "world" * 5, "    spaced    out    ", "the" * 9, "\u0000", "a\u0000b", "\u0001\u007f\u00ad\u00ff",
]


# ---- the tokenizers ---------------------------------------------------------------------------


def byte_vocab(merges, first=()):
    texts = list(first) + [TO_CHAR[b] for b in range(256)] + [a + b for a, b in merges]
    return {t: i for i, t in enumerate(texts)}


def byte_words(scan):
    return [[TO_CHAR[b] for b in w.encode()] for w in isolate(CORPUS, scan)]


def token(i, content, **more):
    return dict({"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": False}, **more)


def tokenizer_json(t, pre, model=None, normalizer=None, post=None, decoder=None, pairs=False):
    merges = [list(m) if pairs else " ".join(m) for m in t.merges]
    body = {"type": "BPE", "dropout": None, "unk_token": t.unk, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": not t.byte_level,
            "ignore_merges": t.ignore_merges, "vocab": t.vocab, "merges": merges}
    body.update(model or {})
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": t.added,
            "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post,
            "decoder": decoder or {"type": "ByteLevel"}, "model": body}
    return json.dumps(root, ensure_ascii=False, indent=0).encode()


def split_then_bytes(regex):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}


def template(name, i):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}}}


MODERN = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
          "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def merges_txt(merges):
    return ("#version: 0.2\n" + "".join("%s %s\n" % m for m in merges)).encode()


def gguf(pairs):
    """A GGUF file of version 3 without tensors."""
    def text(s):
        return struct.pack("<Q", len(s.encode())) + s.encode()

    def value(v):
        if isinstance(v, bool):
            return struct.pack("<IB", 7, v)
        if isinstance(v, int):
            return struct.pack("<II", 4, v)
        if isinstance(v, str):
            return struct.pack("<I", 8) + text(v)
        kind = 8 if isinstance(v[0], str) else 6 if isinstance(v[0], float) else 5
        items = [text(x) if kind == 8 else struct.pack("<f" if kind == 6 else "<i", x) for x in v]
        return struct.pack("<IIQ", 9, kind, len(v)) + b"".join(items)

    body = b"".join(text(k) + value(v) for k, v in pairs.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + body


def gguf_bytes(t, pre, **more):
    n = max(t.text_of) + 1
    texts = [t.text_of[i] for i in range(n)]
    added = {a["id"] for a in t.added}
    kinds = [3 if i in t.special else 4 if i in added else 1 for i in range(n)]
    keys = {"model": "gpt2", "pre": pre, "tokens": texts, "token_type": kinds,
            "merges": [" ".join(m) for m in t.merges]}
    keys.update(more)
    return gguf({"tokenizer.ggml." + k: v for k, v in keys.items()})


def gpt2_family(files, models):
    merges = train(byte_words(words_to_the_end), 64)
    vocab = byte_vocab(merges)
    end = len(vocab)
    vocab["<|endoftext|>"] = end
    scans, special = [words_to_the_end], [token(end, "<|endoftext|>", special=True)]
    t = Tokenizer(vocab, merges, scans, special, eos=end)
    files["gpt2/vocab.json"] = json.dumps(vocab).encode()
    files["gpt2/merges.txt"] = merges_txt(merges)
    models["gpt2"] = t
    bare = Tokenizer(vocab, merges, scans, special)
    files["gpt2-json/tokenizer.json"] = tokenizer_json(
        bare, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        post={"type": "ByteLevel", "trim_offsets": False}, pairs=True)
    models["gpt2-json"] = bare
    files["gpt2.gguf"] = gguf_bytes(t, "gpt-2", bos_token_id=end, eos_token_id=end)
    models["gpt2.gguf"] = t
    files["default.gguf"] = gguf_bytes(t, "default", bos_token_id=end, eos_token_id=end)
    models["default.gguf"] = Tokenizer(vocab, merges, [punctuation, words, numbers, three], special, eos=end)

    names = ["<s>", "<pad>", "</s>", "<unk>"]
    opt = byte_vocab(merges, names)
    files["opt/vocab.json"] = json.dumps(opt, ensure_ascii=False).encode()
    files["opt/merges.txt"] = merges_txt(merges)
    files["opt/tokenizer_config.json"] = json.dumps({
        "add_bos_token": True, "add_prefix_space": False, "pad_token": "<pad>",
        "bos_token": {"__type": "AddedToken", "content": "</s>", "normalized": True},
        "unk_token": "</s>"}).encode()
    files["opt/special_tokens_map.json"] = json.dumps({"eos_token": {"content": "</s>"}}).encode()
    models["opt"] = Tokenizer(opt, merges, scans, [token(2, "</s>", special=True), token(1, "<pad>", special=True)],
                              bos=2, eos=2)


def modern_family(files, models):
    merges = train(byte_words(modern(3)), 64)
    vocab = byte_vocab(merges)
    vocab["world"] = len(vocab)  # no merge makes it
    n = len(vocab)
    added = [token(n, "<|begin|>", special=True), token(n + 1, "<|endoftext|>", special=True),
             token(n + 2, "<tool>", lstrip=True, rstrip=True), token(n + 3, "mask", single_word=True),
             token(n + 4, "<|a|>"), token(n + 5, "<|ab|>"), token(n + 6, "</s>", lstrip=True, special=True)]
    t = Tokenizer(vocab, merges, [modern(3)], added, bos=n, eos=n + 1, ignore_merges=True)
    files["llama3/tokenizer.json"] = tokenizer_json(
        t, split_then_bytes(MODERN % "{1,3}"),
        post={"type": "Sequence", "processors": [{"type": "ByteLevel"}, template("<|begin|>", n)]})
    files["llama3/tokenizer_config.json"] = json.dumps({"eos_token": "<|endoftext|>"}).encode()
    models["llama3"] = t
    plain = [a for a in added if a["id"] not in (n + 2, n + 3, n + 6)] + [
        token(n + 2, "<tool>"), token(n + 3, "mask"), token(n + 6, "</s>", special=True)]
    g = Tokenizer(vocab, merges, [modern(3)], plain, bos=n, eos=n + 1, ignore_merges=True)
    files["llama3.gguf"] = gguf_bytes(g, "llama-bpe", bos_token_id=n, eos_token_id=n + 1)
    models["llama3.gguf"] = g

    del vocab["world"]
    end = len(vocab)
    special = [token(end, "<|endoftext|>", special=True)]
    for name, form in (("qwen2", "NFC"), ("nfkd", "NFKD"), ("nfd", "NFD"), ("nfkc", "NFKC")):
        q = Tokenizer(vocab, merges, [modern(1)], special, form=form)
        files[name + "/tokenizer.json"] = tokenizer_json(
            q, split_then_bytes(MODERN % ""), normalizer={"type": form}, post={"type": "ByteLevel"})
        models[name] = q
    q = Tokenizer(vocab, merges, [modern(1)], special, form="NFC", eos=end)
    files["qwen2.gguf"] = gguf_bytes(q, "qwen2", bos_token_id=end, eos_token_id=end, add_bos_token=False)
    models["qwen2.gguf"] = q
    b = Tokenizer(vocab, merges, [bloom], special)
    files["bloom/tokenizer.json"] = tokenizer_json(b, split_then_bytes(BLOOM), post={"type": "ByteLevel"})
    models["bloom"] = b


def char_family(files, models):
    text = MARK + CORPUS.replace(" ", MARK)
    known = [w for w in isolate(text, mark_word) if "\n" not in w and "\u4e16" not in w]
    merges = train([list(w) for w in known], 48)
    names = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    chars = sorted(set("".join(known))) + [a + b for a, b in merges]
    vocab = {t: i for i, t in enumerate(names + [c for c in chars])}
    added = [token(i, t, special=True) for i, t in enumerate(names[:3])]
    for name, prefix, normalizer, pre in (
            ("llama2", "prepend",
             {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK},
                                                  {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]},
             None),
            ("mistral", "first", None,
             {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": False})):
        t = Tokenizer(vocab, merges, (), added, byte_level=False, prefix=prefix, unk="<unk>", bos=1, eos=2)
        files[name + "/tokenizer.json"] = tokenizer_json(
            t, pre, model={"fuse_unk": True}, normalizer=normalizer, post=template("<s>", 1),
            decoder={"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
        files[name + "/tokenizer_config.json"] = json.dumps({"eos_token": {"content": "</s>"}}).encode()
        models[name] = t
    texts = sorted(vocab, key=vocab.get)
    scores = [0.0] * 259 + [-1000.0 - i for i in range(len(chars) - len(merges))] + [-float(i) for i in range(len(merges))]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(chars)
    files["spm.gguf"] = gguf({"tokenizer.ggml." + k: v for k, v in {
        "model": "llama", "tokens": texts, "scores": scores, "token_type": kinds, "bos_token_id": 1,
        "eos_token_id": 2, "unknown_token_id": 0}.items()})
    models["spm.gguf"] = Pieces(vocab, scores)


def mark_word(text, i):
    return run(text, i + 1, lambda c: c != MARK)


def build():
    files, models = {}, {}
    gpt2_family(files, models)
    modern_family(files, models)
    char_family(files, models)
    lines = []
    for name, t in models.items():
        for text in TEXTS:
            ids = t.encode(text)
            back = t.decode(ids)
            lines.append("\t".join([name, str(t.bos), str(t.eos), text.encode().hex() or "-",
                                    " ".join(map(str, ids)) or "-",
                                    "=" if back == text.encode() else back.hex() or "-"]))
    files = {os.path.join("tok", k): v for k, v in files.items()}
    files["tok_vectors.tsv"] = ("\n".join(lines) + "\n").encode()
    return files


def main():
    same = True
    for name, data in build().items():
        path = os.path.join(HERE, name)
        if "--check" in sys.argv[1:]:
            with open(path, "rb") as f:
                if f.read() != data:
                    print("tok_vectors.py: %s differs" % name)
                    same = False
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    if "--check" in sys.argv[1:]:
        print("tok_vectors.py: %s" % ("as committed" if same else "see above"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
