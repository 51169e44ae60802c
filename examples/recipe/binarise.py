"""Call fairseq's own preprocessing on German-English sub-word files, with one dictionary for both languages."""

import subprocess
import sys
from pathlib import Path

from recipe.errors import RecipeError

# fairseq's dictionary, in the folder of the cut text, where the vocabulary and not the text says what is in it.
DICTIONARY = "dict.txt"
# fairseq's <s>, <pad>, </s> and <unk>, which its limit on a dictionary's entries counts too.
OWN_SYMBOLS = 4


def binarise(sub: Path, folder: Path, workers: int = 1, most: int | None = None) -> None:
    """Write fairseq's binary data for ``sub``/{train,valid,test}.{de,en} into ``folder``.

    ``dict.de.txt`` and ``dict.en.txt`` are the same dictionary: ``sub``'s own if it has one, or else that of the
    training text, the ``most`` frequent sub-words if there is a limit. Raises RecipeError if fairseq refuses.
    """
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "--source-lang", "de", "--target-lang", "en"]
    command += [f"--{split}pref={sub / split}" for split in ("train", "valid", "test")]
    command += ["--joined-dictionary", "--destdir", str(folder), "--workers", str(workers)]
    if (sub / DICTIONARY).is_file():
        command += ["--srcdict", str(sub / DICTIONARY)]
    elif most is not None:
        command += ["--nwordssrc", str(most + OWN_SYMBOLS), "--nwordstgt", str(most + OWN_SYMBOLS)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise RecipeError(f"fairseq-preprocess failed ({last}): run it by hand on {sub} to see all it prints")
