"""Dictionaries that only their symbols tell apart, for tests."""

import shutil
from collections.abc import Sequence
from pathlib import Path


def turn(data: Path, output: Path, languages: Sequence[str] = ("de", "en")) -> Path:
    """Copy binary data to `output`, with as many symbols in the dictionaries of `languages`, in another order."""
    shutil.copytree(data, output)
    for path in (output / f"dict.{language}.txt" for language in languages):
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[::-1]), encoding="utf-8")
    return output
