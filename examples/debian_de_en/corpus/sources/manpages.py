"""Manual pages: the German ones of manpages-de, against the originals in the packages of the programs."""

import gzip
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from corpus import blocks, roff
from corpus.pairs import Pair

WANTED = re.compile(r"^usr/share/man/(?:de/)?man\d/[^/]+\.gz$")

TRANSLATIONS = ("manpages-de", "manpages-de-dev")

# A section that only the translation has: who translated, and how to reach them.
_CREDITS = re.compile(r"^ÜBERSETZUNG$")


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the pages by name and their blocks by order; a document is a page, such as ``ls.1``."""
    originals: dict[str, bytes] = {}
    for package, files in packages.items():
        if package not in TRANSLATIONS:
            for path, content in files.items():
                if "/man/man" in path:
                    originals.setdefault(PurePosixPath(path).stem, content)
    for package in TRANSLATIONS:
        for path, content in sorted(packages[package].items()):
            name = PurePosixPath(path).stem
            if name not in originals:
                skipped["page without original"] += 1
                continue
            german = without_credits(roff.blocks(_text(content)))
            english = list(roff.blocks(_text(originals[name])))
            for pair in blocks.align(german, english, skipped):
                yield Pair(name, *pair)


def _text(compressed: bytes) -> str:
    content = gzip.decompress(compressed)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def without_credits(page: Iterator[blocks.Block]) -> list[blocks.Block]:
    """The blocks of a page less the section about its translators."""
    kept, in_credits = [], False
    for block in page:
        if block.kind == "h":
            in_credits = bool(_CREDITS.match(block.text))
        if not in_credits:
            kept.append(block)
    return kept
