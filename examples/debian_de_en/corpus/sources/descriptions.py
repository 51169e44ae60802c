"""Package descriptions: Debian's own translations of them, as apt lists them.

A description in another language names the MD5 sum of the English text it translates, so a pair never
mixes versions.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from corpus import blocks
from corpus.pairs import Pair

_ENTRY = re.compile(r"^Description-md5: (\w+)$\n^Description-\w+: (.*(?:\n .*)*)", re.MULTILINE)
_BULLET = re.compile(r"^(?:[-*+o•·]|\d+[.)])\s+")


def align(lists: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the descriptions of one MD5 sum, paragraph by paragraph.

    ``lists`` has, under ``de`` and ``en``, the texts of the lists by name. Packages built from one source
    begin their descriptions alike, so a document is all that share the first English paragraph; its name
    is the MD5 sum of the first of them.
    """
    german, english = _entries(lists["de"]), _entries(lists["en"])
    families: dict[str, str] = {}
    for checksum in sorted(german.keys() & english.keys()):
        original = english[checksum]
        opening = original[1].text if len(original) > 1 else original[0].text
        document = families.setdefault(opening, checksum)
        for pair in blocks.align(german[checksum], original, skipped):
            yield Pair(document, *pair)


def _entries(lists: Mapping[str, bytes]) -> dict[str, list[blocks.Block]]:
    entries: dict[str, list[blocks.Block]] = {}
    for _, content in sorted(lists.items()):
        for checksum, description in _ENTRY.findall(content.decode("utf-8", errors="replace")):
            entries.setdefault(checksum, list(paragraphs(description)))
    return entries


def paragraphs(description: str) -> Iterator[blocks.Block]:
    """The blocks of a description in Debian's control format: ``title``, ``p`` and ``item``.

    A line of " ." ends a paragraph, a line with a bullet begins an item, and lines set off by more
    than one space continue the item above them or stand for themselves.
    """
    title, *lines = description.split("\n")
    yield blocks.Block("title", title.strip())
    kind, pieces = "p", []
    for line in [*lines, " ."]:
        text = line.strip()
        bullet = _BULLET.match(text)
        verbatim = line.startswith("  ")
        ends = text == "." or bullet or (verbatim and kind == "p") or (not verbatim and kind == "item")
        if ends:
            if pieces:
                yield blocks.Block(kind, " ".join(pieces))
            kind, pieces = "p", []
        if text != ".":
            if bullet or verbatim:
                kind = "item"
            pieces.append(text[bullet.end() :] if bullet else text)
