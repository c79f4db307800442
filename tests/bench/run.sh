#!/usr/bin/env bash
# run.sh - what this machine can do and how close radial comes: `make bench`.
# Everything is measured in one run, side by side, because machines are noisy. Output: markdown.
set -euo pipefail
radial=${RADIAL:-./radial}
build=${BUILD:-build/gcc-release}
model=${MODEL:-models/dense-tiny}
work=build/bench
mkdir -p "$work"
echo "## Inference of $model"
"$radial" --version
"$radial" bench "$model" --format md
[ -d models/radial-tiny ] && "$radial" bench models/radial-tiny --policy radial:budget=0.5 --format md

echo
echo "## Standard shapes, made-up weights, against limits measured between the repeats"
"$radial" bench --shapes --format md --progress none

echo
echo "## Products, attention and norms of a GPT-2-small shape against the machine"
[ -x "$build/bench_tensor" ] && "$build/bench_tensor"

echo
echo "## Training against SGEMM"
cat >"$work/train.yaml" <<'YAML'
model: {n_layer: 8, d_model: 160, n_head: 5, ffn: 448, ctx: 256}
steps: 40
batch: 16
YAML
rm -rf "$work/model"
cat tests/data/*.txt tests/data/*.txt tests/data/*.txt >"$work/text.txt"
"$radial" train "$work/train.yaml" --text "$work/text.txt" --out "$work/model" --progress none \
    --format json >"$work/train.json"
"$radial" bench "$model" --format json >"$work/bench.json"
python3 - "$work/train.json" "$work/bench.json" <<'PY'
import json, os, sys
train, bench = (json.load(open(f)) for f in sys.argv[1:3])
L, d, ffn, V, T = 8, 160, 448, 256, 256
forward = 2 * (L * (4 * d * d + 3 * d * ffn) + V * d) + L * 4 * d * (T + 1) / 2  # causal attention
flop = 3 * forward                                                            # backward is twice
rate = flop * train["tokens_per_s"]
sgemm = bench["sgemm_flop_per_s"]  # of all threads
print(f"fp32 training: {train['tokens_per_s']:.0f} tokens/s = {rate / 1e9:.0f} GFLOP/s, "
      f"{rate / sgemm:.2f} of the SGEMM rate of {os.cpu_count()} threads ({sgemm / 1e9:.0f} GFLOP/s)")
PY

echo
echo "## Replay and sweep"
echo "A point on 10,000 tokens x 8 layers; limits of first_ms: 10 at batch 1, 2 at batch >= 8. The trace is of"
echo "models/radial-tiny at budget 0.5 on tests/data."
echo
echo '```'
texts=()
for file in tests/data/*.txt; do texts+=(--text "$file"); done
"$radial" eval models/radial-tiny "${texts[@]}" --policy radial:budget=0.5 \
    --trace "$work/replay.db" --progress none >/dev/null
"$build/bench_replay" -t "$work/replay.db"
echo '```'

echo
echo "## A prediction"
echo '```'
"$build/bench_predict"
echo '```'
