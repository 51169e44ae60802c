#!/usr/bin/env bash
# Prepare WMT-14 German-English for fairseq; all options are those of prepare.py (try --help).
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
if ! "$python" -c 'import fairseq_ringformer, tabulate, tqdm' 2>/dev/null; then
  echo "prepare.sh: this project is not installed: run scripts/setup.sh first" >&2; exit 1
fi
exec "$python" "$here/prepare.py" "$@"
