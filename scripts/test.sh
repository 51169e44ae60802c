#!/usr/bin/env bash
# Install what the tests need and run them, as many files at a time as there are cores. Arguments go to pytest, such as
# -m slow, the path of one test file, or -n 0 (one after another, in one process, for --pdb).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh dev
# One thread for each of torch's pools: the tests are tiny and start processes of their own.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest -n auto --dist loadfile "$@"
