"""Byte-pair encoding in every variant that is read, by the definitions: for tok_vectors.py.

Words are cut by hand-written scanners, pieces are merged by looking for the best pair again and
again, normal forms are those of unicodedata: nothing here is derived from the C code.
"""
import unicodedata

MARK = "\u2581"
SPACE = set(map(chr, list(range(9, 14)) + [0x20, 0x85, 0xA0, 0x1680] + list(range(0x2000, 0x200B))
                + [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]))


def letter(c):
    return unicodedata.category(c)[0] == "L"


def number(c):
    return unicodedata.category(c)[0] == "N"


def other(c):
    return not (letter(c) or number(c) or c in SPACE)


def run(text, i, test):
    while i < len(text) and test(text[i]):
        i += 1
    return i


# ---- scanners: where the word that begins at i ends, or None ----------------------------------


def spaces_before_last(text, i):
    """White space, but for the last one if a word follows."""
    j = run(text, i, lambda c: c in SPACE)
    if j < len(text):
        j -= 1
    return j if j > i else None


def words(text, i):
    if text[i] == "'":
        for tail in ("s", "d", "m", "t", "ll", "ve", "re"):
            if text.startswith(tail, i + 1):
                return i + 1 + len(tail)
    start = i + 1 if text[i] == " " else i
    for test in (letter, number, other):
        j = run(text, start, test)
        if j > start:
            return j
    return spaces_before_last(text, i)


def words_to_the_end(text, i):
    end = words(text, i)
    return end or (run(text, i, lambda c: c in SPACE) if text[i] in SPACE else None)


def modern(digits):
    def scan(text, i):
        c, low = text[i], text[i + 1:i + 3].lower().replace("\u017f", "s")
        if c == "'":
            for tail in ("s", "t", "re", "ve", "m", "ll", "d"):
                if low.startswith(tail):
                    return i + 1 + len(tail)
        start = i + 1 if not (c in "\r\n" or letter(c) or number(c)) else i
        j = run(text, start, letter)
        if j > start:
            return j
        if number(c):
            return min(run(text, i, number), i + digits)
        start = i + 1 if c == " " else i
        j = run(text, start, other)
        if j > start:
            return run(text, j, lambda d: d in "\r\n")
        j = run(text, i, lambda d: d in SPACE)
        newline = max(text.rfind("\n", i, j), text.rfind("\r", i, j))
        if newline >= 0:
            return newline + 1
        return spaces_before_last(text, i) or (j if j > i else None)
    return scan


def bloom(text, i):
    stop = set("(|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)")
    start = i + 1 if text[i] == " " else i
    j = run(text, start, lambda c: c not in stop and c not in SPACE)
    return j if j > start else None


def punctuation(text, i):
    return run(text, i, lambda c: unicodedata.category(c)[0] == "P" or c in "$+<=>^~|") or None


def numbers(text, i):
    return run(text, i, number) or None


def three(text, i):
    return i + 3 if len(text[i:i + 3]) == 3 and all(c in "0123456789" for c in text[i:i + 3]) else None


def isolate(text, scan):
    """Matches, and what is between them."""
    out, gap, i = [], 0, 0
    while i < len(text):
        end = scan(text, i)
        if end is None or end <= i:
            i += 1
            continue
        if i > gap:
            out.append(text[gap:i])
        out.append(text[i:end])
        gap = i = end
    return out + [text[gap:]] if gap < len(text) else out


# ---- merging ----------------------------------------------------------------------------------


def alphabet():
    table, extra = {}, 256
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174:
            table[b] = chr(b)
        else:
            table[b] = chr(extra)
            extra += 1
    return table


TO_CHAR = alphabet()
TO_BYTE = {c: b for b, c in TO_CHAR.items()}


def merge(symbols, rank):
    """Join the best pair, the first of equals, until none is left; rank: of a pair or None."""
    symbols = list(symbols)
    while True:
        best = None
        for i in range(len(symbols) - 1):
            r = rank(symbols[i], symbols[i + 1])
            if r is not None and (best is None or r < best[0]):
                best = (r, i)
        if best is None:
            return symbols
        symbols[best[1]:best[1] + 2] = [symbols[best[1]] + symbols[best[1] + 1]]


def train(word_lists, n):
    merges = []
    for _ in range(n):
        count = {}
        for word in word_lists:
            for pair in zip(word, word[1:]):
                count[pair] = count.get(pair, 0) + 1
        best = max(sorted(count), key=lambda p: count[p])
        merges.append(best)
        word_lists = [join_all(word, best) for word in word_lists]
    return merges


def join_all(word, pair):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


class Tokenizer:
    """What all share: added tokens, steps, merges."""

    def __init__(self, vocab, merges, scans=(), added=(), byte_level=True, form=None, bos=-1, eos=-1,
                 ignore_merges=False, prefix=None, unk=None):
        self.vocab, self.scans, self.added, self.byte_level = dict(vocab), scans, list(added), byte_level
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.merges, self.form, self.bos, self.eos = merges, form, bos, eos
        self.ignore_merges, self.prefix, self.unk = ignore_merges, prefix, unk
        self.text_of = {i: t for t, i in self.vocab.items()}
        self.special = {a["id"] for a in self.added if a.get("special")}
        for a in self.added:
            self.text_of[a["id"]] = a["content"]

    def find_added(self, text):
        """Leftmost, longest: parts of text, and ids."""
        out, start, i = [], 0, 0
        while i < len(text):
            fits = [a for a in self.added if text.startswith(a["content"], i)]
            if not fits:
                i += 1
                continue
            a = max(fits, key=lambda b: len(b["content"]))
            begin, end = i, i + len(a["content"])
            word = lambda c: unicodedata.category(c)[0] in "LM" or unicodedata.category(c) in ("Nd", "Pc")
            i = end
            if a.get("single_word") and ((begin and word(text[begin - 1])) or (end < len(text) and word(text[end]))):
                continue
            while a.get("lstrip") and begin > start and text[begin - 1] in SPACE:
                begin -= 1
            while a.get("rstrip") and end < len(text) and text[end] in SPACE:
                end += 1
            if begin > start:
                out.append((start, text[start:begin]))
            out.append((begin, a["id"]))
            start = i = end
        return out + [(start, text[start:])] if start < len(text) else out

    def word(self, word):
        symbols = [TO_CHAR[b] for b in word.encode()] if self.byte_level else list(word)
        whole = "".join(symbols)
        if self.ignore_merges and whole in self.vocab:
            return [self.vocab[whole]]
        if not self.byte_level:
            symbols = [s for c in symbols for s in ([c] if c in self.vocab else self.fallback(c))]
        return [self.vocab[s] for s in merge(symbols, lambda a, b: self.ranks.get((a, b)))]

    def fallback(self, c):
        pieces = ["<0x%02X>" % b for b in c.encode()]
        return pieces if all(p in self.vocab for p in pieces) else [self.unk]

    def encode(self, text):
        ids = []
        for at, part in self.find_added(text):
            if isinstance(part, int):
                ids.append(part)
                continue
            if self.form:
                part = unicodedata.normalize(self.form, part)
            if self.prefix:
                part = part.replace(" ", MARK)
                if self.prefix == "prepend" or (at == 0 and not part.startswith(MARK)):
                    part = MARK + part
            parts = [part]
            for scan in self.scans:
                parts = [q for p in parts for q in isolate(p, scan)]
            ids += [i for p in parts if p for i in self.word(p)]
        return ids

    def decode(self, ids):
        out = b""
        for i in ids:
            text = self.text_of[i]
            if i in self.special:
                continue
            if any(a["id"] == i for a in self.added):
                out += text.encode()
            elif self.byte_level:
                out += bytes(TO_BYTE[c] for c in text)
            elif len(text) == 6 and text.startswith("<0x"):
                out += bytes([int(text[3:5], 16)])
            else:
                out += text.replace(MARK, " ").encode()
        return out[1:] if self.prefix and ids and self.text_of[ids[0]].startswith(MARK) else out


class Pieces:
    """Sentencepiece: the pair whose joined text is the piece of the best score."""
    bos, eos = 1, 2

    def __init__(self, vocab, scores):
        self.vocab, self.scores = vocab, scores
        self.text_of = {i: t for t, i in vocab.items()}

    def encode(self, text):
        if not text:
            return []
        score = lambda a, b: -self.scores[self.vocab[a + b]] if a + b in self.vocab and a + b not in (
            "<s>", "</s>", "<unk>") and not (a + b).startswith("<0x") else None
        ids = []
        for s in merge(MARK + text.replace(" ", MARK), score):
            ids += [self.vocab[s]] if s in self.vocab else [3 + b for b in s.encode()]
        return ids

    def decode(self, ids):
        out = b"".join(bytes([i - 3]) if 3 <= i < 259 else self.text_of[i].replace(MARK, " ").encode() for i in ids)
        return out[1:] if ids and self.text_of[ids[0]].startswith(MARK) else out
