"""Text as a recipe's prepare.sh leaves it: natural, in sub-words, and in fairseq's binary form."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import read_lines
from .subwords import FILES, Subwords

RECIPE = "recipe.json"


@dataclass(frozen=True)
class PreparedData:
    """A folder with a ``recipe.json``, which tells what lies where.

    Attributes:
        folder: the folder itself.
        languages: source and target.
        subwords: how its text was cut; the model is a file of the folder.
        raw: folder of the natural text, a file for each subset and language.
        binary: folder that fairseq-train reads.
        details: everything that ``recipe.json`` says.
    """

    folder: Path
    languages: tuple[str, str]
    subwords: Subwords
    raw: Path
    binary: Path
    details: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "PreparedData":
        """What lies in `folder`.

        Raises:
            ValueError: if it is not what a recipe leaves, or a part is missing.
        """
        folder = Path(folder)
        try:
            details = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
            languages = details["source_lang"], details["target_lang"]
            model = folder / details["bpe_model"]
            subwords = Subwords(details["bpe"], str(model), details.get("tokenizer"))
            if subwords.bpe not in FILES:
                raise ValueError(f"unknown kind of sub-words {subwords.bpe!r}; known: {', '.join(FILES)}")
            data = cls(folder, languages, subwords, folder / details["raw"], folder / details["bin"], details)
            for part in (model, *(data.binary / f"dict.{language}.txt" for language in languages)):
                part.stat()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unprepared(folder, error) from None
        return data

    def files(self, subset: str) -> tuple[Path, Path]:
        """The natural text of a subset, ``train``, ``valid`` or ``test``: sources and references, a line each."""
        return tuple(self.raw / f"{subset}.{language}" for language in self.languages)

    def text(self, subset: str) -> tuple[list[str], list[str]]:
        """The lines of :meth:`files`.

        Raises:
            ValueError: if a file cannot be read.
        """
        try:
            return tuple(read_lines(path) for path in self.files(subset))
        except (OSError, ValueError) as error:
            raise _unprepared(self.folder, error) from None

    def check_binary(self) -> None:
        """Require what fairseq-train and fairseq-generate read of every subset.

        Raises:
            ValueError: if a file is missing.
        """
        pair = "-".join(self.languages)
        try:
            for subset, language, end in itertools.product(("train", "valid", "test"), self.languages, ("idx", "bin")):
                (self.binary / f"{subset}.{pair}.{language}.{end}").stat()
        except OSError as error:
            raise _unprepared(self.folder, error) from None


def _unprepared(folder: Path, error: Exception) -> ValueError:
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        why = f"{error.filename}: {error.strerror}"
    return ValueError(f"{folder} holds no prepared data ({why}): run a recipe's prepare.sh first")
