#!/usr/bin/env bash
# test_check_deps.sh - the checker of arrows refuses each kind of wrong include and lets right
# ones pass; the checkers of globals and of sizes refuse what they are there for.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir -p sim/base sim/hw sim/store sim/cli
cat >sim/DEPS <<'DEPS'
base:                | gsl yaml.h
db:    base          | sqlite3.h
hw:    base          | gsl
store: base db       |
cli:   radial        | argp.h
DEPS
bad=0

check() { awk -f "$here/check_deps.awk" sim/DEPS "$@"; }

# passes FILE LINE: a file with that line is accepted. refused FILE LINE TEXT: it is not, and the
# message is at line 2 of the file and has TEXT in it.
passes() {
    printf '/* x */\n%s\n' "$2" >"$1"
    out=$(check "$1") || { echo "refused in $1: $2 ($out)" && bad=1; }
    rm "$1"
}
refused() {
    printf '/* x */\n%s\n' "$2" >"$1"
    out=$(check "$1") && { echo "let pass in $1: $2" && bad=1; }
    case $out in
    "$1:2: "*"$3"*) ;;
    *) echo "message for $2: expected '$3' but found '$out'" && bad=1 ;;
    esac
    rm "$1"
}

passes sim/hw/a.c '#include "base/err.h"'
passes sim/hw/a.c '#include "hw/private.h"'
passes sim/hw/a.c '#include <gsl/gsl_rng.h>'
passes sim/base/a.c '#include <gsl/gsl_rng.h>'
passes sim/hw/a.c '#include <sys/stat.h>'
passes sim/hw/a.c '  #  include <stdio.h>'
passes sim/store/a.def '#include "db/db.h"'
passes sim/cli/a.c '#include "radial.h"'
passes sim/cli/a.c '#include <argp.h>'
passes sim/radial.h '#include "hw/hw.h"'

refused sim/hw/a.c '#include "store/store.h"' 'hw may not include store/store.h'
refused sim/base/a.c '#include "hw/hw.h"' 'base may not include hw/hw.h'
refused sim/store/a.c '#include "db/private.h"' 'db/private.h is private to db'
refused sim/store/a.def '#include "hw/hw.h"' 'store may not include hw/hw.h'
refused sim/hw/a.c '#include "private.h"' 'write folder/file.h'
refused sim/hw/a.c '#include "../store/store.h"' 'write folder/file.h'
refused sim/hw/a.c '  #  include "store/store.h"' 'hw may not include'
refused sim/hw/a.c '#include HEADER' 'after #include'
refused sim/hw/a.c '#include "radial.h"' 'hw may not include radial.h'
refused sim/cli/a.c '#include "hw/hw.h"' 'cli may not include hw/hw.h'
refused sim/cli/a.c '#include "base/err.h"' 'cli may not include base/err.h'
refused sim/radial.h '#include "hw/private.h"' 'hw/private.h is private to hw'
refused sim/store/a.c '#include <sqlite3.h>' '<sqlite3.h> is not for store'
refused sim/store/a.c '#include <gsl/gsl_rng.h>' 'is not for store'
refused sim/hw/a.c '#include <argp.h>' 'is not for hw'
refused sim/hw/a.c '#include <curl/curl.h>' 'has no owner'
refused sim/hw/a.c '#include <store/store.h>' 'has no owner'

# A folder without a row, a row that names no folder, a malformed row.
mkdir sim/new && echo 'int x;' >sim/new/a.c
check sim/new/a.c >/dev/null && echo 'a folder without a row passes' && bad=1
echo 'int x;' >sim/hw/a.c
for row in 'plot: bse |' 'plot base' 'Plot: base |'; do
    cp sim/DEPS sim/save && echo "$row" >>sim/DEPS
    check sim/hw/a.c >/dev/null && echo "the row '$row' passes" && bad=1
    mv sim/save sim/DEPS
done

# statics NAME SOURCE VERDICT: does check_globals accept an archive of SOURCE?
statics() {
    echo "$2" >s.c && ${CC:-gcc} -O2 -fPIC -c -o s.o s.c && rm -f s.a && ar rcs s.a s.o
    if "$here/check_globals.sh" s.a >/dev/null; then verdict=yes; else verdict=no; fi
    [ $verdict = "$3" ] || { echo "check_globals: $1: expected $3 but found $verdict" && bad=1; }
}
statics 'const table' 'extern int rad_y; int *const rad_table[] = {&rad_y, 0};' yes
statics 'initialised' 'int rad_x = 3;' no
statics 'zero' 'int rad_x;' no
statics 'in a function' 'int rad_f(void); int rad_f(void) { static int n; return n++; }' no
statics 'per thread' '_Thread_local int rad_x;' no
statics 'foreign name' 'int twice(int x); int twice(int x) { return 2 * x; }' no

# limit FILE...: does lint.sh complain about a length or a name? It runs in a tree of its own.
limit() {
    "$here/lint.sh" "$@" >lint.out 2>&1
    grep -qE 'over (60|400)|taken by' lint.out
}
body() { echo 'int f(void);' && echo 'int f(void)' && echo '{' && yes '    f();' | head -n $(($1 - 2)) && echo '}'; }
mkdir -p a b .ci tests
body 60 >a/f.c && limit a/f.c && echo 'lint refuses 60 lines' && bad=1
body 61 >a/f.c && { limit a/f.c || { echo 'lint lets 61 lines pass' && bad=1; }; }
yes '/* */' | head -n 400 >a/f.c && limit a/f.c && echo 'lint refuses 400 lines' && bad=1
echo >>a/f.c && { limit a/f.c || { echo 'lint lets 401 lines pass' && bad=1; }; }
echo >a/f.c && cp a/f.c b/f.c && { limit a/f.c b/f.c || { echo 'lint lets a name twice' && bad=1; }; }
exit $bad
