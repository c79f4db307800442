#!/usr/bin/env bash
# lint.sh FILE... - format, length of files and functions, unique names, shell scripts.
# Prints every finding; exit status 1 if there is any.
set -uo pipefail
bad=0

limits() {
    awk '
        FNR == 401 { print FILENAME ":401: the file has over 400 lines"; bad = 1 }
        /^\{/ { start = FNR }
        /^\}/ && start {
            n = FNR - start + 1
            if (n > 60) { print FILENAME ":" start ": a function of " n " lines, over 60"; bad = 1 }
            start = 0
        }
        FNR == 1 { start = 0 }
        END { exit bad }' "$@"
}

unique_names() { # every program may have its main.c
    printf '%s\n' "$@" | awk -F / '
        $NF == "main.c" { next }
        $NF in seen { print $0 ": the name is taken by " seen[$NF]; bad = 1 }
        { seen[$NF] = $0 }
        END { exit bad }'
}

if [ $# -gt 0 ]; then
    limits "$@" || bad=1
    unique_names "$@" || bad=1
fi
if format=$(command -v clang-format-14 || command -v clang-format); then
    [ $# -eq 0 ] || "$format" --dry-run -Werror "$@" || bad=1
else
    echo "lint: clang-format is missing; apt-get install clang-format" >&2
    bad=1
fi
if command -v shellcheck >/dev/null; then
    mapfile -t scripts < <(grep -rlE '^#!.*(bash|/sh)$' .ci tests)
    shellcheck "${scripts[@]}" || bad=1
else
    echo "lint: shellcheck is not installed, scripts are not checked" >&2
fi
exit $bad
