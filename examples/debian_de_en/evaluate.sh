#!/usr/bin/env bash
# Translate the test set with fairseq-generate and score it with sacreBLEU (all options: --help).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/recipe/evaluate.py" "$@"
