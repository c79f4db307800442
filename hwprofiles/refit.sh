#!/usr/bin/env bash
# refit.sh - the fits of all profiles made again from measured data.
#
#   hwprofiles/refit.sh FOLDER [OUT]
#
# FOLDER holds the unpacked calibration half of the measured data (.csv). Every profile is stripped
# of its fits; the parts that were measured are fitted to their rows (hw calibrate --measured), and
# the others, like what was not measured of a part, take fits of the same chip or the mean of its
# class (hw calibrate --like). The profiles of this folder are replaced, or written to OUT.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
data=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
radial=$(realpath "${RADIAL:-$here/../radial}")
out=$(realpath "${2:-$here}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/hwprofiles"
cp "$here"/*.yaml "$work/hwprofiles"
cd "$work"
grep -l '^model: gpu' hwprofiles/*.yaml >gpus
xargs sed -i '/^fits:/,$d' <gpus

# Small GEMMs and the largest are not what models are made of: N, K >= 1024, M <= 16384. LLMCompass, whose rows
# include the launch, needs the small ones to tell it.
mkdir rows
for file in "$data"/*.csv; do
    awk -F, 'NR == 1 || $3 != "gemm" || $1 ~ /^llmcompass/ ||
        ($6 >= 1024 && $7 >= 1024 && $5 <= 16384)' "$file" >"rows/${file##*/}"
done

{ grep -v event_incl_launch "$data/frontier_h800_gemm.csv"; grep event_incl_launch "$data/frontier_h800_gemm.csv"; } \
    >rows/frontier_h800_gemm.csv # the kernels themselves first

# All-reduce of H100 DGX nodes: only latency and bus bandwidth of 2, 4 and 8 devices are known (the
# fits of the reference, one line each, good to 3-15 %: hence every other row 12 % up or down), and
# for pairs of nodes those of A100 nodes.
awk 'BEGIN {
    print "source,hardware,op,dtype,N,tp,latency_us,notes"
    split("2 4 8", n); split("17 31 29", alpha); split("274 317 365", bus)
    for (i = 1; i <= 3; i++) for (s = 2048; s <= 2 ^ 28; s *= 2) {
        off = ++k % 2 ? 1.12 : 1 / 1.12
        row = "vidur,H100-80GB,allreduce,fp16,%d,%d,%.6g,N=bytes;devices_per_node=%d;\n"
        printf row, s, n[i], off * (alpha[i] + 2 * (n[i] - 1) / n[i] * s / bus[i] / 1e3), n[i]
        printf row, s, 2 * n[i], off * (66 + (2 * n[i] - 1) / n[i] * s / 5.9 / 1e3), n[i]
    }
}' | sed 's/,H100-80GB,/,h100_dgx,/' >rows/h100_dgx.csv

# fit NAME DATA FILE...: the rows of NAME in those files
fit() {
    local name=$1 label=$2 file
    shift 2
    for file; do
        "$radial" hw calibrate "$name" --measured "rows/$file.csv" --data "$label" \
            -o "hwprofiles/$name.yaml" --format csv 2>/dev/null | sed "1d; s/^/$name,/; s/,[^,]*\"[^\"]*\"$//"
    done
}

# like NAME A,B,...: what NAME has no fit for
like() {
    "$radial" hw calibrate "$1" --like "$2" -o "hwprofiles/$1.yaml"
}

aic="aiconfigurator 095f58a" vidur="vidur 7d47513" neusight="NeuSight 6945927 eager, launch included"
lss="LLMServingSim 5daddb2" compass="LLMCompass 2e015fd, launch included"
# The first fit for an operation is what its software is taken to be, and the newest goes first: hence
# bf16 of aiconfigurator last.
fit a100-sxm-80gb "$compass" llmcompass_ops
fit h800 "Frontier a4b22df" frontier_h800_gemm
for gpu in a100-pcie-40gb v100-pcie-32gb t4 p100-pcie-16gb p4; do
    fit $gpu "$neusight" neusight_other_fp32 neusight_gemm_fp32
done
fit rtx-a6000 "$lss" llmservingsim_v0_attention llmservingsim_v0_layers
fit rtx-3090 "$lss" llmservingsim_v0_layers
fit a40 "$vidur" vidur_collectives
# GEMM of many shapes says where a surface of fewer is likely to be: it is fitted before Vidur's, too.
fit a100-sxm-80gb "$aic" aic_gemm_A100-SXM4-80GB_bf16
fit h100-sxm-80gb "$aic" aic_gemm_H100-SXM5-80GB_bf16
fit a100-sxm-80gb "$vidur" vidur_collectives vidur_ops_A100-80GB
fit h100-sxm-80gb "latency and bus bandwidth fitted to vidur 7d47513, not its rows" h100_dgx
fit h100-sxm-80gb "$vidur" vidur_ops_H100-80GB
fit a100-sxm-80gb "$aic" aic_collectives aic_attention_A100-SXM4-80GB_bf16 aic_gemm_A100-SXM4-80GB_int aic_gemm_A100-SXM4-80GB_bf16
fit h100-sxm-80gb "$aic" aic_collectives aic_moe_hopper_bf16 aic_attention_H100-SXM5-80GB_bf16 aic_gemm_H100-SXM5-80GB_fp8 aic_gemm_H100-SXM5-80GB_bf16
fit h200-sxm-141gb "$aic" aic_attention_H200-SXM-141GB_bf16 aic_gemm_H200-SXM-141GB_fp8 aic_gemm_H200-SXM-141GB_bf16
fit b200-sxm-180gb "$aic" aic_collectives aic_attention_B200-SXM_bf16 aic_gemm_B200-SXM_bf16
fit l40s "$aic" aic_collectives aic_attention_L40S_bf16 aic_gemm_L40S_fp8 aic_gemm_L40S_bf16
fit rtx-pro-6000-server "$aic" aic_collectives aic_attention_RTX-PRO-6000-BSE_bf16 aic_gemm_RTX-PRO-6000-BSE_bf16

# Boards with a chip that was measured elsewhere.
like a100-sxm-40gb a100-sxm-80gb
like a100-pcie-40gb a100-sxm-80gb
like a100-pcie-80gb a100-sxm-80gb
for gpu in a100-sxm-40gb a100-sxm-80gb a100-pcie-80gb; do
    like $gpu a100-pcie-40gb
done
for gpu in h100-pcie-80gb h200-sxm-141gb h800; do
    like $gpu h100-sxm-80gb
done
like gb200 b200-sxm-180gb
like rtx-pro-6000-ws rtx-pro-6000-server
# GeForce boards halve the rate of sums in fp32, and their peaks say so: the one takes what the other's source
# says, after the class of serving software.
# The P4 is left out: what is known of its rows is that they contradict each other.
serving=a100-sxm-80gb,h100-sxm-80gb,h200-sxm-141gb,b200-sxm-180gb,l40s,rtx-pro-6000-server
class=$serving,rtx-a6000,rtx-3090,a40,h800,a100-pcie-40gb,v100-pcie-32gb,p100-pcie-16gb,t4
like rtx-4090 "$serving"
like rtx-4090 rtx-3090
for gpu in $(sed 's#.*/##; s/\.yaml//' gpus); do
    like "$gpu" "$class"
done
# All that was ever measured of this one in that source includes 15 to 40 us of launch.
awk '/^  - op:/ { aic = 0 } /software: "class aic/ { aic = 1 } aic && /^ +floor:/ { sub(/floor: .*/, "floor: 25 us") } { print }' \
    hwprofiles/arc-pro-b60.yaml >arc
mv arc hwprofiles/arc-pro-b60.yaml
# LLMCompass reports 121.6 of 181 TFLOP/s for the MI210, far from the A100's share.
awk '/^  - op:/ { gemm = $3 == "gemm" } /format:/ { half = $2 ~ /16$/ }
    /software:/ { share = /llmcompass/ ? 0.58 : 0.672 }
    gemm && half && /compute_frac:/ { sub(/[0-9.]+$/, share) } { print }' hwprofiles/mi210.yaml >mi210
mv mi210 hwprofiles/mi210.yaml
cp $(cat gpus) "$out"
