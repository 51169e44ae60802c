"""What a recipe looks at before it works for long."""

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_ringformer.errors import UserError

if TYPE_CHECKING:
    from fairseq_ringformer.text.wordpieces import WordPieces


def make_writable(*folders: Path) -> None:
    """Make ``folders`` where they are not there; UserError if nothing can be written into one."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"cannot write to {folder} ({error.strerror}): choose another folder") from None


def require_modules(*names: str) -> None:
    """UserError if one of these Python modules is not installed; none is imported."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"Python module {name} is missing: install this project with 'pip install -e .' first")


def load_wordpieces(name: str) -> "WordPieces":
    """The WordPiece vocabulary ``name``, with a warning if it cannot note blanks; UserError if there is none."""
    from fairseq_ringformer.text.wordpieces import WordPieces

    try:
        pieces = WordPieces.load(name)
    except ValueError as error:
        raise UserError(f"--wordpiece-model: {error}") from None
    if not pieces.lossless:
        print(f"prepare.sh: warning: {name}: {pieces.LOSSY}", file=sys.stderr)
    return pieces
