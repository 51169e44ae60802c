#!/usr/bin/env bash
# For a machine with a GPU: does all of this compute there what it computes on a CPU, and how fast is it? Four steps, their
# results in one folder:
#
#   tests       the tests marked gpu: every architecture and signal in float32, bf16 and fp16, against the CPU's results
#   benchmark   training and generation against fairseq's stock transformer, in float32, bf16 and fp16
#   compile     training with the stacks compiled by torch.compile
#   trainings   several models side by side on the one GPU: ringformer study
#
#   scripts/gpu.sh [--minutes N] [--output DIR] [--steps "tests benchmark compile trainings"] [--size SIZE]
#                  [--grid NAME] [--data DIR] [--jobs N] [--budget TIME] [--cpu] [--installed] [FLAG ...]
#
# --minutes    after which it stops (10; the installation is not counted). The same command goes on from there: steps
#              whose results are in DIR (benchmarks/gpu) are skipped, trainings resume, and each call has N minutes anew
# --size       of the models that are measured: tiny, small, base (default) or large
# --grid       table that is trained (table1_small); --data: prepared text (data/debian_de_en_quick_4000 if it is there,
#              else numbers in words, which need no network); --jobs: trainings side by side (4, the rows of that table)
# --budget     of each training, such as 20m; default: what is left of N minutes for one round of jobs
# --cpu        try it on a CPU at toy size, in some minutes
# --installed  use the python on the path, and what it has, instead of installing into .venv
# FLAG         goes to ringformer study, such as --seeds 1 2, --autocast bf16 or --lr 2e-3; files in it are of the clone's folder
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/go_to_root.sh"
. scripts/claim.sh

minutes=10 output=benchmarks/gpu steps="tests benchmark compile trainings" size=base grid=table1_small data='' jobs=4
budget='' device=cuda installed='' flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes=*|--output=*|--steps=*|--size=*|--grid=*|--data=*|--jobs=*|--budget=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
  esac
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --cpu) device=cpu; shift ;;
    --installed) installed=yes; shift ;;
    --minutes|--output|--steps|--size|--grid|--data|--jobs|--budget)
      if [ $# -lt 2 ]; then echo "gpu: $1 needs a value (see --help)" >&2; exit 2; fi
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"  # the variable of the flag's name
      shift 2 ;;
    *) flags+=("$1"); shift ;;
  esac
done
for number in "$minutes" "$jobs"; do
  case $number in
    ''|0|*[!0-9]*) echo "gpu: $number is no number of minutes or jobs: write 10, say" >&2; exit 2 ;;
  esac
done
case $size in
  tiny|small|base|large) ;;
  *) echo "gpu: unknown size $size: choose tiny, small, base or large" >&2; exit 2 ;;
esac
if ! [[ $budget =~ ^([0-9]+\.?[0-9]*[smhd])?$ ]]; then
  echo "gpu: $budget is no time: write 90s, 20m or 1.5h" >&2; exit 2
fi
[ "$output" = benchmarks/gpu ] || output=$(path "$output")
data=$(path "$data")
if [ -n "$data" ] && ! [ -d "$data" ]; then echo "gpu: $data: no such folder of prepared text" >&2; exit 2; fi
for name in $steps; do
  case $name in
    tests|benchmark|compile|trainings) ;;
    *) echo "gpu: unknown step $name: choose tests, benchmark, compile or trainings" >&2; exit 2 ;;
  esac
done

ringformer=(ringformer)
if [ -z "$installed" ]; then
  scripts/setup.sh dev
  export PATH="$PWD/.venv/bin:$PATH"
else
  ringformer=(python -m fairseq_ringformer.cli.main)
  export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
fi
if [ "$device" = cuda ]; then
  if ! python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu: torch finds no GPU here: scripts/gpu.sh --cpu tries all of this on a CPU, at toy size" >&2
    exit 1
  fi
  export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}  # one GPU is what is measured
fi
claim "$output" settings "$device --size $size --grid $grid${data:+ --data $data}${flags[*]+ ${flags[*]}}"
started=$SECONDS
rest=() failed=() running=''
trap 'kill $running 2>/dev/null; exit 130' INT TERM  # a step is a process group of its own, which Ctrl-C does not reach

# Toy sizes, to try the script itself.
toy=() small=() few=() short=() measured=(training generation memory) less=()
compiled="float32 bf16"
if [ "$device" = cpu ]; then
  size=tiny
  toy=(-k "(ringformer or size) and not compiled")
  small=(--encoder-embed-dim 16 --encoder-ffn-embed-dim 32 --encoder-layers 2 --decoder-layers 2
    --encoder-attention-heads 2 --decoder-attention-heads 2 --vocab-size 40 --threads 1)
  few=(--batch-size 4 --beam 2)
  less=(--max-tokens 64)
  compiled=float32
  short=(--cpu --max-tokens 400 --beam 1)
fi

left() { echo $((60 * minutes + started - SECONDS)); }

step() {  # NAME COMMAND ...: what it prints in NAME.txt, unless that is there; in NAME.part until it is done
  local name=$1 status=0 log tee
  shift
  if [ -e "$output/$name.txt" ]; then
    printf '== %s: done before, see %s/%s.txt\n' "$name" "$output" "$name"
    return
  fi
  if [ "$(left)" -lt 5 ]; then
    rest+=("$name")
    return
  fi
  printf '== %s: %s\n' "$name" "$*"
  exec {log}> >(exec tee -i "$output/$name.part")
  tee=$!
  timeout -k 30 "$(left)" "$@" >&"$log" {log}>&- &
  running=$!
  wait "$running" || status=$?
  running=''
  exec {log}>&-
  wait "$tee"  # what it writes is all there from now on
  if [ "$status" = 0 ]; then
    mv "$output/$name.part" "$output/$name.txt"
  elif [ "$(left)" -le 0 ]; then
    rest+=("$name")
  else
    echo "gpu: $name failed, see above and $output/$name.part" >&2
    failed+=("$name")
  fi
}

tests() {
  step tests env RINGFORMER_TEST_DEVICE="$device" python -m pytest -m gpu -q -p no:cacheprovider tests/gpu \
    ${toy[@]+"${toy[@]}"}
}

benchmark() {
  local precision
  for precision in float32 bf16 fp16; do
    step "benchmark_$precision" "${ringformer[@]}" benchmark --size "$size" --device "$device" --precision "$precision" \
      --measure "${measured[@]}" --rounds 3 --json "$output/benchmark_$precision.json" \
      ${small[@]+"${small[@]}"} ${few[@]+"${few[@]}"} ${less[@]+"${less[@]}"}
    if [ "$device" = cpu ]; then measured=(generation) less=(); fi  # fairseq trains in other types on GPUs alone
  done
}

compile() {
  local precision
  for precision in $compiled; do
    step "compile_$precision" "${ringformer[@]}" benchmark --size "$size" --device "$device" --precision "$precision" \
      --compile --measure training --rounds 3 --json "$output/compile_$precision.json" \
      ${small[@]+"${small[@]}"} ${small[@]+--max-tokens 64}
  done
}

prepare() {  # sets `data`
  if [ -n "$data" ]; then return; fi
  data=data/debian_de_en_quick_4000
  if [ -d "$data/bin" ]; then return; fi
  data=$output/numbers
  if [ "$device" = cpu ]; then set -- --sizes 900 16 16 --vocab-size 120; else set -- --vocab-size 150; fi
  step numbers examples/debian_de_en/prepare.sh --source numbers --output "$data" "$@"
}

trainings() {
  prepare
  local length
  if [ -n "$budget" ]; then
    length=(--budget "$budget")
  elif [ "$device" = cpu ]; then
    length=(--updates 2)
  else
    # What the first call had left holds for those that go on with it. Two minutes go into starting, measuring and scoring.
    if [ ! -e "$output/budget" ] && [ "$(left)" -ge 150 ]; then echo "$(($(left) - 120))s" >"$output/budget"; fi
    if [ ! -e "$output/budget" ]; then
      rest+=(trainings)
      return
    fi
    length=(--budget "$(cat "$output/budget")")
  fi
  step trainings "${ringformer[@]}" study --grid "$grid" --data "$data" --output "$output/study" --jobs "$jobs" \
    "${length[@]}" ${short[@]+"${short[@]}"} ${flags[@]+"${flags[@]}"}
  if [ -e "$output/trainings.txt" ]; then
    step report "${ringformer[@]}" report --results "$output/study/results.jsonl" --output "$output/report"
  fi
}

for name in $steps; do "$name"; done
printf '== %d seconds; results are in %s\n' "$((SECONDS - started))" "$output"
if [ ${#rest[@]} -gt 0 ]; then echo "gpu: no time was left for ${rest[*]}: the same command goes on with it"; fi
[ ${#failed[@]} = 0 ]
