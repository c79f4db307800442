#!/usr/bin/env bash
# peer.sh - radial beside llama.cpp on this machine: what both say of the same GGUF files, and how fast.
#
#   tests/peer/peer.sh FOLDER [nll|speed]
#
# FOLDER holds llama.cpp's libraries (libllama*.so, libggml*.so); one way to get a build of them:
#   npm install --ignore-scripts @node-llama-cpp/linux-x64 @node-llama-cpp/linux-x64/bins/linux-x64
# Needs numpy (python3-numpy) and 1 GB below ${TMPDIR:-/tmp}/radial-peer, which is kept.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
libs=$(realpath "$1")
part=${2:-all}
here=$(realpath "$(dirname "$0")")
radial=$here/../../radial
work=${TMPDIR:-/tmp}/radial-peer
peer=$work/llama_peer
python=/usr/bin/python3 # Debian's, which has numpy
export LLAMA_BACKENDS=$libs
mkdir -p "$work/small" "$work/shapes"
gcc -O2 -Wall -Wextra -o "$peer" "$here/llama_peer.c" "$libs"/libllama.*so* "$libs"/libggml.*so* \
    "$libs"/libggml-base.*so* -lm -Wl,-rpath,"$libs"

# Per file: the largest and the mean difference of per-token NLLs.
nll() {
    "$python" "$here/peer_models.py" small "$work/small"
    for type in "2 Q4_0" "7 Q8_0"; do # with the types that it chooses: heads of Q6_K
        "$peer" quantize "$work/small/llama-wide-F32.gguf" "$work/small/llama-wide-its_${type#* }.gguf" \
            "${type% *}" >/dev/null
    done
    echo '| model | type | tokens | largest difference, nats | mean |'
    echo '|---|---|---|---|---|'
    for file in "$work"/small/*.gguf; do
        name=$(basename "$file" .gguf)
        tokens=${file%-*}.tokens
        "$peer" nll "$file" "$tokens" | tr ' ' '\n' >"$work/peer.txt"
        "$radial" eval "$file" --tokens "$tokens" --per-token="$work/own.csv" --format csv \
            --progress=none >/dev/null
        awk -F, 'NR > 1 && $4 >= 0 { print $5 }' "$work/own.csv" | paste "$work/peer.txt" - |
            awk -v name="${name%-*}" -v type="${name##*-}" '
                { d = $1 - $2; d = d < 0 ? -d : d; if (d > most) most = d; sum += d }
                END { if (NF != 2) exit 1
                      printf "| %s | %s | %d | %.2g | %.2g |\n", name, type, NR, most, sum / NR }'
    done
}

# line NAME PHASE FIELD PEER-ARGUMENTS... -- RADIAL-ARGUMENTS...
line() {
    local name=$1 phase=$2 which=$3 mine theirs
    shift 3
    local args=()
    while [ "$1" != -- ]; do args+=("$1"); shift; done
    shift
    theirs=$("$peer" "$which" "$work/shapes/$name.gguf" "${args[@]}")
    mine=$("$radial" bench "$work/shapes/$name.gguf" "$@" --format json --progress=none |
        "$python" -c "
import json, sys
d = json.load(sys.stdin)
d = d['rows'][0] if 'rows' in d else d
k = '$which'
steps = d['new'] if k == 'decode' else 1
print('%.1f %.1f %.3f' % (d[k + '_tokens_per_s'], d[k + '_tokens_per_s_p50'], 1e3 * d[k + '_cpu_s'] / steps))")
    echo "$name $phase $theirs $mine" |
        awk '{ printf "| %s | %s | %s | %s | %s | %s | %s | %s | %.2f | %.2f |\n",
                      $1, $2, $3, $4, $5, $6, $7, $8, $7 / $4, $5 / $8 }'
}

speed() {
    [ -e "$work/shapes/stories15M-F32.gguf" ] || "$python" "$here/peer_models.py" shapes "$work/shapes"
    cat "$work"/shapes/*.gguf >/dev/null
    echo '| file | phase | llama.cpp tok/s | p50 | CPU ms | radial tok/s | p50 | CPU ms | tok/s, p50 of p50 | CPU time, its of ours |'
    echo '|---|---|---|---|---|---|---|---|---|---|'
    for kind in F32 BF16 Q8_0 Q4_0; do
        line gpt2-small-$kind decode decode 1 64 7 -- --prompt 1 --new 64 --repeat 7
    done
    line stories15M-F32 decode decode 1 200 7 -- --prompt 1 --new 200 --repeat 7
    for batch in 4 16 32; do
        line gpt2-small-F32 "decode-B$batch" decode $batch 32 5 -- --prompt 1 --new 32 --batch $batch --repeat 5
    done
    for kind in F32 BF16 Q8_0 Q4_0; do
        line gpt2-small-$kind prefill prefill 512 5 -- --prompt 512 --new 1 --repeat 5
    done
}

[ "$part" = speed ] || nll
[ "$part" = nll ] || speed
