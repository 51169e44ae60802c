"""Divide pairs into train, valid and test: whole documents, and no text on two sides of the line."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from corpus.clean import key
from corpus.pairs import Pair

SPLITS = ("train", "valid", "test")


class Split(NamedTuple):
    """The pairs of every split by source, and what was dropped to keep the splits apart, by source and reason."""

    pairs: dict[str, dict[str, list[Pair]]]
    dropped: dict[str, Counter]


def held_out_documents(pairs: Sequence[Pair], quota: int, seed: int, source: str) -> dict[str, set[str]]:
    """Choose documents of one source for ``valid`` and ``test``, about ``quota`` pairs of each.

    Documents are put in an order that depends on ``seed`` and their names alone; test takes them from
    the front, valid from the back. A document of more than a third of the quota is passed over, so that
    no single one decides a score.
    """
    sizes = Counter(pair.document for pair in pairs)
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}/{source}/{name}".encode()).digest())
    fit = [name for name in order if 3 * sizes[name] <= max(quota, 3)]
    chosen: dict[str, set[str]] = {"test": set(), "valid": set()}
    for split, names in (("test", fit), ("valid", fit[::-1])):
        count = 0
        for name in names:
            if count >= quota:
                break
            if name not in chosen["test"]:
                chosen[split].add(name)
                count += sizes[name]
    return chosen


def split_by_document(pairs: Mapping[str, Sequence[Pair]], held_out: int, seed: int) -> Split:
    """Split the pairs of every source, with ``held_out`` pairs or so in valid and in test, a tenth of all at most.

    Each source gives to valid and test in proportion to its size. A text stands in one split only: what
    test has on either side leaves valid and train, and what valid has leaves train, where two texts are
    the same if they differ in case, spacing and punctuation at most.
    """
    total = sum(len(from_source) for from_source in pairs.values())
    held_out = min(held_out, total // 10)
    result = Split({split: {} for split in SPLITS}, {source: Counter() for source in pairs})
    for source, from_source in pairs.items():
        chosen = held_out_documents(from_source, round(held_out * len(from_source) / max(total, 1)), seed, source)
        for split in ("valid", "test"):
            result.pairs[split][source] = [pair for pair in from_source if pair.document in chosen[split]]
        rest = chosen["valid"] | chosen["test"]
        result.pairs["train"][source] = [pair for pair in from_source if pair.document not in rest]
    taken: tuple[set[str], set[str]] = (set(), set())
    for split in ("test", "valid", "train"):
        for source, from_source in result.pairs[split].items():
            apart = [
                pair for pair in from_source if key(pair.german) not in taken[0] and key(pair.english) not in taken[1]
            ]
            result.dropped[source][f"held out elsewhere ({split})"] += len(from_source) - len(apart)
            result.pairs[split][source] = apart
        for from_source in result.pairs[split].values():
            taken[0].update(key(pair.german) for pair in from_source)
            taken[1].update(key(pair.english) for pair in from_source)
    return result
