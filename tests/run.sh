#!/usr/bin/env bash
# run.sh - every piece of `make test`, one line each at the end, and the true sum.
# BUILD is the folder with radial, unit and fault. A piece ends with a line
# "<name>: N passed, N failed[, N skipped]"; a piece that dies before that line has failed once.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:?run me as: make test}"
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export BUILD RADIAL="$BUILD/radial"
export SHARED="${SHARED:-$PWD/../shared}"
export LC_ALL=C TZ=UTC NO_COLOR=1
unset RADIAL_PATH
mkdir -p build/tmp
log=$BUILD/test.log
passed=0 failed=0 skipped=0 lines=

piece() {
    local name=$1 rc line p f s
    shift
    "$@" 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    line=$(grep -aE "^$name: [0-9]+ passed, [0-9]+ failed" "$log" | tail -n 1)
    if [[ $line =~ ^$name:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[4]:-0}
        [ "$rc" -ne 0 ] && [ "$f" -eq 0 ] && f=1 line="$line, but exit status $rc"
    else
        p=0 f=1 s=0 line="$name: ended early with exit status $rc"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    lines+="$line"$'\n'
}

# Each tests/*/test_*.sh is one test: status 0 passed, 77 skipped (it says why), else failed.
scripts() {
    local p=0 f=0 s=0 script
    for script in tests/*/test_*.sh; do
        [ -f "$script" ] || continue
        timeout 300 bash "$script"
        case $? in
        0) p=$((p + 1)) && echo "ok      $script" ;;
        77) s=$((s + 1)) && echo "skipped $script" ;;
        *) f=$((f + 1)) && echo "FAILED  $script" ;;
        esac
    done
    echo "scripts: $p passed, $f failed, $s skipped"
    [ "$f" -eq 0 ]
}

arrows() {
    if make --no-print-directory -s check-deps; then
        echo "check-deps: 1 passed, 0 failed"
    else
        echo "check-deps: 0 passed, 1 failed"
    fi
}

piece unit "$BUILD/unit"
piece fault "$BUILD/fault"
piece golden tests/golden/run.sh
piece scripts scripts
piece check-deps arrows

printf '\n%s' "$lines"
[ "$skipped" -gt 0 ] && echo "$skipped skipped: they said why above"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
