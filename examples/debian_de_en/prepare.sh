#!/usr/bin/env bash
# Prepare German-English data for fairseq; all options are those of prepare.py (try --help).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/debian_de_en/prepare.py" "$@"
