"""Text as a recipe's prepare.sh leaves it: natural, in sub-words, and in fairseq's binary form."""

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, about, one_line
from ..files import read_lines
from .normalisation import Normalisation
from .subwords import Subwords, check_kind

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
            UserError: if it is not what a recipe leaves, or a part is missing.
        """
        folder = Path(folder)
        try:
            details = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
            languages = details["source_lang"], details["target_lang"]
            subwords = _subwords(folder, details)
            data = cls(folder, languages, subwords, folder / details["raw"], folder / details.get("bin", "."), details)
            model = [] if subwords.model is None else [Path(subwords.model)]  # plain words have none
            for part in (*model, *(data.binary / f"dict.{language}.txt" for language in languages)):
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
            UserError: if a file cannot be read.
        """
        try:
            return tuple(read_lines(path) for path in self.files(subset))
        except (OSError, ValueError) as error:
            raise _unprepared(self.folder, error) from None

    def check_binary(self) -> None:
        """Require what fairseq-train and fairseq-generate read of every subset.

        Raises:
            UserError: if a file is missing.
        """
        pair = "-".join(self.languages)
        try:
            for subset, language, end in itertools.product(("train", "valid", "test"), self.languages, ("idx", "bin")):
                (self.binary / f"{subset}.{pair}.{language}.{end}").stat()
        except OSError as error:
            raise _unprepared(self.folder, error) from None


def find_recipe(data: str) -> tuple[str, dict[str, Any]] | None:
    """The recipe of the folder `data` of binarised text: the folder that it lies in, and what it says; None if there is none.

    It lies in the folder, or beside it if the folder is what the recipe calls its ``bin``.

    Raises:
        UserError: if there is one that cannot be read.
    """
    for folder in (data, os.path.join(data, os.pardir)):
        path = os.path.normpath(os.path.join(folder, RECIPE))
        if not os.path.isfile(path):
            continue
        try:
            with open(path, encoding="utf-8") as stream:
                details = json.load(stream)
            binary = os.path.join(folder, details.get("bin", "."))
        except (OSError, ValueError, TypeError, AttributeError):
            raise UserError(f"{path}: not a recipe, or a damaged one: mend it or take it away") from None
        if folder is data or os.path.realpath(binary) == os.path.realpath(data):
            return os.path.dirname(path), details
    return None


def recipe_subwords(data: str) -> Subwords | None:
    """How the text was cut whose binary form is the folder `data`, by its recipe; None if there is none.

    Raises:
        UserError: if there is one that cannot be used.
    """
    found = find_recipe(data)
    if found is None:
        return None
    with about(os.path.join(found[0], RECIPE)):
        try:
            return _subwords(*found)
        except (KeyError, TypeError):
            raise UserError("not a recipe of sub-words; give the sub-word model by flag") from None


def recipe_normalisation(data: str) -> Normalisation | None:
    """What was done to the text before it was cut, by the same recipe; None if it does not say.

    Raises:
        UserError: if it cannot be used.
    """
    found = find_recipe(data)
    if found is None:
        return None
    with about(os.path.join(found[0], RECIPE)):
        return _normalisation(found[1])


def _subwords(folder: str | Path, details: dict[str, Any]) -> Subwords:
    normalisation = _normalisation(details)
    if details["bpe"] is None:  # plain words
        return Subwords(None, None, details.get("tokenizer"), normalisation)
    model = os.path.join(folder, details["bpe_model"])
    return Subwords(check_kind(details["bpe"]), model, details.get("tokenizer"), normalisation)


def _normalisation(details: dict[str, Any]) -> Normalisation | None:
    found = details.get("normalisation")
    return None if found is None else Normalisation.from_json(found)


def _unprepared(folder: Path, error: Exception) -> UserError:
    why = one_line(error) if isinstance(error, (OSError, UserError)) else f"{type(error).__name__}: {error}"
    return UserError(f"{folder} holds no prepared data ({why}): run a recipe's prepare.sh first")
