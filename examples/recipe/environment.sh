# Sourced by the recipes' scripts: python3 and the commands are those of .venv where there is one, and know this project.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/bin:$PATH"
# fairseq's and torch's notices to developers would bury the progress.
export PYTHONWARNINGS=ignore::FutureWarning,ignore::UserWarning
if ! python3 -c 'import fairseq_ringformer, lxml, tabulate, tqdm' 2>/dev/null; then
  echo "$(basename -- "$0"): this project is not installed: run scripts/setup.sh first" >&2; exit 1
fi
. "$root/scripts/claim.sh"
