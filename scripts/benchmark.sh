#!/usr/bin/env bash
# The whole benchmark table: RingFormer against fairseq's stock transformer in fp32, bf16 and CTranslate2 int8, at the
# sizes base, small and tiny. Each size writes SIZE.txt (table), SIZE.json (everything) and SIZE.png (bars).
# The size vision writes the same of image classifiers, against timm's VisionTransformer in fp32 and bf16, one by one:
# vit_ring_tiny_patch4_28, vit_ring_512_l6_patch16_224 and vit_ring_768_l12_patch16_224.
#
#   scripts/benchmark.sh [--output DIR] [--sizes "base small tiny"] [FLAG ...]
#
# DIR is benchmarks by default; sizes that it holds already are skipped, so an interrupted run goes on where it was.
# FLAGs go to ringformer benchmark, such as --rounds 9 or --measure training (all: ringformer benchmark --help), the same for
# all sizes in DIR; files in them are of the clone's folder. Leave the machine alone meanwhile: other work disturbs the times.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/go_to_root.sh"
. scripts/claim.sh

output=benchmarks sizes="base small tiny" flags=()
while [ $# -gt 0 ]; do
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --output|--sizes)
      if [ $# -lt 2 ]; then echo "benchmark: $1 needs a value (see --help)" >&2; exit 2; fi
      if [ "$1" = --output ]; then output=$(path "$2"); else sizes=$2; fi
      shift 2 ;;
    --output=*|--sizes=*|--measure=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --size|--size=*|--arch|--arch=*) echo "benchmark: $1 would measure one model under every name: use --sizes" >&2; exit 2 ;;
    --json|--json=*|--plot|--plot=*) echo "benchmark: $1 is set for each size: use --output DIR" >&2; exit 2 ;;
    *) flags+=("$1"); shift ;;
  esac
done
extras=(analysis)
for size in $sizes; do
  case $size in
    tiny|small|base|large) extras+=(fairseq deploy) ;;
    vision) extras+=(vision) ;;
    *) echo "benchmark: unknown size $size: choose tiny, small, base, large or vision" >&2; exit 2 ;;
  esac
done

claim "$output" settings "flags: ${flags[*]:-none}"
scripts/setup.sh "${extras[@]}"

measure() {  # NAME FLAG ...: one table, unless it is there
  local name=$1
  shift
  if [ -e "$output/$name.json" ]; then
    printf '== %s: done already, see %s/%s.txt\n' "$name" "$output" "$name"
    return
  fi
  printf '== %s\n' "$name"
  .venv/bin/ringformer benchmark "$@" --json "$output/.$name.json" --plot "$output/$name.png" \
    ${flags[@]+"${flags[@]}"} | tee "$output/$name.txt"
  mv "$output/.$name.json" "$output/$name.json"
}

# CTranslate2 only generates.
case " ${flags[*]-} " in
  *" --measure "*" generation "*) exported=(--ctranslate2 int8) ;;
  *" --measure "*) exported=() ;;
  *) exported=(--ctranslate2 int8) ;;
esac
for size in $sizes; do
  if [ "$size" = vision ]; then
    for arch in vit_ring_tiny_patch4_28 vit_ring_512_l6_patch16_224 vit_ring_768_l12_patch16_224; do
      measure "$arch" --arch "$arch" --mixed-precision bf16
    done
  else
    measure "$size" --size "$size" --autocast bf16 ${exported[@]+"${exported[@]}"}
  fi
done
