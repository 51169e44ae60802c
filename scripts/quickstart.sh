#!/usr/bin/env bash
# From a clone to a translator: install, fetch real German-English text, train, average, translate the test set, score it.
#
#   scripts/quickstart.sh [--arch ARCH] [--seed N] [--set quick|full] [--vocab-size N] [--max-update N]
#   scripts/quickstart.sh --files FILE.SRC FILE.TGT [--source-lang SRC] [--target-lang TGT] [...]
#   scripts/quickstart.sh --source numbers [--source-lang de] [--target-lang en] [...]
#
# With --files the text is your own: line N of both files, in UTF-8, is a sentence and its translation.
# With --source numbers the text is numbers in words, of any two languages that num2words knows: no Debian, no network, and
# three minutes of training on two cores.
#
# ARCH is ringformer_tiny by default; universal_transformer_tiny, one_wide_ffn_tiny and vanilla_transformer_tiny train on
# the same data by the same recipe. Results go to runs/ARCH; what differs from the defaults is in the folder's name, as in
# runs/ARCH-DATA_seed2_updates2500. Finished steps are skipped, an interrupted training resumes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/go_to_root.sh"

arch=ringformer_tiny seed=1 set='' source='' source_lang='' target_lang='' vocab_size='' max_update='' files=()
while [ $# -gt 0 ]; do
  case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
  case $1 in
    --files)
      if [ $# -lt 3 ]; then echo "quickstart: --files needs two files (see --help)" >&2; exit 2; fi
      for file in "$(path "$2")" "$(path "$3")"; do
        if [ ! -f "$file" ]; then echo "quickstart: no file $file" >&2; exit 2; fi
        files+=("$file")
      done
      shift 3 ;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --arch|--seed|--set|--source|--source-lang|--target-lang|--vocab-size|--max-update)
      if [ $# -lt 2 ]; then echo "quickstart: $1 needs a value (see --help)" >&2; exit 2; fi
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"  # the variable of the flag's name
      shift 2 ;;
    *) echo "quickstart: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
done

for number in "$seed" "$vocab_size" "$max_update"; do
  case $number in *[!0-9]*) echo "quickstart: $number is no whole number" >&2; exit 2 ;; esac
done

if [ ${#files[@]} = 0 ]; then
  case ${source:=debian} in
    debian|numbers) ;;
    *) echo "quickstart: --source $source is none of debian and numbers (text of your own: --files)" >&2; exit 2 ;;
  esac
elif [ -z "$source" ]; then
  source=files
else
  echo "quickstart: --files and --source exclude each other" >&2; exit 2
fi

step() { printf '\n== %s\n' "$1"; }

if [ "$source" != debian ] && [ -n "$set" ]; then
  echo "quickstart: --set is for --source debian: leave it out" >&2; exit 2
fi
# The plain name of data is prepare.sh's own, for as many sub-words as it makes by default. The length penalty was chosen on the
# validation set: without it, models this small stop too early.
plain_size=8000 size=4000 updates=2300 last=3 search=(--lenpen 2)
case $source in
  debian)
    if [ -n "$source_lang$target_lang" ]; then
      echo "quickstart: --source-lang and --target-lang are for numbers and files: leave them out" >&2; exit 2
    fi
    options=(--set "${set:=quick}")
    data=data/debian_de_en_$set ;;
  files)
    : "${source_lang:=${files[0]##*.}}" "${target_lang:=${files[1]##*.}}"
    for language in "$source_lang" "$target_lang"; do
      case $language in
        *[!A-Za-z0-9_]*) echo "quickstart: what language is $language? Name both by --source-lang and --target-lang" >&2; exit 2 ;;
      esac
    done
    options=(--files "${files[@]}" --source-lang "$source_lang" --target-lang "$target_lang")
    name=${files[0]##*/}
    data=data/${name%.*}_${source_lang}_$target_lang ;;
  numbers)
    plain_size=150 size=150 updates=400 last=1  # so few leave two checkpoints, the first of them half trained
    # With more hypotheses, label smoothing makes a model this young prefer to leave digits out.
    search=(--beam 1)
    options=(--source-lang "${source_lang:=de}" --target-lang "${target_lang:=en}")
    data=data/numbers_${source_lang}_$target_lang ;;
esac
: "${vocab_size:=$size}"
: "${max_update:=$updates}"
if [ "$max_update" -lt "$last" ]; then
  echo "quickstart: --max-update $max_update is too few: $last checkpoints are averaged" >&2; exit 2
fi
save=200  # updates between two checkpoints: train.sh's own
[ "$max_update" -ge $((save * last)) ] || save=$((max_update / last))
[ "$vocab_size" = "$plain_size" ] || data=${data}_$vocab_size
run=runs/$arch
[ "$data" = data/debian_de_en_quick_4000 ] || run=$run-${data##*/}
[ "$seed" = 1 ] || run=${run}_seed$seed
[ "$max_update" = "$updates" ] || run=${run}_updates$max_update

step "1/5 install into .venv"
scripts/setup.sh fairseq recipes
export PATH="$PWD/.venv/bin:$PATH"
ringformer params --arch "$arch" --vocab-size "$vocab_size" >/dev/null  # a misspelt name ends here, not after a download

step "2/5 prepare $data"
examples/debian_de_en/prepare.sh --source "$source" "${options[@]}" --vocab-size "$vocab_size" --output "$data"

step "3/5 train $arch for $max_update updates (interrupt it and run this again: it resumes)"
started=$SECONDS
examples/debian_de_en/train.sh --arch "$arch" --data "$data" --output "$run" --seed "$seed" --max-update "$max_update" \
  --save-interval-updates "$save"
echo "$((SECONDS - started)) seconds"

step "4/5 average the last checkpoints"
checkpoints=(--dir "$run/checkpoints" --last "$last" --by update)
if [ "$(find "$run/checkpoints" -name 'checkpoint_*_*.pt' | wc -l)" -lt "$last" ]; then
  checkpoints=("$run/checkpoints/checkpoint_last.pt")  # of a short text, where epochs end at these updates, fairseq keeps no other
fi
ringformer average "${checkpoints[@]}" --output "$run/averaged.pt"

step "5/5 translate the test set and score it"
examples/debian_de_en/evaluate.sh --data "$data" --path "$run/averaged.pt" "${search[@]}"

text="Klicken Sie auf die Schaltfläche Speichern."
if [ "$source" != debian ]; then text=$(head -n 1 "$data/raw/test.$source_lang"); fi

flag=''
if [ "$run" != runs/ringformer_tiny ]; then printf -v flag -- '--run %q ' "$run"; fi

cat <<EOF

The model is $run/averaged.pt. Translate your own text with it:
  scripts/translate.sh $flag${text@Q}
  scripts/translate.sh $flag< input.txt > output.txt
EOF
