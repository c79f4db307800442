#!/usr/bin/env bash
# seeds.sh TEXT... - does the router beat Unified Layer Skipping whatever the seed? Trains radial-tiny
# and control-uls (models/recipes) once per seed into OUT=build/seeds, unless they are there, and
# evaluates both at half depth on the last tenth of every text. Each run: 6.1 M tokens, 20 to 30
# minutes on one thread; JOBS of them at once. SEEDS="1 2 3".
set -euo pipefail
radial=$(realpath "${RADIAL:-./radial}")
out=${OUT:-build/seeds}
texts=()
for t in "$@"; do texts+=(--text "$t"); done
[ ${#texts[@]} -gt 0 ] || { echo "usage: seeds.sh TEXT..." >&2; exit 2; }
mkdir -p "$out"

train() { # RECIPE SEED
    [ ! -e "$out/$1-$2/model.safetensors" ] || return 0
    { cat "models/recipes/$1.yaml" && echo "seed: $2"; } >"$out/$1-$2.yaml"
    "$radial" train "$out/$1-$2.yaml" "${texts[@]}" --out "$out/$1-$2" -j 1
}
for seed in ${SEEDS:-1 2 3}; do
    for recipe in radial-tiny control-uls; do
        while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-2}" ]; do wait -n; done
        train "$recipe" "$seed" &
    done
done
wait

row() { # RECIPE SEED POLICY
    "$radial" eval "$out/$1-$2" "${texts[@]}" --tail 0.1 --policy "$3" --format json --progress none
}
for seed in ${SEEDS:-1 2 3}; do
    row radial-tiny "$seed" radial:budget=0.5
    row control-uls "$seed" "uls:speedup=2,phase=all"
done | python3 -c '
import json, math, sys
r = [json.loads(line) for line in sys.stdin]
a, b = r[0::2], r[1::2]
print("| seed | radial-tiny, budget 0.5 | depth share | control-uls | difference |\n|---|---|---|---|---|")
d = [x["nll"] - y["nll"] for x, y in zip(a, b)]
for seed, x, y, z in zip(sys.argv[1].split(), a, b, d):
    print("| %s | %.4f | %.3f | %.4f | %+.4f |" % (seed, x["nll"], x["depth_frac"], y["nll"], z))
mean = lambda v: sum(v) / len(v)
sd = lambda v: math.sqrt(sum((x - mean(v)) ** 2 for x in v) / (len(v) - 1)) if len(v) > 1 else math.nan
print("\nmean difference %+.4f, standard deviation between seeds %.4f, standard error %.4f; radial-tiny "
      "%.4f to %.4f, control-uls %.4f to %.4f" % (mean(d), sd(d), sd(d) / math.sqrt(len(d)),
      min(x["nll"] for x in a), max(x["nll"] for x in a), min(y["nll"] for y in b), max(y["nll"] for y in b)))
' "${SEEDS:-1 2 3}"
