#!/usr/bin/env bash
# The whole benchmark table: RingFormer against fairseq's stock transformer in fp32, bf16 and CTranslate2 int8, at the
# sizes base, small and tiny. Each size writes SIZE.txt (table), SIZE.json (everything) and SIZE.png (bars).
#
#   scripts/benchmark.sh [--output DIR] [--sizes "base small tiny"] [FLAG ...]
#
# DIR is benchmarks by default; sizes that it holds already are skipped, so an interrupted run goes on where it was.
# FLAGs go to ringformer benchmark, such as --rounds 9 or --measure training (all: ringformer benchmark --help). Leave
# the machine alone meanwhile: other work disturbs the times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=benchmarks sizes="base small tiny" flags=()
while [ $# -gt 0 ]; do
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --output|--sizes)
      if [ $# -lt 2 ]; then echo "benchmark: $1 needs a value (see --help)" >&2; exit 2; fi
      if [ "$1" = --output ]; then output=$2; else sizes=$2; fi
      shift 2 ;;
    *) flags+=("$1"); shift ;;
  esac
done
for size in $sizes; do
  case $size in
    tiny|small|base|large) ;;
    *) echo "benchmark: unknown size $size: choose tiny, small, base or large" >&2; exit 2 ;;
  esac
done

scripts/setup.sh
mkdir -p "$output"
for size in $sizes; do
  if [ -e "$output/$size.json" ]; then
    printf '== %s: done already, see %s/%s.txt\n' "$size" "$output" "$size"
    continue
  fi
  printf '== %s\n' "$size"
  .venv/bin/ringformer benchmark --size "$size" --autocast bf16 --ctranslate2 int8 \
    --json "$output/.$size.json" --plot "$output/$size.png" ${flags[@]+"${flags[@]}"} | tee "$output/$size.txt"
  mv "$output/.$size.json" "$output/$size.json"
done
