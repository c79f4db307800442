# check_deps.awk - fail if a file under sim/ includes what sim/DEPS does not allow.
# usage: awk -f check_deps.awk sim/DEPS sim/*.h sim/*/*.[ch] sim/*/*.def
#
# A row of DEPS is `folder: folders it may include | third-party headers it may include`; a header
# is written as the start of its path (`gsl` covers gsl/gsl_rng.h) and may have several owners.
# Headers of C and POSIX are free; any other <header> needs an owner.
function fail(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }

BEGIN {
    free_c = "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp " \
        "signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string " \
        "tgmath threads time uchar wchar wctype"
    free_posix = "dirent dlfcn fcntl fnmatch ftw getopt glob grp langinfo libgen poll pwd regex " \
        "sched semaphore strings syslog termios unistd utime wordexp cpuid"
    n = split(free_c " " free_posix, word, " ")
    for (i = 1; i <= n; i++) free[word[i] ".h"] = 1
}

FILENAME ~ /(^|\/)DEPS$/ {
    sub(/#.*/, "")
    if ($0 ~ /^[ \t]*$/) next
    if (split($0, side, "|") != 2 || side[1] !~ /^[a-z]+:/) {
        fail("expected `folder: folders | headers` but found `" $0 "`")
        next
    }
    split(side[1], head, ":")
    folder[head[1]] = 1
    n = split(head[2], to, " "); for (i = 1; i <= n; i++) { allow[head[1], to[i]] = 1; row[to[i]] = FNR }
    n = split(side[2], own, " "); for (i = 1; i <= n; i++) { lib[own[i]] = 1; owner[own[i], head[1]] = 1 }
    next
}

FNR == 1 {
    if (!checked_rows++)
        for (name in row)
            if (!(name in folder) && name != "radial")
                fail("DEPS allows the folder " name ", which has no row of its own")
    n = split(FILENAME, part, "/")
    here = part[n - 1] == "sim" ? "radial" : part[n - 1]
    if (here != "radial" && !(here in folder)) fail("the folder " here " has no row in DEPS")
}

!/^[ \t]*#[ \t]*include/ { next }
{
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "")
    open = substr($0, 1, 1)
    path = substr($0, 2)
    if (open == "\"" && sub(/".*/, "", path)) ours(path)
    else if (open == "<" && sub(/>.*/, "", path)) theirs(path)
    else fail("write \"folder/file.h\" or <header.h> after #include, not " $0)
}

# An include of a file of this tree.
function ours(path,    inc, n) {
    n = split(path, inc, "/")
    if (n == 1 && path == "radial.h") {
        if (!((here, "radial") in allow)) fail(here " may not include radial.h")
        return
    }
    if (n != 2 || path ~ /\.\./) { fail("write folder/file.h, not " path); return }
    if (inc[1] == here) return
    if (here != "radial" && !((here, inc[1]) in allow)) {
        fail(here " may not include " path "; sim/DEPS has the arrows")
        return
    }
    if (inc[1] != "base" && inc[2] != inc[1] ".h")
        fail(path " is private to " inc[1] "; include " inc[1] "/" inc[1] ".h")
}

# An include of a library: the owners' alone, else it must be C or POSIX.
function theirs(path,    name, known) {
    for (name in lib) {
        if (index(path, name) != 1 || substr(path, length(name) + 1) !~ /^(\/|$)/) continue
        known = 1
        if ((name, here) in owner) return
    }
    if (known) fail("<" path "> is not for " here "; sim/DEPS names its owners")
    else if (!(path in free) && path !~ /^sys\/[a-z]+\.h$/)
        fail("<" path "> has no owner in sim/DEPS")
}

END { exit bad }
