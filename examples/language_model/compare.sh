#!/usr/bin/env bash
# Train and measure language models: compare.sh DATA RUNS [UPDATES [MODEL ...]]. A MODEL is an architecture with its flags, which win.
# LM_FLAGS are for all of them, "--cpu" for one; LM_SEEDS are "1 2". RUNS is of one DATA, UPDATES and LM_FLAGS.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2s/^# //p' "$0" >&2; exit 2; fi
. "$(dirname -- "${BASH_SOURCE[0]}")/../recipe/environment.sh"
data=$1 runs=$2 updates=${3:-5000}
models=("${@:4}")
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
claim "$runs" "$data, $updates updates${LM_FLAGS:+, }${LM_FLAGS-}"
for model in "${models[@]}"; do
  for seed in ${LM_SEEDS:-1 2}; do
    read -rd "" -a flags <<<"$model" || true
    run="$runs/$(tr -s " -" _ <<<"${flags[*]}")seed$seed"
    mkdir -p "$run"
    if [ ! -s "$run/bits.txt" ]; then
      ringformer train "$data" --task language_modeling --arch "${flags[0]}" "${head[@]}" "${cut[@]}" --max-tokens 4096 \
        --decoder-normalize-before --optimizer adam --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates $((updates / 12 + 1)) \
        --clip-norm 1.0 --dropout 0.1 --max-update "$updates" --no-epoch-checkpoints --update-epoch-batch-itr True --num-workers 0 --seed $seed \
        --save-dir "$run" --log-format simple --log-interval 100 ${LM_FLAGS-} "${flags[@]:1}" > "$run/train.log" 2>&1 ||
        { tail -n 1 "$run/train.log" >&2; exit 1; }
      fairseq-eval-lm "$data" --user-dir "$(ringformer user-dir)" --path "$run/checkpoint_best.pt" --gen-subset test \
        --required-batch-size-multiple 1 "${cut[@]}" ${LM_FLAGS-} 2>&1 | python3 "$root/examples/language_model/bits.py" "$data" > "$run/bits.tmp"
      mv "$run/bits.tmp" "$run/bits.txt"
    fi
    echo "$model, seed $seed: $(cat "$run/bits.txt")"
  done
done
