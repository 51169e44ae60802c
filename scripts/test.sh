#!/usr/bin/env bash
# Install what the tests need and run them. Arguments go to pytest, such as -m slow, or the path of one test file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh dev
# One thread for each of torch's pools: the tests are tiny and start processes of their own.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest "$@"
