#!/usr/bin/env bash
# The script of `radial hw kit` runs where PyTorch is, and its CSV is one that radial reads.
set -euo pipefail
python=
for p in python3 /usr/bin/python3; do
    command -v "$p" >/dev/null && "$p" -c 'import torch' 2>/dev/null && python=$p && break
done
dir=$(mktemp -d build/tmp/kit.XXXXXX)
trap 'rm -rf "$dir"' EXIT
"$RADIAL" hw kit -o "$dir/bench_gpu.py" >/dev/null
cmp "$dir/bench_gpu.py" hwprofiles/kit.py
if "$RADIAL" hw kit -o "$dir/bench_gpu.py/bench.py" 2>"$dir/err"; then exit 1; fi
[ "$(wc -l <"$dir/err")" -eq 1 ]
if [ -z "$python" ]; then
    echo "test_kit: written and not run: no python3 with torch"
    exit 77
fi
OMP_NUM_THREADS=1 timeout 120 "$python" "$dir/bench_gpu.py" --quick --device cpu --dtype fp32 \
    -o "$dir/m.csv" 2>"$dir/log" || { cat "$dir/log"; exit 1; }
head -1 "$dir/m.csv" | grep -qx 'source,hardware,op,dtype,M,N,K,batch,seq,kv,heads,kv_heads,head_dim,hidden,ffn,layers,tp,latency_us,energy_j,tokens_per_s,notes'
"$RADIAL" hw predict host --ops "$dir/m.csv" --format csv >"$dir/p.csv" 2>"$dir/warn"
# Every row is costed but the ragged ones, which are no single operation.
awk -F, '
NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{ ops[$at["op"]]++ }
!($at["latency_us"] > 0) { print "no latency: " $0; bad = 1 }
$at["op"] != "ragged" && !($at["pred_latency_s"] > 0) { print "not costed: " $0; bad = 1 }
END {
    n = split("gemm attention_decode attention_prefill layernorm activation add softmax rmsnorm sample gather ragged grouped", want, " ")
    for (i = 1; i <= n; i++) if (!ops[want[i]]) { print "no rows of " want[i]; bad = 1 }
    exit bad
}' "$dir/p.csv"

# The rows are ready for calibrate: a GPU profile is fitted to all of them but the ragged ones, and the
# fit of grouped products is the one that then costs them.
sed 's/,host,/,some-gpu,/' "$dir/m.csv" | awk -F, -v OFS=, 'NR == 1 { print; next }
    { for (i = 0; i < 8; i++) { line = $0; print line } }' >"$dir/many.csv"
"$RADIAL" hw calibrate l4 --measured "$dir/many.csv" --data kit -o "$dir/new.yaml" --format csv \
    >"$dir/report" 2>"$dir/warn"
for op in gemm grouped decode prefill norm act add softmax sample gather; do
    grep -q "^$op," "$dir/report" || { echo "not fitted: $op"; cat "$dir/report" "$dir/warn"; exit 1; }
done
grep -q 'ragged' "$dir/warn"
"$RADIAL" hw check "$dir/new.yaml" >/dev/null
