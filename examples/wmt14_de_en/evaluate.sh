#!/usr/bin/env bash
# Translate newstest2014 with fairseq-generate and score it with sacreBLEU (all options: --help).
# Beam 4 with length penalty 0.6, unless the command line says otherwise; --beam 1 is greedy search.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/recipe/evaluate.py" --beam 4 --lenpen 0.6 "$@"
