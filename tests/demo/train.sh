#!/usr/bin/env bash
# train.sh - train the committed models: three dense networks, then a Radial Network from each.
# usage: tests/demo/train.sh TEXT...     every run resumes where it was stopped
#   OUT=DIR   where the models go (default: models)      RADIAL=PROGRAM (default: ./radial)
#   STEPS=N   so many steps for each instead of the recipe's, to try the whole line in minutes
#   CONTROLS=1  also the controls of docs/training.md: ULS, random skipping, a half-depth network
set -euo pipefail
radial=${RADIAL:-./radial}
out=${OUT:-models}
[ $# -gt 0 ] || {
    echo "usage: make train CORPUS=\"a.txt b.txt\" (plain text; the last 10 % of each is validation)" >&2
    exit 2
}
texts=()
for t in "$@"; do
    [ -r "$t" ] || { echo "train: cannot read '$t'" >&2; exit 1; }
    texts+=(--text "$t")
done
recipes="dense-nano dense-micro dense-tiny radial-nano radial-micro radial-tiny"
[ -z "${CONTROLS:-}" ] || recipes="$recipes control-uls control-skip control-half"
mkdir -p "$out"
spec=$(mktemp) && trap 'rm -f "$spec"' EXIT
for r in $recipes; do
    echo "== $r" >&2
    sed -e "s#: models/#: $out/#" ${STEPS:+-e "s/^steps: .*/steps: $STEPS/"} \
        "models/recipes/$r.yaml" >"$spec"
    "$radial" train "$spec" "${texts[@]}" --out "$out/$r"
done
echo "models are in $out/" >&2
