#!/usr/bin/env bash
# Train and measure language models: compare.sh DATA RUNS [UPDATES [MODEL ...]]. A MODEL is an architecture with its flags, which win.
# LM_FLAGS are for all of them, "--cpu" for one; LM_SEEDS are "1 2". RUNS is of one DATA, UPDATES and LM_FLAGS.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2s/^# //p' "$0" >&2; exit 2; fi
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
data=$1 runs=$2 updates=${3:-5000}
models=("${@:4}")
case $updates in
  ''|*[!0-9]*) echo "compare: $updates is no number of updates" >&2; exit 2 ;;
esac
if ! [ -e "$data/sizes.json" ]; then
  echo "compare: $data holds no data: run examples/language_model/prepare.sh first, and name its bin folder" >&2; exit 2
fi
# Of about the parameters of six levels of vanilla, embeddings included: a ring of six levels at this width.
if grep -q '"dna"' "$data/sizes.json"; then
  cut=(--sample-break-mode eos --tokens-per-sample 512) head=() width=416
else
  cut=(--tokens-per-sample 256) head=(--share-decoder-input-output-embed) width=360
fi
if [ ${#models[@]} = 0 ]; then
  for name in ringformer universal_transformer one_wide_ffn vanilla_transformer; do
    models+=("${name}_lm_tiny --decoder-layers 6")
  done
  models+=("vanilla_transformer_lm_tiny --decoder-layers 1")
  models+=("ringformer_lm_tiny --decoder-layers 6 --decoder-embed-dim $width --decoder-ffn-embed-dim $((4 * width))
    --decoder-attention-heads 8")
fi
claim "$runs" settings "$data, $updates updates${LM_FLAGS:+, }${LM_FLAGS-}"
claim "$runs" data "sequences that $data held before ($(cat "$data"/{dict.txt,sizes.json} | sha256sum | cut -c1-16))"
measured=(--max-tokens 4096)  # figures do not depend on it, and what else LM_FLAGS has is for trainings
case " ${LM_FLAGS-} " in *" --cpu "*) measured+=(--cpu) ;; esac
for model in "${models[@]}"; do
  for seed in ${LM_SEEDS:-1 2}; do
    read -rd "" -a flags <<<"$model" || true
    run="$runs/$(tr -s " -" _ <<<"${flags[*]}")seed$seed"
    mkdir -p "$run"
    if [ ! -s "$run/bits.txt" ]; then
      so_far=$(python3 "$root/examples/recipe/updates_so_far.py" "$run" "${flags[0]}" "$data" "$seed")
      if [ "$so_far" -lt "$updates" ]; then  # fairseq-train would do one more
        ringformer train "$data" --task language_modeling --arch "${flags[0]}" "${head[@]}" "${cut[@]}" --max-tokens 4096 \
          --decoder-normalize-before --optimizer adam --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates $((updates / 12 + 1)) \
          --clip-norm 1.0 --dropout 0.1 --max-update "$updates" --no-epoch-checkpoints --update-epoch-batch-itr True --num-workers 0 \
          --seed "$seed" --save-dir "$run" --log-format simple --log-interval 100 ${LM_FLAGS-} "${flags[@]:1}" >> "$run/train.log" 2>&1 ||
          { tail -n 1 "$run/train.log" >&2; exit 1; }
      fi
      fairseq-eval-lm "$data" --user-dir "$(ringformer user-dir)" --path "$run/checkpoint_best.pt" --gen-subset test \
        --required-batch-size-multiple 1 "${cut[@]}" "${measured[@]}" 2>&1 |
        python3 "$root/examples/language_model/bits.py" "$data" > "$run/bits.tmp"
      mv "$run/bits.tmp" "$run/bits.txt"
    fi
    echo "$model, seed $seed: $(cat "$run/bits.txt")"
  done
done
