# Sourced by scripts that keep results: what is there already is not done again, so it must be what is asked for.
claim() {  # FOLDER FILE VALUE: keep VALUE in FOLDER/FILE, or refuse a folder that has another one
  if [ -e "$1/$2" ] && [ "$(cat -- "$1/$2")" != "$3" ]; then
    echo "$(basename -- "$0" .sh): $1 holds results of $(cat -- "$1/$2"): choose another folder" >&2; exit 2
  fi
  mkdir -p -- "$1"
  echo "$3" >"$1/$2"
}
