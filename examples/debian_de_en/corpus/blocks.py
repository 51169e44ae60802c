"""Align two documents that are translations of each other, block by block.

A block is a paragraph, heading, list item or table cell. Most translations keep the blocks of the original
one for one; where one has lost or gained some, the cheapest monotone pairing is found, as Gale and Church
(1993) do it for sentences, except that blocks are skipped rather than merged.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A piece of text and what it is in its document (``p``, ``title``, ``td`` ...); only likes are paired."""

    kind: str
    text: str


# Costs are made of the ratio of lengths and of the words that should look the same in both languages.
SKIP = 0.6
WORST = 0.9
BAND = 60

_SAME = re.compile(r"[^\s,;:()\"'„“»«]*(?:\d|[A-Z]{2}|[a-z][A-Z]|[_/@=])[^\s,;:()\"'„“»«]*")


def align(german: Sequence[Block], english: Sequence[Block], skipped: Counter) -> list[tuple[str, str]]:
    """The (german, english) texts of the blocks that belong together, in order.

    Documents with the same kinds of blocks in the same order and similar contents are paired one for one,
    others as cheaply as possible. ``skipped`` counts the English blocks that are left alone.
    """
    if not german or not english:
        skipped["no counterpart"] += len(english)
        return []
    marks = [_marks(block.text) for block in german], [_marks(block.text) for block in english]
    if [block.kind for block in german] == [block.kind for block in english]:
        costs = [_cost(*four) for four in zip(german, english, *marks, strict=True)]
        if sum(costs) <= 0.5 * WORST * len(costs) or len(costs) < 3:
            skipped["odd pair of blocks"] += sum(cost > WORST for cost in costs)
            zipped = zip(german, english, costs, strict=True)
            return _phrases([(g.text, e.text) for g, e, cost in zipped if cost <= WORST], skipped)
    pairs = _cheapest(german, english, *marks)
    skipped["no counterpart"] += len(english) - len(pairs)
    return _phrases([(german[i].text, english[j].text) for i, j in pairs], skipped)


def _phrases(pairs: list[tuple[str, str]], skipped: Counter) -> list[tuple[str, str]]:
    """The pairs less those of a single word on both sides: options, names of functions and menus."""
    kept = [pair for pair in pairs if any(" " in text for text in pair)]
    skipped["single word"] += len(pairs) - len(kept)
    return kept


def _marks(text: str) -> frozenset[str]:
    """The words that a translator leaves as they are: numbers, file names, options, acronyms."""
    return frozenset(word.strip(".…!?") for word in _SAME.findall(text))


def _cost(german: Block, english: Block, german_marks: frozenset[str], english_marks: frozenset[str]) -> float:
    """How unlikely two blocks translate each other; 0 is a perfect match, over WORST is none."""
    if german.kind != english.kind:
        return math.inf
    # German is about an eighth longer; a few letters more or less say nothing.
    lengths = abs(math.log((len(german.text) + 12) / (1.12 * len(english.text) + 12)))
    either = german_marks | english_marks
    different = 1 - len(german_marks & english_marks) / len(either) if either else 0.3
    return lengths + 0.5 * different


def _cheapest(
    german: Sequence[Block],
    english: Sequence[Block],
    german_marks: Sequence[frozenset[str]],
    english_marks: Sequence[frozenset[str]],
) -> list[tuple[int, int]]:
    """The pairs of positions of the cheapest monotone pairing with skips, found near the diagonal."""
    rows, columns = len(german), len(english)
    band = BAND + abs(rows - columns)
    best: dict[tuple[int, int], tuple[float, str]] = {(0, 0): (0.0, "")}
    for i in range(rows + 1):
        middle = i * columns // rows
        for j in range(max(0, middle - band), min(columns, middle + band) + 1):
            options = []
            if (i - 1, j) in best:
                options.append((best[i - 1, j][0] + SKIP, "german"))
            if (i, j - 1) in best:
                options.append((best[i, j - 1][0] + SKIP, "english"))
            if (i - 1, j - 1) in best:
                cost = _cost(german[i - 1], english[j - 1], german_marks[i - 1], english_marks[j - 1])
                if cost <= WORST:
                    options.append((best[i - 1, j - 1][0] + cost, "both"))
            if options:
                best[i, j] = min(options)
    pairs, i, j = [], rows, columns
    while i or j:
        step = best[i, j][1]
        i, j = i - (step != "english"), j - (step != "german")
        if step == "both":
            pairs.append((i, j))
    return pairs[::-1]
