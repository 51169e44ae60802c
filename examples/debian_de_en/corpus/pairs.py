"""A pair of texts that translate each other, and the file format in which the steps hand pairs on."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """A German text, its English counterpart, and the document they come from (unique within their source).

    The document is the unit of the split: all pairs of one document end up in the same split.
    """

    document: str
    german: str
    english: str


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write ``pairs`` to ``path``, one JSON array a line."""
    with path.open("w", encoding="utf-8") as stream:
        for pair in pairs:
            stream.write(json.dumps(pair, ensure_ascii=False) + "\n")


def read_pairs(path: Path) -> Iterator[Pair]:
    """Yield the pairs that ``write_pairs`` wrote to ``path``, in the same order."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield Pair(*json.loads(line))
