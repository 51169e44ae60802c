"""Cutting text into sentences, for models that were trained on one at a time."""

import re
from itertools import pairwise

from .. import extras

# Words that sentencex takes for abbreviations (Maine, Michigan ...), and that end sentences far more often. Found by
# putting a full stop behind each word of examples/debian_de_en's training text.
WORDS = {
    "de": ("Art", "ID", "OK", "mag", "mich", "usw"),
    "en": ("ID", "OK", "art", "etc", "ill", "may", "me", "miss", "no"),
}
# Ends that are none: German ordinals, as in "im 17. Jahrhundert" (months sentencex knows).
ORDINALS = {
    "de": re.compile(
        r"\b(?:am|im|vom|zum|zur|beim|d(?:er|ie|as|em|en|es)|(?:k?ein|jed|dies|[mds]ein|ihr|unser)(?:e[mnrs]?)?)"
        r" \d{1,2}\.\s+$",
        re.IGNORECASE,
    )
}
# What no sentence begins with. Behind an ellipsis a dash is no speaker's, but joins the parts of a path of menus.
GOES_ON = re.compile(r"[,;:!?)\]}]")
ELLIPSIS, DASH = re.compile(r"(?:\.\.\.|…)\s*$"), re.compile(r"[-–—]\s")
# Behind these a sentence needs a blank; behind a Chinese full stop it does not.
NEEDS_BLANK = re.compile(r"[.!?…:;\"')\]”’“»]$")
# Ends of lines, of paragraphs and pages.
BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]\s*")
TAIL = 40  # characters before an end that say whether it is one
OPENING, CLOSING = "\"'([{“‘„‚«»‹›", "\"')]}”’“‘«»‹›"
BEGINNING = re.compile(rf"[.!?][{re.escape(CLOSING)}]* +[{re.escape(OPENING)}]*[^\W\d_]")
# Sentences in brackets, before another.
BRACKETS = re.compile(rf"[(\[][^()\[\]]*[.!?…][{re.escape(CLOSING)}]*[)\]]\s+(?=[{re.escape(OPENING)}]*(?P<next>\w))")


class Segmenter:
    """Cuts text into its sentences, by sentencex's rules and a few of ours.

    Args:
        language: of the text; an unknown one is cut by rules that many languages share.

    Raises:
        MissingPackage: if sentencex is not installed.
    """

    def __init__(self, language: str):
        with extras.named():
            from sentencex import segment
        self._segment = segment
        self._language = re.split("[-_]", language.lower())[0]
        self._ordinal = ORDINALS.get(self._language)
        words = "|".join(WORDS.get(self._language, ()))
        self._word = words and re.compile(rf"\b(?:{words})\.\s+(?=[{re.escape(OPENING)}]*(?P<next>\w))")

    def split(self, text: str) -> list[str]:
        """The sentences of `text`, with the blanks behind them: joined by nothing, they are `text`."""
        pieces = []
        for piece in self._pieces(text):
            core = piece.rstrip()
            inner = []
            # What is all in quotes or brackets sentencex leaves whole.
            if len(core) > 2 and core[0] in OPENING and core[-1] in CLOSING:
                inner = self._pieces(core[1:-1])
            if len(inner) > 1:
                inner[0] = core[0] + inner[0]
                inner[-1] += piece[len(core) - 1 :]
            pieces += inner if len(inner) > 1 else [piece]
        return pieces

    def _pieces(self, text: str) -> list[str]:
        # It knows plain blanks (1.0.32 panics at a non-breaking one behind an initial) and ellipses of three dots, and
        # that sentences begin with a capital, where there are any.
        plain = re.sub(r"\s", " ", text).replace("…", ".")
        if plain == plain.lower():
            plain = BEGINNING.sub(_capital, plain)
        try:
            found = self._segment(self._language, plain)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # Rust's, which is no Exception
                raise
            found = [plain]
        if "".join(found) != plain:  # nothing may be lost, whatever a version of it does
            return [text]
        ends, end = {0}, 0
        for piece in found:
            if end and self._goes_on(text[max(0, end - TAIL) : end], text[end : end + TAIL]):
                ends.discard(end)
            elif (brackets := BRACKETS.match(piece)) and brackets["next"].isupper():
                ends.add(end + brackets.end())
            end += len(piece)
            ends.add(end)
        ends.update(match.end() for match in BREAKS.finditer(text))
        if self._word:
            ends.update(match.end() for match in self._word.finditer(plain) if match["next"].isupper())
        return [text[start:end] for start, end in pairwise(sorted(ends | {0}))]

    def _goes_on(self, before: str, after: str) -> bool:
        """Whether the sentence that ends with `before` goes on with `after`."""
        if not before.strip() or not after.strip() or GOES_ON.match(after):
            return True
        if NEEDS_BLANK.search(before):
            return True
        if self._ordinal and self._ordinal.search(before):
            return True
        return bool(ELLIPSIS.search(before) and DASH.match(after))


def _capital(beginning: re.Match[str]) -> str:
    """A match of ``BEGINNING`` with a capital, if that is one character as well."""
    text, letter = beginning[0][:-1], beginning[0][-1]
    return text + (letter.upper() if len(letter.upper()) == 1 else letter)
