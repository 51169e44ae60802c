"""What a recipe looks at before it works for long."""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.errors import RecipeError

if TYPE_CHECKING:
    from fairseq_ringformer.text.wordpieces import WordPieces


def number(least: float, kind: Callable = int) -> Callable:
    """An argparse type: a number of ``kind``, at least ``least``."""

    def parse(text: str):
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    parse.__name__ = kind.__name__
    return parse


def make_writable(*folders: Path) -> None:
    """Make ``folders`` where they are not there; RecipeError if nothing can be written into one."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise RecipeError(f"cannot write to {folder} ({error.strerror}): choose another folder") from None


def require_modules(*names: str) -> None:
    """RecipeError if one of these Python modules is not installed; none is imported."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(f"Python module {name} is missing: install this project with 'pip install -e .' first")


def load_wordpieces(name: str) -> "WordPieces":
    """The WordPiece vocabulary ``name``, with a warning if it cannot note blanks; RecipeError if there is none."""
    from fairseq_ringformer.text.wordpieces import WordPieces

    try:
        pieces = WordPieces.load(name)
    except ValueError as error:
        raise RecipeError(f"--wordpiece-model: {error}") from None
    if not pieces.lossless:
        print(f"prepare.sh: warning: {name}: {pieces.LOSSY}", file=sys.stderr)
    return pieces
