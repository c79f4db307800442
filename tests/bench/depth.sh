#!/usr/bin/env bash
# depth.sh TEXT... - does the residual ratio fall with depth? Trains networks of 4, 8, 16 and 32 layers
# of equal width into OUT=build/depth, unless they are there (3.1 M tokens each; together about 25
# minutes on one quiet thread), profiles them on the last PART=0.05 of PROFILE (the last text), and
# prints the table and draws the boxes of docs/experiments.md.
set -euo pipefail
radial=$(realpath "${RADIAL:-./radial}")
out=${OUT:-build/depth}
texts=()
for t in "$@"; do texts+=(--text "$t"); done
[ ${#texts[@]} -gt 0 ] || { echo "usage: depth.sh TEXT..." >&2; exit 2; }
mkdir -p "$out"
traces=()
echo "| layers | bytes | NLL | median ratio_in | p10 | p90 | median ratio_out | median cos(in, out) | mean block influence |"
echo "|---|---|---|---|---|---|---|---|---|"
for n in 4 8 16 32; do
    if [ ! -e "$out/depth-$n/model.safetensors" ]; then
        cat >"$out/depth-$n.yaml" <<SPEC
model: {n_layer: $n, d_model: 64, n_head: 2, ffn: 176, ctx: 256}
steps: 1500
batch: 8
lr: {max: 3e-3, warmup: 100, min: 3e-5}
SPEC
        "$radial" train "$out/depth-$n.yaml" "${texts[@]}" --out "$out/depth-$n" -j 1 >&2
    fi
    rm -f "$out/depth-$n.db"
    traces+=("$out/depth-$n.db")
    "$radial" profile "$out/depth-$n" --text "${PROFILE:-${!#}}" --tail "${PART:-0.05}" \
        --trace "$out/depth-$n.db" --format json --progress none |
        python3 -c '
import json, sys
r = json.load(sys.stdin)
rows = r["layers"]
influence = sum(x["block_influence"] for x in rows) / len(rows)
print("| %s | %d | %.4f | %.3f | %.3f | %.3f | %.3f | %.3f | %.4f |" % (sys.argv[1], r["tokens"], r["nll"],
      r["median_ratio_in"], r["p10_ratio_in"], r["p90_ratio_in"], r["median_ratio_out"],
      r["cos_in_out"], influence))' "$n"
done
"$radial" plot "${traces[@]}" residual -o "$out/depth.svg" >&2
