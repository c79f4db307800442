#!/usr/bin/env bash
# check_globals.sh - the library keeps no state: no writable static data in any member of the
# archive (const tables with pointers in .data.rel.ro are fine), and no public name without rad_.
set -euo pipefail
size -A "$1" | awk '
    / \(ex .*\):$/ || / +:$/ { member = $1 }
    $1 ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {
        printf "%s: %d bytes of writable static data in %s\n", member, $2, $1
        bad = 1
    }
    END { exit bad }'
nm -A -g --defined-only "$1" | awk '
    $NF !~ /^rad_/ { print $1 " public name without rad_: " $NF; bad = 1 }
    END { exit bad }'
