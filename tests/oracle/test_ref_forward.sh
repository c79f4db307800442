#!/usr/bin/env bash
# test_ref_forward.sh - ref_forward.tsv is what ref_forward.py writes today.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v python3 >/dev/null; then
    echo "python3 is not installed: the committed vectors are used as they are"
    exit 77
fi
python3 tests/oracle/ref_forward.py --check
