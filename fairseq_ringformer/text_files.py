"""Text files: cut at line feeds alone, written whole or not at all."""

import os
from pathlib import Path
from typing import List


def read_lines(path: Path) -> List[str]:
    """The lines of a text file, cut at line feeds alone (other separators may stand within a sentence)."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all, also where power fails."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
