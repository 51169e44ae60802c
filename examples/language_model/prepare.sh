#!/usr/bin/env bash
# Prepare data for language models; all options are those of prepare.py (try --help).
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
exec python3 "$root/examples/language_model/prepare.py" "$@"
