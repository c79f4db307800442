#!/usr/bin/env bash
# demo.sh - the whole line on the committed models: text, traces, machines, a sweep, plots.
# Needs nothing but the repository; under five minutes on two cores.
set -euo pipefail
radial=${RADIAL:-./radial}
out=results
work=build/demo
model=models/radial-tiny
say() { printf '\n== %s\n' "$*"; }
columns() { # NAME... of CSV rows on stdin (headers may repeat), four significant digits
    awk -F, -v want="$*" '
        BEGIN { n = split(want, w, " "); for (i = 1; i <= n; i++) printf "%s%s", w[i], i < n ? "," : "\n" }
        $0 == header { next }
        header == "" { header = $0; for (i = 1; i <= NF; i++) at[$i] = i; next }
        { for (i = 1; i <= n; i++) { v = $at[w[i]]
            if (v ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) v = sprintf("%.4g", v)
            printf "%s%s", v == "" ? "-" : v, i < n ? "," : "\n" } }' | column -s, -t
}

mkdir -p "$work" "$out"
head -c 8000 tests/data/easy.txt >"$work/text.txt"
head -c 8000 tests/data/mixed.txt >>"$work/text.txt"
head -c 8000 tests/data/hard.txt >>"$work/text.txt"

say "radial-tiny writes; under each character the layers that it visited"
"$radial" run "$model" --prompt "The old man looked at the sea and " --new 160 \
    --policy radial:budget=0.5 --temperature 0.7 --top-p 0.9 --seed 3 --show-depth

say "the same text at several depths: quality against layers and FLOP"
for b in 0.25 0.5 0.75 1.0; do
    "$radial" eval "$model" --text "$work/text.txt" --policy "radial:budget=$b" \
        --trace "$work/radial-tiny-$b.db" --stats --progress none --format csv
done | columns policy tokens nll mean_depth depth_frac flop_frac

say "what one of these traces costs on every profile, token by token, 8 sequences at a time"
hw=()
for f in hwprofiles/*.yaml; do
    name=$(basename "$f" .yaml)
    [ "$name" = aliases ] || hw+=(--hw "$name")
done
"$radial" replay "$work/radial-tiny-0.5.db" "${hw[@]}" --phase decode --batch 8 --format csv >"$out/demo-replay.csv"
columns hw tokens_per_s j_per_token usd_per_mtok speedup flop_frac weight_bytes_frac bound \
    <"$out/demo-replay.csv"

say "a sweep of the design space into $out/demo.db"
for spec in measured dense large; do
    "$radial" sweep "tests/demo/$spec.yaml" --db "$out/demo.db" --format csv | tail -n 1
done
"$radial" query "$out/demo.db" "SELECT count(*) AS design_points FROM results"

say "1. what depth buys in quality, on text that no model has seen"
"$radial" query "$out/demo.db" "SELECT card, policy, round(depth_frac, 3) AS depth_frac,
    round(min(nll), 4) AS nll, round(min(flop_frac), 3) AS flop_frac FROM results
    WHERE nll IS NOT NULL GROUP BY card, policy, depth_frac ORDER BY card, depth_frac"

say "2. FLOP saved against time saved: small models are bound by overheads"
"$radial" query "$out/demo.db" @speedup_gap

say "3. the routing of radial-tiny on a 7B card at half depth: weights are shared by the batch"
"$radial" query "$out/demo.db" "SELECT hw, batch, round(depth_frac, 2) AS depth_frac,
    round(flop_frac, 3) AS flop_frac, round(layer_weight_bytes_frac, 3) AS layer_weight_bytes_frac,
    round(layer_loads_per_step, 1) AS layer_loads_per_step, round(speedup, 2) AS speedup FROM results
    WHERE card = 'llama-2-7b' AND depth_frac BETWEEN 0.2 AND 0.6
    AND hw IN ('a100-sxm-80gb', 'tpu-v5e') ORDER BY hw, depth_frac, batch"

say "plots"
"$radial" plot "$out/demo.db" pareto --x usd_per_mtok --y nll --color card -o "$out/pareto-cost.svg"
"$radial" plot "$out/demo.db" pareto --x usd_per_mtok --y nll --color card -o "$out/pareto-cost.png"
"$radial" plot "$out/demo.db" pareto --x j_per_token --y nll --color hw -o "$out/pareto-energy.png"
"$radial" plot "$out/demo.db" heatmap -o "$out/heatmap.png"
"$radial" plot "$work/radial-tiny-0.5.db" depth -o "$out/depth.png"
"$radial" plot "$work/radial-tiny-1.0.db" residual -o "$out/residual.png"
ls "$out"/*.svg "$out"/*.png
echo "The pictures are in $out/, each with its data (.tsv) and script (.gp); the database is $out/demo.db."
