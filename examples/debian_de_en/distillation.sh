#!/usr/bin/env bash
# What a teacher's translations are worth, and what a small model costs: students of several kinds, each trained on a set as
# it is and on a teacher's translations of it, compared in BLEU, size and speed.
#
#   distillation.sh [--data DIR] [--output DIR] [--updates N] [--teacher-updates N] [--seed N] [MODEL ...]
#
# --data     a prepared set (data/debian_de_en_full_4000, which is made if it is not there)
# --output   where models, the set of the teacher's translations, table and figure go (runs/distillation); of one data set,
#            length and seed
# MODEL      vanilla_transformer, ringformer, universal_transformer, ringformer_no_signals, ringformer_deep (4 + 2 levels),
#            ringformer_wide (288/1152, about a vanilla model's parameters) or vanilla_shallow (1 + 1 levels, about a ring's), or
#            one of these with _distilled behind it, which learns from the teacher; default: the first three, each both ways
#
# All are of the quickstart's size, see the same batches and have one recipe; the teacher, a vanilla model, trains for longer.
# The table compares them with the first that is named. It needs scripts/setup.sh recipes deploy analysis.
# Finished steps are skipped, an interrupted one goes on.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
recipe=$root/examples/debian_de_en

declare -A architectures=(
  [vanilla_transformer]="vanilla_transformer_tiny"
  [ringformer]="ringformer_tiny"
  [universal_transformer]="universal_transformer_tiny"
  [ringformer_no_signals]="ringformer_tiny --signal none"
  [ringformer_deep]="ringformer_tiny --encoder-layers 4 --decoder-layers 2"
  [ringformer_wide]="ringformer_tiny --encoder-embed-dim 288 --encoder-ffn-embed-dim 1152"
  [vanilla_shallow]="vanilla_transformer_tiny --encoder-layers 1 --decoder-layers 1"
)
data='' output=runs/distillation updates=3400 teacher_updates=6600 seed=1 models=()
while [ $# -gt 0 ]; do
  case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --data|--output|--updates|--teacher-updates|--seed)
      if [ $# -lt 2 ]; then echo "distillation: $1 needs a value (see --help)" >&2; exit 2; fi
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"  # the variable of the flag's name
      shift 2 ;;
    *)
      if [ -z "${architectures[${1%_distilled}]-}" ]; then echo "distillation: unknown argument $1 (see --help)" >&2; exit 2; fi
      models+=("$1"); shift ;;
  esac
done
for number in "$updates" "$teacher_updates"; do
  case $number in
    ''|*[!0-9]*) echo "distillation: $number is no number of updates" >&2; exit 2 ;;
  esac
done
if [ ${#models[@]} = 0 ]; then
  for name in vanilla_transformer ringformer universal_transformer; do models+=("$name" "${name}_distilled"); done
fi

train() {  # NAME DATA UPDATES: train, average, score with fairseq-generate, export what folds
  local run=$output/$1 last=ct2
  case $1 in universal_transformer*) last=scores.json ;; esac
  [ -e "$run/$last" ] && return
  printf '\n== %s\n' "$1"
  # Three checkpoints are averaged: a trial of few updates leaves as many.
  local flags=(--arch ${architectures[${1%_distilled}]} --save-interval-updates $(($3 < 600 ? $3 / 3 : 200))
    --warmup-updates $(($3 > 400 ? 400 : $3 / 2)))
  "$recipe/train.sh" --data "$2" --output "$run" --max-update "$3" --seed "$seed" --lr 2.5e-3 "${flags[@]}"
  ringformer average --dir "$run/checkpoints" --last 3 --by update --output "$run/averaged.pt"
  "$recipe/evaluate.sh" --data "$data" --path "$run/averaged.pt" --lenpen 2
  [ $last != ct2 ] || ringformer export --path "$run/averaged.pt" --to ctranslate2 --quantization int8 --output "$run/ct2"
}

# The last steps need them: hours later would be too late to say so.
if ! missing=$(python3 -c 'from fairseq_ringformer.extras import require; require("ctranslate2", "matplotlib")' 2>&1); then
  echo "distillation: ${missing##*MissingPackage: }" >&2; exit 1
fi
if [ -n "$data" ] && ! [ -e "$data/recipe.json" ]; then
  echo "distillation: $data holds no prepared data: run examples/debian_de_en/prepare.sh --output $data first" >&2; exit 2
fi
claim "$output" settings \
  "--data ${data:-data/debian_de_en_full_4000} --updates $updates --teacher-updates $teacher_updates --seed $seed"
distilled=$output/translations

if [ -z "$data" ]; then
  data=data/debian_de_en_full_4000
  "$recipe/prepare.sh" --set full --vocab-size 4000 --output "$data"
fi
claim "$output" data "text that $data held before ($(cat "$data"/raw/* "$data"/bin/dict.* | sha256sum | cut -c1-16))"
for name in "${models[@]}"; do
  case $name in
    *_distilled)
      architectures[teacher]=${architectures[vanilla_transformer]}
      train teacher "$data" "$teacher_updates"
      [ -e "$distilled" ] || ringformer distill --teacher "$output/teacher/ct2" --data "$data" --output "$distilled" --lenpen 2
      train "$name" "$distilled" "$updates" ;;
    *) train "$name" "$data" "$updates" ;;
  esac
done
python3 "$recipe/distillation.py" --data "$data" --runs "$output" --baseline "${models[0]}"
