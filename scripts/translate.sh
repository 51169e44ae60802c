#!/usr/bin/env bash
# Translate German text with the quickstart's model, or another run's: see --help.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
run=${RUN:-$root/runs/ringformer_tiny}

usage() {
    cat <<TEXT
usage: scripts/translate.sh [--run DIR] [FLAG ...] [TEXT ...]

Translate TEXT, or else standard input line by line, with the model of scripts/quickstart.sh.

  scripts/translate.sh "Klicken Sie auf die Schaltfläche Speichern."
  scripts/translate.sh < german.txt > english.txt

  --run DIR    folder of a run: its averaged.pt, or else its checkpoint_best.pt; default: \$RUN or runs/ringformer_tiny
  FLAG         any other flag of ringformer translate, such as --beam 8 or --json (all: ringformer translate --help)
TEXT
}

rest=()
while [ "$#" -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --run)
            if [ "$#" -lt 2 ]; then
                echo "translate.sh: --run needs a folder" >&2
                exit 2
            fi
            run=$2
            shift 2
            ;;
        --run=*) run=${1#*=}; shift ;;
        --) rest+=("$@"); break ;;
        *) rest+=("$1"); shift ;;
    esac
done

for model in "$run/averaged.pt" "$run/checkpoint_best.pt" "$run/checkpoints/checkpoint_best.pt" ""; do
    [ ! -f "$model" ] || break
done
if [ -z "$model" ]; then
    echo "translate.sh: no averaged.pt or checkpoint_best.pt in $run: train a model first with scripts/quickstart.sh" >&2
    exit 2
fi

ringformer=$root/.venv/bin/ringformer
[ -x "$ringformer" ] || ringformer=ringformer
exec "$ringformer" translate --path "$model" ${rest[@]+"${rest[@]}"}
