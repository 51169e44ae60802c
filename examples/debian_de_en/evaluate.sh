#!/usr/bin/env bash
# Translate the test set with fairseq-generate and score it with sacreBLEU (all options: --help).
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$here/../recipe/evaluate.py" "$@"
