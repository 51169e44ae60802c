"""Call fairseq's own preprocessing on sub-word files, with one dictionary for both languages."""

import subprocess
import sys
from pathlib import Path

from corpus.subwords import DICTIONARY
from recipe.errors import RecipeError


def binarise(sub: Path, folder: Path) -> None:
    """Write fairseq's binary data for ``sub``/{train,valid,test}.{de,en} into ``folder``.

    ``dict.de.txt`` and ``dict.en.txt`` are the same dictionary, ``sub``'s own if it has one. Raises RecipeError if
    fairseq refuses.
    """
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "--source-lang", "de", "--target-lang", "en"]
    command += [f"--{split}pref={sub / split}" for split in ("train", "valid", "test")]
    command += ["--joined-dictionary", "--destdir", str(folder), "--workers", "1"]
    if (sub / DICTIONARY).is_file():
        command += ["--srcdict", str(sub / DICTIONARY)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise RecipeError(f"fairseq-preprocess failed ({last}): run it by hand on {sub} to see all it prints")
