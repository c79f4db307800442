#!/usr/bin/env bash
# test_arch_vectors.sh - arch_vectors.tsv is what arch_vectors.py writes today.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! python3 -c 'import numpy' 2>/dev/null; then
    echo "python3-numpy is not installed: the committed vectors are used as they are"
    exit 77
fi
python3 tests/oracle/arch_vectors.py --check
