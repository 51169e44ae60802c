#!/usr/bin/env bash
# Create .venv beside this folder and install the package with what a task needs. Safe to run again: an installation that
# is up to date is left as it is, and other extras are added to it.
#
#   scripts/setup.sh [EXTRA ...]      of setup.py (docs/install.md): recipes by default, which has fairseq and all that
#                                     examples/ need for translation; vision for images; dev is everything
#
# PYTHON chooses the interpreter (3.11 or 3.12); the first of python3.11, python3.12 and python3 that fits is the default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fits() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

choose_python() {
  local candidate candidates=(python3.11 python3.12 python3)
  [ -z "${PYTHON-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if fits "$candidate"; then echo "$candidate"; return; fi
  done
  echo "setup: needs Python 3.11 or 3.12 (${PYTHON:-python3.11, python3.12 and python3} did not fit): install one and name it with PYTHON=..." >&2
  exit 1
}

case ${1-} in -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- recipes
known=$(sed -n '/^EXTRAS/,/^}/s/^    "\(.*\)": .*/\1/p' setup.py)
for extra in "$@"; do
  if ! grep -qxFe "$extra" <<<"$known"$'\n'dev; then
    echo "setup: no extra $extra: choose of" $known dev >&2; exit 2
  fi
done
extras=$(printf '%s\n' "$@" | sort -u | paste -sd, -)
# The commands in it name this folder: after a move none of them starts.
if [ -e .venv/bin/pip ] && [ ! -L .venv ] && ! grep -qF "$(pwd -P)/.venv/" .venv/bin/pip; then
  echo "setup: this folder was moved: .venv is made anew"
  rm -rf .venv/installed-* .venv
fi
stamp=.venv/installed-$(cat setup.py scripts/setup.sh | sha256sum | cut -c1-16)
if fits .venv/bin/python; then  # an upgrade of the system can have taken its interpreter away
  for done in "$stamp-$extras" "$stamp-dev"; do
    [ ! -e "$done" ] || exit 0
  done
fi

python=$(choose_python)
builds_fairseq=''
case ",$extras," in *,fairseq,*|*,recipes,*|*,dev,*) builds_fairseq=yes ;; esac
if [ "$builds_fairseq" ]; then
  if ! command -v c++ >/dev/null; then
    echo "setup: needs a C++ compiler to build fairseq: install one first (Debian: apt-get install g++ python3-dev)" >&2
    exit 1
  fi
  if ! [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then
    echo "setup: needs Python's headers to build fairseq: install them first (Debian: apt-get install python3-dev)" >&2
    exit 1
  fi
fi
# An interrupted creation can leave a python without pip.
if ! fits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  echo "setup: creating .venv with $("$python" --version)"
  rm -rf .venv/installed-* .venv
  "$python" -m venv .venv
fi
echo "setup: installing $extras into .venv (where that brings torch: about 6 GB and some minutes at the first time)"
isolation=''
if [ "$builds_fairseq" ]; then
  # fairseq compiles against numpy and torch: with these in place first, its build needs no second copy of torch.
  .venv/bin/pip install -qq "setuptools>=64" wheel cython numpy torch
  isolation=--no-build-isolation
fi
.venv/bin/pip install -qq $isolation -e ".[$extras]"
touch "$stamp-$extras"
echo "setup: done; 'source .venv/bin/activate' puts ringformer and its companions on your path"
