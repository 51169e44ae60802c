"""What a recipe looks at before it works for long."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_ringformer.errors import UserError, about

if TYPE_CHECKING:
    from fairseq_ringformer.text.wordpieces import WordPieces


def make_writable(*folders: Path) -> None:
    """Make ``folders`` where they are not there; UserError if nothing can be written into one, or its name is no UTF-8."""
    for folder in folders:
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            name = os.fsencode(folder).decode(errors="backslashreplace")
            raise UserError(f"{name}: a name that is not UTF-8, as fairseq needs it: choose another folder") from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"cannot write to {folder} ({error.strerror}): choose another folder") from None


def load_wordpieces(name: str) -> "WordPieces":
    """The WordPiece vocabulary ``name``, with a warning if it cannot note blanks; UserError if there is none."""
    from fairseq_ringformer.text.wordpieces import WordPieces

    with about("--wordpiece-model"):
        pieces = WordPieces.load(name)
    if not pieces.lossless:
        print(f"prepare.sh: warning: {name}: {pieces.LOSSY}", file=sys.stderr)
    return pieces
