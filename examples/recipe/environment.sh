# Sourced by the recipes' scripts: python3 and the commands are those of .venv where there is one, and know this project.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/bin:$PATH"
# fairseq's and torch's notices to developers would bury the progress.
export PYTHONWARNINGS=ignore::FutureWarning,ignore::UserWarning
if ! python3 -c 'import fairseq_ringformer, lxml, tabulate, tqdm' 2>/dev/null; then
  echo "$(basename -- "$0"): this project is not installed: run scripts/setup.sh first" >&2; exit 1
fi

claim() {  # FOLDER SETTINGS: make a folder of runs, or refuse one whose runs have other settings
  if [ -e "$1/settings" ] && [ "$(cat "$1/settings")" != "$2" ]; then
    echo "$(basename -- "$0" .sh): $1 holds models of $(cat "$1/settings"): choose another folder" >&2; exit 2
  fi
  mkdir -p "$1"
  echo "$2" > "$1/settings"
}
