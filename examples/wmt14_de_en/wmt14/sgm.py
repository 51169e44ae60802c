"""The test sets' SGML: one document after another, each of numbered segments, text with entities."""

import re

from fairseq_ringformer.errors import UserError

_TAG = re.compile(
    r"""<doc\b[^>]*> | <seg\b[^>]*?\bid\s*=\s*["']?(?P<id>[^\s"'>]+)[^>]*>(?P<text>.*?)</seg\s*>""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ENTITY = re.compile(r"&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def unescape(text: str) -> str:
    """``text`` with XML's five entities and character numbers resolved, once; anything else stays as it is."""

    def character(match: re.Match) -> str:
        decimal, hexadecimal, name = match.groups()
        number = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else 0
        if name:
            return _NAMED[name]
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else match[0]

    return _ENTITY.sub(character, text)


def read_segments(sgml: str) -> tuple[list[tuple[int, str]], list[str]]:
    """The segments of a file in order: (number of the document, id) and text, white space normalised."""
    keys, texts, document = [], [], 0
    for match in _TAG.finditer(sgml):
        if match["id"] is None:
            document += 1
        else:
            keys.append((document, match["id"]))
            texts.append(" ".join(unescape(match["text"]).split()))
    return keys, texts


def read_pairs(german: bytes, english: bytes, names: tuple[str, str]) -> list[tuple[str, str]]:
    """The segment pairs of two files; UserError if their documents and segment ids are not the same."""
    sides = []
    for content, name in zip((german, english), names, strict=True):
        try:
            sides.append(read_segments(content.decode("utf-8")))
        except UnicodeDecodeError:
            raise UserError(f"{name} is not UTF-8: not the file that WMT published") from None
        if not sides[-1][0]:
            raise UserError(f"{name} has no segments: not the file that WMT published")
    (keys, texts), (other_keys, other_texts) = sides
    if keys != other_keys:
        raise UserError(
            f"{names[0]} ({len(keys)} segments) and {names[1]} ({len(other_keys)}) differ in documents or segment "
            "ids: not the files that WMT published"
        )
    return list(zip(texts, other_texts, strict=True))
