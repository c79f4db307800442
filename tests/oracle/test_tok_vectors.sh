#!/usr/bin/env bash
# test_tok_vectors.sh - tok/ and tok_vectors.tsv are what tok_vectors.py writes today.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v python3 >/dev/null; then
    echo "python3 is not installed: the committed vectors are used as they are"
    exit 77
fi
python3 tests/oracle/tok_vectors.py --check
