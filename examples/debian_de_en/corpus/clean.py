"""Make text uniform, and say of a pair why it is not fit to learn from."""

import re

from corpus.sentences import ratio_is_odd
from fairseq_ringformer.text.normalisation import Normalisation

MAX_WORDS = 200

# Typographic variants that the sources use without system, and invisible characters.
_UNIFORM = {
    **dict.fromkeys("„“”‟«»", '"'),
    **dict.fromkeys("‘’‚‛´", "'"),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f", ""),
    "…": "...",
    "−": "-",
}
NORMALISATION = Normalisation("NFC", _UNIFORM, spaces=True)
_MARKUP = re.compile(
    r"""</?[A-Za-z][^<>]*>          # a tag
      | &(?:[A-Za-z]+|\#\w+);       # an entity
      | \{[a-z]{1,12}\}             # grammar in a dictionary, a placeholder
      | \\f[A-Z(\[] | \\[(*]\w\w    # roff
      | %[A-Z]{3,} | \$\[ | \$\( | \$\{ | \$\w+\$ | %\{
      | @[a-z]+\{ | ^\.\\?"         # texinfo, roff comments
      | \|\| | ::: | ={4,} | -{4,} | _{4,}
    """,
    re.VERBOSE,
)
_MISENCODED = re.compile("[\ufffd\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]|Ã[\x80-\xbf¤¶¼Ÿ„–œ]|â€|Â[\xa0-\xbf]")
# Letters that are neither Latin nor Greek: tables of scripts, examples of other languages.
_OTHER_SCRIPT = re.compile("[\u0400-\u1dff\u2c80-\u2dff\u2e80-\ua71f\ua800-\ufaff\ufe70-\uffef]")


def normalise(text: str) -> str:
    """``text`` in Unicode form NFC on one line, with plain quotes, apostrophes, hyphens, dots and spaces."""
    return NORMALISATION(text)


def key(text: str) -> str:
    """What is left of ``text`` when two texts are compared: case and everything but letters and digits is not."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def why_unfit(german: str, english: str) -> str | None:
    """The reason to drop a pair of normalised texts, or None if it is fit.

    Reasons: ``empty``, ``encoding``, ``other script``, ``markup``, ``not text`` (numbers, code), ``untranslated`` (the same on
    both sides), ``too long`` (over MAX_WORDS words) and ``length ratio``.
    """
    if not german or not english:
        return "empty"
    both = (german, english)
    if any(_MISENCODED.search(text) for text in both):
        return "encoding"
    if any(_OTHER_SCRIPT.search(text) for text in both):
        return "other script"
    if any(_MARKUP.search(text) for text in both):
        return "markup"
    if any(_letters(text) < 0.6 * len(text.replace(" ", "")) for text in both):
        return "not text"
    if key(german) == key(english):
        return "untranslated"
    if any(len(text.split()) > MAX_WORDS for text in both):
        return "too long"
    if ratio_is_odd(german, english):
        return "length ratio"
    return None


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)
