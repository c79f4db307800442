#!/usr/bin/env python3
"""Second reader of trace files, written from docs/trace-format.md with the standard library only.

usage: read_trace.py FILE        print every field, one line per row and per hop
       read_trace.py FILE --sql  the same hops from the view `visit` instead of the blobs

Floats are printed as the hexadecimal digits of their bits, so that nothing is lost in print.
tests/unit/test_trace.c prints the same lines from the C reader and compares them.
"""
import json
import math
import sqlite3
import struct
import sys

APPLICATION_ID, VERSION = 0x52414454, 1
TEXTS = ("policy", "source", "model_hash", "text_hash", "engine", "host", "parent", "kv")


def real(x):
    """Bits of a double; NULL stands for NaN."""
    return "nan" if x is None or math.isnan(x) else struct.pack(">d", x).hex()


def single(x):
    """Bits of a float32."""
    return "nan" if x is None or math.isnan(x) else struct.pack(">f", x).hex()


def hops_of_blob(path):
    for layer, flags, n_keys in struct.iter_unpack("<HHI", path):
        yield layer, flags, n_keys


def hops_of_view(db, seq, pos):
    rows = db.execute("SELECT layer, attn + 2 * mlp + 4 * project + 8 * copy, n_keys FROM visit"
                      " WHERE seq = ? AND pos = ? ORDER BY hop", (seq, pos))
    return rows.fetchall()


def dump_run(db, out):
    run = db.execute("SELECT * FROM run WHERE id = 1").fetchone()
    card = json.loads(run["card"])
    out("card %s n_layer=%d d_model=%d" % (run["card_name"], run["n_layer"], card["d_model"]))
    for name in TEXTS:
        out("%s %s" % (name, run[name]))
    out("forward_only=%d has_router=%d seed=%d complete=%d nll=%s"
        % (run["forward_only"], run["has_router"], run["seed"] % 2**64, run["complete"],
           real(run["nll"])))


def dump_timing(db, out):
    for phase in ("prefill", "decode"):
        rows = db.execute("SELECT elapsed_s FROM timing WHERE phase = ? ORDER BY seq", (phase,))
        total = None
        for (elapsed_s,) in rows:
            total = elapsed_s if total is None else total + elapsed_s
        out("timing %s %s" % (phase, real(total)))


def dump_tokens(db, out, from_view):
    visits = halves = tokens = 0
    for row in db.execute("SELECT * FROM token ORDER BY seq, pos").fetchall():
        tokens += 1
        out("token seq=%d pos=%d %s id=%d nll=%s"
            % (row["seq"], row["pos"], row["phase"],
               -1 if row["token"] is None else row["token"], single(row["nll"])))
        hops = hops_of_view(db, row["seq"], row["pos"]) if from_view else hops_of_blob(row["path"])
        for i, (layer, flags, n_keys) in enumerate(hops):
            stats = ""
            if row["stats"] is not None:
                stats = "".join(" " + single(x)
                                for x in struct.unpack_from("<7f", row["stats"], 28 * i))
            out("hop %d layer=%d flags=%d keys=%d%s" % (i, layer, flags, n_keys, stats))
            visits += 1 if flags & 3 else 0
            halves += (flags & 1) + (flags >> 1 & 1)
    out("sequences=%d tokens=%d hops=%d half_layers=%d"
        % (db.execute("SELECT count(*) FROM sequence").fetchone()[0], tokens, visits, halves))


def main(argv):
    if len(argv) not in (2, 3):
        sys.exit(__doc__)
    db = sqlite3.connect(argv[1])
    db.row_factory = sqlite3.Row
    found = (db.execute("PRAGMA application_id").fetchone()[0],
             db.execute("PRAGMA user_version").fetchone()[0])
    if found != (APPLICATION_ID, VERSION):
        sys.exit("%s: not a trace of version %d" % (argv[1], VERSION))
    lines = []
    dump_run(db, lines.append)
    dump_timing(db, lines.append)
    dump_tokens(db, lines.append, "--sql" in argv[2:])
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv)
