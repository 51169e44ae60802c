"""Cleaning of training pairs, one at a time: what is dropped, why, and how often."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Limits(NamedTuple):
    """Pairs beyond these are dropped: words of a side, words of the longer side over those of the shorter."""

    max_words: int
    max_ratio: float


def tidy(line: bytes) -> str | None:
    """``line`` as text with single spaces and none at its ends; None if it is not UTF-8."""
    try:
        # Any white space: line separators within a line would make two of it further on.
        return " ".join(line.decode("utf-8").split())
    except UnicodeDecodeError:
        return None


def why_unfit(german: str | None, english: str | None, limits: Limits) -> str | None:
    """The reason to drop a pair (``not UTF-8``, ``empty``, ``too long``, ``length ratio``), None if it is fit."""
    if german is None or english is None:
        return "not UTF-8"
    words = sorted(text.count(" ") + 1 if text else 0 for text in (german, english))
    if not words[0]:
        return "empty"
    if words[1] > limits.max_words:
        return "too long"
    return "length ratio" if words[1] > limits.max_ratio * words[0] else None


class Cleaner:
    """Cleans the pairs of one corpus after another.

    Args:
        drop_duplicates: whether a pair that came before, in whichever corpus, is dropped.
    """

    def __init__(self, limits: Limits, drop_duplicates: bool = False):
        self.limits = limits
        self.held_out: tuple[set[str], set[str]] = (set(), set())
        self.seen: set[int] | None = set() if drop_duplicates else None

    def hold_out(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count from now on the training pairs of which a side stands in ``pairs`` of a validation or test set."""
        for pair in pairs:
            for texts, text in zip(self.held_out, pair, strict=True):
                texts.add(text)

    def clean(self, pairs: Iterable[tuple[bytes, bytes]], counts: dict) -> Iterator[tuple[str, str]]:
        """The pairs that are kept; ``counts`` is filled on the way.

        It gets ``read``, ``kept``, ``dropped`` (by reason) and ``side in valid or test`` (of those kept).
        """
        counts.update({"read": 0, "kept": 0, "dropped": Counter(), "side in valid or test": 0})
        for pair in pairs:
            counts["read"] += 1
            german, english = map(tidy, pair)
            reason = why_unfit(german, english, self.limits)
            if not reason and self._is_duplicate(german, english):
                reason = "duplicate"
            if reason:
                counts["dropped"][reason] += 1
                continue
            counts["kept"] += 1
            counts["side in valid or test"] += german in self.held_out[0] or english in self.held_out[1]
            yield german, english

    def _is_duplicate(self, german: str, english: str) -> bool:
        if self.seen is None:
            return False
        # 64 bits a pair instead of its text: with 5 million pairs the chance of one mistake is below one in a million.
        mark = int.from_bytes(hashlib.blake2b(f"{german}\n{english}".encode(), digest_size=8).digest())
        before = len(self.seen)
        self.seen.add(mark)
        return len(self.seen) == before
