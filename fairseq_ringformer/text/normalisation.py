"""Text as the training text was: Unicode form, typographic variants, white space."""

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ..errors import UserError

# Kinds of compatible characters that mean the same; superscripts and fractions do not.
SAME = ("<compat>", "<noBreak>", "<wide>", "<narrow>")
# A character that is less of the training text than this was seldom learnt.
SELDOM = 1e-6
HYPHENS, DASHES = ("-", "\N{EN DASH}", "\N{EM DASH}"), ("\N{EN DASH}", "\N{EM DASH}", "-")
PRIMES = ("PRIME", "DOUBLE PRIME", "ACUTE ACCENT")


@dataclass(frozen=True)
class Normalisation:
    """What becomes of text before it is cut into sub-words.

    Attributes:
        form: Unicode's normal form; None to leave it.
        replace: what takes the place of a character; nothing, if that is empty.
        spaces: whether white space becomes single blanks, with none at the ends.
        characters: what the training text is written in; empty to leave the rest alone. A character that is not among
            these becomes its variant that is, if there is one: a compatible character of Unicode, a plain quotation
            mark, a dash. Invisible ones go.
    """

    form: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    replace: Mapping[str, str] = dataclasses.field(default_factory=dict)
    spaces: bool = False
    characters: str = ""

    @classmethod
    def from_json(cls, details: Any) -> "Normalisation":
        """The inverse of :meth:`to_json`.

        Raises:
            UserError: if it is nothing of the kind.
        """
        try:
            new = cls(**details)
            new("a")  # builds its tables
        except (TypeError, ValueError, AttributeError):
            raise UserError("its normalisation is not of form, replace, spaces and characters") from None
        return new

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "replace": dict(self.replace)}

    def __call__(self, text: str) -> str:
        if self.form is not None:
            text = unicodedata.normalize(self.form, text)
        text = text.translate(self._table)
        if self.characters:
            text = text.translate({ord(other): self._variant(other) for other in set(text) - self._known})
        return " ".join(text.split()) if self.spaces else text

    @cached_property
    def _table(self) -> dict[int, str]:
        return str.maketrans(dict(self.replace))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.characters) | {" "}

    @cached_property
    def _compatible(self) -> dict[str, str]:
        """Of known characters that are themselves compatible ones, such as the micro sign, by what they stand for."""
        known = (character for character in self._known if unicodedata.decomposition(character).startswith(SAME))
        return {unicodedata.normalize("NFKC", character): character for character in sorted(known, reverse=True)}

    def _variant(self, character: str) -> str:
        """What stands for a character that is not known; itself if nothing does."""
        compatible = unicodedata.normalize("NFKC", character)
        if unicodedata.decomposition(character).startswith(SAME) and self._known.issuperset(compatible):
            return compatible
        if compatible in self._compatible:
            return self._compatible[compatible]
        name, category = unicodedata.name(character, ""), unicodedata.category(character)
        if name.startswith("VARIATION SELECTOR") or (category in ("Cf", "Cc") and not character.isspace()):
            return ""
        candidates: tuple[str, ...] = ()
        if category == "Pd" or name == "MINUS SIGN":
            candidates = HYPHENS if "HYPHEN" in name or "MINUS" in name else DASHES
        elif "QUOTATION MARK" in name or "APOSTROPHE" in name or name in PRIMES:
            candidates = ('"',) if "DOUBLE" in name else ("'",)
        return next((known for known in candidates if known in self._known), character)


def characters_of(lines: Iterable[str]) -> str:
    """The characters that `lines` are written in, in order, without those that are seldom."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line)
    least = SELDOM * counts.total()
    return "".join(sorted(character for character, count in counts.items() if count >= least))
