#!/usr/bin/env bash
# Train one architecture on prepared data; its languages are those of the data.
#
#   train.sh --arch ringformer_tiny --data DIR --output DIR [--seed N] [--max-update N] [fairseq-train flags ...]
#
# DIR of --data is what prepare.sh wrote. Every update sees two batches of MAX_TOKENS (1024), whatever the machine: on two GPUs or
# two CPU processes one each, on one device two in turn. An interrupted training resumes from its last checkpoint, and ends
# as if it had not been.
#
# The recipe is tuned for few updates on little data: pre-norm bears a learning rate that post-norm does not, and within
# four epochs dropout only costs. For longer trainings add, say, --dropout 0.1 --activation-dropout 0.1 --lr 2e-3.
set -euo pipefail

arch=ringformer_tiny data= output= seed=1 max_update=2300
more=()
while [ $# -gt 0 ]; do
  case $1 in --arch=*|--data=*|--output=*|--seed=*|--max-update=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --arch|--data|--output|--seed|--max-update)
      if [ $# -lt 2 ]; then echo "train: $1 needs a value (see --help)" >&2; exit 2; fi
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"  # the variable of the flag's name
      shift 2 ;;
    *) more+=("$1"); shift ;;
  esac
done
case $max_update in
  ''|*[!0-9]*) echo "train: --max-update $max_update is no number of updates" >&2; exit 2 ;;
esac
if [ -z "$data" ] || [ -z "$output" ]; then echo "train: needs --data and --output (see --help)" >&2; exit 2; fi
if ! [ -e "$data/recipe.json" ]; then
  echo "train: $data holds no prepared data: run examples/debian_de_en/prepare.sh --output $data first" >&2; exit 2
fi

. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
updates=$(python3 "$root/examples/recipe/updates_so_far.py" "$output/checkpoints" "$arch" "$data/bin" "$seed")
if [ "$updates" -ge "$max_update" ]; then  # fairseq-train would do one more
  echo "train: $output is trained already: $updates updates"; exit 0
fi

gpus=$(python3 -c 'import torch; print(torch.cuda.device_count())')
cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)  # these are of threads, not of cores
workers=1
if [ "$gpus" -ge 2 ]; then
  # The first two of those that there are, or of those that a queue has given.
  export CUDA_VISIBLE_DEVICES=$(cut -d, -f1,2 <<< "${CUDA_VISIBLE_DEVICES:-0,1}")
  workers=2
elif [ "$gpus" -eq 0 ] && [ "$cores" -ge 2 ]; then
  # Two processes of half the cores train faster than one process of all: the matrices are small.
  workers=2
fi

warmup=200
[ "$max_update" -gt 200 ] || warmup=$((max_update / 2))  # a schedule that ended with its warm-up would divide by zero

flags=(
  "$data/bin" --arch "$arch" --share-all-embeddings
  --encoder-normalize-before --decoder-normalize-before --dropout 0 --activation-dropout 0
  --criterion label_smoothed_cross_entropy --label-smoothing 0.1
  --optimizer adam --adam-betas '(0.9, 0.98)' --clip-norm 1.0
  --lr-scheduler cosine --lr 2.5e-3 --warmup-updates "$warmup" --max-update "$max_update"
  --max-tokens "${MAX_TOKENS:-1024}" --required-batch-size-multiple 1 --update-epoch-batch-itr True --update-freq $((2 / workers)) --seed "$seed"
  --save-dir "$output/checkpoints" --no-epoch-checkpoints --save-interval-updates 200 --keep-interval-updates 5
  --validate-interval-updates 500 --log-format tqdm --num-workers 0
  ${more[@]+"${more[@]}"}
)
if [ "$gpus" -ge 1 ]; then
  exec ringformer train "${flags[@]}"
else
  exec ringformer train --processes "$workers" "${flags[@]}" --cpu
fi
