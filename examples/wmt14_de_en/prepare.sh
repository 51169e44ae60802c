#!/usr/bin/env bash
# Prepare WMT-14 German-English for fairseq; all options are those of prepare.py (try --help).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/wmt14_de_en/prepare.py" "$@"
