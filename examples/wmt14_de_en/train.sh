#!/usr/bin/env bash
# Train one model on what prepare.sh wrote; all options are those of train.py (try --help).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/bin:$PATH"
# fairseq's and torch's notices to developers would bury the progress.
export PYTHONWARNINGS=ignore::FutureWarning,ignore::UserWarning
exec python3 "$root/examples/wmt14_de_en/train.py" "$@"
