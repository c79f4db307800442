#!/usr/bin/env bash
# run.sh - what the commands print, compared with what is written down.
#
# tests/golden/<topic>/<case>.cmd is a bash script, run in the root of the tree with `radial` on
# the PATH, $TMP an empty folder and $SHARED where shared data lies if there is any; its output
# (add 2>&1 where messages count) and exit status must equal <case>.out. Status 77 skips the case.
#   GOLDEN=update tests/golden/run.sh    writes the .out files again: look at the difference
#   tests/golden/run.sh hw               runs the cases with hw in their path
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
radial=$(realpath "${RADIAL:-./radial}")
export SHARED="${SHARED:-$PWD/../shared}"
export LC_ALL=C TZ=UTC NO_COLOR=1 COLUMNS=80
unset RADIAL_PATH
mkdir -p build/tmp
work=$(mktemp -d build/tmp/golden.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$radial" "$work/bin/radial"
passed=0 failed=0 skipped=0

for cmd in tests/golden/*.cmd tests/golden/*/*.cmd; do
    [ -f "$cmd" ] || continue
    [[ $cmd == *"${1:-}"* ]] || continue
    rm -rf "$work/tmp" && mkdir "$work/tmp"
    PATH="$PWD/$work/bin:$PATH" TMP="$work/tmp" timeout 120 bash "$cmd" >"$work/out" 2>"$work/messages" </dev/null
    rc=$?
    if [ $rc -eq 77 ]; then
        echo "skipped $cmd: $(tail -n 1 "$work/out")"
        skipped=$((skipped + 1))
        continue
    fi
    # The scratch folder has another name in every run.
    sed -i "s#$work/tmp#TMP#g" "$work/out"
    echo "[exit $rc]" >>"$work/out"
    out=${cmd%.cmd}.out
    if [ "${GOLDEN:-}" = update ]; then
        cp "$work/out" "$out"
    fi
    if diff -u "$out" "$work/out"; then
        passed=$((passed + 1))
    else
        echo "FAILED  $cmd"
        tail -n 5 "$work/messages"
        failed=$((failed + 1))
    fi
done
echo "golden: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
