#!/usr/bin/env bash
# quality.sh TEXT... - the table of docs/training.md: held-out NLL and FLOP by policy and depth.
# The last tenth of every text is evaluated (never trained on). MODELS: where dense-tiny,
# radial-tiny and, after `CONTROLS=1 make train`, control-uls, control-skip, control-half are. Below
# the table: differences at half the layers, with the standard error over the 256-byte windows.
set -euo pipefail
radial=${RADIAL:-./radial}
models=${MODELS:-models}
texts=()
for t in "$@"; do texts+=(--text "$t"); done
[ ${#texts[@]} -gt 0 ] || { echo "usage: quality.sh TEXT..." >&2; exit 2; }

echo "| network | policy | depth share | NLL, nats/byte | FLOP share |"
echo "|---|---|---|---|---|"
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
row() { # NETWORK POLICY
    [ -d "$models/$1" ] || return 0
    "$radial" eval "$models/$1" "${texts[@]}" --tail 0.1 --policy "$2" --format json --progress none \
        --per-token "$tmp/$1 $2.csv" |
        python3 -c '
import json, sys
r = json.load(sys.stdin)
name, policy = sys.argv[1:3]
print("| %s | %s | %.3f | %.4f | %.3f |" % (name, policy, r["depth_frac"], r["nll"], r["flop_frac"]))' "$1" "$2"
}
row dense-tiny dense
for b in 0.25 0.5 0.75 1; do row radial-tiny radial:budget=$b; done
for s in 0.75 0.5 0.25; do row dense-tiny skip:frac=$s; done
for s in 4 2 1.3333; do row dense-tiny "uls:speedup=$s,phase=all"; done
row control-skip skip:frac=0.5
row control-uls "uls:speedup=2,phase=all"
row control-half dense

echo
python3 - "$tmp" <<'PYTHON'
import collections, csv, math, os, sys

def windows(name):
    sums = collections.defaultdict(lambda: [0.0, 0])
    with open(os.path.join(sys.argv[1], name + ".csv")) as f:
        for row in csv.DictReader(f):
            if row["nll"] not in ("", "nan"):
                sums[row["seq"]][0] += float(row["nll"])
                sums[row["seq"]][1] += 1
    return sums

ours = "radial-tiny radial:budget=0.5"
a = windows(ours)
n = sum(count for _, count in a.values())
for name in "control-skip skip:frac=0.5", "control-uls uls:speedup=2,phase=all", "control-half dense":
    if os.path.exists(os.path.join(sys.argv[1], name + ".csv")):
        b = windows(name)
        mean = sum(a[s][0] - b[s][0] for s in a) / n
        var = sum((a[s][0] - b[s][0] - mean * a[s][1]) ** 2 for s in a) / n ** 2
        print(f"{ours} minus {name}: {mean:+.4f} nats/byte, standard error {math.sqrt(var):.4f}")
PYTHON
