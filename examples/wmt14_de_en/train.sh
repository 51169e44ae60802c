#!/usr/bin/env bash
# Train one model on what prepare.sh wrote; all options are those of train.py (try --help).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/wmt14_de_en/train.py" "$@"
