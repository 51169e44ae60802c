# Sourced by the scripts: goes to the root of the clone, and knows where they were called.
from=$PWD/
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$from" != "$PWD/" ] || from=''
path() { case $1 in ''|/*) echo "$1" ;; *) echo "$from$1" ;; esac; }  # FILE, of the folder that they were called in
