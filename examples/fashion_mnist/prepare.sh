#!/usr/bin/env bash
# Fetch Fashion-MNIST from Debian's archive; all options are those of prepare.py (try --help).
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$here/prepare.py" "$@"
