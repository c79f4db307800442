# Every command has --help with an example that can be copied: no line of it is broken in the middle.
subs() { radial "$1" --help | awk '/^  [a-z]/ && !/^  radial/ { print $1 }'; }
# glibc keeps two bytes of its own when argp leaves from --help: no leak of ours.
export ASAN_OPTIONS=detect_leaks=0
commands=$(radial help | awk '/^  [a-z]/ { print $1 }')
n=0
for c in $commands; do
    list=$c
    case $c in trace | hw) list=$(subs "$c" | sed "s/^/$c /") ;; esac
    while read -r command; do
        # shellcheck disable=SC2086
        radial $command --help >"$TMP/help" || echo "$command: exit $?"
        awk -v c="$command" '
            /^Examples?:/ { inside = 1; blank = 0; next }
            inside && /^ / { if (index($0, "radial " c)) found = 1 }
            inside && /^[^ ]/ { if (!blank) print c ": broken line: " $0; inside = 0 }
            { blank = /^$/ }
            length($0) > 80 { print c ": long line: " $0 }
            END { if (!found) print c ": no example" }' "$TMP/help"
        n=$((n + 1))
    done <<<"$list"
done
echo "$n commands"
