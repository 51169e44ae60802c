#!/usr/bin/env bash
# Install, fetch the images, train a classifier, evaluate it.
#
#   scripts/train_classifier.sh --data fashion-mnist --model vit_ring_tiny_patch4_28 [--seed N] [--output DIR] [FLAG...]
#
# --data      fashion-mnist (fetched, and trained on by examples/fashion_mnist/config.yaml), or a folder of images
# --model     vit_ring_tiny_patch4_28 by default; vit_universal_..., vit_owf_... and vit_vanilla_... compare with it
# --output    runs/MODEL_seedN by default
# FLAG        any other flag of ringformer train-classifier, such as --epochs 5, --dataset wds/ or --config FILE; files in it,
#             but that of --config, are of the clone's folder
#
# Finished steps are skipped, an interrupted training resumes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/go_to_root.sh"

data='' model='' seed='' output='' config='' dataset='' valid_split='' flags=()
while [ $# -gt 0 ]; do
  case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --data|--model|--seed|--output|--config|--dataset|--valid-split)
      if [ $# -lt 2 ]; then echo "train_classifier: $1 needs a value (see --help)" >&2; exit 2; fi
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"  # the variable of the flag's name
      shift 2 ;;
    *) flags+=("$1"); shift ;;
  esac
done
if [ -z "$data" ]; then echo "train_classifier: --data is missing (see --help)" >&2; exit 2; fi
output=$(path "$output") config=$(path "$config")
if [ "$data" = fashion-mnist ]; then
  config=${config:-examples/fashion_mnist/config.yaml}
else
  data=$(path "$data")
fi

step() { printf '\n== %s\n' "$1"; }

step "1/4 install into .venv"
scripts/setup.sh vision
export PATH="$PWD/.venv/bin:$PATH"

configured() {  # KEY DEFAULT: what the configuration file says, if there is one; what is wrong with it, the training tells
  python -c 'import sys, yaml
file, key, default = sys.argv[1:]
try:
    values = {str(name).replace("_", "-"): value for name, value in yaml.safe_load(open(file)).items()}
except (OSError, ValueError, AttributeError, yaml.YAMLError):
    values = {}
print(default if values.get(key) is None else values[key])' "$config" "$1" "$2"
}
model=${model:-$(configured model vit_ring_tiny_patch4_28)}
seed=${seed:-$(configured seed 1)}
output=${output:-$(configured output "runs/${model}_seed$seed")}
dataset=${dataset:-$(configured dataset '')}
valid_split=${valid_split:-$(configured valid-split '')}

step "2/4 prepare the images"
if [ "$data" = fashion-mnist ]; then
  data=data/fashion_mnist
  dataset=${dataset:-torch/fashion_mnist}
  examples/fashion_mnist/prepare.sh --output "$data"
else
  echo "those in $data"
fi
set -- --data "$data"
if [ -n "$dataset" ]; then set -- "$@" --dataset "$dataset"; fi

step "3/4 train $model into $output (interrupt it and run this again: it resumes)"
ringformer train-classifier ${config:+--config "$config"} "$@" ${valid_split:+--valid-split "$valid_split"} \
  --model "$model" --seed "$seed" --output "$output" ${flags[@]+"${flags[@]}"}

step "4/4 evaluate $output/best.pt"
ringformer evaluate --path "$output/best.pt" "$@" ${valid_split:+--split "$valid_split"} --per-class
